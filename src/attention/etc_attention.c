/* The Extended Transformer Construction's attention (Ainslie et al. 2020, ETC): the first `globals` tokens see all, and
 * all see them; other tokens see those at most `radius` away. One projection serves all, as in the authors' shared
 * form. To a pair's product with the query comes that of the query with a vector of the pair's label, and a bias: a
 * label is a distance, up to `clip` in both directions, or that one of the two is global. Labels of sentences, hard
 * masks and the contrastive loss of the authors are left out. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/block.h"
#include "attention/planned.h"
#include "base/checked.h"

typedef struct etc_setting {
    size_t globals, radius, clip;
} etc_setting;
_Static_assert(sizeof(etc_setting) <= SETTING_BYTES, "a setting fits");

typedef struct etc_weights {
    projections with; /* first, as projections.h has it */
    const etc_setting *setting;
    table *vectors, *biases; /* [labels, heads * head_size]; [labels, heads] */
} etc_weights;

/* ---- Setting ---- */

enum { GLOBALS = 1, RADIUS = 84, CLIP = 12, MOST_CLIP = 60, WIDEST = 1 << 20, QUERY_BLOCK = PANEL };

/* Distances of two tokens that are not global, and of two that are; from the one kind to the other, and back. */
static size_t label_count(const etc_setting *self) {
    return 2 * (2 * self->clip + 1) + 2;
}

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    etc_setting *self = setting;
    TRY(json_get_size(&self->globals, json, "globals", GLOBALS, error));
    TRY(json_get_size(&self->radius, json, "radius", RADIUS, error));
    TRY(json_get_size(&self->clip, json, "clip", CLIP, error));
    if (self->globals > WIDEST || self->radius > WIDEST || self->clip > MOST_CLIP)
        return fail(error, RUBATO_BAD_MODEL, "ETC attention with globals %zu, radius %zu, clip %zu", self->globals,
                    self->radius, self->clip);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const etc_setting *self = setting;
    TRY(json_set(json, "globals", json_integer((json_int_t)self->globals), error));
    TRY(json_set(json, "radius", json_integer((json_int_t)self->radius), error));
    return json_set(json, "clip", json_integer((json_int_t)self->clip), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const etc_setting *self = setting;
    snprintf(out, bytes, "a radius of %zu, %zu global token%s, distances up to %zu", self->radius, self->globals,
             self->globals == 1 ? "" : "s", self->clip);
}

/* ---- Loading ---- */

static rubato_status load(void **out, const part_source *from) {
    etc_weights *self = arena_take(from->load->with.memory, sizeof *self);
    table *tables = arena_take_array(from->load->with.memory, 2, sizeof *tables);
    if (!self || !tables) return fail_memory(from->load->error);
    *self = (etc_weights){.setting = from->setting, .vectors = &tables[0], .biases = &tables[1]};
    *out = self;
    return projections_load(&self->with, from);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    etc_weights *self = weights;
    const size_t labels = label_count(self->setting);
    const double usual = from->load->with.deviation;
    char name[LOADER_NAME];
    part_name_beside(name, from, from->names->query, "label.weight");
    TRY(loader_spread(from->load, self->vectors, name, labels, from->heads * from->head_size, usual));
    part_name_beside(name, from, from->names->query, "label_bias.weight");
    return loader_spread(from->load, self->biases, name, labels, from->heads, usual);
}

/* Without labels at first, attention is that of windows and global tokens. */
static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    out[0] = (added_tensor){"label", ZERO_ROWS, label_count(setting)};
    out[1] = (added_tensor){"label_bias", ZERO_HEADS, label_count(setting)};
    return 2;
}

/* The tables have the heads' columns, which sorting would have to move too. */
static bool sortable(const void *setting) {
    (void)setting;
    return false;
}

/* ---- Scores of labels ---- */

typedef struct labelling {
    const run *on;
    const etc_weights *with;
    tensor query, out; /* [rows, heads * head_size]; [rows, heads * labels] */
    size_t heads;
    float *vectors, *biases, *scratch;
    size_t scratch_size;
} labelling;

