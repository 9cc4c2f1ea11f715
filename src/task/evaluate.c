/* Evaluation: a data set through the model, compared with its labels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/order.h"
#include "base/clock.h"
#include "base/energy.h"
#include "base/options.h"
#include "base/random.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "store/dataset.h"
#include "task/costs.h"
#include "task/evaluate.h"
#include "task/encode.h"
#include "task/job.h"
#include "task/labels.h"
#include "task/metrics.h"
#include "task/token_scores.h"
#include "task/words.h"

/* The data that all tasks share while they run. */
typedef struct evaluating {
    rubato_context *context;
    const rubato_eval_options *options;
    dataset data;
    bool loaded;         /* the caller owns the data */
    const float *logits; /* answers that are known already; NULL: run the model */
    rubato_input *inputs;
    rubato_costs *costs; /* NULL where nothing ran */
    evaluation *out;
    rubato_error *error;
} evaluating;

static void add_metric(evaluation *out, const char *name, double value) {
    if (out->is.metric_count < MOST_METRICS) out->metrics[out->is.metric_count++] = (rubato_metric){name, value};
}

static rubato_status prepare(evaluating *e, dataset_kind kind) {
    const rubato_eval_options *options = e->options;
    if (!e->loaded) {
        TRY(dataset_read(&e->data, options->data, kind, options->columns, e->error));
        TRY(dataset_sample(&e->data, options->limit, options->seed, e->error));
    }
    size_t count = e->data.count;
    if (count == 0) return fail(e->error, RUBATO_BAD_DATA, "%s: no examples", options->data);
    e->inputs = calloc(count, sizeof *e->inputs);
    if (!e->inputs) return fail_memory(e->error);
    for (size_t i = 0; i < count; i++)
        e->inputs[i] = (rubato_input){.text = e->data.items[i].text, .pair = e->data.items[i].pair};
    return RUBATO_OK;
}

/* Adds the line in the file to the error of an input. */
static rubato_status place_error(const evaluating *e, rubato_status status) {
    if (status == RUBATO_OK || !e->error || e->error->line == 0 || e->error->line > e->data.count) return status;
    char message[sizeof e->error->message];
    memcpy(message, e->error->message, sizeof message);
    size_t line = e->data.items[e->error->line - 1].line;
    return fail_example(e->error, status, e->options->data, line, "%s", message);
}

/* ---- Classification and regression ---- */

static rubato_status gold_value(const evaluating *e, const example *item, double *out) {
    char *end = NULL;
    *out = item->label && *item->label ? strtod(item->label, &end) : 0;
    if (end && !*end && isfinite(*out)) return RUBATO_OK;
    return fail_example(e->error, RUBATO_BAD_DATA, e->options->data, item->line, "label \"%.40s\" is not a number",
                        item->label ? item->label : "");
}

/* scores [count, labels], as rubato_classify gives them. */
static rubato_status classify(evaluating *e, float *scores, size_t labels) {
    size_t count = e->data.count;
    if (!e->logits)
        return place_error(e,
                           rubato_classify(e->context, scores, e->inputs, count, e->options->run, &e->costs, e->error));
    memcpy(scores, e->logits, count * labels * sizeof *scores);
    engine_scores(e->context, scores, count);
    return RUBATO_OK;
}

/* Marks the labels of every text in gold [count, labels]. */
static rubato_status mark_labels(const evaluating *e, unsigned char *gold) {
    const rubato_info *info = rubato_model_info(e->context->model);
    for (size_t i = 0; i < e->data.count; i++) {
        const example *item = &e->data.items[i];
        char *const *own = item->labels ? item->labels : &item->label;
        size_t own_count = item->labels ? item->label_count : 1, found;
        for (size_t j = 0; j < own_count; j++) {
            TRY(label_find(&found, info, own[j], e->options->data, item->line, e->error));
            gold[i * info->label_count + found] = 1;
        }
    }
    return RUBATO_OK;
}

