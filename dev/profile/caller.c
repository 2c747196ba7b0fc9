// The caller of a compiled model for profile.py: runs a model on inputs that stay in memory.
#include "infer.h"

#define EXPORT(name) __attribute__((export_name(name)))

enum { MOST = 64 };
static nn_tensor in[MOST], out[MOST];

EXPORT("alloc") void *alloc(i32 bytes) { return nn_alloc(bytes); }

EXPORT("input") void input(u32 n, void *data, u32 *dims, i32 bytes) {
  in[n] = (nn_tensor){.data = data, .dims = dims, .bytes = bytes};
}

EXPORT("run") i32 run(u32 model) {
  const i32 status = nn_models[model].run(in, out);
  for (u32 i = 0; i < nn_models[model].output_count; i++) {
    nn_free(out[i].data);
    nn_free(out[i].dims);
  }
  return status;
}
