/* Judging candidates. */
#define _POSIX_C_SOURCE 200809L
#include "search/judging.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/text_buffer.h"
#include "search/genes.h"
#include "task/context.h"
#include "task/encode.h"
#include "task/exit_trail.h"

enum { GLIMPSE = 3, MOST_LENGTHS = 400 };

/* ---- Data ---- */

/* Every third example comes first. This part is judged first. */
static rubato_status divide(judging *self, rubato_error *error) {
    size_t count = self->data.count, at = 0;
    example *sorted = malloc(size_max(count, 1) * sizeof *sorted);
    if (!sorted) return fail_memory(error);
    for (size_t i = 0; i < count; i += GLIMPSE) sorted[at++] = self->data.items[i];
    self->part.count = at;
    for (size_t i = 0; i < count; i++)
        if (i % GLIMPSE) sorted[at++] = self->data.items[i];
    memcpy(self->data.items, sorted, count * sizeof *sorted);
    free(sorted);
    self->part.items = self->data.items;
    self->rest.items = self->data.items + self->part.count;
    self->rest.count = count - self->part.count;
    return RUBATO_OK;
}

/* The lengths of an even sample of the data's windows. */
static rubato_status measure_lengths(judging *self, rubato_error *error) {
    size_t step = divide_up(self->data.count, MOST_LENGTHS);
    rubato_text_options asked = {.size = sizeof asked, .max_length = self->max_length}, text;
    rubato_options running = {.size = sizeof running, .text = &asked}, own;
    TRY(engine_options(self->model, RUBATO_FOR_SCORES, &running, &own, &text, error));
    self->lengths = malloc((self->data.count / step + 1) * sizeof *self->lengths);
    self->encodings = calloc(self->data.count / step + 1, sizeof *self->encodings);
    if (!self->lengths || !self->encodings) return fail_memory(error);
    for (size_t i = 0; i < self->data.count; i += step) {
        const example *item = &self->data.items[i];
        text_buffer joined = {0};
        rubato_encoding *encoding;
        for (size_t j = 0; j < item->word_count; j++) text_add_format(&joined, "%s ", item->words[j]);
        rubato_input input = {.text = item->word_count ? joined.data : item->text, .pair = item->pair};
        rubato_status status =
            joined.failed ? fail_memory(error) : rubato_encode(self->model, &input, &text, &encoding, error);
        text_free(&joined);
        TRY(status);
        self->encodings[self->length_count] = encoding;
        self->lengths[self->length_count++] = size_max(encoding->windows[0].length, 1);
    }
    return RUBATO_OK;
}

rubato_status judging_begin(judging *self, dataset_kind kind, const char *columns, size_t limit, uint64_t seed,
                            rubato_error *error) {
    TRY(dataset_read(&self->data, self->path, kind, columns, error));
    TRY(dataset_sample(&self->data, limit, seed, error));
    if (self->data.count < GLIMPSE) return fail(error, RUBATO_BAD_DATA, "%s: too few examples", self->path);
    TRY(measure_lengths(self, error));
    return divide(self, error);
}

void judging_free(judging *self) {
    if (self->log) fclose(self->log);
    dataset_free(&self->data);
    for (size_t i = 0; i < self->length_count; i++) rubato_encoding_destroy(self->encodings[i]);
    free(self->encodings);
    free(self->lengths);
    free(self->all);
    free(self->frontier);
    rubato_context_destroy(self->context);
    rubato_model_destroy(self->model);
}

double judging_cost(const judging *self, const point *at) {
    const encoder *body = &self->model->body;
    const cost_model *times = self->context->times;
    double sum = 0, full = 0;
    for (size_t i = 0; i < self->length_count; i++) {
        size_t n = self->lengths[i];
        sum += self->by_ms ? cost_model_ms(times, at, &body->shape, n, 1) : engine_flops(self->model, at, n);
        full += self->by_ms ? cost_model_ms(times, NULL, &body->shape, n, 1) : encoder_flops(body, NULL, n);
    }
    return sum / full;
}

/* ---- What is known, on disk too ---- */

static rubato_status log_candidate(const judging *self, const candidate *c, rubato_error *error) {
    if (!self->log) return RUBATO_OK;
    json_t *row = point_object(&c->gene, self->low);
    if (!isnan(c->glimpse)) json_put(&row, "glimpse", json_real(c->glimpse));
    json_put(&row, "quality", isnan(c->quality) ? json_null() : json_real(c->quality));
    char *line = row ? json_dumps(row, JSON_COMPACT) : NULL;
    json_decref(row);
    if (!line) return fail_memory(error);
    fprintf(self->log, "%s\n", line);
    fflush(self->log);
    free(line);
    return RUBATO_OK;
}

static rubato_status push(judging *self, const candidate *made, rubato_error *error) {
    if (self->count == self->capacity) {
        size_t capacity = self->capacity * 2 + 256;
        candidate *grown = realloc(self->all, capacity * sizeof *grown);
        if (!grown) return fail_memory(error);
        self->all = grown;
        self->capacity = capacity;
    }
    self->all[self->count++] = *made;
    return RUBATO_OK;
}

