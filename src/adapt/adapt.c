#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapt/adapting.h"
#include "base/checked.h"
#include "base/clock.h"
#include "attention/attending.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/options.h"
#include "base/text_list.h"
#include "model/exits.h"
#include "task/context.h"
#include "task/evaluate.h"
#include "task/labels.h"
#include "task/machine.h"
#include "task/output_folder.h"

static const char RESULT[] = "result"; /* in the record: the candidate that was copied */

enum { SAMPLE_TEXTS = 300, MOST_RECORD = 16 << 20 };

/* ---- Folders and progress ---- */

void adapt_folder(const adapting *self, const char *name, char out[ADAPT_PATH]) {
    snprintf(out, ADAPT_PATH, "%s/stages/%s", self->options->out, name);
}

void adapt_tuned(const adapting *self, char out[ADAPT_PATH]) {
    if (self->tuned)
        snprintf(out, ADAPT_PATH, "%s", self->options->model);
    else
        adapt_folder(self, "tuned", out);
}

void adapt_start(const adapting *self, char out[ADAPT_PATH]) {
    if (self->pieces)
        adapt_folder(self, "pieces", out);
    else
        adapt_tuned(self, out);
}

bool adapt_teacher(const adapting *self, char out[ADAPT_PATH]) {
    const bool others = self->pieces && self->whole;
    if (others)
        adapt_tuned(self, out);
    else
        adapt_start(self, out);
    return others;
}

int adapt_tell(adapting *self, const char *phase, double share) {
    const rubato_adapt_options *o = self->options;
    const rubato_adapt_progress now = {.stage = self->stages[self->stage].name,
                                       .phase = phase,
                                       .number = self->stage + 1,
                                       .count = self->stage_count,
                                       .share = share,
                                       .seconds = (clock_ms() - self->begun_ms) / 1e3};
    return o->progress && o->progress(o->user, &now);
}

/* ---- What is done ---- */

static rubato_status check_ways(const adapting *self, rubato_error *error) {
    size_t count;
    if (!self->options->ways) return RUBATO_OK;
    char **list = text_list_split(self->options->ways, &count);
    if (!list) return fail_memory(error);
    rubato_status status = count ? RUBATO_OK : fail(error, RUBATO_BAD_ARGUMENT, "no way is named");
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        if (!text_list_has("student,pruned,elastic", list[i]))
            status = fail(error, RUBATO_BAD_ARGUMENT,
                          "way \"%.40s\": use student, pruned or elastic, with commas between", list[i]);
    free(list);
    return status;
}

bool adapt_goes(const adapting *self, const char *way) {
    const char *wanted = self->options->ways;
    if (strcmp(way, "pieces") == 0) return self->pieces > 0;
    return (!wanted || text_list_has(wanted, way)) && (self->prunes || strcmp(way, "pruned") != 0);
}

const char *adapt_left_out(const adapting *self, const stage_kind *stage) {
    if (!stage->way || adapt_goes(self, stage->way)) return NULL;
    if (strcmp(stage->way, "pieces") == 0) return "left out: all word pieces stay";
    return !self->prunes && strcmp(stage->way, "pruned") == 0 ? "left out: heads of this model cannot be cut"
                                                              : "left out: not among the ways";
}

/* ---- The record ---- */

static bool is_done(const adapting *self, const char *stage) {
    return json_is_true(json_object_get(json_object_get(self->record, "done"), stage));
}

static rubato_status write_record(const adapting *self, rubato_error *error) {
    char path[ADAPT_PATH + 16];
    snprintf(path, sizeof path, "%s/" ADAPT_RECORD, self->options->out);
    return json_write_file(self->record, path, JSON_INDENT(1), error);
}

