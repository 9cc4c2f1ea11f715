/* The 8-bit product with SMMLA. */
#define EXACT true
#include "kernels/product_pairs_i8mm.h"

static inline __attribute__((always_inline)) uint32x4_t multiply_add(uint32x4_t sum, uint32x4_t x, uint32x4_t b) {
    return vreinterpretq_u32_s32(
        vmmlaq_s32(vreinterpretq_s32_u32(sum), vreinterpretq_s8_u32(x), vreinterpretq_s8_u32(b)));
}

void product_int8_i8mm(const product_low *p) {
    product_any(p);
}
