/* Kernels of memories, reference variant. */
#define MEMORY_TABLE memory_scalar
#include "kernels/memory_loops.h"