/* The options that another run in the same folder must have too. */
static json_t *describe_options(const adapting *self) {
    const rubato_adapt_options *o = self->options;
    json_t *made = json_object();
    const char *const texts[][2] = {{"model", o->model},
                                    {"task", o->task},
                                    {"data", o->data},
                                    {"dev", o->dev},
                                    {"ways", o->ways},
                                    {"columns", o->columns},
                                    {"unlabelled", o->unlabelled}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i][1]) json_put(&made, texts[i][0], json_string(texts[i][1]));
    char hash[17];
    hash_write(hash, dataset_hash(&self->train));
    json_put(&made, "train_rows", json_string(hash));
    hash_write(hash, dataset_hash(&self->all) ^ random_hash(dataset_hash(&self->told)));
    json_put(&made, "dev_rows", json_string(hash));
    json_put(&made, "epochs", json_real(o->epochs));
    json_put(&made, "limit", json_integer((json_int_t)o->limit));
    json_put(&made, "max_length", json_integer((json_int_t)o->max_length));
    json_put(&made, "seed", json_integer((json_int_t)o->seed));
    return made;
}

/* A record is read from a file that somebody may have changed. */
static bool is_sound(const json_t *record) {
    static const char *const numbers[] = {"quality", "chosen_on", "ms", "ratio", "megabytes", "joules"};
    const json_t *all = json_object_get(record, "candidates"), *one;
    size_t i;
    const json_t *keep = json_object_get(record, "keep"), *kept = json_object_get(record, "pieces");
    const json_int_t words = json_integer_value(json_object_get(record, "words"));
    if (!json_is_object(json_object_get(record, "done"))) return false;
    if (keep &&
        !(json_number_value(keep) > 0 && json_number_value(keep) <= 1 && json_is_integer(kept) &&
          json_integer_value(kept) >= 0 && json_integer_value(kept) <= INT32_MAX && words >= 0 && words <= INT32_MAX))
        return false;
    if (!all) return true;
    if (!json_is_array(all) || json_array_size(all) == 0 || !json_is_string(json_object_get(record, "metric")))
        return false;
    json_array_foreach(all, i, one) {
        if (!candidate_text(one, "name") || !candidate_text(one, "folder")) return false;
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
            if (!isfinite(candidate_number(one, numbers[j]))) return false;
    }
    return true;
}

static rubato_status open_record(adapting *self, rubato_error *error) {
    const rubato_adapt_options *o = self->options;
    char path[ADAPT_PATH + 16];
    snprintf(path, sizeof path, "%s/" ADAPT_RECORD, o->out);
    const bool there = file_exists(path);
    json_t *options = describe_options(self);
    if (!options) return fail_memory(error);
    rubato_status status = RUBATO_OK;
    if (there && o->resume) {
        status = json_read_file(&self->record, path, MOST_RECORD, error);
        if (status == RUBATO_OK && !is_sound(self->record))
            status = fail(error, RUBATO_BAD_DATA, "%s: not the record of a run; --overwrite starts again", path);
        if (status == RUBATO_OK && !json_equal(json_object_get(self->record, "options"), options))
            status = fail(error, RUBATO_BAD_ARGUMENT,
                          "%.200s: the run to continue has another model, data or other options; --overwrite starts "
                          "again",
                          o->out);
    } else if (o->resume) {
        status = fail(error, RUBATO_BAD_ARGUMENT,
                      "%.200s: no run that could be continued is there (" ADAPT_RECORD " is missing)", o->out);
    } else if ((there || output_is_taken(o->out)) && !o->overwrite) {
        status = fail(error, RUBATO_BAD_ARGUMENT,
                      "%.200s holds a model or a run; --resume continues it, --overwrite "
                      "replaces it",
                      o->out);
    }
    if (status != RUBATO_OK || self->record) {
        json_decref(options);
        return status;
    }
    self->record = json_object();
    json_put(&self->record, "options", options);
    json_put(&self->record, "done", json_object());
    return self->record ? RUBATO_OK : fail_memory(error);
}

/* ---- Before the first stage ---- */

static rubato_status parse_target(adapting *self, rubato_error *error) {
    static const struct {
        const char *unit;
        target_kind kind;
    } units[] = {{"x", TARGET_RATIO}, {"ms", TARGET_MS}, {"MB", TARGET_MEGABYTES}};
    const char *text = self->options->target;
    char *end = NULL;
    if (text) self->wanted = strtod(text, &end);
    for (size_t i = 0; text && i < 3; i++)
        if (end > text && strcmp(end, units[i].unit) == 0 && self->wanted > 0 && isfinite(self->wanted) &&
            (units[i].kind != TARGET_RATIO || self->wanted < 1)) {
            self->target = units[i].kind;
            return RUBATO_OK;
        }
    return fail(error, RUBATO_BAD_ARGUMENT,
                "target \"%.40s\": give a part of the time, as 0.3x, below 1, milliseconds, as 2ms, "
                "or a size, as 10MB",
                text ? text : "");
}

