#include "model/pooling_attention.h"

#include <math.h>
#include <string.h>

#include "attention/softmax.h"
#include "tensor/operations.h"

#define LEAD "pooling_attention."

rubato_status pooling_attention_load(pooling_attention *self, loader *load, size_t width, size_t heads, float epsilon) {
    static const char *const query[] = {LEAD "query"}, *const both[] = {LEAD "key", LEAD "value"},
                             *const forward[] = {LEAD "feed_forward"};
    if (heads == 0 || width % heads)
        return fail(load->error, RUBATO_UNSUPPORTED, "pooling by attention: %zu features in %zu heads", width, heads);
    *self = (pooling_attention){.heads = heads};
    TRY(loader_seed(load, &self->seed, LEAD "seed", width));
    TRY(loader_linear(load, &self->query, query, 1, width, width));
    TRY(loader_linear(load, &self->keys_values, both, 2, width, width));
    TRY(loader_norm(load, &self->norms[0], LEAD "attention_norm", width, epsilon));
    TRY(loader_linear(load, &self->forward, forward, 1, width, width));
    return loader_norm(load, &self->norms[1], LEAD "output_norm", width, epsilon);
}

/* A query for each sequence. */
static batch one_each(const run *on, size_t sequences) {
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    for (size_t i = 0; start && i <= sequences; i++) start[i] = i;
    return (batch){.sequences = sequences, .rows = sequences, .start = start};
}

tensor pooling_attention_forward(const pooling_attention *self, const run *on, tensor x, const batch *packed) {
    const size_t width = self->seed.width, count = packed->sequences;
    size_t *seeds = run_take(on, count, sizeof *seeds);
    batch *asking = run_take(on, 1, sizeof *asking);
    if (run_failed(on)) return (tensor){0};
    memset(seeds, 0, count * sizeof *seeds);
    *asking = one_each(on, count);
    const tensor query = run_tensor(on, count, width), rows = run_tensor(on, x.rows, 2 * width);
    const tensor sum = run_tensor(on, count, width), out = run_tensor(on, count, width);
    run_linear(on, query, run_lookup(on, &self->seed, seeds, count), &self->query, ACTIVATION_NONE, NULL);
    run_linear(on, rows, x, &self->keys_values, ACTIVATION_NONE, NULL);
    if (run_failed(on)) return out;
    const attention heads = {.query = query,
                             .key = tensor_columns(rows, 0, width),
                             .value = tensor_columns(rows, width, width),
                             .queries = asking,
                             .heads = self->heads,
                             .head_size = width / self->heads,
                             .scale = 1 / sqrtf((float)width)};
    attention_softmax(on, sum, &heads, packed);
    run_add(on, sum, query);
    const tensor seen = run_normalised(on, sum, &self->norms[0]);
    run_linear(on, out, seen, &self->forward, ACTIVATION_RELU, &seen);
    return run_normalised(on, out, &self->norms[1]);
}

double pooling_attention_flops(const pooling_attention *self, size_t rows) {
    const double width = (double)self->seed.width;
    return self->seed.data ? 4 * width * width * (1 + (double)rows) + 4 * width * (double)rows : 0;
}
