/* rubato_train: prepares options, data and model, and runs a recipe. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/energy.h"
#include "base/options.h"
#include "base/text_buffer.h"
#include "task/context.h"
#include "task/encode.h"
#include "task/folder.h"
#include "task/labels.h"
#include "task/load.h"
#include "task/load_exits.h"
#include "task/save.h"
#include "train/judge.h"
#include "train/recipe/draw.h"
#include "train/run_record.h"
#include "train/summary.h"

enum { ARENA_BLOCK = 64 << 20, SAMPLES_BLOCK = 1 << 20 };
static const double UNTRAINED_RATE = 5e-4;
static const size_t ARENA_KEEP = (size_t)8 << 30; /* a step reuses the memory of the previous one */

static const struct {
    const char *name;
    sample_kind kind;
    rubato_task task;
} tasks[] = {{"classification", SAMPLE_CLASS, RUBATO_TASK_CLASSIFICATION},
             {"regression", SAMPLE_VALUE, RUBATO_TASK_REGRESSION},
             {"tagging", SAMPLE_TAGS, RUBATO_TASK_TAGGING},
             {"qa", SAMPLE_SPAN, RUBATO_TASK_QA},
             {"mlm", SAMPLE_MASKED, RUBATO_TASK_MLM},
             {"lm", SAMPLE_MASKED, RUBATO_TASK_LM},
             {"text", SAMPLE_TEXT, RUBATO_TASK_EMBEDDING},
             {"sts", SAMPLE_COSINE, RUBATO_TASK_EMBEDDING},
             {"retrieval", SAMPLE_CONTRAST, RUBATO_TASK_EMBEDDING}};
enum { TASK_COUNT = sizeof tasks / sizeof tasks[0] };

/* ---- Labels ---- */

/* Splits "a,b,c" into a list; *text is cut in place. */
static size_t split_labels(char *text, const char **out, size_t most) {
    size_t count = 0;
    for (char *at = text; at && count < most;) {
        char *comma = strchr(at, ',');
        if (comma) *comma++ = 0;
        out[count++] = at;
        at = comma;
    }
    return count;
}

static rubato_status check_distinct(const char *const *labels, size_t count, rubato_error *error) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(labels[i], labels[j]) == 0)
                return fail(error, RUBATO_BAD_ARGUMENT, "--labels names \"%.60s\" twice", labels[i]);
    return RUBATO_OK;
}

/* Whether the model's head is one for these labels. In the order in which they count, where somebody chose it; else
 * each is known to the model. Numbers may stand for labels without names where there are as many. */
static bool head_serves(const rubato_info *info, const learning *wanted, bool ordered) {
    bool found = true, exact = true, same = wanted->label_count == info->label_count;
    for (size_t i = 0; i < wanted->label_count && found; i++) {
        size_t at = SIZE_MAX;
        found = label_known(info, wanted->labels[i], &at);
        exact = exact && found && strcmp(info->labels[at], wanted->labels[i]) == 0;
        same = same && at == i;
    }
    return ordered ? same && exact : exact || (found && (same || labels_named(info)));
}

/* *serves: the checkpoint has a head for these labels, which stays. Fails where it has one for other labels that have
 * names: it is not thrown away in silence. A checkpoint that cannot be described has none; the message comes when it is
 * loaded. `from` gave the labels. */
static rubato_status find_head(const trainer *self, const learning *wanted, bool ordered, const char *from,
                               bool *serves, rubato_error *error) {
    rubato_model *as_it_is;
    char labels[120], known[120];
    *serves = false;
    if (self->options->new_head) return RUBATO_OK;
    rubato_status status = rubato_model_describe(&as_it_is, self->options->model, error);
    if (status != RUBATO_OK) return status == RUBATO_OUT_OF_MEMORY ? status : RUBATO_OK;
    const rubato_info *info = rubato_model_info(as_it_is);
    *serves = info->task == wanted->task && head_serves(info, wanted, ordered);
    if (info->task == wanted->task && !*serves && labels_named(info)) {
        labels_write(wanted->labels, wanted->label_count, labels, sizeof labels);
        labels_write(info->labels, info->label_count, known, sizeof known);
        status = fail(error, ordered ? RUBATO_BAD_ARGUMENT : RUBATO_BAD_DATA,
                      "%.120s: the labels are %s, and the model has a head for %s; --new-head replaces it by a new one",
                      from, labels, known);
    }
    rubato_model_destroy(as_it_is);
    return status;
}

