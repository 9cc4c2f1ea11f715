/* The matrix product in low precision by tiles, for processors that multiply 16 rows by 16 columns in one instruction
 * (AMX). Eight registers hold tiles of 16 rows of 64 bytes. A step is the depth of one tile: 16 words. A block is 32
 * rows by one panel: four tiles of sums, two of a, two of b.
 *
 * Rows of a begin at multiples of 64 bytes, are zero from `words` to the end of their last step, and exist up to a
 * multiple of 16 rows, with any contents: low_stride and low_room. The last step of a depth that ends within it has a
 * copy of b's words, padded with zeros.
 *
 * The depth is run in parts of 8 steps, so that the part of a panel, 16 KiB, stays in the first-level cache while rows
 * of a stream from the second. The sums between two parts wait in memory. Sums of a finished block are stored while the
 * first tiles of the next block are multiplied, and its rows are finished between the following products: the tile unit
 * never waits for the vector unit. Where nothing follows the sums, they are loaded from c and stored to it. An element
 * has the same sequence of operations whatever the rows beside it.
 *
 * The including file defines
 *   TILE_CONFIGURE(), TILE_RELEASE()   eight tiles of 16 rows of 64 bytes, before and after
 *   TILE_ZERO(t), TILE_LOAD(t, from, stride), TILE_STORE(t, to, stride)   t: a literal; stride in bytes
 *   TILE_MULTIPLY(sum, a, b)           sum += a b
 *   SUMS_ARE_RESULTS                   whether sums are floats without a scale
 *   TILE_FENCE()                       nothing else is stored or loaded later than what stands before it
 *   finish_row(p, sums, row, column, count)   a row of `count` columns, at most PANEL: c from its sums */
#include <string.h>

#include "base/checked.h"
#include "kernels/product_low.h"

enum {
    SIDE = 16,
    PART = 8, /* steps */
    STEP_WORDS = SIDE * PANEL,
    PAIR = 2 * SIDE,
    BLOCK_PAIRS = 16,
    BLOCK_BYTES = 1100 * 1024,       /* the rows of a that stay in the second-level cache */
    PLACE = PAIR * PANEL,            /* the sums of a block */
    PLACES_APART = PLACE + 2112 / 4, /* not 4096 bytes: stores would seem to collide with the next loads */
    ROW_BYTES = PANEL * sizeof(float)
};

static void finish_row(const product_low *p, const float *sums, size_t row, size_t column, size_t count);

/* A block whose sums are still in the tiles, or have rows that are not finished. */
typedef struct pending {
    float *place;  /* where its sums go; NULL: there is no block */
    size_t stride; /* floats between rows of the place */
    size_t row, rows, column, finished;
    bool last; /* no part follows: its rows are to be finished */
} pending;

static void finish_rows(const product_low *p, pending *block, size_t count) {
    if (!block->last) return;
    size_t columns = size_min(p->columns - block->column, PANEL), end = size_min(block->finished + count, block->rows);
    for (; block->finished < end; block->finished++)
        finish_row(p, block->place + block->finished * PANEL, block->row + block->finished, block->column, columns);
}

#define STORE_SUMS(t, block, i, j)                                                                                     \
    if ((block)->place && (block)->rows > (i)*SIDE)                                                                    \
    TILE_STORE(t, (block)->place + (i)*SIDE * (block)->stride + (j)*SIDE, (block)->stride * sizeof(float))

#define BEGIN_SUMS(t, from, stride, i, j)                                                                              \
    do {                                                                                                               \
        if (from)                                                                                                      \
            TILE_LOAD(t, (from) + (i)*SIDE * (stride) + (j)*SIDE, (stride) * sizeof(float));                           \
        else                                                                                                           \
            TILE_ZERO(t);                                                                                              \
    } while (0)

/* The part [k0, k1) of a panel's steps: its words, and the padded words of the step `tail_at`. */
typedef struct panel_part {
    const uint32_t *b, *tail;
    size_t tail_at, k0, k1;
    const char *ahead; /* what to fetch next, so many cache lines in each step */
    size_t lines;
    bool near; /* to the first-level cache */
} panel_part;

static inline void fetch_ahead(const panel_part *of, size_t step) {
    const char *line = of->ahead + step * of->lines * 64;
    for (size_t i = 0; i < of->lines; i++, line += 64)
        if (of->near)
            __builtin_prefetch(line, 0, 3);
        else
            __builtin_prefetch(line, 0, 2);
}

/* A block over a part of the depth. Its sums start from `from`, or from zero when it is NULL. The block before is
 * stored and finished meanwhile. */
static inline void run_block(const product_low *p, pending *before, const pending *block, const float *from,
                             size_t from_stride, const panel_part *of) {
    const bool two = block->rows > SIDE;
    const size_t stride = p->a_stride * sizeof(uint32_t);
    const size_t k0 = of->k0, k1 = of->k1;
    const uint32_t *a = p->a + block->row * p->a_stride + k0 * SIDE, *a1 = a + SIDE * p->a_stride, *b = of->b;
    const size_t at_once = divide_up(before->rows, size_max(k1 - k0 - 1, 1));
    for (size_t k = k0; k < k1; k++, a += SIDE, a1 += SIDE, b += STEP_WORDS) {
        const uint32_t *words = k == of->tail_at ? of->tail : b;
        fetch_ahead(of, k - k0);
        TILE_LOAD(6, words, ROW_BYTES);
        TILE_LOAD(4, a, stride);
        if (k == k0) {
            STORE_SUMS(0, before, 0, 0);
            BEGIN_SUMS(0, from, from_stride, 0, 0);
            TILE_MULTIPLY(0, 4, 6);
            TILE_LOAD(7, words + SIDE, ROW_BYTES);
            STORE_SUMS(1, before, 0, 1);
            BEGIN_SUMS(1, from, from_stride, 0, 1);
            TILE_MULTIPLY(1, 4, 7);
            STORE_SUMS(2, before, 1, 0);
            STORE_SUMS(3, before, 1, 1);
            if (!two) continue;
            TILE_LOAD(5, a1, stride);
            BEGIN_SUMS(2, from, from_stride, 1, 0);
            TILE_MULTIPLY(2, 5, 6);
            BEGIN_SUMS(3, from, from_stride, 1, 1);
            TILE_MULTIPLY(3, 5, 7);
            continue;
        }
        TILE_LOAD(7, words + SIDE, ROW_BYTES);
        TILE_MULTIPLY(0, 4, 6);
        TILE_MULTIPLY(1, 4, 7);
        if (two) {
            TILE_LOAD(5, a1, stride);
            TILE_MULTIPLY(2, 5, 6);
            TILE_MULTIPLY(3, 5, 7);
        }
        finish_rows(p, before, at_once);
    }
    finish_rows(p, before, before->rows);
}