enum { ROWS = 64 };

/* Of each query and label (q . vector) / sqrt(size) + bias. */
static void score_labels(void *argument, size_t member, size_t first, size_t last) {
    const labelling *l = argument;
    const size_t size = l->with->with.head_size, labels = label_count(l->with->setting);
    const size_t width = l->with->vectors->width, all_heads = l->with->biases->width;
    const block_room room = {.packed = l->scratch + member * l->scratch_size};
    for (size_t head = first; head < last; head++)
        for (size_t done = 0; done < l->query.rows; done += ROWS) {
            const size_t rows = size_min(ROWS, l->query.rows - done);
            float *out = tensor_row(l->out, done) + head * labels;
            block_outer(l->on, out, l->out.stride, tensor_row(l->query, done) + head * size, l->query.stride, rows,
                        l->vectors + head * size, width, labels, size, 1 / sqrtf((float)size), &room);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < labels; j++) out[i * l->out.stride + j] += l->biases[j * all_heads + head];
        }
}

static void label_heads_backward(void *argument, size_t member, size_t first, size_t last) {
    const labelling *l = argument;
    const gradient_kernels *g = l->on->kernels->gradient;
    const size_t size = l->with->with.head_size, labels = label_count(l->with->setting);
    const size_t width = l->with->vectors->width, all_heads = l->with->biases->width,
                 across = round_up(ROWS, PANEL) + 16;
    float *d = l->scratch + member * l->scratch_size, *turned = d + ROWS * labels;
    const block_room room = {.packed = turned + labels * across};
    const float by = 1 / sqrtf((float)size);
    for (size_t head = first; head < last; head++)
        for (size_t done = 0; done < l->query.rows; done += ROWS) {
            const size_t rows = size_min(ROWS, l->query.rows - done);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < labels; j++) {
                    const float grad = tensor_grad(l->out, done + i)[head * labels + j];
                    d[i * labels + j] = grad * by;
                    if (l->with->biases->learn) l->with->biases->learn->rows[j * all_heads + head] += grad;
                }
            block_accumulate(l->on, tensor_grad(l->query, done) + head * size, l->query.stride, d, labels,
                             l->vectors + head * size, width, rows, size, labels, &room);
            if (!l->with->vectors->learn) continue;
            g->transpose(turned, across, d, labels, rows, labels);
            block_accumulate(l->on, l->with->vectors->learn->rows + head * size, width, turned, across,
                             tensor_row(l->query, done) + head * size, l->query.stride, labels, size, rows, &room);
        }
}

static void take_scratch(labelling *l, const run *on) {
    const size_t size = l->with->with.head_size, labels = label_count(l->with->setting);
    const size_t most = size_max(size_max(labels, size), ROWS);
    l->scratch_size = round_up(ROWS * labels + labels * (round_up(ROWS, PANEL) + 16), 16) + packed_size(most, most);
    l->scratch = run_take(on, team_size(on->crew) * l->scratch_size, sizeof *l->scratch);
}

static void labels_backward(const run *on, void *saved) {
    labelling l = *(const labelling *)saved;
    l.on = on;
    take_scratch(&l, on);
    if (run_failed(on)) return;
    run_parallel(on, l.heads, 1, label_heads_backward, &l);
    table *const tables[] = {l.with->vectors, l.with->biases};
    for (size_t i = 0; i < 2; i++)
        for (size_t row = 0; tables[i]->learn && row < tables[i]->rows; row++) table_touch(tables[i]->learn, row);
}

static tensor find_labels(const run *on, const etc_weights *self, tensor query, size_t heads) {
    const size_t labels = label_count(self->setting);
    labelling l = {.on = on,
                   .with = self,
                   .query = query,
                   .out = run_tensor(on, query.rows, heads * labels),
                   .heads = heads,
                   .vectors = run_take(on, labels * self->vectors->width, sizeof(float)),
                   .biases = run_take(on, labels * self->biases->width, sizeof(float))};
    take_scratch(&l, on);
    if (run_failed(on)) return l.out;
    table_read(self->vectors, 0, labels, l.vectors);
    table_read(self->biases, 0, labels, l.biases);
    run_parallel(on, heads, 1, score_labels, &l);
    labelling *saved = on->tape ? tape_push(on, labels_backward, sizeof *saved) : NULL;
    if (saved) *saved = l;
    return l.out;
}

