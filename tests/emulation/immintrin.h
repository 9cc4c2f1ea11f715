/* AVX-512 and AMX in portable C, so that the kernels written for them run in tests on processors without them: SIMDe
 * (Debian's libsimde-dev) with the intrinsics that it lacks or has wrong, and tiles. It takes the place of the
 * compiler's header (the preset "emulate"). It is slow, and rounds as the processor does, except that tiles do not
 * flush subnormal numbers. */
#ifndef RUBATO_TESTS_IMMINTRIN_H
#define RUBATO_TESTS_IMMINTRIN_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#define SIMDE_NO_NATIVE
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#define __mmask8 simde__mmask8
#define __mmask16 simde__mmask16
#define _mm512_shuffle_f32x4(a, b, order) simde_mm512_shuffle_f32x4(a, b, order)
#define _MM_FROUND_NO_EXC 8

typedef union lanes {
    float f[16];
    int32_t i[16];
    uint32_t u[16];
    int16_t h[32];
    uint16_t uh[32];
    int8_t b[64];
    uint8_t ub[64];
    __m512 floats;
    __m512i whole;
    __m512bh halves;
    __m256i low;
    __m128i lowest;
} lanes;

#define EMULATED static inline __attribute__((unused))
#define EACH(i, count) for (int i = 0; i < (count); i++)

/* ---- Masked loads and stores, which touch no memory where the mask is zero ---- */

EMULATED lanes emulated_load(lanes from, uint32_t mask, const void *at, size_t bytes) {
    EACH(i, 32) if (mask >> i & 1) memcpy((char *)&from + (size_t)i * bytes, (const char *)at + (size_t)i * bytes, bytes);
    return from;
}

EMULATED void emulated_store(lanes from, uint32_t mask, void *at, size_t bytes) {
    EACH(i, 16) if (mask >> i & 1) memcpy((char *)at + (size_t)i * bytes, (char *)&from + (size_t)i * bytes, bytes);
}

#define _mm512_maskz_loadu_ps(mask, at) emulated_load((lanes){{0}}, mask, at, 4).floats
#define _mm512_maskz_loadu_epi32(mask, at) emulated_load((lanes){{0}}, mask, at, 4).whole
#define _mm512_maskz_loadu_epi16(mask, at) emulated_load((lanes){{0}}, mask, at, 2).whole
#define _mm256_maskz_loadu_epi16(mask, at) emulated_load((lanes){{0}}, mask, at, 2).low
#define _mm512_mask_loadu_ps(from, mask, at) emulated_load((lanes){.floats = (from)}, mask, at, 4).floats
#define _mm512_mask_storeu_ps(at, mask, x) emulated_store((lanes){.floats = (x)}, mask, at, 4)
#define _mm512_mask_storeu_epi32(at, mask, x) emulated_store((lanes){.whole = (x)}, mask, at, 4)
#define _mm256_mask_storeu_epi16(at, mask, x) emulated_store((lanes){.low = (x)}, mask, at, 2)
#define _mm_mask_storeu_epi8(at, mask, x) emulated_store((lanes){.lowest = (x)}, mask, at, 1)

/* ---- Sums and maxima of a register, in the compiler's order ---- */

EMULATED float _mm512_reduce_add_ps(__m512 x) {
    lanes r = {.floats = x};
    for (int half = 8; half; half /= 2) EACH(i, half) r.f[i] += r.f[i + half];
    return r.f[0];
}

EMULATED float _mm512_reduce_max_ps(__m512 x) {
    lanes r = {.floats = x};
    for (int half = 8; half; half /= 2) EACH(i, half) r.f[i] = r.f[i] > r.f[i + half] ? r.f[i] : r.f[i + half];
    return r.f[0];
}

EMULATED uint32_t _mm512_reduce_max_epu32(__m512i x) {
    lanes r = {.whole = x};
    EACH(i, 16) r.u[0] = r.u[i] > r.u[0] ? r.u[i] : r.u[0];
    return r.u[0];
}

/* ---- Conversions ---- */

EMULATED __m512i _mm512_cvtepu16_epi32(__m256i x) {
    lanes from = {.low = x}, r;
    EACH(i, 16) r.u[i] = from.uh[i];
    return r.whole;
}

EMULATED __m512i _mm512_cvtps_epi32(__m512 x) {
    lanes r = {.floats = x};
    EACH(i, 16) {
        float whole = rintf(r.f[i]);
        r.i[i] = whole >= -0x1p31f && whole < 0x1p31f ? (int32_t)whole : INT32_MIN;
    }
    return r.whole;
}