/* Any number of labels for a text: those with a score of 0.5 and more. */
static rubato_status evaluate_several(evaluating *e) {
    size_t count = e->data.count, labels = rubato_model_info(e->context->model)->label_count;
    float *scores = malloc(count * labels * sizeof *scores);
    unsigned char *gold = calloc(count * labels, 1);
    rubato_status status = scores && gold ? mark_labels(e, gold) : fail_memory(e->error);
    if (status == RUBATO_OK) status = classify(e, scores, labels);
    if (status == RUBATO_OK) {
        label_counts found = metric_count_labels(gold, scores, count, labels);
        add_metric(e->out, "f1", found.micro_f1);
        add_metric(e->out, "macro_f1", found.macro_f1);
        add_metric(e->out, "precision", found.precision);
        add_metric(e->out, "recall", found.recall);
        add_metric(e->out, "exact", found.exact);
    }
    free(scores);
    free(gold);
    return status;
}

static rubato_status evaluate_classes(evaluating *e) {
    TRY(prepare(e, DATASET_TEXTS));
    const rubato_info *info = rubato_model_info(e->context->model);
    size_t count = e->data.count, labels = info->label_count;
    if (info->task != RUBATO_TASK_CLASSIFICATION)
        return fail(e->error, RUBATO_WRONG_TASK, "%s: a model for %s, not for classification", info->path,
                    rubato_task_name(info->task));
    if (info->multi_label) return evaluate_several(e);
    for (size_t i = 0; i < count; i++)
        if (e->data.items[i].labels)
            return fail_example(e->error, RUBATO_BAD_DATA, e->options->data, e->data.items[i].line,
                                "a list of labels, and the model gives one label to a text");
    float *scores = malloc(count * labels * sizeof *scores);
    size_t *gold = malloc(2 * count * sizeof *gold), *predicted = gold ? gold + count : NULL;
    rubato_status status = scores && gold ? RUBATO_OK : fail_memory(e->error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        status = label_find(&gold[i], info, e->data.items[i].label, e->options->data, e->data.items[i].line, e->error);
    if (status == RUBATO_OK) status = classify(e, scores, labels);
    if (status == RUBATO_OK) {
        for (size_t i = 0; i < count; i++) predicted[i] = index_of_largest(scores + i * labels, labels);
        add_metric(e->out, "accuracy", metric_accuracy(gold, predicted, count));
        add_metric(e->out, "macro_f1", metric_macro_f1(gold, predicted, count, labels));
        double nll = 0;
        for (size_t i = 0; i < count; i++) nll -= log(fmax((double)scores[i * labels + gold[i]], 1e-30));
        add_metric(e->out, "nll", nll / (double)count);
        add_metric(e->out, "matthews", metric_matthews(gold, predicted, count, labels));
    }
    free(scores);
    free(gold);
    return status;
}

static rubato_status embed_cosines(evaluating *e, double *out) {
    size_t width = rubato_model_info(e->context->model)->width, count = e->data.count;
    float *a = malloc(2 * count * width * sizeof *a), *b = a ? a + count * width : NULL;
    rubato_costs *costs = NULL;
    rubato_input *pairs = calloc(count, sizeof *pairs);
    rubato_status status = a && pairs ? RUBATO_OK : fail_memory(e->error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        if (!e->data.items[i].pair)
            status = fail_example(e->error, RUBATO_BAD_DATA, e->options->data, e->data.items[i].line, "no second text");
        e->inputs[i].pair = NULL;
        pairs[i].text = e->data.items[i].pair;
    }
    if (status == RUBATO_OK)
        status = place_error(e, rubato_embed(e->context, a, e->inputs, count, e->options->run, &e->costs, e->error));
    if (status == RUBATO_OK)
        status = place_error(e, rubato_embed(e->context, b, pairs, count, e->options->run, &costs, e->error));
    dot_f32_function *dot = e->context->kernels->dot_f32;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const float *x = a + i * width, *y = b + i * width;
        out[i] = (double)dot(x, y, width) / fmax(sqrt((double)dot(x, x, width) * (double)dot(y, y, width)), 1e-12);
        rubato_cost *first = &e->costs->items[i];
        const rubato_cost *second = &costs->items[i];
        first->ms += second->ms;
        first->tokens += second->tokens;
        first->flops += second->flops;
        first->full_flops += second->full_flops;
    }
    free(a);
    rubato_free(costs);
    free(pairs);
    return status;
}

