/* rubato_roofline: the time of each part of a forward pass, and the limit of the machine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/order.h"
#include "task/context.h"

enum { ROUNDS = 15 };

/* The work of a part in all layers together. */
typedef struct demand {
    const char *name;
    double flops, weight_bytes, activation_bytes;
    double each_bytes; /* activations of one layer's operation, which should fit into a cache */
    double peak;       /* Gflop/s */
} demand;

static double weight_size(precision of) {
    return of == PRECISION_INT8 ? 1 : of == PRECISION_BF16 ? 2 : 4;
}

static double peak_of(const rubato_machine *machine, precision of) {
    double wanted = of == PRECISION_INT8 ? machine->int8_gflops : of == PRECISION_BF16 ? machine->bf16_gflops : 0;
    return wanted > 0 ? wanted : machine->peak_gflops;
}

typedef struct demanding {
    const rubato_machine *machine;
    demand *out; /* [PART_COUNT] */
    double rows;
} demanding;

/* A product reads and writes its activations once, and reads the residual. */
static void add_product(void *user, linear *of, const linear_role *role) {
    const demanding *all = user;
    demand *to = &all->out[role->part];
    double in = (double)of->in, out = (double)of->out, each = 4 * all->rows * (in + out * (role->residual ? 2 : 1));
    to->name = role->name;
    to->flops += 2 * all->rows * in * out;
    to->weight_bytes += in * out * weight_size(of->precision);
    to->activation_bytes += each;
    to->each_bytes = fmax(to->each_bytes, each);
    to->peak = peak_of(all->machine, of->precision);
}

static void add_heads(const layer *from, const kernel_table *kernels, const rubato_machine *machine, size_t sequences,
                      size_t length, demand *to) {
    attending_demand mine = from->attending->demand(from->attention, kernels, sequences, length);
    to->flops += mine.flops;
    to->activation_bytes += mine.activation_bytes;
    to->each_bytes = fmax(to->each_bytes, mine.activation_bytes);
    to->peak = mine.rate * peak_of(machine, mine.products);
}

/* Rows of the table are anywhere in memory; they are counted at the bandwidth of rows that follow each other. */
static void add_memory(const layer *from, const rubato_machine *machine, double rows, demand *to) {
    const feeding_demand mine = from->feeding->demand(from->feed_forward, rows);
    to->name = "memory";
    to->flops += mine.flops;
    to->weight_bytes += mine.weight_bytes;
    to->activation_bytes += mine.read_bytes;
    to->each_bytes = INFINITY;
    to->peak = machine->peak_gflops;
}

static void fill_demands(const encoder *body, const kernel_table *kernels, const rubato_machine *machine,
                         size_t sequences, size_t length, demand out[PART_COUNT]) {
    double layers = (double)body->depth, d = (double)body->config.hidden, rows = (double)(sequences * length);
    demanding all = {machine, out, rows};
    memset(out, 0, PART_COUNT * sizeof *out);
    out[PART_HEADS].name = "attention heads";
    for (size_t i = 0; i < body->depth; i++) {
        const layer *one = &body->layers[body->order[i]];
        layer_visit(one, add_product, &all);
        add_heads(one, kernels, machine, sequences, length, &out[PART_HEADS]);
        if (one->feeding->demand) add_memory(one, machine, rows, &out[PART_MEMORY]);
    }
    out[PART_EMBEDDINGS] =
        (demand){.name = "embeddings", .activation_bytes = 4 * rows * 4 * d, .each_bytes = 16 * rows * d};
    out[PART_NORMS] = (demand){
        .name = "normalisation", .activation_bytes = (2 * layers + 1) * 2 * rows * 4 * d, .each_bytes = 8 * rows * d};
    out[PART_RETIREMENT] = (demand){.name = "retirement"};
}

/* The bandwidth of the smallest cache that holds `bytes`, or of memory, and its name. */
static double bandwidth(const rubato_machine *machine, double bytes, const char **place) {
    bool l2 = bytes <= (double)(machine->l2_bytes * machine->threads), l3 = bytes <= (double)machine->l3_bytes;
    *place = l2 ? "L2" : l3 ? "L3" : "memory";
    return l2 ? machine->l2_gbs : l3 ? machine->l3_gbs : machine->bandwidth_gbs;
}

