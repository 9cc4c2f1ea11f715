/* The 8-bit product, AVX-VNNI. */
#include "kernels/parts_int8_avx2vnni.h"
#include "kernels/product_parts_avx2.h"

void product_int8_avx2vnni(const product_low *p) {
    product_block(p, &(block){p->a, p->a_stride, 0, 0, p->words}, p->rows);
}
