/* Softmax attention over packed sequences. A unit of work is one head of one sequence: its keys are packed as the
 * second operand of the score product, its values of the other, and blocks of queries run through both. */
#include <string.h>

#include "attention/softmax.h"
#include "base/checked.h"

/* A block has at most sqrt(SCORE_BYTES / 4) queries: as many as its sequence is long, or whose scores fit. */
enum { SCORE_BYTES = 128 * 1024, LEAST_QUERIES = 14, MOST_QUERIES = 182 };

typedef struct work {
    const run *run;
    const attention *in;
    const batch *sequences;
    tensor out;
    float *scratch; /* of each member, one after the other */
    size_t scratch_size;
    size_t key_size, value_size, score_size; /* parts of it */
    float *received;                         /* [heads][rows]: significance by head */
    uint64_t mask;                           /* dropout's key; 0: none */
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

/* One head of one sequence, and where its parts are in the member's scratch. */
typedef struct one_head {
    const work *work;
    size_t start, length, column, stride;
    float *keys, *values, *scores;
    uint32_t *low_keys, *low_values, *low_rows; /* bf16, where the attention is narrow */
} one_head;

/* Scores of some queries, and the values mixed by their probabilities. */
static void score_f32(const one_head *h, size_t first, size_t rows) {
    const attention *in = h->work->in;
    product_f32 score = {.a = tensor_row(in->query, h->start + first) + h->column,
                         .a_stride = in->query.stride,
                         .b = h->keys,
                         .c = h->scores,
                         .c_stride = h->stride,
                         .rows = rows,
                         .columns = h->length,
                         .depth = in->head_size,
                         .scale = in->scale};
    h->work->run->kernels->product_f32(&score);
}

static void mix_f32(const one_head *h, size_t first, size_t rows) {
    tensor out = h->work->out;
    product_f32 mix = {.a = h->scores,
                       .a_stride = h->stride,
                       .b = h->values,
                       .c = tensor_row(out, h->start + first) + h->column,
                       .c_stride = out.stride,
                       .rows = rows,
                       .columns = h->work->in->head_size,
                       .depth = h->length};
    h->work->run->kernels->product_f32(&mix);
}

/* c [rows, columns] = bf16(rows of x) b. */
static void product_narrow(const one_head *h, const float *x, size_t x_stride, const uint32_t *b, size_t depth,
                           float *c, size_t c_stride, size_t rows, size_t columns) {
    const low_kernels *kernels = &h->work->run->kernels->low;
    size_t words = words_bf16(depth);
    for (size_t i = 0; i < rows; i++) kernels->narrow_bf16(h->low_rows + i * words, x + i * x_stride, depth);
    product_low product = {.a = h->low_rows,
                           .a_stride = words,
                           .b = b,
                           .c = c,
                           .c_stride = c_stride,
                           .rows = rows,
                           .columns = columns,
                           .words = words};
    kernels->product_bf16(&product);
}

/* Keys, with the scores' scale, and values in bf16. */
static void narrow_operands(const one_head *h) {
    const attention *in = h->work->in;
    const low_kernels *kernels = &h->work->run->kernels->low;
    size_t size = in->head_size;
    for (size_t i = 0; i < packed_size(h->length, size); i++) h->keys[i] *= in->scale;
    for (size_t panel = 0; panel * PANEL < h->length; panel++)
        kernels->narrow_panel_bf16(h->low_keys + panel * words_bf16(size) * PANEL, h->keys + panel * size * PANEL,
                                   size);
    for (size_t panel = 0; panel * PANEL < size; panel++)
        kernels->narrow_panel_bf16(h->low_values + panel * words_bf16(h->length) * PANEL,
                                   h->values + panel * h->length * PANEL, h->length);
}

static void run_head(const work *w, size_t sequence, size_t head, float *scratch) {
    const attention *in = w->in;
    const kernel_table *kernels = w->run->kernels;
    size_t start = w->sequences->start[sequence], length = batch_length(w->sequences, sequence);
    size_t size = in->head_size, column = head * size, stride = round_up(length, PANEL) + 16;
    float *keys = scratch, *values = keys + w->key_size, *scores = values + w->value_size;
    one_head h = {w, start, length, column, stride, keys, values, scores, NULL, NULL, NULL};
    kernels->pack_transposed_f32(keys, in->key.data + start * in->key.stride + column, in->key.stride, length, size);
    pack_straight_f32(values, in->value.data + start * in->value.stride + column, in->value.stride, size, length);
    if (in->narrow) {
        h.low_keys = (uint32_t *)(void *)(scores + w->score_size);
        h.low_values = h.low_keys + w->key_size;
        h.low_rows = h.low_values + w->value_size;
        narrow_operands(&h);
    }
    size_t block = query_block(length);
    float *received = w->received ? w->received + head * w->sequences->rows + start : NULL;
    if (received) memset(received, 0, length * sizeof *received);
    for (size_t first = 0; first < length; first += block) {
        size_t rows = size_min(block, length - first);
        if (in->narrow)
            product_narrow(&h, tensor_row(in->query, start + first) + column, in->query.stride, h.low_keys, size,
                           scores, stride, rows, length);
        else
            score_f32(&h, first, rows);
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
        if (in->narrow)
            product_narrow(&h, scores, stride, h.low_values, length, tensor_row(w->out, start + first) + column,
                           w->out.stride, rows, size);
        else
            mix_f32(&h, first, rows);
    }
}

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    for (size_t unit = first; unit < last; unit++)
        run_head(w, unit / w->in->heads, unit % w->in->heads, w->scratch + member * w->scratch_size);
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
    w.score_size = size_max(SCORE_BYTES / sizeof(float) * 2, LEAST_QUERIES * (round_up(longest, PANEL) + 16));
    w.scratch_size = round_up(w.key_size + w.value_size + w.score_size, 16);
    if (inputs->narrow) /* words for keys and values, and for the rows of a block, either queries or probabilities */
        w.scratch_size += round_up(
            w.key_size + w.value_size + size_max(w.score_size, MOST_QUERIES * words_bf16(inputs->head_size)), 16);
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