/* Chooses the labels: the options' labels, else the teacher's, else the data's. The checkpoint's head stays where it
 * is one for them. */
static rubato_status choose_labels(trainer *self, char *given, learning *learn, const char ***own,
                                   rubato_error *error) {
    const rubato_train_options *options = self->options;
    const char *from = given ? "--labels" : self->teacher ? "the teacher" : options->data;
    if (given) {
        size_t most = strlen(given) + 1;
        if (!(*own = malloc(most * sizeof **own))) return fail_memory(error);
        learn->label_count = split_labels(given, *own, most);
        TRY(check_distinct(*own, learn->label_count, error));
    } else if (self->teacher) {
        learn->label_count = self->teacher->info.label_count;
    } else {
        TRY(samples_labels(&self->data, self->kind, options->data, own, &learn->label_count, error));
        if (self->kind != SAMPLE_CLASSES && learn->label_count == 1)
            return fail(error, RUBATO_BAD_DATA, "%s: every %s has the label \"%.60s\"; there is nothing to learn",
                        options->data, self->kind == SAMPLE_TAGS ? "word" : "row", (*own)[0]);
    }
    learn->labels = *own ? *own : (const char *const *)self->teacher->labels;
    bool serves;
    TRY(find_head(self, learn, given || self->teacher, from, &serves, error));
    if (serves) learn->labels = NULL;
    return RUBATO_OK;
}

static rubato_status load_model(trainer *self, rubato_task task, rubato_error *error) {
    const rubato_train_options *options = self->options;
    learning learn = {.task = self->method->generates ? RUBATO_TASK_EMBEDDING : task,
                      .discriminates = self->method->generates,
                      .seed = options->seed,
                      .several = self->kind == SAMPLE_CLASSES,
                      .new_head = options->new_head,
                      .attended_head = options->pool_attention,
                      .may_begin = self->kind == SAMPLE_MASKED || self->kind == SAMPLE_TEXT,
                      .tokenizer = options->tokenizer,
                      .next_sentence = self->pairs};
    const char **labels = NULL;
    char *given = options->labels ? text_copy(options->labels, strlen(options->labels)) : NULL;
    rubato_status status = options->labels && !given ? fail_memory(error) : RUBATO_OK;
    if (status == RUBATO_OK && sample_takes_labels(self->kind))
        status = choose_labels(self, given, &learn, &labels, error);
    if (status == RUBATO_OK) status = model_load(&self->model, options->model, NULL, &learn, error);
    free(labels);
    free(given);
    return status;
}

/* A model that was to be its own teacher, because no other is named, learns from labels where it cannot be. */
static rubato_status refuse_teacher(trainer *self, rubato_status status, const char *why, rubato_error *error) {
    if (self->options->teacher || self->method->needs_teacher)
        return fail(error, status, "teacher %s: %s",
                    self->options->teacher ? self->options->teacher : self->options->model, why);
    rubato_model_destroy(self->teacher);
    self->teacher = NULL;
    return RUBATO_OK;
}

