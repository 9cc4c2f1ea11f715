/* VNNI's instructions in assembler: with the intrinsics, gcc 12 moves the sums through other registers and spills half
 * of a large tile. The assembler instruction prevents that, and is twice as fast. */
#ifndef RUBATO_KERNELS_DOT_AVX512VNNI_H
#define RUBATO_KERNELS_DOT_AVX512VNNI_H

#include <immintrin.h>

#ifdef RUBATO_EMULATE
#define VNNI(instruction, intrinsic) sum = intrinsic(sum, x, b)
#else
#define VNNI(instruction, intrinsic) __asm__(instruction " %2, %1, %0" : "+v"(sum) : "v"(x), "v"(b))
#endif

/* sum + the products of four unsigned bytes of x with four signed ones of b, in each word. */
static inline __attribute__((always_inline)) __m512i add_bytes(__m512i sum, __m512i x, __m512i b) {
    VNNI("vpdpbusd", _mm512_dpbusd_epi32);
    return sum;
}

/* The same of two signed 16-bit integers. */
static inline __attribute__((always_inline)) __m512i add_pairs(__m512i sum, __m512i x, __m512i b) {
    VNNI("vpdpwssd", _mm512_dpwssd_epi32);
    return sum;
}

#endif