/* Copies the rows of c from which sums start. */
static void take_sums(const product_low *p, const pending *block, float *place) {
    size_t columns = size_min(p->columns - block->column, PANEL);
    TILE_FENCE();
    memset(place, 0, PLACE * sizeof *place);
    for (size_t i = 0; i < block->rows; i++)
        memcpy(place + i * PANEL, p->c + (block->row + i) * p->c_stride + block->column, columns * sizeof *place);
    TILE_FENCE();
}

/* Whether the sums of a block can be loaded from c and stored to it: nothing follows them, and c has the places. */
static inline bool is_straight(const product_low *p, const pending *block) {
    return SUMS_ARE_RESULTS && !p->bias && !p->residual && !p->half && p->act == ACTIVATION_NONE &&
           block->rows % SIDE == 0 && p->columns - block->column >= PANEL && p->c_stride % SIDE == 0 &&
           (uintptr_t)p->c % 64 == 0;
}

static void product_by_tiles(const product_low *p) {
    if (p->rows == 0 || p->columns == 0) return;
    /* [0, BLOCK_PAIRS): sums between parts; then a block that is finished; then sums to start from */
    float places[(BLOCK_PAIRS + 2) * PLACES_APART] __attribute__((aligned(64)));
    float *const finishing = places + BLOCK_PAIRS * PLACES_APART, *const starting = finishing + PLACES_APART;
    uint32_t tail[STEP_WORDS] __attribute__((aligned(64)));
    const size_t steps = divide_up(size_max(p->words, 1), SIDE), tail_words = p->words % SIDE;
    const size_t tail_at = p->words == 0 || tail_words ? steps - 1 : steps;
    const size_t fitting = BLOCK_BYTES / (steps * SIDE * sizeof(uint32_t)) / PAIR;
    const size_t most = PAIR * size_max(size_min(fitting, BLOCK_PAIRS), 1);
    pending before = {0};
    product_low empty = *p;
    if (p->words == 0) { /* one step of zeros: rows have none */
        empty.a = tail;
        empty.a_stride = 0;
        p = &empty;
    }
    TILE_CONFIGURE();
    for (size_t first = 0; first < p->rows; first += most) {
        const size_t rows = size_min(p->rows - first, most), pairs = divide_up(rows, PAIR);
        for (size_t column = 0; column < p->columns; column += PANEL) {
            const uint32_t *b = p->b + column * product_low_pitch(p);
            if (tail_at < steps) {
                TILE_FENCE();
                memset(tail, 0, sizeof tail);
                memcpy(tail, b + tail_at * STEP_WORDS, tail_words * PANEL * sizeof *tail);
                TILE_FENCE();
            }
            for (size_t k0 = 0; k0 < steps; k0 += PART) {
                /* With one pair, four steps ahead; otherwise the next part, of which each pair fetches its share. */
                const size_t k1 = size_min(k0 + PART, steps), lines = size_max(PANEL / pairs, 1);
                const size_t ahead = (pairs > 1 ? k1 : k0 + PART / 2) * STEP_WORDS * sizeof *b;
                for (size_t row = 0; row < rows; row += PAIR) {
                    float *between = places + row / PAIR * PLACES_APART;
                    pending block = {.place = k1 < steps ? between : finishing,
                                     .stride = PANEL,
                                     .row = first + row,
                                     .rows = size_min(rows - row, PAIR),
                                     .column = column,
                                     .last = k1 == steps};
                    const float *from = k0 > 0 ? between : p->add ? starting : NULL;
                    if (is_straight(p, &block)) { /* its sums are the result */
                        block.place = p->c + block.row * p->c_stride + column;
                        block.stride = p->c_stride;
                        block.last = false;
                        from = k0 > 0 || p->add ? block.place : NULL;
                    } else if (k0 == 0 && p->add) {
                        take_sums(p, &block, starting);
                    }
                    const panel_part of = {.b = b + k0 * STEP_WORDS,
                                           .tail = tail,
                                           .tail_at = tail_at,
                                           .k0 = k0,
                                           .k1 = k1,
                                           .ahead = (const char *)b + ahead + row / PAIR * lines * PART * 64,
                                           .lines = lines,
                                           .near = pairs == 1};
                    run_block(p, &before, &block, from, block.stride, &of);
                    before = block;
                }
            }
        }
    }
    STORE_SUMS(0, &before, 0, 0);
    STORE_SUMS(1, &before, 0, 1);
    STORE_SUMS(2, &before, 1, 0);
    STORE_SUMS(3, &before, 1, 1);
    finish_rows(p, &before, before.rows);
    TILE_RELEASE();
}
