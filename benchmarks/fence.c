// A heap for fuzzing, in place of arena.c: every block ends where a page begins that may not be
// touched, so a read or write behind it (and, within a page, far before it) stops the process.
// A freed block may not be touched either.
#include <string.h>
#include <sys/mman.h>

#include "nnlet.h"

#define PAGE ((size_t)4096)
#define LIMIT ((i64)1 << 30)  // what all blocks together may take: more is "no memory"

typedef struct block {
  u8 *start;
  size_t mapped;
  void *payload;
  int scratch;
} block;

static block blocks[4096];
static i64 used;

static void *take(i64 bytes, int scratch) {
  if (bytes < 0 || used + bytes > LIMIT) return NULL;
  const size_t payload = ((size_t)bytes + 15) & ~(size_t)15;
  const size_t mapped = ((payload + PAGE - 1) & ~(PAGE - 1)) + PAGE;
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
    block *b = &blocks[i];
    if (b->start) continue;
    u8 *start = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    mprotect(start + mapped - PAGE, PAGE, PROT_NONE);
    *b = (block){.start = start, .mapped = mapped, .scratch = scratch};
    b->payload = start + mapped - PAGE - payload;
    memset(b->payload, 0xA5, payload);  // nothing may count on zeros
    used += (i64)mapped;
    return b->payload;
  }
  return NULL;
}

static void drop(block *b) {
  munmap(b->start, b->mapped);
  used -= (i64)b->mapped;
  b->start = NULL;
}

void *nn_alloc(i64 bytes) { return take(bytes, 0); }

void *nn_scratch(i64 bytes) { return take(bytes, 1); }

void nn_free(void *payload) {
  for (size_t i = 0; payload && i < sizeof blocks / sizeof *blocks; i++) {
    if (blocks[i].start && blocks[i].payload == payload) {
      drop(&blocks[i]);
      return;
    }
  }
}

void nn_scratch_reset(void) {
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
    if (blocks[i].start && blocks[i].scratch) drop(&blocks[i]);
  }
}
