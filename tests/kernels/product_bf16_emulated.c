/* The bf16 product by emulated tiles. */
#include "kernels/product_emulated.h"
#include "kernels/tiles_emulated.h"

#define TILE_MULTIPLY(sum, a, b) multiply_halves(sum, a, b)
#define SUMS_ARE_RESULTS true

#include "kernels/product_tiles.h"

static void finish_row(const product_low *p, const float *sums, size_t row, size_t column, size_t count) {
    float c[PANEL];
    memcpy(c, sums, count * sizeof *c);
    end_row(p, c, row, column, count);
}

void product_bf16_emulated(const product_low *p) {
    product_by_tiles(p);
}
