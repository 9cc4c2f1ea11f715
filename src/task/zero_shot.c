/* Zero-shot classification: labels as hypotheses, judged by a model of natural language inference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/options.h"
#include "base/text_buffer.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/job.h"

enum { PAIRS_AT_ONCE = 4096 };

static const char STANDARD[] = "This example is {}.";

/* The length of the place for the label at the beginning of a text: "{}" or "{0}"; 0: none. */
static size_t place_at(const char *text) {
    if (strncmp(text, "{}", 2) == 0) return 2;
    return strncmp(text, "{0}", 3) == 0 ? 3 : 0;
}

rubato_status rubato_hypothesis(const char *hypothesis, const char *label, char **text, rubato_error *error) {
    const char *from = hypothesis ? hypothesis : STANDARD;
    size_t places[4] = {0}; /* by their length */
    text_buffer out = {0};
    bool good = true;
    *text = NULL;
    while (*from && good) {
        size_t place = place_at(from), plain = strcspn(from, "{}");
        if (place)
            text_add_string(&out, label);
        else if (plain)
            text_add(&out, from, plain);
        else if (from[1] == from[0]) /* a brace that is written twice */
            text_add(&out, from, 1);
        else
            good = false;
        places[place]++;
        from += place ? place : plain ? plain : 2;
    }
    /* as Python's format: {} is the first value, and a second {} would be another one */
    good = good && places[2] + places[3] > 0 && (places[2] == 0 || (places[2] == 1 && places[3] == 0));
    if (good && !out.failed) {
        *text = out.data;
        return RUBATO_OK;
    }
    text_free(&out);
    return good ? fail_memory(error)
                : fail(error, RUBATO_BAD_ARGUMENT,
                       "the hypothesis \"%.200s\" should have one {} in the label's place; a brace is {{ or }}",
                       hypothesis);
}

rubato_status rubato_entailment(const rubato_model *model, size_t *label, rubato_error *error) {
    const head *scorer;
    TRY(engine_head(model, HEAD_SEQUENCE, &scorer, error));
    if (model->entailment) {
        *label = model->entailment - 1;
        return RUBATO_OK;
    }
    return fail(
        error, RUBATO_WRONG_TASK,
        "%s: no label (\"%.40s\", ...) begins with \"entail\"; zero-shot classification needs a model of natural "
        "language inference, whose label2id in config.json names the entailment",
        model->path, model->labels[0]);
}

/* The probability of x against y. */
static float against(float x, float y) {
    return 1 / (1 + expf(y - x));
}

rubato_status rubato_zero_shot_scores(const rubato_model *model, const float *logits, size_t label_count,
                                      int multi_label, float *scores, rubato_error *error) {
    size_t entailment, columns = size_max(model->info.label_count, 1);
    TRY(rubato_entailment(model, &entailment, error));
    size_t contradiction = entailment == 0 ? columns - 1 : 0;
    float most = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < label_count; i++) most = fmaxf(most, logits[i * columns + entailment]);
    for (size_t i = 0; i < label_count; i++) {
        const float *row = logits + i * columns;
        if (multi_label || label_count == 1)
            scores[i] = against(row[entailment], row[contradiction]);
        else
            sum += exp((double)(row[entailment] - most));
    }
    for (size_t i = 0; sum > 0 && i < label_count; i++)
        scores[i] = (float)(exp((double)(logits[i * columns + entailment] - most)) / sum);
    return RUBATO_OK;
}

/* The labels as sentences, and the memory for the pairs of some texts. */
typedef struct zero_shot {
    size_t label_count, columns, most; /* the most texts at once */
    char **sentences;
    rubato_input *pairs;
    float *logits;
} zero_shot;

static void zero_shot_free(zero_shot *self) {
    for (size_t i = 0; self->sentences && i < self->label_count; i++) rubato_free(self->sentences[i]);
    free(self->sentences);
    free(self->pairs);
    free(self->logits);
}

