// The heap of a provider: one region that only grows, shared out first fit.
//
//   first                                                      last
//   | header, payload .... | header, payload .. | ......... | header |
//
// Each header holds the size of its own block and of the block before it (Knuth's boundary
// tags, TAOCP 1, 2.5), so a block that is freed joins its free neighbours at once, and after
// every inference the heap is one free block again. `last` is an empty block that ends it.
#include "nnlet.h"

enum { FREE, USED, SCRATCH, END };

typedef struct {
  _Alignas(16) size_t size;  // of the whole block, this header included; a multiple of 16
  size_t before;             // of the block that lies before this one; 0 for the first
  u32 state;
} block;

static block *first, *last;
static block *hint;  // no free block lies before it
static u32 scratch_blocks;

// ----------------------------------------------------------------------------------------
// The region: where it starts, and how it grows

#ifdef __wasm__

// All memory above the stack, the weights and the data of C. memory.size is its end.
#define PAGE ((size_t)65536)
#define MOST_PAGES ((size_t)65535)  // one short of 4 GiB, so that no address wraps to 0
#define GROWTH ((size_t)4)          // pages asked for at least: a call to grow is not free

extern u8 __heap_base;

static u8 *region_open(size_t *bytes) {
  u8 *start = (u8 *)(((size_t)&__heap_base + 15) & ~(size_t)15);
  size_t pages = __builtin_wasm_memory_size(0);
  if (pages > MOST_PAGES) pages = MOST_PAGES;
  *bytes = pages * PAGE > (size_t)start ? pages * PAGE - (size_t)start : 0;
  return start;
}

static size_t region_grow(size_t bytes) {
  size_t need = bytes / PAGE + (bytes % PAGE != 0);
  size_t room = MOST_PAGES - __builtin_wasm_memory_size(0);
  if (need > room) return 0;
  size_t pages = need < GROWTH && GROWTH <= room ? GROWTH : need;
  if (__builtin_wasm_memory_grow(0, pages) != (size_t)-1) return pages * PAGE;
  return __builtin_wasm_memory_grow(0, need) != (size_t)-1 ? need * PAGE : 0;
}

#else

// Address space taken once; the system gives pages to it when they are first touched.
#include <sys/mman.h>

#ifndef NN_HEAP_BYTES
#define NN_HEAP_BYTES ((size_t)4 << 30)
#endif

static u8 *region;
static size_t region_used;

static size_t region_grow(size_t bytes) {
  if (bytes > NN_HEAP_BYTES - region_used) return 0;
  region_used += bytes;
  return bytes;
}

static u8 *region_open(size_t *bytes) {
  void *start = mmap(NULL, NN_HEAP_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return NULL;
  region = start;
  *bytes = region_grow(sizeof(block));
  return region;
}

__attribute__((destructor)) static void region_close(void) {
  if (region) munmap(region, NN_HEAP_BYTES);
}

#endif

// ----------------------------------------------------------------------------------------
// Blocks

static block *next(block *b) { return (block *)((u8 *)b + b->size); }
static block *previous(block *b) { return (block *)((u8 *)b - b->before); }

// Unites a free block with its free neighbours; returns the whole.
static block *join(block *b) {
  if (next(b)->state == FREE) b->size += next(b)->size;
  if (b->before && previous(b)->state == FREE) {
    previous(b)->size += b->size;
    b = previous(b);
  }
  next(b)->before = b->size;
  return b;
}

// Turns `bytes` fresh bytes behind `last` into a free block; returns it.
static block *extend(size_t bytes) {
  block *b = last;
  b->size = bytes;
  b->state = FREE;
  last = next(b);
  *last = (block){.before = bytes, .state = END};
  return join(b);
}

static int heap_open(void) {
  size_t bytes;
  u8 *start = region_open(&bytes);
  if (!start) return 0;
  if (bytes < sizeof(block)) bytes += region_grow(sizeof(block));
  if (bytes < sizeof(block)) return 0;
  first = last = hint = (block *)start;
  *last = (block){.state = END};
  size_t rest = (bytes - sizeof(block)) & ~(size_t)15;
  if (rest >= sizeof(block)) extend(rest);
  return 1;
}

// The first free block of at least `size` bytes; NULL when memory has reached its end.
static block *find(size_t size) {
  while (hint->state == USED || hint->state == SCRATCH) hint = next(hint);
  for (block *b = hint; b->state != END; b = next(b)) {
    if (b->state == FREE && b->size >= size) return b;
  }
  size_t tail = previous(last)->state == FREE ? previous(last)->size : 0;
  size_t more = region_grow(size - tail);
  return more ? extend(more) : NULL;
}

// Gives back what a block has beyond `size`, where that is enough for a block of its own.
static void trim(block *b, size_t size) {
  if (b->size - size < sizeof(block)) return;
  block *rest = (block *)((u8 *)b + size);
  *rest = (block){.size = b->size - size, .before = size, .state = FREE};
  b->size = size;
  next(rest)->before = rest->size;
}

static void *allocate(i64 bytes, u32 state) {
  if (bytes < 0 || bytes > PTRDIFF_MAX - (i64)sizeof(block) - 15) return NULL;
  if (!first && !heap_open()) return NULL;
  size_t size = sizeof(block) + (((size_t)bytes + 15) & ~(size_t)15);
  block *b = find(size);
  if (!b) return NULL;
  trim(b, size);
  b->state = state;
  return b + 1;
}

// ----------------------------------------------------------------------------------------
// What nnlet.h promises

void *nn_alloc(i64 bytes) { return allocate(bytes, USED); }

void *nn_scratch(i64 bytes) {
  void *payload = allocate(bytes, SCRATCH);
  if (payload) scratch_blocks++;
  return payload;
}

static block *release(block *b) {
  if (b->state == SCRATCH) scratch_blocks--;
  b->state = FREE;
  b = join(b);
  if (b < hint) hint = b;
  return b;
}

void nn_free(void *payload) {
  if (payload) release((block *)payload - 1);
}

void nn_scratch_reset(void) {
  for (block *b = first; scratch_blocks; b = next(b)) {
    if (b->state == SCRATCH) b = release(b);
  }
}
