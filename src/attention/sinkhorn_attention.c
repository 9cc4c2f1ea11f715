/* Sparse Sinkhorn attention (Tay et al. 2020), as an encoder: the text is cut into blocks. A table says how much each
 * block is to stand at each place; rows and columns of it are made to sum to 1 by turns (Sinkhorn), so that it comes
 * near to a permutation. Keys and values of blocks are mixed by it, and a token sees its own block and the mixed block
 * at its block's place, in one softmax. With `cut`, all tokens see the first mixed blocks alone (SortCut).
 *
 * The table's scores are products of mean queries and mean keys of blocks. A token that is missing, at the end of the
 * text or because it has retired, counts as zeros. No noise is added in training. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/block.h"
#include "attention/planned.h"
#include "base/checked.h"
#include "tensor/operations.h"

typedef struct sinkhorn_setting {
    size_t block, iterations, cut;
    double temperature;
} sinkhorn_setting;
_Static_assert(sizeof(sinkhorn_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { BLOCK = 64, WIDEST = 1 << 16, ITERATIONS = 5, MOST_ITERATIONS = 32, MOST_CUT = 1 << 14 };
static const double TEMPERATURE = 0.75;

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    sinkhorn_setting *self = setting;
    TRY(json_get_size(&self->block, json, "block", BLOCK, error));
    TRY(json_get_size(&self->iterations, json, "iterations", ITERATIONS, error));
    TRY(json_get_size(&self->cut, json, "cut", 0, error));
    TRY(json_get_real(&self->temperature, json, "temperature", TEMPERATURE, error));
    if (self->block == 0 || self->block > WIDEST || self->iterations > MOST_ITERATIONS || self->cut > MOST_CUT ||
        !(self->temperature >= 1e-3 && self->temperature <= 1e3))
        return fail(error, RUBATO_BAD_MODEL,
                    "Sinkhorn attention with blocks of %zu, %zu iterations, temperature %g, cut %zu", self->block,
                    self->iterations, self->temperature, self->cut);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const sinkhorn_setting *self = setting;
    TRY(json_set(json, "block", json_integer((json_int_t)self->block), error));
    TRY(json_set(json, "iterations", json_integer((json_int_t)self->iterations), error));
    TRY(json_set(json, "temperature", json_real(self->temperature), error));
    return json_set(json, "cut", json_integer((json_int_t)self->cut), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const sinkhorn_setting *self = setting;
    if (self->cut)
        snprintf(out, bytes, "the first %zu of sorted blocks of %zu", self->cut, self->block);
    else
        snprintf(out, bytes, "blocks of %zu, and sorted ones", self->block);
}

/* ---- One pass ---- */

/* Mixed blocks stand behind the rows of their sequence, `slots` rows each. */
typedef struct sorting {
    planned_pass pass; /* first, for the plan's functions */
    size_t heads, head_size;
    tensor query, key, value;    /* projected */
    tensor made_key, made_value; /* rows, and mixed blocks */
    const batch *made;           /* of these */
} sorting;

static const sinkhorn_setting *setting_of(const sorting *s) {
    return s->pass.setting;
}

static size_t blocks_of(const sorting *s, size_t sequence) {
    return divide_up(planned_length(&s->pass, sequence), setting_of(s)->block);
}

static size_t slots_of(const sorting *s, size_t sequence) {
    return size_min(setting_of(s)->block, planned_length(&s->pass, sequence));
}

/* The first row of a sequence's mixed blocks, among the made rows. */
static size_t mixed_row(const sorting *s, size_t sequence) {
    return s->made->start[sequence] + batch_length(&s->pass.in.sequences, sequence);
}

/* One head of one sequence, and a member's scratch. */
typedef struct one_head {
    const sorting *s;
    const run *on;
    size_t sequence, column, blocks, slots;
    float *means_q, *means_k;  /* [blocks, head_size] */
    float *steps;              /* [1 + 2 iterations][blocks, blocks]: logarithms, the last ones of the table */
    float *table, *turned, *d; /* [blocks, blocks] */
    float *from, *to;          /* [blocks, slots * head_size] */
    block_room room;
} one_head;

static float *part(float *base, size_t *at, size_t floats) {
    const size_t here = *at;
    *at += round_up(floats, 16);
    return base ? base + here : NULL;
}

