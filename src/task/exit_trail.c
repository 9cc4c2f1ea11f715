/* Recording and replaying exits. */
#include "task/exit_trail.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "task/costs.h"

/* Finds the exits of layers that run; the last of these layers has the model's head instead. */
static void find_places(exit_trail *self, const exits *from, const point *at) {
    size_t last = at->layers;
    while (last > 0 && at->skip[last - 1]) last--;
    for (size_t i = 0, ran = 0; i + 1 < last; i++) {
        ran += !at->skip[i];
        if (!from->heads[i].present || at->skip[i]) continue;
        self->ran_at[self->places] = ran;
        self->place_of[self->places++] = i;
    }
    self->depth = point_depth(at);
}

bool exit_trail_suits(const exits *from) {
    return from->kind != EXIT_NONE && from->kind != EXIT_HALTING && !from->by_row && !from->rule.by_token;
}

rubato_status exit_trail_run(exit_trail *self, rubato_context *context, const point *at, const dataset *data,
                             size_t max_length, rubato_error *error) {
    const exits *from = &context->model->exits;
    rubato_text_options text = {.size = sizeof text, .max_length = max_length};
    rubato_options options = {.size = sizeof options, .text = &text};
    point mine = *at;
    *self = (exit_trail){.count = data->count, .classes = from->classes, .layers = at->layers};
    find_places(self, from, at);
    self->seen = calloc(size_max(data->count * self->places * from->classes, 1), sizeof *self->seen);
    self->last = calloc(size_max(data->count * from->classes, 1), sizeof *self->last);
    self->tokens = calloc(data->count + 1, sizeof *self->tokens);
    rubato_input *inputs = calloc(size_max(data->count, 1), sizeof *inputs);
    rubato_costs *costs = NULL;
    rubato_status status = self->seen && self->last && self->tokens && inputs ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; i < data->count && status == RUBATO_OK; i++)
        inputs[i] = (rubato_input){.text = data->items[i].text, .pair = data->items[i].pair};
    mine.exit = from->rule;
    mine.exit.first = 0;
    if (status == RUBATO_OK) {
        context->force = &mine;
        context->trail = self;
        status = rubato_logits(context, self->last, inputs, data->count, &options, &costs, error);
        context->force = NULL;
        context->trail = NULL;
    }
    for (size_t i = 0; costs && i < data->count; i++) self->tokens[i] = costs->items[i].tokens;
    rubato_free(costs);
    free(inputs);
    if (status != RUBATO_OK) exit_trail_free(self);
    return status;
}

void exit_trail_free(exit_trail *self) {
    free(self->seen);
    free(self->last);
    free(self->tokens);
    *self = (exit_trail){0};
}

void exit_trail_take(exit_trail *self, const exit_session *from, const unit *units, size_t count) {
    size_t bytes = self->classes * sizeof(float);
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < self->places; p++)
            memcpy(self->seen + (units[i].input * self->places + p) * self->classes,
                   from->seen + (self->place_of[p] * from->subjects + i) * self->classes, bytes);
}

/* The exit at which a text leaves; the number of exits when it does not leave. */
static size_t leaves_at(const exit_trail *self, const exit_setting *setting, size_t text) {
    const float *seen = self->seen + text * self->places * self->classes, *before = NULL;
    float memory = 0;
    for (size_t p = 0; p < self->places && setting->rule; p++) {
        if (self->place_of[p] + 1 < setting->first) continue;
        const float *now = seen + p * self->classes;
        exit_view view = {.logits = now, .before = before, .classes = self->classes, .memory = &memory};
        if (setting->rule->leaves(setting, &view)) return p;
        before = now;
    }
    return self->places;
}

void exit_trail_replay(const exit_trail *self, const exit_setting *setting, float *logits, size_t *ran) {
    for (size_t i = 0; i < self->count; i++) {
        size_t place = leaves_at(self, setting, i);
        bool left = place < self->places;
        const float *from =
            left ? self->seen + (i * self->places + place) * self->classes : self->last + i * self->classes;
        memcpy(logits + i * self->classes, from, self->classes * sizeof *logits);
        if (ran) ran[i] = left ? self->ran_at[place] : self->depth;
    }
}