/* Regression heads, or the cosine of two embeddings ("sts"). */
static rubato_status evaluate_values(evaluating *e, bool cosine) {
    TRY(prepare(e, DATASET_TEXTS));
    size_t count = e->data.count;
    const rubato_info *info = rubato_model_info(e->context->model);
    if (!cosine && info->task != RUBATO_TASK_REGRESSION)
        return fail(e->error, RUBATO_WRONG_TASK, "%s: a model for %s, not for regression", info->path,
                    rubato_task_name(info->task));
    double *gold = malloc(2 * count * sizeof *gold), *predicted = gold ? gold + count : NULL;
    float *scores = malloc(count * sizeof *scores);
    rubato_status status = gold && scores ? RUBATO_OK : fail_memory(e->error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) status = gold_value(e, &e->data.items[i], &gold[i]);
    bool differ = e->loaded; /* training may have positive pairs alone */
    for (size_t i = 1; i < count && status == RUBATO_OK; i++) differ = differ || gold[i] != gold[0];
    if (status == RUBATO_OK && !differ)
        status = fail(e->error, RUBATO_BAD_DATA, "%s: all scores are equal; a correlation needs different ones",
                      e->options->data);
    if (status == RUBATO_OK && cosine) {
        status = embed_cosines(e, predicted);
    } else if (status == RUBATO_OK) {
        status = classify(e, scores, 1);
        for (size_t i = 0; i < count && status == RUBATO_OK; i++) predicted[i] = (double)scores[i];
    }
    if (status == RUBATO_OK) {
        double spearman = metric_spearman(gold, predicted, count);
        if (isnan(spearman)) status = fail_memory(e->error);
        add_metric(e->out, "pearson", metric_pearson(gold, predicted, count));
        add_metric(e->out, "spearman", spearman);
    }
    free(gold);
    free(scores);
    return status;
}

/* ---- Tagging ---- */

/* Each word takes the label of the first token that begins in it; O when there is none. */
static void word_labels(const rubato_info *info, const rubato_tags *tags, const size_t *starts, size_t count,
                        const char **out) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? starts[i + 1] : SIZE_MAX;
        out[i] = "O";
        while (at < tags->token_count && tags->tokens[at].start < starts[i]) at++;
        if (at < tags->token_count && tags->tokens[at].start < end) out[i] = info->labels[tags->tokens[at].label];
    }
}

/* "PER" of "B-PER". */
static const char *type_of(const char *tag) {
    return *tag && tag[1] == '-' ? tag + 2 : tag;
}

/* The label of a word in the model's spelling. One that the model lacks stays as it is where it says no entity, or a
 * type that the model has with another prefix: a model with I-PER alone is judged by B-PER too. */
static rubato_status gold_tag(const evaluating *e, const example *item, size_t word, const char **out) {
    const rubato_info *info = rubato_model_info(e->context->model);
    bool stays = strcmp(item->tags[word], "O") == 0;
    size_t found;
    for (size_t i = 0; i < info->label_count && !stays; i++)
        stays = strcmp(type_of(info->labels[i]), type_of(item->tags[word])) == 0;
    rubato_status status =
        label_find(&found, info, item->tags[word], e->options->data, item->line, stays ? NULL : e->error);
    *out = status == RUBATO_OK ? info->labels[found] : item->tags[word];
    return stays ? RUBATO_OK : status;
}

