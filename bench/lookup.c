/* The time of a memory against the feed-forward part of another layer, on one thread, and the bandwidth at which it
 * reads its table.
 *
 *   build/bench_lookup MODEL [SEQUENCES [LENGTH]]     # 32 sequences of 128 tokens
 *
 * The rows are drawn from a normal distribution, as a norm leaves them, so that their tokens look up slots all over the
 * table: the caches hold few of these. MODEL has a memory in a layer, and a layer without one. Prints JSON:
 * milliseconds of the memory, of the part of it that looks up (all but the products of queries and keys) and of the
 * dense part, the medians of 7 rounds in turn; and the GB/s of the rows read. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/order.h"
#include "base/random.h"
#include "feeding/memory.h"
#include "task/context.h"
#include "tensor/operations.h"

enum { ROUNDS = 7 };

static double time_part(const run *on, const layer *of, tensor x, bool of_memory) {
    profile spent = {0};
    run own = *on;
    own.profile = &spent;
    const arena_mark mark = arena_save(on->memory);
    tensor out = run_tensor(on, x.rows, x.columns);
    const feeding_input in = {.x = x, .neurons = of->inner, .memory_heads = 1, .selected = 1};
    const double begin = clock_ms();
    of->feeding->forward(of->feed_forward, &own, &in, out);
    const double whole = clock_ms() - begin;
    arena_rewind(on->memory, mark);
    return of_memory ? spent.ms[PART_MEMORY] : whole;
}

/* The products of queries and keys alone. */
static double time_products(const run *on, const memory *of, tensor x) {
    const memory_setting *s = of->setting;
    const size_t half = s->query / 2;
    const arena_mark mark = arena_save(on->memory);
    tensor query = run_tensor(on, x.rows, (size_t)s->heads * s->query), scores = run_tensor(on, x.rows, s->side);
    const double begin = clock_ms();
    run_linear(on, query, x, &of->query, ACTIVATION_NONE, NULL);
    for (size_t i = 0; i < 2 * (size_t)s->heads; i++)
        run_linear(on, scores, tensor_columns(query, i * half, half), &of->keys[i], ACTIVATION_NONE, NULL);
    const double ms = clock_ms() - begin;
    arena_rewind(on->memory, mark);
    return ms;
}

static const layer *find_layer(const encoder *body, bool remembers) {
    for (size_t i = 0; i < body->depth; i++)
        if (body->sizes[i].remembers == remembers) return &body->layers[body->order[i]];
    return NULL;
}

int main(int argc, char **argv) {
    const size_t sequences = argc > 2 ? strtoul(argv[2], NULL, 10) : 32,
                 length = argc > 3 ? strtoul(argv[3], NULL, 10) : 128;
    rubato_error error;
    rubato_model *model;
    rubato_context *context;
    const rubato_context_options options = {.size = sizeof options, .threads = 1};
    if (argc < 2 || !sequences || !length) {
        fputs("usage: bench_lookup MODEL [SEQUENCES [LENGTH]]\n", stderr);
        return 2;
    }
    if (rubato_model_load(&model, argv[1], &error) != RUBATO_OK ||
        rubato_context_create(&context, model, &options, &error) != RUBATO_OK) {
        fprintf(stderr, "bench_lookup: %s\n", error.message);
        return 1;
    }
    const layer *with = find_layer(&model->body, true), *without = find_layer(&model->body, false);
    if (!with || !without) {
        fputs("bench_lookup: the model needs a layer with a memory and one without\n", stderr);
        return 1;
    }
    rubato_status status = RUBATO_OK;
    const run on = context_run(context, &status);
    tensor x = run_tensor(&on, sequences * length, model->body.config.hidden);
    uint64_t state = 1;
    for (size_t i = 0; i < x.rows && x.data; i++)
        for (size_t j = 0; j < x.columns; j++) tensor_row(x, i)[j] = (float)random_normal(&state);
    const memory *of = with->feed_forward;
    double memory_ms[ROUNDS], products_ms[ROUNDS], dense_ms[ROUNDS];
    for (size_t i = 0; i < ROUNDS + 1; i++) { /* the first one brings the table into memory */
        const size_t round = i ? i - 1 : 0;
        memory_ms[round] = time_part(&on, with, x, true);
        products_ms[round] = time_products(&on, of, x);
        dense_ms[round] = time_part(&on, without, x, false);
    }
    const double whole = median(memory_ms, ROUNDS), lookup = whole - median(products_ms, ROUNDS);
    const double bytes = with->feeding->demand(of, (double)x.rows).read_bytes;
    printf("{\"rows\": %zu, \"memory_ms\": %.2f, \"lookup_ms\": %.2f, \"dense_ms\": %.2f, \"gbs\": %.2f, \"isa\": "
           "\"%s\"}\n",
           x.rows, whole, lookup, median(dense_ms, ROUNDS), bytes / lookup / 1e6, context->kernels->name);
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    return status != RUBATO_OK;
}
