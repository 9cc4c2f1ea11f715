/* Kernels of memories, AVX2. */
#define MEMORY_TABLE memory_avx2
#include "kernels/memory_loops.h"
