/* The kernels in use: one const table for each instruction set. A table starts as a copy of the next lower one. The
 * creator of a context selects a table; nothing here is mutable. */
#ifndef RUBATO_KERNELS_TABLE_H
#define RUBATO_KERNELS_TABLE_H

#include <stdbool.h>

#include "kernels/activation.h"
#include "kernels/dot.h"
#include "kernels/gradient.h"
#include "kernels/half.h"
#include "kernels/layer_norm.h"
#include "kernels/memory.h"
#include "kernels/product.h"
#include "kernels/product_low.h"
#include "kernels/product_sparse.h"
#include "kernels/softmax.h"

/* Within a family of processors, each set includes the earlier ones; but AVX-512 does not include AVX-VNNI. */
typedef enum instruction_set {
    ISA_SCALAR,
    ISA_NEON,
    ISA_DOTPROD,
    ISA_I8MM, /* with BF16 */
    ISA_AVX2,
    ISA_AVXVNNI,
    ISA_AVX512,
    ISA_VNNI,
    ISA_BF16,
    ISA_AMX,
    ISA_COUNT
} instruction_set;

/* Low precision: the products, and the functions that prepare rows for them. */
typedef struct low_kernels {
    product_low_function *product_bf16, *product_int8;
    narrow_bf16_function *round_bf16;
    narrow_panel_bf16_function *round_panel_bf16;
    quantize_int8_function *quantize_int8;
    bool halves;                  /* products give their results in bfloat16 where it is asked */
    const half_kernels *half;     /* of attention; NULL: it is in f32, which is as fast */
    const sparse_kernels *sparse; /* int8 products of weights with zeros; NULL: the dense one is always taken */
    double (*peak_bf16)(size_t iterations); /* as peak_f32; NULL where the processor lacks the instruction */
    double (*peak_int8)(size_t iterations);
} low_kernels;

typedef struct kernel_table {
    const char *name; /* "scalar", "neon", "dotprod", "i8mm", "avx2", "avxvnni", "avx512", "vnni", "bf16", "amx": the
                         name in RUBATO_ISA and in `info` */
    instruction_set isa;
    product_f32_function *product_f32;
    pack_transposed_function *pack_transposed_f32;
    activate_f32_function *activate_f32;
    softmax_f32_function *softmax_f32;
    exp_f32_function *exp_f32;
    layer_norm_f32_function *layer_norm_f32;
    dot_f32_function *dot_f32;
    const gradient_kernels *gradient;
    const memory_kernels *memory;
    low_kernels low;
    double (*peak_f32)(size_t iterations); /* runs so many fused multiply-adds; returns operations done */
} kernel_table;

/* The table for this machine. Tiles are used where the processor has them and the system permits them, which this
 * function asks (tiles.h). Intel's processors without tiles get "vnni" instead of "bf16": their VDPBF16PS has half of
 * the speed of an f32 multiply-add (119 against 243 Gflop/s, measured on a Xeon). */
const kernel_table *kernel_table_best(void);

/* The table of that name, or NULL when there is none or this machine cannot run it. "untiled": the best one without
 * tiles, for which nothing is asked. */
const kernel_table *kernel_table_named(const char *name);

/* Why tiles are not used: "" where they are, or a static text. It asks as kernel_table_best does. */
const char *kernel_table_no_tiles(void);

/* The features that the processor and the operating system support, as a pure function of cpuid and xgetbv results, so
 * that tests can call it. */
typedef struct cpu_features {
    unsigned leaf1_ecx, leaf7_ebx;
    unsigned leaf7_ecx, leaf7_edx, leaf7_1_eax; /* subleaf 0; subleaf 1 */
    unsigned long long xcr0;
    bool intel;
} cpu_features;

/* The highest instruction set that a processor with these features runs, and the one that it is given, with the
 * system's permission for tiles or without. */
instruction_set instruction_set_of(cpu_features features);
instruction_set instruction_set_for(cpu_features features, bool tiles);

/* Whether it runs the set at all. */
bool instruction_set_runs(cpu_features features, instruction_set set);

/* The highest set of a 64-bit Arm processor, by the features that Linux tells: getauxval of AT_HWCAP and AT_HWCAP2. */
instruction_set instruction_set_of_arm(unsigned long hwcap, unsigned long hwcap2);

double peak_f32_scalar(size_t iterations);
double peak_f32_avx2(size_t iterations);
double peak_f32_neon(size_t iterations);
double peak_int8_dotprod(size_t iterations);
double peak_int8_i8mm(size_t iterations);
double peak_bf16_i8mm(size_t iterations);
double peak_f32_avx512(size_t iterations);
double peak_bf16_avx512bf16(size_t iterations);
double peak_int8_avx512vnni(size_t iterations);
double peak_bf16_amx(size_t iterations);
double peak_int8_amx(size_t iterations);

#endif
