/* The low-precision products for processors without the instructions, compiled once for each instruction set. Blocks of
 * both operands are widened to f32 and multiplied in f32. Weights have the memory traffic of the low precision, and the
 * product has the speed of f32. 8-bit sums stay exact: within the depth of a block they are integers below 2^24, and
 * blocks are summed as integers. The including file defines VARIANT(name), and INT8_ALONE where the instruction set has
 * another bf16 product. */
#include <string.h>

#include "kernels/product_low.h"

enum { WIDE_DEPTH = 256, WIDE_ROWS = 112 }; /* 112 KiB of a and 32 of b: both stay in the second-level cache */
_Static_assert(127 * 127 * WIDE_DEPTH < 1 << 24, "sums of a block are exact in f32");

/* Widens a block of words [rows][width] to floats; rows are `pitch` words apart. The parts of a word, lowest first,
 * become neighbours in a row of a, and rows of their own in a panel of b. */
typedef void widen_function(float *out, const uint32_t *in, size_t pitch, size_t rows, size_t width);

#ifndef INT8_ALONE
static float upper_bf16(uint32_t bits) {
    float value;
    bits &= 0xffff0000u;
    memcpy(&value, &bits, 4);
    return value;
}

static void widen_rows_bf16(float *out, const uint32_t *in, size_t pitch, size_t rows, size_t width) {
    for (; rows--; in += pitch, out += 2 * width)
        for (size_t j = 0; j < width; j++) {
            out[2 * j] = upper_bf16(in[j] << 16);
            out[2 * j + 1] = upper_bf16(in[j]);
        }
}

static void widen_panel_bf16(float *out, const uint32_t *in, size_t pitch, size_t rows, size_t width) {
    for (; rows--; in += pitch, out += 2 * width)
        for (size_t j = 0; j < width; j++) {
            out[j] = upper_bf16(in[j] << 16);
            out[width + j] = upper_bf16(in[j]);
        }
}
#endif

static void widen_rows_int8(float *out, const uint32_t *in, size_t pitch, size_t rows, size_t width) {
    for (; rows--; in += pitch, out += 4 * width) {
        const unsigned char *bytes = (const unsigned char *)in;
        for (size_t j = 0; j < 4 * width; j++) out[j] = (float)(bytes[j] - 128);
    }
}

static void widen_panel_int8(float *out, const uint32_t *in, size_t pitch, size_t rows, size_t width) {
    for (; rows--; in += pitch, out += 4 * width)
        for (size_t i = 0; i < 4; i++)
            for (size_t j = 0; j < width; j++) out[i * width + j] = (float)(int8_t)(in[j] >> 8 * i);
}

/* Adds the block's sums to c as integers. After the last block c gets its final value. */
static void join_int8(const product_low *p, const float *sums, size_t row, size_t first, size_t width, bool begun,
                      bool last) {
    float *c = p->c + row * p->c_stride + first;
    int32_t total[PANEL];
    for (size_t j = 0; j < width; j++) total[j] = (int32_t)sums[j];
    if (begun) {
        int32_t before[PANEL];
        memcpy(before, c, width * sizeof *before);
        for (size_t j = 0; j < width; j++) total[j] += before[j];
    }
    if (!last) {
        memcpy(c, total, width * sizeof *total);
        return;
    }
    for (size_t j = 0; j < width; j++) c[j] = (float)total[j] * p->row_scale[row] * p->column_scale[first + j];
    if (p->bias)
        for (size_t j = 0; j < width; j++) c[j] += p->bias[first + j];
    if (p->act != ACTIVATION_NONE) VARIANT(activate_f32)(c, width, p->act);
    if (p->residual)
        for (size_t j = 0; j < width; j++) c[j] += p->residual[row * p->residual_stride + first + j];
}

static void product_wide(const product_low *p, size_t parts, widen_function *widen_rows, widen_function *widen_panel) {
    float a[WIDE_ROWS * WIDE_DEPTH], b[WIDE_DEPTH * PANEL], sums[WIDE_ROWS * PANEL];
    const bool exact = parts == 4;
    for (size_t row = 0; row < p->rows; row += WIDE_ROWS) {
        size_t rows = p->rows - row < WIDE_ROWS ? p->rows - row : WIDE_ROWS, k = 0;
        do {
            size_t words = p->words - k < WIDE_DEPTH / parts ? p->words - k : WIDE_DEPTH / parts;
            bool last = k + words == p->words, finish = last && !exact;
            widen_rows(a, p->a + row * p->a_stride + k, p->a_stride, rows, words);
            for (size_t first = 0; first < p->columns; first += PANEL) {
                float *c = p->c + row * p->c_stride + first;
                size_t columns = p->columns - first < PANEL ? p->columns - first : PANEL;
                widen_panel(b, p->b + first * product_low_pitch(p) + k * PANEL, PANEL, words, PANEL);
                product_f32 wide = {.a = a,
                                    .a_stride = parts * words,
                                    .b = b,
                                    .bias = finish && p->bias ? p->bias + first : NULL,
                                    .residual =
                                        finish && p->residual ? p->residual + row * p->residual_stride + first : NULL,
                                    .residual_stride = p->residual_stride,
                                    .c = exact ? sums : c,
                                    .c_stride = exact ? PANEL : p->c_stride,
                                    .rows = rows,
                                    .columns = columns,
                                    .depth = parts * words,
                                    .act = finish ? p->act : ACTIVATION_NONE,
                                    .add = !exact && (p->add || k > 0)};
                VARIANT(product_f32)(&wide);
                for (size_t i = 0; exact && i < rows; i++)
                    join_int8(p, sums + i * PANEL, row + i, first, columns, k > 0, last);
            }
            k += words;
        } while (k < p->words);
    }
}

#ifndef INT8_ALONE
void VARIANT(product_bf16)(const product_low *p) {
    product_wide(p, 2, widen_rows_bf16, widen_panel_bf16);
}
#endif

void VARIANT(product_int8)(const product_low *p) {
    product_wide(p, 4, widen_rows_int8, widen_panel_int8);
}
