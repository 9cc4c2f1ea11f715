/* Writing JSON into a buffer. */
#ifndef RUBATO_SERVE_JSON_TEXT_H
#define RUBATO_SERVE_JSON_TEXT_H

#include "base/text_buffer.h"

/* A string in quotes; the bytes are valid UTF-8. */
void text_add_json(text_buffer *out, const char *bytes, size_t length);

/* A float with nine significant digits, which is enough to read the same float back; null where it is no number. */
void text_add_float(text_buffer *out, float value);

/* [1,2,...] */
void text_add_floats(text_buffer *out, const float *values, size_t count);

/* The bytes of a little-endian float32 array in base64, as OpenAI's clients ask for. */
void text_add_base64(text_buffer *out, const float *values, size_t count);

#endif
