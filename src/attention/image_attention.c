/* Attention in blocks (Parmar et al. 2018, Image Transformer, in one dimension): the queries of a block see the block's
 * rows and `flange` rows on both sides. A memory for each block, and not for each query, makes the products large.
 * Blocks are of places in the text, so a row that has retired leaves a gap and moves no other row. */
#include <math.h>
#include <stdio.h>

#include "attention/planned.h"

typedef struct image_setting {
    size_t block, flange;
} image_setting;
_Static_assert(sizeof(image_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { BLOCK = 128, FLANGE = 100, MOST_PLACES = 1 << 24 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    image_setting *self = setting;
    TRY(json_get_size(&self->block, json, "block", BLOCK, error));
    TRY(json_get_size(&self->flange, json, "flange", FLANGE, error));
    if (self->block == 0 || self->block > MOST_PLACES || self->flange > MOST_PLACES)
        return fail(error, RUBATO_BAD_MODEL, "attention in blocks of %zu rows with flanges of %zu", self->block,
                    self->flange);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const image_setting *self = setting;
    TRY(json_set(json, "block", json_integer((json_int_t)self->block), error));
    return json_set(json, "flange", json_integer((json_int_t)self->flange), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const image_setting *self = setting;
    snprintf(out, bytes, "blocks of %zu rows, flanges of %zu", self->block, self->flange);
}

/* ---- Running ---- */

static bool find_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const image_setting *self = pass->setting;
    const size_t begin = number * self->block, end = begin + self->block;
    (void)head;
    if (begin >= planned_length(pass, sequence)) return false;
    planned_ask(out, planned_queries(pass, sequence, begin, end));
    planned_see(out, planned_keys(pass, sequence, begin > self->flange ? begin - self->flange : 0, end + self->flange),
                0);
    return true;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    static const planned_form form = {.block = find_block};
    planned_forward(weights, on, in, out, &form, 0);
}

/* ---- Costs ---- */

static double pairs(const void *setting, double keys, double queries) {
    const image_setting *self = setting;
    return queries * fmin(keys, (double)(self->block + 2 * self->flange));
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_image = {
    .part = {.name = "image", .foreign = true, .configure = configure, .note = note, .describe = describe},
    PLANNED,
    .decodes = true,
    .forward = forward,
    .count = count,
    .demand = demand};
