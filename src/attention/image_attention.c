/* Attention in blocks (Parmar et al. 2018, Image Transformer): the queries of a block see the block's rows and `flange`
 * rows on both sides. A memory for each block, and not for each query, makes the products large. In two dimensions the
 * text is an image of lines of `columns` rows; a block is `lines` lines high and `block` rows wide, and its memory has
 * `line_flange` lines more above and below. Blocks are of places in the text, so a row that has retired leaves a gap
 * and moves no other row. */
#include <math.h>
#include <stdio.h>

#include "attention/planned.h"

typedef struct image_setting {
    size_t block, flange;
    size_t columns, lines, line_flange; /* columns 0: one dimension */
} image_setting;
_Static_assert(sizeof(image_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { BLOCK = 128, FLANGE = 100, MOST_PLACES = 1 << 24, IMAGE_BLOCK = 16, LINES = 8 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    image_setting *self = setting;
    TRY(json_get_size(&self->columns, json, "columns", 0, error));
    TRY(json_get_size(&self->block, json, "block", self->columns ? IMAGE_BLOCK : BLOCK, error));
    TRY(json_get_size(&self->flange, json, "flange", self->columns ? IMAGE_BLOCK : FLANGE, error));
    if (self->columns) {
        TRY(json_get_size(&self->lines, json, "lines", LINES, error));
        TRY(json_get_size(&self->line_flange, json, "line_flange", LINES, error));
        if (self->lines == 0 || self->lines > MOST_STRETCHES || self->line_flange > MOST_STRETCHES ||
            self->lines + 2 * self->line_flange > MOST_STRETCHES || self->columns > MOST_PLACES)
            return fail(error, RUBATO_BAD_MODEL,
                        "attention in an image of %zu columns, blocks of %zu lines with %zu on both sides: together at "
                        "most %d lines",
                        self->columns, self->lines, self->line_flange, MOST_STRETCHES);
    }
    if (self->block == 0 || self->block > MOST_PLACES || self->flange > MOST_PLACES)
        return fail(error, RUBATO_BAD_MODEL, "attention in blocks of %zu rows with flanges of %zu", self->block,
                    self->flange);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const image_setting *self = setting;
    TRY(json_set(json, "block", json_integer((json_int_t)self->block), error));
    if (self->columns) {
        TRY(json_set(json, "columns", json_integer((json_int_t)self->columns), error));
        TRY(json_set(json, "lines", json_integer((json_int_t)self->lines), error));
        TRY(json_set(json, "line_flange", json_integer((json_int_t)self->line_flange), error));
    }
    return json_set(json, "flange", json_integer((json_int_t)self->flange), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const image_setting *self = setting;
    if (self->columns)
        snprintf(out, bytes, "%zu columns, blocks of %zu x %zu, flanges of %zu and %zu", self->columns, self->lines,
                 self->block, self->line_flange, self->flange);
    else
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

/* In two dimensions: the queries of a block that stand in one line. */
static bool find_line(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const image_setting *self = pass->setting;
    const size_t across = (self->columns + self->block - 1) / self->block, line = number / across;
    const size_t begin = number % across * self->block, length = planned_length(pass, sequence);
    const size_t end = begin + self->block < self->columns ? begin + self->block : self->columns;
    const size_t first = begin > self->flange ? begin - self->flange : 0;
    const size_t last = end + self->flange < self->columns ? end + self->flange : self->columns;
    const size_t top = line / self->lines * self->lines;
    (void)head;
    if (line * self->columns >= length) return false;
    planned_ask(out, planned_queries(pass, sequence, line * self->columns + begin, line * self->columns + end));
    for (size_t i = top > self->line_flange ? top - self->line_flange : 0;
         i < top + self->lines + self->line_flange && i * self->columns < length; i++)
        planned_see(out, planned_keys(pass, sequence, i * self->columns + first, i * self->columns + last), 0);
    return true;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    static const planned_form row = {.block = find_block}, image = {.block = find_line};
    const image_setting *self = ((const planned_weights *)weights)->setting;
    planned_forward(weights, on, in, out, self->columns ? &image : &row, 0);
}

/* ---- Costs ---- */

static double pairs(const void *setting, double keys, double queries) {
    const image_setting *self = setting;
    const double across = (double)(self->block + 2 * self->flange), columns = (double)self->columns;
    if (!self->columns) return queries * fmin(keys, across);
    return queries * fmin(keys, fmin(columns, across) * (double)(self->lines + 2 * self->line_flange));
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