static rubato_status read_data(adapting *self, rubato_error *error) {
    static const char *const tasks[] = {"classification", "regression", "tagging", "qa", "sts"};
    const rubato_adapt_options *o = self->options;
    dataset_kind kind;
    bool known = false;
    for (size_t i = 0; i < 5; i++) known = known || strcmp(o->task, tasks[i]) == 0;
    if (!known)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "task \"%.40s\": known here are classification, regression, tagging, qa and sts", o->task);
    self->whole = strcmp(o->task, "tagging") != 0 && strcmp(o->task, "qa") != 0;
    TRY(evaluate_kind(o->task, &kind, error));
    TRY(dataset_read(&self->train, o->data, kind, o->columns, error));
    TRY(dataset_read(&self->all, o->dev, kind, o->columns, error));
    TRY(dataset_sample(&self->train, o->limit, o->seed, error));
    if (o->unlabelled && strcmp(o->task, "classification") != 0 && strcmp(o->task, "regression") != 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "--unlabelled is for classification and regression");
    if (o->unlabelled && !file_exists(o->unlabelled))
        return fail(error, RUBATO_NOT_FOUND, "%.200s: no such file", o->unlabelled);
    if (self->train.count == 0) return fail(error, RUBATO_BAD_DATA, "%s: no examples", o->data);
    TRY(dataset_divide(&self->all, &self->told, 0.5, error));
    if (self->all.count == 0 || self->told.count == 0)
        return fail(error, RUBATO_BAD_DATA, "%s: too few examples: one half is to choose and the other to tell",
                    o->dev);
    return RUBATO_OK;
}

/* Whether the model has a head for the task, with a name for every label. */
static bool serves(const adapting *self, const rubato_model *model) {
    static const struct {
        const char *name;
        rubato_task task;
    } tasks[] = {{"classification", RUBATO_TASK_CLASSIFICATION},
                 {"regression", RUBATO_TASK_REGRESSION},
                 {"tagging", RUBATO_TASK_TAGGING},
                 {"qa", RUBATO_TASK_QA}};
    const rubato_info *info = rubato_model_info(model);
    size_t found = 0;
    while (found < 4 && strcmp(tasks[found].name, self->options->task) != 0) found++;
    if (found == 4 || info->task != tasks[found].task) return false;
    for (size_t i = 0; found == 0 && i < self->all.count; i++) {
        size_t at;
        const example *item = &self->all.items[i];
        if (!item->label || !label_known(info, item->label, &at)) return false;
    }
    return true;
}

static size_t example_tokens(const rubato_model *model, const example *item, size_t longest, rubato_error *error) {
    const rubato_text_options text = {.size = sizeof text, .max_length = longest};
    rubato_encoding *encoding;
    const rubato_input input = {.text = item->text ? item->text : "", .pair = item->pair};
    if (!item->text) return item->word_count + item->word_count / 2 + 2;
    if (rubato_encode(model, &input, &text, &encoding, error) != RUBATO_OK) return 2;
    const size_t tokens = encoding->tokens;
    rubato_encoding_destroy(encoding);
    return longest && tokens > longest ? longest : tokens;
}

/* Bytes of an int8 model besides its layers' weights and its word embeddings: positions, a pooler, exits, and the
 * vectors of the layers. */
static double other_bytes(const adapting *self, const rubato_info *info) {
    const double width = (double)info->hidden, inner = (double)info->inner, layers = (double)info->layers;
    const double positions = (double)(self->options->max_length ? self->options->max_length : info->max_length);
    const double of_exit = STUDENT_WIDTH * (width + 5.0 * STUDENT_WIDTH + 6 * 8);
    const bool leaves = strcmp(self->options->task, "classification") == 0;
    const double of_layer = 12 * (5 * width + inner) + 16 * width; /* scales, offsets, biases and norms */
    return positions * (width + 4) + width * (width + 8) + layers * of_layer + (leaves ? (layers - 1) * of_exit : 0) +
           40e3; /* names */
}

