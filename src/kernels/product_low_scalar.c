/* The low-precision products, scalar. */
#define VARIANT(name) name##_scalar
#include "kernels/product_low_loops.h"

#include <math.h>
#include <string.h>

static uint16_t bf16_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void narrow_bf16_scalar(uint32_t *out, const float *x, size_t depth) {
    for (size_t i = 0; i < depth; i += 2)
        *out++ = bf16_bits(x[i]) | (i + 1 < depth ? (uint32_t)bf16_bits(x[i + 1]) << 16 : 0);
}

void narrow_panel_bf16_scalar(uint32_t *out, const float *in, size_t depth) {
    for (size_t k = 0; k < depth; k += 2, in += 2 * PANEL)
        for (size_t j = 0; j < PANEL; j++)
            *out++ = bf16_bits(in[j]) | (k + 1 < depth ? (uint32_t)bf16_bits(in[PANEL + j]) << 16 : 0);
}

static float taken(const float *x, const float *factors, size_t i) {
    return factors ? x[i] * factors[i] : x[i];
}

float quantize_int8_scalar(uint32_t *out, const float *x, const float *factors, size_t depth) {
    float most = 0;
    bool finite = true;
    for (size_t i = 0; i < depth; i++) {
        most = fmaxf(most, fabsf(taken(x, factors, i)));
        finite = finite && isfinite(taken(x, factors, i));
    }
    float inverse = most > 1e-35f && finite ? 127 / most : 0; /* for a smaller maximum all values are 0 */
    for (size_t i = 0; i < depth; i += 4) {
        uint32_t word = 0;
        for (size_t j = 0; j < 4; j++) {
            int q = i + j < depth && finite ? (int)nearbyintf(taken(x, factors, i + j) * inverse) : 0;
            word |= (uint32_t)(q + 128) << 8 * j;
        }
        *out++ = word;
    }
    return finite ? most / 127 : NAN;
}

/* Rounds to the nearest even integer, for absolute values far below 2^22. Compilers can vectorise it. */
static inline int32_t nearest(float x) {
    const float shift = 0x1.8p23f; /* shift's last bit is a one */
    float moved = x + shift;
    return (int32_t)(moved - shift);
}

void quantize_panel_int8(uint32_t *out, float *scale, int32_t *offset, const float *in, size_t columns, size_t depth) {
    float most[PANEL] = {0}, inverse[PANEL];
    int32_t sum[PANEL] = {0};
    for (size_t k = 0; k < depth; k++)
        for (size_t j = 0; j < PANEL; j++) {
            float size = fabsf(in[k * PANEL + j]);
            most[j] = size > most[j] ? size : most[j];
        }
    for (size_t j = 0; j < PANEL; j++) inverse[j] = most[j] > 1e-35f ? 127 / most[j] : 0; /* as in rows of a */
    for (size_t k = 0; k < depth; k += 4, out += PANEL) {
        uint32_t word[PANEL] = {0};
        for (size_t i = 0; i < 4 && k + i < depth; i++)
            for (size_t j = 0; j < PANEL; j++) {
                int32_t q = nearest(in[(k + i) * PANEL + j] * inverse[j]);
                sum[j] += q;
                word[j] |= ((uint32_t)q & 0xff) << 8 * i;
            }
        memcpy(out, word, sizeof word);
    }
    for (size_t j = 0; j < columns; j++) {
        scale[j] = most[j] / 127;
        offset[j] = 128 * sum[j];
    }
}

void pack_bf16(uint32_t *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    size_t words = words_bf16(depth);
    for (size_t first = 0; first < columns; first += PANEL)
        for (size_t k = 0; k < words; k++)
            for (size_t j = 0; j < PANEL; j++) {
                const float *row = in + (first + j) * in_stride;
                uint32_t word = 0;
                if (first + j < columns) {
                    word = bf16_bits(row[2 * k]);
                    if (2 * k + 1 < depth) word |= (uint32_t)bf16_bits(row[2 * k + 1]) << 16;
                }
                *out++ = word;
            }
}