EMULATED __m512 _mm512_cvtepi32_ps(__m512i x) {
    lanes r = {.whole = x};
    EACH(i, 16) r.f[i] = (float)r.i[i];
    return r.floats;
}

EMULATED __m256i _mm512_cvtepi32_epi16(__m512i x) {
    lanes from = {.whole = x}, r;
    EACH(i, 16) r.uh[i] = (uint16_t)from.u[i];
    return r.low;
}

EMULATED __m128i _mm512_cvtepi32_epi8(__m512i x) {
    lanes from = {.whole = x}, r;
    EACH(i, 16) r.ub[i] = (uint8_t)from.u[i];
    return r.lowest;
}

/* Rounds to nearest even; subnormal numbers become zeros, a NaN becomes quiet. The second operand is in the low half. */
EMULATED __m512bh _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
    lanes from[2] = {{.floats = low}, {.floats = high}}, r;
    EACH(i, 32) {
        uint32_t bits = from[i / 16].u[i % 16];
        if ((bits & 0x7fffffff) > 0x7f800000)
            bits |= 0x400000;
        else if (!(bits & 0x7f800000))
            bits &= 0x80000000;
        else
            bits += 0x7fff + (bits >> 16 & 1);
        r.uh[i] = (uint16_t)(bits >> 16);
    }
    return r.halves;
}

/* ---- Others: SIMDe's |x| keeps the sign of -0 ---- */

#undef _mm512_abs_ps
EMULATED __m512 _mm512_abs_ps(__m512 x) {
    lanes r = {.floats = x};
    EACH(i, 16) r.u[i] &= 0x7fffffff;
    return r.floats;
}

/* x - floor(x); 0 for infinities */
#undef _MM_FROUND_TO_NEG_INF
#define _MM_FROUND_TO_NEG_INF 1
EMULATED __m512 _mm512_reduce_ps(__m512 x, int rounding) {
    lanes r = {.floats = x};
    if (rounding != _MM_FROUND_TO_NEG_INF) abort();
    EACH(i, 16) r.f[i] = isinf(r.f[i]) ? 0 : r.f[i] - floorf(r.f[i]);
    return r.floats;
}

#undef _mm512_packs_epi32
EMULATED __m512i _mm512_packs_epi32(__m512i a, __m512i b) {
    lanes from[2] = {{.whole = a}, {.whole = b}}, r;
    EACH(i, 32) {
        int32_t x = from[i / 4 % 2].i[i / 8 * 4 + i % 4];
        r.h[i] = (int16_t)(x > INT16_MAX ? INT16_MAX : x < INT16_MIN ? INT16_MIN : x);
    }
    return r.whole;
}

#undef _mm512_packs_epi16
EMULATED __m512i _mm512_packs_epi16(__m512i a, __m512i b) {
    lanes from[2] = {{.whole = a}, {.whole = b}}, r;
    EACH(i, 64) {
        int16_t x = from[i / 8 % 2].h[i / 16 * 8 + i % 8];
        r.b[i] = (int8_t)(x > INT8_MAX ? INT8_MAX : x < INT8_MIN ? INT8_MIN : x);
    }
    return r.whole;
}

#undef _mm512_permutexvar_epi32
EMULATED __m512i _mm512_permutexvar_epi32(__m512i order, __m512i x) {
    lanes at = {.whole = order}, from = {.whole = x}, r;
    EACH(i, 16) r.u[i] = from.u[at.u[i] & 15];
    return r.whole;
}

#define _mm256_dpbusd_avx_epi32(sum, a, b) simde_mm256_dpbusd_epi32(sum, a, b)

/* ---- Tiles of 16 rows of 64 bytes ---- */

void emulated_configure(void);
void emulated_zero(int tile);
void emulated_load_tile(int tile, const void *from, size_t stride);
void emulated_store_tile(int tile, void *to, size_t stride);
void emulated_multiply_bytes(int sum, int a, int b);
void emulated_multiply_halves(int sum, int a, int b);

#define _tile_loadconfig(configuration) ((void)(configuration), emulated_configure())
#define _tile_release() ((void)0)
#define _tile_zero(tile) emulated_zero(tile)
#define _tile_loadd(tile, from, stride) emulated_load_tile(tile, from, stride)
#define _tile_stored(tile, to, stride) emulated_store_tile(tile, to, stride)
#define _tile_dpbusd(sum, a, b) emulated_multiply_bytes(sum, a, b)
#define _tile_dpbf16ps(sum, a, b) emulated_multiply_halves(sum, a, b)

#endif
