/* The bandwidth of random rows: how fast one thread reads rows of a large table in random order, as a memory does.
 *
 *   build/bench_rows [ROWS [FLOATS]]      # 262144 rows of 768 floats
 *
 * Rows are drawn anew for every pass and asked for a few rows ahead; each float is added to one of many sums, so that
 * the processor waits for memory alone. Prints GB/s, the median of 9 passes of 100,000 rows. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PASSES = 9, READS = 100000, AHEAD = 8, LANES = 64 };

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static uint64_t next(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    const size_t rows = argc > 1 ? strtoul(argv[1], NULL, 10) : 262144;
    const size_t width = (argc > 2 ? strtoul(argv[2], NULL, 10) : 768) / LANES * LANES;
    if (rows == 0 || width == 0 || rows > SIZE_MAX / width / sizeof(float)) {
        fputs("usage: bench_rows [ROWS [FLOATS, a multiple of 64]]\n", stderr);
        return 2;
    }
    const size_t bytes = rows * width * sizeof(float);
    float *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *order = malloc(READS * sizeof *order);
    if (table == MAP_FAILED || !order) {
        fputs("bench_rows: out of memory\n", stderr);
        return 1;
    }
    for (size_t i = 0; i < rows * width; i += 16) table[i] = 1;
    double rates[PASSES], sum = 0;
    uint64_t state = 1;
    for (int pass = 0; pass < PASSES; pass++) {
        float lanes[LANES] = {0};
        for (size_t i = 0; i < READS; i++) order[i] = (uint32_t)(next(&state) % rows);
        const double begin = now_ms();
        for (size_t i = 0; i < READS; i++) {
            const float *row = table + order[i] * width;
            const char *soon = (const char *)(table + order[i + AHEAD < READS ? i + AHEAD : i] * width);
            for (size_t j = 0; j < width * sizeof(float); j += 64) __builtin_prefetch(soon + j, 0, 2);
            for (size_t j = 0; j < width; j += LANES)
                for (size_t lane = 0; lane < LANES; lane++) lanes[lane] += row[j + lane];
        }
        rates[pass] = (double)READS * (double)width * sizeof(float) / (now_ms() - begin) / 1e6;
        for (size_t lane = 0; lane < LANES; lane++) sum += (double)lanes[lane];
    }
    qsort(rates, PASSES, sizeof *rates, by_size);
    printf("{\"rows\": %zu, \"floats\": %zu, \"gbs\": %.2f, \"sum\": %.0f}\n", rows, width, rates[PASSES / 2], sum);
    return 0;
}
