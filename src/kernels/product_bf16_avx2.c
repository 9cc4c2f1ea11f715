/* The bf16 product, AVX2. */
#define VARIANT(name) name##_avx2
#define BF16_ALONE
#include "kernels/product_low_loops.h"
