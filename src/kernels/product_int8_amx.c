/* The 8-bit product by tiles, AMX. The result is VNNI's to the bit: sums are exact, and the scales come in one order.
 */
#include "kernels/tiles_amx.h"

#define TILE_MULTIPLY(sum, a, b) _tile_dpbusd(sum, a, b)
#define SUMS_ARE_RESULTS false

#include "kernels/finish_avx512.h"
#include "kernels/product_tiles.h"
#include "kernels/scaled_int8_avx512.h"

static inline __m512 tile_sums(const product_low *p, const float *sums, size_t row, size_t column, __mmask16 mask) {
    return scaled_int8(p, _mm512_loadu_si512(sums), row, column, mask);
}

static void finish_row(const product_low *p, const float *sums, size_t row, size_t column, size_t count) {
    finish_row_avx512(p, sums, row, column, count, tile_sums);
}

void product_int8_amx(const product_low *p) {
    product_by_tiles(p);
}
