/* rubato_search. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/order.h"
#include "base/text_buffer.h"
#include "search/exit_grid.h"
#include "search/genes.h"
#include "search/pareto.h"
#include "search/plot.h"
#include "task/engine.h"
#include "task/evaluate.h"

enum { GLIMPSE = 3, BASELINES = 12, MOST_LENGTHS = 400, LATENCIES = 60, PATIENCE = 200 };

typedef struct searching {
    const rubato_search_options *options;
    rubato_model *model;
    rubato_context *context;
    dataset data, part;            /* part: every third example, borrowed */
    size_t *lengths, length_count; /* of some of the windows */
    rubato_encoding **encodings;   /* [length_count] they themselves */
    bool by_ms;
    gene_space space;
    exit_setting exits[MOST_EXIT_SETTINGS];
    float widths[64];
    size_t merges;  /* in how many layers rows merged in training */
    char narrow[8]; /* name of the lower of two precisions */
    double lowest;
    candidate *all; /* everything evaluated */
    size_t count, capacity;
    candidate *frontier;
    size_t frontier_count;
    size_t evaluations, dropped;
    FILE *log;
    double begun_ms;
    char metric[32];
    bool stopped;
} searching;

/* ---- Cost ---- */

static double cost_of(const searching *s, const point *at) {
    const encoder *body = &s->model->body;
    double sum = 0, full = 0;
    for (size_t i = 0; i < s->length_count; i++) {
        size_t n = s->lengths[i];
        sum += s->by_ms ? cost_model_ms(s->context->times, at, &body->shape, n, 1) : engine_flops(s->model, at, n);
        full += s->by_ms ? cost_model_ms(s->context->times, NULL, &body->shape, n, 1) : encoder_flops(body, NULL, n);
    }
    return sum / full;
}

/* Lengths of an even sample of the data's windows. */
static rubato_status measure_lengths(searching *s, rubato_error *error) {
    size_t step = divide_up(s->data.count, MOST_LENGTHS);
    rubato_text_options text;
    rubato_options run_options = {.text = {.max_length = s->options->max_length}};
    TRY(engine_text_options(s->model, &run_options, &text, error));
    s->lengths = malloc((s->data.count / step + 1) * sizeof *s->lengths);
    s->encodings = calloc(s->data.count / step + 1, sizeof *s->encodings);
    if (!s->lengths || !s->encodings) return fail_memory(error);
    for (size_t i = 0; i < s->data.count; i += step) {
        const example *item = &s->data.items[i];
        text_buffer joined = {0};
        rubato_encoding *encoding;
        for (size_t j = 0; j < item->word_count; j++) text_add_format(&joined, "%s ", item->words[j]);
        rubato_input input = {.text = item->word_count ? joined.data : item->text, .pair = item->pair};
        rubato_status status = rubato_encode(s->model, &input, &text, &encoding, error);
        text_free(&joined);
        TRY(status);
        s->encodings[s->length_count] = encoding;
        s->lengths[s->length_count++] = size_max(encoding->windows[0].length, 1);
    }
    return RUBATO_OK;
}

/* ---- Quality ---- */

/* Quality at a point; of one with exits, what part of the texts runs in each layer is set besides. */
static rubato_status judge(searching *s, point *at, const dataset *data, double *quality, rubato_error *error) {
    rubato_eval_options options = {
        .task = s->options->task, .data = s->options->data, .run = {.text = {.max_length = s->options->max_length}}};
    rubato_evaluation result;
    s->context->force = at;
    rubato_status status = evaluate_loaded(s->context, &options, data, &result, error);
    s->context->force = NULL;
    if (status == RUBATO_OK) *quality = evaluation_main(&result, s->metric, sizeof s->metric);
    for (size_t i = 0, ran = 0; status == RUBATO_OK && at->exit.rule && i < at->layers; i++)
        if (!at->skip[i]) {
            at->present[i] = (float)fmin(result.alive[ran], 1);
            at->alive[i] = at->exit.by_token ? (float)fmin(result.rows[ran], 1) : at->present[i];
            ran++;
        }
    return status;
}

/* ---- What was evaluated, on disk ---- */

