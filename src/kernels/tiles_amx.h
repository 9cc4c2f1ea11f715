/* The tile operations of product_tiles.h by AMX. gcc's intrinsics are assembler statements that do not name the memory
 * that they read, so that fences keep other stores before or behind them. */
#ifndef RUBATO_KERNELS_TILES_AMX_H
#define RUBATO_KERNELS_TILES_AMX_H

#include <immintrin.h>
#include <stdint.h>

/* What LDTILECFG reads: palette 1, and the bytes of a row and the rows of each tile. */
typedef struct tile_configuration {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) tile_configuration;

static const tile_configuration eight_tiles = {
    .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

#define TILE_FENCE() __asm__ volatile("" ::: "memory")
#define TILE_CONFIGURE()                                                                                               \
    do {                                                                                                               \
        TILE_FENCE();                                                                                                  \
        _tile_loadconfig(&eight_tiles);                                                                                \
    } while (0)
#define TILE_RELEASE() _tile_release()
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define TILE_STORE(t, to, stride) _tile_stored(t, to, stride)

#endif
