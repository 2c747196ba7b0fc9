// wasi:nn@0.2.0-rc-2024-10-28, exported. The names and layouts are those of the component
// model's canonical ABI as wit-component expects them of a core module:
// https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md
//
// Lists and strings come in memory from cabi_realloc, which is ours from then on; one without
// elements has no memory, whatever its pointer says. What we return is read before the next
// call, so it lies in static memory or in the resource that was asked. No data is copied.
#include <string.h>

#include "infer.h"

#define INTERFACE(name) "wasi:nn/" name "@0.2.0-rc-2024-10-28"
#define EXPORT(interface, name) __attribute__((export_name(INTERFACE(interface) "#" name)))
#define IMPORT(interface, name) \
  __attribute__((import_module("[export]" INTERFACE(interface)), import_name(name)))

typedef i32 handle;  // a resource as the component model counts it; ours are pointers ("reps")

typedef struct {
  const void *items;
  u32 count;
} list;

typedef struct {
  u32 is_error;
  handle value;  // of the resource asked for, or of the error
} result;

// What comes in as a list is freed by this; see the top of this file.
static void free_list(void *items, u32 count) {
  if (count) nn_free(items);
}

// Memory for what comes in. The ABI knows no failure here but a trap.
__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, u32 old_bytes, u32 align, u32 bytes) {
  void *block = bytes ? nn_alloc(bytes) : (void *)align;
  if (!block) __builtin_trap();
  if (old_bytes) {
    memcpy(block, old, old_bytes < bytes ? old_bytes : bytes);
    nn_free(old);
  }
  return block;
}

// ----------------------------------------------------------------------------------------
// interface errors

typedef struct {
  i32 code;
  char text[];  // UTF-8, ends with 0
} error;

IMPORT("errors", "[resource-new]error") handle error_handle(const error *e);

static const error NO_MEMORY = {
    NN_TOO_LARGE,
    {"out of memory: the inputs or the model's values need more than this instance may have"},
};

// An error of nn_error_text's words; there is always one, even where no memory is left.
static handle new_error(i32 code) {
  size_t text_bytes = strlen(nn_error_text) + 1;
  error *e = nn_alloc((i64)(sizeof *e + text_bytes));
  if (!e) return error_handle(&NO_MEMORY);
  e->code = code;
  memcpy(e->text, nn_error_text, text_bytes);
  return error_handle(e);
}

EXPORT("errors", "[method]error.code") i32 error_code(const error *e) { return e->code; }

EXPORT("errors", "[method]error.data") const list *error_data(const error *e) {
  static list answer;
  answer = (list){e->text, strlen(e->text)};
  return &answer;
}

EXPORT("errors", "[dtor]error") void error_drop(error *e) {
  if (e != &NO_MEMORY) nn_free(e);
}

// ----------------------------------------------------------------------------------------
// interface tensor

// Nothing of a tensor is checked until it is an input: a constructor cannot refuse.
typedef struct {
  void *data;
  u32 *dims;
  u32 bytes;
  u32 rank;
  u32 type;
} tensor;

IMPORT("tensor", "[resource-new]tensor") handle tensor_handle(const tensor *t);
IMPORT("tensor", "[resource-rep]tensor") tensor *tensor_of(handle t);
IMPORT("tensor", "[resource-drop]tensor") void tensor_drop_handle(handle t);

// Stands for a tensor for which no memory was left; compute refuses it.
static const tensor NO_TENSOR;

EXPORT("tensor", "[constructor]tensor")
handle tensor_new(u32 *dims, u32 rank, u32 type, void *data, u32 bytes) {
  tensor *t = nn_alloc(sizeof *t);
  if (!t) {
    free_list(dims, rank);
    free_list(data, bytes);
    return tensor_handle(&NO_TENSOR);
  }
  *t = (tensor){data, dims, bytes, rank, type};
  return tensor_handle(t);
}

EXPORT("tensor", "[method]tensor.dimensions") const list *tensor_dimensions(const tensor *t) {
  static list answer;
  answer = (list){t->dims, t->rank};
  return &answer;
}

EXPORT("tensor", "[method]tensor.ty") u32 tensor_ty(const tensor *t) { return t->type; }

EXPORT("tensor", "[method]tensor.data") const list *tensor_data(const tensor *t) {
  static list answer;
  answer = (list){t->data, t->bytes};
  return &answer;
}

EXPORT("tensor", "[dtor]tensor") void tensor_drop(tensor *t) {
  if (t == &NO_TENSOR) return;
  free_list(t->dims, t->rank);
  free_list(t->data, t->bytes);
  nn_free(t);
}

// ----------------------------------------------------------------------------------------
// interface inference

typedef struct {
  const char *name;
  u32 name_bytes;
  handle tensor;
} named_tensor;

typedef struct {
  u32 is_error;
  union {
    list tensors;
    handle error;
  };
} compute_result;

// Room for one run of its model, made once so that only values need memory later.
typedef struct {
  const nn_model *model;
  nn_tensor *in, *out;
  tensor **made;
  named_tensor *answer;
} context;

IMPORT("inference", "[resource-new]graph-execution-context")
handle context_handle(const context *c);

