// From a name to a model, and from unchecked inputs to a run. Every refusal says what was
// found and what was expected.
#include "infer.h"

#include <string.h>

static const char *const TYPE_NAMES[] = {"FP16", "FP32", "FP64", "BF16", "U8", "I32", "I64"};
static const u8 TYPE_BYTES[] = {2, 4, 8, 2, 1, 4, 8};
enum { TYPES = sizeof(TYPE_BYTES), SHOWN_DIMS = 8, SHOWN_NAME = 100 };

// A name of the caller's as C text: cut between characters, if it is long.
static const char *shown(const char *name, u32 bytes) {
  static char text[SHOWN_NAME + 1];
  u32 end = bytes;
  if (end > SHOWN_NAME) {
    end = SHOWN_NAME;
    while (end && ((u8)name[end] & 0xC0) == 0x80) end--;
  }
  if (end) memcpy(text, name, end);
  text[end] = 0;
  return text;
}

static int equal(const char *text, const char *name, u32 bytes) {
  return strlen(text) == bytes && memcmp(text, name, bytes) == 0;
}

// ----------------------------------------------------------------------------------------
// Models by name

void nn_fail_models(void) {
  for (u32 i = 0; i < nn_model_count; i++) {
    nn_fail_more("%s%s@%s", i ? ", " : "", nn_models[i].name, nn_models[i].version);
  }
}

const nn_model *nn_find(const char *name, u32 bytes) {
  const char *at = bytes ? memchr(name, '@', bytes) : NULL;
  u32 name_bytes = at ? (u32)(at - name) : bytes;
  for (u32 i = nn_model_count; i-- > 0;) {  // versions ascend: the highest comes first
    const nn_model *m = &nn_models[i];
    if (!equal(m->name, name, name_bytes)) continue;
    if (!at || equal(m->version, at + 1, bytes - name_bytes - 1)) return m;
  }
  nn_fail(NN_NOT_FOUND, "no model '%s' here; there are ", shown(name, bytes));
  nn_fail_models();
  return NULL;
}

// ----------------------------------------------------------------------------------------
// Inputs against the ports of a model

static void fail_given_dims(const nn_input *t) {
  nn_fail_more("[");
  for (u32 i = 0; i < t->rank && i < SHOWN_DIMS; i++) {
    nn_fail_more("%s%d", i ? ", " : "", (i64)t->dims[i]);
  }
  nn_fail_more(t->rank > SHOWN_DIMS ? ", ...]" : "]");
}

static void fail_port_dims(const nn_port *port) {
  nn_fail_more("[");
  for (u32 i = 0; i < port->rank; i++) nn_fail_more("%s%d", i ? ", " : "", (i64)port->dims[i]);
  nn_fail_more("]");
}

static i32 wrong_shape(const nn_port *port, const nn_input *t) {
  nn_fail(NN_INVALID_ARGUMENT, "input '%s': shape ", port->name);
  fail_given_dims(t);
  nn_fail_more(", expected ");
  fail_port_dims(port);
  return NN_INVALID_ARGUMENT;
}

static i32 wrong_size(const nn_port *port, const nn_input *t, i64 expected) {
  nn_fail(NN_INVALID_ARGUMENT, "input '%s': %d bytes of data, expected %d for %s of shape ",
          port->name, t->bytes, expected, TYPE_NAMES[port->type]);
  fail_given_dims(t);
  return NN_INVALID_ARGUMENT;
}

// The bytes of a tensor, or -1 where a pointer could not span it. Dims of 0 count as 1 there:
// a model multiplies dims in any order.
static i64 tensor_bytes(const u32 *dims, u32 rank, u32 type) {
  i64 span = TYPE_BYTES[type];
  int empty = 0;
  for (u32 i = 0; i < rank; i++) {
    if (dims[i] == 0) empty = 1;
    else if (__builtin_mul_overflow(span, (i64)dims[i], &span) || span > PTRDIFF_MAX) return -1;
  }
  return empty ? 0 : span;
}

static i32 check(const nn_port *port, const nn_input *t) {
  if (t->type != port->type) {
    return nn_fail(NN_INVALID_ARGUMENT, "input '%s': type %s, expected %s", port->name,
                   t->type < TYPES ? TYPE_NAMES[t->type] : "unknown", TYPE_NAMES[port->type]);
  }
  int scalar = port->rank == 0 && t->rank == 1 && t->dims[0] == 1;
  if (t->rank != port->rank && !scalar) return wrong_shape(port, t);
  for (u32 i = 0; i < port->rank; i++) {
    if (port->dims[i] >= 0 && t->dims[i] != (u32)port->dims[i]) return wrong_shape(port, t);
  }
  i64 expected = tensor_bytes(t->dims, port->rank, port->type);
  if (expected < 0) {
    nn_fail(NN_TOO_LARGE, "input '%s': too large for this provider: shape ", port->name);
    fail_given_dims(t);
    return NN_TOO_LARGE;
  }
  return t->bytes == expected ? NN_OK : wrong_size(port, t, expected);
}

static u32 port_of(const nn_model *model, const nn_input *t) {
  u32 i = 0;
  while (i < model->input_count && !equal(model->inputs[i].name, t->name, t->name_bytes)) i++;
  return i;
}

static i32 wrong_name(const nn_model *model, const char *name, const char *what) {
  nn_fail(NN_INVALID_ARGUMENT, "input '%s' %s; the model takes ", name, what);
  for (u32 i = 0; i < model->input_count; i++) {
    nn_fail_more("%s'%s'", i ? ", " : "", model->inputs[i].name);
  }
  if (model->input_count == 0) nn_fail_more("none");
  return NN_INVALID_ARGUMENT;
}

// Puts each input where its port is. A port whose dims are NULL still waits for its input.
static i32 match(const nn_model *model, const nn_input *given, u32 count, nn_tensor *in) {
  static u32 no_dims[1];
  static _Alignas(16) u8 no_data[1];
  memset(in, 0, model->input_count * sizeof *in);
  for (u32 i = 0; i < count; i++) {
    const nn_input *t = &given[i];
    u32 at = port_of(model, t);
    if (at == model->input_count) {
      return wrong_name(model, shown(t->name, t->name_bytes), "is unknown");
    }
    const nn_port *port = &model->inputs[at];
    if (in[at].dims) return wrong_name(model, port->name, "is repeated");
    i32 code = check(port, t);
    if (code != NN_OK) return code;
    in[at] = (nn_tensor){
        .data = t->bytes ? t->data : no_data,
        .dims = port->rank ? t->dims : no_dims,
        .bytes = t->bytes,
        .type = port->type,
        .rank = port->rank,
    };
  }
  for (u32 i = 0; i < model->input_count; i++) {
    if (!in[i].dims) return wrong_name(model, model->inputs[i].name, "is missing");
  }
  return NN_OK;
}

i32 nn_infer(const nn_model *model, const nn_input *given, u32 count, nn_tensor *in,
             nn_tensor *out) {
  memset(out, 0, model->output_count * sizeof *out);
  i32 code = match(model, given, count, in);
  if (code == NN_OK) code = model->run(in, out);
  nn_scratch_reset();
  for (u32 i = 0; code != NN_OK && i < model->output_count; i++) {
    nn_free(out[i].data);
    nn_free(out[i].dims);
  }
  return code;
}
