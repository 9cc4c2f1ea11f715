/* The sparse product for any instruction set. The including file defines
 *   LANES                                 words of a register
 *   vector                                a register of integers
 *   PARTS                                 parts of a word, as in product_parts_avx2.h
 *   zero(), load(from), store(to, x)      of whole registers; memory of its own, well aligned
 *   load_row(from, count)                 the first `count` words, else zeros
 *   transpose(rows)                       LANES registers, in place
 *   part_of_rows(x, i), part_of_word(word, i)   part i of LANES rows' words; of a word of b, in all lanes
 *   join(sum, x, b)                       sum + x b
 *   finish(p, sum, row, column, count)    the end of `count` results of a row */
#include "base/checked.h"
#include "kernels/product_sparse.h"

enum { REGISTERS = 4, BLOCK = REGISTERS * LANES };
_Static_assert((int)BLOCK <= (int)SPARSE_MOST_ROWS && PARTS * (int)BLOCK <= 2 * (int)SPARSE_MOST_ROWS,
               "there is room for a block");

/* Rows of a block as registers of rows: out [words][registers][PARTS][LANES]. */
static void turn_rows(uint32_t *out, const product_low *p, size_t row, size_t rows, size_t first, size_t words) {
    const size_t registers = divide_up(rows, LANES);
    for (size_t r = 0; r < registers; r++)
        for (size_t k = 0; k < words; k += LANES) {
            vector square[LANES];
            for (size_t i = 0; i < LANES; i++) {
                const size_t at = r * LANES + i;
                square[i] = at < rows
                                ? load_row(p->a + (row + at) * p->a_stride + first + k, size_min(words - k, LANES))
                                : zero();
            }
            transpose(square);
            for (size_t i = 0; i < LANES && k + i < words; i++)
                for (int part = 0; part < PARTS; part++)
                    store(out + (((k + i) * registers + r) * PARTS + (size_t)part) * LANES,
                          part_of_rows(square[i], part));
        }
}

/* Adds a part of the depth to the sums [columns][registers][LANES]. `registers` is a constant at every call. */
static inline __attribute__((always_inline)) void add_part(const product_sparse *p, uint32_t *sums, const uint32_t *a,
                                                           const uint32_t *begin, bool begun, const size_t registers) {
    for (size_t j = 0; j < p->dense.columns; j++, sums += registers * LANES) {
        vector sum[REGISTERS];
#pragma GCC unroll 4
        for (size_t r = 0; r < registers; r++) sum[r] = begun ? load(sums + r * LANES) : zero();
        for (uint32_t e = begin[j]; e < begin[j + 1]; e++) {
            const uint32_t word = p->b->words[e], *x = a + p->b->at[e] * (registers * PARTS * LANES);
#pragma GCC unroll 2
            for (int part = 0; part < PARTS; part++) {
                const vector b = part_of_word(word, part);
#pragma GCC unroll 4
                for (size_t r = 0; r < registers; r++)
                    sum[r] = join(sum[r], load(x + (r * PARTS + (size_t)part) * LANES), b);
            }
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < registers; r++) store(sums + r * LANES, sum[r]);
    }
}

static void end_block(const product_sparse *p, const uint32_t *sums, size_t row, size_t rows) {
    const size_t registers = divide_up(rows, LANES), columns = p->dense.columns;
    for (size_t column = 0; column < columns; column += LANES)
        for (size_t r = 0; r < registers; r++) {
            const size_t count = size_min(columns - column, LANES);
            vector square[LANES];
            for (size_t i = 0; i < LANES; i++)
                square[i] = i < count ? load(sums + ((column + i) * registers + r) * LANES) : zero();
            transpose(square);
            for (size_t i = 0; i < LANES && r * LANES + i < rows; i++)
                finish(&p->dense, square[i], row + r * LANES + i, column, count);
        }
}

static void product_any(const product_sparse *p) {
    const size_t words = p->dense.words, pitch = p->b->columns + 1;
    uint32_t *sums = p->scratch, *a = sums + round_up(p->dense.columns, 16) * BLOCK;
    for (size_t row = 0; row < p->dense.rows; row += BLOCK) {
        const size_t rows = size_min(p->dense.rows - row, BLOCK);
        for (size_t first = 0; first < words; first += SPARSE_PART) {
            const uint32_t *begin = p->b->begin + first / SPARSE_PART * pitch + p->first;
            turn_rows(a, &p->dense, row, rows, first, size_min(words - first, SPARSE_PART));
            switch (divide_up(rows, LANES)) {
            case 1: add_part(p, sums, a, begin, first > 0, 1); break;
            case 2: add_part(p, sums, a, begin, first > 0, 2); break;
            case 3: add_part(p, sums, a, begin, first > 0, 3); break;
            default: add_part(p, sums, a, begin, first > 0, 4); break;
            }
        }
        end_block(p, sums, row, rows);
    }
}
