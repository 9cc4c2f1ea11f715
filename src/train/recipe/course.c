#include "train/recipe/course.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/checked.h"
#include "train/recipe/draw.h"

size_t course_depth(const course *c) {
    return c->by->model->body.depth;
}

size_t course_teacher_depth(const course *c) {
    return c->by->teacher->body.depth;
}

bool course_texts(const course *c) {
    return c->by->kind == SAMPLE_TEXT;
}

void course_refuse(course *c, const char *format, ...) {
    char text[200];
    va_list values;
    if (c->status != RUBATO_OK) return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    c->status = fail(c->error, RUBATO_BAD_ARGUMENT, "recipe %s: %s", c->by->method->name, text);
}

/* The setting of a new lesson; NULL where there is none to add. */
static lesson_setting *add(course *c, const lesson_kind *kind, double weight) {
    if (c->status != RUBATO_OK || weight == 0) return NULL;
    if (c->what.lesson_count == MOST_LESSONS) {
        course_refuse(c, "more than %d lessons", MOST_LESSONS);
        return NULL;
    }
    const size_t at = c->what.lesson_count++;
    c->settings[at] = (lesson_setting){0};
    c->lessons[at] = (lesson){kind, weight, &c->settings[at]};
    return &c->settings[at];
}

void course_soft_answers(course *c, double weight) {
    lesson_setting *setting = add(c, &lesson_answers, weight);
    if (!setting) return;
    setting->answers.temperature = (float)option_or(c->by->options->temperature, c->by->method->temperature);
    c->what.blind = 0;
}

void course_labels(course *c, double weight) {
    lesson_setting *setting = add(c, &lesson_answers, weight);
    if (!setting) return;
    setting->answers.labels = true;
    c->what.blind = 0;
}

static bool has_labels(const trainer *self) {
    for (size_t i = 0; self->kind == SAMPLE_CLASS && i < self->data.count; i++)
        if (self->data.items[i].label < 0) return false;
    for (size_t i = 0; self->kind == SAMPLE_VALUE && i < self->data.data.count; i++)
        if (!self->data.data.items[i].label) return false;
    return true;
}

void course_answers(course *c) {
    const rubato_train_options *options = c->by->options;
    if (!c->by->teacher) {
        course_labels(c, 1);
        return;
    }
    course_soft_answers(c, option_or(options->soft, c->by->method->soft));
    const double hard = option_or(options->hard, c->by->method->hard);
    if (hard > 0 && has_labels(c->by)) course_labels(c, hard);
}

/* One of a layer's number that the model does not have is an error of the recipe. */
static void check_layers(course *c, size_t own, size_t of_teacher) {
    if (own > course_depth(c) || of_teacher > course_teacher_depth(c))
        course_refuse(c, "the teacher has %zu layers and the model %zu; layers %zu and %zu are compared",
                      course_teacher_depth(c), course_depth(c), of_teacher, own);
}

static const linear *projection_of(course *c) {
    trainer *self = c->by;
    const size_t own = self->model->body.config.hidden, wide = self->teacher->body.config.hidden;
    if (own == wide || c->status != RUBATO_OK) return NULL;
    if (*c->projection) return *c->projection;
    uint64_t state = trainer_seed(self, 6, 0);
    const packer with = {
        .memory = &self->params.memory, .crew = self->context->crew, .kernels = kernel_table_named("untiled")};
    linear *made = arena_take(&self->params.memory, sizeof *made);
    c->status = made ? linear_create(made, wide, own, &state, &with, c->error) : fail_memory(c->error);
    if (c->status == RUBATO_OK) c->status = parameters_add_linear(&self->params, made, GROUP_HEAD, c->error);
    if (c->status != RUBATO_OK) return NULL;
    parameters_refresh(&self->params, self->context->crew, self->context->kernels);
    return *c->projection = made;
}

void course_layer(course *c, double weight, size_t own, size_t of_teacher, bool cosine) {
    check_layers(c, own, of_teacher);
    if (weight == 0) return;
    const linear *projection = projection_of(c);
    lesson_setting *setting = add(c, &lesson_layer, weight);
    if (!setting) return;
    setting->layer = (layer_setting){.own = own, .of_teacher = of_teacher, .cosine = cosine, .projection = projection};
}

