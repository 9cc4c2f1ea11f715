/* The matrix product, reference variant: one panel of 32 accumulators a row. */
#include "kernels/product.h"

void product_f32_scalar(const product_f32 *p) {
    for (size_t panel = 0; panel * PANEL < p->columns; panel++) {
        const float *b = p->b + panel * PANEL * product_f32_pitch(p);
        size_t first = panel * PANEL;
        size_t width = p->columns - first < PANEL ? p->columns - first : PANEL;
        for (size_t row = 0; row < p->rows; row++) {
            const float *a = p->a + row * p->a_stride;
            float sum[PANEL] = {0}, *c = p->c + row * p->c_stride + first;
            if (p->add)
                for (size_t j = 0; j < width; j++) sum[j] = c[j];
            for (size_t k = 0; k < p->depth; k++)
                for (size_t j = 0; j < PANEL; j++) sum[j] += a[k] * b[k * PANEL + j];
            if (p->scale != 0)
                for (size_t j = 0; j < width; j++) sum[j] *= p->scale;
            if (p->bias)
                for (size_t j = 0; j < width; j++) sum[j] += p->bias[first + j];
            if (p->act != ACTIVATION_NONE) activate_f32_scalar(sum, width, p->act);
            if (p->residual)
                for (size_t j = 0; j < width; j++) sum[j] += p->residual[row * p->residual_stride + first + j];
            for (size_t j = 0; j < width; j++) c[j] = sum[j];
        }
    }
}

void pack_transposed_f32_scalar(float *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    for (size_t first = 0; first < columns; first += PANEL, out += depth * PANEL) {
        size_t width = columns - first < PANEL ? columns - first : PANEL;
        for (size_t j = 0; j < PANEL; j++) {
            const float *column = in + (first + j) * in_stride;
            for (size_t k = 0; k < depth; k++) out[k * PANEL + j] = j < width ? column[k] : 0;
        }
    }
}

void pack_straight_f32(float *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    for (size_t first = 0; first < columns; first += PANEL) {
        size_t width = columns - first < PANEL ? columns - first : PANEL;
        for (size_t k = 0; k < depth; k++, out += PANEL) {
            const float *row = in + k * in_stride + first;
            size_t j = 0;
            for (; j < width; j++) out[j] = row[j];
            for (; j < PANEL; j++) out[j] = 0;
        }
    }
}
