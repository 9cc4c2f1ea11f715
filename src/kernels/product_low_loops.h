/* The low-precision products as plain loops, compiled once an instruction set that has no instruction of its own for
 * them. The including file defines VARIANT(name). */
#include <string.h>

#include "kernels/product_low.h"

static float bf16_value(uint32_t bits) {
    float value;
    bits <<= 16;
    memcpy(&value, &bits, 4);
    return value;
}

static void finish_row(const product_low *p, float *sum, size_t row, size_t first, size_t width) {
    float *c = p->c + row * p->c_stride + first;
    if (p->bias)
        for (size_t j = 0; j < width; j++) sum[j] += p->bias[first + j];
    if (p->act != ACTIVATION_NONE) VARIANT(activate_f32)(sum, width, p->act);
    if (p->residual)
        for (size_t j = 0; j < width; j++) sum[j] += p->residual[row * p->residual_stride + first + j];
    for (size_t j = 0; j < width; j++) c[j] = sum[j];
}

void VARIANT(product_bf16)(const product_low *p) {
    for (size_t first = 0; first < p->columns; first += PANEL) {
        const uint32_t *b = p->b + first * product_low_pitch(p);
        size_t width = p->columns - first < PANEL ? p->columns - first : PANEL;
        for (size_t row = 0; row < p->rows; row++) {
            const uint32_t *a = p->a + row * p->a_stride;
            float sum[PANEL] = {0}, *c = p->c + row * p->c_stride + first;
            for (size_t j = 0; j < width && p->add; j++) sum[j] = c[j];
            for (size_t k = 0; k < p->words; k++) {
                float low = bf16_value(a[k] & 0xffff), high = bf16_value(a[k] >> 16);
                for (size_t j = 0; j < PANEL; j++) {
                    uint32_t bits = b[k * PANEL + j];
                    sum[j] += low * bf16_value(bits & 0xffff);
                    sum[j] += high * bf16_value(bits >> 16);
                }
            }
            finish_row(p, sum, row, first, width);
        }
    }
}

void VARIANT(product_int8)(const product_low *p) {
    for (size_t first = 0; first < p->columns; first += PANEL) {
        const uint32_t *b = p->b + first * product_low_pitch(p);
        size_t width = p->columns - first < PANEL ? p->columns - first : PANEL;
        for (size_t row = 0; row < p->rows; row++) {
            const uint32_t *a = p->a + row * p->a_stride;
            int32_t sum[PANEL] = {0};
            for (size_t k = 0; k < p->words; k++) {
                int a0 = (int)(a[k] & 0xff), a1 = (int)(a[k] >> 8 & 0xff), a2 = (int)(a[k] >> 16 & 0xff),
                    a3 = (int)(a[k] >> 24);
                for (size_t j = 0; j < PANEL; j++) {
                    uint32_t q = b[k * PANEL + j];
                    sum[j] += a0 * (int8_t)q + a1 * (int8_t)(q >> 8) + a2 * (int8_t)(q >> 16) + a3 * (int8_t)(q >> 24);
                }
            }
            float values[PANEL];
            for (size_t j = 0; j < width; j++)
                values[j] =
                    (float)(sum[j] - p->column_offset[first + j]) * p->row_scale[row] * p->column_scale[first + j];
            finish_row(p, values, row, first, width);
        }
    }
}
