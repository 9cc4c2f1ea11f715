/* The peaks of AVX-512's low-precision instructions. */
#include <immintrin.h>

#define SUM __m512i
#define ZERO _mm512_setzero_si512()
#define REGISTER "v"

#include "kernels/peak_low.h"

#define BF16(i) INSTRUCTION("vdpbf16ps %1, %1, %0", i)
#define INT8(i) INSTRUCTION("vpdpbusd %1, %1, %0", i)

PEAK(peak_bf16_avx512bf16, BF16, 32 * 2)
PEAK(peak_int8_avx512vnni, INT8, 64 * 2)
