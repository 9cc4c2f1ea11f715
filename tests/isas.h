/* The instruction sets that kernels are written for. A test of kernels runs on each of them that this machine has. */
#ifndef RUBATO_TESTS_ISAS_H
#define RUBATO_TESTS_ISAS_H

#include "kernels/table.h"

static inline const char *isa_name(size_t isa) {
    static const char *const names[ISA_COUNT] = {
        [ISA_SCALAR] = "scalar", [ISA_NEON] = "neon",       [ISA_DOTPROD] = "dotprod", [ISA_I8MM] = "i8mm",
        [ISA_AVX2] = "avx2",     [ISA_AVXVNNI] = "avxvnni", [ISA_AVX512] = "avx512",   [ISA_VNNI] = "vnni",
        [ISA_BF16] = "bf16",     [ISA_AMX] = "amx",
    };
    return names[isa];
}

/* Its kernels, or NULL when this machine cannot run them. */
static inline const kernel_table *isa_kernels(size_t isa) {
    return kernel_table_named(isa_name(isa));
}

/* The same for tests that run whole layers: in a build that tests a sample, the last set alone. */
static inline const kernel_table *isa_kernels_sampled(size_t isa) {
#ifdef RUBATO_TESTS_SAMPLE
    for (size_t later = isa + 1; later < ISA_COUNT; later++)
        if (isa_kernels(later)) return NULL;
#endif
    return isa_kernels(isa);
}

#endif