/* Narrow word embeddings keep most of what frequent words mean, and so a small model keeps more words. */
static size_t narrow_width(const rubato_model *model) {
    enum { STEP = 32, LEAST = 6 * STEP };
    const encoder_config *config = &model->body.config;
    const bool has = config->words || model->kind->names.projection;
    return has || config->hidden < LEAST ? 0 : 2 * config->hidden / 3 / STEP * STEP;
}

/* Where the target is a size, word pieces get a quarter of it, and so many weights of the pruned layers stay that all
 * fit in 8 bits. A run that goes on keeps what it had, whatever its target is now. */
static rubato_status decide_sizes(adapting *self, const rubato_model *model, rubato_error *error) {
    enum { FEWEST_PIECES = 2000 };
    const rubato_info *info = rubato_model_info(model);
    const json_t *before = json_object_get(self->record, "keep");
    self->keep = 0.5;
    if (before) {
        self->keep = json_number_value(before);
        self->pieces = (size_t)json_integer_value(json_object_get(self->record, "pieces"));
        self->words = (size_t)json_integer_value(json_object_get(self->record, "words"));
    } else if (self->target == TARGET_MEGABYTES) {
        const double bytes = self->wanted * 1e6, width = (double)info->hidden;
        double each = width + 4;
        if (model->text->model.kind == MODEL_WORDPIECE && bytes / 4 / each < (double)info->vocabulary) {
            self->words = narrow_width(model);
            if (self->words) each = (double)self->words + 4;
            self->pieces = size_max((size_t)(bytes / 4 / each), FEWEST_PIECES);
            if (self->pieces > info->vocabulary) self->pieces = info->vocabulary;
        }
        const double rest = bytes - other_bytes(self, info) - (double)self->words * (width + 4) -
                            (double)(self->pieces ? self->pieces : info->vocabulary) * each;
        const double layers = (double)info->layers * width * (4 * width + 2 * (double)info->inner);
        self->keep = fmin(fmax(rest / layers, 0.2), 0.8);
    }
    TRY(json_set(self->record, "keep", json_real(self->keep), error));
    TRY(json_set(self->record, "words", json_integer((json_int_t)self->words), error));
    return json_set(self->record, "pieces", json_integer((json_int_t)self->pieces), error);
}

/* Products in bf16 take less time where the processor has instructions for them. A run that goes on keeps what it had:
 * its stages can go on with that alone. */
static rubato_status decide_precision(adapting *self, const rubato_context *context, rubato_error *error) {
    const char *before = json_string_value(json_object_get(self->record, "precision"));
    const char *isa = rubato_context_isa(context), *asked = self->options->precision;
    const char *wanted = before ? before : asked;
    if (asked && strcmp(asked, "f32") != 0 && strcmp(asked, "bf16") != 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "precision \"%.20s\": models learn in f32 or bf16", asked);
    if (asked && strcmp(asked, wanted) != 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "--precision %s: the run to continue learns in %.20s", asked, wanted);
    self->bf16 = wanted ? strcmp(wanted, "bf16") == 0 : strcmp(isa, "bf16") == 0 || strcmp(isa, "amx") == 0;
    return json_set(self->record, "precision", json_string(self->bf16 ? "bf16" : "f32"), error);
}

