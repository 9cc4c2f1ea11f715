/* The Synthesizer (Tay et al. 2020): scores do not compare two tokens. A learned table has a key for each place in the
 * text. `dense`: a token's queries, cut off at zero, are multiplied by these keys. `random`: queries are a learned
 * table of places too, so the scores are a factorised table of places alone, whose rank is a head's size. With `mixed`,
 * dense attention's scores are added. All scores are divided by the root of a head's size. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/gathered.h"
#include "base/checked.h"
#include "tensor/operations.h"

typedef struct synthesizer_setting {
    bool random, mixed;
} synthesizer_setting;
_Static_assert(sizeof(synthesizer_setting) <= SETTING_BYTES, "a setting fits");

typedef struct synthesizer_weights {
    projections with; /* first, as projections.h has it */
    const synthesizer_setting *setting;
    table *keys, *queries; /* [longest text, heads * head_size]; `queries` of random scores */
} synthesizer_weights;

/* ---- Setting ---- */

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    synthesizer_setting *self = setting;
    const char *scores;
    TRY(json_get_text(&scores, json, "scores", "dense", error));
    TRY(json_get_bool(&self->mixed, json, "mixed", false, error));
    self->random = strcmp(scores, "random") == 0;
    if (!self->random && strcmp(scores, "dense") != 0)
        return fail(error, RUBATO_BAD_MODEL, "scores \"%.40s\" of a Synthesizer: dense and random are known", scores);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const synthesizer_setting *self = setting;
    TRY(json_set(json, "scores", json_string(self->random ? "random" : "dense"), error));
    return json_set(json, "mixed", json_boolean(self->mixed), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const synthesizer_setting *self = setting;
    snprintf(out, bytes, "%s scores%s", self->random ? "random" : "dense", self->mixed ? ", and those of tokens" : "");
}

/* ---- Loading ---- */

/* Scores of places need no keys, and random ones no queries. */
static unsigned parts_of(const synthesizer_setting *self) {
    return self->mixed ? ALL_THREE : self->random ? VALUES : QUERIES | VALUES;
}

static rubato_status load(void **out, const part_source *from) {
    synthesizer_weights *self = arena_take(from->load->with.memory, sizeof *self);
    table *tables = arena_take_array(from->load->with.memory, 2, sizeof *tables);
    if (!self || !tables) return fail_memory(from->load->error);
    *self = (synthesizer_weights){.setting = from->setting, .keys = &tables[0], .queries = &tables[1]};
    *out = self;
    return projections_load_some(&self->with, from, parts_of(self->setting));
}

static rubato_status load_table(table *out, const part_source *from, const char *name) {
    char full[LOADER_NAME];
    part_name_beside(full, from, from->names->query, name);
    return loader_spread(from->load, out, full, from->longest, from->heads * from->head_size, 1);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    synthesizer_weights *self = weights;
    TRY(load_table(self->keys, from, "place_key.weight"));
    return self->setting->random ? load_table(self->queries, from, "place_query.weight") : RUBATO_OK;
}

/* Mixed scores begin as dense attention's. */
static unsigned drops(const void *setting) {
    return ALL_THREE & ~parts_of(setting);
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const synthesizer_setting *self = setting;
    out[0] = (added_tensor){"place_key", self->mixed ? ZERO_ROWS : DRAWN_ROWS, 0};
    out[1] = (added_tensor){"place_query", DRAWN_ROWS, 0};
    return self->random ? 2 : 1;
}

/* The tables have the heads' columns, which sorting would have to move too. */
static bool sortable(const void *setting) {
    (void)setting;
    return false;
}

/* ---- Running ---- */

/* Of every row the table's row of its place, in the heads that run. */
static tensor at_places(const run *on, const attending_input *in, const table *by, bool queries, size_t width) {
    const batch *rows = queries ? &in->queries : &in->sequences;
    const size_t *origin = queries ? in->query_origin : in->origin;
    size_t *place = run_take(on, rows->rows + 1, sizeof *place);
    for (size_t i = 0; place && i < rows->sequences; i++)
        for (size_t row = rows->start[i]; row < rows->start[i + 1]; row++)
            place[row] = attending_place(in, i, origin, row);
    tensor made = run_lookup(on, by, place, place ? rows->rows : 0);
    return run_failed(on) ? made : tensor_columns(made, 0, width);
}

/* Of every head the features of a and of b side by side. */
static tensor beside(const run *on, tensor a, tensor b, size_t size) {
    tensor made = run_tensor(on, a.rows, 2 * a.columns);
    size_t *rows = run_take(on, a.rows + 1, sizeof *rows);
    if (run_failed(on)) return made;
    for (size_t i = 0; i < a.rows; i++) rows[i] = i;
    for (size_t column = 0; column < a.columns; column += size) {
        run_scatter(on, tensor_columns(made, 2 * column, size), rows, tensor_columns(a, column, size), rows, a.rows);
        run_scatter(on, tensor_columns(made, 2 * column + size, size), rows, tensor_columns(b, column, size), rows,
                    a.rows);
    }
    return made;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const synthesizer_weights *self = weights;
    const size_t size = self->with.head_size, width = in->heads * size;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, width);
    const double begin = run_begin(on);
    tensor keys = at_places(on, in, self->keys, false, width), queries;
    if (self->setting->random) {
        queries = at_places(on, in, self->queries, true, width);
    } else {
        queries = run_tensor(on, in->query_rows.rows, width);
        if (!run_failed(on)) run_activation(on, queries, rows.query, ACTIVATION_RELU);
    }
    if (!run_failed(on)) {
        const projected scored = {self->setting->mixed ? beside(on, rows.query, queries, size) : queries,
                                  self->setting->mixed ? beside(on, rows.key, keys, size) : keys, rows.value};
        gathered heads = gathered_heads(&self->with, in, &scored);
        heads.depth = self->setting->mixed ? 2 * size : size;
        if (gathered_whole(on, &heads, in->sequences, in->queries)) attention_gathered(on, mixed, &heads);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

static double products(const synthesizer_setting *self, double keys, double queries, double width) {
    return (self->mixed ? 6 : 4) * keys * queries * width;
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count_some(of, parts_of(setting));
    sum.queries +=
        products(setting, (double)of->rows.entering, (double)of->rows.queries, (double)(of->units * of->unit_size));
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const synthesizer_weights *self = weights;
    const double width = (double)(self->with.heads * self->with.head_size), rows = (double)(sequences * length);
    (void)kernels;
    return projections_demand(&self->with, products(self->setting, (double)length, rows, width), sequences, length);
}

const attending attending_synthesizer = {
    .part = {.name = "synthesizer", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .yields_received = true,
    .fewer_queries = true,
    .narrows = true,
    .by_place = true,
    .decodes = true,
    .load = load,
    .load_terms = load_terms,
    .added_tensors = added_tensors,
    .drops = drops,
    .allow_narrow = projections_allow_narrow,
    .sortable = sortable,
    .forward = forward,
    .visit = projections_visit,
    .count = count,
    .demand = demand};
