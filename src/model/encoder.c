/* The encoder's forward pass: post-normalisation Transformer layers over packed rows (Vaswani et al. 2017,
 * Devlin et al. 2018). */
#include "model/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "base/checked.h"
#include "model/passage.h"

size_t encoder_max_length(const encoder_config *config) {
    return config->positions - config->first_position;
}

rubato_status encoder_allow_slim(encoder *self, arena *memory, rubato_error *error) {
    const encoder_config *config = &self->config;
    if (config->hidden % PANEL || config->inner % NEURON_STEP || config->hidden / config->heads % 4)
        return fail(error, RUBATO_UNSUPPORTED,
                    "narrower layers need a hidden size and an inner size that are multiples of %d, and heads of "
                    "multiples of 4; these are %zu, %zu and %zu",
                    PANEL, config->hidden, config->inner, config->hidden / config->heads);
    for (size_t i = 0; i < self->unique; i++) {
        if (self->layers[i].up.precision == PRECISION_INT8 && config->hidden / config->heads % PREFIX_STEP)
            return fail(error, RUBATO_UNSUPPORTED, "narrower layers in int8 need heads of multiples of %d, not %zu",
                        PREFIX_STEP, config->hidden / config->heads);
        TRY(linear_make_prefixes(&self->layers[i].attention_out, memory, error));
        TRY(linear_make_prefixes(&self->layers[i].down, memory, error));
    }
    return RUBATO_OK;
}