/* Counts tokens by a sample, and times a forward pass. */
static rubato_status look_at_model(adapting *self, rubato_error *error) {
    const rubato_adapt_options *o = self->options;
    rubato_model *model;
    TRY(rubato_model_load(&model, o->model, error));
    const rubato_info *info = rubato_model_info(model);
    const size_t count = size_min(self->train.count, SAMPLE_TEXTS);
    const size_t longest = o->max_length ? o->max_length : info->max_length;
    size_t tokens = 0;
    self->layers = info->layers;
    const encoder_config *config = &model->body.config;
    self->prunes = config_sorts_heads(config);
    rubato_status fits = output_check(o->out, model, true, error);
    if (fits == RUBATO_OK && (config->groups || config->blocks))
        fits = fail(error, RUBATO_UNSUPPORTED,
                    "%s: layers that share weights or stand in blocks cannot be taken out or "
                    "cut; adapt needs that",
                    o->model);
    const attending *lacking = encoder_untelling(&model->body);
    if (fits == RUBATO_OK && lacking)
        fits = fail(error, RUBATO_UNSUPPORTED,
                    "%s: adapt makes operating points that drop tokens, and %s attention cannot tell which ones matter",
                    o->model, lacking->part.name);
    if (fits == RUBATO_OK && o->max_length > info->max_length)
        fits = fail(error, RUBATO_BAD_ARGUMENT, "--max-length %zu: the model takes at most %zu tokens", o->max_length,
                    info->max_length);
    if (fits != RUBATO_OK) {
        rubato_model_destroy(model);
        return fits;
    }
    self->narrows = info->hidden % 32 == 0 && info->hidden / info->heads % 4 == 0 && !info->attention;
    self->tuned = serves(self, model);
    for (size_t i = 0; i < count; i++)
        tokens += example_tokens(model, &self->train.items[i * self->train.count / count], longest, NULL);
    self->small_tokens = self->tokens = tokens * self->train.count / count;
    if (o->unlabelled)
        self->small_tokens =
            (size_t)((double)self->tokens * (double)file_size(o->unlabelled) / (double)file_size(o->data));
    rubato_context *context = NULL;
    rubato_bench_row *row = NULL;
    const rubato_context_options how = {.size = sizeof how, .threads = o->threads, .isa = o->isa};
    rubato_status status = decide_sizes(self, model, error);
    if (status == RUBATO_OK) status = rubato_context_create(&context, model, &how, error);
    if (status == RUBATO_OK) status = decide_precision(self, context, error);
    if (status == RUBATO_OK)
        status = rubato_bench(context, 16, size_max(2, size_min(tokens / count, info->max_length)), &row, error);
    if (status == RUBATO_OK) self->second_tokens = row->tokens_per_second;
    if (status == RUBATO_OK) {
        char text[200], name[100];
        status = machine_processor(name, sizeof name, error);
        snprintf(text, sizeof text, "%s, %zu thread%s, %s", name, rubato_context_threads(context),
                 rubato_context_threads(context) == 1 ? "" : "s", rubato_context_isa(context));
        if (status == RUBATO_OK) status = json_set(self->record, "machine", json_string(text), error);
    }
    rubato_free(row);
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    if (status == RUBATO_OK && self->layers < 2)
        status = fail(error, RUBATO_UNSUPPORTED, "a model of one layer has no smaller one");
    return status;
}

/* Backward is two forward passes; the search and what follows are a fixed number of passes over the dev data. */
static double estimate(const adapting *self, const stage_kind *stage) {
    const double forward = (double)self->tokens / self->second_tokens;
    const double judged = forward * (double)self->all.count / (double)self->train.count;
    if (stage == self->stages) return self->tuned ? 0 : stage->passes * 3.3 * self->epochs * forward;
    if (stage->passes > 0) return stage->passes * 3.3 * self->epochs * (double)self->small_tokens / self->second_tokens;
    if (strstr(stage->name, "search")) return 120 * judged + 10;
    return strcmp(stage->name, "int8") == 0 ? 5 : 30 * judged + 20;
}

static rubato_status tell_plan(const adapting *self, rubato_error *error) {
    rubato_adapt_stage *stages = calloc(self->stage_count, sizeof *stages);
    if (!stages) return fail_memory(error);
    rubato_adapt_plan plan = {
        .count = self->stage_count, .stages = stages, .texts = self->train.count, .tokens = self->small_tokens};
    for (size_t i = 0; i < self->stage_count; i++) {
        const stage_kind *kind = &self->stages[i];
        stages[i] = (rubato_adapt_stage){
            .name = kind->name, .what = kind->what, .seconds = estimate(self, kind), .done = is_done(self, kind->name)};
        const char *reason = adapt_left_out(self, kind);
        if (reason) {
            stages[i].what = reason;
            stages[i].seconds = 0;
        }
        if (i == 0 && self->tuned) stages[i].what = "the model has a head for these labels already";
        if (!stages[i].done) plan.seconds += stages[i].seconds;
    }
    if (self->options->planned) self->options->planned(self->options->user, &plan);
    free(stages);
    return RUBATO_OK;
}

