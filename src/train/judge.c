/* The quality of a model in training. */
#include "train/judge.h"

#include <math.h>
#include <string.h>

#include "base/text_buffer.h"
#include "task/context.h"
#include "task/evaluate.h"

static double metric_named(const rubato_evaluation *e, const char *name) {
    for (size_t i = 0; i < e->metric_count; i++)
        if (strcmp(e->metrics[i].name, name) == 0) return e->metrics[i].value;
    return NAN;
}

const char *trainer_metric(const trainer *self) {
    switch (self->kind) {
    case SAMPLE_CLASS: return "accuracy";
    case SAMPLE_CLASSES:
    case SAMPLE_TAGS:
    case SAMPLE_SPAN: return "f1";
    case SAMPLE_MASKED: return "perplexity";
    case SAMPLE_TEXT:
    case SAMPLE_VALUE:
    case SAMPLE_COSINE:
    case SAMPLE_CONTRAST: break;
    }
    return "spearman";
}

/* The dev set at a point (NULL: full). */
static rubato_status judge_at(trainer *self, const point *at, double *value, rubato_error *error) {
    const rubato_text_options text = {.size = sizeof text, .max_length = self->options->max_length};
    const rubato_options running = {.size = sizeof running, .text = &text};
    const rubato_eval_options options = {.size = sizeof options,
                                         .task = self->kind == SAMPLE_CONTRAST ? "sts" : self->options->task,
                                         .data = self->options->dev,
                                         .columns = self->options->columns,
                                         .seed = self->options->seed,
                                         .run = &running};
    rubato_evaluation *result;
    self->context->force = at;
    rubato_status status = evaluate_loaded(self->context, &options, &self->dev.data, &result, NULL, error);
    self->context->force = NULL;
    *value = status == RUBATO_OK ? metric_named(result, trainer_metric(self)) : NAN;
    rubato_free(result);
    return status;
}

/* How the dev set uses the memories. */
static rubato_status write_use(const trainer *self, rubato_error *error) {
    fprintf(self->metrics, ", \"memory\": [");
    for (size_t i = 0; i < self->use.count; i++) {
        rubato_memory_use use;
        TRY(memory_use_measure(&self->use, i, &use, error));
        fprintf(self->metrics,
                "%s{\"layer\": %zu, \"used\": %.6f, \"used_first\": %.6f, \"kl\": %.4f, \"kl_first\": %.4f, \"gini\": "
                "%.4f}",
                i ? ", " : "", use.layer, use.used, use.used_first, use.kl, use.kl_first, use.gini);
    }
    fprintf(self->metrics, "]");
    return RUBATO_OK;
}

static rubato_status judge(trainer *self, double *value, rubato_error *error) {
    const phase *now = self->now;
    const watcher *watch = self->use.count ? &self->use.watch : NULL;
    double first, sum, other, least = INFINITY, most = -INFINITY;
    text_buffer others = {0};
    memory_use_clear(&self->use);
    self->context->watch = watch;
    rubato_status status = judge_at(self, now->judge, &first, error);
    self->context->watch = NULL;
    sum = first;
    for (size_t i = 0; i < now->also_count && status == RUBATO_OK; i++) {
        status = judge_at(self, &now->also[i], &other, error);
        sum += other;
        least = fmin(least, other);
        most = fmax(most, other);
        text_add_format(&others, "%s%.6f", i ? ", " : "", other);
    }
    *value = sum / (double)(now->also_count + 1);
    self->judged.points = now->also_count + 1;
    self->judged.full = first;
    self->judged.least = least;
    self->judged.most = most;
    if (status == RUBATO_OK && others.failed) status = fail_memory(error);
    if (status == RUBATO_OK && self->metrics) {
        fprintf(self->metrics, "{\"phase\": \"%s\", \"step\": %zu, \"%s\": %.6f", now->name, self->step,
                trainer_metric(self), first);
        if (others.data) fprintf(self->metrics, ", \"points\": [%s]", others.data);
        if (watch) status = write_use(self, error);
        fprintf(self->metrics, "}\n");
        fflush(self->metrics);
    }
    text_free(&others);
    return status;
}

static bool is_better(const trainer *self, double value) {
    if (isnan(self->best)) return true;
    return self->kind == SAMPLE_MASKED ? value < self->best : value > self->best;
}

rubato_status trainer_judge(trainer *self, double *value, rubato_error *error) {
    TRY(judge(self, value, error));
    if (!is_better(self, *value)) return RUBATO_OK;
    self->best = *value;
    self->best_step = self->step;
    return trainer_save(self, error);
}
