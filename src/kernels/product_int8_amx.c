/* The 8-bit product by tiles, AMX. The result is VNNI's to the bit: sums are exact, and the scales come in one order.
 */
#include "kernels/tiles_amx.h"

#define TILE_MULTIPLY(sum, a, b) _tile_dpbusd(sum, a, b)
#define SUMS_ARE_RESULTS false

#include "kernels/finish_avx512.h"
#include "kernels/product_tiles.h"

static inline __m512 tile_sums(const product_low *p, const float *sums, size_t row, size_t column, __mmask16 mask) {
    __m512i offset = _mm512_maskz_loadu_epi32(mask, p->column_offset + column);
    __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), offset));
    value = _mm512_mul_ps(value, _mm512_set1_ps(p->row_scale[row]));
    return _mm512_mul_ps(value, _mm512_maskz_loadu_ps(mask, p->column_scale + column));
}

static void finish_row(const product_low *p, const float *sums, size_t row, size_t column, size_t count) {
    finish_row_avx512(p, sums, row, column, count, tile_sums);
}

void product_int8_amx(const product_low *p) {
    product_by_tiles(p);
}
