/* The encoder's forward pass: post-normalisation Transformer layers over packed rows (Vaswani et al. 2017,
 * Devlin et al. 2018). */
#include "model/encoder.h"

#include <math.h>
#include <stdlib.h>

#include "attention/attention.h"
#include "base/checked.h"

size_t encoder_max_length(const encoder_config *config) {
    return config->positions - config->first_position;
}

double encoder_flops(const encoder_config *config, size_t depth, size_t length) {
    double d = (double)config->hidden, f = (double)config->inner, n = (double)length;
    double embedding = config->embedding != config->hidden ? 2 * n * (double)config->embedding * d : 0;
    return embedding + (double)depth * (2 * n * (4 * d * d + 2 * d * f) + 4 * n * n * d);
}

typedef struct embedding {
    const encoder *encoder;
    const batch *input;
    const uint32_t *positions;
    tensor out;
} embedding;

static void embed_rows(void *argument, size_t member, size_t first, size_t last) {
    const embedding *work = argument;
    const encoder *self = work->encoder;
    (void)member;
    for (size_t row = first; row < last; row++) {
        float *out = work->out.data + row * work->out.stride;
        table_copy(&self->word, (size_t)work->input->ids[row], out);
        if (self->type.data) table_add(&self->type, (size_t)work->input->types[row], out);
        if (self->position.data) table_add(&self->position, work->positions[row], out);
    }
}

/* Positions count from the first one; where pads take none, a pad in the text stands on the pad's own row. */
static void count_positions(const encoder_config *config, const batch *input, uint32_t *positions) {
    for (size_t s = 0; s < input->sequences; s++) {
        uint32_t next = (uint32_t)config->first_position;
        for (size_t row = input->start[s]; row < input->start[s + 1]; row++) {
            bool pad = config->count_pads && input->ids[row] == config->pad;
            positions[row] = pad ? (uint32_t)config->pad : next++;
        }
    }
}

static tensor embed(const encoder *self, const run *on, const batch *input) {
    const encoder_config *config = &self->config;
    tensor none = {0}, out = run_tensor(on, input->rows, config->hidden);
    tensor narrow = self->projection.packed ? run_tensor(on, input->rows, config->embedding) : out;
    uint32_t *positions = arena_take_array(on->memory, input->rows, sizeof *positions);
    if (!out.data || !narrow.data || !positions) return none;
    count_positions(config, input, positions);
    embedding work = {self, input, positions, narrow};
    run_parallel(on, input->rows, 16, embed_rows, &work);
    run_layer_norm(on, narrow, narrow, &self->embedding_norm);
    if (self->projection.packed) run_linear(on, out, narrow, &self->projection, ACTIVATION_NONE, NULL);
    return out;
}

/* x -> LN(x + Attention(x)) -> LN(. + FeedForward(.)), in place. */
static bool run_layer(const encoder *self, const layer *weights, const run *on, const batch *input, tensor x) {
    size_t hidden = self->config.hidden;
    tensor qkv = run_tensor(on, x.rows, 3 * hidden), mixed = run_tensor(on, x.rows, hidden);
    tensor y = run_tensor(on, x.rows, hidden), inner = run_tensor(on, x.rows, self->config.inner);
    if (!qkv.data || !mixed.data || !y.data || !inner.data) return false;
    run_linear(on, qkv, x, &weights->qkv, ACTIVATION_NONE, NULL);
    size_t head_size = hidden / self->config.heads;
    attention in = {.query = tensor_columns(qkv, 0, hidden),
                    .key = tensor_columns(qkv, hidden, hidden),
                    .value = tensor_columns(qkv, 2 * hidden, hidden),
                    .heads = self->config.heads,
                    .head_size = head_size,
                    .scale = 1.0f / sqrtf((float)head_size),
                    .bias = self->bias,
                    .bias_stride = 2 * self->bias_reach + 1,
                    .bias_reach = self->bias_reach};
    if (!attention_softmax(on, mixed, &in, input)) return false;
    run_linear(on, y, mixed, &weights->attention_out, ACTIVATION_NONE, &x);
    run_layer_norm(on, y, y, &weights->attention_norm);
    run_linear(on, inner, y, &weights->up, self->config.act, NULL);
    run_linear(on, x, inner, &weights->down, ACTIVATION_NONE, &y);
    run_layer_norm(on, x, x, &weights->output_norm);
    return true;
}

void encoder_forward(const encoder *self, const run *on, const batch *input, tensor *out, layer_output *each,
                     void *user) {
    tensor x = embed(self, on, input);
    if (x.data && each) each(user, 0, x);
    for (size_t i = 0; i < self->depth && x.data; i++) {
        arena_mark mark = arena_save(on->memory);
        if (!run_layer(self, &self->layers[self->order[i]], on, input, x)) x.data = NULL;
        arena_rewind(on->memory, mark);
        if (x.data && each) each(user, i + 1, x);
    }
    *out = x;
}