static rubato_status read_log(judging *self, const char *path, rubato_error *error) {
    char *text;
    size_t size, layers = self->model->body.depth;
    if (!file_exists(path)) return RUBATO_OK;
    TRY(file_read(&text, &size, path, (size_t)1 << 30, error));
    rubato_status status = RUBATO_OK;
    size_t whole = 0; /* bytes of whole lines: an interruption may have cut the last line */
    for (char *line = text, *next; *line && status == RUBATO_OK; line = next) {
        size_t length = strcspn(line, "\n");
        next = line + length + (line[length] != 0);
        if (!line[length]) break;
        whole += length + 1;
        json_t *row;
        status = json_read_bytes(&row, line, length, path, error);
        if (status != RUBATO_OK) break;
        candidate made = {.glimpse = json_number_value(json_object_get(row, "glimpse"))};
        status = point_read(&made.gene, row, layers, error);
        made.quality = made.gene.quality;
        gene_tidy(&made.gene);
        if (status == RUBATO_OK) status = push(self, &made, error);
        json_decref(row);
    }
    free(text);
    if (status == RUBATO_OK && whole < size && truncate(path, (off_t)whole) != 0)
        return fail(error, RUBATO_IO, "%s: cannot be written", path);
    return status;
}

rubato_status judging_open_log(judging *self, const char *path, bool resume, rubato_error *error) {
    if (resume) TRY(read_log(self, path, error));
    self->log = fopen(path, resume ? "a" : "w");
    if (self->log) return RUBATO_OK;
    return errno == ENOMEM ? fail_memory(error) : fail(error, RUBATO_IO, "%s: cannot be written", path);
}

candidate *judging_find(judging *self, const point *gene) {
    for (size_t i = 0; i < self->count; i++)
        if (gene_equal(&self->all[i].gene, gene)) return &self->all[i];
    return NULL;
}

static rubato_status refresh_frontier(judging *self, rubato_error *error) {
    candidate *copy = malloc((self->count + 1) * sizeof *copy);
    if (!copy) return fail_memory(error);
    size_t known = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->all[i].family) copy[known++] = self->all[i];
    free(self->frontier);
    self->frontier = copy;
    self->frontier_count = pareto_reduce(copy, known);
    return RUBATO_OK;
}

static bool is_hopeful(const judging *self, const candidate *made) {
    double rival = pareto_best(self->frontier, self->frontier_count, made->cost, true), q = made->glimpse;
    double margin = sqrt(fmax(q * (1 - q), 0.01) / (double)size_max(self->part.count, 1));
    return q >= rival - margin;
}

/* ---- One candidate a pass ---- */

