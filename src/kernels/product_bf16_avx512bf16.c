/* The bfloat16 product with the processor's own instruction. */
#include "kernels/product_low.h"

#define PRODUCT product_low
#define PRODUCT_WORDS(p) ((p)->words)
#define PRODUCT_PITCH(p) product_low_pitch(p)
#define MULTIPLY_ADD(sum, x, b)                                                                                        \
    _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sum), (__m512bh)(x), (__m512bh)(b)))
#define FINISH(p, sum, row, column, mask) _mm512_castsi512_ps(sum)
#define ADDS(p) ((p)->add)
#define ACTIVATE(x, act) activate_low_16(x, act)
#include "kernels/product_tiles_avx512.h"

void product_bf16_avx512bf16(const product_low *p) {
    product_any(p);
}
