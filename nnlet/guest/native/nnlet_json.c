// JSON's numbers in C: reading a request whose tensors are lists of them, printing an answer.
//
// `read` takes only what is plainly right, and gives up on everything else: nnlet/guest's
// jsontext.py and tensors.py are its twins, which then read it again and say what is wrong and
// where. So no error message is made here.
//
// Numbers to double: N. Mushtak and D. Lemire, "Fast number parsing without fallback", 2023.
#include "powers.h"
#include "python.h"

typedef struct {
    const char *at, *end;
} Text;

enum { MOST_LEVELS = 16, MOST_DIGITS = 19 };

static bool is_digit(const Text *text) {
    return text->at < text->end && *text->at >= '0' && *text->at <= '9';
}

static bool skip(Text *text, char c) {
    if (text->at == text->end || *text->at != c) return false;
    text->at++;
    return true;
}

static void skip_space(Text *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n' || *text->at == '\r' ||
                                    *text->at == '\t'))
        text->at++;
}

// Numbers

// The high half of a product, and its low half in `low`.
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *low) {
    uint64_t a1 = a >> 32, a0 = (uint32_t)a, b1 = b >> 32, b0 = (uint32_t)b;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), cross = a0 * b1 + (uint32_t)middle;
    __asm__("" : "+r"(cross));  // else clang sees what this is, and calls a library for it
    *low = cross << 32 | (uint32_t)(a0 * b0);
    return a1 * b1 + (middle >> 32) + (cross >> 32);
}

// digits * 10^power as the nearest double, ties to even. False where that takes more than this.
static bool to_double(uint64_t digits, int power, double *found) {
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (digits == 0) return *found = 0, true;
    if (digits <= 1ull << 53 && -22 <= power && power <= 22) {
        double value = (double)digits;
        *found = power < 0 ? value / exact[-power] : value * exact[power];
        return true;
    }
    if (power < FIRST_POWER || power > LAST_POWER) return false;
    int zeros = __builtin_clzll(digits);
    uint64_t w = digits << zeros;
    const uint64_t *scale = POWERS[power - FIRST_POWER];
    uint64_t lower, rest, upper = multiply(w, scale[0], &lower);
    if ((upper & 0x1FF) == 0x1FF) {  // the rest of the power may matter
        uint64_t more = multiply(w, scale[1], &rest);
        lower += more;
        upper += lower < more;
    }
    if (lower == ~0ull && (power < -27 || power > 55)) return false;
    int top = (int)(upper >> 63), shift = top + 64 - 52 - 3;
    uint64_t mantissa = upper >> shift;
    int exponent = ((217706 * power) >> 16) + 63 + top - zeros + 1023;
    if (exponent <= 0) return false;  // subnormal
    // Exactly between two doubles: to the even one.
    if (lower <= 1 && power >= -4 && power <= 23 && (mantissa & 3) == 1 &&
        mantissa << shift == upper)
        mantissa &= ~1ull;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >= 2ull << 52) {
        mantissa = 1ull << 52;
        exponent++;
    }
    if (exponent >= 0x7FF) return false;
    uint64_t bits = (uint64_t)exponent << 52 | (mantissa & ((1ull << 52) - 1));
    __builtin_memcpy(found, &bits, 8);
    return true;
}

// The digits at `text`, appended to `digits` as far as they fit; false for none.
static bool read_digits(Text *text, uint64_t *digits, int *count) {
    if (!is_digit(text)) return false;
    for (; is_digit(text); text->at++) {
        *count += *count || *text->at != '0';  // zeros in front do not count
        if (*count <= MOST_DIGITS) *digits = 10 * *digits + (uint64_t)(*text->at - '0');
    }
    return true;
}

// A number. `whole`: it has neither a point nor an exponent.
static bool read_number(Text *text, double *found, bool *whole) {
    bool negative = skip(text, '-');
    uint64_t digits = 0;
    int count = 0, power = 0;
    const char *start = text->at;
    if (!read_digits(text, &digits, &count) || (*start == '0' && text->at > start + 1))
        return false;
    *whole = true;
    if (skip(text, '.')) {
        *whole = false;
        const char *point = text->at;
        if (!read_digits(text, &digits, &count)) return false;
        power = (int)(point - text->at);
    }
    if (text->at < text->end && (*text->at | 0x20) == 'e') {
        text->at++;
        *whole = false;
        bool down = skip(text, '-');
        if (!down) skip(text, '+');
        uint64_t exponent = 0;
        int places = 0;
        if (!read_digits(text, &exponent, &places) || places > 4)
            return false;
        power += down ? -(int)exponent : (int)exponent;
    }
    bool fits = count <= MOST_DIGITS;
    if (*whole && !(fits && digits <= 1ull << 53)) return false;  // a double does not hold it
    if (!(fits && to_double(digits, power, found))) {
        *found = PyOS_string_to_double(start, (char **)&start, 0);  // a bytes object ends in 0
        if (__builtin_isinf(*found)) return false;
    }
    if (negative && !(*whole && digits == 0)) *found = -*found;  // as a whole number, -0 is 0
    return true;
}

