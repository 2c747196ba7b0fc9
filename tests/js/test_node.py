"""The export in Node: answers, and what is said to a caller who is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from js.hosts import JavaScriptError, Node, find_node
from nnlet.export.metadata import TYPES
from nnlet.tensor import DATATYPES


def refused(node: Node, expression: str) -> tuple[str, str]:
    """The code and the words with which an expression is refused."""
    with pytest.raises(JavaScriptError) as refusal:
        node.run(expression)
    return refusal.value.code, str(refusal.value)


def infer(model: str, inputs: str) -> str:
    return f"(await load('{model}')).infer({inputs})"


def test_a_model_answers_with_typed_arrays(node: Node) -> None:
    found = node.run(
        "(({ probabilities: p }) => [p.data.constructor.name, p.data.length, p.shape, p.datatype,"
        f" p.labels])({infer('iris', '{ features: new Float32Array(8) }')})"
    )
    labels = ["setosa", "versicolor", "virginica"]
    assert found == ["Float32Array", 6, [2, 3], "FP32", labels]


def test_the_example_is_answered_as_its_label_says(node: Node) -> None:
    data = node.run(f"Array.from({infer('digits', 'models[1].example')}.probabilities.data)")
    assert max(range(10), key=data.__getitem__) == 7


@pytest.mark.parametrize(
    "inputs",
    [
        "{ features: [5.5, 3.5, 1.3, 0.2] }",
        "{ features: [[5.5, 3.5, 1.3, 0.2]] }",
        "{ features: { data: [5.5, 3.5, 1.3, 0.2], shape: [1, 4] } }",
        "{ features: Float32Array.of(0, 5.5, 3.5, 1.3, 0.2).subarray(1) }",
    ],
)
def test_all_forms_of_an_input_are_the_same(node: Node, inputs: str) -> None:
    expected = node.run(f"Array.from({infer('iris', 'models[2].example')}.probabilities.data)")
    assert node.run(f"Array.from({infer('iris', inputs)}.probabilities.data)") == expected


def test_what_one_model_gives_another_takes(node: Node) -> None:
    once = infer("iris", "{ features: new Float32Array(4) }") + ".probabilities"
    assert refused(node, infer("iris", f"{{ features: {once} }}")) == (
        "invalid-argument",
        "input 'features': shape is [1, 3]: expected 4 at axis 1 (it takes FP32 [?, 4])",
    )


def test_a_model_says_what_it_is(node: Node) -> None:
    about = node.run("(({ inputs, outputs, ...rest }) => rest)(await load('iris'))")
    assert about["name"] == "iris" and about["version"] == "1" and about["description"]
    assert node.run("(await load('iris', { version: '1' })).inputs") == [
        {"name": "features", "datatype": "FP32", "shape": [-1, 4]}
    ]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("await load('nope')", "no model 'nope': there is diabetes, digits, iris"),
        ("await load()", "no model 'undefined': there is diabetes, digits, iris"),
        (
            "await load('iris', { version: 7 })",
            "model 'iris' has no version '7': it has 1",
        ),
    ],
)
def test_a_model_that_does_not_exist_is_named_beside_those_that_do(
    node: Node, expression: str, words: str
) -> None:
    assert refused(node, expression) == ("not-found", words)


TAKES = "(it takes FP32 [?, 4])"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("", "inputs of iris: found undefined: expected an object by input name"),
        ("{}", "missing input 'features': iris takes 'features'"),
        ("{ x: [1] }", "unknown input 'x': iris takes 'features'"),
        (
            "{ features: new Float32Array(63) }",
            f"input 'features': found 63 values: expected 4, or a multiple of it {TAKES}",
        ),
        (
            "{ features: [] }",
            f"input 'features': found 0 values: expected 4, or a multiple of it {TAKES}",
        ),
        (
            "{ features: new Float64Array(4) }",
            "input 'features': found a Float64Array: expected a Float32Array or numbers " + TAKES,
        ),
        (
            "{ features: 'four' }",
            "input 'features': found the text 'four': expected a Float32Array or numbers " + TAKES,
        ),
        (
            "{ features: [1, 2, 'x', 4] }",
            "input 'features': element 2 is the text 'x': FP32 expects a number",
        ),
        (
            "{ features: [1, 2, 3, 1e300] }",
            "input 'features': element 3 is 1e+300: out of range for FP32",
        ),
        (
            "{ features: [[1, 2], [3, 4, 5]] }",
            f"input 'features': shape is [2, 2]: expected 4 at axis 1 {TAKES}",
        ),
        (
            "{ features: [[1, 2, 3, 4], [5]] }",
            "input 'features': found 5 values: shape [2, 4] has 8",
        ),
        (
            "{ features: { data: [1, 2, 3, 4], shape: [4] } }",
            f"input 'features': shape is [4]: expected 2 sizes {TAKES}",
        ),
        (
            "{ features: { data: [], shape: [0, 4] } }",
            "input 'features': shape is [0, 4]: expected a whole number from 1 at axis 0 " + TAKES,
        ),
    ],
)
def test_a_wrong_input_is_refused_in_words(node: Node, inputs: str, words: str) -> None:
    assert refused(node, infer("iris", inputs)) == ("invalid-argument", words)


# Datatypes

LARGEST = "18446744073709551615n"
VALUES = {
    "BOOL": "[0, 1]",
    "UINT8": "[0, 255]",
    "UINT16": "[0, 65535]",
    "UINT32": "[0, 4294967295]",
    "UINT64": f"[0n, {LARGEST}]",
    "INT8": "[-128, 127]",
    "INT16": "[-32768, 32767]",
    "INT32": "[-2147483648, 2147483647]",
    "INT64": "[-9223372036854775808n, 9223372036854775807n]",
    "FP16": "[0x3c00, 0xfbff]",
    "BF16": "[0x3f80, 0xff7f]",
    "FP32": "[-0, 3.4028234663852886e38]",
    "FP64": "[5e-324, -1.7976931348623157e308]",
}


def same(**given: str) -> str:
    """An expression: `same`, with these inputs in the place of zeros."""
    zeros = {t: f"new {TYPES[t][0]}(1)" for t in DATATYPES}
    inputs = ", ".join(f"in_{t}: {value}" for t, value in (zeros | given).items())
    return infer("same", f"{{ {inputs} }}")


@pytest.mark.parametrize("datatype", DATATYPES)
def test_the_extremes_of_a_datatype_pass_unchanged(every_type: Node, datatype: str) -> None:
    array = TYPES[datatype][0]
    found = every_type.run(
        f"(({{ data }}, values) => [data.constructor.name, data.length === values.length &&"
        f" data.every((v, i) => Object.is(v, values[i]))])"
        f"({same(**{datatype: f'{array}.from({VALUES[datatype]})'})}.out_{datatype}, "
        f"{VALUES[datatype]})"
    )
    assert found == [array, True]


@pytest.mark.parametrize(
    ("datatype", "values", "words"),
    [
        ("BOOL", "[true, 2]", "element 1 is 2: BOOL expects true or false"),
        ("BOOL", "Uint8Array.of(0, 9)", "element 1 is 9: BOOL expects 0 or 1"),
        ("UINT8", "[256]", "element 0 is 256: out of range for UINT8"),
        ("UINT32", "[-1]", "element 0 is -1: out of range for UINT32"),
        ("UINT64", "[-1n]", "element 0 is -1: out of range for UINT64"),
        ("INT64", "[0.5]", "element 0 is 0.5: INT64 expects a whole number"),
        ("FP16", "[1]", "found [1]: expected a Uint16Array of bits (it takes FP16 [?])"),
    ],
)
def test_numbers_that_a_datatype_does_not_hold_are_refused(
    every_type: Node, datatype: str, values: str, words: str
) -> None:
    found = refused(every_type, same(**{datatype: values}))
    assert found == ("invalid-argument", f"input 'in_{datatype}': {words}")


def test_the_tables_of_datatypes_agree(node: Node) -> None:
    carriers = {"UINT8": "U8", "INT32": "I32", "INT64": "I64"}
    expected = {
        name: [TYPES[name][0], carriers.get(row.carrier, row.carrier), row.kind]
        for name, row in DATATYPES.items()
    }
    table = "Object.entries((await use('datatypes.js')).DATATYPES)"
    row = "([name, { array, carrier, kind }]) => [name, [array.name, carrier, kind]]"
    assert node.run(f"Object.fromEntries({table}.map({row}))") == expected


def test_the_memory_of_answers_is_given_back(every_type: Node) -> None:
    # Together more than the 4 GiB that an instance can have.
    code = f"""(async () => {{
        const data = new Uint8Array(2 ** 27).fill(7);
        let last;
        for (let i = 0; i < 33; i++) last = {same(UINT8="data")}.out_UINT8.data;
        return [last.length, last.at(-1)];
    }})()"""
    assert every_type.run(code) == [2**27, 7]


# When things go wrong

FAKE = """(async (compute) => {
    const { loader } = await use("runtime.js");
    class Tensor {}
    const context = { compute };
    const graph = { loadByName: () => ({ initExecutionContext: () => context }) };
    let made = 0;
    const load = loader(models, async () => (made++, { graph, tensor: { Tensor } }));
    const said = [];
    for (let i = 0; i < 2; i++) {
      const model = await load("iris");
      for (let j = 0; j < 2; j++) {
        try { model.infer(model.example); } catch (error) { said.push(error.message); }
      }
    }
    return [made, said];
})"""


def test_after_a_trap_a_model_is_loaded_anew(node: Node) -> None:
    made, said = node.run(f"{FAKE}(() => {{ throw new WebAssembly.RuntimeError('unreachable') }})")
    trapped = (
        "iris: it stopped (unreachable): most likely its memory ran out; load('iris') begins anew"
    )
    assert made == 2
    assert said == [trapped, "iris: it stopped before; load('iris') begins anew"] * 2


def test_a_load_that_failed_is_tried_again(node: Node) -> None:
    code = """(async () => {
        const { loader } = await use("runtime.js");
        let tries = 0;
        const load = loader(models, async () => { throw new Error(`try ${++tries}`); });
        const said = [];
        for (let i = 0; i < 2; i++) await load("iris").catch((error) => said.push(error.message));
        return said;
    })()"""
    assert node.run(code) == ["try 1", "try 2"]


def test_an_engine_without_the_flavour_is_told_what_it_takes(node: Node) -> None:
    code = """(async () => {
        const { pickFlavour } = await use("flavour.js");
        const validate = WebAssembly.validate;
        WebAssembly.validate = () => false;
        try {
          return pickFlavour(["relaxed", "simd128"]);
        } finally {
          WebAssembly.validate = validate;
        }
    })()"""
    assert refused(node, code) == (
        "unsupported-operation",
        "this engine does not know the SIMD of these models (relaxed, simd128): it takes "
        "Chromium 91, Firefox 89, Safari 16.4 or Node 16.4, or newer",
    )


# As an npm package


def test_npm_installs_what_it_packs(package: Path, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which comes with Node")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    quiet = ("--no-audit", "--no-fund", "--loglevel=error", "--offline")
    packed = subprocess.run(
        [npm, "pack", "--json", "--pack-destination", tmp_path, package],
        capture_output=True,
        text=True,
        check=True,
    )
    (about,) = json.loads(packed.stdout)
    subprocess.run([npm, "install", *quiet, tmp_path / about["filename"]], cwd=tmp_path, check=True)
    code = (
        'import { load } from "nnlet-models"; import { openInferenceProtocol } from'
        ' "nnlet-models/oip"; const model = await load("iris");'
        " console.log(Object.keys(model.infer(model.example)), typeof openInferenceProtocol)"
    )
    (tmp_path / "use.js").write_text(code)
    done = subprocess.run(
        [find_node(), "use.js"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[ 'probabilities' ] function\n"


def test_the_example_prints_an_answer_or_what_is_wrong(package: Path) -> None:
    script = package / "examples" / "node" / "infer.js"
    good = subprocess.run([find_node(), script, "iris"], capture_output=True, text=True)
    assert good.stdout.splitlines()[0] == "iris: probabilities"
    assert good.stdout.splitlines()[1].startswith("setosa\t0.998")
    bad = subprocess.run([find_node(), script, "nope"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "Error: no model 'nope': there is diabetes, digits, iris\n"
