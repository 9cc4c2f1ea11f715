/* rubato_search. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/order.h"
#include "base/text_buffer.h"
#include "search/exit_grid.h"
#include "search/genes.h"
#include "search/judging.h"
#include "search/plot.h"
#include "search/telling.h"
#include "task/exit_trail.h"
#include "task/folder.h"
#include "task/job.h"
#include "task/save.h"

/* Points are timed on LEAST_TIMED to MOST_TIMED texts, so that the full model takes about TIMING_MS; slow models use
 * fewer texts. */
enum { BASELINES = 12, MOST_TIMED = 60, LEAST_TIMED = 16, TIMING_MS = 3000, PATIENCE = 200 };

/* Neighbouring points of a frontier differ by at least this part of their cost. */
static const double LEAST_STEP = 0.04;

typedef struct searching {
    const rubato_search_options *options;
    judging judge;
    gene_space space;
    exit_setting exits[2 * MOST_EXIT_SETTINGS];
    float widths[64];
    size_t merges; /* the number of layers in which rows merged in training */
    double begun_ms;
    size_t timed;            /* points that were told at the end */
    double full, full_error; /* quality of the full model */
    size_t held_out;
    bool stopped;
    int lock; /* of the output folder */
} searching;

static rubato_status evaluate(searching *s, const point *at, const char *group, bool whole, rubato_error *error) {
    return judging_evaluate(&s->judge, at, group, whole, error);
}

static bool report(searching *s, size_t iteration, size_t iterations) {
    rubato_search_progress progress = {.iteration = iteration,
                                       .iterations = iterations,
                                       .evaluations = s->judge.evaluations,
                                       .dropped = s->judge.dropped,
                                       .frontier = s->judge.frontier_count,
                                       .area = pareto_area(s->judge.frontier, s->judge.frontier_count),
                                       .seconds = (clock_ms() - s->begun_ms) / 1e3,
                                       .timed = s->timed};
    if (s->options->progress && s->options->progress(s->options->progress_user, &progress)) s->stopped = true;
    return !s->stopped;
}

/* The constant drop with the wanted cost, found by bisection. */
static point constant_of_cost(const searching *s, double wanted) {
    double low = 0, high = 0.95;
    for (int i = 0; i < 40; i++) {
        double middle = (low + high) / 2;
        point at = gene_constant(s->judge.model->body.depth, middle);
        if (judging_cost(&s->judge, &at) > wanted)
            low = middle;
        else
            high = middle;
    }
    return gene_constant(s->judge.model->body.depth, high);
}

