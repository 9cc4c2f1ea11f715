/* The sparse 8-bit product, AVX-VNNI. */
#include "kernels/parts_int8_avx2vnni.h"
#include "kernels/product_sparse_avx2.h"

const sparse_kernels sparse_avx2vnni = {product_any, BLOCK, LANES, 0.3};