/* The scratch from `base` on; its size in floats, also when base is NULL. */
static size_t lay_out(const sorting *s, size_t sequence, float *base, one_head *out) {
    const size_t n = blocks_of(s, sequence), size = s->head_size, wide = slots_of(s, sequence) * size;
    size_t at = 0;
    out->blocks = n;
    out->slots = slots_of(s, sequence);
    out->means_q = part(base, &at, n * size);
    out->means_k = part(base, &at, n * size);
    out->steps = part(base, &at, (1 + 2 * setting_of(s)->iterations) * n * n);
    out->table = part(base, &at, n * n);
    out->turned = part(base, &at, n * n);
    out->d = part(base, &at, n * n);
    out->from = part(base, &at, n * wide);
    out->to = part(base, &at, n * wide);
    const size_t most = size_max(packed_size(wide, n), packed_size(n, wide));
    out->room = (block_room){.packed = part(base, &at, size_max(most, packed_size(n, size) + packed_size(size, n)))};
    return at;
}

/* means [blocks, head_size] of a block's rows; or, where `grads` is given, adds their gradients to the rows'. */
static void block_means(const one_head *h, bool queries, float *means, const float *grads) {
    const sorting *s = h->s;
    const size_t size = s->head_size, block = setting_of(s)->block;
    const tensor x = queries ? s->query : s->key;
    const batch *rows = queries ? &s->pass.in.queries : &s->pass.in.sequences;
    if (means) memset(means, 0, h->blocks * size * sizeof *means);
    for (size_t u = 0; u < h->blocks; u++) {
        const stretch own =
            (queries ? planned_queries : planned_keys)(&s->pass, h->sequence, u * block, (u + 1) * block);
        for (size_t r = own.first; r < own.end; r++) {
            const size_t row = rows->start[h->sequence] + r;
            const float part_of = 1 / (float)(own.end - own.first);
            if (means)
                h->on->kernels->gradient->add_scaled(means + u * size, tensor_row(x, row) + h->column, part_of, size);
            else
                h->on->kernels->gradient->add_scaled(tensor_grad(x, row) + h->column, grads + u * size, part_of, size);
        }
    }
}

/* Subtracts from each row of x [n, n] the logarithm of the sum of its exponentials, or from each column. */
static void normalize(float *out, const float *x, size_t n, bool columns) {
    const size_t along = columns ? n : 1, across = columns ? 1 : n;
    for (size_t i = 0; i < n; i++) {
        const float *row = x + i * across;
        float largest = -INFINITY, sum = 0;
        for (size_t j = 0; j < n; j++) largest = fmaxf(largest, row[j * along]);
        for (size_t j = 0; j < n; j++) sum += expf(row[j * along] - largest);
        const float all = largest + logf(sum);
        for (size_t j = 0; j < n; j++) out[i * across + j * along] = row[j * along] - all;
    }
}

/* d of the result becomes d of what was normalised; y is the result. */
static void normalize_backward(float *d, const float *y, size_t n, bool columns) {
    const size_t along = columns ? n : 1, across = columns ? 1 : n;
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t j = 0; j < n; j++) sum += d[i * across + j * along];
        for (size_t j = 0; j < n; j++) {
            const size_t at = i * across + j * along;
            d[at] -= expf(y[at]) * sum;
        }
    }
}

static float steepness(const sorting *s) {
    return 1 / (sqrtf((float)s->head_size) * (float)setting_of(s)->temperature);
}

static void find_table(const one_head *h) {
    const size_t n = h->blocks, size = h->s->head_size, iterations = setting_of(h->s)->iterations;
    block_means(h, true, h->means_q, NULL);
    block_means(h, false, h->means_k, NULL);
    block_outer(h->on, h->steps, n, h->means_q, size, n, h->means_k, size, n, size, steepness(h->s), &h->room);
    for (size_t i = 0; i < 2 * iterations; i++) normalize(h->steps + (i + 1) * n * n, h->steps + i * n * n, n, i % 2);
    const float *last = h->steps + 2 * iterations * n * n;
    for (size_t i = 0; i < n * n; i++) h->table[i] = expf(last[i]);
}

/* from [blocks, slots * head_size] = a head's columns of x, or of its gradients, by block and place. */
static void read_blocks(const one_head *h, tensor x, float *out) {
    const attending_input *in = &h->s->pass.in;
    const size_t size = h->s->head_size;
    memset(out, 0, h->blocks * h->slots * size * sizeof *out);
    for (size_t row = in->sequences.start[h->sequence]; row < in->sequences.start[h->sequence + 1]; row++)
        memcpy(out + attending_place(in, h->sequence, in->origin, row) * size, tensor_row(x, row) + h->column,
               size * sizeof *out);
}

