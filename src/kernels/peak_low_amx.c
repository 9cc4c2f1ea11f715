/* The peaks of the tile instructions, AMX: four tiles of sums, as in the products. */
#include "kernels/tiles_amx.h"
#include "kernels/table.h"

enum { OPERATIONS = 2 * 16 * 16 * 16 * 4 }; /* of four products, for each element of a word */

#define PEAK(name, multiply, elements)                                                                                 \
    double name(size_t iterations) {                                                                                   \
        TILE_CONFIGURE();                                                                                              \
        for (size_t i = 0; i < iterations; i += 8) {                                                                   \
            multiply(0, 4, 6);                                                                                         \
            multiply(1, 4, 7);                                                                                         \
            multiply(2, 5, 6);                                                                                         \
            multiply(3, 5, 7);                                                                                         \
        }                                                                                                              \
        TILE_RELEASE();                                                                                                \
        return (double)((iterations + 7) / 8) * OPERATIONS * elements;                                                 \
    }

PEAK(peak_bf16_amx, _tile_dpbf16ps, 2)
PEAK(peak_int8_amx, _tile_dpbusd, 4)