static rubato_status evaluate_tags(evaluating *e) {
    TRY(prepare(e, DATASET_TAGS));
    const rubato_info *info = rubato_model_info(e->context->model);
    size_t count = e->data.count, words = 0, right = 0;
    text_buffer *texts = calloc(count, sizeof *texts);
    size_t **starts = calloc(count, sizeof *starts);
    rubato_tags *tags = NULL;
    rubato_status status = texts && starts ? RUBATO_OK : fail_memory(e->error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const example *item = &e->data.items[i];
        const char *tag;
        starts[i] = calloc(item->word_count + 1, sizeof *starts[i]);
        if (!starts[i] || !words_join(item, &texts[i], starts[i])) status = fail_memory(e->error);
        for (size_t j = 0; j < item->word_count && status == RUBATO_OK; j++) status = gold_tag(e, item, j, &tag);
        e->inputs[i] = (rubato_input){.text = texts[i].data ? texts[i].data : "", .text_bytes = texts[i].length};
    }
    if (status == RUBATO_OK)
        status = place_error(e, rubato_tag(e->context, &tags, e->inputs, count, e->options->run, &e->costs, e->error));
    entity_counts counts = {0};
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const example *item = &e->data.items[i];
        const char **found = calloc(2 * item->word_count + 1, sizeof *found);
        if (!found) {
            status = fail_memory(e->error);
            break;
        }
        word_labels(info, &tags[i], starts[i], item->word_count, found);
        const char **gold = found + item->word_count;
        for (size_t j = 0; j < item->word_count; j++) gold_tag(e, item, j, &gold[j]); /* succeeded above */
        metric_count_entities(&counts, gold, found, item->word_count);
        for (size_t j = 0; j < item->word_count; j++, words++) right += strcmp(found[j], gold[j]) == 0;
        free(found);
    }
    if (status == RUBATO_OK) {
        add_metric(e->out, "f1", metric_entity_f1(counts));
        add_metric(e->out, "precision", counts.predicted ? (double)counts.correct / (double)counts.predicted : 0);
        add_metric(e->out, "recall", counts.gold ? (double)counts.correct / (double)counts.gold : 0);
        add_metric(e->out, "accuracy", words ? (double)right / (double)words : 0);
    }
    rubato_tags_destroy(tags);
    for (size_t i = 0; texts && starts && i < count; i++) {
        text_free(&texts[i]);
        free(starts[i]);
    }
    free(texts);
    free(starts);
    return status;
}

/* ---- Questions ---- */

static char *cut_span(const char *text, size_t start, size_t end) {
    size_t size = strlen(text), first = utf8_byte_of(text, size, start), last = utf8_byte_of(text, size, end);
    return text_copy(text + first, last - first);
}

static rubato_status evaluate_questions(evaluating *e) {
    TRY(prepare(e, DATASET_QUESTIONS));
    size_t count = e->data.count, empty = 0;
    rubato_answer_span *spans = calloc(count, sizeof *spans);
    rubato_status status = spans ? RUBATO_OK : fail_memory(e->error);
    if (status == RUBATO_OK)
        status =
            place_error(e, rubato_answer(e->context, spans, e->inputs, count, e->options->run, &e->costs, e->error));
    double exact = 0, f1 = 0;
    for (size_t i = 0; i < count; i++) empty += e->data.items[i].answer_count == 0;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const example *item = &e->data.items[i];
        /* a set with questions without answers allows "no answer", where the model finds it more probable */
        bool none = empty > 0 && spans[i].null_score > spans[i].score;
        char *answer = none ? text_copy("", 0) : cut_span(item->pair, spans[i].start, spans[i].end);
        if (!answer) {
            status = fail_memory(e->error);
            break;
        }
        double best_exact = item->answer_count == 0 ? !*answer : 0, best_f1 = best_exact;
        for (size_t j = 0; j < item->answer_count; j++) {
            double this_exact = metric_squad_exact(answer, item->answers[j]);
            double this_f1 = metric_squad_f1(answer, item->answers[j]);
            if (isnan(this_exact) || isnan(this_f1)) status = fail_memory(e->error);
            best_exact = fmax(best_exact, this_exact);
            best_f1 = fmax(best_f1, this_f1);
        }
        exact += best_exact / (double)count;
        f1 += best_f1 / (double)count;
        free(answer);
    }
    if (status == RUBATO_OK) {
        add_metric(e->out, "exact_match", exact);
        add_metric(e->out, "f1", f1);
    }
    free(spans);
    return status;
}