static void limit(const rubato_machine *machine, const demand *what, double all_weights, double times,
                  rubato_part *out) {
    const char *weights_in, *activations_in;
    double compute = what->peak > 0 ? what->flops / what->peak / 1e6 : 0;
    double weights = what->weight_bytes / bandwidth(machine, all_weights, &weights_in) / 1e6;
    double activations = what->activation_bytes / bandwidth(machine, what->each_bytes, &activations_in) / 1e6;
    double most = compute;
    out->bound = "compute";
    if (weights > most) {
        most = weights;
        out->bound = weights_in;
    }
    if (activations > most) {
        most = activations;
        out->bound = activations_in;
    }
    out->limit_ms = most * times;
    out->gflops = out->ms > 0 ? what->flops * times / out->ms / 1e6 : 0;
}

/* Milliseconds of each part, the median of some runs. */
static rubato_status measure(rubato_context *context, const batch *packed, double out[PART_COUNT],
                             rubato_error *error) {
    double times[PART_COUNT][ROUNDS];
    arena *memory = &context->workers[0].memory;
    for (size_t round = 0; round < ROUNDS + 1; round++) {
        profile spent = {0};
        rubato_status status = RUBATO_OK;
        run on = context_run(context, &status);
        on.profile = &spent;
        encoded made;
        arena_mark mark = arena_save(memory);
        encoder_forward(&context->model->body, &on, packed, NULL, &made);
        arena_rewind(memory, mark);
        TRY(run_result(&on, error));
        for (size_t i = 0; i < PART_COUNT && round > 0; i++) times[i][round - 1] = spent.ms[i];
    }
    for (size_t i = 0; i < PART_COUNT; i++) {
        out[i] = median(times[i], ROUNDS);
    }
    return RUBATO_OK;
}

/* A result with its parts. */
typedef struct breakdown {
    rubato_parts is;
    rubato_part parts[PART_COUNT];
    const rubato_part *listed[PART_COUNT];
} breakdown;

rubato_status rubato_roofline(rubato_context *context, const rubato_machine *machine, size_t batch_size, size_t length,
                              rubato_parts **parts, rubato_error *error) {
    const encoder *body = &context->model->body;
    *parts = NULL;
    if (batch_size == 0 || length == 0 || length > encoder_max_length(&body->config) || batch_size > 1 << 20)
        return fail(error, RUBATO_BAD_ARGUMENT, "roofline: batch %zu of length %zu; the model takes 1 to %zu tokens",
                    batch_size, length, encoder_max_length(&body->config));
    /* as many sequences at a time as in the engine, so that activations are in the same cache */
    size_t most = size_max(context->batch_tokens * team_size(context->crew) / length, 1);
    size_t sequences = size_min(batch_size, most), rows = sequences * length;
    int32_t *ids = calloc(2 * rows, sizeof *ids);
    size_t *start = calloc(sequences + 1, sizeof *start);
    double ms[PART_COUNT];
    rubato_status status = ids && start ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; i < rows && status == RUBATO_OK; i++) ids[i] = (int32_t)(i * 7919 % body->config.vocabulary);
    for (size_t i = 0; i <= sequences && status == RUBATO_OK; i++) start[i] = i * length;
    if (status == RUBATO_OK) {
        batch packed = {sequences, rows, start, ids, ids + rows};
        status = measure(context, &packed, ms, error);
    }
    free(ids);
    free(start);
    TRY(status);
    demand demands[PART_COUNT];
    double weights = 0, times = (double)batch_size / (double)sequences;
    fill_demands(body, context->kernels, machine, sequences, length, demands);
    for (size_t i = 0; i < PART_COUNT; i++) weights += demands[i].weight_bytes;
    if (body->unique < body->depth)
        weights *= (double)body->unique / (double)body->depth; /* shared weights are there once */
    breakdown *made = calloc(1, sizeof *made);
    if (!made) return fail_memory(error);
    made->is.parts = made->listed;
    for (size_t i = 0; i < PART_COUNT; i++) {
        if (i == PART_RETIREMENT || !demands[i].name) continue; /* no rows retire here; a part may be missing */
        rubato_part *one = &made->parts[i];
        made->listed[made->is.count++] = one;
        *one = (rubato_part){.name = demands[i].name, .ms = ms[i] * times};
        limit(machine, &demands[i], weights, times, one);
    }
    *parts = &made->is;
    return RUBATO_OK;
}
