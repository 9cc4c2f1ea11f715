/* Memory-compressed attention (Liu et al. 2018), as an encoder: a convolution over `ratio` neighbouring tokens, which
 * do not overlap, makes one key and one value of their keys and values. Queries stay, and see all of these. A token
 * that is missing, at the end of the text or because it has retired, counts as zeros. In a causal model a token sees
 * the keys whose tokens have all come, and the text's first tokens see none. */
#include <math.h>
#include <stdio.h>

#include "attention/gathered.h"
#include "attention/slots.h"
#include "base/checked.h"

typedef struct compressed_setting {
    size_t ratio;
} compressed_setting;
_Static_assert(sizeof(compressed_setting) <= SETTING_BYTES, "a setting fits");

typedef struct compressed_weights {
    projections with; /* first, as projections.h has it */
    const compressed_setting *setting;
    linear keys, values; /* [heads * head_size, ratio * heads * head_size] */
} compressed_weights;

/* ---- Setting ---- */

enum { RATIO = 3, MOST = 64 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    compressed_setting *self = setting;
    TRY(json_get_size(&self->ratio, json, "ratio", RATIO, error));
    if (self->ratio == 0 || self->ratio > MOST)
        return fail(error, RUBATO_BAD_MODEL, "compressed attention of %zu tokens: 1 to %d are possible", self->ratio,
                    MOST);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const compressed_setting *self = setting;
    return json_set(json, "ratio", json_integer((json_int_t)self->ratio), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const compressed_setting *self = setting;
    snprintf(out, bytes, "a key for %zu tokens", self->ratio);
}

/* ---- Loading ---- */

static rubato_status load(void **out, const part_source *from) {
    char name[LOADER_NAME];
    const char *one[1] = {name};
    const size_t width = from->heads * from->head_size;
    compressed_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (compressed_weights){.setting = from->setting};
    *out = self;
    TRY(projections_load(&self->with, from));
    part_name_beside(name, from, from->names->query, "compress_key");
    TRY(loader_linear(from->load, &self->keys, one, 1, width, self->setting->ratio * width));
    part_name_beside(name, from, from->names->query, "compress_value");
    return loader_linear(from->load, &self->values, one, 1, width, self->setting->ratio * width);
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const compressed_setting *self = setting;
    out[0] = (added_tensor){"compress_key", LIKE_MEAN, self->ratio};
    out[1] = (added_tensor){"compress_value", LIKE_MEAN, self->ratio};
    return 2;
}

static void visit(void *weights, linear_visitor *see, void *user) {
    static const linear_role keys = {
        .name = "compressed keys", .part = PART_QKV, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role values = {
        .name = "compressed values", .part = PART_QKV, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    compressed_weights *self = weights;
    projections_visit(&self->with, see, user);
    see(user, &self->keys, &keys);
    see(user, &self->values, &values);
}

/* Heads are mixed by the convolution. */
static bool sortable(const void *setting) {
    (void)setting;
    return false;
}

/* ---- Running ---- */

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const compressed_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    double begin = run_begin(on);
    const slots made = slots_find(on, in, self->setting->ratio);
    float *received = in->significance ? run_take(on, in->x.rows + 1, sizeof *received) : NULL;
    if (!run_failed(on)) {
        rows.key = slots_through(on, rows.key, &made, &self->keys);
        rows.value = slots_through(on, rows.value, &made, &self->values);
        run_end(on, PART_QKV, begin);
        begin = run_begin(on);
        gathered heads = gathered_heads(&self->with, in, &rows);
        heads.significance = received;
        heads.others_only = false;
        if (in->places) heads.key_place = made.last;
        if (gathered_whole(on, &heads, made.packed, in->queries)) attention_gathered(on, mixed, &heads);
    }
    /* a slot's attention is that of its tokens */
    for (size_t row = 0; received && !run_failed(on) && row < in->x.rows; row++) {
        size_t first = row, end = row + 1;
        while (first > 0 && made.of[first - 1] == made.of[row]) first--;
        while (end < in->x.rows && made.of[end] == made.of[row]) end++;
        in->significance[row] = received[made.of[row]] / (float)(end - first);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

static double slots_of(const compressed_setting *self, double keys) {
    return ceil(keys / (double)self->ratio);
}

static operations count(const void *setting, const part_extent *of) {
    const compressed_setting *self = setting;
    const double width = (double)(of->units * of->unit_size), keys = slots_of(self, (double)of->rows.entering);
    operations sum = projections_count(of);
    sum.keys += 4 * keys * (double)self->ratio * width * width;
    sum.queries += 4 * keys * (double)of->rows.queries * width;
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const compressed_weights *self = weights;
    const double width = (double)(self->with.heads * self->with.head_size), rows = (double)(sequences * length);
    (void)kernels;
    return projections_demand(&self->with, 4 * slots_of(self->setting, (double)length) * rows * width, sequences,
                              length);
}

const attending attending_compressed = {
    .part = {.name = "compressed", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .yields_received = true,
    .fewer_queries = true,
    .decodes = true,
    .load = load,
    .added_tensors = added_tensors,
    .sortable = sortable,
    .forward = forward,
    .visit = visit,
    .count = count,
    .demand = demand};
