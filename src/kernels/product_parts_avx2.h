/* Products of low precision, AVX2. A word of b is widened in registers to its parts, once for each tile of up to 6
 * rows by half a panel; a has been widened before, or needs it not. The including file defines, with sums as __m256i of
 * integers or of floats,
 *   PARTS                                parts of a word, each with a 32-bit word of the widened a
 *   part_of(words, i)                    part i of eight words of b
 *   join(sum, x, b)                      sum + x b
 *   scaled(p, sum, row, column, mask)    eight sums as floats, with their scales */
#include <immintrin.h>

#include "base/checked.h"
#include "kernels/finish_avx2.h"
#include "kernels/product_low.h"

enum { TILE_ROWS = 6, HALF = PANEL / 2 };

/* A block of rows from `first`, and the words [k0, k1) of the depth. Its part of a, [rows][words][PARTS], has a stride.
 */
typedef struct block {
    const uint32_t *a;
    size_t stride, first, k0, k1;
} block;

static inline __m256i load_8(const void *from) {
    return _mm256_loadu_si256(from);
}

/* The sum is in a register here. Without this, gcc adds the products of both parts first, because sums of integers may
 * be reordered, and has then no registers left for the sums. */
static inline void in_register(__m256i *sum) {
    __asm__("" : "+x"(*sum));
}

/* One tile of `rows` rows from `row` of the block. `rows` is a constant at every call. The first part of the depth
 * leaves its sums in c, and the next one starts from them. */
static inline __attribute__((always_inline)) void tile(const product_low *p, const block *of, size_t row, size_t column,
                                                       const int rows) {
    const size_t words = of->k1 - of->k0, left = p->columns - column;
    const uint32_t *a = of->a + row * of->stride;
    const uint32_t *b = p->b + column / PANEL * PANEL * product_low_pitch(p) + of->k0 * PANEL + column % PANEL;
    float *c = p->c + (of->first + row) * p->c_stride + column;
    const __m256i mask[2] = {lanes_8(left < 8 ? left : 8), lanes_8(left < 8 ? 0 : left < 16 ? left - 8 : 8)};
    __m256i sum[TILE_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++)
            sum[i][j] =
                of->k0 > 0 || p->add
                    ? _mm256_maskload_epi32((const int *)(const void *)(c + (size_t)i * p->c_stride + 8 * j), mask[j])
                    : _mm256_setzero_si256();
    for (size_t k = 0; k < words; k++, b += PANEL) {
#pragma GCC unroll 2
        for (int part = 0; part < PARTS; part++) {
            __m256i b0 = part_of(load_8(b), part), b1 = part_of(load_8(b + 8), part);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                __m256i x = _mm256_set1_epi32((int)a[(size_t)i * of->stride + PARTS * k + (size_t)part]);
                sum[i][0] = join(sum[i][0], x, b0);
                sum[i][1] = join(sum[i][1], x, b1);
                in_register(&sum[i][0]);
                in_register(&sum[i][1]);
            }
        }
    }
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; j++) {
        size_t at = column + 8 * j;
        if (at >= p->columns) break;
        __m256 bias = p->bias ? _mm256_maskload_ps(p->bias + at, mask[j]) : _mm256_setzero_ps();
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            float *out = c + (size_t)i * p->c_stride + 8 * j;
            if (of->k1 < p->words) {
                _mm256_maskstore_epi32((int *)(void *)out, mask[j], sum[i][j]);
                continue;
            }
            const size_t r = of->first + row + (size_t)i;
            end_eight(p, scaled(p, sum[i][j], r, at, mask[j]), r, at, bias, mask[j]);
        }
    }
}

static void tile_rows(const product_low *p, const block *of, size_t row, size_t column, size_t rows) {
    switch (rows) {
    case 1: tile(p, of, row, column, 1); break;
    case 2: tile(p, of, row, column, 2); break;
    case 3: tile(p, of, row, column, 3); break;
    case 4: tile(p, of, row, column, 4); break;
    case 5: tile(p, of, row, column, 5); break;
    default: tile(p, of, row, column, 6); break;
    }
}

/* The tiles of a block, whose rows are divided evenly over them. */
static void product_block(const product_low *p, const block *of, size_t rows) {
    const size_t count = divide_up(rows, TILE_ROWS);
    for (size_t column = 0; column < p->columns; column += HALF)
        for (size_t t = 0; t < count; t++) {
            size_t row = rows * t / count;
            tile_rows(p, of, row, column, rows * (t + 1) / count - row);
        }
}

/* Loads and stores up to eight words. */
static inline __m256i load_some(const void *from, size_t count) {
    return _mm256_maskload_epi32(from, lanes_8(count < 8 ? count : 8));
}

static inline void store_some(void *to, size_t count, __m256i value) {
    _mm256_maskstore_epi32(to, lanes_8(count < 8 ? count : 8), value);
}

/* Widens `words` words of a row of a to PARTS words each. */
typedef void widen_function(uint32_t *out, const uint32_t *a, size_t words);

/* The product of blocks of rows of a that are widened first. */
static inline __attribute__((always_inline)) void product_widened(const product_low *p, widen_function *widen) {
    enum {
        DEPTH = 256,             /* words of one pass: half a panel of them stays in the first-level cache */
        ROOM = PARTS * 16 * 1024 /* a part of the second-level cache, and of the stack */
    };
    _Static_assert(PARTS * DEPTH * TILE_ROWS <= ROOM, "a block has the rows of a tile");
    uint32_t wide[ROOM];
    size_t passes = divide_up(size_max(p->words, 1), DEPTH), deepest = divide_up(size_max(p->words, 1), passes);
    size_t most = ROOM / (PARTS * deepest) / TILE_ROWS * TILE_ROWS;
    for (size_t first = 0; first < p->rows; first += most) {
        size_t rows = size_min(p->rows - first, most);
        for (size_t i = 0; i < passes; i++) {
            size_t k0 = p->words * i / passes, k1 = p->words * (i + 1) / passes, stride = PARTS * (k1 - k0);
            for (size_t row = 0; row < rows; row++)
                widen(wide + row * stride, p->a + (first + row) * p->a_stride + k0, k1 - k0);
            product_block(p, &(block){wide, stride, first, k0, k1}, rows);
        }
    }
}
