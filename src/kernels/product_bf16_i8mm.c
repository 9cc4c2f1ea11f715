/* The bfloat16 product with BFMMLA. */
#define EXACT false
#include "kernels/product_pairs_i8mm.h"

/* With the intrinsic, gcc 12 moves the sums through other registers. The assembler instruction prevents that. */
static inline __attribute__((always_inline)) uint32x4_t multiply_add(uint32x4_t sum, uint32x4_t x, uint32x4_t b) {
    __asm__("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(sum) : "w"(x), "w"(b));
    return sum;
}

void product_bf16_i8mm(const product_low *p) {
    product_any(p);
}
