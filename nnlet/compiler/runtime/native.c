// The same runtime as a shared library, for tests: native.py calls nn_find and nn_infer
// through ctypes and sets nn_weights first.
#include "nnlet.h"

const u8 *nn_weights;
