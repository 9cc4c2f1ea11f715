/* The peaks of the low-precision instructions: loops of independent multiply-adds. They are in assembler, because
 * compilers spill the sums, and only processors that have the instructions run them. */
#include <immintrin.h>

#include "kernels/table.h"

#define REPEAT_16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DECLARE(i) __m512i sum##i = _mm512_setzero_si512();
#define KEEP(i) __asm__ volatile("" : : "v"(sum##i));

#define PEAK(name, instruction, operations)                                                                            \
    double name(size_t iterations) {                                                                                   \
        __m512i x = _mm512_setzero_si512();                                                                            \
        REPEAT_16(DECLARE)                                                                                             \
        for (size_t n = 0; n < iterations; n++) {                                                                      \
            REPEAT_16(instruction)                                                                                     \
        }                                                                                                              \
        REPEAT_16(KEEP)                                                                                                \
        return (double)iterations * 16 * (operations);                                                                 \
    }

#define BF16(i) __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(sum##i) : "v"(x));
#define INT8(i) __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(sum##i) : "v"(x));

PEAK(peak_bf16_avx512bf16, BF16, 32 * 2)
PEAK(peak_int8_avx512vnni, INT8, 64 * 2)
