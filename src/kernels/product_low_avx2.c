/* The low-precision products, avx2. */
#define VARIANT(name) name##_avx2
#include "kernels/product_low_loops.h"
