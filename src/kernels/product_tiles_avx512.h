/* The matrix product by tiles, AVX-512, for every precision. A tile of up to 14 rows by one panel of 32 columns stays
 * in 28 registers while it is summed over the depth. Two more registers hold a row of b, and one holds the broadcast
 * word of a (an f32, two bfloat16 or four bytes: neighbours along the depth).
 *
 * A block of rows is chosen so that its part of a fits half of a megabyte of second-level cache. Every panel is
 * multiplied with the block in turn, so that b is read once for each block. Rows are divided evenly over tiles (128
 * rows are eight tiles of 13 and two of 12), because tiles of ten rows or more have the same speed per row, and
 * leftovers of one or two rows would be slow.
 *
 * The including file defines
 *   PRODUCT                       the struct: a, b, bias, residual, c, their strides (a's in words), rows, columns, act
 *   PRODUCT_WORDS(p)              words of b along the depth
 *   PRODUCT_PITCH(p)              words between panels of b
 *   MULTIPLY_ADD(sum, x, b)       sum + x b, all __m512i
 *   FINISH(p, sum, row, column, mask)   a __m512 from a __m512i of sums: applies the scales
 *   ADDS(p)                       whether the sums start from c
 *   ACTIVATE(x, act)              a __m512 from a __m512
 * and, where a word of b has several parts that are multiplied one after the other, each with a word of a,
 *   PARTS                         their number
 *   LOAD_PART(at, i)              part i of the sixteen words of b there */
#include <immintrin.h>
#include <stdint.h>

#include "base/checked.h"
#include "kernels/math_avx512.h"
#include "kernels/product.h"

#ifndef PARTS
#define PARTS 1
#define LOAD_PART(at, i) _mm512_loadu_si512(at)
#endif

typedef uint32_t __attribute__((may_alias)) word;

enum {
    TILE_ROWS = 14,
    DEPTH = 1024,             /* words of one pass; a panel of this depth is an eighth of the cache */
    BLOCK_BYTES = 448 * 1024, /* the part of a that a block of rows has in one pass */
    AHEAD = 32,               /* rows of b that are fetched ahead */
};

/* Two sums are in registers here. Without this, gcc mixes the parts and has not enough registers for the sums then. */
static inline void in_registers(__m512i *first, __m512i *second) {
#ifdef __AVX512F__ /* else emulated */
    __asm__("" : "+v"(*first), "+v"(*second));
#else
    (void)first, (void)second;
#endif
}

/* One tile over the words [k0, k1). `rows` and `act` are constants at every call, so that the loops unroll and the sums
 * stay in registers. The first part of the depth leaves its sums in c, and the next part starts from them: the order of
 * summation is that of a single pass. */
static inline __attribute__((always_inline)) void tile(const PRODUCT *of, size_t row, size_t panel, size_t k0,
                                                       size_t k1, const int rows, const activation act) {
    const PRODUCT own = *of, *p = &own; /* a copy, which writing c cannot change */
    const size_t a_stride = p->a_stride, c_stride = p->c_stride, first = panel * PANEL, left = p->columns - first;
    const word *a = (const word *)(const void *)p->a + row * a_stride;
    const word *b = (const word *)(const void *)p->b + first * PRODUCT_PITCH(p);
    float *c = p->c + row * c_stride + first;
    const __mmask16 low = lanes_16(left < 16 ? left : 16), high = lanes_16(left < 16 ? 0 : left < 32 ? left - 16 : 16);
    const bool begun = k0 > 0 || ADDS(p);
    __m512i sum[TILE_ROWS][2];
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        sum[i][0] = begun ? _mm512_maskz_loadu_epi32(low, c + (size_t)i * c_stride) : _mm512_setzero_si512();
        sum[i][1] = begun ? _mm512_maskz_loadu_epi32(high, c + (size_t)i * c_stride + 16) : _mm512_setzero_si512();
    }
    for (size_t k = k0; k < k1; k++) {
        const word *next = b + (k + AHEAD) * PANEL;
        _mm_prefetch((const char *)next, _MM_HINT_T0);
        _mm_prefetch((const char *)(next + 16), _MM_HINT_T0);
#pragma GCC unroll 2
        for (int part = 0; part < PARTS; part++) {
            __m512i b0 = LOAD_PART(b + k * PANEL, part);
            __m512i b1 = LOAD_PART(b + k * PANEL + 16, part);
#pragma GCC unroll 14
            for (int i = 0; i < rows; i++) {
                __m512i x = _mm512_set1_epi32((int)a[(size_t)i * a_stride + PARTS * k + (size_t)part]);
                sum[i][0] = MULTIPLY_ADD(sum[i][0], x, b0);
                sum[i][1] = MULTIPLY_ADD(sum[i][1], x, b1);
                if (PARTS > 1) in_registers(&sum[i][0], &sum[i][1]);
            }
        }
    }
    if (k1 < PRODUCT_WORDS(p)) {
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            _mm512_mask_storeu_epi32(c + (size_t)i * c_stride, low, sum[i][0]);
            _mm512_mask_storeu_epi32(c + (size_t)i * c_stride + 16, high, sum[i][1]);
        }
        return;
    }
    const float *residual = p->residual ? p->residual + row * p->residual_stride + first : NULL;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const __mmask16 mask = half ? high : low;
        __m512 bias = p->bias ? _mm512_maskz_loadu_ps(mask, p->bias + first + 16 * half) : _mm512_setzero_ps();
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            __m512 y = FINISH(p, sum[i][half], row + (size_t)i, first + 16 * (size_t)half, mask);
            y = ACTIVATE(_mm512_add_ps(y, bias), act);
            if (residual)
                y = _mm512_add_ps(y,
                                  _mm512_maskz_loadu_ps(mask, residual + (size_t)i * p->residual_stride + 16 * half));
            _mm512_mask_storeu_ps(c + (size_t)i * c_stride + 16 * half, mask, y);
        }
    }
}

