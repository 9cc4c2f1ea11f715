/* Judging candidates. */
#define _POSIX_C_SOURCE 200809L
#include "search/judging.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/order.h"
#include "base/text_buffer.h"
#include "elastic/walk.h"
#include "search/genes.h"
#include "task/context.h"
#include "task/costs.h"
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

/* ---- Labels and costs ---- */

/* The label of each example at a point. *costs, when not NULL, receives what they cost. */
static rubato_status find_labels(judging *self, const point *at, const dataset *data, size_t *out, rubato_costs **costs,
                                 rubato_error *error) {
    const rubato_text_options text = {.size = sizeof text, .max_length = self->max_length};
    const rubato_options running = {.size = sizeof running, .text = &text};
    size_t labels = rubato_model_info(self->model)->label_count;
    float *scores = malloc((data->count * labels + 1) * sizeof *scores);
    rubato_input *inputs = calloc(data->count + 1, sizeof *inputs);
    rubato_status status = scores && inputs ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; i < data->count && status == RUBATO_OK; i++)
        inputs[i] = (rubato_input){.text = data->items[i].text, .pair = data->items[i].pair};
    self->context->force = at;
    if (status == RUBATO_OK) status = rubato_logits(self->context, scores, inputs, data->count, &running, costs, error);
    self->context->force = NULL;
    for (size_t i = 0; i < data->count && status == RUBATO_OK; i++)
        out[i] = index_of_largest(scores + i * labels, labels);
    free(scores);
    free(inputs);
    return status;
}

/* The share of examples, from number `first` of the data on, whose label is the full model's. */
static double agreement(const judging *self, size_t first, const size_t *labels, size_t count) {
    size_t same = 0;
    for (size_t i = 0; i < count; i++) same += labels[i] == self->reference[first + i];
    return (double)same / (double)size_max(count, 1);
}

/* Sets the parts of the texts, weighed by their operations, that run in each layer of a point with exits. ran [count]:
 * the number of layers that ran for each text; tokens [count]. */
static void weigh(const judging *self, point *at, const size_t *ran, const size_t *tokens, size_t count) {
    point body = gene_without_exit(at);
    double all[POINT_LAYERS] = {0}, spent[POINT_LAYERS] = {0};
    for (size_t i = 0; i < count; i++) {
        layer_walk now = walk_layers(&body, &self->model->body.shape, tokens[i]);
        for (size_t number = 0; walk_next(&now); number++) {
            double these = walk_operations(&now);
            all[now.layer] += these;
            if (number < ran[i]) spent[now.layer] += these;
        }
    }
    for (size_t i = 0; i < at->layers; i++) at->alive[i] = at->present[i] = all[i] > 0 ? (float)(spent[i] / all[i]) : 1;
}

/* The same from the costs of a run. */
static rubato_status weigh_costs(const judging *self, point *at, const rubato_costs *costs, rubato_error *error) {
    size_t *ran = malloc((2 * costs->count + 1) * sizeof *ran);
    if (!ran) return fail_memory(error);
    size_t *tokens = ran + costs->count;
    for (size_t i = 0; i < costs->count; i++) {
        ran[i] = costs->items[i].layers;
        tokens[i] = costs->items[i].tokens;
    }
    weigh(self, at, ran, tokens, costs->count);
    free(ran);
    return RUBATO_OK;
}

/* ---- Reading ---- */

/* Adds texts without their labels. */
static rubato_status add_texts(judging *self, const char *path, const char *columns, rubato_error *error) {
    dataset more, *data = &self->data;
    if (!self->reference_wanted)
        return fail(error, RUBATO_BAD_ARGUMENT, "--unlabelled is for classification with one label a text");
    TRY(dataset_read(&more, path, DATASET_TEXTS, columns, error));
    example *items = realloc(data->items, (data->count + more.count + 1) * sizeof *items);
    if (!items) {
        dataset_free(&more);
        return fail_memory(error);
    }
    data->items = items;
    for (size_t i = 0; i < more.count; i++) {
        example *to = &items[data->count++];
        *to = (example){.text = more.items[i].text, .pair = more.items[i].pair, .line = more.items[i].line};
        more.items[i].text = more.items[i].pair = NULL;
    }
    data->capacity = data->count;
    dataset_free(&more);
    return RUBATO_OK;
}

