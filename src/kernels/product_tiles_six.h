/* Divides rows and columns over tiles of up to 6 rows by half a panel, for the products of AVX2 and NEON. Blocks of
 * rows are as in product_tiles_avx512.h. After the include, the including file defines
 *   static void tile(const product_f32 *p, size_t row, size_t column, const int rows)
 * which is inlined with a constant number of rows. */
#include "base/checked.h"
#include "kernels/product.h"

enum { TILE_ROWS = 6, HALF = PANEL / 2, BLOCK_BYTES = 256 * 1024 };

static inline __attribute__((always_inline)) void tile(const product_f32 *p, size_t row, size_t column, const int rows);

static void tile_rows(const product_f32 *p, size_t row, size_t column, size_t rows) {
    switch (rows) {
    case 1: tile(p, row, column, 1); break;
    case 2: tile(p, row, column, 2); break;
    case 3: tile(p, row, column, 3); break;
    case 4: tile(p, row, column, 4); break;
    case 5: tile(p, row, column, 5); break;
    default: tile(p, row, column, 6); break;
    }
}

static void product_any(const product_f32 *p) {
    size_t block_rows = size_max(BLOCK_BYTES / sizeof(float) / size_max(p->depth, 1) / TILE_ROWS, 1) * TILE_ROWS;
    size_t blocks = divide_up(p->rows, block_rows);
    for (size_t block = 0; block < blocks; block++) {
        size_t begin = p->rows * block / blocks, rows = p->rows * (block + 1) / blocks - begin;
        size_t count = divide_up(rows, TILE_ROWS);
        for (size_t column = 0; column < p->columns; column += HALF)
            for (size_t i = 0; i < count; i++) {
                size_t row = rows * i / count, next = rows * (i + 1) / count;
                tile_rows(p, begin + row, column, next - row);
            }
    }
}
