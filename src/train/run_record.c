/* The record of a run. */
#include "train/run_record.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "task/folder.h"
#include "task/output_folder.h"

enum { PATH_BYTES = 4200 };

/* Options that do not change what a run computes; models and data are compared by what they hold. */
static bool is_free(const char *name) {
    static const char *const names[] = {"out", "resume", "overwrite", "keep_state", "checkpoint_steps", "threads",
                                        "isa", "data",   "dev",       "teacher",    "micro_tokens"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

void option_write(const rubato_option *option, const void *options, char *out, size_t bytes) {
    const void *field = (const char *)options + option->offset;
    const char *text;
    out[0] = 0;
    switch (option->type) {
    case RUBATO_OPTION_FLAG:
    case RUBATO_OPTION_SWITCH:
        if (*(const int *)field) snprintf(out, bytes, "%s", *(const int *)field > 0 ? "true" : "false");
        break;
    case RUBATO_OPTION_SIZE:
        if (*(const size_t *)field) snprintf(out, bytes, "%zu", *(const size_t *)field);
        break;
    case RUBATO_OPTION_SEED: snprintf(out, bytes, "%llu", (unsigned long long)*(const uint64_t *)field); break;
    case RUBATO_OPTION_INTEGER:
        if (*(const int *)field) snprintf(out, bytes, "%d", *(const int *)field < 0 ? 0 : *(const int *)field);
        break;
    case RUBATO_OPTION_REAL: {
        double value = *(const double *)field;
        if (value != 0) snprintf(out, bytes, "%.15g", value < 0 ? 0 : value);
        break;
    }
    case RUBATO_OPTION_CHOICE:
        if (*(const int *)field) snprintf(out, bytes, "%s", option->choice((size_t) * (const int *)field));
        break;
    case RUBATO_OPTION_TEXT:
        text = *(const char *const *)field;
        if (text) snprintf(out, bytes, "%.200s", text);
        break;
    }
}

static void put_hash(json_t **record, const char *name, uint64_t hash) {
    char text[17];
    hash_write(text, hash);
    json_put(record, name, json_string(text));
}

/* NULL: memory is short. */
static json_t *describe(const trainer *self) {
    json_t *record = json_object(), *options = json_object();
    const rubato_option *option;
    char value[256];
    for (size_t i = 0; (option = rubato_option_at(RUBATO_OPTIONS_TRAIN, i)); i++) {
        option_write(option, self->options, value, sizeof value);
        if (!is_free(option->name) && value[0]) json_put(&options, option->name, json_string(value));
    }
    json_put(&record, "options", options);
    put_hash(&record, "model", self->model->weights.hash);
    if (self->teacher) put_hash(&record, "teacher", self->teacher->weights.hash);
    put_hash(&record, "data", self->running ? self->data.text.hash : dataset_hash(&self->data.data));
    if (self->options->dev) put_hash(&record, "dev", dataset_hash(&self->dev.data));
    json_put(&record, TRAINING_ENDED, json_false());
    return record;
}

/* ---- Differences ---- */

static void add(text_buffer *out, const char *format, const char *name) {
    char dashed[64];
    snprintf(dashed, sizeof dashed, "%s", name);
    for (char *at = dashed; *at; at++)
        if (*at == '_') *at = '-';
    if (out->length) text_add_string(out, "; ");
    text_add_format(out, format, dashed); /* NOLINT: the formats are below */
}

static void compare_options(const json_t *then, const json_t *now, text_buffer *out) {
    const rubato_option *option;
    for (size_t i = 0; (option = rubato_option_at(RUBATO_OPTIONS_TRAIN, i)); i++) {
        const char *a = json_string_value(json_object_get(then, option->name));
        const char *b = json_string_value(json_object_get(now, option->name));
        if ((!a && !b) || (a && b && strcmp(a, b) == 0)) continue;
        add(out, "--%s was ", option->name);
        text_add_format(out, "%.40s and is %.40s", a ? a : "not given", b ? b : "not given");
    }
}

static void compare_contents(const json_t *then, const json_t *now, text_buffer *out) {
    static const char *const parts[][2] = {{"model", "the model has other weights"},
                                           {"teacher", "--%s has other weights"},
                                           {"data", "--%s has other rows"},
                                           {"dev", "--%s has other rows"}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *a = json_string_value(json_object_get(then, parts[i][0]));
        const char *b = json_string_value(json_object_get(now, parts[i][0]));
        if ((a || b) && !(a && b && strcmp(a, b) == 0)) add(out, parts[i][1], parts[i][0]);
    }
}

static rubato_status compare(const trainer *self, const json_t *then, const json_t *now, rubato_error *error) {
    text_buffer differences = {0};
    compare_options(json_object_get(then, "options"), json_object_get(now, "options"), &differences);
    compare_contents(then, now, &differences);
    rubato_status status = RUBATO_OK;
    if (differences.failed)
        status = fail_memory(error);
    else if (differences.length)
        status =
            fail(error, RUBATO_BAD_ARGUMENT,
                 "%.120s: the run to continue is another one: %.240s. Give the same, or --overwrite to start again",
                 self->options->out, differences.data);
    text_free(&differences);
    return status;
}

/* ---- The folder ---- */

static bool has_state(const trainer *self) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/training.safetensors", self->options->out);
    return path_exists(path);
}

static void remove_file(const trainer *self, const char *name) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", self->options->out, name);
    unlink(path);
}