static void log_candidate(searching *s, const candidate *c) {
    if (!s->log) return;
    json_t *row = point_object(&c->gene, s->narrow);
    json_object_set_new(row, "glimpse", json_real(c->glimpse));
    json_object_set_new(row, "quality", isnan(c->quality) ? json_null() : json_real(c->quality));
    json_dumpf(row, s->log, JSON_COMPACT);
    json_decref(row);
    fputc('\n', s->log);
    fflush(s->log);
}

static rubato_status push(searching *s, candidate made, rubato_error *error) {
    if (s->count == s->capacity) {
        size_t capacity = s->capacity * 2 + 256;
        candidate *grown = realloc(s->all, capacity * sizeof *grown);
        if (!grown) return fail_memory(error);
        s->all = grown;
        s->capacity = capacity;
    }
    s->all[s->count++] = made;
    return RUBATO_OK;
}

/* Earlier evaluations: at the end of `all`, with a NULL family until they are asked for. */
static rubato_status read_log(searching *s, const char *path, rubato_error *error) {
    char *text;
    size_t size, layers = s->model->body.depth;
    if (!file_exists(path)) return RUBATO_OK;
    TRY(file_read(&text, &size, path, (size_t)1 << 30, error));
    rubato_status status = RUBATO_OK;
    for (char *line = text, *next; *line && status == RUBATO_OK; line = next) {
        size_t length = strcspn(line, "\n");
        next = line + length + (line[length] != 0);
        if (!line[length]) break; /* cut short by a stop */
        json_t *row;
        status = json_read_bytes(&row, line, length, path, error);
        if (status != RUBATO_OK) break;
        candidate made = {.glimpse = json_number_value(json_object_get(row, "glimpse"))};
        status = point_read(&made.gene, row, layers, error);
        made.quality = made.gene.quality;
        if (status == RUBATO_OK) status = push(s, made, error);
        json_decref(row);
    }
    free(text);
    return status;
}

static candidate *find(searching *s, const point *gene) {
    for (size_t i = 0; i < s->count; i++)
        if (gene_equal(&s->all[i].gene, gene)) return &s->all[i];
    return NULL;
}

/* ---- Evaluating ---- */

static rubato_status refresh_frontier(searching *s, rubato_error *error) {
    candidate *copy = malloc((s->count + 1) * sizeof *copy);
    if (!copy) return fail_memory(error);
    size_t known = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i].family) copy[known++] = s->all[i];
    free(s->frontier);
    s->frontier = copy;
    s->frontier_count = pareto_reduce(copy, known);
    return RUBATO_OK;
}

/* Evaluates a candidate. A glimpse at a third of the data drops what is clearly below something as cheap: by more than
 * the glimpse's standard error, where both saw the same examples. `whole`: no dropping. */
static rubato_status evaluate(searching *s, const point *gene, const char *group, bool whole, rubato_error *error) {
    candidate made = {.gene = *gene, .glimpse = NAN, .quality = NAN, .family = group};
    candidate *known = find(s, gene);
    if (known) {
        made.glimpse = known->glimpse;
        made.quality = known->quality;
        made.gene = known->gene;
        made.cost = cost_of(s, &made.gene);
        if (!known->family && (!whole || !isnan(made.quality))) {
            *known = made;
            return refresh_frontier(s, error);
        }
        if (!isnan(made.quality) || !whole) return RUBATO_OK;
    }
    if (isnan(made.glimpse)) TRY(judge(s, &made.gene, &s->part, &made.glimpse, error));
    made.cost = cost_of(s, &made.gene); /* with exits known only now */
    double rival = pareto_best(s->frontier, s->frontier_count, made.cost, true), q = made.glimpse;
    double margin = sqrt(fmax(q * (1 - q), 0.01) / (double)size_max(s->part.count, 1));
    s->evaluations++;
    if (whole || q >= rival - margin)
        TRY(judge(s, &made.gene, &s->data, &made.quality, error));
    else
        s->dropped++;
    made.cost = cost_of(s, &made.gene);
    log_candidate(s, &made);
    if (known)
        *known = made;
    else
        TRY(push(s, made, error));
    return refresh_frontier(s, error);
}