typedef void tile_function(const PRODUCT *p, size_t row, size_t panel, size_t k0, size_t k1);

#define TILE(rows, suffix, act)                                                                                        \
    static void tile_##rows##suffix(const PRODUCT *p, size_t row, size_t panel, size_t k0, size_t k1) {                \
        tile(p, row, panel, k0, k1, rows, act);                                                                        \
    }
#define TILES(suffix, act)                                                                                             \
    TILE(1, suffix, act)                                                                                               \
    TILE(2, suffix, act)                                                                                               \
    TILE(3, suffix, act)                                                                                               \
    TILE(4, suffix, act)                                                                                               \
    TILE(5, suffix, act)                                                                                               \
    TILE(6, suffix, act)                                                                                               \
    TILE(7, suffix, act)                                                                                               \
    TILE(8, suffix, act)                                                                                               \
    TILE(9, suffix, act)                                                                                               \
    TILE(10, suffix, act)                                                                                              \
    TILE(11, suffix, act)                                                                                              \
    TILE(12, suffix, act)                                                                                              \
    TILE(13, suffix, act)                                                                                              \
    TILE(14, suffix, act)
#define TILE_NAMES(suffix)                                                                                             \
    {                                                                                                                  \
        NULL, tile_1##suffix, tile_2##suffix, tile_3##suffix, tile_4##suffix, tile_5##suffix, tile_6##suffix,          \
            tile_7##suffix, tile_8##suffix, tile_9##suffix, tile_10##suffix, tile_11##suffix, tile_12##suffix,         \
            tile_13##suffix, tile_14##suffix                                                                           \
    }

TILES(_plain, ACTIVATION_NONE)
TILES(_gelu, ACTIVATION_GELU)

static tile_function *const plain_tiles[TILE_ROWS + 1] = TILE_NAMES(_plain);
static tile_function *const gelu_tiles[TILE_ROWS + 1] = TILE_NAMES(_gelu);

static void product_rows(const PRODUCT *p, tile_function *const *tiles) {
    size_t words = PRODUCT_WORDS(p), parts = divide_up(size_max(words, 1), DEPTH);
    size_t block_rows = BLOCK_BYTES / sizeof(word) / PARTS / divide_up(size_max(words, 1), parts);
    size_t blocks = divide_up(p->rows, block_rows), panels = divide_up(p->columns, PANEL);
    for (size_t block = 0; block < blocks; block++) {
        size_t begin = p->rows * block / blocks, rows = p->rows * (block + 1) / blocks - begin;
        size_t count = divide_up(rows, TILE_ROWS);
        for (size_t part = 0; part < parts; part++) {
            size_t k0 = words * part / parts, k1 = words * (part + 1) / parts;
            for (size_t panel = 0; panel < panels; panel++)
                for (size_t i = 0; i < count; i++) {
                    size_t row = rows * i / count, next = rows * (i + 1) / count;
                    tiles[next - row](p, begin + row, panel, k0, k1);
                }
        }
    }
}

static void product_any(const PRODUCT *p) {
    if (p->act == ACTIVATION_NONE || p->act == ACTIVATION_GELU) {
        product_rows(p, p->act == ACTIVATION_GELU ? gelu_tiles : plain_tiles);
        return;
    }
    /* The rarer activations have a pass of their own over c; then the residual is added. */
    PRODUCT plain = *p;
    plain.act = ACTIVATION_NONE;
    plain.residual = NULL;
    product_rows(&plain, plain_tiles);
    for (size_t row = 0; row < p->rows; row++) {
        float *c = p->c + row * p->c_stride;
        activate_f32_avx512(c, p->columns, p->act);
        if (p->residual)
            for (size_t j = 0; j < p->columns; j++) c[j] += p->residual[row * p->residual_stride + j];
    }
}
