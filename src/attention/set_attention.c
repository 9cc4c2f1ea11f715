/* The Set Transformer's induced attention (Lee et al. 2019) within BERT's layer: `points` learned queries see all keys
 * of the text and make as many rows of its values, and the text's queries see keys and values that are made from these.
 * As in the layers around it, scores are divided by the root of a head's size, and the residual is the layer's own. */
#include <math.h>
#include <stdio.h>

#include "attention/gathered.h"
#include "base/checked.h"
#include "tensor/operations.h"

typedef struct set_setting {
    size_t points;
} set_setting;
_Static_assert(sizeof(set_setting) <= SETTING_BYTES, "a setting fits");

typedef struct set_weights {
    projections with; /* first, as projections.h has it */
    const set_setting *setting;
    table *points;       /* [points, heads * head_size]: their queries */
    linear keys, values; /* [heads * head_size, heads * head_size]: of the points' rows */
} set_weights;

/* ---- Setting ---- */

enum { POINTS = 64, MOST_POINTS = 1 << 14 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    set_setting *self = setting;
    TRY(json_get_size(&self->points, json, "points", POINTS, error));
    if (self->points == 0 || self->points > MOST_POINTS)
        return fail(error, RUBATO_BAD_MODEL, "attention through %zu inducing points: 1 to %d are possible",
                    self->points, MOST_POINTS);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const set_setting *self = setting;
    return json_set(json, "points", json_integer((json_int_t)self->points), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const set_setting *self = setting;
    snprintf(out, bytes, "%zu inducing points", self->points);
}

/* ---- Loading ---- */

static rubato_status load(void **out, const part_source *from) {
    char name[LOADER_NAME];
    const char *one[1] = {name};
    const size_t width = from->heads * from->head_size;
    set_weights *self = arena_take(from->load->with.memory, sizeof *self);
    table *points = arena_take(from->load->with.memory, sizeof *points);
    if (!self || !points) return fail_memory(from->load->error);
    *self = (set_weights){.setting = from->setting, .points = points};
    *out = self;
    TRY(projections_load(&self->with, from));
    part_name_beside(name, from, from->names->query, "induced_key");
    TRY(loader_linear(from->load, &self->keys, one, 1, width, width));
    part_name_beside(name, from, from->names->query, "induced_value");
    return loader_linear(from->load, &self->values, one, 1, width, width);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    set_weights *self = weights;
    char name[LOADER_NAME];
    part_name_beside(name, from, from->names->query, "points.weight");
    return loader_spread(from->load, self->points, name, self->setting->points, from->heads * from->head_size, 1);
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const set_setting *self = setting;
    out[0] = (added_tensor){"induced_key", LIKE_MEAN, 1};
    out[1] = (added_tensor){"induced_value", LIKE_MEAN, 1};
    out[2] = (added_tensor){"points", DRAWN_ROWS, self->points};
    return 3;
}

static void visit(void *weights, linear_visitor *see, void *user) {
    static const linear_role keys = {
        .name = "keys of points", .part = PART_QKV, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role values = {
        .name = "values of points", .part = PART_QKV, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    set_weights *self = weights;
    projections_visit(&self->with, see, user);
    see(user, &self->keys, &keys);
    see(user, &self->values, &values);
}

/* Heads are mixed between the two steps. */
static bool sortable(const void *setting) {
    (void)setting;
    return false;
}

/* ---- Running ---- */

/* Of every sequence that has rows, the points; a sequence without rows has none. */
static batch place_points(const set_setting *setting, const run *on, const attending_input *in, size_t **number) {
    const batch *rows = &in->sequences;
    size_t *start = run_take(on, rows->sequences + 1 + rows->sequences * setting->points, sizeof *start), count = 0;
    if (!start) return (batch){0};
    *number = start + rows->sequences + 1;
    for (size_t i = 0; i < rows->sequences; i++) {
        start[i] = count;
        for (size_t j = 0; batch_length(rows, i) && j < setting->points; j++) (*number)[count++] = j;
    }
    start[rows->sequences] = count;
    return (batch){.sequences = rows->sequences, .rows = count, .start = start};
}

static tensor through(const run *on, tensor x, const linear *by) {
    tensor out = run_tensor(on, x.rows, by->out);
    run_linear(on, out, x, by, ACTIVATION_NONE, NULL);
    return out;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const set_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    const double begin = run_begin(on);
    size_t *number = NULL;
    const batch points = place_points(self->setting, on, in, &number);
    if (!run_failed(on)) {
        projected seen = {run_lookup(on, self->points, number, points.rows), rows.key, rows.value};
        tensor met = run_tensor(on, points.rows, rows.key.columns);
        gathered heads = gathered_heads(&self->with, in, &seen);
        if (gathered_whole(on, &heads, in->sequences, points)) attention_gathered(on, met, &heads);
        seen = (projected){rows.query, through(on, met, &self->keys), through(on, met, &self->values)};
        heads = gathered_heads(&self->with, in, &seen);
        if (gathered_whole(on, &heads, points, in->queries)) attention_gathered(on, mixed, &heads);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Two steps of scores and mixing, and the projections of points, which every text has. */
static operations count(const void *setting, const part_extent *of) {
    const set_setting *self = setting;
    const double width = (double)(of->units * of->unit_size), points = (double)self->points;
    operations sum = projections_count(of);
    sum.keys += 4 * (double)of->rows.entering * points * width + 4 * points * width * width;
    sum.queries += 4 * (double)of->rows.queries * points * width;
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const set_weights *self = weights;
    const double width = (double)(self->with.heads * self->with.head_size), rows = (double)(sequences * length);
    (void)kernels;
    return projections_demand(&self->with, 8 * rows * (double)self->setting->points * width, sequences, length);
}

const attending attending_set = {
    .part = {.name = "set", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .fewer_queries = true,
    .load = load,
    .load_terms = load_terms,
    .added_tensors = added_tensors,
    .sortable = sortable,
    .forward = forward,
    .visit = visit,
    .count = count,
    .demand = demand};
