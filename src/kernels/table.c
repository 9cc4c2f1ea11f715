/* Choosing the kernels: detection of the processor, and the tables in rising order. */
#include "kernels/table.h"

#include <errno.h>
#include <string.h>

#include "kernels/tiles.h"
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define LOW(products_bf16, products_int8, rows, halves, half, sparse, peak_bf16, peak_int8)                            \
    {                                                                                                                  \
        product_bf16_##products_bf16, product_int8_##products_int8, narrow_bf16_##rows, narrow_panel_bf16_##rows,      \
            quantize_int8_##rows, halves, half, sparse, peak_bf16, peak_int8                                           \
    }

#if defined(__x86_64__)
/* With further instructions only the low-precision products differ. */
#define AVX2(name, isa, low)                                                                                           \
    [isa] = {name,                                                                                                     \
             isa,                                                                                                      \
             product_f32_avx2,                                                                                         \
             pack_transposed_f32_avx2,                                                                                 \
             activate_f32_avx2,                                                                                        \
             softmax_f32_avx2,                                                                                         \
             exp_f32_avx2,                                                                                             \
             layer_norm_f32_avx2,                                                                                      \
             dot_f32_avx2,                                                                                             \
             &gradient_f32_avx2,                                                                                       \
             &memory_avx2,                                                                                             \
             low,                                                                                                      \
             peak_f32_avx2}
#define AVX512(name, isa, low)                                                                                         \
    [isa] = {name,                                                                                                     \
             isa,                                                                                                      \
             product_f32_avx512,                                                                                       \
             pack_transposed_f32_avx512,                                                                               \
             activate_f32_avx512,                                                                                      \
             softmax_f32_avx512,                                                                                       \
             exp_f32_avx512,                                                                                           \
             layer_norm_f32_avx512,                                                                                    \
             dot_f32_avx512,                                                                                           \
             &gradient_f32_avx512,                                                                                     \
             &memory_avx512,                                                                                           \
             low,                                                                                                      \
             peak_f32_avx512}
#elif defined(__aarch64__)
/* Above NEON too. */
#define NEON(name, isa, low)                                                                                           \
    [isa] = {name,                                                                                                     \
             isa,                                                                                                      \
             product_f32_neon,                                                                                         \
             pack_transposed_f32_scalar,                                                                               \
             activate_f32_neon,                                                                                        \
             softmax_f32_neon,                                                                                         \
             exp_f32_neon,                                                                                             \
             layer_norm_f32_neon,                                                                                      \
             dot_f32_neon,                                                                                             \
             &gradient_f32_scalar,                                                                                     \
             &memory_scalar,                                                                                           \
             low,                                                                                                      \
             peak_f32_neon}
#endif

static const kernel_table tables[ISA_COUNT] = {
    [ISA_SCALAR] = {"scalar", ISA_SCALAR, product_f32_scalar, pack_transposed_f32_scalar, activate_f32_scalar,
                    softmax_f32_scalar, exp_f32_scalar, layer_norm_f32_scalar, dot_f32_scalar, &gradient_f32_scalar,
                    &memory_scalar, LOW(scalar, scalar, scalar, false, NULL, NULL, NULL, NULL), peak_f32_scalar},
#if defined(__aarch64__)
    NEON("neon", ISA_NEON, LOW(neon, neon, neon, false, NULL, NULL, NULL, NULL)),
    NEON("dotprod", ISA_DOTPROD, LOW(neon, dotprod, neon, false, NULL, NULL, NULL, peak_int8_dotprod)),
    NEON("i8mm", ISA_I8MM, LOW(i8mm, i8mm, neon, false, &half_bf16_i8mm, NULL, peak_bf16_i8mm, peak_int8_i8mm)),
#endif
#if defined(__x86_64__)
    AVX2("avx2", ISA_AVX2, LOW(avx2, avx2, avx2, false, &half_int16_avx2, &sparse_avx2, NULL, NULL)),
    AVX2("avxvnni", ISA_AVXVNNI, LOW(avx2, avx2vnni, avx2, false, &half_int16_avx2, &sparse_avx2vnni, NULL, NULL)),
    AVX512("avx512", ISA_AVX512, LOW(avx512, avx512, avx512, false, NULL, NULL, NULL, NULL)),
    AVX512(
        "vnni", ISA_VNNI,
        LOW(avx512, avx512vnni, avx512, false, &half_int16_avx512vnni, &sparse_avx512vnni, NULL, peak_int8_avx512vnni)),
    AVX512("bf16", ISA_BF16,
           LOW(avx512bf16, avx512vnni, avx512, false, &half_bf16_avx512bf16, &sparse_avx512vnni, peak_bf16_avx512bf16,
               peak_int8_avx512vnni)),
    AVX512("amx", ISA_AMX, LOW(amx, amx, avx512, true, &half_bf16_amx, NULL, peak_bf16_amx, peak_int8_amx)),
#endif
};

