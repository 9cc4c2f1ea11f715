/* The 8-bit product with the processor's own instruction (VNNI). */
#include "kernels/product_low.h"

#define PRODUCT product_low
#define PRODUCT_WORDS(p) ((p)->words)
#define PRODUCT_PITCH(p) product_low_pitch(p)
#define MULTIPLY_ADD(sum, x, b) add_bytes(sum, x, b)
#define FINISH(p, sum, row, column, mask) scaled(p, sum, row, column, mask)
#define ADDS(p) false
#define ACTIVATE(x, act) activate_low_16(x, act)

#include "kernels/dot_avx512vnni.h"

static inline __attribute__((always_inline)) __m512 scaled(const product_low *p, __m512i sum, size_t row, size_t column,
                                                           __mmask16 mask) {
    __m512i offset = _mm512_maskz_loadu_epi32(mask, p->column_offset + column);
    __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset));
    value = _mm512_mul_ps(value, _mm512_set1_ps(p->row_scale[row]));
    return _mm512_mul_ps(value, _mm512_maskz_loadu_ps(mask, p->column_scale + column));
}

#include "kernels/product_tiles_avx512.h"

void product_int8_avx512vnni(const product_low *p) {
    product_any(p);
}
