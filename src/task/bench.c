/* Measuring the time of a forward pass. */
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/energy.h"
#include "base/order.h"
#include "task/job.h"

rubato_status rubato_bench(rubato_context *context, size_t batch_size, size_t length, rubato_bench_row **row,
                           rubato_error *error) {
    return rubato_bench_at(context, NULL, batch_size, length, row, error);
}

rubato_status rubato_bench_at(rubato_context *context, const char *budget_text, size_t batch_size, size_t length,
                              rubato_bench_row **row, rubato_error *error) {
    budget wanted;
    rubato_options options = {.size = sizeof options, .budget = budget_text};
    *row = NULL;
    TRY(engine_budget(context, &options, &wanted, error));
    const point *at;
    TRY(engine_point(&at, context, &wanted, length, error));
    const encoder *body = &context->model->body;
    if (batch_size == 0 || length == 0 || length > encoder_max_length(&body->config) || batch_size > 1 << 20)
        return fail(error, RUBATO_BAD_ARGUMENT, "bench: batch %zu of length %zu; the model takes 1 to %zu tokens",
                    batch_size, length, encoder_max_length(&body->config));
    size_t rows = batch_size * length;
    int32_t *ids = calloc(2 * rows, sizeof *ids);
    rubato_window *windows = calloc(batch_size, sizeof *windows);
    unit *units = calloc(batch_size, sizeof *units);
    rubato_status status = ids && windows && units ? RUBATO_OK : fail_memory(error);
    uint32_t state = 12345;
    for (size_t i = 0; i < rows && status == RUBATO_OK; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator; any ids will do */
        ids[i] = (int32_t)(state % body->config.vocabulary);
    }
    for (size_t i = 0; i < batch_size && status == RUBATO_OK; i++) {
        windows[i] = (rubato_window){.length = length, .ids = ids + i * length, .types = ids + rows};
        units[i] = (unit){&windows[i], 0, 0, at};
    }
    job work = {.count = 1, .head = HEAD_COUNT};
    double times[64], spent = 0;
    energy_meter energy;
    size_t runs = 0;
    /* one run to warm up, then at least three runs and half a second */
    for (int warm = 1; status == RUBATO_OK && runs < 64 && (warm || runs < 3 || spent < 500);) {
        double begin = clock_ms();
        if (runs == 0) energy_begin(&energy);
        status = engine_run_units(context, &work, units, batch_size, error);
        double ms = clock_ms() - begin;
        if (!warm) {
            times[runs++] = ms;
            spent += ms;
        }
        warm = 0;
    }
    bool measured = false;
    double joules = runs ? energy_end(&energy, rubato_context_threads(context), &measured) : 0;
    if (status == RUBATO_OK && !(*row = malloc(sizeof **row))) status = fail_memory(error);
    if (*row) {
        double ms = median(times, runs), flops = (double)batch_size * encoder_flops(body, at, length);
        **row = (rubato_bench_row){.point = at ? at->name : "full",
                                   .batch = batch_size,
                                   .length = length,
                                   .joules = joules / (double)(size_max(runs, 1) * batch_size),
                                   .joules_measured = measured,
                                   .ms = ms,
                                   .tokens_per_second = (double)rows / ms * 1e3,
                                   .gflops = flops / ms / 1e6};
    }
    free(ids);
    free(windows);
    free(units);
    return status;
}
