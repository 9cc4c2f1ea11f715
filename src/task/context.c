/* Contexts, and the points that budgets select. */
#include "task/context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

enum {
    SMALL_LAYER = 8 << 20, /* bytes of weights that the last-level cache holds besides the activations */
    SMALL_BATCH = 192,     /* rows of a batch for such a model: activations stay in the second-level cache */
    LARGE_BATCH = 512,     /* for larger models: weights come from memory, and one read serves more rows */
    ARENA_BLOCK = 4 << 20, /* least block of a worker's arena */
    ARENA_KEEP = 24 << 20  /* what a worker's arena keeps between batches */
};

/* Where another set was asked for, that is the reason, and the system is not asked for its permission. */
static const char *why_no_tiles(const kernel_table *kernels, bool asked, const rubato_model *model) {
    if (kernels->isa == ISA_AMX) return strcmp(model->info.precision, "f32") == 0 ? "products in f32 use none" : "";
    return asked ? "another instruction set was asked for" : kernel_table_no_tiles();
}

rubato_status rubato_context_create(rubato_context **out, const rubato_model *model,
                                    const rubato_context_options *options, rubato_error *error) {
    rubato_context_options own;
    *out = NULL;
    TRY(OPTIONS_COPY(&own, rubato_context_options, options, error));
    if (!model->weights.shard_count && !model->untrained)
        return fail(error, RUBATO_BAD_ARGUMENT, "%s: only described, without weights; load it to run it", model->path);
    const kernel_table *kernels = own.isa ? kernel_table_named(own.isa) : kernel_table_best();
    if (!kernels)
        return fail(
            error, RUBATO_BAD_ARGUMENT,
            "instruction set \"%.40s\": unknown, or not on this machine; \"rubato info MODEL\" names the best that "
            "it has",
            own.isa);
    size_t threads = own.threads ? own.threads : threads_available();
    rubato_context *self = calloc(1, sizeof *self);
    if (!self) return fail_memory(error);
    self->model = model;
    self->kernels = kernels;
    self->no_tiles = why_no_tiles(kernels, own.isa != NULL, model);
    const encoder_config *config = &model->body.config;
    size_t layer_bytes = sizeof(float) * config->hidden * (4 * config->hidden + 2 * config->inner);
    self->batch_tokens = layer_bytes <= SMALL_LAYER ? SMALL_BATCH : LARGE_BATCH;
    if (own.batch_tokens) self->batch_tokens = own.batch_tokens;
    rubato_status status = team_create(&self->crew, threads, error);
    if (status == RUBATO_OK) {
        self->workers = calloc(threads, sizeof *self->workers);
        if (!self->workers) status = fail_memory(error);
    }
    if (status != RUBATO_OK) {
        rubato_context_destroy(self);
        return status;
    }
    for (size_t i = 0; i < threads; i++) arena_create(&self->workers[i].memory, ARENA_KEEP, ARENA_BLOCK);
    *out = self;
    return RUBATO_OK;
}

void rubato_context_destroy(rubato_context *self) {
    if (!self) return;
    for (size_t i = 0; self->workers && i < team_size(self->crew); i++) {
        arena_destroy(&self->workers[i].memory);
        tokenizer_scratch_free(&self->workers[i].text);
    }
    free(self->workers);
    rubato_calibration_destroy(self->calibration);
    team_destroy(self->crew);
    free(self);
}

const char *rubato_context_isa(const rubato_context *self) {
    return self->kernels->name;
}

const char *rubato_context_no_tiles(const rubato_context *self) {
    return self->no_tiles;
}

size_t rubato_context_threads(const rubato_context *self) {
    return team_size(self->crew);
}

/* Operations as answers report them: with exits, and with the head. Milliseconds are those of the layers; exits take
 * their part of the operations. */
static double price(const void *user, budget_kind kind, const point *at, size_t length) {
    const rubato_context *context = user;
    const rubato_model *model = context->model;
    const encoder_shape *shape = &model->body.shape;
    head_kind kind_of = engine_main_head(model);
    bool by_row = kind_of == HEAD_TOKEN || kind_of == HEAD_QA || kind_of == HEAD_MLM;
    double after = kind_of == HEAD_COUNT ? 0 : head_flops(&model->heads[kind_of], by_row ? length : 1, length);
    double spent = engine_flops(model, at, length);
    if (kind == BUDGET_MS) {
        double layers = point_flops(at, shape, length, NULL);
        return cost_model_ms(context->times, at, shape, length, 1) * (at && at->exit.rule ? spent / layers : 1);
    }
    return (spent + after) / (engine_flops(model, NULL, length) + after);
}

/* The least that any text costs: milliseconds of a text of one word. */
static rubato_status check_least(const rubato_context *context, const budget *wanted, rubato_error *error) {
    enum { ONE_WORD = 3 };
    const frontier *points = &context->model->points;
    double least = price(context, BUDGET_MS, NULL, ONE_WORD);
    for (size_t i = 0; i < points->count; i++)
        least = fmin(least, price(context, BUDGET_MS, &points->points[i], ONE_WORD));
    if (least <= wanted->value) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "budget \"%gms\": one word alone takes %.2g ms on this machine",
                wanted->value, least);
}

rubato_status engine_budget(const rubato_context *context, const rubato_options *options, budget *out,
                            rubato_error *error) {
    const rubato_model *model = context->model;
    const char *text = options ? options->budget : NULL;
    if (context->force) {
        *out = (budget){.kind = BUDGET_NAME, .named = context->force};
        return RUBATO_OK;
    }
    TRY(budget_parse(out, text, &model->points, context->times, error));
    out->strict = options && options->strict;
    return out->kind == BUDGET_MS ? check_least(context, out, error) : RUBATO_OK;
}

rubato_status engine_point(const point **out, const rubato_context *context, const budget *wanted, size_t length,
                           rubato_error *error) {
    const frontier *points = &context->model->points;
    if (budget_choose(out, wanted, points, price, context, length) || !wanted->strict) return RUBATO_OK;
    bool ms = wanted->kind == BUDGET_MS;
    return fail(error, RUBATO_BAD_ARGUMENT,
                "no point keeps %g%s for a text of %zu tokens; the cheapest, @%s, may take %.2g%s", wanted->value,
                ms ? "ms" : "x", length, (*out)->name, price(context, wanted->kind, *out, length), ms ? "ms" : "x");
}

rubato_status rubato_choose_point(const rubato_context *context, const char *text, size_t length, size_t *index,
                                  rubato_error *error) {
    const frontier *points = &context->model->points;
    rubato_options options = {.size = sizeof options, .budget = text};
    budget wanted;
    TRY(engine_budget(context, &options, &wanted, error));
    const point *at;
    TRY(engine_point(&at, context, &wanted, length, error));
    *index = at ? (size_t)(at - points->points) : points->count;
    return RUBATO_OK;
}
