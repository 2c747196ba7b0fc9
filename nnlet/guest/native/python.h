// The few functions of CPython's stable C API that the extensions call, as they are on wasm32.
// componentize-py ships an interpreter without headers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PyObject PyObject;
typedef long Py_ssize_t;
typedef PyObject *(*Fast)(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

typedef struct {
    const char *name;
    Fast function;
    int flags;
    const char *doc;
} PyMethodDef;

typedef struct {
    struct {
        Py_ssize_t count;
        void *type;
    } object;
    void *init;
    Py_ssize_t index;
    void *copy;
    const char *name, *doc;
    Py_ssize_t size;
    PyMethodDef *methods;
    void *slots, *traverse, *clear, *free;
} PyModuleDef;

#define METH_FASTCALL 0x80
#define API_VERSION 1013
#define MODULE(NAME, METHODS)                                                                  \
    static PyModuleDef definition = {                                                          \
        .object = {1, 0}, .name = #NAME, .size = -1, .methods = METHODS};                      \
    __attribute__((visibility("default"))) PyObject *PyInit_##NAME(void) {                     \
        return PyModule_Create2(&definition, API_VERSION);                                     \
    }

PyObject *PyModule_Create2(PyModuleDef *, int);

void Py_DecRef(PyObject *);
void Py_IncRef(PyObject *);
PyObject *Py_BuildValue(const char *, ...);
PyObject *PyBool_FromLong(long);

void PyErr_Clear(void);
PyObject *PyErr_NoMemory(void);
PyObject *PyErr_Occurred(void);

PyObject *PyLong_FromLong(long);
PyObject *PyLong_FromLongLong(long long);
long PyLong_AsLong(PyObject *);

PyObject *PyFloat_FromDouble(double);
double PyOS_string_to_double(const char *, char **end, PyObject *overflow);
char *PyOS_double_to_string(double, char format, int precision, int flags, int *kind);
void PyMem_Free(void *);

PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t);
char *PyBytes_AsString(PyObject *);
Py_ssize_t PyBytes_Size(PyObject *);
int PyBytes_AsStringAndSize(PyObject *, char **, Py_ssize_t *);

PyObject *PyUnicode_DecodeLatin1(const char *, Py_ssize_t, const char *errors);
PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *errors);
PyObject *PyUnicode_AsLatin1String(PyObject *);
PyObject *PyUnicode_FromString(const char *);
PyObject *PyUnicode_InternFromString(const char *);
PyObject *PyUnicode_FromFormat(const char *, ...);
const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *);

PyObject *PyTuple_New(Py_ssize_t);
PyObject *PyTuple_GetItem(PyObject *, Py_ssize_t);  // borrowed
int PyTuple_SetItem(PyObject *, Py_ssize_t, PyObject *);  // takes the item
Py_ssize_t PyTuple_Size(PyObject *);

PyObject *PyList_New(Py_ssize_t);
PyObject *PyList_GetItem(PyObject *, Py_ssize_t);  // borrowed
int PyList_SetItem(PyObject *, Py_ssize_t, PyObject *);  // takes the item
int PyList_Append(PyObject *, PyObject *);
Py_ssize_t PyList_Size(PyObject *);

PyObject *PyDict_New(void);
PyObject *PyDict_GetItemWithError(PyObject *, PyObject *);  // borrowed
int PyDict_SetItem(PyObject *, PyObject *, PyObject *);

// C library, which the interpreter brings.
void *malloc(size_t);
void *realloc(void *, size_t);
void free(void *);
void *memcpy(void *, const void *, size_t);
int memcmp(const void *, const void *, size_t);

static inline PyObject *none(void) { return Py_BuildValue(""); }