static rubato_status load_teacher(trainer *self, rubato_task task, rubato_error *error) {
    const char *name = self->options->teacher;
    if (!name && strcmp(self->method->name, "cofi") == 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "recipe cofi needs --teacher; l0 is the same without one");
    if (!name && self->method->needs_teacher && self->method->reads && !self->method->matches)
        return fail(error, RUBATO_BAD_ARGUMENT, "recipe %s needs --teacher", self->method->name);
    if (!name && wanted_matching(self) > 0 && !self->method->no_own_teacher) name = self->options->model;
    if (!name) return RUBATO_OK;
    if (self->options->new_head && !self->options->teacher)
        return refuse_teacher(self, RUBATO_BAD_ARGUMENT, "its labels are not those of the new head; use --teacher",
                              error);
    TRY(model_load_teacher(&self->teacher, name, error));
    const rubato_info *info = &self->teacher->info;
    if (self->kind == SAMPLE_TEXT) return RUBATO_OK; /* nobody asks for its answers */
    if (info->task == RUBATO_TASK_CLASSIFICATION && info->multi_label && self->kind == SAMPLE_CLASS)
        self->kind = SAMPLE_CLASSES; /* the data have no labels */
    bool same = info->task == task &&
                (task != RUBATO_TASK_CLASSIFICATION || (info->multi_label != 0) == (self->kind == SAMPLE_CLASSES));
    return same ? RUBATO_OK : refuse_teacher(self, RUBATO_WRONG_TASK, "a model for another task", error);
}

rubato_status trainer_teach_itself(trainer *self, rubato_error *error) {
    rubato_model *made;
    TRY(rubato_model_load(&made, self->options->out, error));
    rubato_model_destroy(self->teacher);
    self->teacher = made;
    self->other_tokens = false;
    return RUBATO_OK;
}

/* A teacher may read texts in other tokens where each text has one answer, and nothing but answers is compared. */
static rubato_status compare_tokens(trainer *self, rubato_error *error) {
    const rubato_model *a = self->model, *b = self->teacher;
    if (tokenizer_same_tokens(a->text, b->text))
        return encoder_max_length(&a->body.config) <= encoder_max_length(&b->body.config)
                   ? RUBATO_OK
                   : refuse_teacher(self, RUBATO_BAD_ARGUMENT, "it takes shorter texts than the learner", error);
    if (!sample_is_whole(self->kind) || self->method->compares)
        return refuse_teacher(self, RUBATO_BAD_ARGUMENT, "its tokens are not the learner's", error);
    if ((self->method->matches || self->method->weighs_states) && wanted_matching(self) > 0)
        return refuse_teacher(self, RUBATO_BAD_ARGUMENT, "its tokens are not the learner's; use --match-states 0",
                              error);
    self->other_tokens = true;
    return RUBATO_OK;
}

/* The teacher must have the same task. */
static rubato_status compare_teacher(trainer *self, rubato_error *error) {
    const rubato_model *a = self->model, *b = self->teacher;
    if (!b) return RUBATO_OK;
    if (self->method->matches && wanted_matching(self) > 0 &&
        (a->body.config.hidden != b->body.config.hidden || a->body.depth != b->body.depth))
        return refuse_teacher(self, RUBATO_BAD_ARGUMENT,
                              "its hidden states are of other layers or sizes; use --match-states 0", error);
    bool same = (self->kind == SAMPLE_TEXT || a->info.label_count == b->info.label_count) &&
                (a->info.task != RUBATO_TASK_EMBEDDING || self->kind == SAMPLE_TEXT || a->pool.width == b->pool.width);
    for (size_t i = 0; same && self->kind != SAMPLE_TEXT && i < a->info.label_count; i++)
        same = strcmp(a->labels[i], b->labels[i]) == 0;
    if (!same) return refuse_teacher(self, RUBATO_BAD_ARGUMENT, "its labels are not the learner's", error);
    return compare_tokens(self, error);
}

static rubato_status set_significance(rubato_model *model, const char *name, rubato_error *error) {
    if (!name || significance_find(&model->points.by, name)) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "significance \"%.40s\": use received, others, random or first", name);
}

