/* Drawing smaller models. */
#include "train/recipe/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

size_t draw_full(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    out[0] = (pass){.at = point_full(self->model->body.depth)};
    return 1;
}

size_t draw_pass_count(const rubato_train_options *options) {
    size_t count = (options->sandwiches ? options->sandwiches : 2) + 2;
    return count < MOST_PASSES ? count : MOST_PASSES;
}

void draw_layers(double probability, uint64_t *state, point *at) {
    size_t left = at->layers;
    for (size_t i = 0; i < at->layers; i++)
        if (random_real(state) < probability && left > 1) {
            at->skip[i] = true;
            left--;
        }
}

void draw_lengths(double most, bool smallest, uint64_t *state, point *at) {
    double keep = 1;
    for (size_t i = 0; i < at->layers; i++) {
        if (at->skip[i]) continue;
        keep *= smallest ? 1 - most : 1 - most * random_real(state);
        at->keep[i] = (float)keep;
    }
}

drops drops_of(const trainer *self) {
    const rubato_train_options *options = self->options;
    size_t depth = self->model->body.depth;
    size_t merges = options->merges > 0   ? (size_t)options->merges
                    : options->merges < 0 ? 0
                                          : (size_t)(self->method->merges * (double)depth);
    return (drops){.length = option_or(options->length_drop, self->method->length_drop),
                   .layer = option_or(options->layer_drop, self->method->layer_drop),
                   .merges = merges < depth ? merges : depth - 1};
}

rubato_status note_drops(const trainer *self, rubato_error *error) {
    drops some = drops_of(self);
    json_t *made = json_object_get(self->notes, "training");
    TRY(json_set(made, "length_drop", json_real(some.length), error));
    TRY(json_set(made, "layer_drop", json_real(some.layer), error));
    return json_set(made, "merges", json_integer((json_int_t)some.merges), error);
}

void draw_merges(size_t most, bool smallest, uint64_t *state, point *at) {
    if (smallest) point_merge_evenly(at, most);
    if (smallest || most == 0) return;
    for (size_t count = random_below(state, most + 1); count > 0; count--)
        at->merge[1 + random_below(state, at->layers - 1)] = true;
}

static size_t sandwich_of_points(const trainer *self, uint64_t *state, pass *out) {
    const frontier *points = &self->model->points;
    size_t count = draw_pass_count(self->options);
    for (size_t i = 0; i < count; i++) {
        size_t chosen = i < 2 ? 0 : random_below(state, points->count);
        out[i] = (pass){.at = i == 0 ? point_full(self->model->body.depth) : points->points[chosen],
                        .follows = i > 0 && !self->options->no_distillation};
        out[i].at.exit = (exit_setting){0}; /* every layer's exit learns */
    }
    return count;
}

rubato_status refine_points(const trainer *self, phase *what, point *also, rubato_error *error) {
    const frontier *points = &self->model->points;
    if (points->count == 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "%s has no such points to refine; search it first",
                    self->options->model);
    what->passes = sandwich_of_points;
    what->also = also;
    what->also_count = points->count < JUDGED_POINTS ? points->count : JUDGED_POINTS;
    for (size_t i = 0; i < what->also_count; i++) also[i] = points->points[i * points->count / what->also_count];
    return RUBATO_OK;
}

double match_states(const trainer *self) {
    return self->teacher ? wanted_matching(self) : 0;
}

rubato_status widths_parse(width_list *out, const char *text, rubato_error *error) {
    *out = (width_list){.parts = {1, 0.75f, 0.5f, 0.25f}, .count = 4};
    if (!text) return RUBATO_OK;
    out->count = 0;
    for (const char *at = text; *at;) {
        char *end;
        double part = strtod(at, &end);
        bool falls = out->count == 0 ? part == 1 : part < (double)out->parts[out->count - 1];
        if (end == at || (*end && *end != ',') || !(part > 0 && falls) || out->count == MOST_WIDTHS)
            return fail(error, RUBATO_BAD_ARGUMENT, "widths \"%.60s\": give parts that fall from 1, as 1,0.75,0.5",
                        text);
        out->parts[out->count++] = (float)part;
        at = *end ? end + 1 : end;
    }
    return out->count ? RUBATO_OK : fail(error, RUBATO_BAD_ARGUMENT, "widths: at least 1 is needed");
}

width_list widths_of(const trainer *self) {
    width_list widths;
    widths_parse(&widths, self->options->widths, NULL);
    return widths;
}

void set_width(float part, point *at) {
    for (size_t i = 0; i < at->layers; i++) at->heads[i] = at->neurons[i] = part;
}

void draw_widths(const width_list *widths, bool even, size_t heads, uint64_t *state, point *at) {
    double least = ceil((double)widths->parts[widths->count - 1] * (double)heads - 1e-6);
    size_t first = least < 1 ? 1 : (size_t)least, drawn = 0;
    for (size_t i = 0; i < at->layers; i++) {
        if (i == 0 || !even) drawn = first + random_below(state, heads - first + 1);
        at->heads[i] = at->neurons[i] = (float)drawn / (float)heads;
    }
}

rubato_status note_widths(const trainer *self, const width_list *widths, rubato_error *error) {
    json_t *list = json_array();
    for (size_t i = 0; i < widths->count; i++) json_add(&list, json_real(round((double)widths->parts[i] * 1e6) / 1e6));
    return json_set(json_object_get(self->notes, "training"), "widths", list, error);
}
