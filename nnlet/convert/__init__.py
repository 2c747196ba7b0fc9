"""convert: from a fitted model to a version in the model repository, folders in data order.

    model, sample --> Converted ----------------> checked --> models/NAME/VERSION/model.onnx
                      (ONNX, columns, answer,                 models/NAME/model.toml
                       the library's own answers)

1. `sample.py` reads rows into a Sample: named, typed columns.
2. `converters.py` holds the tables: which function converts which library's models, which
   reads which file. One module a library: `sklearn.py`, `onnxfile.py`, ...
3. A converter makes a Converted (`converted.py`). wasi-nn has no strings: `strings.py` turns
   those in the graph into indices, and the words go into model.toml.
4. `precision.py` keeps float64 where float32 would answer otherwise.
5. `check.py` compares with the library, in onnxruntime and compiled.
6. `repository.py` stages the version beside models/ and renames it into place.

`add.py` is these steps in order; `nnlet.add` and `nnlet add` call it.
"""