/* The points of the frontier were found for other weights: removes them, or keeps them without their measurements. */
static rubato_status keep_points(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    frontier *points = &self->model->points;
    char costs[200] = "";
    size_t kept = 0, at_byte = 0;
    for (size_t i = 0; i < points->count; i++) {
        const point *at = &points->points[i];
        bool keep = options->refine && at->flops_ratio >= options->refine_from &&
                    (options->refine_to <= 0 || at->flops_ratio <= options->refine_to);
        /* with the same weights every point stays valid, except those with other exits; otherwise a recipe may keep
         * points for itself */
        if (options->frozen) keep = !at->exit.rule;
        if (at_byte < sizeof costs - 8)
            at_byte +=
                (size_t)snprintf(costs + at_byte, sizeof costs - at_byte, "%s%.3g", i ? ", " : "", at->flops_ratio);
        if (keep) points->points[kept++] = *at;
    }
    if (options->refine && !options->frozen && points->count && !kept)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "--refine-from and --refine-to: no point is in that range; the points of the search cost %s",
                    costs);
    points->count = kept;
    if (options->frozen) return RUBATO_OK;
    points->full = points->full_ms = points->full_error = NAN;
    points->held_out = 0;
    for (size_t i = 0; i < points->count; i++) {
        point *at = &points->points[i];
        at->quality = at->quality_error = at->ms = NAN;
    }
    return RUBATO_OK;
}

/* The layers that get exits: those of the options; else all but the last, or fewer where the method has fewer. */
static rubato_status make_exits(trainer *self, rubato_error *error) {
    size_t layers[POINT_LAYERS], count = 0, depth = self->model->body.depth;
    const char *asked = self->options->exit_layers;
    const recipe_exits *given = &self->method->exits;
    exit_kind kind = given->kind;
    bool sequences = engine_main_head(self->model) == HEAD_SEQUENCE && self->kind != SAMPLE_CLASSES;
    if (given->optional && !asked && (depth == 1 || !sequences)) kind = EXIT_NONE;
    if (kind != EXIT_NONE && self->kind == SAMPLE_CLASSES)
        return fail(error, RUBATO_UNSUPPORTED, "recipe %s has exits, and texts with several labels have none yet",
                    self->method->name);
    if ((asked || self->options->exit_mean) && kind == EXIT_NONE)
        return fail(error, RUBATO_BAD_ARGUMENT, "recipe %s has no exits", self->method->name);
    if (asked) {
        TRY(layers_parse(asked, layers, &count, error));
    } else if (given->few) {
        size_t few[] = {0, depth / 4, depth / 2 - (depth > 1)};
        for (size_t i = 0; i < 3; i++)
            if (few[i] + 1 < depth && (i == 0 || few[i] > few[i - 1])) layers[count++] = few[i];
    } else {
        for (size_t i = 0; i < depth - (kind != EXIT_HALTING); i++) layers[count++] = i;
    }
    if (kind != EXIT_NONE && count == 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "a model of %zu layers has no room for exits", depth);
    return model_make_exits(self->model, kind, self->options->exit_mean, &given->rule, layers, count,
                            self->options->seed, error);
}

/* ---- All together ---- */

/* An option that only other recipes read is refused: it would have no effect. */
static rubato_status check_read(const trainer *self, rubato_error *error) {
    const rubato_option *option;
    for (size_t i = 0; (option = rubato_option_at(RUBATO_OPTIONS_TRAIN, i)); i++) {
        char value[256], name[64], readers[200] = "";
        size_t at = 0;
        option_write(option, self->options, value, sizeof value);
        if (!value[0] || recipe_reads(self->method, option->name)) continue;
        for (size_t j = 0; recipe_name(j) && at < sizeof readers; j++)
            if (recipe_reads(recipe_find(recipe_name(j)), option->name))
                at += (size_t)snprintf(readers + at, sizeof readers - at, "%s%s", at ? ", " : "", recipe_name(j));
        if (at == 0) continue;
        snprintf(name, sizeof name, "%s", option->name);
        for (char *c = name; *c; c++)
            if (*c == '_') *c = '-';
        return fail(error, RUBATO_BAD_ARGUMENT, "--%s belongs to the recipes %s, and %s does not read it", name,
                    readers, self->method->name);
    }
    return RUBATO_OK;
}

