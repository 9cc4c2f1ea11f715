/* The products by tiles with emulated tiles. */
#ifndef RUBATO_TESTS_PRODUCT_EMULATED_H
#define RUBATO_TESTS_PRODUCT_EMULATED_H

#include <string.h>

#include "kernels/activation.h"
#include "kernels/product_low.h"

product_low_function product_bf16_emulated, product_int8_emulated;

/* The end of a row of a block: bias, activation, residual, to c or in bfloat16. */
static inline void end_row(const product_low *p, float *c, size_t row, size_t column, size_t count) {
    for (size_t j = 0; p->bias && j < count; j++) c[j] += p->bias[column + j];
    activate_f32_scalar(c, count, p->act);
    for (size_t j = 0; p->residual && j < count; j++) c[j] += p->residual[row * p->residual_stride + column + j];
    if (p->half)
        narrow_bf16_scalar(p->half + row * p->half_stride + column / 2, c, count);
    else
        memcpy(p->c + row * p->c_stride + column, c, count * sizeof *c);
}

#endif
