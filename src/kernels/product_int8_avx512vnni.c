/* The 8-bit product with the processor's own instruction (VNNI). */
#include "kernels/product_low.h"

#define PRODUCT product_low
#define PRODUCT_WORDS(p) ((p)->words)
#define PRODUCT_PITCH(p) product_low_pitch(p)
#define MULTIPLY_ADD(sum, x, b) add_bytes(sum, x, b)
#define FINISH(p, sum, row, column, mask) scaled_int8(p, sum, row, column, mask)
#define ADDS(p) false
#define ACTIVATE(x, act) activate_low_16(x, act)

#include "kernels/dot_avx512vnni.h"
#include "kernels/scaled_int8_avx512.h"
#include "kernels/product_tiles_avx512.h"

void product_int8_avx512vnni(const product_low *p) {
    product_any(p);
}
