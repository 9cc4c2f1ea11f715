/* The sparse 8-bit product, AVX2. */
#include "kernels/parts_int8_avx2.h"
#include "kernels/product_sparse_avx2.h"

const sparse_kernels sparse_avx2 = {product_any, BLOCK, LANES, 0.7};