// Lists of numbers: one flat array, and the lengths that the brackets show

typedef struct {
    double *data;
    Py_ssize_t size, room;
    Py_ssize_t shape[MOST_LEVELS];  // -1: not known yet
    int rank;                       // 0: not known yet
    bool whole;                     // every number is
} Numbers;

static bool grow(Numbers *numbers) {
    Py_ssize_t room = numbers->room ? 2 * numbers->room : 256;
    double *data = realloc(numbers->data, (size_t)room * sizeof(double));
    if (!data) return false;
    numbers->data = data;
    numbers->room = room;
    return true;
}

// What follows a '['. All lists of one depth have one length, and numbers stand at one depth.
static bool read_rows(Text *text, Numbers *numbers, int depth) {
    if (depth >= MOST_LEVELS || (numbers->rank && depth >= numbers->rank)) return false;
    Py_ssize_t length = 0;
    do {
        skip_space(text);
        if (skip(text, '[')) {
            if (numbers->rank == depth + 1 || !read_rows(text, numbers, depth + 1)) return false;
        } else {
            if (!numbers->rank) numbers->rank = depth + 1;
            if (numbers->rank != depth + 1) return false;
            if (numbers->size == numbers->room && !grow(numbers)) return false;
            bool whole;
            if (!read_number(text, numbers->data + numbers->size++, &whole)) return false;
            numbers->whole &= whole;
        }
        length++;
        skip_space(text);
    } while (skip(text, ','));
    if (!skip(text, ']')) return false;
    if (numbers->shape[depth] < 0) numbers->shape[depth] = length;
    return numbers->shape[depth] == length;
}

// (whether all are whole, shape, doubles): a tuple, which JSON has not.
static PyObject *read_numbers(Text *text) {
    Numbers numbers = {.whole = true};
    for (int i = 0; i < MOST_LEVELS; i++) numbers.shape[i] = -1;
    PyObject *found = 0;
    if (read_rows(text, &numbers, 0)) {
        PyObject *shape = PyTuple_New(numbers.rank);
        for (int i = 0; i < numbers.rank; i++)
            PyTuple_SetItem(shape, i, PyLong_FromLong((long)numbers.shape[i]));
        found = PyTuple_New(3);
        PyTuple_SetItem(found, 0, PyBool_FromLong(numbers.whole));
        PyTuple_SetItem(found, 1, shape);
        PyTuple_SetItem(
            found, 2,
            PyBytes_FromStringAndSize(
                (const char *)numbers.data, numbers.size * (Py_ssize_t)sizeof(double)));
    }
    free(numbers.data);
    return found;
}

// All other values. Null, without an exception: give up.

static PyObject *read_value(Text *text, int depth);

// What follows a '"', in ASCII without escapes.
static PyObject *read_string(Text *text) {
    const char *start = text->at;
    for (; text->at < text->end && *text->at != '"'; text->at++)
        if (*text->at < ' ' || *text->at == '\\') return 0;  // char is signed: nor above 127
    Py_ssize_t size = text->at - start;
    return skip(text, '"') ? PyUnicode_DecodeLatin1(start, size, 0) : 0;
}

static bool read_member(Text *text, PyObject *object, int depth) {
    skip_space(text);
    const char *start = text->at;
    PyObject *name = skip(text, '"') ? read_string(text) : 0, *value = 0;
    if (!name) return false;
    bool data = text->at - start == 6 && memcmp(start, "\"data\"", 6) == 0;
    skip_space(text);
    if (skip(text, ':')) {
        skip_space(text);
        const char *before = text->at;
        if (data && skip(text, '[')) value = read_numbers(text);
        if (!value) {
            text->at = before;
            value = read_value(text, depth + 1);
        }
    }
    bool ok = value && PyDict_SetItem(object, name, value) == 0;
    Py_DecRef(name);
    if (value) Py_DecRef(value);
    return ok;
}

