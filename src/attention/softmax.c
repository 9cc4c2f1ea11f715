/* Softmax attention over packed sequences. A unit of work is one head of one sequence: its keys are packed as the
 * second operand of the score product, its values of the other, and blocks of queries run through both. */
#include "attention/attention.h"
#include "base/checked.h"

enum { SCORE_BYTES = 128 * 1024, LEAST_QUERIES = 14 };

typedef struct work {
    const run *run;
    const attention *in;
    const batch *sequences;
    tensor out;
    float *scratch; /* of each member, one after the other */
    size_t scratch_size;
    size_t key_size, value_size; /* parts of it */
} work;

static size_t query_block(size_t length) {
    return size_min(length, size_max(SCORE_BYTES / sizeof(float) / length, LEAST_QUERIES));
}

static void add_bias(const attention *in, size_t head, float *scores, size_t stride, size_t first, size_t rows,
                     size_t length) {
    const float *bias = in->bias + head * in->bias_stride + in->bias_reach;
    for (size_t i = 0; i < rows; i++) {
        const float *row = bias - (first + i);
        for (size_t k = 0; k < length; k++) scores[i * stride + k] += row[k];
    }
}

static void one_head(const work *w, size_t sequence, size_t head, float *scratch) {
    const attention *in = w->in;
    const kernel_table *kernels = w->run->kernels;
    size_t start = w->sequences->start[sequence], length = batch_length(w->sequences, sequence);
    size_t size = in->head_size, column = head * size, stride = round_up(length, PANEL) + 16;
    float *keys = scratch, *values = keys + w->key_size, *scores = values + w->value_size;
    kernels->pack_transposed_f32(keys, in->key.data + start * in->key.stride + column, in->key.stride, length, size);
    pack_straight_f32(values, in->value.data + start * in->value.stride + column, in->value.stride, size, length);
    size_t block = query_block(length);
    for (size_t first = 0; first < length; first += block) {
        size_t rows = size_min(block, length - first);
        product_f32 score = {.a = in->query.data + (start + first) * in->query.stride + column,
                             .a_stride = in->query.stride,
                             .b = keys,
                             .c = scores,
                             .c_stride = stride,
                             .rows = rows,
                             .columns = length,
                             .depth = size,
                             .scale = in->scale};
        kernels->product_f32(&score);
        if (in->bias) add_bias(in, head, scores, stride, first, rows, length);
        for (size_t i = 0; i < rows; i++) kernels->softmax_f32(scores + i * stride, length);
        product_f32 mix = {.a = scores,
                           .a_stride = stride,
                           .b = values,
                           .c = w->out.data + (start + first) * w->out.stride + column,
                           .c_stride = w->out.stride,
                           .rows = rows,
                           .columns = size,
                           .depth = length};
        kernels->product_f32(&mix);
    }
}

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    for (size_t unit = first; unit < last; unit++)
        one_head(w, unit / w->in->heads, unit % w->in->heads, w->scratch + member * w->scratch_size);
}

bool attention_softmax(const run *self, tensor out, const attention *inputs, const batch *sequences) {
    size_t longest = 0;
    for (size_t i = 0; i < sequences->sequences; i++) longest = size_max(longest, batch_length(sequences, i));
    if (longest == 0) return true;
    work w = {.run = self, .in = inputs, .sequences = sequences, .out = out};
    w.key_size = packed_size(longest, inputs->head_size);
    w.value_size = packed_size(inputs->head_size, longest);
    /* blocks of short sequences stay below twice the budget, rounding included */
    size_t score_size = size_max(SCORE_BYTES / sizeof(float) * 2, LEAST_QUERIES * (round_up(longest, PANEL) + 16));
    w.scratch_size = round_up(w.key_size + w.value_size + score_size, 16);
    arena_mark mark = arena_save(self->memory);
    w.scratch = arena_take_array(self->memory, w.scratch_size * team_size(self->crew), sizeof(float));
    if (!w.scratch) return false;
    run_parallel(self, sequences->sequences * inputs->heads, 1, some_heads, &w);
    arena_rewind(self->memory, mark);
    return true;
}