static rubato_status check_options(trainer *self, size_t *task, rubato_error *error) {
    const rubato_train_options *options = self->options;
    char known[400];
    if (!options->model || !options->task || !options->data || !options->out)
        return fail(error, RUBATO_BAD_ARGUMENT, "a model, a task, data and an output folder are needed");
    for (*task = 0; *task < TASK_COUNT && strcmp(tasks[*task].name, options->task) != 0;) ++*task;
    if (*task == TASK_COUNT)
        return fail(
            error, RUBATO_BAD_ARGUMENT,
            "task \"%.40s\": known are classification, regression, tagging, qa, mlm, lm, sts, retrieval and text",
            options->task);
    self->method = recipe_find(options->recipe ? options->recipe : "finetune");
    recipe_list(known, sizeof known);
    if (!self->method)
        return fail(error, RUBATO_BAD_ARGUMENT, "recipe \"%.40s\": known are %s", options->recipe, known);
    TRY(check_read(self, error));
    if (!options->refine && (options->refine_from > 0 || options->refine_to > 0))
        return fail(error, RUBATO_BAD_ARGUMENT, "--refine-from and --refine-to go with --refine");
    if (options->refine && !self->method->refines)
        return fail(error, RUBATO_BAD_ARGUMENT, "refining is a part of the recipes length-adaptive and anytime");
    if (options->epochs < 0) return fail(error, RUBATO_BAD_ARGUMENT, "--epochs must be above 0");
    if (options->pool_attention && tasks[*task].kind != SAMPLE_CLASS && tasks[*task].kind != SAMPLE_CLASSES &&
        tasks[*task].kind != SAMPLE_VALUE)
        return fail(error, RUBATO_BAD_ARGUMENT, "--pool-attention is for classification and regression");
    if (options->new_head && (!sample_takes_labels(tasks[*task].kind) || options->frozen))
        return fail(error, RUBATO_BAD_ARGUMENT, "--new-head belongs to classification and tagging without --frozen");
    storage type;
    TRY(model_store_type(options->store, &type, error));
    width_list widths;
    TRY(widths_parse(&widths, options->widths, error));
    if (options->match_states > 0 && !self->method->matches && !self->method->weighs_states)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "--match-states belongs to length-adaptive, anytime, dynabert, distilbert and recipes of pruning");
    if (options->temperature < 0) return fail(error, RUBATO_BAD_ARGUMENT, "--temperature must be above 0");
    if (options->replace > 1 || options->replace_to > 1 || options->warm_up > 1)
        return fail(error, RUBATO_BAD_ARGUMENT, "--replace, --replace-to and --warm-up are parts of at most 1");
    if (options->length_drop >= 1 || options->layer_drop >= 1 || options->dropout >= 1)
        return fail(error, RUBATO_BAD_ARGUMENT, "--length-drop, --layer-drop and --dropout must be below 1");
    self->kind = tasks[*task].kind;
    self->next_token = tasks[*task].task == RUBATO_TASK_LM;
    if (self->kind == SAMPLE_TEXT && (!self->method->texts || options->dev))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    self->method->texts
                        ? "--task text has no answers that --dev could judge"
                        : "--task text is for recipes that learn more of a teacher than answers: tinybert, minilm, "
                          "minilmv2 and mobilebert");
    const bool texts = self->kind == SAMPLE_MASKED || self->kind == SAMPLE_TEXT;
    if (!texts && options->tokenizer)
        return fail(error, RUBATO_BAD_ARGUMENT, "--tokenizer belongs to --task mlm, lm and text");
    const bool masks = self->kind == SAMPLE_MASKED && !self->next_token;
    if (!masks && (options->whole_words || options->objective || options->mask_share != 0))
        return fail(error, RUBATO_BAD_ARGUMENT, "--objective, --whole-words and --mask-share belong to --task mlm");
    if (!(options->mask_share >= 0 && options->mask_share < 1))
        return fail(error, RUBATO_BAD_ARGUMENT, "--mask-share must be above 0 and below 1");
    self->pairs = options->objective && strcmp(options->objective, "mlm+nsp") == 0;
    if (options->objective && !self->pairs && strcmp(options->objective, "mlm") != 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "objective \"%.40s\": use mlm or mlm+nsp", options->objective);
    if (self->method->generates && (!masks || options->dev || options->teacher || self->pairs))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "recipe %s is for --task mlm, without --dev, --teacher and pairs of texts", self->method->name);
    self->rule = (step_rule){.rate = option_or(options->rate, self->method->rate),
                             .warm_up = option_or(options->warm_up, self->method->warm_up),
                             .decay = option_or(options->decay, self->method->decay),
                             .clip = option_or(options->clip, 1),
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .epsilon = 1e-8,
                             .schedule = rate_linear};
    self->batch = options->batch ? options->batch : 32;
    self->best = self->loss = NAN;
    self->begun_ms = clock_ms();
    return RUBATO_OK;
}