static void *cleared(u32 count, size_t size) {
  void *items = nn_alloc((i64)count * (i64)size);
  if (items) memset(items, 0, count * size);
  return items;
}

EXPORT("inference", "[dtor]graph-execution-context") void context_drop(context *c) {
  if (!c) return;
  for (u32 i = 0; c->made && i < c->model->output_count; i++) nn_free(c->made[i]);
  nn_free(c->in);
  nn_free(c->out);
  nn_free(c->made);
  nn_free(c->answer);
  nn_free(c);
}

static context *new_context(const nn_model *model) {
  context *c = cleared(1, sizeof *c);
  if (!c) return NULL;
  c->model = model;
  c->in = cleared(model->input_count, sizeof *c->in);
  c->out = cleared(model->output_count, sizeof *c->out);
  c->made = cleared(model->output_count, sizeof *c->made);
  c->answer = cleared(model->output_count, sizeof *c->answer);
  if (c->in && c->out && c->made && c->answer) return c;
  context_drop(c);
  return NULL;
}

static i32 no_memory(void) { return nn_fail(NN_TOO_LARGE, "%s", NO_MEMORY.text); }

// The inputs as nn_infer takes them; the tensors keep their memory.
static i32 unwrap(const named_tensor *named, u32 count, nn_input *given) {
  for (u32 i = 0; i < count; i++) {
    const tensor *t = tensor_of(named[i].tensor);
    if (t == &NO_TENSOR) return no_memory();
    given[i] = (nn_input){
        .name = named[i].name,
        .name_bytes = named[i].name_bytes,
        .data = t->data,
        .dims = t->dims,
        .bytes = t->bytes,
        .rank = t->rank,
        .type = t->type,
    };
  }
  return NN_OK;
}

// Memory for the outputs' tensors, taken before the run: afterwards nothing can fail.
static i32 reserve(context *c) {
  for (u32 i = 0; i < c->model->output_count; i++) {
    if (!c->made[i]) c->made[i] = cleared(1, sizeof **c->made);
    if (!c->made[i]) return no_memory();
  }
  return NN_OK;
}

static tensor from_output(const nn_tensor *out) {
  // An empty list has no memory of its own: see free_list.
  if (out->rank == 0) nn_free(out->dims);
  if (out->bytes == 0) nn_free(out->data);
  return (tensor){out->data, out->dims, (u32)out->bytes, out->rank, out->type};
}

static list wrap(context *c) {
  for (u32 i = 0; i < c->model->output_count; i++) {
    const char *name = c->model->outputs[i].name;
    *c->made[i] = from_output(&c->out[i]);
    c->answer[i] = (named_tensor){name, strlen(name), tensor_handle(c->made[i])};
    c->made[i] = NULL;  // it belongs to the caller now
  }
  return (list){c->answer, c->model->output_count};
}

static i32 infer(context *c, const named_tensor *named, u32 count) {
  nn_input *given = nn_alloc((i64)count * (i64)sizeof *given);
  i32 code = given ? reserve(c) : no_memory();
  if (code == NN_OK) code = unwrap(named, count, given);
  if (code == NN_OK) code = nn_infer(c->model, given, count, c->in, c->out);
  nn_free(given);
  return code;
}

static void drop_inputs(named_tensor *named, u32 count) {
  for (u32 i = 0; i < count; i++) {
    tensor_drop_handle(named[i].tensor);
    free_list((void *)named[i].name, named[i].name_bytes);
  }
  free_list(named, count);
}

EXPORT("inference", "[method]graph-execution-context.compute")
const compute_result *context_compute(context *c, named_tensor *named, u32 count) {
  static compute_result answer;
  i32 code = infer(c, named, count);
  drop_inputs(named, count);
  if (code == NN_OK) answer = (compute_result){.tensors = wrap(c)};
  else answer = (compute_result){.is_error = 1, .error = new_error(code)};
  return &answer;
}

// ----------------------------------------------------------------------------------------
// interface graph: a graph is a model, which is constant and needs no destructor

IMPORT("graph", "[resource-new]graph") handle graph_handle(const nn_model *model);

static result ok(handle value) { return (result){0, value}; }
static result failed(i32 code) { return (result){1, new_error(code)}; }

EXPORT("graph", "[method]graph.init-execution-context")
const result *graph_init_execution_context(const nn_model *model) {
  static result answer;
  context *c = new_context(model);
  answer = c ? ok(context_handle(c)) : failed(no_memory());
  return &answer;
}

EXPORT("graph", "load")
const result *graph_load(list *builders, u32 count, u32 encoding, u32 target) {
  static result answer;
  for (u32 i = 0; i < count; i++) free_list((void *)builders[i].items, builders[i].count);
  free_list(builders, count);
  (void)encoding, (void)target;
  nn_fail(NN_UNSUPPORTED_OPERATION, "models are compiled into this provider and load by name: ");
  nn_fail_models();
  answer = failed(NN_UNSUPPORTED_OPERATION);
  return &answer;
}

EXPORT("graph", "load-by-name") const result *graph_load_by_name(char *name, u32 bytes) {
  static result answer;
  const nn_model *model = nn_find(name, bytes);
  free_list(name, bytes);
  answer = model ? ok(graph_handle(model)) : failed(NN_NOT_FOUND);
  return &answer;
}
