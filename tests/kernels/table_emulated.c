/* Kernels with emulated tiles: the scalar ones, with tile products and attention in bfloat16. */
#include "kernels/table_emulated.h"

#include <math.h>
#include <string.h>

#include "kernels/product_emulated.h"

static void rows(uint32_t *out, size_t out_stride, const float *x, size_t stride, size_t count, size_t depth,
                 float unit) {
    (void)unit;
    for (size_t row = 0; row < count; row++) narrow_bf16_scalar(out + row * out_stride, x + row * stride, depth);
}

static void panel(uint32_t *out, float *scale, const float *in, size_t depth, float factor) {
    (void)scale;
    for (size_t k = 0; k < depth; k += 2) {
        float two[2 * PANEL] = {0};
        for (size_t j = 0; j < PANEL; j++) {
            two[j] = in[k * PANEL + j] * factor;
            if (k + 1 < depth) two[PANEL + j] = in[(k + 1) * PANEL + j] * factor;
        }
        narrow_panel_bf16_scalar(out + k / 2 * PANEL, two, 2);
    }
}

static void pairs(uint32_t *out, const uint32_t *in, size_t in_stride, size_t columns, size_t depth) {
    for (size_t k = 0; k < depth; k += 2, out += PANEL)
        for (size_t j = 0; j < PANEL; j++) {
            uint32_t halves[2] = {0};
            for (size_t i = 0; i < 2 && k + i < depth && j < columns; i++)
                halves[i] = in[(k + i) * in_stride + j / 2] >> 16 * (j % 2) & 0xffff;
            out[j] = halves[0] | halves[1] << 16;
        }
}

static float softmax(uint32_t *out, float *x, size_t count, float scale) {
    float most = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, x[i]);
    for (size_t i = 0; i < count; i++) sum += x[i] = expf((x[i] - most) * scale);
    narrow_bf16_scalar(out, x, count);
    return sum > 0 && sum < INFINITY ? sum : NAN;
}

static const half_kernels half_emulated = {false, 0, product_bf16_emulated, NULL, rows, panel, pairs, softmax};

kernel_table kernel_table_emulated(void) {
    kernel_table made = *kernel_table_named("scalar");
    made.low.product_bf16 = product_bf16_emulated;
    made.low.product_int8 = product_int8_emulated;
    made.low.halves = true;
    made.low.half = &half_emulated;
    return made;
}
