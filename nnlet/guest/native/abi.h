// What the host hands over (lists, strings) lies in memory that it asks for through
// cabi_realloc. Small things go to a scratch area that `forget` empties; one large thing can be
// sent straight into a bytes object, so that a body or a tensor is copied once.
//
// Specification: component-model/design/mvp/CanonicalABI.md.
#pragma once

#include "python.h"

typedef struct {
    char *data;
    size_t size;
} Bytes;  // also a string

#define IMPORT(MODULE, NAME) __attribute__((import_module(MODULE), import_name(NAME)))

typedef struct Block {
    struct Block *next;
} Block;

static _Alignas(8) char scratch[8192];
static size_t scratch_used;
static Block *blocks;  // what did not fit

static char *place;       // where the next thing goes, if not into the scratch area
static bool make_bytes;   // or: into a new bytes object,
static PyObject *made;    // this one

static void forget(void) {
    scratch_used = 0;
    while (blocks) {
        Block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

// The host fills only what it asks for here, and asks once for each thing.
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(
    void *old, size_t old_size, size_t align, size_t size) {
    if (place) {
        char *found = place;
        place = 0;
        return found;
    }
    if (make_bytes) {
        make_bytes = false;
        made = PyBytes_FromStringAndSize(0, (Py_ssize_t)size);
        if (!made) __builtin_trap();  // out of memory, in the middle of a call
        return PyBytes_AsString(made);
    }
    size_t start = (scratch_used + align - 1) & -align;
    if (start + size <= sizeof scratch) {
        scratch_used = start + size;
        return scratch + start;
    }
    Block *block = malloc(sizeof(Block) + 8 + size);
    if (!block) __builtin_trap();
    block->next = blocks;
    blocks = block;
    return (char *)(((uintptr_t)(block + 1) + 7) & -8);
}