/* ---- Running text ---- */

/* The last call has the whole share, and no other one. */
static int tell_reading(void *user, double share) {
    const trainer *self = user;
    const double seconds = (clock_ms() - self->begun_ms) / 1e3;
    const rubato_train_progress now = {.phase = "reading text",
                                       .step = (size_t)(share * 1000),
                                       .steps = 1000,
                                       .loss = NAN,
                                       .seconds = seconds,
                                       .seconds_left = seconds * (1 - share) / fmax(share, 1e-3)};
    return self->options->progress && self->options->progress(self->options->progress_user, &now);
}

static int tell_part(void *user, double share) {
    return tell_reading(user, fmin(share, 0.999));
}

/* Running text is read when the tokenizer is there, rows before. */
static rubato_status read_rows(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    const bool texts = self->kind == SAMPLE_MASKED || self->kind == SAMPLE_TEXT;
    self->running = texts && !options->columns && corpus_named(options->data);
    if (self->running && options->limit)
        return fail(error, RUBATO_BAD_ARGUMENT, "--limit draws rows, and running text has none; use --steps");
    if (!self->running && options->objective)
        return fail(error, RUBATO_BAD_ARGUMENT, "--objective belongs to --task mlm with running text (.txt, .txt.gz)");
    if (self->running) return RUBATO_OK;
    return samples_read(&self->data, options->data, &self->kind, options->columns, options->limit, options->seed,
                        error);
}

static rubato_status prepare_data(trainer *self, const rubato_text_options *text, rubato_error *error) {
    const rubato_train_options *options = self->options;
    if (!self->running)
        return samples_prepare(&self->data, self->model, self->kind, self->teacher != NULL,
                               self->other_tokens ? self->teacher : NULL, text, options->data, error);
    const tokenizer *by = self->model->text;
    const instance_options drawing = {.longest = text->max_length, .pairs = self->pairs};
    size_t specials = tokenizer_specials(by, self->pairs);
    if (drawing.longest < specials + 4)
        return fail(error, RUBATO_BAD_ARGUMENT, "sequences of %zu tokens are too short for running text",
                    drawing.longest);
    const corpus_options how = {.folder = options->out,
                                .longest = (drawing.longest - specials) / (self->pairs ? 2 : 1),
                                .vocabulary = self->model->body.config.vocabulary,
                                .progress = tell_part,
                                .user = self};
    TRY(samples_read_text(&self->data, options->data, self->model, &drawing, &how, error));
    tell_reading(self, 1);
    return RUBATO_OK;
}

static rubato_status open_metrics(trainer *self, rubato_error *error) {
    char path[4200];
    snprintf(path, sizeof path, "%s/metrics.jsonl", self->options->out);
    self->metrics = fopen(path, self->options->resume ? "a" : "w");
    if (self->metrics) return RUBATO_OK;
    return errno == ENOMEM ? fail_memory(error) : fail(error, RUBATO_IO, "%s: cannot be written", path);
}