/* Half of the data tells, unless there is a file for it. */
static rubato_status hold_out(judging *self, dataset_kind kind, const rubato_search_options *options,
                              rubato_error *error) {
    enum { LEAST = 40 };
    if (options->holdout) return dataset_read(&self->told, options->holdout, kind, options->columns, error);
    return self->data.count < LEAST ? RUBATO_OK : dataset_divide(&self->data, &self->told, 0.5, error);
}

static rubato_status find_reference(judging *self, rubato_error *error) {
    const point full = point_full(self->model->body.depth);
    if (!self->reference_wanted) return RUBATO_OK;
    self->reference = calloc(size_max(self->data.count, 1), sizeof *self->reference);
    if (!self->reference) return fail_memory(error);
    return find_labels(self, &full, &self->data, self->reference, NULL, error);
}

rubato_status judging_begin(judging *self, dataset_kind kind, const rubato_search_options *options,
                            rubato_error *error) {
    const rubato_info *info = rubato_model_info(self->model);
    self->reference_wanted =
        strcmp(self->task, "classification") == 0 && info->task == RUBATO_TASK_CLASSIFICATION && !info->multi_label;
    TRY(dataset_read(&self->data, self->path, kind, options->columns, error));
    TRY(dataset_sample(&self->data, options->limit, options->seed, error));
    TRY(hold_out(self, kind, options, error));
    if (options->unlabelled) TRY(add_texts(self, options->unlabelled, options->columns, error));
    size_t all = self->data.count;
    TRY(dataset_remove_shared(&self->data, &self->told, error));
    if (self->data.count < GLIMPSE && self->data.count < all)
        return fail(error, RUBATO_BAD_DATA,
                    "%s: nearly all of its texts are in %s too; no point may be chosen on texts that tell its quality",
                    self->path, options->holdout);
    if (self->data.count < GLIMPSE) return fail(error, RUBATO_BAD_DATA, "%s: too few examples", self->path);
    TRY(measure_lengths(self, error));
    TRY(divide(self, error));
    return find_reference(self, error);
}

