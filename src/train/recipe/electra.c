/* ELECTRA (Clark et al. 2020). A small generator learns to fill masked tokens, as BERT does. The model, the
 * discriminator, sees the tokens that are drawn from the generator's answers, and learns of every token whether it was
 * replaced. No gradient flows back through the draw. Both models share their embeddings. Only the discriminator is
 * meant to be fine-tuned. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/random.h"
#include "task/folder.h"
#include "task/job.h"
#include "task/load.h"
#include "task/save.h"
#include "train/recipe/draw.h"

enum { PATH_BYTES = 4200, NARROWER = 4 };
static const double REPLACED_WEIGHT = 50;

/* ---- The generator ---- */

static rubato_status set_part(json_t *config, const char *key, size_t value, rubato_error *error) {
    return json_set(config, key, json_integer((json_int_t)value), error);
}

/* Writes the configuration of a generator with a quarter of the model's heads, width and neurons. */
static rubato_status write_config(const trainer *self, const char *folder, rubato_error *error) {
    const encoder_config *of = &self->model->body.config;
    const size_t heads = size_max(of->heads / NARROWER, 1);
    json_t *config;
    TRY(folder_create(folder, error));
    TRY(json_read_file(&config, self->model->config_path, (size_t)1 << 20, error));
    rubato_status status = set_part(config, "num_attention_heads", heads, error);
    if (status == RUBATO_OK) status = set_part(config, "hidden_size", of->hidden / of->heads * heads, error);
    if (status == RUBATO_OK) status = set_part(config, "intermediate_size", size_max(of->inner / NARROWER, 1), error);
    /* transformers takes it from here where the file does not say it */
    if (status == RUBATO_OK) status = set_part(config, "embedding_size", of->embedding, error);
    if (status == RUBATO_OK) status = model_write_json(config, folder, "config.json", error);
    json_decref(config);
    return status;
}

static rubato_status check_generator(const trainer *self, const char *name, rubato_error *error) {
    const rubato_model *a = self->model, *b = self->generator;
    const encoder_config *x = &a->body.config, *y = &b->body.config;
    if (b->kind != a->kind)
        return fail(error, RUBATO_BAD_ARGUMENT, "generator %.200s: of family %s, and the model is of family %s", name,
                    b->kind->name, a->kind->name);
    if (x->embedding != y->embedding || x->words || y->words || x->positions != y->positions || x->types != y->types)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "generator %.200s: its embeddings are not of the model's sizes (embedding_size, "
                    "max_position_embeddings and type_vocab_size), and both share them",
                    name);
    if (x->vocabulary != y->vocabulary || !tokenizer_same_tokens(a->text, b->text))
        return fail(error, RUBATO_BAD_ARGUMENT, "generator %.200s: its tokens are not the model's", name);
    return RUBATO_OK;
}

/* Its embeddings become the model's. */
static void share_embeddings(trainer *self) {
    const embeddings *of = &self->model->body.tables;
    embeddings *to = &self->generator->body.tables;
    to->word = of->word;
    to->position = of->position;
    to->type = of->type;
    to->norm = of->norm;
}

static rubato_status load_generator(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    char folder[PATH_BYTES], made[PATH_BYTES + 16];
    const char *name = options->generator;
    snprintf(folder, sizeof folder, "%s/generator", options->out);
    if (!name) {
        snprintf(made, sizeof made, "%s/config.json", folder);
        if (!options->resume || !file_exists(made)) TRY(write_config(self, folder, error));
        name = made;
    }
    const char *words = options->tokenizer ? options->tokenizer : options->model;
    const learning learn = {.task = RUBATO_TASK_MLM,
                            .seed = random_hash(options->seed),
                            .may_begin = true,
                            .tokenizer = file_exists(name) ? words : NULL};
    TRY(model_load(&self->generator, name, NULL, &learn, error));
    TRY(check_generator(self, name, error));
    encoder_config *config = &self->generator->body.config;
    config->hidden_dropout = self->model->body.config.hidden_dropout;
    config->attention_dropout = self->model->body.config.attention_dropout;
    share_embeddings(self);
    TRY(parameters_add_model(&self->params, self->generator, error));
    parameters_refresh(&self->params, self->context->crew, self->context->kernels);
    return RUBATO_OK;
}

