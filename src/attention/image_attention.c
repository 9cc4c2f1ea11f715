/* Attention in blocks (Parmar et al. 2018, Image Transformer, in one dimension): the queries of a block see the block's
 * rows and `flange` rows on both sides. A memory for each block, and not for each query, makes the products large.
 * Blocks are of places in the text, so a row that has retired leaves a gap and moves no other row. */
#include <math.h>
#include <stdio.h>

#include "attention/gathered.h"
#include "attention/projections.h"
#include "base/checked.h"

typedef struct image_setting {
    size_t block, flange;
} image_setting;
_Static_assert(sizeof(image_setting) <= SETTING_BYTES, "a setting fits");

typedef struct image_weights {
    projections with;
    const image_setting *setting;
} image_weights;

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

static rubato_status load(void **out, const part_source *from) {
    image_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (image_weights){.setting = from->setting};
    *out = self;
    return projections_load(&self->with, from);
}

/* ---- Running ---- */

typedef struct blocks {
    attending_input in;
    image_setting setting;
} blocks;

static bool find_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const blocks *self = of;
    const attending_input *in = &self->in;
    const size_t length = batch_length(&in->sequences, sequence), begin = number * self->setting.block;
    const size_t end = begin + self->setting.block, flange = self->setting.flange;
    (void)head;
    if (length == 0 || attending_place(in, sequence, in->origin, in->sequences.start[sequence] + length - 1) < begin)
        return false;
    out->first = attending_row_at(in, sequence, &in->queries, in->query_origin, begin);
    out->count = attending_row_at(in, sequence, &in->queries, in->query_origin, end) - out->first;
    out->keys[0].first =
        attending_row_at(in, sequence, &in->sequences, in->origin, begin > flange ? begin - flange : 0);
    out->keys[0].end = attending_row_at(in, sequence, &in->sequences, in->origin, end + flange);
    out->stretches = out->keys[0].end > out->keys[0].first;
    return true;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const image_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    blocks *plan = run_take(on, 1, sizeof *plan);
    double begin = run_begin(on);
    if (plan) *plan = (blocks){*in, *self->setting};
    gathered heads = gathered_heads(&self->with, in, &rows);
    heads.plan = (gather_plan){.of = plan, .block = find_block};
    attention_gathered(on, mixed, &heads);
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

static double products(const image_setting *setting, double keys, double queries, double width) {
    return 4 * queries * fmin(keys, (double)(setting->block + 2 * setting->flange)) * width;
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count(of);
    sum.queries +=
        products(setting, (double)of->rows.entering, (double)of->rows.queries, (double)(of->units * of->unit_size));
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const image_weights *self = weights;
    const double rows = (double)(sequences * length), width = (double)(self->with.heads * self->with.head_size);
    (void)kernels;
    return projections_demand(&self->with, products(self->setting, (double)length, rows, width), sequences, length);
}

const attending attending_image = {
    .part = {.name = "image", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .yields_received = true,
    .fewer_queries = true,
    .narrows = true,
    .load = load,
    .allow_narrow = projections_allow_narrow,
    .forward = forward,
    .visit = projections_visit,
    .count = count,
    .demand = demand};
