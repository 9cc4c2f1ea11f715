/* Kernels of memories, AVX-512. */
#define MEMORY_TABLE memory_avx512
#include "kernels/memory_loops.h"
