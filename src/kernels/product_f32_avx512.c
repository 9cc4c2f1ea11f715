/* The matrix product, AVX-512: a tile of up to 14 rows by one panel of 32 columns stays in 28 registers while it is
 * summed over the depth; two more hold a row of b, one the broadcast element of a.
 *
 * A block of rows whose part of a fits half of a megabyte of second-level cache meets every panel in turn, so that b is
 * read once a block. Rows are dealt out to tiles evenly (128 rows are eight tiles of 13 and two of 12): tiles of ten
 * rows or more run at the same speed a row, leftovers of one or two would not. */
#include <immintrin.h>

#include "base/checked.h"
#include "kernels/math_avx512.h"
#include "kernels/product.h"

enum {
    TILE_ROWS = 14,
    DEPTH = 1024,             /* of one pass: a panel of it is an eighth of the cache */
    BLOCK_BYTES = 448 * 1024, /* of a, a block of rows in one pass */
    AHEAD = 32,               /* rows of b fetched before they are needed */
};

/* One tile over the depths [k0, k1). `rows` and `act` are constants at every call, so that the loops unroll and the
 * sums stay in registers. A first part leaves its sums in c, where the next takes them up: the order of summation is
 * that of one pass. */
static inline __attribute__((always_inline)) void tile(const product_f32 *p, size_t row, size_t panel, size_t k0,
                                                       size_t k1, const int rows, const activation act) {
    const size_t a_stride = p->a_stride, c_stride = p->c_stride, first = panel * PANEL, left = p->columns - first;
    const float *a = p->a + row * a_stride;
    const float *b = p->b + first * p->depth;
    float *c = p->c + row * c_stride + first;
    const __mmask16 low = lanes_16(left < 16 ? left : 16), high = lanes_16(left < 16 ? 0 : left < 32 ? left - 16 : 16);
    const bool begun = k0 > 0 || p->add;
    __m512 sum[TILE_ROWS][2];
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        sum[i][0] = begun ? _mm512_maskz_loadu_ps(low, c + (size_t)i * c_stride) : _mm512_setzero_ps();
        sum[i][1] = begun ? _mm512_maskz_loadu_ps(high, c + (size_t)i * c_stride + 16) : _mm512_setzero_ps();
    }
    for (size_t k = k0; k < k1; k++) {
        const float *next = b + (k + AHEAD) * PANEL;
        __m512 b0 = _mm512_loadu_ps(b + k * PANEL), b1 = _mm512_loadu_ps(b + k * PANEL + 16);
        _mm_prefetch((const char *)next, _MM_HINT_T0);
        _mm_prefetch((const char *)(next + 16), _MM_HINT_T0);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            __m512 x = _mm512_set1_ps(a[(size_t)i * a_stride + k]);
            sum[i][0] = _mm512_fmadd_ps(x, b0, sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(x, b1, sum[i][1]);
        }
    }
    if (k1 < p->depth) {
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            _mm512_mask_storeu_ps(c + (size_t)i * c_stride, low, sum[i][0]);
            _mm512_mask_storeu_ps(c + (size_t)i * c_stride + 16, high, sum[i][1]);
        }
        return;
    }
    const float *residual = p->residual ? p->residual + row * p->residual_stride + first : NULL;
    const __m512 scale = _mm512_set1_ps(p->scale);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const __mmask16 mask = half ? high : low;
        __m512 bias = p->bias ? _mm512_maskz_loadu_ps(mask, p->bias + first + 16 * half) : _mm512_setzero_ps();
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            __m512 y = sum[i][half];
            if (p->scale != 0) y = _mm512_mul_ps(y, scale);
            y = activate_16(_mm512_add_ps(y, bias), act);
            if (residual)
                y = _mm512_add_ps(y,
                                  _mm512_maskz_loadu_ps(mask, residual + (size_t)i * p->residual_stride + 16 * half));
            _mm512_mask_storeu_ps(c + (size_t)i * c_stride + 16 * half, mask, y);
        }
    }
}

typedef void tile_function(const product_f32 *p, size_t row, size_t panel, size_t k0, size_t k1);

#define TILE(rows, suffix, act)                                                                                        \
    static void tile_##rows##suffix(const product_f32 *p, size_t row, size_t panel, size_t k0, size_t k1) {            \
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

static void product_rows(const product_f32 *p, tile_function *const *tiles) {
    size_t parts = divide_up(size_max(p->depth, 1), DEPTH);
    size_t block_rows = BLOCK_BYTES / sizeof(float) / divide_up(size_max(p->depth, 1), parts);
    size_t blocks = divide_up(p->rows, block_rows), panels = divide_up(p->columns, PANEL);
    for (size_t block = 0; block < blocks; block++) {
        size_t begin = p->rows * block / blocks, rows = p->rows * (block + 1) / blocks - begin;
        size_t count = divide_up(rows, TILE_ROWS);
        for (size_t part = 0; part < parts; part++) {
            size_t k0 = p->depth * part / parts, k1 = p->depth * (part + 1) / parts;
            for (size_t panel = 0; panel < panels; panel++)
                for (size_t i = 0; i < count; i++) {
                    size_t row = rows * i / count, next = rows * (i + 1) / count;
                    tiles[next - row](p, begin + row, panel, k0, k1);
                }
        }
    }
}

void product_f32_avx512(const product_f32 *p) {
    if (p->act == ACTIVATION_NONE || p->act == ACTIVATION_GELU) {
        product_rows(p, p->act == ACTIVATION_GELU ? gelu_tiles : plain_tiles);
        return;
    }
    /* Rarer activations: their own pass over c, then the residual. */
    product_f32 plain = *p;
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

/* Gathers 16 columns at a time; a gather of 16 floats takes about as long as 16 loads, with one store. */
void pack_transposed_f32_avx512(float *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i index = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)in_stride));
    for (size_t first = 0; first < columns; first += PANEL, out += depth * PANEL) {
        size_t left = columns - first;
        __mmask16 low = lanes_16(left < 16 ? left : 16);
        __mmask16 high = lanes_16(left < 16 ? 0 : left < 32 ? left - 16 : 16);
        const float *column = in + first * in_stride;
        for (size_t k = 0; k < depth; k++) {
            __m512 zero = _mm512_setzero_ps();
            _mm512_storeu_ps(out + k * PANEL, _mm512_mask_i32gather_ps(zero, low, index, column + k, 4));
            __m512 upper = high ? _mm512_mask_i32gather_ps(zero, high, index, column + 16 * in_stride + k, 4) : zero;
            _mm512_storeu_ps(out + k * PANEL + 16, upper);
        }
    }
}