/* Notes the axes for which a model was trained that itself stays as it is, so that the search finds them. */
static rubato_status keep_axes(const trainer *self, json_t *made, rubato_error *error) {
    static const char *const axes[] = {"widths", "layer_drop", "length_drop", "merges"};
    json_t *before;
    TRY(model_read_notes(&before, self->model->path, error));
    const json_t *training = json_object_get(before, "training");
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < sizeof axes / sizeof axes[0] && status == RUBATO_OK; i++) {
        json_t *axis = json_object_get(training, axes[i]);
        if (axis) status = json_set(made, axes[i], json_incref(axis), error);
    }
    json_decref(before);
    return status;
}

static rubato_status note_provenance(trainer *self, rubato_error *error) {
    json_t *made = json_object();
    self->notes = json_object();
    json_put(&made, "recipe", json_string(self->method->name));
    json_put(&made, "task", json_string(self->options->task));
    json_put(&made, "seed", json_integer((json_int_t)self->options->seed));
    json_put(&self->notes, "training", made);
    if (!self->notes) return fail_memory(error);
    return self->options->frozen ? keep_axes(self, made, error) : RUBATO_OK;
}

/* A dev set that cannot be judged fails before the first step. */
static rubato_status read_dev(trainer *self, const rubato_text_options *text, rubato_error *error) {
    const rubato_train_options *options = self->options;
    sample_kind kind = self->kind == SAMPLE_CONTRAST ? SAMPLE_COSINE : self->kind, found = kind;
    if (!options->dev) return RUBATO_OK;
    if (kind == SAMPLE_CLASSES) found = SAMPLE_CLASS;
    TRY(samples_read(&self->dev, options->dev, &found, options->columns, 0, 0, error));
    if (found != kind && kind == SAMPLE_CLASS)
        return fail(error, RUBATO_BAD_DATA, "%s: lists of labels, and the training data have single ones",
                    options->dev);
    if (found != kind)
        return fail(error, RUBATO_BAD_DATA, "%s: single labels, and the training data have lists", options->dev);
    return samples_prepare(&self->dev, self->model, kind, false, NULL, text, options->dev, error);
}

/* A recipe that lets rows leave needs to know which. */
static rubato_status check_significance(const trainer *self, rubato_error *error) {
    const significance by = self->model->points.by;
    const attending *lacking = encoder_untelling(&self->model->body);
    if (by != SIGNIFICANCE_RECEIVED && by != SIGNIFICANCE_OTHERS) return RUBATO_OK;
    if (!lacking || self->method->length_drop == 0 || drops_of(self).length == 0) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED,
                "%s attention cannot tell which rows received attention; use --significance random or first, or "
                "--length-drop 0",
                lacking->part.name);
}

