/* The bf16 product, AVX-512 without the instruction: multiply-adds of f32. A bfloat16 is the upper half of an f32.
 * Blocks of a are widened before, and b in registers: four operations for the 56 multiply-adds of a tile. So b has the
 * memory traffic of bf16, and the product has the speed of f32. */
#include "kernels/product_low.h"

#define PARTS 2
#define LOAD_PART(at, i)                                                                                               \
    ((i) ? _mm512_maskz_loadu_epi16(0xaaaaaaaa, at) : _mm512_slli_epi32(_mm512_loadu_si512(at), 16))
#define PRODUCT product_low
#define PRODUCT_WORDS(p) ((p)->words)
#define PRODUCT_PITCH(p) product_low_pitch(p)
#define MULTIPLY_ADD(sum, x, b)                                                                                        \
    _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(b), _mm512_castsi512_ps(sum)))
#define FINISH(p, sum, row, column, mask) _mm512_castsi512_ps(sum)
#define ADDS(p) ((p)->add)
#define ACTIVATE(x, act) activate_16(x, act)
#include "kernels/product_tiles_avx512.h"

static void widen_row(uint32_t *out, const uint32_t *a, size_t words) {
    for (size_t k = 0; k < words; k += 8) {
        size_t left = size_min(words - k, 8);
        __m256i x = _mm512_castsi512_si256(_mm512_maskz_loadu_epi32(lanes_16(left), a + k));
        _mm512_mask_storeu_epi32(out + 2 * k, lanes_16(2 * left), _mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
    }
}

/* Passes over a part of the depth each; every pass but the first adds to c. */
void product_bf16_avx512(const product_low *p) {
    enum { WIDE = 64 * 1024 }; /* words: a part of the second-level cache, and of the stack */
    _Static_assert(WIDE / (PARTS * DEPTH) >= TILE_ROWS, "a block has the rows of a tile");
    uint32_t wide[WIDE];
    const size_t passes = divide_up(size_max(p->words, 1), DEPTH), deepest = divide_up(size_max(p->words, 1), passes);
    const size_t most = WIDE / (PARTS * deepest) / TILE_ROWS * TILE_ROWS, blocks = divide_up(p->rows, most);
    for (size_t block = 0; block < blocks; block++) {
        const size_t first = p->rows * block / blocks, rows = p->rows * (block + 1) / blocks - first;
        for (size_t i = 0; i < passes; i++) {
            const size_t k0 = p->words * i / passes, k1 = p->words * (i + 1) / passes;
            const bool last = i + 1 == passes;
            for (size_t row = 0; row < rows; row++)
                widen_row(wide + row * PARTS * (k1 - k0), p->a + (first + row) * p->a_stride + k0, k1 - k0);
            product_low part = *p;
            part.a = wide;
            part.a_stride = PARTS * (k1 - k0);
            part.b = p->b + k0 * PANEL;
            part.b_words = product_low_pitch(p);
            part.words = k1 - k0;
            part.rows = rows;
            part.c = p->c + first * p->c_stride;
            part.residual = last && p->residual ? p->residual + first * p->residual_stride : NULL;
            part.bias = last ? p->bias : NULL;
            part.act = last ? p->act : ACTIVATION_NONE;
            part.add = p->add || i > 0;
            product_any(&part);
        }
    }
}