/* ---- Running ---- */

static const etc_setting *setting_of(const planned_pass *pass) {
    return pass->setting;
}

static stretch window_of(const planned_pass *pass, size_t sequence, size_t low, size_t high) {
    const etc_setting *self = setting_of(pass);
    return planned_keys(pass, sequence, size_max(low > self->radius ? low - self->radius : 0, self->globals),
                        high + self->radius + 1);
}

/* The global queries, and then the others. */
static bool etc_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const size_t globals = setting_of(pass)->globals, length = planned_length(pass, sequence);
    const size_t begin = number ? globals + (number - 1) * QUERY_BLOCK : 0;
    const size_t end = number ? begin + QUERY_BLOCK : globals;
    (void)head;
    if (begin >= length) return false;
    planned_ask(out, planned_queries(pass, sequence, begin, end));
    planned_see(out, planned_keys(pass, sequence, 0, number ? globals : length), 0);
    if (number) planned_see(out, window_of(pass, sequence, begin, size_min(end, length) - 1), 0);
    return true;
}

static stretch etc_seen(const void *of, size_t sequence, size_t head, size_t query, stretch keys) {
    const planned_pass *pass = of;
    const size_t place = planned_place(pass, sequence, query), globals = setting_of(pass)->globals;
    (void)head;
    if (place < globals || keys.first < planned_keys(pass, sequence, 0, globals).end) return keys;
    return window_of(pass, sequence, place, place);
}

static void label_pairs(const void *of, size_t sequence, size_t query, stretch keys, uint8_t *out) {
    const planned_pass *pass = of;
    const etc_setting *self = setting_of(pass);
    const size_t place = planned_place(pass, sequence, query), distances = 2 * self->clip + 1;
    const bool global = place < self->globals;
    for (size_t k = keys.first; k < keys.end; k++) {
        const size_t other =
            attending_place(&pass->in, sequence, pass->in.origin, pass->in.sequences.start[sequence] + k);
        const size_t far = other < place ? self->clip - size_min(place - other, self->clip)
                                         : self->clip + size_min(other - place, self->clip);
        const bool both = (other < self->globals) == global;
        out[k - keys.first] = (uint8_t)(both ? far + (global ? distances : 0) : 2 * distances + global);
    }
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const etc_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    const double begin = run_begin(on);
    planned_pass *pass = run_take(on, 1, sizeof *pass); /* lives as long as the tape */
    if (!run_failed(on)) {
        *pass = (planned_pass){.in = *in, .setting = self->setting};
        gathered heads = gathered_heads(&self->with, in, &rows);
        heads.labels = find_labels(on, self, rows.query, in->heads);
        heads.label_count = label_count(self->setting);
        heads.plan = (gather_plan){.of = pass, .block = etc_block, .seen = etc_seen, .label = label_pairs};
        attention_gathered(on, mixed, &heads);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Of one head; a product with a label's vector is half of a pair. */
static double pairs(const void *setting, double keys, double queries) {
    const etc_setting *self = setting;
    const double globals = fmin((double)self->globals, keys);
    return queries * fmin(keys, 2 * (double)self->radius + 1 + globals) + globals * keys +
           queries * (double)label_count(self) / 2;
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const etc_weights *self = weights;
    (void)kernels;
    return planned_heads_demand(&self->with, self->setting, sequences, length, pairs);
}

const attending attending_etc = {
    .part = {.name = "etc", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .yields_received = true,
    .fewer_queries = true,
    .narrows = true,
    .load = load,
    .load_terms = load_terms,
    .added_tensors = added_tensors,
    .allow_narrow = projections_allow_narrow,
    .sortable = sortable,
    .visit = projections_visit,
    .forward = forward,
    .count = count,
    .demand = demand};