static rubato_status zero_shot_create(zero_shot *self, const char *hypothesis, const char *const *labels,
                                      size_t label_count, size_t columns, rubato_error *error) {
    size_t pairs, values;
    *self = (zero_shot){.label_count = label_count, .columns = columns};
    self->most = size_max(PAIRS_AT_ONCE / label_count, 1);
    if (!checked_multiply(self->most, label_count, &pairs) || !checked_multiply(pairs, columns, &values))
        return fail_memory(error);
    self->sentences = calloc(label_count, sizeof *self->sentences);
    self->pairs = calloc(pairs, sizeof *self->pairs);
    self->logits = calloc(values, sizeof *self->logits);
    if (!self->sentences || !self->pairs || !self->logits) return fail_memory(error);
    for (size_t i = 0; i < label_count; i++) TRY(rubato_hypothesis(hypothesis, labels[i], &self->sentences[i], error));
    return RUBATO_OK;
}

/* Runs the pairs of some texts: `first` is the number of the first one. */
static rubato_status run_some(rubato_context *context, zero_shot *self, float *out, const rubato_input *inputs,
                              size_t first, size_t count, bool multi_label, const rubato_options *how,
                              rubato_costs *costs, rubato_error *error) {
    size_t labels = self->label_count;
    rubato_costs *parts = NULL;
    rubato_error own = {0};
    if (!error) error = &own;
    for (size_t i = 0; i < count * labels; i++) {
        const rubato_input *text = &inputs[first + i / labels];
        const char *sentence = self->sentences[i % labels];
        self->pairs[i] = (rubato_input){
            .text = text->text, .text_bytes = text->text_bytes, .pair = sentence, .pair_bytes = strlen(sentence)};
    }
    rubato_status status =
        rubato_logits(context, self->logits, self->pairs, count * labels, how, costs ? &parts : NULL, error);
    if (status != RUBATO_OK && error->line) error->line = first + (error->line - 1) / labels + 1;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        status = rubato_zero_shot_scores(context->model, self->logits + i * labels * self->columns, labels, multi_label,
                                         out + (first + i) * labels, error);
    for (size_t i = 0; i < count * labels && parts && status == RUBATO_OK; i++)
        costs_add(costs, first + i / labels, rubato_costs_at(parts, i));
    rubato_free(parts);
    return status;
}

rubato_status rubato_zero_shot(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                               const char *const *labels, size_t label_count, const rubato_zero_shot_options *options,
                               rubato_costs **costs, rubato_error *error) {
    const rubato_model *model = context->model;
    rubato_zero_shot_options own;
    rubato_options how;
    rubato_text_options text;
    zero_shot work = {0};
    size_t entailment;
    rubato_status status;
    if (costs) *costs = NULL;
    for (size_t i = 0; i < label_count; i++)
        if (!labels || !labels[i]) return fail(error, RUBATO_BAD_ARGUMENT, "label %zu is NULL", i);
    TRY(engine_check_inputs(inputs, count, error));
    TRY(OPTIONS_COPY(&own, rubato_zero_shot_options, options, error));
    TRY(OPTIONS_COPY(&how, rubato_options, own.run, error));
    TRY(OPTIONS_COPY(&text, rubato_text_options, how.text, error));
    TRY(rubato_entailment(model, &entailment, error));
    if (label_count == 0) return fail(error, RUBATO_BAD_ARGUMENT, "zero-shot classification needs a label");
    for (size_t i = 0; i < count; i++)
        if (inputs[i].pair || inputs[i].encoding)
            return fail_line(error, RUBATO_BAD_ARGUMENT, i + 1,
                             "a text for zero-shot classification has no second text and no encoding");
    text.truncation = RUBATO_ONLY_FIRST;
    text.size = sizeof text;
    how.text = &text;
    TRY_DONE(zero_shot_create(&work, own.hypothesis, labels, label_count, size_max(model->info.label_count, 1), error));
    if (costs) TRY_DONE(costs_create(costs, count, model->body.depth, error));
    for (size_t i = 0; i < count; i += work.most)
        TRY_DONE(run_some(context, &work, out, inputs, i, size_min(work.most, count - i), own.multi_label, &how,
                          costs ? *costs : NULL, error));
done:
    zero_shot_free(&work);
    return costs_end(costs, status);
}
