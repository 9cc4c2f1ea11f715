/* Writing JSON. */
#include "serve/json_text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void text_add_json(text_buffer *out, const char *bytes, size_t length) {
    text_add(out, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        text_add(out, bytes + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            text_add(out, (char[]){'\\', (char)c}, 2);
        else if (c == '\n')
            text_add(out, "\\n", 2);
        else
            text_add_format(out, "\\u%04x", c);
    }
    text_add(out, bytes + from, length - from);
    text_add(out, "\"", 1);
}

/* printf is ten times slower, which matters for a model that takes a millisecond for a text. Between 1e-5 and 1e9 the
 * nine digits of a scaled value are an exact integer in double, with an error far below the distance between floats. */
static size_t write_float(char *out, float value) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
    double size = fabs((double)value);
    if (size == 0) return (size_t)snprintf(out, 32, signbit(value) ? "-0.0" : "0.0");
    if (!(size >= 1e-5 && size < 1e8))
        return (size_t)snprintf(out, 32, isfinite(value) ? "%.9g" : "null", (double)value);
    int decimals = 8; /* for a number from 1 to 10 */
    for (double x = size; x >= 10; x /= 10) decimals--;
    for (double x = size; x < 1; x *= 10) decimals++;
    uint64_t digits = (uint64_t)(size * powers[decimals] + 0.5);
    char reversed[32];
    size_t length = 0, at = 0;
    while (decimals > 1 && digits % 10 == 0) {
        digits /= 10;
        decimals--;
    }
    for (int i = 0; digits || i <= decimals; i++) {
        if (i == decimals && i > 0) reversed[length++] = '.';
        reversed[length++] = (char)('0' + digits % 10);
        digits /= 10;
    }
    if (value < 0) out[at++] = '-';
    while (length) out[at++] = reversed[--length];
    return at;
}

void text_add_float(text_buffer *out, float value) {
    char text[32];
    text_add(out, text, write_float(text, value));
}

void text_add_floats(text_buffer *out, const float *values, size_t count) {
    text_add(out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        char text[33] = ",";
        size_t comma = i > 0;
        text_add(out, text, comma + write_float(text + comma, values[i]));
    }
    text_add(out, "]", 1);
}

void text_add_floats_base64(text_buffer *out, const float *values, size_t count) {
    unsigned char bytes[12];
    for (size_t i = 0; i < count; i += 3) {
        size_t some = count - i < 3 ? count - i : 3;
        for (size_t j = 0; j < some; j++) {
            uint32_t bits;
            memcpy(&bits, &values[i + j], 4);
            for (size_t k = 0; k < 4; k++) bytes[4 * j + k] = (unsigned char)(bits >> 8 * k);
        }
        text_add_base64(out, bytes, 4 * some);
    }
}