static rubato_status check_resumed(const trainer *self, const json_t *record, rubato_error *error) {
    const char *out = self->options->out;
    if (json_is_true(json_object_get(record, TRAINING_ENDED)))
        return fail(error, RUBATO_BAD_ARGUMENT, "%s: the run there has ended; --overwrite starts it again", out);
    if (!record && output_is_taken(out))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "%s: no run that could be continued is there (" TRAINING_RECORD " is missing)", out);
    return RUBATO_OK;
}

rubato_status run_record_claim(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    json_t *record;
    if (options->resume && options->overwrite)
        return fail(error, RUBATO_BAD_ARGUMENT, "--resume continues a run, --overwrite replaces it; give one of them");
    self->made_folder = !folder_exists(options->out);
    TRY(folder_create(options->out, error));
    TRY(folder_lock(&self->lock, options->out, error));
    TRY(model_read_optional(&record, options->out, TRAINING_RECORD, error));
    rubato_status status = RUBATO_OK;
    bool ended = json_is_true(json_object_get(record, TRAINING_ENDED));
    if (options->resume)
        status = check_resumed(self, record, error);
    else if (!options->overwrite && !ended && output_is_taken(options->out) && (record || has_state(self)))
        status =
            fail(error, RUBATO_BAD_ARGUMENT,
                 "%s holds a run that has not ended; --resume continues it, --overwrite replaces it", options->out);
    else
        status = output_check(options->out, NULL, options->overwrite, error);
    json_decref(record);
    return status;
}

rubato_status run_record_begin(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    json_t *then = NULL;
    TRY(output_check(options->out, self->model, true, error));
    if (self->teacher) TRY(output_check(options->out, self->teacher, true, error));
    self->record = describe(self);
    if (!self->record) return fail_memory(error);
    rubato_status status =
        options->resume ? model_read_optional(&then, options->out, TRAINING_RECORD, error) : RUBATO_OK;
    if (status == RUBATO_OK && then) status = compare(self, then, self->record, error);
    if (status == RUBATO_OK && !then) {
        remove_file(self, "training.safetensors");
        status = model_write_json(self->record, options->out, TRAINING_RECORD, error);
    }
    json_decref(then);
    return status;
}

void run_record_close(trainer *self) {
    json_decref(self->record);
    folder_unlock(self->lock);
    if (self->made_folder) rmdir(self->options->out); /* does nothing where files are in it */
}

rubato_status run_record_end(trainer *self, rubato_error *error) {
    TRY(json_set(self->record, TRAINING_ENDED, json_true(), error));
    TRY(model_write_json(self->record, self->options->out, TRAINING_RECORD, error));
    if (!self->options->keep_state) remove_file(self, "training.safetensors");
    return RUBATO_OK;
}
