/* Products of 16-bit integers by VPMADDWD, AVX2, which multiplies them and adds the products in pairs: an instruction
 * does the work of two fused multiply-adds of floats, and sums are exact. A tile is up to 6 rows by half a panel.
 *
 * The including file defines BYTES. 0: a word of b is a pair, and c = column_scale sum. 1: a word of b is four bytes,
 * and c = row_scale column_scale sum. Bytes are widened in registers. The even bytes of a word are one pair and its odd
 * bytes are another, because shifts widen these, and nothing moves between lanes. */
#include <immintrin.h>

#include "base/checked.h"
#include "kernels/math_avx2.h"
#include "kernels/product_low.h"

enum {
    TILE_ROWS = 6,
    HALF = PANEL / 2,
    PAIRS = BYTES ? 2 : 1, /* of a word */
};

/* A block of rows from `first`, and the words [k0, k1) of the depth. Its part of a, pairs [rows][words][PAIRS], has a
 * stride. */
typedef struct part {
    const uint32_t *pairs;
    size_t stride, first, k0, k1;
} part;

/* The pair `i` of each word of b. */
static inline __m256i pairs_of_b(const uint32_t *b, int i) {
    __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)b);
    if (!BYTES) return words;
    return _mm256_srai_epi16(i ? words : _mm256_slli_epi16(words, 8), 8);
}

/* One tile of `rows` rows from `row` of the block. `rows` is a constant at every call. The first part of the depth
 * leaves its sums in c, and the next one starts from them. */
static inline __attribute__((always_inline)) void tile(const product_low *p, const part *of, size_t row, size_t column,
                                                       const int rows) {
    const size_t words = of->k1 - of->k0, left = p->columns - column;
    const uint32_t *a = of->pairs + row * of->stride;
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
        for (int pair = 0; pair < PAIRS; pair++) {
            __m256i b0 = pairs_of_b(b, pair), b1 = pairs_of_b(b + 8, pair);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                __m256i x = _mm256_set1_epi32((int)a[(size_t)i * of->stride + PAIRS * k + (size_t)pair]);
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
            __m256 y = _mm256_cvtepi32_ps(sum[i][j]);
            if (BYTES) y = _mm256_mul_ps(y, _mm256_set1_ps(p->row_scale[r]));
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

/* The tiles of a part of a block, whose rows are divided evenly over them. */
static void product_part(const product_low *p, const part *of, size_t rows) {
    const size_t count = divide_up(rows, TILE_ROWS);
    for (size_t column = 0; column < p->columns; column += HALF)
        for (size_t t = 0; t < count; t++) {
            size_t row = rows * t / count;
            tile_rows(p, of, row, column, rows * (t + 1) / count - row);
        }
}
