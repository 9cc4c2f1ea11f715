/* The products by tiles with emulated tiles. */
#ifndef RUBATO_TESTS_PRODUCT_EMULATED_H
#define RUBATO_TESTS_PRODUCT_EMULATED_H

#include "kernels/product_low.h"

product_low_function product_bf16_emulated, product_int8_emulated;

#endif
