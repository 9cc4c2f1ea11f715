/* Softmax attention over packed sequences. A unit of work is one head of one sequence: its keys are packed as the
 * second operand of the score product, its values of the other, and blocks of queries run through both. */
#include <math.h>
#include <string.h>

#include "attention/operand.h"
#include "attention/softmax.h"
#include "base/checked.h"

/* A block has at most sqrt(SCORE_BYTES / 4) queries: as many as its sequence is long, or whose scores fit. */
enum { SCORE_BYTES = 128 * 1024, LEAST_QUERIES = 14, MOST_QUERIES = 182 };

typedef struct work {
    const run *run;
    const attention *in;
    const batch *sequences, *queries;
    tensor out;
    float *scratch; /* of each member, one after the other */
    size_t scratch_size;
    size_t key_size, value_size, score_size, room_size, relative_size; /* parts of it; the last is at its end */
    float *received;                                                   /* [heads][rows]: significance by head */
    uint64_t mask;                                                     /* dropout's key; 0: none */
    size_t longest;
    float *far; /* [heads]: relative terms by distance, packed */
    size_t far_size;
} work;

static size_t query_block(size_t length) {
    return size_min(length, size_max(SCORE_BYTES / sizeof(float) / length, LEAST_QUERIES));
}

void attention_add_bias(const attention *in, size_t head, float *scores, size_t stride, size_t start, size_t query,
                        size_t rows, size_t length) {
    const float *bias = in->bias + head * in->bias_stride + in->bias_reach;
    const size_t *origin = in->origin ? in->origin + start : NULL;
    for (size_t i = 0; i < rows; i++) {
        const float *row = bias - attention_place_of(in, start, query + i);
        for (size_t k = 0; k < length; k++) scores[i * stride + k] += row[origin ? origin[k] - origin[0] : k];
    }
}

/* A row whose scores are not all finite has NaN for a result; 16-bit integers cannot say so. */
static void spoil_rows(float *out, size_t stride, size_t columns, const float *scores, size_t score_stride,
                       size_t rows) {
    for (size_t i = 0; i < rows; i++)
        if (isnan(scores[i * score_stride]))
            for (size_t j = 0; j < columns; j++) out[i * stride + j] = NAN;
}

/* One head of one sequence. */
typedef struct head_work {
    size_t column;        /* of its first feature */
    size_t start, length; /* rows that are asked */
    size_t query, asking; /* and that ask */
    operand keys, values;
    float *scores;
    uint32_t *room; /* for rows of a block in the lower form */
} head_work;

static void prepare(const work *w, float *scratch, head_work *u) {
    const attention *in = w->in;
    const kernel_table *kernels = w->run->kernels;
    const operand_form form = operand_form_of(kernels, in->narrow, u->length);
    const size_t size = in->head_size;
    const float *queries = tensor_row(in->query, u->query) + u->column;
    u->keys = (operand){.form = form, .wide = scratch, .depth = size, .columns = u->length, .scale = in->scale};
    u->values = (operand){.form = form, .wide = scratch + w->key_size, .depth = u->length, .columns = size, .scale = 1};
    u->scores = u->values.wide + w->value_size;
    kernels->pack_transposed_f32(u->keys.wide, tensor_row(in->key, u->start) + u->column, in->key.stride, u->length,
                                 size);
    pack_straight_f32(u->values.wide, tensor_row(in->value, u->start) + u->column, in->value.stride, size, u->length);
    if (form == OPERAND_F32) return;
    u->keys.low = (uint32_t *)(void *)(u->scores + w->score_size);
    u->values.low = u->keys.low + w->key_size;
    u->room = u->values.low + w->value_size;
    u->keys.column_scale = (float *)(void *)(u->room + w->room_size);
    u->values.column_scale = u->keys.column_scale + round_up(u->length, PANEL);
    if (form == OPERAND_INT16) u->keys.unit = kernels->low.int16->unit(queries, in->query.stride, u->asking, size);
    u->values.unit = 1.0f / INT16_MOST; /* of probabilities */
    operand_narrow(kernels, &u->keys);
    operand_narrow(kernels, &u->values);
}