/* ---- The result ---- */

static rubato_status copy_files(const char *from, const char *to, const char *const *names, rubato_error *error) {
    for (size_t i = 0; names[i]; i++) {
        char old[ADAPT_PATH + 64], new[ADAPT_PATH + 64], *data;
        size_t size;
        new_file file;
        snprintf(old, sizeof old, "%s/%s", from, names[i]);
        snprintf(new, sizeof new, "%s/%s", to, names[i]);
        if (!file_exists(old)) continue;
        TRY(file_read(&data, &size, old, (size_t)64 << 30, error));
        rubato_status status = new_file_open(&file, new, error);
        if (status == RUBATO_OK && size) fwrite(data, 1, size, file.stream);
        if (status == RUBATO_OK) status = new_file_commit(&file, error);
        free(data);
        TRY(status);
    }
    return RUBATO_OK;
}

/* Whether a folder holds a model that can be loaded. */
static rubato_status check_model(const char *folder, rubato_error *error) {
    rubato_model *model;
    TRY(rubato_model_load(&model, folder, error));
    rubato_model_destroy(model);
    return RUBATO_OK;
}

/* Copies the chosen model's files into the output folder, in place of those of an earlier one. */
static rubato_status copy_model(const adapting *self, const char *from, rubato_error *error) {
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "pytorch_model.bin",
                                        "rubato.json",
                                        "frontier.svg",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "vocab.txt",
                                        "vocab.json",
                                        "merges.txt",
                                        "special_tokens_map.json",
                                        "spiece.model",
                                        "added_tokens.json",
                                        "sentencepiece.bpe.model",
                                        "modules.json",
                                        "config_sentence_transformers.json",
                                        "sentence_bert_config.json",
                                        "1_Pooling/config.json",
                                        "exits/model.safetensors",
                                        NULL};
    static const char *const folders[] = {"exits", "1_Pooling"};
    staged_files staged;
    char path[ADAPT_PATH + 64];
    TRY(check_model(from, error));
    TRY(staged_open(&staged, self->options->out, error));
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < 2 && status == RUBATO_OK; i++) {
        snprintf(path, sizeof path, "%s/%s", from, folders[i]);
        if (!folder_exists(path)) continue;
        snprintf(path, sizeof path, "%s/%s", staged.path, folders[i]);
        status = folder_create(path, error);
    }
    if (status == RUBATO_OK) status = copy_files(from, staged.path, names, error);
    if (status == RUBATO_OK) return output_commit_alone(&staged, error);
    staged_abandon(&staged);
    return status;
}

typedef struct packing {
    char *text; /* where the next string goes; NULL: only counts */
    size_t bytes;
} packing;

static const char *pack_text(packing *to, const char *text) {
    if (!text) return NULL;
    const size_t size = strlen(text) + 1;
    char *at = to->text ? to->text + to->bytes : NULL;
    if (at) memcpy(at, text, size);
    to->bytes += size;
    return at;
}

static void fill(const json_t *from, rubato_adapted *out, packing *texts) {
    *out = (rubato_adapted){.name = pack_text(texts, candidate_text(from, "name")),
                            .folder = pack_text(texts, candidate_text(from, "folder")),
                            .budget = pack_text(texts, candidate_text(from, "budget")),
                            .quality = candidate_number(from, "quality"),
                            .quality_error = candidate_number(from, "quality_error"),
                            .chosen_on = candidate_number(from, "chosen_on"),
                            .ms = candidate_number(from, "ms"),
                            .ratio = candidate_number(from, "ratio"),
                            .megabytes = candidate_number(from, "megabytes"),
                            .joules = candidate_number(from, "joules"),
                            .joules_measured = json_is_true(json_object_get(from, "joules_measured")),
                            .meets = json_is_true(json_object_get(from, "meets"))};
}

