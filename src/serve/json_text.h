/* Writing JSON into a buffer. */
#ifndef RUBATO_SERVE_JSON_TEXT_H
#define RUBATO_SERVE_JSON_TEXT_H

#include "base/text_buffer.h"

/* Adds a string in quotes; the bytes must be valid UTF-8. */
void text_add_json(text_buffer *out, const char *bytes, size_t length);

/* Adds a float with nine significant digits, enough to read the same float back; null where it is not a finite
 * number. */
void text_add_float(text_buffer *out, float value);

/* Adds [1,2,...]. */
void text_add_floats(text_buffer *out, const float *values, size_t count);

/* Adds the bytes of a little-endian float32 array in base64, as OpenAI's clients expect them. */
void text_add_floats_base64(text_buffer *out, const float *values, size_t count);

#endif