/* The quality at a point. For a point with exits it also sets the part of the texts that run in each layer. */
static rubato_status judge(judging *self, point *at, const dataset *data, double *quality, rubato_error *error) {
    const rubato_text_options text = {.size = sizeof text, .max_length = self->max_length};
    const rubato_options running = {.size = sizeof running, .text = &text};
    const rubato_eval_options options = {
        .size = sizeof options, .task = self->task, .data = self->path, .run = &running};
    rubato_evaluation *result;
    self->context->force = at;
    rubato_status status = evaluate_loaded(self->context, &options, data, &result, error);
    self->context->force = NULL;
    TRY(status);
    *quality = evaluation_main(result, self->metric, sizeof self->metric);
    for (size_t i = 0, ran = 0; at->exit.rule && i < at->layers; i++)
        if (!at->skip[i]) {
            at->present[i] = (float)fmin(result->alive[ran], 1);
            at->alive[i] = at->exit.by_token ? (float)fmin(result->rows[ran], 1) : at->present[i];
            ran++;
        }
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status evaluate_one(judging *self, const point *gene, const char *group, bool whole,
                                  rubato_error *error) {
    candidate made = {.gene = *gene, .glimpse = NAN, .quality = NAN, .family = group};
    candidate *known = judging_find(self, gene);
    if (known) {
        made.glimpse = known->glimpse;
        made.quality = known->quality;
        made.gene = known->gene;
        made.cost = judging_cost(self, &made.gene);
        if (!known->family && (!whole || !isnan(made.quality))) {
            *known = made;
            return refresh_frontier(self, error);
        }
        if (!isnan(made.quality) || !whole) return RUBATO_OK;
    }
    if (isnan(made.glimpse)) TRY(judge(self, &made.gene, &self->part, &made.glimpse, error));
    made.cost = judging_cost(self, &made.gene); /* the cost with exits is known only now */
    self->evaluations++;
    if (whole || is_hopeful(self, &made))
        TRY(judge(self, &made.gene, &self->data, &made.quality, error));
    else
        self->dropped++;
    made.cost = judging_cost(self, &made.gene);
    TRY(log_candidate(self, &made, error));
    if (known)
        *known = made;
    else
        TRY(push(self, &made, error));
    return refresh_frontier(self, error);
}

/* ---- One body with all exit settings a pass ---- */

/* The outputs of a body's exits. */
typedef struct sweep {
    exit_trail part, rest;
    float *logits; /* [data.count][classes] */
} sweep;

/* The quality of a setting on the sample (`all`: on the whole data), and the part of the texts that run in each
 * layer. */
static rubato_status replay(judging *self, sweep *from, point *at, bool all, double *quality, rubato_error *error) {
    const rubato_eval_options options = {.size = sizeof options, .task = self->task, .data = self->path};
    rubato_evaluation *result;
    float later[POINT_LAYERS];
    const dataset *data = all ? &self->data : &self->part;
    exit_trail_replay(&from->part, &at->exit, from->logits, at->alive);
    if (all) exit_trail_replay(&from->rest, &at->exit, from->logits + from->part.count * from->part.classes, later);
    float share = all ? (float)self->part.count / (float)self->data.count : 1;
    for (size_t i = 0; i < at->layers; i++) {
        if (all) at->alive[i] = share * at->alive[i] + (1 - share) * later[i];
        at->present[i] = at->alive[i];
    }
    TRY(evaluate_logits(self->context, &options, data, from->logits, &result, error));
    *quality = evaluation_main(result, self->metric, sizeof self->metric);
    rubato_free(result);
    return RUBATO_OK;
}

/* The family of a candidate with a body and a setting. Settings on the full model are baselines. */
static const char *family_of(const point *at, const char *body) {
    if (!at->exit.rule) return body;
    return strcmp(body, "full") != 0 ? "search" : at->exit.rule == &exit_fixed ? "fixed" : "exits";
}

static rubato_status run_sweep(judging *self, sweep *from, candidate *made, size_t count, bool whole,
                               rubato_error *error) {
    const point *body = &made[0].gene;
    bool hopeful = whole;
    TRY(exit_trail_run(&from->part, self->context, body, &self->part, self->max_length, error));
    from->logits = malloc(self->data.count * from->part.classes * sizeof *from->logits);
    if (!from->logits) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        TRY(replay(self, from, &made[i].gene, false, &made[i].glimpse, error));
        made[i].cost = judging_cost(self, &made[i].gene);
        hopeful = hopeful || is_hopeful(self, &made[i]);
    }
    self->evaluations++;
    self->dropped += !hopeful;
    if (!hopeful) return RUBATO_OK;
    TRY(exit_trail_run(&from->rest, self->context, body, &self->rest, self->max_length, error));
    for (size_t i = 0; i < count; i++) {
        TRY(replay(self, from, &made[i].gene, true, &made[i].quality, error));
        made[i].cost = judging_cost(self, &made[i].gene);
    }
    return RUBATO_OK;
}

/* Takes over the results of an earlier run for a body, with any exit setting. body NULL: for every body. */
static void adopt(judging *self, const point *body, const char *group) {
    for (size_t i = 0; i < self->count; i++) {
        candidate *c = &self->all[i];
        if (c->family || (body && !gene_same_body(&c->gene, body))) continue;
        c->family = family_of(&c->gene, group);
        c->cost = judging_cost(self, &c->gene);
    }
}

rubato_status judging_take_rest(judging *self, rubato_error *error) {
    adopt(self, NULL, "search");
    return refresh_frontier(self, error);
}

/* Keeps the settings that no other setting of the same body dominates; of the full model it keeps all. */
static rubato_status evaluate_all(judging *self, const point *gene, const char *group, bool whole,
                                  rubato_error *error) {
    point body = gene_without_exit(gene);
    candidate *known = judging_find(self, &body);
    if (known && !(whole && isnan(known->quality))) {
        adopt(self, &body, group);
        return refresh_frontier(self, error);
    }
    size_t count = self->setting_count + 1;
    candidate *made = calloc(count, sizeof *made);
    if (!made) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        made[i] = (candidate){.gene = body, .glimpse = NAN, .quality = NAN};
        if (i) made[i].gene.exit = self->settings[i - 1];
        made[i].family = family_of(&made[i].gene, group);
    }
    sweep from = {0};
    rubato_status status = run_sweep(self, &from, made, count, whole, error);
    if (status == RUBATO_OK) {
        for (size_t i = 1; i < count; i++)
            if (made[i].cost < self->lowest) made[i].quality = NAN;
        size_t kept = strcmp(group, "full") == 0 ? count - 1 : pareto_reduce(made + 1, count - 1);
        for (size_t i = 0; i <= kept && status == RUBATO_OK; i++) status = log_candidate(self, &made[i], error);
        if (known) *known = made[0];
        for (size_t i = known != NULL; i <= kept && status == RUBATO_OK; i++) status = push(self, &made[i], error);
    }
    free(made);
    free(from.logits);
    exit_trail_free(&from.part);
    exit_trail_free(&from.rest);
    return status == RUBATO_OK ? refresh_frontier(self, error) : status;
}

rubato_status judging_evaluate(judging *self, const point *gene, const char *group, bool whole, rubato_error *error) {
    point tidy = *gene;
    gene_tidy(&tidy);
    return self->setting_count ? evaluate_all(self, &tidy, group, whole, error)
                               : evaluate_one(self, &tidy, group, whole, error);
}