static void mix_blocks(const one_head *h, tensor from, tensor made) {
    const size_t size = h->s->head_size, wide = h->slots * size, n = h->blocks;
    read_blocks(h, from, h->from);
    memset(h->to, 0, n * wide * sizeof *h->to);
    block_accumulate(h->on, h->to, wide, h->table, n, h->from, wide, n, wide, n, &h->room);
    for (size_t i = 0; i < n * h->slots; i++)
        memcpy(tensor_row(made, mixed_row(h->s, h->sequence) + i) + h->column, h->to + i * size, size * sizeof(float));
}

/* d of the table, and of the rows. */
static void mix_backward(const one_head *h, tensor from, tensor made) {
    const attending_input *in = &h->s->pass.in;
    const size_t size = h->s->head_size, wide = h->slots * size, n = h->blocks;
    read_blocks(h, from, h->from);
    for (size_t i = 0; i < n * h->slots; i++)
        memcpy(h->to + i * size, tensor_grad(made, mixed_row(h->s, h->sequence) + i) + h->column, size * sizeof(float));
    block_outer(h->on, h->turned, n, h->to, wide, n, h->from, wide, n, wide, 1, &h->room);
    h->on->kernels->gradient->add(h->d, h->turned, n * n);
    h->on->kernels->gradient->transpose(h->turned, n, h->table, n, n, n);
    memset(h->from, 0, n * wide * sizeof *h->from);
    block_accumulate(h->on, h->from, wide, h->turned, n, h->to, wide, n, wide, n, &h->room);
    for (size_t row = in->sequences.start[h->sequence]; row < in->sequences.start[h->sequence + 1]; row++)
        h->on->kernels->gradient->add(tensor_grad(from, row) + h->column,
                                      h->from + attending_place(in, h->sequence, in->origin, row) * size, size);
}

static void table_backward(const one_head *h) {
    const size_t n = h->blocks, size = h->s->head_size, iterations = setting_of(h->s)->iterations;
    const float by = steepness(h->s);
    for (size_t i = 0; i < n * n; i++) h->d[i] *= h->table[i];
    for (size_t i = 2 * iterations; i > 0; i--) normalize_backward(h->d, h->steps + i * n * n, n, (i - 1) % 2);
    for (size_t i = 0; i < n * n; i++) h->d[i] *= by;
    h->on->kernels->gradient->transpose(h->turned, n, h->d, n, n, n);
    memset(h->from, 0, n * size * sizeof *h->from);
    block_accumulate(h->on, h->from, size, h->d, n, h->means_k, size, n, size, n, &h->room);
    block_means(h, true, NULL, h->from);
    memset(h->from, 0, n * size * sizeof *h->from);
    block_accumulate(h->on, h->from, size, h->turned, n, h->means_q, size, n, size, n, &h->room);
    block_means(h, false, NULL, h->from);
}

/* ---- All heads ---- */

typedef struct work {
    const run *on;
    const sorting *s;
    float *scratch;
    size_t scratch_size;
    bool backward;
} work;

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    for (size_t unit = first; unit < last; unit++) {
        one_head h = {
            .s = w->s, .on = w->on, .sequence = unit / w->s->heads, .column = unit % w->s->heads * w->s->head_size};
        if (batch_length(&w->s->pass.in.sequences, h.sequence) == 0) continue;
        lay_out(w->s, h.sequence, w->scratch + member * w->scratch_size, &h);
        find_table(&h);
        if (!w->backward) {
            mix_blocks(&h, w->s->key, w->s->made_key);
            mix_blocks(&h, w->s->value, w->s->made_value);
            continue;
        }
        memset(h.d, 0, h.blocks * h.blocks * sizeof *h.d);
        mix_backward(&h, w->s->key, w->s->made_key);
        mix_backward(&h, w->s->value, w->s->made_value);
        table_backward(&h);
    }
}

static void run_sorting(const run *on, const sorting *s, bool backward) {
    work w = {.on = on, .s = s, .backward = backward};
    one_head unused;
    arena_mark mark = arena_save(on->memory);
    for (size_t i = 0; i < s->pass.in.sequences.sequences; i++)
        if (batch_length(&s->pass.in.sequences, i))
            w.scratch_size = size_max(w.scratch_size, lay_out(s, i, NULL, &unused));
    w.scratch = run_take(on, team_size(on->crew) * w.scratch_size + 1, sizeof *w.scratch);
    if (run_failed(on)) return;
    run_parallel(on, s->pass.in.sequences.sequences * s->heads, 1, some_heads, &w);
    arena_rewind(on->memory, mark);
}