static PyObject *read_object(Text *text, int depth) {
    PyObject *object = PyDict_New();
    skip_space(text);
    if (skip(text, '}')) return object;
    do {
        if (!read_member(text, object, depth)) {
            Py_DecRef(object);
            return 0;
        }
        skip_space(text);
    } while (skip(text, ','));
    if (skip(text, '}')) return object;
    Py_DecRef(object);
    return 0;
}

static PyObject *read_list(Text *text, int depth) {
    PyObject *list = PyList_New(0);
    skip_space(text);
    if (skip(text, ']')) return list;
    do {
        PyObject *item = read_value(text, depth + 1);
        bool ok = item && PyList_Append(list, item) == 0;
        if (item) Py_DecRef(item);
        if (!ok) {
            Py_DecRef(list);
            return 0;
        }
        skip_space(text);
    } while (skip(text, ','));
    if (skip(text, ']')) return list;
    Py_DecRef(list);
    return 0;
}

static bool skip_word(Text *text, const char *word, Py_ssize_t size) {
    if (text->end - text->at < size || memcmp(text->at, word, (size_t)size)) return false;
    text->at += size;
    return true;
}

static PyObject *read_value(Text *text, int depth) {
    if (depth >= MOST_LEVELS) return 0;
    skip_space(text);
    if (skip(text, '{')) return read_object(text, depth);
    if (skip(text, '[')) return read_list(text, depth);
    if (skip(text, '"')) return read_string(text);
    if (text->at == text->end) return 0;
    if (skip_word(text, "true", 4)) return PyBool_FromLong(1);
    if (skip_word(text, "false", 5)) return PyBool_FromLong(0);
    if (skip_word(text, "null", 4)) return none();
    double value;
    bool whole;
    if (!read_number(text, &value, &whole)) return 0;
    return whole ? PyLong_FromLongLong((long long)value) : PyFloat_FromDouble(value);
}

// read(body) -> the value; a list of numbers named "data" as (whether all are whole, shape,
// doubles). None if the body is not JSON, or takes more than this to read.
static PyObject *json_read(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(arguments[0], &data, &size)) return 0;
    Text text = {data, data + size};
    PyObject *found = read_value(&text, 0);
    if (!found) {
        PyErr_Clear();
        return none();
    }
    skip_space(&text);
    if (text.at == text.end) return found;
    Py_DecRef(found);
    return none();
}

// pack(doubles, struct's code) -> bytes, None if one is out of range. Codes of whole numbers
// are for doubles that are whole.
#define INTEGERS(CODE, TYPE, LEAST, BEYOND)                                                    \
    case CODE:                                                                                 \
        for (size_t i = 0; i < size; i++) {                                                    \
            if (!(from[i] >= LEAST && from[i] < BEYOND)) goto out_of_range;                    \
            ((TYPE *)to)[i] = (TYPE)from[i];                                                   \
        }                                                                                      \
        break;

static Py_ssize_t size_of(char code) {
    switch (code) {
        case 'b': case 'B': return 1;
        case 'h': case 'H': return 2;
        case 'i': case 'I': case 'f': return 4;
        default: return 8;
    }
}

static PyObject *json_pack(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    char *data;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(arguments[0], &data, &bytes)) return 0;
    const char code = *PyUnicode_AsUTF8AndSize(arguments[1], 0);
    size_t size = (size_t)bytes / sizeof(double);
    const double *from = (const double *)data;
    PyObject *packed = PyBytes_FromStringAndSize(0, (Py_ssize_t)size * size_of(code));
    if (!packed) return 0;
    char *to = PyBytes_AsString(packed);
    switch (code) {
        INTEGERS('b', int8_t, -128, 128)
        INTEGERS('B', uint8_t, 0, 256)
        INTEGERS('h', int16_t, -32768, 32768)
        INTEGERS('H', uint16_t, 0, 65536)
        INTEGERS('i', int32_t, -2147483648.0, 2147483648.0)
        INTEGERS('I', uint32_t, 0, 4294967296.0)
        INTEGERS('q', int64_t, -9223372036854775808.0, 9223372036854775808.0)
        INTEGERS('Q', uint64_t, 0, 18446744073709551616.0)
        case 'f':
            for (size_t i = 0; i < size; i++) {
                float value = (float)from[i];
                if (__builtin_isinf(value)) goto out_of_range;
                ((float *)to)[i] = value;
            }
            break;
        case 'd': memcpy(to, from, (size_t)bytes); break;
        default: goto out_of_range;
    }
    return packed;
out_of_range:
    Py_DecRef(packed);
    return none();
}