/* The points that the model has from an earlier search. */
static rubato_status earlier_points(searching *s, rubato_error *error) {
    const frontier *points = &s->judge.model->points;
    for (size_t i = 0; i < points->count && !s->stopped; i++) {
        TRY(evaluate(s, &points->points[i], "search", false, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* All candidates so far, in the low precision of a model with two. */
static rubato_status lower_precision(searching *s, rubato_error *error) {
    size_t known = s->space.precision ? s->judge.count : 0;
    for (size_t i = 0; i < known && !s->stopped; i++) {
        point at = s->judge.all[i].gene;
        if (at.low || (s->judge.setting_count && at.exit.rule)) continue;
        at.low = true;
        if (!judging_find(&s->judge, &at)) TRY(evaluate(s, &at, "search", false, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* All layers at the same reduced width. */
static rubato_status narrow_down(searching *s, rubato_error *error) {
    point at = point_full(s->judge.model->body.depth);
    for (size_t i = 0; i < s->space.width_count && !s->stopped; i++) {
        if (s->widths[i] >= 1) continue;
        for (size_t j = 0; j < at.layers; j++) at.heads[j] = at.neurons[j] = s->widths[i];
        TRY(evaluate(s, &at, "narrow", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* All memories with half of their heads, and without memories. */
static rubato_status forget(searching *s, rubato_error *error) {
    static const float parts[] = {0.5f, 0};
    for (size_t i = 0; s->space.memories && i < 2 && !s->stopped; i++) {
        point at = point_full(s->judge.model->body.depth);
        for (size_t j = 0; j < at.layers && j < 64; j++)
            if (s->space.memories >> j & 1) at.memory[j] = parts[i];
        TRY(evaluate(s, &at, "search", false, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* Rows merge in some layers, evenly spread. */
static rubato_status merge_blocks(searching *s, rubato_error *error) {
    size_t layers = s->judge.model->body.depth;
    for (size_t count = 1; s->space.merges && count < layers && count <= s->merges && !s->stopped; count++) {
        point at = point_full(layers);
        point_merge_evenly(&at, count);
        TRY(evaluate(s, &at, "merged", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* Whether an axis is among those of the options; without an option all axes are. */
static bool asked(const rubato_search_options *options, const char *axis) {
    size_t length = strlen(axis);
    for (const char *at = options->axes; at && (at = strstr(at, axis)); at += length)
        if ((at == options->axes || at[-1] == ',') && (!at[length] || at[length] == ',')) return true;
    return !options->axes;
}

static rubato_status check_axes(const rubato_search_options *options, rubato_error *error) {
    static const char *const known[] = {"lengths", "merges", "depth", "widths", "exits", "precision", "memory"};
    for (const char *at = options->axes; at && *at;) {
        size_t length = strcspn(at, ","), i = 0;
        while (i < sizeof known / sizeof *known && (strlen(known[i]) != length || strncmp(known[i], at, length) != 0))
            i++;
        if (i == sizeof known / sizeof *known)
            return fail(error, RUBATO_BAD_ARGUMENT,
                        "axes \"%.60s\": known are lengths, merges, depth, widths, exits, precision and memory",
                        options->axes);
        at += length + (at[length] == ',');
    }
    return RUBATO_OK;
}

/* The widths from the smallest trained one, in steps of one head. */
static rubato_status read_widths(searching *s, const json_t *notes, rubato_error *error) {
    const json_t *list = json_object_get(json_object_get(notes, "training"), "widths");
    double least = json_number_value(json_array_get(list, json_array_size(list) - 1));
    size_t heads = s->judge.model->body.config.heads, first = (size_t)ceil(least * (double)heads - 1e-6);
    if (json_array_size(list) < 2 || first == 0 || !asked(s->options, "widths")) return RUBATO_OK;
    TRY(encoder_allow_narrow(&s->judge.model->body, &s->judge.model->packed, error));
    for (size_t i = heads; i >= first && i > 0 && s->space.width_count < 64; i--)
        s->widths[s->space.width_count++] = (float)i / (float)heads;
    s->space.widths = s->widths;
    return RUBATO_OK;
}

/* One pass gives the results of every setting: candidates have none, and each is judged with all. */
static void judge_all_exits(searching *s) {
    const exits *from = &s->judge.model->exits;
    s->judge.settings = s->exits;
    s->judge.setting_count = s->space.exit_count;
    if (from->rule.rule != &exit_fixed) s->judge.setting_count += exit_grid_fixed(from, s->exits + s->space.exit_count);
    s->space.exit_count = 0;
}

/* Tries the exit settings on the full model, where candidates are not judged with all of them anyway. */
static rubato_status leave_early(searching *s, rubato_error *error) {
    exit_setting fixed[MOST_EXIT_SETTINGS];
    point at = point_full(s->judge.model->body.depth);
    if (s->space.exit_count == 0) return RUBATO_OK;
    size_t count = exit_grid_fixed(&s->judge.model->exits, fixed);
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
    size_t layers = s->judge.model->body.depth;
    point full = point_full(layers);
    TRY(evaluate(s, &full, "full", true, error));
    for (size_t i = 0; s->space.lengths && i < BASELINES && !s->stopped; i++) {
        point at = constant_of_cost(s, s->judge.lowest + (1 - s->judge.lowest) * (double)i / BASELINES);
        TRY(evaluate(s, &at, "uniform", true, error));
        report(s, 0, s->options->iterations);
    }
    for (size_t depth = 1; s->space.depth && depth < layers && !s->stopped; depth++) {
        point at = gene_shallow(layers, depth);
        if (judging_cost(&s->judge, &at) < s->judge.lowest * 0.9) continue;
        TRY(evaluate(s, &at, "shallow", true, error));
        report(s, 0, s->options->iterations);
    }
    return RUBATO_OK;
}

/* Chooses a parent: draws a cost between the cheapest and the full, evenly on a logarithmic scale, and takes the
 * nearest point of the frontier. */
static const candidate *parent(const searching *s, uint64_t *state) {
    const candidate *from = s->judge.frontier;
    size_t count = s->judge.frontier_count, at = 0;
    double wanted = from[0].cost * pow(from[count - 1].cost / from[0].cost, random_real(state));
    while (at + 1 < count && wanted > sqrt(from[at].cost * from[at + 1].cost)) at++;
    return &from[at];
}

/* A new candidate within the bounds that this run has not seen, or false after many tries. */
static bool breed(searching *s, bool cross, uint64_t *state, point *out) {
    for (int tries = 0; tries < PATIENCE; tries++) {
        const candidate *a = parent(s, state), *b = parent(s, state);
        if (cross && a == b) continue;
        *out = cross ? gene_cross(&a->gene, &b->gene, state) : gene_mutate(&a->gene, &s->space, state);
        if (s->judge.setting_count) *out = gene_without_exit(out);
        const candidate *known = judging_find(&s->judge, out);
        if (gene_equal(out, &a->gene) || (known && known->family)) continue;
        double cost = judging_cost(&s->judge, out); /* an upper bound for a candidate with exits */
        if (cost >= s->judge.lowest && cost < 1) return true;
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
            bool cross = i >= mutations && s->judge.frontier_count > 1;
            if (!breed(s, cross, &state, &gene)) continue;
            TRY(evaluate(s, &gene, "search", false, error));
            report(s, iteration, iterations);
        }
    return RUBATO_OK;
}

/* ---- Results ---- */

/* The milliseconds of one text at a time: the mean over `texts` texts of the data, each the median of three runs. */
static rubato_status measure_latency(searching *s, const point *at, size_t texts, double *ms, rubato_error *error) {
    rubato_status status = RUBATO_OK;
    *ms = 0;
    for (size_t i = 0; i < texts && status == RUBATO_OK; i++) {
        double times[4];
        for (int j = 0; j < 4 && status == RUBATO_OK; j++) {
            unit one = {&s->judge.encodings[i * s->judge.length_count / texts]->windows[0], 0, 0, at};
            job work = {.count = 1, .head = engine_main_head(s->judge.model)};
            double begin = clock_ms();
            status = engine_run_units(s->judge.context, &work, &one, 1, error);
            times[j] = clock_ms() - begin;
        }
        *ms += median(times + 1, 3) / (double)texts; /* the first run warms up */
    }
    return status;
}

/* The full model's milliseconds, and the number of texts with which points are timed. */
static rubato_status measure_full(searching *s, double *ms, size_t *texts, rubato_error *error) {
    point full = point_full(s->judge.model->body.depth);
    size_t all = s->judge.length_count;
    TRY(measure_latency(s, &full, size_min(all, 4), ms, error));
    *texts = size_min(all, size_max(LEAST_TIMED, size_min(MOST_TIMED, (size_t)(TIMING_MS / (4 * fmax(*ms, 0.01))))));
    return measure_latency(s, &full, *texts, ms, error);
}

static void name_points(frontier *all) {
    for (size_t i = 0; i < all->count; i++) {
        point *p = &all->points[i];
        snprintf(p->name, sizeof p->name, "%.2fx%s%s", p->flops_ratio, p->low ? "-" : "", p->low ? all->low : "");
        size_t same = 0;
        for (size_t j = 0; j < i; j++) same += strncmp(all->points[j].name, p->name, strlen(p->name)) == 0;
        size_t end = strlen(p->name);
        if (same) snprintf(p->name + end, sizeof p->name - end, "-%zu", same + 1);
    }
}

static bool told(void *user) {
    searching *s = user;
    s->timed++;
    report(s, s->options->iterations, s->options->iterations);
    return true; /* a search that is stopped still says what its points are worth */
}

static rubato_status time_points(searching *s, frontier *made, rubato_error *error) {
    size_t texts;
    TRY(measure_full(s, &made->full_ms, &texts, error));
    for (size_t i = 0; i < made->count; i++)
        TRY(measure_latency(s, &made->points[i], texts, &made->points[i].ms, error));
    return RUBATO_OK;
}

/* For the plot: what is known of a candidate is its agreement with the full model. The loss of quality goes with it;
 * the told points say how much. */
static void estimate_qualities(searching *s, const frontier *made) {
    judging *judge = &s->judge;
    double products = 0, squares = 0;
    if (!judge->reference) return;
    for (size_t i = 0; i < judge->frontier_count; i++)
        for (size_t j = 0; j < made->count; j++) {
            if (!gene_equal(&judge->frontier[i].gene, &made->points[j])) continue;
            double apart = 1 - judge->frontier[i].quality;
            products += apart * (made->full - made->points[j].quality);
            squares += apart * apart;
        }
    double slope = squares > 0 ? products / squares : 1;
    for (size_t i = 0; i < judge->count; i++) judge->all[i].quality = made->full - slope * (1 - judge->all[i].quality);
}

static rubato_status plot(searching *s, const frontier *made, const char *out, rubato_error *error) {
    judging *judge = &s->judge;
    candidate *points = calloc(made->count + 1, sizeof *points);
    if (!points) return fail_memory(error);
    for (size_t i = 0; i < made->count; i++)
        points[i] =
            (candidate){.gene = made->points[i],
                        .cost = judge->by_ms ? judging_cost(judge, &made->points[i]) : made->points[i].flops_ratio,
                        .quality = made->points[i].quality,
                        .family = "search"};
    estimate_qualities(s, made);
    const plot_text text = {.task = s->options->task,
                            .metric = judge->metric,
                            .data = s->options->holdout ? s->options->holdout : s->options->data,
                            .held_out = made->held_out,
                            .by_ms = judge->by_ms};
    const plot_points what = {.full = made->full,
                              .full_error = made->full_error,
                              .all = judge->all,
                              .count = judge->count,
                              .frontier = points,
                              .frontier_count = made->count};
    rubato_status status = plot_write(out, &text, &what, error);
    free(points);
    return status;
}

static rubato_status write_results(searching *s, const char *out, const json_t *notes, rubato_error *error) {
    frontier *points = &s->judge.model->points, made = {.by = points->by};
    s->judge.frontier_count = pareto_thin(s->judge.frontier, s->judge.frontier_count, LEAST_STEP);
    made.points = calloc(s->judge.frontier_count + 1, sizeof *made.points);
    if (!made.points) return fail_memory(error);
    snprintf(made.low, sizeof made.low, "%s", s->judge.low);
    rubato_status status = tell_frontier(&s->judge, s->judge.frontier, s->judge.frontier_count, &made, told, s, error);
    snprintf(made.metric, sizeof made.metric, "%s", s->judge.metric);
    if (status == RUBATO_OK) status = time_points(s, &made, error);
    name_points(&made);
    s->full = made.full;
    s->full_error = made.full_error;
    s->held_out = made.held_out;
    frontier_free(points);
    *points = made;
    TRY(status);
    TRY(folder_create(out, error));
    TRY(model_save_points(points, notes, out, error));
    return plot(s, points, out, error);
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
    rubato_load_options load = {.size = sizeof load, .precision = options->precision, .in_memory = 1};
    TRY(rubato_model_load_with(&s->judge.model, options->model, &load, error));
    if (s->judge.model->body.depth > POINT_LAYERS)
        return fail(error, RUBATO_UNSUPPORTED, "%zu layers; at most %d are searched", s->judge.model->body.depth,
                    POINT_LAYERS);
    if (s->judge.model->body.shape.merges)
        return fail(error, RUBATO_UNSUPPORTED, "%s: rows of this model merge by themselves; there is nothing to search",
                    options->model);
    rubato_context_options context = {.size = sizeof context, .threads = options->threads, .isa = options->isa};
    TRY(rubato_context_create(&s->judge.context, s->judge.model, &context, error));
    s->judge.by_ms = options->cost && strcmp(options->cost, "ms") == 0;
    if (s->judge.by_ms) {
        rubato_calibration *calibration;
        TRY(rubato_calibration_load(s->judge.context, &calibration, error));
        rubato_status given = rubato_context_set_calibration(s->judge.context, calibration, error);
        rubato_calibration_destroy(calibration);
        TRY(given);
    }
    /* rows leave by the attention that they received, unless the model was trained with another choice */
    const significance by = s->judge.model->points.by;
    const bool chooses =
        (by != SIGNIFICANCE_RECEIVED && by != SIGNIFICANCE_OTHERS) || !encoder_untelling(&s->judge.model->body);
    s->space.lengths = chooses && asked(options, "lengths");
    s->space.precision = s->judge.by_ms && encoder_has_both(&s->judge.model->body) && asked(options, "precision");
    if (encoder_has_both(&s->judge.model->body))
        snprintf(s->judge.low, sizeof s->judge.low, "%s",
                 precision_name(layer_precision(&s->judge.model->body.layers[0], NULL)));
    s->space.exits = s->exits;
    if (s->judge.model->exits.kind != EXIT_NONE && asked(options, "exits"))
        s->space.exit_count = exit_grid(&s->judge.model->exits, s->exits);
    s->judge.task = options->task;
    s->judge.path = options->data;
    s->judge.max_length = options->max_length;
    if (s->space.exit_count && exit_trail_suits(&s->judge.model->exits)) judge_all_exits(s);
    TRY(judging_begin(&s->judge, kind, options, error));
    TRY(model_read_notes(notes, s->judge.model->path, error));
    bool leaves = s->space.exit_count || s->judge.setting_count;
    TRY(read_widths(s, *notes, error));
    double layer_drop = json_number_value(json_object_get(json_object_get(*notes, "training"), "layer_drop"));
    s->merges = (size_t)json_integer_value(json_object_get(json_object_get(*notes, "training"), "merges"));
    s->space.merges = s->merges > 0 && asked(options, "merges");
    s->space.depth = (options->depth ? options->depth > 0 : layer_drop > 0 || options->axes) && asked(options, "depth");
    for (size_t i = 0; asked(options, "memory") && i < s->judge.model->body.depth && i < 64; i++)
        s->space.memories |= (uint64_t)s->judge.model->body.sizes[i].remembers << i;
    s->judge.lowest = options->lowest > 0 ? options->lowest : 0.15;
    const struct {
        const char *axis, *remedy;
        bool has;
    } needs[] = {{"lengths", "its attention cannot tell which rows received attention", chooses},
                 {"exits", "train it with a recipe that has exits", leaves},
                 {"widths", "train it with slimmable, dynabert or anytime", s->space.width_count > 1},
                 {"merges", "train it with --merges", s->space.merges},
                 {"memory", "rubato convert makes models with memories", s->space.memories != 0},
                 {"precision", "load it in two precisions, and search with --cost ms", s->space.precision}};
    for (size_t i = 0; options->axes && i < sizeof needs / sizeof *needs; i++)
        if (asked(options, needs[i].axis) && !needs[i].has)
            return fail(error, RUBATO_BAD_ARGUMENT, "axis \"%s\": the model lacks it: %s", needs[i].axis,
                        needs[i].remedy);
    if (!chooses && !leaves && s->space.width_count <= 1 && !s->space.merges && !s->space.memories &&
        !s->space.precision && !s->space.depth)
        return fail(error, RUBATO_UNSUPPORTED,
                    "%s attention cannot tell which rows received attention, and the model has no other axis to search",
                    encoder_untelling(&s->judge.model->body)->part.name);
    return RUBATO_OK;
}

/* A search replaces the points and the log of an earlier one only when it is asked to. */
static rubato_status check_earlier(const searching *s, const char *out, const char *log, rubato_error *error) {
    json_t *notes;
    if (s->options->resume && s->options->overwrite)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "--resume continues a search, --overwrite replaces it; give one of them");
    if (s->options->resume || s->options->overwrite) return RUBATO_OK;
    TRY(model_read_notes(&notes, out, error));
    const json_t *list = json_object_get(notes, "points");
    size_t points = 0; /* that a search found: refining keeps points, without what they were worth */
    for (size_t i = 0; i < json_array_size(list); i++)
        points += json_is_number(json_object_get(json_array_get(list, i), "quality"));
    json_decref(notes);
    if (path_exists(log))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "%s holds the evaluations of a search; --resume continues it, --overwrite replaces it", log);
    if (points == 0) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "%s/rubato.json has %zu points already; --overwrite replaces them", out,
                points);
}

static rubato_status search(searching *s, json_t **notes, rubato_error *error) {
    char path[4200];
    TRY(prepare(s, notes, error));
    const char *out = s->options->out ? s->options->out : s->judge.model->path;
    TRY(folder_create(out, error));
    TRY(folder_lock(&s->lock, out, error));
    snprintf(path, sizeof path, "%s/search.jsonl", out);
    TRY(check_earlier(s, out, path, error));
    TRY(judging_open_log(&s->judge, path, s->options->resume != 0, error));
    TRY(baselines(s, error));
    TRY(leave_early(s, error));
    TRY(narrow_down(s, error));
    TRY(merge_blocks(s, error));
    TRY(forget(s, error));
    TRY(earlier_points(s, error));
    TRY(lower_precision(s, error));
    TRY(evolve(s, error));
    TRY(judging_take_rest(&s->judge, error));
    return write_results(s, out, *notes, error);
}

/* A result with its text. */
typedef struct outcome {
    rubato_search_result is;
    char metric[sizeof((judging *)0)->metric];
} outcome;

rubato_status rubato_search(const rubato_search_options *options, rubato_search_result **result, rubato_error *error) {
    rubato_search_options own;
    searching s = {.options = &own, .begun_ms = clock_ms(), .lock = -1};
    json_t *notes = NULL;
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_search_options, options, error));
    rubato_status status = search(&s, &notes, error);
    outcome *made = status == RUBATO_OK ? malloc(sizeof *made) : NULL;
    if (status == RUBATO_OK && !made) status = fail_memory(error);
    if (made) {
        memcpy(made->metric, s.judge.metric, sizeof made->metric);
        made->is = (rubato_search_result){.points = s.judge.model->points.count,
                                          .evaluations = s.judge.evaluations,
                                          .dropped = s.judge.dropped,
                                          .full_quality = s.full,
                                          .area = pareto_area(s.judge.frontier, s.judge.frontier_count),
                                          .seconds = (clock_ms() - s.begun_ms) / 1e3,
                                          .metric = made->metric,
                                          .stopped = s.stopped,
                                          .full_error = s.full_error,
                                          .held_out = s.held_out};
        *result = &made->is;
    }
    json_decref(notes);
    judging_free(&s.judge);
    folder_unlock(s.lock);
    return status;
}
