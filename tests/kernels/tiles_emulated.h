/* The tile operations of product_tiles.h in plain C, to the bit as AMX computes them, so that the product by tiles is
 * tested on processors without tiles. A row of a block is finished by plain loops. */
#ifndef RUBATO_TESTS_TILES_EMULATED_H
#define RUBATO_TESTS_TILES_EMULATED_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/tile_arithmetic.h"

typedef union emulated_tile {
    float sums[16][16];
    int32_t whole[16][16];
    uint16_t halves[16][32];
    uint8_t bytes[16][64];
} emulated_tile;

static _Thread_local emulated_tile tiles[8];
static _Thread_local int configured;

static inline void tile_load(int t, const void *from, size_t stride) {
    if (!configured || (uintptr_t)from % 64 || stride % 64) abort();
    for (size_t i = 0; i < 16; i++) memcpy(tiles[t].bytes[i], (const char *)from + i * stride, 64);
}

static inline void tile_store(int t, void *to, size_t stride) {
    if (!configured || (uintptr_t)to % 64 || stride % 64) abort();
    for (size_t i = 0; i < 16; i++) memcpy((char *)to + i * stride, tiles[t].bytes[i], 64);
}

static inline void tile_zero(int t) {
    if (!configured) abort();
    memset(&tiles[t], 0, sizeof tiles[t]);
}

#define TILE_CONFIGURE() (configured = 1)
#define TILE_RELEASE() (configured = 0)
#define TILE_ZERO(t) tile_zero(t)
#define TILE_LOAD(t, from, stride) tile_load(t, from, stride)
#define TILE_STORE(t, to, stride) tile_store(t, to, stride)
#define TILE_FENCE() ((void)0)

/* TDPBUSD: bytes of a are unsigned, bytes of b are signed; sums are exact, modulo 2^32. */
static inline void multiply_bytes(int sum, int a, int b) {
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++) {
            uint32_t total = (uint32_t)tiles[sum].whole[m][n];
            for (int k = 0; k < 64; k++)
                total += (uint32_t)(tiles[a].bytes[m][k] * (int8_t)tiles[b].bytes[k / 4][4 * n + k % 4]);
            tiles[sum].whole[m][n] = (int32_t)total;
        }
}

static inline void multiply_halves(int sum, int a, int b) {
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++)
            tiles[sum].sums[m][n] =
                bf16_step(tiles[sum].sums[m][n], tiles[a].halves[m], &tiles[b].halves[0][2 * n], 32);
}

#endif
