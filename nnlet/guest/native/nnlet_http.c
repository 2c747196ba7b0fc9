// wasi:http without the generated bindings: a whole request in one call from Python, a whole
// answer in another. nnlet/guest/http.py is its twin, which does the same through the bindings
// and takes over where `read` gives up.
#include "abi.h"

#define TYPES "wasi:http/types@0.2.6"
#define STREAMS "wasi:io/streams@0.2.6"

typedef struct {
    uint8_t tag;
    Bytes value;
} Optional;  // a method and an optional string look the same

typedef struct {
    uint8_t failed;
    union {
        int32_t handle;
        Bytes list;
        struct {
            uint8_t error;  // of a stream: 0 if an error resource follows, 1 if it is closed
            int32_t error_handle;
        };
    };
} Result;

typedef struct {
    _Alignas(8) uint8_t failed;
    union {
        _Alignas(8) uint64_t permit;
        struct {
            uint8_t error;
            int32_t error_handle;
        };
    };
} Permit;

typedef struct {
    Bytes name, value;
} Field;

typedef struct {
    Field *data;
    size_t size;
} Fields;

IMPORT(TYPES, "[method]incoming-request.method") void request_method(int32_t, Optional *);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(int32_t, Optional *);
IMPORT(TYPES, "[method]incoming-request.headers") int32_t request_headers(int32_t);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(int32_t, Result *);
IMPORT(TYPES, "[method]incoming-body.stream") void body_stream(int32_t, Result *);
IMPORT(TYPES, "[method]fields.entries") void fields_entries(int32_t, Fields *);
IMPORT(TYPES, "[static]fields.from-list") void fields_from_list(Field *, size_t, Result *);
IMPORT(TYPES, "[resource-drop]fields") void fields_drop(int32_t);
IMPORT(TYPES, "[resource-drop]incoming-body") void incoming_body_drop(int32_t);
IMPORT(TYPES, "[constructor]outgoing-response") int32_t response_new(int32_t);
IMPORT(TYPES, "[method]outgoing-response.set-status-code")
int32_t response_status(int32_t, int32_t);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(int32_t, Result *);
IMPORT(TYPES, "[resource-drop]outgoing-response") void response_drop(int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(int32_t, Result *);
IMPORT(TYPES, "[static]outgoing-body.finish") void body_finish(int32_t, int32_t, int32_t, void *);
IMPORT(TYPES, "[resource-drop]outgoing-body") void outgoing_body_drop(int32_t);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(
    int32_t, int32_t failed, int32_t, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(int32_t, int64_t, Result *);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_stream_drop(int32_t);
IMPORT(STREAMS, "[method]output-stream.check-write") void stream_permit(int32_t, Permit *);
IMPORT(STREAMS, "[method]output-stream.write")
void stream_write(int32_t, const char *, size_t, Result *);
IMPORT(STREAMS, "[method]output-stream.subscribe") int32_t stream_subscribe(int32_t);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_stream_drop(int32_t);
IMPORT("wasi:io/poll@0.2.6", "[method]pollable.block") void pollable_block(int32_t);
IMPORT("wasi:io/poll@0.2.6", "[resource-drop]pollable") void pollable_drop(int32_t);
IMPORT("wasi:io/error@0.2.6", "[resource-drop]error") void error_drop(int32_t);

static const char *const METHODS[] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
enum { GET, HEAD, OTHER = 9 };

static PyObject *method_name(int tag, Bytes other) {
    static PyObject *names[OTHER];
    if (tag >= OTHER) return PyUnicode_DecodeUTF8(other.data, (Py_ssize_t)other.size, 0);
    if (!names[tag]) names[tag] = PyUnicode_InternFromString(METHODS[tag]);
    Py_IncRef(names[tag]);
    return names[tag];
}

static bool is(Bytes found, const char *name, size_t size) {
    return found.size == size && memcmp(found.data, name, size) == 0;
}

// The value of Content-Length: -1 if there is none, -2 if it is not for us to judge.
static long content_length(Bytes value, long seen) {
    if (seen != -1 || value.size == 0 || value.size > 9) return -2;
    long length = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') return -2;
        length = 10 * length + value.data[i] - '0';
    }
    return length;
}

static bool add_header(PyObject *headers, Field field) {
    for (size_t i = 0; i < field.name.size; i++) {
        char c = field.name.data[i];
        if (c >= 'A' && c <= 'Z') field.name.data[i] = (char)(c + 'a' - 'A');
    }
    PyObject *name = PyUnicode_DecodeUTF8(field.name.data, (Py_ssize_t)field.name.size, 0);
    PyObject *value = PyUnicode_DecodeLatin1(field.value.data, (Py_ssize_t)field.value.size, 0);
    bool ok = name && value;
    PyObject *before = ok ? PyDict_GetItemWithError(headers, name) : 0;
    if (before) {
        PyObject *both = PyUnicode_FromFormat("%U, %U", before, value);
        Py_DecRef(value);
        value = both;
        ok = both;
    }
    ok = ok && PyDict_SetItem(headers, name, value) == 0;
    if (name) Py_DecRef(name);
    if (value) Py_DecRef(value);
    return ok;
}

// All headers, names in lower case, several of one name joined; sets `length`.
static PyObject *read_headers(int32_t request, long *length) {
    int32_t handle = request_headers(request);
    Fields fields;
    fields_entries(handle, &fields);
    fields_drop(handle);
    PyObject *headers = PyDict_New();
    *length = -1;
    for (size_t i = 0; headers && i < fields.size; i++) {
        if (!add_header(headers, fields.data[i])) {
            Py_DecRef(headers);
            return 0;
        }
        if (is(fields.data[i].name, "content-length", 14))
            *length = content_length(fields.data[i].value, *length);
    }
    return headers;
}

static void drop_error(const Result *result) {
    if (result->error == 0) error_drop(result->error_handle);
}

// A body of `length` bytes, or the number of those that came if it ended early.
static PyObject *read_body(int32_t request, long length) {
    PyObject *body = PyBytes_FromStringAndSize(0, length);
    if (!body || length == 0) return body;
    char *data = PyBytes_AsString(body);
    Result result;
    request_consume(request, &result);
    int32_t incoming = result.handle;
    body_stream(incoming, &result);
    int32_t stream = result.handle;
    long size = 0;
    while (size < length) {
        place = data + size;
        stream_read(stream, length - size, &result);
        place = 0;
        if (result.failed) {
            drop_error(&result);
            break;
        }
        size += (long)result.list.size;
    }
    input_stream_drop(stream);
    incoming_body_drop(incoming);
    if (size == length) return body;
    Py_DecRef(body);
    return PyLong_FromLong(size);
}

// read(request, limit) -> (method, path and query or None, headers, body)
//
// The body is bytes; or how many came, if it ended early; or None if it was not touched: its
// length is unknown, above the limit, or no number.
static PyObject *http_read(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    int32_t request = (int32_t)PyLong_AsLong(arguments[0]);
    long limit = PyLong_AsLong(arguments[1]), length;
    Optional method, path;
    request_method(request, &method);
    request_path(request, &path);
    PyObject *parts[4] = {
        method_name(method.tag, method.value),
        path.tag ? PyUnicode_DecodeUTF8(path.value.data, (Py_ssize_t)path.value.size, 0) : none(),
        read_headers(request, &length),
    };
    forget();
    if (method.tag == GET || method.tag == HEAD) length = 0;  // where it is, it stays
    if (parts[0] && parts[1] && parts[2])
        parts[3] = length < 0 || length > limit ? none() : read_body(request, length);
    PyObject *found = parts[3] ? PyTuple_New(4) : 0;
    for (int i = 0; i < 4; i++) {
        if (found)
            PyTuple_SetItem(found, i, parts[i]);
        else if (parts[i])
            Py_DecRef(parts[i]);
    }
    return found;
}

static Bytes utf8(PyObject *text) {
    Py_ssize_t size = 0;
    const char *data = PyUnicode_AsUTF8AndSize(text, &size);
    return (Bytes){(char *)data, (size_t)size};
}

enum { OWN_FIELDS = 2 };

// The response without its body, -1 if HTTP does not allow it.
static int32_t new_response(long status, PyObject *kind, PyObject *headers, Py_ssize_t length) {
    Py_ssize_t extra = PyTuple_Size(headers), made_values = 0;
    if (status < 100 || status > 999 || extra < 0) {
        PyErr_Clear();
        return -1;
    }
    Field *fields = malloc((size_t)(extra + OWN_FIELDS) * sizeof *fields);
    PyObject **values = malloc((size_t)(extra + 1) * sizeof *values);
    if (!fields || !values) __builtin_trap();
    size_t used = 0;
    char digits[12];
    fields[used++] = (Field){{"content-type", 12}, utf8(kind)};
    if (length) {  // none for HEAD and 204, whose length would be a lie
        char *end = digits + sizeof digits, *start = end;
        for (Py_ssize_t left = length; left; left /= 10) *--start = (char)('0' + left % 10);
        fields[used++] = (Field){{"content-length", 14}, {start, (size_t)(end - start)}};
    }
    bool ok = fields[0].value.data;
    for (Py_ssize_t i = 0; ok && i < extra; i++) {
        PyObject *pair = PyTuple_GetItem(headers, i);
        PyObject *value = PyUnicode_AsLatin1String(PyTuple_GetItem(pair, 1));
        ok = value;
        if (!ok) break;
        values[made_values++] = value;
        Bytes name = utf8(PyTuple_GetItem(pair, 0));
        ok = name.data;
        Bytes bytes = {PyBytes_AsString(value), (size_t)PyBytes_Size(value)};
        fields[used++] = (Field){name, bytes};
    }
    Result result = {.failed = 1};
    if (ok) fields_from_list(fields, used, &result);
    while (made_values) Py_DecRef(values[--made_values]);
    free(values);
    free(fields);
    PyErr_Clear();
    if (result.failed) return -1;
    int32_t response = response_new(result.handle);
    if (status != 200 && response_status(response, (int32_t)status)) {
        response_drop(response);
        return -1;
    }
    return response;
}

static uint64_t permit_of(int32_t stream, bool *closed) {
    Permit permit;
    stream_permit(stream, &permit);
    *closed = permit.failed;
    if (!permit.failed) return permit.permit;
    if (permit.error == 0) error_drop(permit.error_handle);
    return 0;
}

static bool write_piece(int32_t stream, const char *data, size_t size) {
    Result result;
    stream_write(stream, data, size, &result);
    if (result.failed) drop_error(&result);
    return !result.failed;
}

// Piece by piece, as the client takes it. False if it went away.
static bool write_pieces(int32_t stream, const char *data, size_t size) {
    int32_t writable = stream_subscribe(stream);
    bool closed = false;
    while (size && !closed) {
        uint64_t permit = permit_of(stream, &closed);
        if (closed) break;
        if (permit == 0) {
            pollable_block(writable);
            continue;
        }
        size_t piece = permit < size ? (size_t)permit : size;
        closed = !write_piece(stream, data, piece);
        data += piece;
        size -= piece;
    }
    pollable_drop(writable);
    return !closed;
}

static void finish(int32_t body) {
    _Alignas(8) char result[64];  // an error-code may be in it, which nobody is left to read
    body_finish(body, 0, 0, result);
}

static void set(int32_t out, int32_t response) {
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
}

// send(out, status, content type, headers, body) -> whether HTTP allows it; if not, nothing
// was sent. `headers` is a tuple of pairs of text.
static PyObject *http_send(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    int32_t out = (int32_t)PyLong_AsLong(arguments[0]);
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(arguments[4], &data, &size)) return 0;
    int32_t response = new_response(PyLong_AsLong(arguments[1]), arguments[2], arguments[3], size);
    if (response < 0) return PyBool_FromLong(0);
    Result result;
    response_body(response, &result);
    int32_t body = result.handle;
    body_write(body, &result);
    int32_t stream = result.handle;
    bool closed, whole;
    if (permit_of(stream, &closed) < (uint64_t)size) {
        set(out, response);
        whole = write_pieces(stream, data, (size_t)size);
        output_stream_drop(stream);
        whole ? finish(body) : outgoing_body_drop(body);
    } else {  // it fits the host's buffer: head and body leave together, and nothing waits
        if (size) write_piece(stream, data, (size_t)size);
        output_stream_drop(stream);
        finish(body);
        set(out, response);
    }
    forget();
    return PyBool_FromLong(1);
}

static PyMethodDef methods[] = {
    {"read", http_read, METH_FASTCALL, 0},
    {"send", http_send, METH_FASTCALL, 0},
    {0},
};

MODULE(nnlet_http, methods)