rubato_status trainer_open(trainer *self, const rubato_train_options *options, rubato_error *error) {
    *self = (trainer){.options = options, .lock = -1};
    arena_create(&self->memory, ARENA_KEEP, ARENA_BLOCK);
    arena_create(&self->drawn, ARENA_KEEP, SAMPLES_BLOCK);
    size_t task = 0;
    TRY(check_options(self, &task, error));
    TRY(run_record_claim(self, error));
    TRY(read_rows(self, error));
    TRY(load_teacher(self, tasks[task].task, error));
    TRY(load_model(self, tasks[task].task, error));
    TRY(compare_teacher(self, error));
    if (self->kind == SAMPLE_MASKED && !self->next_token && self->model->text->mask < 0)
        return fail(error, RUBATO_BAD_MODEL, "the tokenizer has no mask token");
    if (self->model->untrained && options->rate == 0) self->rule.rate = UNTRAINED_RATE;
    if (self->model->body.shape.merges && !self->method->any_shape)
        return fail(error, RUBATO_UNSUPPORTED, "rows of this model merge by themselves: it is fine-tuned, and no more");
    TRY(set_significance(self->model, options->significance, error));
    TRY(check_significance(self, error));
    TRY(keep_points(self, error));
    if (options->dropout != 0)
        self->model->body.config.hidden_dropout = self->model->body.config.attention_dropout =
            (float)option_or(options->dropout, 0);
    if (options->frozen && self->method->exits.kind == EXIT_NONE)
        return fail(error, RUBATO_BAD_ARGUMENT, "recipe %s has no exits to train alone", self->method->name);
    if (self->model->body.depth == 0)
        return fail(error, RUBATO_UNSUPPORTED, "a model without layers cannot be trained");
    if (self->model->body.depth > POINT_LAYERS)
        return fail(error, RUBATO_UNSUPPORTED, "%zu layers; at most %d can be trained", self->model->body.depth,
                    POINT_LAYERS);
    if (encoder_remembers(&self->model->body))
        TRY(memory_use_create(&self->use, &self->model->body, error));
    else if (options->memory_rate != 0 || options->memory_dense)
        return fail(error, RUBATO_BAD_ARGUMENT, "%s: it has no memories", options->model);
    rubato_context_options context = {.size = sizeof context, .threads = options->threads, .isa = options->isa};
    TRY(rubato_context_create(&self->context, self->model, &context, error));
    rubato_text_options asked = {.size = sizeof asked, .max_length = options->max_length}, text;
    rubato_options running = {.size = sizeof running, .text = &asked}, own;
    TRY(engine_options(self->model, RUBATO_FOR_SCORES, &running, &own, &text, error));
    TRY(prepare_data(self, &text, error));
    if (self->data.count == 0) return fail(error, RUBATO_BAD_DATA, "%s: no tokens to learn from", options->data);
    TRY(read_dev(self, &text, error));
    TRY(make_exits(self, error));
    TRY(run_record_begin(self, error));
    TRY(trainer_summarize(self, error));
    TRY(open_metrics(self, error));
    TRY(note_provenance(self, error));
    precision products;
    TRY(precision_find(&products, options->precision ? options->precision : "f32", error));
    TRY(parameters_create(&self->params, self->model, products, self->context->crew, self->context->kernels, error));
    parameter_group *values = &self->params.groups[GROUP_MEMORY];
    if (options->memory_rate > 0) values->rate = options->memory_rate;
    values->lazy = !options->memory_dense;
    return RUBATO_OK;
}

void trainer_close(trainer *self) {
    if (self->metrics) fclose(self->metrics);
    memory_use_destroy(&self->use);
    json_decref(self->notes);
    parameters_destroy(&self->params);
    arena_destroy(&self->memory);
    arena_destroy(&self->drawn);
    rubato_context_destroy(self->context);
    samples_free(&self->data);
    samples_free(&self->dev);
    run_record_close(self);
    rubato_model_destroy(self->model);
    rubato_model_destroy(self->teacher);
    rubato_model_destroy(self->generator);
}

rubato_status rubato_train(const rubato_train_options *options, rubato_train_result **result, rubato_error *error) {
    rubato_train_options own;
    trainer self;
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_train_options, options, error));
    energy_meter energy;
    energy_begin(&energy);
    rubato_status status = trainer_open(&self, &own, error);
    if (status == RUBATO_OK) status = self.method->run(&self, error);
    if (status == RUBATO_OK) status = run_record_end(&self, error);
    if (status == RUBATO_OK && !(*result = malloc(sizeof **result))) status = fail_memory(error);
    if (*result) {
        double seconds = (clock_ms() - self.begun_ms) / 1e3;
        bool measured;
        double joules = energy_end(&energy, rubato_context_threads(self.context), &measured);
        **result = (rubato_train_result){.steps = self.step,
                                         .best_step = self.best_step,
                                         .metric = own.dev ? trainer_metric(&self) : NULL,
                                         .best = self.best,
                                         .seconds = seconds,
                                         .tokens_per_second = self.tokens_done / seconds,
                                         .loss = self.loss,
                                         .joules = joules,
                                         .joules_measured = measured,
                                         .kept = self.kept,
                                         .points = self.judged.points};
    }
    trainer_close(&self);
    return status;
}