static rubato_status save_generator(void *user, trainer *self, rubato_error *error) {
    char folder[PATH_BYTES];
    storage type;
    (void)user;
    snprintf(folder, sizeof folder, "%s/generator", self->options->out);
    TRY(model_store_type(self->options->store, &type, error));
    return model_save(self->generator, folder, type, NULL, error);
}

/* ---- A step ---- */

/* Draws a token from the distribution of a row of logits, by inversion. */
static int32_t draw_token(const float *logits, size_t count, uint64_t key) {
    uint64_t state = random_hash(key);
    float most = logits[0];
    double all = 0;
    for (size_t i = 1; i < count; i++) most = fmaxf(most, logits[i]);
    for (size_t i = 0; i < count; i++) all += (double)expf(logits[i] - most);
    double left = random_real(&state) * all;
    for (size_t i = 0; i + 1 < count; i++)
        if ((left -= (double)expf(logits[i] - most)) < 0) return (int32_t)i;
    return (int32_t)count - 1;
}

/* Runs the generator on the masked tokens, and teaches it. Puts tokens that are drawn from its answers into the
 * portion, whose labels then say which tokens are not the text's. */
static rubato_status propose(void *user, passing *now, rubato_error *error) {
    const run *on = now->on;
    const portion *masked = now->part;
    const batch *packed = &masked->packed;
    const rubato_model *generator = now->by->generator;
    portion *replaced = run_take(on, 1, sizeof *replaced);
    int32_t *ids = run_take(on, packed->rows, sizeof *ids), *labels = run_take(on, packed->rows, sizeof *labels);
    int32_t *wanted = run_take(on, packed->rows, sizeof *wanted);
    size_t *rows = run_take(on, packed->rows, sizeof *rows), count = 0;
    const thinning whole = engine_thinning(generator, HEAD_MLM, NULL);
    encoded out;
    observed none;
    (void)user;
    TRY(run_result(on, error));
    for (size_t row = 0; row < packed->rows; row++) {
        if (masked->labels[row] < 0) continue;
        wanted[count] = masked->labels[row];
        rows[count++] = row;
    }
    observe_forward(&generator->body, on, NULL, packed, &whole, 0, &none, &out);
    const tensor logits = head_forward(&generator->heads[HEAD_MLM], on, out.rows, rows, count);
    TRY(encoder_result(&generator->body, on, &whole, error));
    now->loss += loss_cross_entropy(on, logits, wanted, now->scale);
    memcpy(ids, packed->ids, packed->rows * sizeof *ids);
    memset(labels, 0, packed->rows * sizeof *labels);
    for (size_t i = 0, sequence = 0; i < count; i++) {
        while (packed->start[sequence + 1] <= rows[i]) sequence++;
        const uint64_t place = rows[i] - packed->start[sequence];
        const uint64_t text = random_hash((uint64_t)masked->samples[sequence]->number);
        ids[rows[i]] = draw_token(tensor_row(logits, i), logits.columns, now->key ^ random_hash(text + place));
        labels[rows[i]] = ids[rows[i]] != wanted[i];
    }
    *replaced = *masked;
    replaced->packed.ids = ids;
    replaced->labels = labels;
    now->part = replaced;
    return RUBATO_OK;
}

static rubato_status electra(trainer *self, rubato_error *error) {
    const lesson replaced = {.kind = &lesson_replaced, .weight = REPLACED_WEIGHT};
    const phase only = {.name = self->method->name,
                        .epochs = trainer_epochs(self),
                        .passes = draw_full,
                        .lessons = &replaced,
                        .lesson_count = 1,
                        .before_pass = propose,
                        .before_judge = save_generator};
    TRY(load_generator(self, error));
    if (self->options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &only, error);
}

const recipe recipe_electra = {.name = "electra",
                               .run = electra,
                               .warm_up = 0.1,
                               .decay = 0.01,
                               .epochs = 3,
                               .rate = 5e-4,
                               .generates = true,
                               .reads = "generator"};
