// wasi:nn without the generated bindings: one inference in one call from Python.
// nnlet/guest/inference.py is its twin, which does the same through the bindings.
#include "abi.h"

#define TENSOR "wasi:nn/tensor@0.2.0-rc-2024-10-28"
#define INFERENCE "wasi:nn/inference@0.2.0-rc-2024-10-28"
#define ERRORS "wasi:nn/errors@0.2.0-rc-2024-10-28"

typedef struct {
    Bytes name;
    int32_t tensor;
} Named;

typedef struct {
    uint8_t failed;
    union {
        struct {
            Named *data;
            size_t size;
        };
        int32_t error;
    };
} Answers;

typedef struct {
    uint32_t *data;
    size_t size;
} Dimensions;

IMPORT(TENSOR, "[constructor]tensor")
int32_t tensor_new(uint32_t *, size_t, int32_t type, const char *, size_t);
IMPORT(TENSOR, "[method]tensor.dimensions") void tensor_dimensions(int32_t, Dimensions *);
IMPORT(TENSOR, "[method]tensor.ty") int32_t tensor_type(int32_t);
IMPORT(TENSOR, "[method]tensor.data") void tensor_data(int32_t, Bytes *);
IMPORT(TENSOR, "[resource-drop]tensor") void tensor_drop(int32_t);
IMPORT(INFERENCE, "[method]graph-execution-context.compute")
void context_compute(int32_t, Named *, size_t, Answers *);
IMPORT(ERRORS, "[method]error.code") int32_t error_code(int32_t);
IMPORT(ERRORS, "[method]error.data") void error_data(int32_t, Bytes *);
IMPORT(ERRORS, "[resource-drop]error") void error_drop(int32_t);

static const char *const CODES[] = {
    "invalid-argument", "invalid-encoding", "timeout",  "runtime-error", "unsupported-operation",
    "too-large",        "not-found",        "security", "unknown"};

enum { MOST_INPUTS = 256, MOST_DIMENSIONS = 64 };

// The tensor of (name, shape, type, data), -1 if that is not what it is.
static int32_t to_wasi(PyObject *input, Bytes *name) {
    uint32_t shape[MOST_DIMENSIONS];
    Py_ssize_t length, size;
    const char *text = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(input, 0), &length);
    PyObject *dims = PyTuple_GetItem(input, 1);
    char *data;
    if (!text || PyBytes_AsStringAndSize(PyTuple_GetItem(input, 3), &data, &size)) return -1;
    *name = (Bytes){(char *)text, (size_t)length};
    Py_ssize_t rank = PyTuple_Size(dims);
    if (rank > MOST_DIMENSIONS) __builtin_trap();
    for (Py_ssize_t i = 0; i < rank; i++)
        shape[i] = (uint32_t)PyLong_AsLong(PyTuple_GetItem(dims, i));
    int32_t type = (int32_t)PyLong_AsLong(PyTuple_GetItem(input, 2));
    return tensor_new(shape, (size_t)rank, type, data, (size_t)size);
}

// (type, shape, data) of a tensor, which is dropped.
static PyObject *from_wasi(int32_t tensor) {
    Bytes data;
    Dimensions dims;
    make_bytes = true;
    tensor_data(tensor, &data);
    make_bytes = false;
    PyObject *bytes = made ? made : PyBytes_FromStringAndSize(0, 0);
    made = 0;
    tensor_dimensions(tensor, &dims);
    PyObject *shape = PyTuple_New((Py_ssize_t)dims.size);
    for (size_t i = 0; i < dims.size; i++)
        PyTuple_SetItem(shape, (Py_ssize_t)i, PyLong_FromLong((long)dims.data[i]));
    PyObject *found = PyTuple_New(3);
    PyTuple_SetItem(found, 0, PyLong_FromLong(tensor_type(tensor)));
    PyTuple_SetItem(found, 1, shape);
    PyTuple_SetItem(found, 2, bytes);
    tensor_drop(tensor);
    return found;
}

// (code, message) of an error, which is dropped.
static PyObject *refusal(int32_t error) {
    Bytes text;
    error_data(error, &text);
    PyObject *found = PyTuple_New(2);
    PyTuple_SetItem(found, 0, PyUnicode_FromString(CODES[error_code(error)]));
    PyTuple_SetItem(found, 1, PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, 0));
    error_drop(error);
    return found;
}

// compute(context, inputs) -> a list of answers (type, shape, data), or (code, message)
//
// `inputs` is a list of (name, shape, type, data). Types are wasi:nn's numbers.
static PyObject *nn_compute(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Named inputs[MOST_INPUTS];
    Py_ssize_t size = PyList_Size(arguments[1]);
    if (size > MOST_INPUTS) __builtin_trap();
    for (Py_ssize_t i = 0; i < size; i++) {
        inputs[i].tensor = to_wasi(PyList_GetItem(arguments[1], i), &inputs[i].name);
        if (inputs[i].tensor < 0) {
            while (i) tensor_drop(inputs[--i].tensor);
            return 0;
        }
    }
    Answers answers;
    context_compute((int32_t)PyLong_AsLong(arguments[0]), inputs, (size_t)size, &answers);
    PyObject *found;
    if (answers.failed) {
        found = refusal(answers.error);
    } else {
        found = PyList_New((Py_ssize_t)answers.size);
        for (size_t i = 0; i < answers.size; i++)
            PyList_SetItem(found, (Py_ssize_t)i, from_wasi(answers.data[i].tensor));
    }
    forget();
    return found;
}

static PyMethodDef methods[] = {
    {"compute", nn_compute, METH_FASTCALL, 0},
    {0},
};

MODULE(nnlet_nn, methods)