// Printing

// |value| as nine digits d.dddddddd * 10^exponent, as printf("%.8e") rounds. False where the
// first 64 bits of the power do not tell on which side of a half it lies.
static bool nine_digits(float value, uint32_t *digits, int *exponent) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    uint32_t biased = bits >> 23 & 0xFF, fraction = bits & 0x7FFFFF;
    uint32_t small = biased ? fraction | 0x800000 : fraction;
    int zeros = __builtin_clz(small) - 8;
    uint64_t mantissa = (uint64_t)small << zeros;  // 24 bits
    int binary = (int)(biased ? biased : 1) - 150 - zeros;  // value = mantissa * 2^binary
    int guess = ((binary + 23) * 78913) >> 18;  // log10(2) of it, rounded down: or one less
    for (;; guess++) {
        int power = 8 - guess;
        // 10^power = (scale + less than 1) * 2^shift
        uint64_t scale = POWERS[power - FIRST_POWER][0];
        int point = -(binary + ((217706 * power) >> 16) - 63) - 32;  // bits behind it
        // value * 10^power = (product + less than 2) / 2^point
        uint64_t product = mantissa * (scale >> 32) + (mantissa * (uint32_t)scale >> 32);
        if (point < 3 || point > 60) return false;
        uint64_t whole = product >> point, half = 1ull << (point - 1);
        if (whole >= 1000000000) continue;
        uint64_t rest = product & (2 * half - 1);
        if (rest <= half && half - rest <= 2) return false;
        whole += rest > half;
        if (whole < 100000000) return false;  // just below a power of ten: too close to tell
        *exponent = guess + (whole == 1000000000);
        *digits = whole == 1000000000 ? 100000000 : (uint32_t)whole;
        return true;
    }
}

static char *put(char *to, const char *from, int size) {
    for (int i = 0; i < size; i++) *to++ = from[i];
    return to;
}

// As printf("%.9g") prints it, in at most 15 characters.
static char *print_float(char *to, float value) {
    if (__builtin_signbit(value)) *to++ = '-';
    if (value == 0) return put(to, "0", 1);
    uint32_t number;
    int exponent;
    if (!nine_digits(value, &number, &exponent)) {
        char *text = PyOS_double_to_string(__builtin_fabs((double)value), 'g', 9, 0, 0);
        for (const char *c = text; *c; c++) *to++ = *c;
        PyMem_Free(text);
        return to;
    }
    char digits[9];
    for (int i = 9; i-- > 0; number /= 10) digits[i] = (char)('0' + number % 10);
    int size = 9;
    while (size > 1 && digits[size - 1] == '0') size--;
    if (exponent >= 9 || exponent < -4) {
        *to++ = digits[0];
        if (size > 1) to = put(put(to, ".", 1), digits + 1, size - 1);
        *to++ = 'e';
        *to++ = exponent < 0 ? '-' : '+';
        int places = exponent < 0 ? -exponent : exponent;
        *to++ = (char)('0' + places / 10);
        *to++ = (char)('0' + places % 10);
        return to;
    }
    if (exponent < 0) {
        to = put(put(to, "0.", 2), "000", -exponent - 1);
        return put(to, digits, size);
    }
    int before = exponent + 1;
    if (size <= before) return put(put(to, digits, size), "00000000", before - size);
    to = put(put(to, digits, before), ".", 1);
    return put(to, digits + before, size - before);
}

enum { MOST_CHARACTERS = 16 };  // of one float and its comma

// print_floats(data) -> "[1,2.5]" of FP32, None if one is no number that JSON has.
static PyObject *json_print_floats(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    char *data;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(arguments[0], &data, &bytes)) return 0;
    size_t size = (size_t)bytes / sizeof(float);
    char *text = malloc(size * MOST_CHARACTERS + 2), *end = text;
    if (!text) return PyErr_NoMemory();
    *end++ = '[';
    for (size_t i = 0; i < size; i++) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        if (!__builtin_isfinite(value)) {
            free(text);
            return none();
        }
        if (i) *end++ = ',';
        end = print_float(end, value);
    }
    *end++ = ']';
    PyObject *found = PyUnicode_DecodeLatin1(text, end - text, 0);
    free(text);
    return found;
}

static PyMethodDef methods[] = {
    {"read", json_read, METH_FASTCALL, 0},
    {"pack", json_pack, METH_FASTCALL, 0},
    {"print_floats", json_print_floats, METH_FASTCALL, 0},
    {0},
};

MODULE(nnlet_json, methods)
