/* The peaks of Arm's low-precision instructions: loops of independent multiply-adds. They are in assembler, because
 * compilers move the sums, and only processors that have the instructions run them. */
#include <arm_neon.h>

#include "kernels/table.h"

#define REPEAT_16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DECLARE(i) uint32x4_t sum##i = vdupq_n_u32(0);
#define KEEP(i) __asm__ volatile("" : : "w"(sum##i));

#define PEAK(name, instruction, operations)                                                                            \
    double name(size_t iterations) {                                                                                   \
        uint32x4_t x = vdupq_n_u32(0);                                                                                 \
        REPEAT_16(DECLARE)                                                                                             \
        for (size_t n = 0; n < iterations; n++) {                                                                      \
            REPEAT_16(instruction)                                                                                     \
        }                                                                                                              \
        REPEAT_16(KEEP)                                                                                                \
        return (double)iterations * 16 * (operations);                                                                 \
    }

#define SDOT(i) __asm__ volatile("sdot %0.4s, %1.16b, %1.16b" : "+w"(sum##i) : "w"(x));
#define SMMLA(i) __asm__ volatile("smmla %0.4s, %1.16b, %1.16b" : "+w"(sum##i) : "w"(x));
#define BFMMLA(i) __asm__ volatile("bfmmla %0.4s, %1.8h, %1.8h" : "+w"(sum##i) : "w"(x));

PEAK(peak_int8_dotprod, SDOT, 16 * 2)
PEAK(peak_int8_i8mm, SMMLA, 32 * 2)
PEAK(peak_bf16_i8mm, BFMMLA, 16 * 2)
