/* The peak of an instruction of low precision: a loop of 16 independent multiply-adds. The instruction is in assembler,
 * because compilers spill or move the sums, and only processors that have it run it. The including file defines
 *   SUM, ZERO       the type of a register, and a value of zeros
 *   REGISTER        its constraint in assembler */
#include "kernels/table.h"

#define REPEAT_16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define DECLARE(i) SUM sum##i = ZERO;
#define KEEP(i) __asm__ volatile("" : : REGISTER(sum##i));

/* INSTRUCTION(code, i): the instruction with sum i and, twice, x. */
#define INSTRUCTION(code, i) __asm__ volatile(code : "+" REGISTER(sum##i) : REGISTER(x));

/* `instruction` is a macro of i; operations: of one instruction. */
#define PEAK(name, instruction, operations)                                                                            \
    double name(size_t iterations) {                                                                                   \
        SUM x = ZERO;                                                                                                  \
        REPEAT_16(DECLARE)                                                                                             \
        for (size_t n = 0; n < iterations; n++) {                                                                      \
            REPEAT_16(instruction)                                                                                     \
        }                                                                                                              \
        REPEAT_16(KEEP)                                                                                                \
        return (double)iterations * 16 * (operations);                                                                 \
    }