/* One block, which rubato_free releases. */
static rubato_status make_result(const adapting *self, size_t chosen, bool met, rubato_adapt_result **out,
                                 rubato_error *error) {
    const json_t *all = json_object_get(self->record, "candidates");
    const size_t count = json_array_size(all);
    const char *metric = candidate_text(self->record, "metric");
    packing texts = {0};
    rubato_adapted one;
    for (size_t i = 0; i < count; i++) fill(json_array_get(all, i), &one, &texts);
    pack_text(&texts, metric);
    rubato_adapt_result *made = malloc(sizeof *made + count * (sizeof(rubato_adapted) + sizeof(void *)) + texts.bytes);
    if (!made) return fail_memory(error);
    rubato_adapted *candidates = (rubato_adapted *)(void *)(made + 1);
    const rubato_adapted **list = (const rubato_adapted **)(void *)(candidates + count);
    texts = (packing){.text = (char *)(void *)(list + count)};
    for (size_t i = 0; i < count; i++) {
        fill(json_array_get(all, i), &candidates[i], &texts);
        list[i] = &candidates[i];
    }
    *made = (rubato_adapt_result){.metric = pack_text(&texts, metric),
                                  .count = count,
                                  .candidates = list,
                                  .chosen = chosen,
                                  .met = met,
                                  .held_out = self->told.count,
                                  .seconds = (clock_ms() - self->begun_ms) / 1e3};
    *out = made;
    return RUBATO_OK;
}

static rubato_status run_stages(adapting *self, rubato_error *error) {
    for (self->stage = 0; self->stage < self->stage_count; self->stage++) {
        const stage_kind *kind = &self->stages[self->stage];
        if (is_done(self, kind->name) || adapt_left_out(self, kind)) continue;
        if (adapt_tell(self, NULL, 0))
            return fail(error, RUBATO_CANCELLED, "stopped before stage \"%s\"; --resume goes on", kind->name);
        TRY(kind->run(self, error));
        TRY(json_set(json_object_get(self->record, "done"), kind->name, json_true(), error));
        TRY(write_record(self, error));
        adapt_tell(self, NULL, 1);
    }
    return RUBATO_OK;
}

static rubato_status adapt(adapting *self, rubato_adapt_result **result, rubato_error *error) {
    const rubato_adapt_options *o = self->options;
    char path[ADAPT_PATH];
    if (!o->model || !o->task || !o->data || !o->dev || !o->out)
        return fail(error, RUBATO_BAD_ARGUMENT, "a model, a task, data, dev data and an output folder are needed");
    TRY(parse_target(self, error));
    TRY(check_ways(self, error));
    TRY(read_data(self, error));
    TRY(open_record(self, error));
    TRY(look_at_model(self, error));
    TRY(tell_plan(self, error));
    if (o->plan_only) return RUBATO_OK;
    snprintf(path, sizeof path, "%s/stages", o->out);
    TRY(folder_create(path, error));
    TRY(write_record(self, error));
    TRY(run_stages(self, error));
    bool met;
    TRY(adapt_mark(self, error));
    const size_t chosen = adapt_choose(self, &met);
    const json_t *best = json_array_get(json_object_get(self->record, "candidates"), chosen);
    /* a run that has ended has its model, also where the stages were removed; another target may want another one */
    const char *name = candidate_text(best, "name"), *copied = candidate_text(self->record, RESULT);
    if (!copied || strcmp(copied, name) != 0 || check_model(o->out, NULL) != RUBATO_OK) {
        TRY(copy_model(self, candidate_text(best, "folder"), error));
        TRY(json_set(self->record, RESULT, json_string(name), error));
        TRY(write_record(self, error));
    }
    TRY(adapt_report(self, chosen, met, error));
    return make_result(self, chosen, met, result, error);
}

rubato_status rubato_adapt(const rubato_adapt_options *options, rubato_adapt_result **result, rubato_error *error) {
    rubato_adapt_options own;
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_adapt_options, options, error));
    adapting self = {.options = &own,
                     .max_drop = own.max_drop > 0   ? own.max_drop
                                 : own.max_drop < 0 ? 0
                                                    : 1,
                     .epochs = own.epochs > 0 ? own.epochs : 3,
                     .stages = adapt_stages,
                     .stage_count = adapt_stage_count,
                     .begun_ms = clock_ms()};
    rubato_status status = adapt(&self, result, error);
    json_decref(self.record);
    dataset_free(&self.all);
    dataset_free(&self.told);
    dataset_free(&self.train);
    return status;
}
