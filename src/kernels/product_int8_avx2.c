/* The 8-bit product, AVX2, as products of 16-bit integers. Rows of a are widened once for each block of rows. */
#define BYTES 1
#include "kernels/product_pairs_avx2.h"

enum {
    DEPTH = 1024,            /* words of one pass */
    BLOCK_PAIRS = 32 * 1024, /* 128 KiB of widened a: a part of the second-level cache, and of the stack */
};
_Static_assert(2 * DEPTH * TILE_ROWS <= BLOCK_PAIRS, "a block has the rows of a tile");

static __m256i load_some(const void *from, size_t count) {
    return _mm256_maskload_epi32(from, lanes_8(count < 8 ? count : 8));
}

static void store_some(void *to, size_t count, __m256i value) {
    _mm256_maskstore_epi32(to, lanes_8(count < 8 ? count : 8), value);
}

/* Widens a row of a: q + 128 in 8 bits becomes q in 16. out [words][2]: an even pair and an odd pair. */
static void widen_row(uint32_t *out, const uint32_t *a, size_t words) {
    for (size_t k = 0; k < words; k += 8) {
        __m256i x = _mm256_xor_si256(load_some(a + k, words - k), _mm256_set1_epi8((char)128));
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
        __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
        store_some(out + 2 * k, 2 * (words - k), _mm256_permute2x128_si256(low, high, 0x20));
        if (words - k > 4) store_some(out + 2 * k + 8, 2 * (words - k) - 8, _mm256_permute2x128_si256(low, high, 0x31));
    }
}

void product_int8_avx2(const product_low *p) {
    uint32_t pairs[BLOCK_PAIRS];
    size_t parts = divide_up(size_max(p->words, 1), DEPTH), deepest = divide_up(size_max(p->words, 1), parts);
    size_t most = BLOCK_PAIRS / (2 * deepest) / TILE_ROWS * TILE_ROWS, blocks = divide_up(p->rows, most);
    for (size_t block = 0; block < blocks; block++) {
        size_t first = block * most, rows = size_min(p->rows - first, most);
        for (size_t i = 0; i < parts; i++) {
            size_t k0 = p->words * i / parts, k1 = p->words * (i + 1) / parts, stride = 2 * (k1 - k0);
            for (size_t row = 0; row < rows; row++)
                widen_row(pairs + row * stride, p->a + (first + row) * p->a_stride + k0, k1 - k0);
            product_part(p, &(part){pairs, stride, first, k0, k1}, rows);
        }
    }
}
