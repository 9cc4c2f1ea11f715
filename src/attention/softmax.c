/* Softmax attention over packed sequences. A unit of work is one head of one sequence: its keys are packed as the
 * second operand of the score product, its values of the other, and blocks of queries run through both. */
#include <string.h>

#include "attention/softmax.h"
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
    float *received;             /* [heads][rows]: significance by head */
    uint64_t mask;               /* dropout's key; 0: none */
    size_t longest;
} work;

static size_t query_block(size_t length) {
    return size_min(length, size_max(SCORE_BYTES / sizeof(float) / length, LEAST_QUERIES));
}

void attention_add_bias(const attention *in, size_t head, float *scores, size_t stride, size_t start, size_t first,
                        size_t rows, size_t length) {
    const float *bias = in->bias + head * in->bias_stride + in->bias_reach;
    const size_t *origin = in->origin ? in->origin + start : NULL;
    for (size_t i = 0; i < rows; i++) {
        const float *row = bias - (origin ? origin[first + i] - origin[0] : first + i);
        for (size_t k = 0; k < length; k++) scores[i * stride + k] += row[origin ? origin[k] - origin[0] : k];
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
    float *received = w->received ? w->received + head * w->sequences->rows + start : NULL;
    if (received) memset(received, 0, length * sizeof *received);
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
        if (in->bias) attention_add_bias(in, head, scores, stride, start, first, rows, length);
        for (size_t i = 0; i < rows; i++) kernels->softmax_f32(scores + i * stride, length);
        if (received)
            for (size_t i = 0; i < rows; i++) {
                kernels->gradient->add(received, scores + i * stride, length);
                if (in->others_only) received[first + i] -= scores[i * stride + first + i];
            }
        if (w->mask)
            attention_dropout(w->run, w->mask, scores, stride, rows, length,
                              attention_place(head, start + first, w->sequences->rows, w->longest), w->longest);
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

static void sum_heads(const work *w) {
    size_t rows = w->sequences->rows;
    memcpy(w->in->significance, w->received, rows * sizeof(float));
    for (size_t head = 1; head < w->in->heads; head++)
        w->run->kernels->gradient->add(w->in->significance, w->received + head * rows, rows);
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
    if (inputs->significance)
        w.received = arena_take_array(self->memory, inputs->heads * sequences->rows, sizeof(float));
    if (!w.scratch || (inputs->significance && !w.received)) return false;
    w.longest = longest;
    if (self->tape && self->tape->attention_rate > 0) w.mask = tape_mask(self->tape);
    run_parallel(self, sequences->sequences * inputs->heads, 1, some_heads, &w);
    if (w.received) sum_heads(&w);
    arena_rewind(self->memory, mark);
    if (self->tape) attention_softmax_record(self, out, inputs, sequences, longest, w.mask);
    return true;
}
