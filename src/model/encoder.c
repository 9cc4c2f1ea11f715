/* The encoder's forward pass: post-normalisation Transformer layers over packed rows (Vaswani et al. 2017,
 * Devlin et al. 2018). */
#include "model/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "base/checked.h"

size_t encoder_max_length(const encoder_config *config) {
    return config->positions - config->first_position;
}

layer_shape encoder_shape(const encoder *self) {
    return (layer_shape){self->config.hidden, self->config.inner, self->config.heads};
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
    double d = (double)config->hidden, f = (double)config->inner, n = (double)length;
    double embedding = config->embedding != config->hidden ? 2 * n * (double)config->embedding * d : 0;
    if (at) return embedding + point_flops(at, encoder_shape(self), length, NULL);
    return embedding + (double)self->depth * (2 * n * (4 * d * d + 2 * d * f) + 4 * n * n * d);
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

/* ---- Layers ---- */

/* The rows that are alive, and who they were. */
typedef struct alive {
    batch packed;
    size_t *origin; /* [rows] original row; NULL: all of them */
} alive;

/* One forward pass on its way. */
typedef struct passage {
    const encoder *self;
    const run *on;
    const batch *input;
    const thinning *how;
    alive now, next; /* next.packed.start is set before a layer runs, next.origin by it */
    tensor restored; /* [input rows]; data is NULL when nothing is to be restored */
    /* Of rows that left one by one: */
    bool *halted;       /* [now rows]; NULL: none has */
    batch queries;      /* which of the others are whose */
    size_t *active;     /* [queries.rows] where they are among those of now */
    size_t *asked_from; /* [queries.rows] original rows */
    size_t layer;
} passage;

static size_t keep_of(const passage *p, size_t sequence) {
    const point *at = p->how ? p->how->point : NULL;
    size_t entering = batch_length(&p->now.packed, sequence);
    return at ? point_rows(at, p->layer, batch_length(p->input, sequence), entering) : entering;
}

/* How many rows each sequence will have after this layer. False when memory is short. */
static bool plan_layer(passage *p) {
    size_t sequences = p->input->sequences, rows = 0;
    p->next = p->now;
    for (size_t i = 0; i < sequences; i++) rows += keep_of(p, i);
    if (rows == p->now.packed.rows) return true;
    size_t *start = arena_take_array(p->on->memory, sequences + 1, sizeof *start);
    p->next.origin = arena_take_array(p->on->memory, rows, sizeof *p->next.origin);
    if (!start || !p->next.origin) return false;
    start[0] = 0;
    for (size_t i = 0; i < sequences; i++) start[i + 1] = start[i] + keep_of(p, i);
    p->next.packed = (batch){.sequences = sequences, .rows = rows, .start = start};
    return true;
}

static void score_places(const passage *p, float *scores) {
    for (size_t i = 0; i < p->input->sequences; i++)
        for (size_t row = p->now.packed.start[i]; row < p->now.packed.start[i + 1]; row++) {
            size_t place = (p->now.origin ? p->now.origin[row] : row) - p->input->start[i];
            uint64_t x = (place + 1) * 0x9e3779b97f4a7c15u ^ p->how->seed ^ (uint64_t)p->layer << 40 ^
                         (uint64_t)batch_length(p->input, i) << 48;
            x = (x ^ x >> 31) * 0xd6e8feb86659fd93u;
            scores[row] = p->how->by == SIGNIFICANCE_FIRST ? -(float)place : (float)(x >> 40);
        }
}

/* The rows of y that stay; the others go to the restored rows as they entered the layer (x). */
static tensor retire(passage *p, tensor x, tensor y, const float *scores) {
    const batch *now = &p->now.packed, *next = &p->next.packed;
    tensor none = {0};
    arena *memory = p->on->memory;
    size_t gone = now->rows - next->rows, at = 0;
    size_t *kept = arena_take_array(memory, next->rows, sizeof *kept);
    size_t *from = arena_take_array(memory, gone, sizeof *from), *to = arena_take_array(memory, gone, sizeof *to);
    uint64_t *scratch = arena_take_array(memory, now->rows, sizeof *scratch);
    if (!kept || !from || !to || !scratch) return none;
    for (size_t i = 0; i < now->sequences; i++) {
        size_t first = now->start[i], length = batch_length(now, i), keep = batch_length(next, i);
        size_t *mine = kept + next->start[i];
        if (keep > 0) retire_choose(scores + first, length, keep, p->how->protect_first, mine, scratch);
        for (size_t j = 0, k = 0; j < length; j++) {
            size_t origin = p->now.origin ? p->now.origin[first + j] : first + j;
            if (k < keep && mine[k] == j) {
                p->next.origin[next->start[i] + k] = origin;
                mine[k++] += first;
            } else {
                from[at] = first + j;
                to[at++] = origin;
            }
        }
    }
    if (p->restored.data) run_scatter(p->on, p->restored, to, x, from, gone);
    return run_gather(p->on, y, kept, next->rows);
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
    return linear_is_low(&self->qkv, on->low) && !on->tape && on->kernels->isa == ISA_BF16;
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
    if (heads == config->heads && (!p->halted || !parts_fit)) {
        tensor all = run_tensor(on, x.rows, 3 * width);
        if (!all.data) return false;
        run_linear(on, all, x, &weights->qkv, ACTIVATION_NONE, NULL);
        *out = (projections){tensor_columns(all, 0, width), tensor_columns(all, width, width),
                             tensor_columns(all, 2 * width, width)};
        if (p->halted) out->query = run_gather(on, out->query, p->active, p->queries.rows);
        return out->query.data != NULL;
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

/* The rows that asked among those that have left, which are as they were; in place when nothing is recorded. */
static tensor put_back(const passage *p, tensor x, tensor asked) {
    const run *on = p->on;
    tensor none = {0}, whole = on->tape ? run_tensor(on, x.rows, x.columns) : x;
    size_t *from = arena_take_array(on->memory, asked.rows, sizeof *from), count = 0;
    size_t *still = arena_take_array(on->memory, x.rows, sizeof *still);
    if (!whole.data || !from || !still) return none;
    for (size_t i = 0; i < asked.rows; i++) from[i] = i;
    for (size_t row = 0; row < x.rows; row++)
        if (p->halted[row]) still[count++] = row;
    if (on->tape) run_scatter(on, whole, still, x, still, count);
    run_scatter(on, whole, p->active, asked, from, asked.rows);
    return whole;
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
    bool thins = p->next.packed.rows < p->now.packed.rows, soft = how && how->soft;
    tensor none = {0};
    bool partly = p->halted != NULL;
    tensor asked = partly ? run_gather(on, x, p->active, p->queries.rows) : x;
    projections qkv;
    tensor mixed = run_tensor(on, asked.rows, width);
    const linear *mix = linear_part(&weights->attention_out, 0, hidden, width, on->memory);
    const linear *up = linear_part(&weights->up, 0, neurons, hidden, on->memory);
    const linear *down = linear_part(&weights->down, 0, hidden, neurons, on->memory);
    tensor sum = run_tensor(on, asked.rows, hidden);
    float *scores = thins || soft ? arena_take_array(on->memory, x.rows, sizeof *scores) : NULL;
    if (!asked.data || !mixed.data || !sum.data || !mix || !up || !down || ((thins || soft) && !scores)) return none;
    bool attentive = scores && (how->by == SIGNIFICANCE_RECEIVED || how->by == SIGNIFICANCE_OTHERS);
    double begin = run_begin(on);
    if (!project(p, weights, x, asked, heads, &qkv)) return none;
    run_end(on, PART_QKV, begin);
    attention in = {.query = qkv.query,
                    .key = qkv.key,
                    .value = qkv.value,
                    .queries = partly ? &p->queries : NULL,
                    .query_origin = partly ? p->asked_from : NULL,
                    .heads = heads,
                    .head_size = head_size,
                    .scale = 1.0f / sqrtf((float)head_size),
                    .bias = self->bias,
                    .bias_grad = self->bias_grad,
                    .bias_stride = 2 * self->bias_reach + 1,
                    .bias_reach = self->bias_reach,
                    .origin = p->now.origin,
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
    if (scores && !attentive) score_places(p, scores);
    if (soft) y = soften(on, y, scores, &p->now.packed, how->soft, p->layer);
    if (thins && y.data) y = retire(p, x, y, scores);
    run_end(on, PART_RETIREMENT, begin);
    if (!y.data) return none;
    tensor inner = run_tensor(on, y.rows, neurons);
    tensor out = partly ? run_tensor(on, y.rows, hidden) : run_over(on, x, y.rows);
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
    return partly ? put_back(p, x, normal) : normal;
}

/* Puts the rows that lived to the end where they came from. */
static bool restore(passage *p, tensor x) {
    if (!p->now.origin || !p->restored.data) return true;
    size_t *from = arena_take_array(p->on->memory, x.rows, sizeof *from);
    if (!from) return false;
    for (size_t i = 0; i < x.rows; i++) from[i] = i;
    run_scatter(p->on, p->restored, p->now.origin, x, from, x.rows);
    return true;
}

/* Sequences that leave take all their rows with them; in place. */
static bool remove_sequences(passage *p, const bool *leaves, tensor *x) {
    const batch *now = &p->now.packed;
    size_t *start = arena_take_array(p->on->memory, now->sequences + 1, sizeof *start);
    size_t *origin = arena_take_array(p->on->memory, now->rows, sizeof *origin), at = 0;
    if (!start || !origin) return false;
    for (size_t i = 0; i < now->sequences; i++) {
        start[i] = at;
        for (size_t row = now->start[i]; row < now->start[i + 1]; row++) {
            if (leaves[i]) {
                if (p->restored.data)
                    memcpy(tensor_row(p->restored, p->now.origin ? p->now.origin[row] : row), tensor_row(*x, row),
                           x->columns * sizeof(float));
                continue;
            }
            if (at != row) memcpy(tensor_row(*x, at), tensor_row(*x, row), x->columns * sizeof(float));
            origin[at++] = p->now.origin ? p->now.origin[row] : row;
        }
    }
    start[now->sequences] = x->rows = at;
    p->now = (alive){.packed = {.sequences = now->sequences, .rows = at, .start = start}, .origin = origin};
    return true;
}

/* Rows that leave one by one. */
static bool halt(passage *p, bool last, tensor *x) {
    const batch *now = &p->now.packed;
    arena *memory = p->on->memory;
    bool *leaves = arena_take_array(memory, now->rows, sizeof *leaves);
    if (!leaves) return false;
    memset(leaves, 0, now->rows * sizeof *leaves);
    if (!p->how->depart(p->how->depart_user, p->on, p->layer, last, *x, now, p->now.origin, leaves)) return false;
    bool any = p->halted != NULL;
    for (size_t row = 0; row < now->rows; row++) {
        leaves[row] = leaves[row] || (p->halted && p->halted[row]);
        any = any || leaves[row];
    }
    if (!any || last) return true;
    /* sequences of which nothing is left go */
    bool *empty = arena_take_array(memory, now->sequences, sizeof *empty), some = false;
    if (!empty) return false;
    for (size_t i = 0; i < now->sequences; i++) {
        empty[i] = !p->on->tape && batch_length(now, i) > 0;
        for (size_t row = now->start[i]; row < now->start[i + 1]; row++) empty[i] = empty[i] && leaves[row];
        some = some || empty[i];
    }
    if (some) {
        size_t at = 0;
        for (size_t i = 0; i < now->sequences; i++)
            for (size_t row = now->start[i]; row < now->start[i + 1]; row++)
                if (!empty[i]) leaves[at++] = leaves[row];
        if (!remove_sequences(p, empty, x)) return false;
    }
    size_t *start = arena_take_array(memory, now->sequences + 1, sizeof *start);
    p->active = arena_take_array(memory, now->rows, sizeof *p->active);
    p->asked_from = arena_take_array(memory, now->rows, sizeof *p->asked_from);
    if (!start || !p->active || !p->asked_from) return false;
    size_t count = 0;
    for (size_t i = 0; i < now->sequences; i++) {
        start[i] = count;
        for (size_t row = now->start[i]; row < now->start[i + 1]; row++) {
            if (leaves[row]) continue;
            p->asked_from[count] = p->now.origin ? p->now.origin[row] : row;
            p->active[count++] = row;
        }
    }
    start[now->sequences] = count;
    p->queries = (batch){.sequences = now->sequences, .rows = count, .start = start};
    p->halted = leaves;
    return true;
}

static bool depart(passage *p, bool last, tensor *x) {
    const batch *now = &p->now.packed;
    if (p->how->depart_rows) return halt(p, last, x);
    bool *leaves = arena_take_array(p->on->memory, now->sequences, sizeof *leaves), any = false;
    if (!leaves) return false;
    memset(leaves, 0, now->sequences * sizeof *leaves);
    if (!p->how->depart(p->how->depart_user, p->on, p->layer, last, *x, now, p->now.origin, leaves)) return false;
    for (size_t i = 0; i < now->sequences; i++) any = any || leaves[i];
    return !any || remove_sequences(p, leaves, x);
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
    if (how && how->restore && ((at && !point_is_full(at)) || how->depart)) {
        p.restored = run_tensor(on, input->rows, self->config.hidden);
        if (!p.restored.data) return;
    }
    if (x.data && each) each(user, 0, x, input, NULL);
    size_t last = last_layer(self, at);
    for (p.layer = 0; p.layer < self->depth && x.data; p.layer++) {
        if (at && at->skip[p.layer]) continue;
        if (!plan_layer(&p)) return;
        arena_mark mark = arena_save(on->memory);
        x = run_layer(&p, &self->layers[self->order[p.layer]], x);
        if (!on->tape) arena_rewind(on->memory, mark);
        p.now = p.next;
        if (x.data && each) each(user, p.layer + 1, x, &p.now.packed, p.now.origin);
        if (x.data && how && how->depart && !depart(&p, p.layer == last, &x)) return;
        if (x.rows == 0) break; /* all have left */
    }
    if (!x.data || !restore(&p, x) || (on->tape && on->tape->failed)) return;
    out->rows = p.now.origin && p.restored.data ? p.restored : x;
    if (!p.restored.data) out->packed = p.now.packed;
}