void judging_free(judging *self) {
    if (self->log) fclose(self->log);
    dataset_free(&self->data);
    dataset_free(&self->told);
    free(self->reference);
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

/* Takes over the row. */
static rubato_status log_line(const judging *self, json_t *row, rubato_error *error) {
    char *line = row ? json_dumps(row, JSON_COMPACT) : NULL;
    json_decref(row);
    if (!line) return fail_memory(error);
    fprintf(self->log, "%s\n", line);
    fflush(self->log);
    free(line);
    return RUBATO_OK;
}

static rubato_status log_candidate(const judging *self, const candidate *c, rubato_error *error) {
    if (!self->log) return RUBATO_OK;
    point gene = c->gene;
    gene.flops_ratio = c->cost;
    json_t *row = point_object(&gene, self->low);
    json_object_del(row, "name"); /* the frontier's points get names */
    if (self->by_ms) {            /* then the cost is a part of the full model's time */
        json_object_del(row, "flops_ratio");
        json_put(&row, "cost", json_real(c->cost));
    }
    json_object_del(row, "ms");
    if (!isnan(c->glimpse)) json_put(&row, "glimpse", json_real(c->glimpse));
    json_put(&row, "quality", isnan(c->quality) ? json_null() : json_real(c->quality));
    return log_line(self, row, error);
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

/* The first line of the log: what its candidates were judged on. */
static json_t *log_header(const judging *self) {
    char hash[2][17];
    hash_write(hash[0], dataset_hash(&self->data));
    hash_write(hash[1], dataset_hash(&self->told));
    return json_pack("{s:{s:s, s:s, s:I, s:s}}", "search", "task", self->task, "data", hash[0], "examples",
                     (json_int_t)self->data.count, "held_out", hash[1]);
}

static rubato_status check_header(const judging *self, const json_t *row, const char *path, rubato_error *error) {
    json_t *wanted = log_header(self);
    if (!wanted) return fail_memory(error);
    bool same = json_equal(wanted, row);
    json_decref(wanted);
    return same ? RUBATO_OK
                : fail(error, RUBATO_BAD_ARGUMENT,
                       "%s: its candidates were judged on other data; give the same, or --overwrite to search again",
                       path);
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
        if (line == text) {
            status = check_header(self, row, path, error);
            json_decref(row);
            continue;
        }
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
    bool fresh = !resume || !file_exists(path);
    self->log = fopen(path, resume ? "a" : "w");
    if (!self->log) return errno == ENOMEM ? fail_memory(error) : fail(error, RUBATO_IO, "%s: cannot be written", path);
    return fresh ? log_line(self, log_header(self), error) : RUBATO_OK;
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

/* Where tokens leave: the parts of texts, and of their rows, in each layer that ran. */
static void take_rows(point *at, const rubato_evaluation *from) {
    for (size_t i = 0, ran = 0; i < at->layers; i++)
        if (!at->skip[i]) {
            at->present[i] = (float)fmin(from->alive[ran], 1);
            at->alive[i] = (float)fmin(from->rows[ran], 1);
            ran++;
        }
}

rubato_status judging_measure(judging *self, point *at, const dataset *data, rubato_evaluation **out,
                              rubato_costs **costs, rubato_error *error) {
    const rubato_text_options text = {.size = sizeof text, .max_length = self->max_length};
    const rubato_options running = {.size = sizeof running, .text = &text};
    const rubato_eval_options options = {
        .size = sizeof options, .task = self->task, .data = self->path, .run = &running};
    rubato_costs *own = NULL;
    self->context->force = at;
    rubato_status status = evaluate_loaded(self->context, &options, data, out, &own, error);
    self->context->force = NULL;
    if (status == RUBATO_OK && at->exit.rule && at->exit.by_token) take_rows(at, *out);
    if (status == RUBATO_OK && at->exit.rule && !at->exit.by_token) status = weigh_costs(self, at, own, error);
    if (status == RUBATO_OK && costs)
        *costs = own;
    else
        rubato_free(own);
    return status;
}

/* The quality at a point; sets the part of the texts that run in each layer of a point with exits. */
static rubato_status judge(judging *self, point *at, const dataset *data, double *quality, rubato_error *error) {
    rubato_evaluation *result;
    if (!self->reference) {
        TRY(judging_measure(self, at, data, &result, NULL, error));
        *quality = evaluation_main(result, self->metric, sizeof self->metric);
        rubato_free(result);
        return RUBATO_OK;
    }
    size_t first = data == &self->rest ? self->part.count : 0;
    rubato_costs *costs = NULL;
    size_t *labels = calloc(size_max(data->count, 1), sizeof *labels);
    rubato_status status =
        labels ? find_labels(self, at, data, labels, at->exit.rule ? &costs : NULL, error) : fail_memory(error);
    if (status == RUBATO_OK) *quality = agreement(self, first, labels, data->count);
    if (status == RUBATO_OK && at->exit.rule) status = weigh_costs(self, at, costs, error);
    rubato_free(costs);
    free(labels);
    return status;
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
    float *logits;                 /* [data.count][classes] */
    size_t *ran, *tokens, *labels; /* [data.count] each, one block */
} sweep;

/* The quality of a setting on the sample (`all`: on the whole data), and the part of the texts that run in each
 * layer. */
static rubato_status replay(judging *self, sweep *from, point *at, bool all, double *quality, rubato_error *error) {
    size_t part = from->part.count, count = all ? self->data.count : part, classes = from->part.classes;
    exit_trail_replay(&from->part, &at->exit, from->logits, from->ran);
    memcpy(from->tokens, from->part.tokens, part * sizeof *from->tokens);
    if (all) {
        exit_trail_replay(&from->rest, &at->exit, from->logits + part * classes, from->ran + part);
        memcpy(from->tokens + part, from->rest.tokens, from->rest.count * sizeof *from->tokens);
    }
    weigh(self, at, from->ran, from->tokens, count);
    if (self->reference) {
        for (size_t i = 0; i < count; i++) from->labels[i] = index_of_largest(from->logits + i * classes, classes);
        *quality = agreement(self, 0, from->labels, count);
        return RUBATO_OK;
    }
    const rubato_eval_options options = {.size = sizeof options, .task = self->task, .data = self->path};
    rubato_evaluation *result;
    TRY(evaluate_logits(self->context, &options, all ? &self->data : &self->part, from->logits, &result, error));
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
    from->ran = calloc(3 * self->data.count, sizeof *from->ran);
    if (!from->logits || !from->ran) return fail_memory(error);
    from->tokens = from->ran + self->data.count;
    from->labels = from->tokens + self->data.count;
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
    free(from.ran);
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
