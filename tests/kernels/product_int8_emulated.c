/* The 8-bit product by emulated tiles. */
#include "kernels/product_emulated.h"
#include "kernels/tiles_emulated.h"

#define TILE_MULTIPLY(sum, a, b) multiply_bytes(sum, a, b)
#define SUMS_ARE_RESULTS false

#include "kernels/product_tiles.h"

static void finish_row(const product_low *p, const float *sums, size_t row, size_t column, size_t count) {
    float c[PANEL];
    int32_t whole[PANEL];
    memcpy(whole, sums, count * sizeof *whole);
    for (size_t j = 0; j < count; j++)
        c[j] = (float)(whole[j] - p->column_offset[column + j]) * p->row_scale[row] * p->column_scale[column + j];
    end_row(p, c, row, column, count);
}

void product_int8_emulated(const product_low *p) {
    product_by_tiles(p);
}