static void sorting_backward(const run *on, void *saved) {
    run_sorting(on, *(const sorting *const *)saved, true);
}

/* ---- Running ---- */

static bool sorted_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const sorting *s = of;
    const size_t block = setting_of(s)->block, begin = number * block, blocks = blocks_of(s, sequence);
    const size_t cut = setting_of(s)->cut, slots = slots_of(s, sequence);
    const size_t mixed = batch_length(&s->pass.in.sequences, sequence);
    (void)head;
    if (number >= blocks) return false;
    planned_ask(out, planned_queries(&s->pass, sequence, begin, begin + block));
    if (cut) {
        planned_see(out, (stretch){mixed, mixed + size_min(cut, blocks) * slots}, 0);
        return true;
    }
    planned_see(out, planned_keys(&s->pass, sequence, begin, begin + block), 0);
    planned_see(out, (stretch){mixed + number * slots, mixed + (number + 1) * slots}, 0);
    return true;
}

/* A copy of keys or values in which each sequence has room for its mixed blocks at its end. */
static tensor make_room(const run *on, const sorting *s, const batch *made, tensor x) {
    tensor out = run_tensor(on, made->rows, x.columns);
    size_t *to = run_take(on, 2 * x.rows + 1, sizeof *to), *from = to + x.rows, count = 0;
    if (run_failed(on)) return out;
    for (size_t i = 0; i < made->sequences; i++)
        for (size_t row = 0; row < batch_length(&s->pass.in.sequences, i); row++) {
            to[count] = made->start[i] + row;
            from[count++] = s->pass.in.sequences.start[i] + row;
        }
    run_scatter(on, out, to, x, from, count);
    return out;
}

static sorting *begin_sorting(const run *on, const planned_weights *self, const attending_input *in,
                              const projected *rows) {
    sorting *s = run_take(on, 1, sizeof *s); /* lives as long as the tape */
    batch *made = run_take(on, 1, sizeof *made);
    size_t *start = run_take(on, in->sequences.sequences + 1, sizeof *start), count = 0;
    if (run_failed(on)) return NULL;
    *s = (sorting){.pass = {.in = *in, .setting = self->setting},
                   .heads = in->heads,
                   .head_size = self->with.head_size,
                   .query = rows->query,
                   .key = rows->key,
                   .value = rows->value,
                   .made = made};
    for (size_t i = 0; i < in->sequences.sequences; i++) {
        start[i] = count;
        if (batch_length(&in->sequences, i))
            count += batch_length(&in->sequences, i) + blocks_of(s, i) * slots_of(s, i);
    }
    start[in->sequences.sequences] = count;
    *made = (batch){.sequences = in->sequences.sequences, .rows = count, .start = start};
    s->made_key = make_room(on, s, made, rows->key);
    s->made_value = make_room(on, s, made, rows->value);
    return run_failed(on) ? NULL : s;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const planned_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    const double begin = run_begin(on);
    sorting *s = begin_sorting(on, self, in, &rows);
    if (s) {
        run_sorting(on, s, false);
        sorting **saved = on->tape && !run_failed(on) ? tape_push(on, sorting_backward, sizeof *saved) : NULL;
        if (saved) *saved = s;
        const projected made = {rows.query, s->made_key, s->made_value};
        gathered heads = gathered_heads(&self->with, in, &made);
        heads.sequences = s->made;
        heads.plan = (gather_plan){.of = s, .block = sorted_block};
        attention_gathered(on, mixed, &heads);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Of one head: the keys that a query sees, and the blocks that are mixed into a slot. */
static double pairs(const void *setting, double keys, double queries) {
    const sinkhorn_setting *self = setting;
    const double block = (double)self->block, blocks = ceil(keys / block);
    const double seen = self->cut ? fmin((double)self->cut, blocks) * block : 2 * fmin(block, keys);
    return queries * seen + keys * blocks;
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_sinkhorn = {
    .part = {.name = "sinkhorn", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .fewer_queries = true,
    .narrows = true,
    .load = planned_load,
    .allow_narrow = projections_allow_narrow,
    .visit = projections_visit,
    .forward = forward,
    .count = count,
    .demand = demand};