void course_moments(course *c, double weight, size_t own, size_t of_teacher) {
    const size_t before = c->what.lesson_count;
    course_layer(c, weight, own, of_teacher, false);
    if (c->what.lesson_count > before) c->settings[before].layer.moments = true;
}

static size_t heads_of(const encoder *body, size_t number) {
    return body->layers[body->order[number - 1]].heads;
}

size_t course_width(const encoder *body, size_t number) {
    return heads_of(body, number) * body->layers[body->order[number - 1]].head_size;
}

/* What a relation compares must have the same number of parts in both models. */
static void check_heads(course *c, size_t own, size_t of_teacher, size_t heads) {
    const encoder *a = &c->by->model->body, *b = &c->by->teacher->body;
    check_layers(c, own, of_teacher);
    if (c->status != RUBATO_OK) return;
    const size_t ours = heads_of(a, own), theirs = heads_of(b, of_teacher);
    if (!heads && ours != theirs)
        course_refuse(c, "the model has %zu heads and its teacher %zu; recipe minilmv2 needs no equal heads", ours,
                      theirs);
    const size_t widths[] = {course_width(a, own), course_width(b, of_teacher)};
    if (heads && (widths[0] % heads || widths[1] % heads))
        course_refuse(c, "%zu relation heads do not divide widths of %zu and %zu", heads, widths[0], widths[1]);
}

void course_relation(course *c, double weight, size_t own, size_t of_teacher, watch_kind first, watch_kind second,
                     size_t heads) {
    check_heads(c, own, of_teacher, heads);
    lesson_setting *setting = add(c, &lesson_relation, weight);
    if (!setting) return;
    setting->relation =
        (relation_setting){.own = own, .of_teacher = of_teacher, .first = first, .second = second, .heads = heads};
}

void course_scores(course *c, double weight, size_t own, size_t of_teacher) {
    check_heads(c, own, of_teacher, 0);
    lesson_setting *setting = add(c, &lesson_relation, weight);
    if (!setting) return;
    setting->relation = (relation_setting){
        .own = own, .of_teacher = of_teacher, .first = WATCH_QUERIES, .second = WATCH_KEYS, .squares = true};
}

/* Texts alone have no last stage where there are several: it learns answers. */
static size_t stage_count(const trainer *self) {
    const size_t count = self->method->stages ? self->method->stages : self->model->body.depth + 1;
    return self->kind == SAMPLE_TEXT ? size_max(count - 1, 1) : count;
}

static rubato_status run_stages(trainer *self, course *all, phase *phases, void *user, rubato_error *error) {
    const size_t count = stage_count(self);
    linear *projection = NULL;
    for (size_t i = 0; i < count; i++) {
        course *c = &all[i];
        *c = (course){
            .by = self, .user = user, .stage = i, .projection = &projection, .status = RUBATO_OK, .error = error};
        c->what = (phase){.name = self->method->name,
                          .epochs = trainer_epochs(self),
                          .passes = draw_full,
                          .lessons = c->lessons,
                          .blind = 1};
        self->method->teach(c);
        TRY(c->status);
        if (c->what.lesson_count == 0)
            return fail(error, RUBATO_BAD_ARGUMENT, "recipe %s: all weights are 0; there is nothing to learn",
                        self->method->name);
        phases[i] = c->what;
    }
    if (self->options->resume) TRY(trainer_resume(self, error));
    return trainer_run_phases(self, phases, count, error);
}

rubato_status run_course(trainer *self, rubato_error *error) {
    return run_course_with(self, NULL, error);
}

rubato_status run_course_with(trainer *self, void *user, rubato_error *error) {
    course *all = calloc(stage_count(self), sizeof *all);
    phase *phases = calloc(stage_count(self), sizeof *phases);
    rubato_status status = all && phases ? run_stages(self, all, phases, user, error) : fail_memory(error);
    free(all);
    free(phases);
    return status;
}
