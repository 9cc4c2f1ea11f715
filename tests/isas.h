/* The instruction sets that kernels are written for. A test of kernels runs on each of them that this machine has. */
#ifndef RUBATO_TESTS_ISAS_H
#define RUBATO_TESTS_ISAS_H

#include "kernels/table.h"

static inline const char *isa_name(size_t isa) {
    static const char *const names[ISA_COUNT] = {
        [ISA_SCALAR] = "scalar", [ISA_NEON] = "neon", [ISA_AVX2] = "avx2",
        [ISA_AVX512] = "avx512", [ISA_VNNI] = "vnni", [ISA_BF16] = "bf16",
    };
    return names[isa];
}

/* Its kernels, or NULL when this machine cannot run them. */
static inline const kernel_table *isa_kernels(size_t isa) {
    return kernel_table_named(isa_name(isa));
}

#endif