static void run_head(const work *w, size_t sequence, size_t head, float *scratch) {
    const attention *in = w->in;
    const kernel_table *kernels = w->run->kernels;
    head_work u = {.column = head * in->head_size,
                   .start = w->sequences->start[sequence],
                   .length = batch_length(w->sequences, sequence),
                   .query = w->queries->start[sequence],
                   .asking = batch_length(w->queries, sequence)};
    if (u.length == 0 || u.asking == 0) return; /* it has left */
    prepare(w, scratch, &u);
    const size_t length = u.length, block = query_block(length), stride = round_up(length, PANEL) + 16;
    float *received = w->received ? w->received + head * w->sequences->rows + u.start : NULL;
    if (received) memset(received, 0, length * sizeof *received);
    const bool whole = u.values.form == OPERAND_INT16; /* probabilities become integers, at once if nobody else asks */
    for (size_t first = 0; first < u.asking; first += block) {
        size_t rows = size_min(block, u.asking - first), query = u.query + first;
        float *scores = u.scores, *out = tensor_row(w->out, query) + u.column;
        operand_multiply(kernels, scores, stride, tensor_row(in->query, query) + u.column, in->query.stride, rows,
                         &u.keys, u.room);
        if (in->bias) attention_add_bias(in, head, scores, stride, u.start, query, rows, length);
        if (in->relative)
            attention_add_relative(kernels, in, head, scores, stride, u.start, query, rows, length,
                                   w->far + head * w->far_size, scratch + w->scratch_size - w->relative_size);
        for (size_t i = 0; i < rows; i++)
            if (whole && !received)
                kernels->low.int16->softmax(u.room + i * words_bf16(length), scores + i * stride, length);
            else
                kernels->softmax_f32(scores + i * stride, length);
        for (size_t i = 0; received && i < rows; i++) {
            kernels->gradient->add(received, scores + i * stride, length);
            if (in->others_only) received[first + i] -= scores[i * stride + first + i];
        }
        if (w->mask)
            attention_dropout(w->run, w->mask, scores, stride, rows, length,
                              attention_place(head, query, w->queries->rows, w->longest), w->longest);
        if (whole && !received)
            operand_multiply_low(kernels, out, w->out.stride, u.room, rows, &u.values);
        else
            operand_multiply(kernels, out, w->out.stride, scores, stride, rows, &u.values, u.room);
        if (whole) spoil_rows(out, w->out.stride, in->head_size, scores, stride, rows);
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

float *attention_pack_far(const run *on, const attention *in) {
    tensor far = in->relative->far;
    size_t each = packed_size(far.rows, in->head_size);
    float *packed = arena_take_array(on->memory, in->heads * each, sizeof *packed);
    for (size_t head = 0; packed && head < in->heads; head++)
        on->kernels->pack_transposed_f32(packed + head * each, far.data + head * in->head_size, far.stride, far.rows,
                                         in->head_size);
    return packed;
}

bool attention_softmax(const run *self, tensor out, const attention *inputs, const batch *sequences) {
    size_t longest = batch_longest(sequences);
    if (longest == 0) return true;
    work w = {.run = self,
              .in = inputs,
              .sequences = sequences,
              .queries = inputs->queries ? inputs->queries : sequences,
              .out = out};
    w.key_size = packed_size(longest, inputs->head_size);
    w.value_size = packed_size(inputs->head_size, longest);
    /* blocks of short sequences stay below twice the budget, rounding included */
    w.score_size = size_max(SCORE_BYTES / sizeof(float) * 2, LEAST_QUERIES * (round_up(longest, PANEL) + 16));
    w.scratch_size = round_up(w.key_size + w.value_size + w.score_size, 16);
    if (inputs->narrow) {
        /* words for keys and values, and for the rows of a block, either queries or probabilities; scales of columns */
        w.room_size = size_max(w.score_size, MOST_QUERIES * words_bf16(inputs->head_size));
        size_t scales = round_up(longest, PANEL) + round_up(inputs->head_size, PANEL);
        w.scratch_size += round_up(w.key_size + w.value_size + w.room_size + scales, 16);
    }
    if (inputs->relative) {
        size_t original = inputs->relative->reach + 1; /* rows of the longest sequence, before any merged */
        w.relative_size = round_up(attention_relative_room(inputs, MOST_QUERIES, original), 16);
        w.scratch_size += w.relative_size;
        w.far_size = packed_size(inputs->relative->far.rows, inputs->head_size);
    }
    arena_mark mark = arena_save(self->memory);
    w.scratch = arena_take_array(self->memory, w.scratch_size * team_size(self->crew), sizeof(float));
    if (inputs->significance)
        w.received = arena_take_array(self->memory, inputs->heads * sequences->rows, sizeof(float));
    if (!w.scratch || (inputs->significance && !w.received)) return false;
    if (inputs->relative && !(w.far = attention_pack_far(self, inputs))) return false;
    w.longest = longest;
    if (self->tape && self->tape->attention_rate > 0) w.mask = tape_mask(self->tape);
    run_parallel(self, sequences->sequences * inputs->heads, 1, some_heads, &w);
    if (w.received) sum_heads(&w);
    arena_rewind(self->memory, mark);
    if (self->tape) attention_softmax_record(self, out, inputs, sequences, w.queries, longest, w.mask);
    return true;
}