double encoder_flops(const encoder *self, const point *at, size_t length) {
    const encoder_config *config = &self->config;
    double d = (double)config->hidden, n = (double)length;
    double embedding = config->embedding != config->hidden ? 2 * n * (double)config->embedding * d : 0;
    return embedding + point_flops(at, &self->shape, length, NULL);
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

typedef struct embedding_task {
    const run *on;
    const embedding *work;
} embedding_task;

/* By columns, so that a token that stands twice has its gradients added in order. */
static void embedding_columns(void *argument, size_t member, size_t first, size_t last) {
    const embedding_task *task = argument;
    const embedding *work = task->work;
    const encoder *self = work->encoder;
    const table *tables[3] = {&self->word, &self->type, &self->position};
    (void)member;
    for (size_t row = 0; row < work->input->rows; row++) {
        size_t at[3] = {(size_t)work->input->ids[row], (size_t)work->input->types[row], work->positions[row]};
        const float *grad = work->out.grad + row * work->out.stride;
        for (size_t i = 0; i < 3; i++) {
            const table_learning *learn = tables[i]->learn;
            if (!tables[i]->data || !learn || !learn->rows) continue;
            task->on->kernels->gradient->add(learn->rows + at[i] * tables[i]->width + first, grad + first,
                                             last - first);
            if (first == 0) learn->touched[at[i]] = 1;
        }
    }
}

static void embedding_backward(const run *on, void *saved) {
    embedding_task task = {on, saved};
    run_parallel(on, task.work->out.columns, 16, embedding_columns, &task);
}

static tensor embed(const encoder *self, const run *on, const batch *input) {
    const encoder_config *config = &self->config;
    tensor none = {0}, out = run_tensor(on, input->rows, config->hidden);
    tensor narrow = self->projection.out ? run_tensor(on, input->rows, config->embedding) : out;
    uint32_t *positions = arena_take_array(on->memory, input->rows, sizeof *positions);
    if (!out.data || !narrow.data || !positions) return none;
    count_positions(config, input, positions);
    embedding work = {self, input, positions, narrow};
    run_parallel(on, input->rows, 16, embed_rows, &work);
    if (on->tape) {
        embedding *saved = tape_push(on, embedding_backward, sizeof *saved);
        if (!saved) return none;
        *saved = work;
    }
    tensor normal = run_over(on, narrow, narrow.rows);
    if (!normal.data) return none;
    run_layer_norm(on, normal, narrow, &self->embedding_norm);
    if (on->tape) run_dropout(on, normal, on->tape->hidden_rate);
    if (!self->projection.out) return normal;
    run_linear(on, out, normal, &self->projection, ACTIVATION_NONE, NULL);
    return out;
}

/* ---- Soft extraction ---- */

typedef struct saved_softening {
    tensor out, x;
    const uint32_t *bins; /* [rows] */
    const float *factors;
    float *gradient;
} saved_softening;

static void soften_backward(const run *on, void *saved) {
    const saved_softening *s = saved;
    for (size_t row = 0; row < s->x.rows; row++) {
        const float *grad = s->out.grad + row * s->out.stride, *x = tensor_row(s->x, row);
        float factor = s->factors[s->bins[row]];
        s->gradient[s->bins[row]] += on->kernels->dot_f32(grad, x, s->x.columns);
        for (size_t j = 0; j < s->x.columns; j++) s->x.grad[row * s->x.stride + j] += factor * grad[j];
    }
}

/* out = x times the factor of each row's rank, taken as a part of its sequence. */
static tensor soften(const run *on, tensor x, const float *scores, const batch *packed, const soft_extraction *soft,
                     size_t number) {
    tensor none = {0}, out = run_tensor(on, x.rows, x.columns);
    uint32_t *bins = arena_take_array(on->memory, x.rows, sizeof *bins);
    uint64_t *scratch = arena_take_array(on->memory, x.rows, sizeof *scratch);
    if (!out.data || !bins || !scratch) return none;
    for (size_t i = 0; i < packed->sequences; i++) {
        size_t first = packed->start[i], length = batch_length(packed, i);
        retire_rank(scores + first, length, bins + first, scratch);
        for (size_t j = 0; j < length; j++) bins[first + j] = (uint32_t)(bins[first + j] * soft->bins / length);
    }
    const float *factors = soft->factors + number * soft->bins;
    for (size_t row = 0; row < x.rows; row++)
        for (size_t j = 0; j < x.columns; j++) tensor_row(out, row)[j] = tensor_row(x, row)[j] * factors[bins[row]];
    if (on->tape) {
        saved_softening *saved = tape_push(on, soften_backward, sizeof *saved);
        if (!saved) return none;
        *saved = (saved_softening){out, x, bins, factors, soft->gradient + number * soft->bins};
    }
    return out;
}

bool layer_attends_narrow(const layer *self, const run *on) {
    return linear_is_low(&self->qkv, on->low) && !on->tape;
}

typedef struct projections {
    tensor query, key, value;
} projections;

/* Queries of the rows that ask, keys and values of all, for the first heads. */
static bool project(const passage *p, const layer *weights, tensor x, tensor asked, size_t heads, projections *out) {
    const run *on = p->on;
    const encoder_config *config = &p->self->config;
    size_t hidden = config->hidden, width = heads * (hidden / config->heads);
    bool parts_fit = hidden % PANEL == 0; /* where the three begin */
    if (heads == config->heads && (passage_asks_itself(p) || !parts_fit)) {
        tensor all = run_tensor(on, x.rows, 3 * width), of_asked = all;
        if (!passage_asks_itself(p)) of_asked = run_tensor(on, asked.rows, 3 * width);
        if (!all.data || !of_asked.data) return false;
        run_linear(on, all, x, &weights->qkv, ACTIVATION_NONE, NULL);
        if (!passage_asks_itself(p)) run_linear(on, of_asked, asked, &weights->qkv, ACTIVATION_NONE, NULL);
        *out = (projections){tensor_columns(of_asked, 0, width), tensor_columns(all, width, width),
                             tensor_columns(all, 2 * width, width)};
        return true;
    }
    tensor *parts[3] = {&out->query, &out->key, &out->value};
    for (size_t i = 0; i < 3; i++) { /* the first heads of each of the three that are stacked */
        tensor from = i == 0 ? asked : x;
        const linear *part = linear_part(&weights->qkv, i * hidden, width, hidden, on->memory);
        *parts[i] = run_tensor(on, from.rows, width);
        if (!part || !parts[i]->data) return false;
        run_linear(on, *parts[i], from, part, ACTIVATION_NONE, NULL);
    }
    return true;
}

/* x -> LN(x + Attention(x)) -> rows retire -> LN(. + FeedForward(.)), over x in inference. */
static tensor run_layer(passage *p, const layer *weights, tensor x) {
    const encoder *self = p->self;
    const run *on = p->on;
    const thinning *how = p->how;
    const point *at = how ? how->point : NULL;
    size_t hidden = self->config.hidden, head_size = hidden / self->config.heads;
    size_t heads = at ? point_heads(at, p->layer, self->config.heads) : self->config.heads, width = heads * head_size;
    size_t neurons = at ? point_neurons(at, p->layer, self->config.inner) : self->config.inner;
    bool thins = !p->merges && p->next.packed.rows < p->now.packed.rows, soft = how && how->soft;
    tensor none = {0}, asked = passage_asking(p, x);
    if (!asked.data) return none;
    projections qkv;
    const relative_terms *terms = NULL;
    tensor mixed = run_tensor(on, asked.rows, width);
    const linear *mix = linear_part(&weights->attention_out, 0, hidden, width, on->memory);
    const linear *up = linear_part(&weights->up, 0, neurons, hidden, on->memory);
    const linear *down = linear_part(&weights->down, 0, hidden, neurons, on->memory);
    tensor sum = run_tensor(on, asked.rows, hidden);
    float *scores = thins || soft ? arena_take_array(on->memory, x.rows, sizeof *scores) : NULL;
    if (!mixed.data || !sum.data || !mix || !up || !down || ((thins || soft) && !scores)) return none;
    bool attentive = scores && (how->by == SIGNIFICANCE_RECEIVED || how->by == SIGNIFICANCE_OTHERS);
    double begin = run_begin(on);
    if (!project(p, weights, x, asked, heads, &qkv)) return none;
    run_end(on, PART_QKV, begin);
    if (weights->terms &&
        !(terms = relative_ready(on, weights, batch_longest(p->input), p->input->types, !self->shape.how.with_first)))
        return none;
    attention in = {.query = qkv.query,
                    .key = qkv.key,
                    .value = qkv.value,
                    .queries = passage_asks_itself(p) ? NULL : &p->queries,
                    .query_origin = passage_asks_itself(p) ? NULL : p->asked_from,
                    .heads = heads,
                    .head_size = head_size,
                    .scale = 1.0f / sqrtf((float)head_size),
                    .bias = self->bias,
                    .bias_grad = self->bias_grad,
                    .bias_stride = 2 * self->bias_reach + 1,
                    .bias_reach = self->bias_reach,
                    .origin = p->now.origin,
                    .relative = terms,
                    .significance = attentive ? scores : NULL,
                    .others_only = attentive && how->by == SIGNIFICANCE_OTHERS,
                    .narrow = layer_attends_narrow(weights, on)};
    begin = run_begin(on);
    if (!attention_softmax(on, mixed, &in, &p->now.packed)) return none;
    run_end(on, PART_HEADS, begin);
    begin = run_begin(on);
    run_linear(on, sum, mixed, mix, ACTIVATION_NONE, &asked);
    run_end(on, PART_ATTENTION_OUT, begin);
    tensor y = run_over(on, sum, sum.rows);
    if (!y.data) return none;
    begin = run_begin(on);
    run_layer_norm(on, y, sum, &weights->attention_norm);
    run_end(on, PART_NORMS, begin);
    begin = run_begin(on);
    if (scores && !attentive) passage_score_places(p, scores);
    if (soft) y = soften(on, y, scores, &p->now.packed, how->soft, p->layer);
    if (thins && y.data) y = passage_retire(p, x, y, scores);
    run_end(on, PART_RETIREMENT, begin);
    if (!y.data) return none;
    tensor inner = run_tensor(on, y.rows, neurons);
    tensor out = p->halted ? run_tensor(on, y.rows, hidden) : run_over(on, x, y.rows);
    tensor normal = run_over(on, out, out.rows);
    if (!inner.data || !out.data || !normal.data) return none;
    begin = run_begin(on);
    run_linear(on, inner, y, up, self->config.act, NULL);
    run_end(on, PART_UP, begin);
    begin = run_begin(on);
    run_linear(on, out, inner, down, ACTIVATION_NONE, &y);
    run_end(on, PART_DOWN, begin);
    begin = run_begin(on);
    run_layer_norm(on, normal, out, &weights->output_norm);
    run_end(on, PART_NORMS, begin);
    return p->halted ? passage_put_back(p, x, normal) : normal;
}

/* The last layer that runs; SIZE_MAX when none does. */
static size_t last_layer(const encoder *self, const point *at) {
    size_t last = self->depth;
    while (last > 0 && at && at->skip[last - 1]) last--;
    return last - 1;
}

void encoder_forward(const encoder *self, const run *whole, const batch *input, const thinning *how, encoded *out,
                     layer_output *each, void *user) {
    const point *at = how ? how->point : NULL;
    run own = *whole;
    const run *on = &own;
    own.low = own.low || (at && at->narrow);
    passage p = {.self = self, .on = on, .input = input, .how = how, .now = {.packed = *input}};
    *out = (encoded){.packed = *input};
    double begin = run_begin(on);
    tensor x = embed(self, on, input);
    run_end(on, PART_EMBEDDINGS, begin);
    if (how && how->restore && ((at && !point_is_full(at)) || how->depart) && !passage_begin(&p)) return;
    if (x.data && each) each(user, 0, x, input, NULL);
    size_t last = last_layer(self, at);
    tensor early = {0};
    for (p.layer = 0; p.layer < self->depth && x.data; p.layer++) {
        if (p.layer == self->shape.decoder && early.data)
            x = passage_spread(&p, x, early, (size_t)1 << __builtin_popcountll(self->shape.merges));
        if (at && at->skip[p.layer]) continue;
        if (!x.data || !passage_plan(&p)) return;
        if (self->shape.decoder && !early.data && point_merges(at, &self->shape, p.layer))
            early = on->tape ? x : run_copy(on, x); /* the next layer is computed over it */
        arena_mark mark = arena_save(on->memory);
        x = run_layer(&p, &self->layers[self->order[p.layer]], x);
        if (!on->tape) arena_rewind(on->memory, mark);
        p.now = p.next;
        if (x.data && each) each(user, p.layer + 1, x, &p.now.packed, p.now.origin);
        if (x.data && how && how->depart && !passage_depart(&p, p.layer == last, &x)) return;
        if (x.rows == 0) break; /* all have left */
    }
    if (!x.data || !passage_restore(&p, x) || (on->tape && on->tape->failed)) return;
    out->rows = p.now.origin && p.restored.data ? p.restored : x;
    if (!p.restored.data) out->packed = p.now.packed;
}
