/* The low-precision products by tiles, for 64-bit Arm. A tile of up to 12 rows by 8 columns has its sums in 24
 * registers while it is summed over a part of the depth. The rows of a block are packed first, in groups, so that a
 * register of a holds the words of a whole group. The sums of the parts are added in c.
 *
 * The including file defines
 *   EXACT         whether sums are integers, which get scales (int8), or floats (bf16)
 *   GROUP, STEP   the rows of a group, and the words of each that a register holds: GROUP * STEP = 4
 *   group_words   packs a group
 *   multiply      the sums of a tile */
#include <arm_neon.h>

#include "base/checked.h"
#include "kernels/math_neon.h"
#include "kernels/product_low.h"

enum {
    TILE_ROWS = 12,
    TILE_COLUMNS = 8,
    VECTORS = TILE_COLUMNS / 4,
    DEPTH = 256,     /* the words of a part: 8 columns of them stay in the first-level cache */
    ROOM = 32 * 1024 /* the words of a block in a part: a share of the second-level cache, and of the stack */
};
_Static_assert((GROUP) * (STEP) == 4 && TILE_ROWS % GROUP == 0, "a register holds a step of a group");
_Static_assert(DEPTH % STEP == 0 && DEPTH * TILE_ROWS <= ROOM, "a block has the rows of a tile");

/* The sums of a row of a tile: floats, or the bits of integers. */
typedef float32x4_t row_sums[VECTORS];

/* Packs the words of GROUP rows: out [words / STEP][GROUP][STEP]. `words` is a multiple of 4; as integers, a's
 * q + 128 becomes q. */
static inline void group_words(uint32_t *out, const uint32_t *const *rows, size_t words);

/* The sums of a tile of `rows` rows, from zero. Groups of a are `pitch` words apart, rows of b PANEL words. `rows` is a
 * constant at every call. A last step that is not whole has zeros in a, and reads no row of b that is not there. */
static inline __attribute__((always_inline)) void multiply(row_sums *sums, const uint32_t *a, size_t pitch,
                                                           const uint32_t *b, size_t words, const int rows);

/* Packs up to GROUP rows. Where there are fewer, the last one stands for the rest. */
static void pack_group(uint32_t *out, const uint32_t *a, size_t stride, size_t rows, size_t words) {
    const size_t whole = words / 4 * 4;
    const uint32_t *from[GROUP];
    for (size_t i = 0; i < GROUP; i++) from[i] = a + size_min(i, rows - 1) * stride;
    group_words(out, from, whole);
    for (size_t k = whole; k < round_up(words, STEP); k++)
        for (size_t i = 0; i < GROUP; i++)
            out[(k / STEP * GROUP + i) * STEP + k % STEP] = k < words ? from[i][k] ^ (EXACT ? 0x80808080u : 0) : 0;
}

static inline float32x4_t add_sums(float32x4_t x, float32x4_t y) {
    if (!EXACT) return vaddq_f32(x, y);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), vreinterpretq_s32_f32(y)));
}

/* The place of a part's sums in c. With `begun`, c has the sums of earlier parts, and these are added. With `last`, no
 * part follows, and the sums get bias, activation and residual. */
typedef struct ending {
    size_t first, column, rows;
    bool begun, last;
} ending;

