/* Axial attention (Ho et al. 2019) on a text that is laid out in rows of `columns` tokens: a token sees its row in the
 * first, third ... layer, and its column in the others. */
#include <math.h>
#include <stdio.h>

#include "attention/planned.h"
#include "base/checked.h"

typedef struct axial_setting {
    size_t columns;
} axial_setting;
_Static_assert(sizeof(axial_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { COLUMNS = 64, MOST_COLUMNS = 1 << 16 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    axial_setting *self = setting;
    TRY(json_get_size(&self->columns, json, "columns", COLUMNS, error));
    if (self->columns == 0 || self->columns > MOST_COLUMNS)
        return fail(error, RUBATO_BAD_MODEL, "axial attention with %zu columns", self->columns);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const axial_setting *self = setting;
    return json_set(json, "columns", json_integer((json_int_t)self->columns), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const axial_setting *self = setting;
    snprintf(out, bytes, "rows and columns of a table with %zu columns, by turns", self->columns);
}

/* ---- Running ---- */

static size_t column_of(const planned_pass *of, size_t place) {
    const axial_setting *self = of->setting;
    return place % self->columns;
}

static bool column_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    (void)head;
    return planned_group_block(of, sequence, number, out);
}

static bool row_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const axial_setting *self = pass->setting;
    const size_t begin = number * self->columns, end = begin + self->columns;
    (void)head;
    if (begin >= planned_length(pass, sequence)) return false;
    planned_ask(out, planned_queries(pass, sequence, begin, end));
    planned_see(out, planned_keys(pass, sequence, begin, end), 0);
    return true;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    static const planned_form rows = {.block = row_block};
    static const planned_form columns = {.block = column_block, .group = column_of};
    const axial_setting *self = ((const planned_weights *)weights)->setting;
    const bool by_columns = in->layer % 2;
    planned_forward(weights, on, in, out, by_columns ? &columns : &rows, by_columns ? self->columns : 0);
}

/* ---- Costs ---- */

/* In the mean of the two kinds of layers. */
static double pairs(const void *setting, double keys, double queries) {
    const axial_setting *self = setting;
    const double columns = (double)self->columns;
    return queries * (fmin(keys, columns) + fmax(keys / columns, 1)) / 2;
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_axial = {
    .part = {.name = "axial", .foreign = true, .configure = configure, .note = note, .describe = describe},
    PLANNED,
    .decodes = true,
    .forward = forward,
    .count = count,
    .demand = demand};
