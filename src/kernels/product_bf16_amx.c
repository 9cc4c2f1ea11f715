/* The bf16 product by tiles, AMX. */
#include "kernels/tiles_amx.h"

#define TILE_MULTIPLY(sum, a, b) _tile_dpbf16ps(sum, a, b)
#define SUMS_ARE_RESULTS true

#include "kernels/finish_avx512.h"
#include "kernels/product_tiles.h"

static inline __m512 tile_sums(const product_low *p, const float *sums, size_t row, size_t column, __mmask16 mask) {
    (void)p, (void)row, (void)column, (void)mask;
    return _mm512_loadu_ps(sums);
}

static void finish_row(const product_low *p, const float *sums, size_t row, size_t column, size_t count) {
    finish_row_avx512(p, sums, row, column, count, tile_sums);
}

void product_bf16_amx(const product_low *p) {
    product_by_tiles(p);
}
