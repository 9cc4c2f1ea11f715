/* The 8-bit product, AVX2. VPMADDWD multiplies 16-bit integers and adds the products in pairs: an instruction does the
 * work of two fused multiply-adds of floats, and sums are exact. Bytes are widened to 16 bits first. The even bytes of
 * a word are one pair and its odd bytes are another, because shifts widen these, and nothing moves between lanes. Rows
 * of a are widened once for each block of rows. Words of b are widened in registers, once for each tile of up to 6 rows
 * by half a panel. */
#include <immintrin.h>

#include "base/checked.h"
#include "kernels/math_avx2.h"
#include "kernels/product_low.h"

enum {
    TILE_ROWS = 6,
    HALF = PANEL / 2,
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

/* A block of rows, and the part [k0, k1) of the depth: pairs [rows][k1 - k0][2] are the rows from `first`. */
typedef struct part {
    const uint32_t *pairs;
    size_t first, k0, k1;
} part;

/* One tile of `rows` rows from `row` of the block. `rows` is a constant at every call. The first part of the depth
 * leaves its sums in c, and the next one starts from them. */
static inline __attribute__((always_inline)) void tile(const product_low *p, const part *of, size_t row, size_t column,
                                                       const int rows) {
    const size_t words = of->k1 - of->k0, left = p->columns - column;
    const uint32_t *a = of->pairs + row * 2 * words;
    const uint32_t *b = p->b + column / PANEL * PANEL * product_low_pitch(p) + of->k0 * PANEL + column % PANEL;
    float *c = p->c + (of->first + row) * p->c_stride + column;
    const __m256i mask[2] = {lanes_8(left < 8 ? left : 8), lanes_8(left < 8 ? 0 : left < 16 ? left - 8 : 8)};
    __m256i sum[TILE_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++)
            sum[i][j] =
                of->k0 > 0
                    ? _mm256_maskload_epi32((const int *)(const void *)(c + (size_t)i * p->c_stride + 8 * j), mask[j])
                    : _mm256_setzero_si256();
    for (size_t k = 0; k < words; k++, b += PANEL) {
#pragma GCC unroll 2
        for (size_t odd = 0; odd < 2; odd++) {
            __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)b);
            __m256i b1 = _mm256_loadu_si256((const __m256i *)(const void *)(b + 8));
            b0 = _mm256_srai_epi16(odd ? b0 : _mm256_slli_epi16(b0, 8), 8);
            b1 = _mm256_srai_epi16(odd ? b1 : _mm256_slli_epi16(b1, 8), 8);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                __m256i x = _mm256_set1_epi32((int)a[(size_t)i * 2 * words + 2 * k + odd]);
                sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(x, b0));
                sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(x, b1));
            }
        }
    }
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; j++) {
        size_t at = column + 8 * j;
        if (at >= p->columns) break;
        __m256 scale = _mm256_maskload_ps(p->column_scale + at, mask[j]);
        __m256 bias = p->bias ? _mm256_maskload_ps(p->bias + at, mask[j]) : _mm256_setzero_ps();
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            float *out = c + (size_t)i * p->c_stride + 8 * j;
            if (of->k1 < p->words) {
                _mm256_maskstore_epi32((int *)(void *)out, mask[j], sum[i][j]);
                continue;
            }
            const size_t r = of->first + row + (size_t)i;
            __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i][j]), _mm256_set1_ps(p->row_scale[r]));
            y = activate_8(_mm256_add_ps(_mm256_mul_ps(y, scale), bias), p->act);
            if (p->residual)
                y = _mm256_add_ps(y, _mm256_maskload_ps(p->residual + r * p->residual_stride + at, mask[j]));
            _mm256_maskstore_ps(out, mask[j], y);
        }
    }
}

static void tile_rows(const product_low *p, const part *of, size_t row, size_t column, size_t rows) {
    switch (rows) {
    case 1: tile(p, of, row, column, 1); break;
    case 2: tile(p, of, row, column, 2); break;
    case 3: tile(p, of, row, column, 3); break;
    case 4: tile(p, of, row, column, 4); break;
    case 5: tile(p, of, row, column, 5); break;
    default: tile(p, of, row, column, 6); break;
    }
}

void product_int8_avx2(const product_low *p) {
    uint32_t pairs[BLOCK_PAIRS];
    size_t parts = divide_up(size_max(p->words, 1), DEPTH), deepest = divide_up(size_max(p->words, 1), parts);
    size_t most = BLOCK_PAIRS / (2 * deepest) / TILE_ROWS * TILE_ROWS, blocks = divide_up(p->rows, most);
    for (size_t block = 0; block < blocks; block++) {
        size_t first = block * most, rows = size_min(p->rows - first, most), count = divide_up(rows, TILE_ROWS);
        for (size_t i = 0; i < parts; i++) {
            part of = {pairs, first, p->words * i / parts, p->words * (i + 1) / parts};
            size_t words = of.k1 - of.k0;
            for (size_t row = 0; row < rows; row++)
                widen_row(pairs + row * 2 * words, p->a + (first + row) * p->a_stride + of.k0, words);
            for (size_t column = 0; column < p->columns; column += HALF)
                for (size_t t = 0; t < count; t++) {
                    size_t row = rows * t / count;
                    tile_rows(p, &of, row, column, rows * (t + 1) / count - row);
                }
        }
    }
}