/* `whole`: the tile has all of its columns. It and `act` are constants where that makes the loop short. */
static inline __attribute__((always_inline)) void put_rows(const product_low *p, row_sums *sums, const ending *of,
                                                           bool whole, activation act) {
    const size_t left = p->columns - of->column, c_stride = p->c_stride, residual_stride = p->residual_stride;
    const size_t counts[VECTORS] = {whole ? 4 : left, whole ? 4 : left < 4 ? 0 : left - 4};
    const bool begun = of->begun, last = of->last;
    float *c = p->c + of->first * c_stride + of->column;
    const float *residual = p->residual ? p->residual + of->first * residual_stride + of->column : NULL;
    const float *row_scale = EXACT ? p->row_scale + of->first : NULL;
    float32x4_t scale[VECTORS], bias[VECTORS];
    for (size_t j = 0; j < VECTORS; j++) {
        scale[j] = EXACT ? load_up_to_4(p->column_scale + of->column + 4 * j, counts[j]) : vdupq_n_f32(1);
        bias[j] = p->bias ? load_up_to_4(p->bias + of->column + 4 * j, counts[j]) : vdupq_n_f32(0);
    }
    for (size_t i = 0, rows = of->rows; i < rows; i++, c += c_stride)
        for (size_t j = 0; j < VECTORS; j++) {
            float32x4_t y = sums[i][j];
            if (begun) y = add_sums(load_up_to_4(c + 4 * j, counts[j]), y);
            if (last) {
                if (EXACT) y = vmulq_n_f32(vcvtq_f32_s32(vreinterpretq_s32_f32(y)), row_scale[i]);
                if (EXACT) y = vmulq_f32(y, scale[j]);
                y = activate_4(vaddq_f32(y, bias[j]), act);
                if (residual) y = vaddq_f32(y, load_up_to_4(residual + i * residual_stride + 4 * j, counts[j]));
            }
            store_up_to_4(c + 4 * j, y, counts[j]);
        }
}

static __attribute__((noinline)) void put_sums(const product_low *p, row_sums *sums, const ending *of) {
    if (p->columns - of->column < TILE_COLUMNS)
        put_rows(p, sums, of, false, p->act);
    else if (p->act == ACTIVATION_NONE || !of->last)
        put_rows(p, sums, of, true, ACTIVATION_NONE);
    else if (p->act == ACTIVATION_GELU)
        put_rows(p, sums, of, true, ACTIVATION_GELU);
    else
        put_rows(p, sums, of, true, p->act);
}

static void multiply_rows(row_sums *sums, const uint32_t *a, size_t pitch, const uint32_t *b, size_t words,
                          size_t rows) {
#define ROWS(n)                                                                                                        \
    case n: multiply(sums, a, pitch, b, words, n); break;
    switch (rows) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
        ROWS(9)
        ROWS(10)
        ROWS(11)
        ROWS(12)
    }
#undef ROWS
}

/* The tiles of a block of rows from `first`, over the words [k0, k1). Groups are divided evenly over the tiles. */
static void product_block(const product_low *p, uint32_t *room, size_t first, size_t rows, size_t k0, size_t k1) {
    const size_t words = k1 - k0, pitch = GROUP * round_up(words, STEP), groups = divide_up(rows, GROUP);
    const size_t tiles = divide_up(rows, TILE_ROWS);
    for (size_t i = 0; i < groups; i++)
        pack_group(room + i * pitch, p->a + (first + i * GROUP) * p->a_stride + k0, p->a_stride, rows - i * GROUP,
                   words);
    for (size_t column = 0; column < p->columns; column += TILE_COLUMNS) {
        const uint32_t *b = p->b + column / PANEL * PANEL * product_low_pitch(p) + k0 * PANEL + column % PANEL;
        for (size_t t = 0; t < tiles; t++) {
            const size_t group = groups * t / tiles, row = group * GROUP;
            const size_t count = size_min(groups * (t + 1) / tiles * GROUP, rows) - row;
            row_sums sums[TILE_ROWS];
            multiply_rows(sums, room + group * pitch, pitch, b, words, count);
            put_sums(p, sums, &(ending){first + row, column, count, k0 > 0 || p->add, k1 == p->words});
        }
    }
}

static void product_any(const product_low *p) {
    uint32_t room[ROOM];
    const size_t parts = divide_up(size_max(p->words, 1), DEPTH), deepest = divide_up(size_max(p->words, 1), parts);
    const size_t most = ROOM / round_up(deepest, STEP) / TILE_ROWS * TILE_ROWS, blocks = divide_up(p->rows, most);
    for (size_t block = 0; block < blocks; block++) {
        const size_t first = p->rows * block / blocks, rows = p->rows * (block + 1) / blocks - first;
        for (size_t i = 0; i < parts; i++)
            product_block(p, room, first, rows, p->words * i / parts, p->words * (i + 1) / parts);
    }
}