instruction_set instruction_set_of(cpu_features features) {
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    const unsigned avx2 = 1u << 5, avx512f = 1u << 16, avx512dq = 1u << 17, avx512bw = 1u << 30, avx512vl = 1u << 31;
    const unsigned avx_vnni = 1u << 4;
    const unsigned base = fma | osxsave | avx | f16c, all512 = avx512f | avx512dq | avx512bw | avx512vl;
    if ((features.leaf1_ecx & base) != base || !(features.leaf7_ebx & avx2) || (features.xcr0 & 0x06) != 0x06)
        return ISA_SCALAR;
    if ((features.leaf7_ebx & all512) != all512 || (features.xcr0 & 0xe6) != 0xe6)
        return features.leaf7_1_eax & avx_vnni ? ISA_AVXVNNI : ISA_AVX2;
    if (!(features.leaf7_ecx & 1u << 11)) return ISA_AVX512;
    if (!(features.leaf7_1_eax & 1u << 5)) return ISA_VNNI;
    const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24, amx_int8 = 1u << 25, amx = amx_bf16 | amx_tile | amx_int8;
    const unsigned long long tile_state = 3ull << 17;
    bool tiles = (features.leaf7_edx & amx) == amx && (features.xcr0 & tile_state) == tile_state;
    return tiles ? ISA_AMX : ISA_BF16;
}

bool instruction_set_runs(cpu_features features, instruction_set set) {
    const instruction_set most = instruction_set_of(features);
    if (set == ISA_AVXVNNI && most > set) return features.leaf7_1_eax & 1u << 4;
    return set <= most;
}

instruction_set instruction_set_for(cpu_features features, bool tiles) {
    instruction_set most = instruction_set_of(features);
    if (most == ISA_AMX && !tiles) most = ISA_BF16;
    return most == ISA_BF16 && features.intel ? ISA_VNNI : most;
}

instruction_set instruction_set_of_arm(unsigned long hwcap, unsigned long hwcap2) {
    const unsigned long dotprod = 1ul << 20, i8mm = 1ul << 13, bf16 = 1ul << 14;
    if (!(hwcap & dotprod)) return ISA_NEON; /* every AArch64 processor has it */
    return (hwcap2 & i8mm) && (hwcap2 & bf16) ? ISA_I8MM : ISA_DOTPROD;
}

#if defined(__x86_64__)
static cpu_features read_features(void) {
#ifdef RUBATO_EMULATE /* tests/emulation */
    return (cpu_features){~0u, ~0u, ~0u, ~0u, ~0u, ~0ull, false};
#else
    cpu_features features = {0};
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx))
        features.intel = ebx == signature_INTEL_ebx && ecx == signature_INTEL_ecx && edx == signature_INTEL_edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
    features.leaf1_ecx = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        features.leaf7_ebx = ebx;
        features.leaf7_ecx = ecx;
        features.leaf7_edx = edx;
        if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) features.leaf7_1_eax = eax;
    }
    if (features.leaf1_ecx & (1u << 27)) {
        unsigned low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        features.xcr0 = (unsigned long long)high << 32 | low;
    }
    return features;
#endif
}
#endif

/* The highest set of this machine, and the one that it is given. */
static instruction_set highest(void) {
#if defined(__x86_64__)
    return instruction_set_of(read_features());
#elif defined(__aarch64__)
    return instruction_set_of_arm(getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
#else
    return ISA_SCALAR;
#endif
}

static instruction_set given(bool tiles) {
#if defined(__x86_64__)
    return instruction_set_for(read_features(), tiles);
#else
    (void)tiles;
    return highest();
#endif
}

const char *kernel_table_no_tiles(void) {
    if (highest() != ISA_AMX) return "the processor has none";
    switch (tiles_ask()) {
    case 0: return "";
    case ENOSPC: return "a thread has an alternate signal stack that is too small for them";
    case EPERM: return "a filter of system calls forbids them";
    default: return "the system does not grant them";
    }
}

const kernel_table *kernel_table_best(void) {
    return &tables[given(highest() == ISA_AMX && tiles_ask() == 0)];
}

static bool runs_here(instruction_set set) {
#if defined(__x86_64__)
    return instruction_set_runs(read_features(), set);
#else
    return set <= highest();
#endif
}

const kernel_table *kernel_table_named(const char *name) {
    if (strcmp(name, "untiled") == 0) return &tables[given(false)];
    for (int isa = 0; isa < ISA_COUNT; isa++)
        if (tables[isa].name && strcmp(tables[isa].name, name) == 0)
            return runs_here((instruction_set)isa) && (isa != ISA_AMX || tiles_ask() == 0) ? &tables[isa] : NULL;
    return NULL;
}
