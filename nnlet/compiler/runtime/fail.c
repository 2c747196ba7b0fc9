// Why the last call failed, in words. The text crosses wasi:nn as a string, and a host traps
// on one that is not UTF-8: so a text that is too long is cut between characters.
#include <stdarg.h>

#include "infer.h"

char nn_error_text[NN_ERROR_TEXT];
static u32 length;  // of nn_error_text; beyond its end no more is written

static const char ELLIPSIS[] = "...";
#define ROOM (NN_ERROR_TEXT - (u32)sizeof(ELLIPSIS))  // what always fits, ELLIPSIS behind it

static void cut(void) {
  u32 end = ROOM;
  while (end && ((u8)nn_error_text[end] & 0xC0) == 0x80) end--;  // back to a first byte
  for (u32 i = 0; i < sizeof(ELLIPSIS); i++) nn_error_text[end + i] = ELLIPSIS[i];
  length = NN_ERROR_TEXT;
}

static void put(char c) {
  if (length >= NN_ERROR_TEXT) return;
  nn_error_text[length++] = c;
  if (length == NN_ERROR_TEXT) cut();
}

static void put_text(const char *text) {
  while (*text) put(*text++);
}

static void put_number(i64 value) {
  char digits[20];
  u32 count = 0;
  u64 rest = value < 0 ? 0 - (u64)value : (u64)value;
  do digits[count++] = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) put('-');
  while (count) put(digits[--count]);
}

static void put_format(const char *format, va_list values) {
  for (; *format; format++) {
    if (*format != '%') put(*format);
    else if (*++format == 's') put_text(va_arg(values, const char *));
    else if (*format == 'd') put_number(va_arg(values, i64));
    else put(*format);  // "%%"
  }
  if (length < NN_ERROR_TEXT) nn_error_text[length] = 0;
}

i32 nn_fail(i32 code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  length = 0;
  put_format(format, values);
  va_end(values);
  return code;
}

void nn_fail_more(const char *format, ...) {
  va_list values;
  va_start(values, format);
  put_format(format, values);
  va_end(values);
}
