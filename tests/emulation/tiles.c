/* Emulated tiles: their registers and their products. Permission for tiles is always granted here, and the peaks of
 * instructions are not measured. */
#include <immintrin.h>

#include "kernels/table.h"
#include "kernels/tiles.h"

typedef union emulated_tile {
    float f[16][16];
    int32_t i[16][16];
    uint16_t h[16][32];
    uint8_t b[16][64];
} emulated_tile;

static _Thread_local emulated_tile tiles[8];

void emulated_configure(void) {
    memset(tiles, 0, sizeof tiles);
}

void emulated_zero(int tile) {
    memset(&tiles[tile], 0, sizeof tiles[tile]);
}

void emulated_load_tile(int tile, const void *from, size_t stride) {
    if ((uintptr_t)from % 64) abort(); /* works, but slowly */
    EACH(i, 16) memcpy(tiles[tile].b[i], (const char *)from + (size_t)i * stride, 64);
}

void emulated_store_tile(int tile, void *to, size_t stride) {
    EACH(i, 16) memcpy((char *)to + (size_t)i * stride, tiles[tile].b[i], 64);
}

void emulated_multiply_bytes(int sum, int a, int b) {
    EACH(m, 16) EACH(n, 16) EACH(k, 64)
        tiles[sum].i[m][n] += tiles[a].b[m][k] * (int8_t)tiles[b].b[k / 4][4 * n + k % 4];
}

static float wide(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

void emulated_multiply_halves(int sum, int a, int b) {
    float columns[2][16][16];
    EACH(k, 16) EACH(n, 16) EACH(i, 2) columns[i][k][n] = wide(tiles[b].h[k][2 * n + i]);
    EACH(m, 16) {
        float parts[2][16] = {{0}};
        EACH(k, 16) EACH(i, 2) {
            const float x = wide(tiles[a].h[m][2 * k + i]);
            EACH(n, 16) parts[i][n] = fmaf(x, columns[i][k][n], parts[i][n]);
        }
        EACH(n, 16) tiles[sum].f[m][n] += parts[0][n] + parts[1][n];
    }
}

int tiles_ask(void) {
    return 0;
}

double peak_f32_avx512(size_t iterations) {
    return (double)iterations;
}

double peak_bf16_avx512bf16(size_t iterations) {
    return (double)iterations;
}

double peak_int8_avx512vnni(size_t iterations) {
    return (double)iterations;
}

double peak_bf16_amx(size_t iterations) {
    return (double)iterations;
}

double peak_int8_amx(size_t iterations) {
    return (double)iterations;
}
