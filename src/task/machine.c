/* Measuring the peaks of the machine. */
#include "task/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "task/context.h"

typedef double peak_function(size_t iterations);

typedef struct peak_work {
    peak_function *peak;
    size_t iterations;
} peak_work;

static void run_peak(void *argument, size_t member, size_t members) {
    const peak_work *work = argument;
    (void)member;
    (void)members;
    work->peak(work->iterations);
}

enum { REPEATS = 7, PEAK_REPEATS = 30 }; /* a scheduler needs a while to spread new threads over the processors */

/* The best of several runs, in Gflop/s: a peak is the speed without disturbance. NULL: 0. */
static double peak_of(peak_function *peak, team *crew) {
    if (!peak) return 0;
    peak_work work = {peak, 4000000};
    double flops = peak(1000) / 1000 * (double)work.iterations * (double)team_size(crew), best = 0;
    for (int i = 0; i < PEAK_REPEATS; i++) {
        double begin = clock_ms();
        team_run(crew, run_peak, &work);
        double rate = flops / ((clock_ms() - begin) * 1e6);
        if (rate > best) best = rate;
    }
    return best;
}

typedef struct stream_work {
    const kernel_table *kernels;
    const float *data;
    size_t count, rounds;
} stream_work;

/* Each member reads its part repeatedly. */
static void run_stream(void *argument, size_t member, size_t members) {
    const stream_work *work = argument;
    size_t first, last;
    team_share(work->count, 64, member, members, &first, &last);
    for (size_t i = 0; i < work->rounds; i++)
        work->kernels->dot_f32(work->data + first, work->data + first, last - first);
}

rubato_status machine_processor(char *out, size_t bytes, rubato_error *error) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    if (!file && errno == ENOMEM) return fail_memory(error);
    snprintf(out, bytes, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, bytes, "%.90s", colon + 2);
        break;
    }
    if (file) fclose(file);
    return RUBATO_OK;
}

/* GB/s of reading the first `bytes` of the data repeatedly, the best of several runs. */
static double bandwidth_of(const float *data, size_t bytes, const rubato_context *context) {
    enum { READ_BYTES = 256 << 20 };
    stream_work work = {context->kernels, data, bytes / sizeof *data, size_max(READ_BYTES / bytes, 1)};
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        double begin = clock_ms();
        team_run(context->crew, run_stream, &work);
        double rate = (double)(work.rounds * work.count * sizeof *data) / ((clock_ms() - begin) * 1e6);
        if (rate > best) best = rate;
    }
    return best;
}

static size_t cache_bytes(int name, size_t otherwise) {
    long said = sysconf(name);
    return said > 0 ? (size_t)said : otherwise;
}

/* A result with its text. */
typedef struct measured {
    rubato_machine machine;
    char processor[96];
} measured;

rubato_status rubato_measure_machine(rubato_context *context, rubato_machine **out, rubato_error *error) {
    enum { LARGE = 256 << 20 };
    const kernel_table *kernels = context->kernels;
    *out = NULL;
    float *data = malloc(LARGE);
    measured *made = malloc(sizeof *made);
    rubato_status status =
        data && made ? machine_processor(made->processor, sizeof made->processor, error) : fail_memory(error);
    if (status != RUBATO_OK) {
        free(data);
        free(made);
        return status;
    }
    rubato_machine *machine = &made->machine;
    *machine = (rubato_machine){.processor = made->processor,
                                .isa = kernels->name,
                                .threads = team_size(context->crew),
                                .l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20),
                                .l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 16 << 20)};
    machine->peak_gflops_1 = peak_of(kernels->peak_f32, NULL);
    machine->peak_gflops = peak_of(kernels->peak_f32, context->crew);
    machine->bf16_gflops = peak_of(kernels->low.peak_bf16, context->crew);
    machine->int8_gflops = peak_of(kernels->low.peak_int8, context->crew);
    for (size_t i = 0; i < LARGE / sizeof *data; i++) data[i] = (float)(i % 7);
    machine->bandwidth_gbs = bandwidth_of(data, LARGE, context);
    machine->l3_gbs = bandwidth_of(data, size_min(machine->l3_bytes / 4, LARGE), context);
    machine->l2_gbs = bandwidth_of(data, size_min(machine->l2_bytes / 2 * machine->threads, LARGE), context);
    free(data);
    *out = machine;
    return RUBATO_OK;
}