/* ---- Language models: masked tokens, or the next one ---- */

typedef struct masking {
    const rubato_model *model;
    const head *head;
    uint64_t seed;
    bool next;          /* every token is predicted from those before it */
    double *characters; /* [input] code points that were predicted */
    int32_t ***targets; /* [input][window] -> id for each token, -1 where it is not masked */
    double *loss;       /* [input] */
    size_t *asked;      /* [input] */
} masking;

/* Replaces 15 % of the tokens by the mask, chosen by a hash of seed and position, so that every run masks the same
 * tokens; or lists the next tokens. */
static rubato_status mask_some(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error) {
    masking *m = user;
    size_t rows = 0;
    for (size_t w = 0; w < encoding->count; w++) rows += encoding->windows[w].length;
    int32_t **windows = malloc(encoding->count * sizeof *windows + (rows + 1) * sizeof(int32_t));
    if (!windows) return fail_memory(error);
    int32_t *at = (int32_t *)(void *)(windows + encoding->count);
    for (size_t w = 0; w < encoding->count; w++) {
        const rubato_window *window = &encoding->windows[w];
        windows[w] = at;
        for (size_t i = 0; i < window->length; i++, at++) {
            if (m->next) {
                *at = i + 1 < window->length ? window->ids[i + 1] : -1;
                if (window->sequences[i] != 255)
                    m->characters[input] = fmax(m->characters[input], (double)window->offsets[i][1]);
                continue;
            }
            uint64_t draw = random_hash(m->seed ^ random_hash((uint64_t)input << 32 | w << 20 | i));
            bool chosen = window->sequences[i] != 255 && draw % 100 < 15;
            *at = chosen ? window->ids[i] : -1;
            if (chosen) ((int32_t *)(uintptr_t)window->ids)[i] = m->model->text->mask; /* this job's encoding */
        }
    }
    m->targets[input] = windows;
    return RUBATO_OK;
}

static rubato_status score_masks(void *user, const run *on, const encoded *out, const exit_session *left,
                                 const unit *units, rubato_error *error) {
    masking *m = user;
    const batch *packed = &out->packed;
    (void)left;
    for (size_t i = 0; i < packed->sequences; i++) {
        const int32_t *targets = m->targets[units[i].input][units[i].number];
        for (size_t row = packed->start[i]; row < packed->start[i + 1]; row++) {
            int32_t target = targets[row - packed->start[i]];
            if (target < 0) continue;
            arena_mark mark = arena_save(on->memory);
            tensor scores = head_forward(m->head, on, out->rows, &row, 1);
            if (!scores.data) return fail_memory(error);
            float top = scores.data[0];
            for (size_t j = 1; j < scores.columns; j++) top = fmaxf(top, scores.data[j]);
            double sum = 0;
            for (size_t j = 0; j < scores.columns; j++) sum += exp((double)(scores.data[j] - top));
            m->loss[units[i].input] += log(sum) + (double)top - (double)scores.data[target];
            m->asked[units[i].input]++;
            arena_rewind(on->memory, mark);
        }
    }
    return RUBATO_OK;
}

