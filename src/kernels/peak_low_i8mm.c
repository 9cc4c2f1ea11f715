/* The peaks of Arm's low-precision instructions. */
#include <arm_neon.h>

#define SUM uint32x4_t
#define ZERO vdupq_n_u32(0)
#define REGISTER "w"

#include "kernels/peak_low.h"

#define SDOT(i) INSTRUCTION("sdot %0.4s, %1.16b, %1.16b", i)
#define SMMLA(i) INSTRUCTION("smmla %0.4s, %1.16b, %1.16b", i)
#define BFMMLA(i) INSTRUCTION("bfmmla %0.4s, %1.8h, %1.8h", i)

PEAK(peak_int8_dotprod, SDOT, 16 * 2)
PEAK(peak_int8_i8mm, SMMLA, 32 * 2)
PEAK(peak_bf16_i8mm, BFMMLA, 16 * 2)
