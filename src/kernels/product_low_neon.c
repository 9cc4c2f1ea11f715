/* The low-precision products, neon. */
#define VARIANT(name) name##_neon
#include "kernels/product_low_loops.h"