static rubato_status evaluate_language(evaluating *e, bool next) {
    TRY(prepare(e, DATASET_TEXTS));
    const rubato_model *model = e->context->model;
    size_t count = e->data.count;
    masking m = {.model = model, .seed = e->options->seed, .next = next};
    if (next != (model->info.task == RUBATO_TASK_LM) && (next || model->heads[HEAD_MLM].present))
        return fail(e->error, RUBATO_WRONG_TASK, "%s: this is a model for %s, not for %s", model->path,
                    rubato_task_name(model->info.task), next ? "lm" : "mlm");
    TRY(engine_head(model, HEAD_MLM, &m.head, e->error));
    m.targets = calloc(count, sizeof *m.targets);
    m.loss = calloc(count, sizeof *m.loss);
    m.asked = calloc(count, sizeof *m.asked);
    m.characters = calloc(count, sizeof *m.characters);
    rubato_status status = m.targets && m.loss && m.asked && m.characters ? RUBATO_OK : fail_memory(e->error);
    rubato_options own;
    /* an input has one window, so only one thread adds its losses */
    job work = {.inputs = e->inputs,
                .count = count,
                .options = &own,
                .head = HEAD_MLM,
                .take = score_masks,
                .user = &m,
                .costs = &e->costs,
                .prepare = mask_some};
    if (status == RUBATO_OK)
        status = engine_options(model, RUBATO_FOR_TOKENS, e->options->run, &own, &work.text, e->error);
    if (status == RUBATO_OK) status = place_error(e, engine_run(e->context, &work, e->error));
    double loss = 0, read = 0;
    size_t asked = 0;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        loss += m.loss[i];
        read += m.characters[i];
        asked += m.asked[i];
    }
    if (status == RUBATO_OK && asked == 0 && !e->loaded)
        status = fail(e->error, RUBATO_BAD_DATA, "%s: no token was hidden; the texts are too few and short",
                      e->options->data);
    if (status == RUBATO_OK) {
        add_metric(e->out, "perplexity", asked ? exp(loss / (double)asked) : 0);
        add_metric(e->out, "loss", asked ? loss / (double)asked : 0);
        if (next) add_metric(e->out, "bits_per_character", read > 0 ? loss / log(2) / read : 0);
    }
    for (size_t i = 0; m.targets && i < count; i++) free(m.targets[i]);
    free(m.targets);
    free(m.loss);
    free(m.asked);
    free(m.characters);
    return status;
}

/* ---- All of them ---- */

static rubato_status summarize(evaluating *e, double seconds) {
    evaluation *out = e->out;
    size_t count = e->data.count, ran = e->costs ? count : 0;
    double rows = 0, ms = 0, flops = 0, full = 0;
    for (size_t i = 0; i < ran; i++) {
        const rubato_cost *cost = &e->costs->items[i];
        rows += (double)cost->tokens;
        ms += cost->ms;
        flops += cost->flops;
        full += cost->full_flops;
        for (size_t j = 0; j < cost->layers; j++) {
            out->alive[j] += 1 / (double)count;
            out->rows[j] += (double)cost->rows[j];
        }
    }
    for (size_t j = 0; j < out->is.layers; j++) out->rows[j] /= fmax(rows, 1);
    out->is.examples = count;
    out->is.flops_ratio = full > 0 ? flops / full : 1;
    out->is.ms_mean = ms / (double)count;
    out->is.tokens_per_second = seconds > 0 ? rows / seconds : 0;
    return ran ? cost_percentiles(&out->is, e->costs->items, count, e->error) : RUBATO_OK;
}

rubato_status evaluation_create(evaluation **out, size_t layers, rubato_error *error) {
    evaluation *made = calloc(1, sizeof *made + (2 * layers + 1) * sizeof(double));
    *out = made;
    if (!made) return fail_memory(error);
    made->alive = (double *)(void *)(made + 1);
    made->rows = made->alive + layers + 1;
    made->is =
        (rubato_evaluation){.metrics = made->metrics, .layers = layers, .alive = made->alive, .rows = made->rows};
    return RUBATO_OK;
}

rubato_status evaluate_kind(const char *task, dataset_kind *kind, rubato_error *error) {
    static const char *const texts[] = {"classification", "regression", "sts", "mlm", "lm"};
    *kind = strcmp(task, "tagging") == 0 ? DATASET_TAGS : strcmp(task, "qa") == 0 ? DATASET_QUESTIONS : DATASET_TEXTS;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && *kind == DATASET_TEXTS; i++)
        if (strcmp(texts[i], task) == 0) return RUBATO_OK;
    return *kind != DATASET_TEXTS ? RUBATO_OK
                                  : fail(error, RUBATO_BAD_ARGUMENT,
                                         "task \"%.40s\": known here are classification, regression, tagging, qa, sts, "
                                         "mlm and lm",
                                         task);
}