static bool report(searching *s, size_t iteration, size_t iterations) {
    rubato_search_progress progress = {.iteration = iteration,
                                       .iterations = iterations,
                                       .evaluations = s->evaluations,
                                       .dropped = s->dropped,
                                       .frontier = s->frontier_count,
                                       .area = pareto_area(s->frontier, s->frontier_count),
                                       .seconds = (clock_ms() - s->begun_ms) / 1e3};
    if (s->options->progress && s->options->progress(s->options->progress_user, &progress)) s->stopped = true;
    return !s->stopped;
}

/* The constant drop whose cost is the wanted one, by bisection. */
static point constant_of_cost(const searching *s, double wanted) {
    double low = 0, high = 0.95;
    for (int i = 0; i < 40; i++) {
        double middle = (low + high) / 2;
        point at = gene_constant(s->model->body.depth, middle);
        if (cost_of(s, &at) > wanted)
            low = middle;
        else
            high = middle;
    }
    return gene_constant(s->model->body.depth, high);
}

/* The points that the model has already: an earlier search's. */
static rubato_status earlier_points(searching *s, rubato_error *error) {
    const frontier *points = &s->model->points;
    for (size_t i = 0; i < points->count && !s->stopped; i++) {
        TRY(evaluate(s, &points->points[i], "search", false, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* All that is known so far, in the lower of two precisions. */
static rubato_status lower_precision(searching *s, rubato_error *error) {
    size_t known = s->space.precision ? s->count : 0;
    for (size_t i = 0; i < known && !s->stopped; i++) {
        point at = s->all[i].gene;
        if (at.narrow) continue;
        at.narrow = true;
        if (!find(s, &at)) TRY(evaluate(s, &at, "search", false, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* Layers all as narrow as each other. */
static rubato_status narrow_down(searching *s, rubato_error *error) {
    point at = point_full(s->model->body.depth);
    for (size_t i = 0; i < s->space.width_count && !s->stopped; i++) {
        if (s->widths[i] >= 1) continue;
        for (size_t j = 0; j < at.layers; j++) at.heads[j] = at.neurons[j] = s->widths[i];
        TRY(evaluate(s, &at, "narrow", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* Rows merge in some layers, evenly spread. */
static rubato_status merge_blocks(searching *s, rubato_error *error) {
    size_t layers = s->model->body.depth;
    for (size_t count = 1; s->space.merges && count < layers && count <= s->merges && !s->stopped; count++) {
        point at = point_full(layers);
        point_merge_evenly(&at, count);
        TRY(evaluate(s, &at, "merged", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* Whether an axis is among those asked for; without such a wish all are. */
static bool asked(const rubato_search_options *options, const char *axis) {
    size_t length = strlen(axis);
    for (const char *at = options->axes; at && (at = strstr(at, axis)); at += length)
        if ((at == options->axes || at[-1] == ',') && (!at[length] || at[length] == ',')) return true;
    return !options->axes;
}

static rubato_status check_axes(const rubato_search_options *options, rubato_error *error) {
    static const char *const known[] = {"lengths", "merges", "depth", "widths", "exits", "precision"};
    for (const char *at = options->axes; at && *at;) {
        size_t length = strcspn(at, ","), i = 0;
        while (i < sizeof known / sizeof *known && (strlen(known[i]) != length || strncmp(known[i], at, length) != 0))
            i++;
        if (i == sizeof known / sizeof *known)
            return fail(error, RUBATO_BAD_ARGUMENT,
                        "axes \"%.60s\": known are lengths, merges, depth, widths, exits and precision", options->axes);
        at += length + (at[length] == ',');
    }
    return RUBATO_OK;
}

/* The widths from the least that was trained on, a head at a time. */
static rubato_status read_widths(searching *s, const json_t *notes, rubato_error *error) {
    const json_t *list = json_object_get(json_object_get(notes, "training"), "widths");
    double least = json_number_value(json_array_get(list, json_array_size(list) - 1));
    size_t heads = s->model->body.config.heads, first = (size_t)ceil(least * (double)heads - 1e-6);
    if (json_array_size(list) < 2 || first == 0 || !asked(s->options, "widths")) return RUBATO_OK;
    TRY(encoder_allow_slim(&s->model->body, &s->model->packed, error));
    for (size_t i = heads; i >= first && i > 0 && s->space.width_count < 64; i--)
        s->widths[s->space.width_count++] = (float)i / (float)heads;
    s->space.widths = s->widths;
    return RUBATO_OK;
}

/* Settings of the exits, on the full model. */
static rubato_status leave_early(searching *s, rubato_error *error) {
    exit_setting fixed[MOST_EXIT_SETTINGS];
    point at = point_full(s->model->body.depth);
    if (s->space.exit_count == 0) return RUBATO_OK;
    size_t count = exit_grid_fixed(&s->model->exits, fixed);
    for (size_t i = 0; i < count && !s->stopped; i++) {
        at.exit = fixed[i];
        TRY(evaluate(s, &at, "fixed", true, error));
        report(s, 0, s->options->iterations);
    }
    for (size_t i = 0; i < s->space.exit_count && !s->stopped; i++) {
        at.exit = s->exits[i];
        TRY(evaluate(s, &at, "exits", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

static rubato_status baselines(searching *s, rubato_error *error) {
    size_t layers = s->model->body.depth;
    point full = point_full(layers);
    TRY(evaluate(s, &full, "full", true, error));
    for (size_t i = 0; s->space.lengths && i < BASELINES && !s->stopped; i++) {
        point at = constant_of_cost(s, s->lowest + (1 - s->lowest) * (double)i / BASELINES);
        TRY(evaluate(s, &at, "uniform", true, error));
        report(s, 0, s->options->iterations);
    }
    for (size_t depth = 1; s->space.depth && depth < layers && !s->stopped; depth++) {
        point at = gene_shallow(layers, depth);
        if (cost_of(s, &at) < s->lowest * 0.9) continue;
        TRY(evaluate(s, &at, "shallow", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* A new candidate within the bounds that was not seen in this run, or false after many tries. */
static bool breed(searching *s, bool cross, uint64_t *state, point *out) {
    for (int tries = 0; tries < PATIENCE; tries++) {
        const candidate *a = &s->frontier[random_below(state, s->frontier_count)];
        const candidate *b = &s->frontier[random_below(state, s->frontier_count)];
        if (cross && a == b) continue;
        *out = cross ? gene_cross(&a->gene, &b->gene, state) : gene_mutate(&a->gene, &s->space, state);
        const candidate *known = find(s, out);
        double cost = cost_of(s, out); /* with exits at most */
        if (gene_equal(out, &a->gene)) continue;
        if ((!known || !known->family) && cost >= s->lowest && cost < 1) return true;
    }
    return false;
}

static rubato_status evolve(searching *s, rubato_error *error) {
    size_t iterations = s->options->iterations ? s->options->iterations : 15;
    size_t mutations = s->options->mutations ? s->options->mutations : 20;
    size_t crossovers = s->options->crossovers ? s->options->crossovers : 20;
    uint64_t state = random_hash(s->options->seed + 77);
    for (size_t iteration = 1; iteration <= iterations && !s->stopped; iteration++)
        for (size_t i = 0; i < mutations + crossovers && !s->stopped; i++) {
            point gene;
            bool cross = i >= mutations && s->frontier_count > 1;
            if (!breed(s, cross, &state, &gene)) continue;
            TRY(evaluate(s, &gene, "search", false, error));
            report(s, iteration, iterations);
        }
    return RUBATO_OK;
}

/* ---- Results ---- */

/* Milliseconds of one text at a time, the mean over a sample of the data's lengths, each the median of three. */
static rubato_status measure_latency(searching *s, const point *at, double *ms, rubato_error *error) {
    size_t step = divide_up(s->length_count, LATENCIES), counted = 0;
    rubato_status status = RUBATO_OK;
    *ms = 0;
    for (size_t i = 0; i < s->length_count && status == RUBATO_OK; i += step, counted++) {
        double times[4];
        for (int j = 0; j < 4 && status == RUBATO_OK; j++) {
            unit one = {&s->encodings[i]->windows[0], 0, 0, at};
            job work = {.count = 1, .head = engine_main_head(s->model)};
            double begin = clock_ms();
            status = engine_run_units(s->context, &work, &one, 1, error);
            times[j] = clock_ms() - begin;
        }
        *ms += median(times + 1, 3); /* the first one warms up */
    }
    *ms /= (double)size_max(counted, 1);
    return status;
}

static void name_points(frontier *all) {
    for (size_t i = 0; i < all->count; i++) {
        point *p = &all->points[i];
        snprintf(p->name, sizeof p->name, "%.2fx%s%s", p->flops_ratio, p->narrow ? "-" : "",
                 p->narrow ? all->narrow : "");
        size_t same = 0;
        for (size_t j = 0; j < i; j++) same += strncmp(all->points[j].name, p->name, strlen(p->name)) == 0;
        size_t end = strlen(p->name);
        if (same) snprintf(p->name + end, sizeof p->name - end, "-%zu", same + 1);
    }
}

static double flops_of(const searching *s, const point *at) {
    double sum = 0, full = 0;
    for (size_t i = 0; i < s->length_count; i++) {
        sum += engine_flops(s->model, at, s->lengths[i]);
        full += engine_flops(s->model, NULL, s->lengths[i]);
    }
    return sum / full;
}

static rubato_status write_results(searching *s, const char *out, const json_t *notes, rubato_error *error) {
    frontier *points = &s->model->points, made = {.by = points->by, .full = NAN};
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i].family && strcmp(s->all[i].family, "full") == 0) made.full = s->all[i].quality;
    made.points = calloc(s->frontier_count + 1, sizeof *made.points);
    if (!made.points) return fail_memory(error);
    snprintf(made.metric, sizeof made.metric, "%s", s->metric);
    snprintf(made.narrow, sizeof made.narrow, "%s", s->narrow);
    point full = point_full(s->model->body.depth);
    rubato_status status = measure_latency(s, &full, &made.full_ms, error);
    for (size_t i = 0; i < s->frontier_count && status == RUBATO_OK; i++) {
        point *p = &made.points[made.count];
        *p = s->frontier[i].gene;
        if (point_is_full(p) && !p->narrow) continue;
        p->quality = s->frontier[i].quality;
        p->flops_ratio = flops_of(s, p);
        status = measure_latency(s, p, &p->ms, error);
        made.count++;
    }
    name_points(&made);
    frontier_free(points);
    *points = made;
    TRY(status);
    TRY(folder_create(out, error));
    TRY(model_save_points(points, notes, out, error));
    return plot_write(out, s->all, s->count, s->frontier, s->frontier_count, s->metric, s->by_ms, s->options->task,
                      error);
}

/* ---- All together ---- */

static rubato_status prepare(searching *s, json_t **notes, rubato_error *error) {
    const rubato_search_options *options = s->options;
    dataset_kind kind;
    if (!options->model || !options->task || !options->data)
        return fail(error, RUBATO_BAD_ARGUMENT, "a model, a task and data are needed");
    if (options->cost && strcmp(options->cost, "flops") != 0 && strcmp(options->cost, "ms") != 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "cost \"%.40s\": use flops or ms", options->cost);
    TRY(evaluate_kind(options->task, &kind, error));
    TRY(check_axes(options, error));
    rubato_load_options load = {.precision = options->precision};
    TRY(rubato_model_load_with(&s->model, options->model, &load, error));
    if (s->model->body.depth > POINT_LAYERS)
        return fail(error, RUBATO_UNSUPPORTED, "%zu layers; at most %d are searched", s->model->body.depth,
                    POINT_LAYERS);
    if (s->model->body.shape.merges)
        return fail(error, RUBATO_UNSUPPORTED, "%s: rows of this model merge by themselves; there is nothing to search",
                    options->model);
    rubato_context_options context = {.threads = options->threads, .isa = options->isa};
    TRY(rubato_context_create(&s->context, s->model, &context, error));
    s->by_ms = options->cost && strcmp(options->cost, "ms") == 0;
    if (s->by_ms) TRY(rubato_calibration_load(s->context, error));
    s->space.lengths = asked(options, "lengths");
    s->space.precision = s->by_ms && encoder_has_both(&s->model->body) && asked(options, "precision");
    if (encoder_has_both(&s->model->body))
        snprintf(s->narrow, sizeof s->narrow, "%s", precision_name(s->model->body.layers[0].up.precision));
    s->space.exits = s->exits;
    if (s->model->exits.kind != EXIT_NONE && asked(options, "exits"))
        s->space.exit_count = exit_grid(&s->model->exits, s->exits);
    TRY(dataset_read(&s->data, options->data, kind, options->columns, options->limit, error));
    if (s->data.count < GLIMPSE) return fail(error, RUBATO_BAD_DATA, "%s: too few examples", options->data);
    s->part.items = malloc(s->data.count * sizeof *s->part.items);
    if (!s->part.items) return fail_memory(error);
    for (size_t i = 0; i < s->data.count; i += GLIMPSE) s->part.items[s->part.count++] = s->data.items[i];
    TRY(measure_lengths(s, error));
    TRY(model_read_notes(notes, s->model->path, error));
    TRY(read_widths(s, *notes, error));
    double layer_drop = json_number_value(json_object_get(json_object_get(*notes, "training"), "layer_drop"));
    s->merges = (size_t)json_integer_value(json_object_get(json_object_get(*notes, "training"), "merges"));
    s->space.merges = s->merges > 0 && asked(options, "merges");
    s->space.depth = (options->depth ? options->depth > 0 : layer_drop > 0) && asked(options, "depth");
    s->lowest = options->lowest > 0 ? options->lowest : 0.15;
    return RUBATO_OK;
}

static rubato_status search(searching *s, json_t **notes, rubato_error *error) {
    char path[4200];
    TRY(prepare(s, notes, error));
    const char *out = s->options->out ? s->options->out : s->model->path;
    TRY(folder_create(out, error));
    snprintf(path, sizeof path, "%s/search.jsonl", out);
    if (s->options->resume) TRY(read_log(s, path, error));
    s->log = fopen(path, s->options->resume ? "a" : "w");
    if (!s->log) return fail(error, RUBATO_IO, "%s: cannot be written", path);
    TRY(baselines(s, error));
    TRY(leave_early(s, error));
    TRY(narrow_down(s, error));
    TRY(merge_blocks(s, error));
    TRY(earlier_points(s, error));
    TRY(lower_precision(s, error));
    TRY(evolve(s, error));
    return write_results(s, out, *notes, error);
}

rubato_status rubato_search(const rubato_search_options *options, rubato_search_result *result, rubato_error *error) {
    searching s = {.options = options, .begun_ms = clock_ms()};
    json_t *notes = NULL;
    *result = (rubato_search_result){0};
    rubato_status status = search(&s, &notes, error);
    if (status == RUBATO_OK) {
        *result = (rubato_search_result){.points = s.model->points.count,
                                         .evaluations = s.evaluations,
                                         .dropped = s.dropped,
                                         .full_quality = s.count ? s.all[0].quality : NAN,
                                         .area = pareto_area(s.frontier, s.frontier_count),
                                         .seconds = (clock_ms() - s.begun_ms) / 1e3,
                                         .stopped = s.stopped};
        for (size_t i = 0; i < s.count; i++)
            if (s.all[i].family && strcmp(s.all[i].family, "full") == 0) result->full_quality = s.all[i].quality;
        snprintf(result->metric, sizeof result->metric, "%s", s.metric);
    }
    if (s.log) fclose(s.log);
    json_decref(notes);
    free(s.part.items);
    dataset_free(&s.data);
    for (size_t i = 0; i < s.length_count; i++) rubato_encoding_destroy(s.encodings[i]);
    free(s.encodings);
    free(s.lengths);
    free(s.all);
    free(s.frontier);
    rubato_context_destroy(s.context);
    rubato_model_destroy(s.model);
    return status;
}

size_t rubato_point_count(const rubato_model *model) {
    return model->points.count;
}

rubato_point rubato_model_point(const rubato_model *model, size_t index) {
    const point *p = &model->points.points[index];
    return (rubato_point){p->name, p->quality, p->flops_ratio, p->ms, point_depth(p), p->keep};
}