double evaluation_main(const rubato_evaluation *e, char *name, size_t bytes) {
    static const char *const preferred[] = {"accuracy", "f1", "spearman"};
    bool tagging = e->metric_count && strcmp(e->metrics[0].name, "f1") == 0; /* tagging has a token accuracy too */
    for (size_t i = tagging ? 1 : 0; i < sizeof preferred / sizeof preferred[0]; i++)
        for (size_t j = 0; j < e->metric_count; j++)
            if (strcmp(e->metrics[j].name, preferred[i]) == 0) {
                snprintf(name, bytes, "%s", preferred[i]);
                return e->metrics[j].value;
            }
    return NAN;
}

static rubato_status evaluate_task(evaluating *e) {
    const char *task = e->options->task;
    if (strcmp(task, "classification") == 0) return evaluate_classes(e);
    if (strcmp(task, "regression") == 0) return evaluate_values(e, false);
    if (strcmp(task, "sts") == 0) return evaluate_values(e, true);
    if (strcmp(task, "tagging") == 0) return evaluate_tags(e);
    if (strcmp(task, "qa") == 0) return evaluate_questions(e);
    if (strcmp(task, "mlm") == 0) return evaluate_language(e, false);
    if (strcmp(task, "lm") == 0) return evaluate_language(e, true);
    return fail(e->error, RUBATO_BAD_ARGUMENT,
                "task \"%.40s\": known are classification, regression, tagging, qa, retrieval, sts, mlm and lm", task);
}

static rubato_status evaluate(rubato_context *context, const rubato_eval_options *options, const dataset *loaded,
                              const float *logits, rubato_evaluation **out, rubato_costs **costs, rubato_error *error) {
    rubato_eval_options own;
    evaluating e = {.context = context, .options = &own, .error = error, .logits = logits};
    *out = NULL;
    TRY(OPTIONS_COPY(&own, rubato_eval_options, options, error));
    if (!own.task || !own.data) return fail(error, RUBATO_BAD_ARGUMENT, "a task and a data file are needed");
    TRY(evaluation_create(&e.out, context->model->body.depth, error));
    if (loaded) {
        e.data = *loaded;
        e.loaded = true;
    }
    double begin = clock_ms();
    energy_meter energy;
    energy_begin(&energy);
    rubato_status status;
    if (strcmp(own.task, "retrieval") == 0) {
        status = evaluate_retrieval(context, &own, e.out, error);
    } else {
        status = evaluate_task(&e);
        if (status == RUBATO_OK) status = summarize(&e, (clock_ms() - begin) / 1e3);
    }
    bool measured;
    double joules = energy_end(&energy, rubato_context_threads(context), &measured);
    e.out->is.joules = joules / (double)size_max(e.out->is.examples, 1);
    e.out->is.joules_measured = measured;
    if (!e.loaded) dataset_free(&e.data);
    free(e.inputs);
    if (costs && status == RUBATO_OK)
        *costs = e.costs;
    else
        rubato_free(e.costs);
    if (status == RUBATO_OK)
        *out = &e.out->is;
    else
        rubato_free(e.out);
    return status;
}

rubato_status rubato_evaluate(rubato_context *context, const rubato_eval_options *options, rubato_evaluation **out,
                              rubato_error *error) {
    return evaluate(context, options, NULL, NULL, out, NULL, error);
}

rubato_status evaluate_loaded(rubato_context *context, const rubato_eval_options *options, const dataset *loaded,
                              rubato_evaluation **out, rubato_costs **costs, rubato_error *error) {
    if (costs) *costs = NULL;
    return evaluate(context, options, loaded, NULL, out, costs, error);
}

rubato_status evaluate_logits(rubato_context *context, const rubato_eval_options *options, const dataset *data,
                              const float *logits, rubato_evaluation **out, rubato_error *error) {
    return evaluate(context, options, data, logits, out, NULL, error);
}
