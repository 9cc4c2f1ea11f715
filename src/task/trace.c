/* rubato_trace_text: the tokens that each layer keeps. */
#include <stdlib.h>
#include <string.h>

#include "task/encode.h"
#include "task/job.h"

typedef struct trace_block {
    rubato_trace trace;
    rubato_input input;
    const rubato_encoding *encoding; /* the input's or its own */
    uint8_t *alive, *ran;
    const encoder_shape *shape;
    const point *at;
    size_t *within, *now, count; /* [length] the token into whose row each was merged; the tokens that are rows now */
    size_t *heads, *neurons;     /* [layers] */
    exit_session session, *left;
} trace_block;

/* Tokens whose rows merged in a layer belong to the first of them. */
static void merge_tokens(trace_block *block, size_t made) {
    size_t length = block->trace.window->length, first;
    for (size_t i = 0; i < made; i++) {
        size_t rows = merged_from(&block->shape->merging, block->count, i, &first);
        for (size_t j = 1; j < rows; j++)
            for (size_t k = 0; k < length; k++)
                if (block->within[k] == block->now[first + j]) block->within[k] = block->now[first];
    }
}

static void note_width(trace_block *block, size_t i) {
    const layer_sizes *sizes = &block->shape->each[i];
    block->heads[i] = block->at ? point_heads(block->at, i, sizes->heads) : sizes->heads;
    block->neurons[i] = block->at ? point_neurons(block->at, i, sizes->inner) : sizes->inner;
}

static void note_layer(void *user, const run *on, const sight *what) {
    trace_block *block = user;
    size_t number = what->layer;
    const size_t *alive = what->alive;
    tensor rows = what->rows;
    (void)on;
    if (number == 0) return;
    size_t length = block->trace.window->length;
    uint8_t *lives = block->alive + (number - 1) * length;
    block->ran[number - 1] = 1;
    note_width(block, number - 1);
    if (number - 1 == block->shape->decoder) /* all rows have come back */
        for (size_t i = 0; i < length; i++) block->within[i] = i;
    if (point_merges(block->at, block->shape, number - 1) && rows.rows < block->count) merge_tokens(block, rows.rows);
    block->count = rows.rows;
    for (size_t i = 0; i < rows.rows; i++) {
        size_t row = block->now[i] = alive ? alive[i] : i;
        lives[row] = !(block->left && block->left->rule.by_token && block->left->answered[row]);
    }
    for (size_t i = 0; i < length; i++) lives[i] = lives[block->within[i]];
}

void rubato_trace_destroy(rubato_trace *trace) {
    if (!trace) return;
    trace_block *block = (trace_block *)(void *)trace;
    engine_encoding_free(&block->input, block->encoding);
    free(block);
}

static rubato_status trace_one(rubato_context *context, trace_block *block, const rubato_options *options,
                               rubato_error *error) {
    const rubato_model *model = context->model;
    const encoder *body = &model->body;
    const rubato_window *window = block->trace.window;
    size_t start[2] = {0, window->length};
    batch packed = {1, window->length, start, window->ids, window->types};
    rubato_status status = RUBATO_OK;
    const watcher watch = {WATCH_STATE, note_layer, block};
    run on = context_run(context, &status);
    on.watch = &watch;
    budget wanted;
    encoded out;
    TRY(engine_budget(context, options, &wanted, error));
    const point *at;
    TRY(engine_point(&at, context, &wanted, window->length, error));
    thinning thin = engine_thinning(model, engine_main_head(model), at);
    block->shape = &body->shape;
    block->at = at;
    block->count = window->length;
    for (size_t i = 0; i < window->length; i++) block->within[i] = block->now[i] = i;
    engine_exits(model, engine_main_head(model), at, &on, &packed, &block->session, &block->left, &thin);
    encoder_forward(body, &on, &packed, &thin, &out);
    if (block->left && !run_failed(&on)) block->trace.left_after = block->left->left_after[0];
    arena_reset(on.memory);
    block->trace.point = at ? at->name : "full";
    return encoder_result(body, &on, &thin, error);
}

rubato_status rubato_trace_text(rubato_context *context, const rubato_input *input, const rubato_options *options,
                                rubato_trace **trace, rubato_error *error) {
    rubato_options own;
    rubato_text_options text;
    const rubato_encoding *encoding;
    *trace = NULL;
    TRY(engine_options(context->model, RUBATO_FOR_TOKENS, options, &own, &text, error));
    TRY(engine_encode(context->model, input, &text, &context->workers[0].text, &encoding, error));
    const rubato_window *window = &encoding->windows[0];
    size_t layers = context->model->body.depth;
    size_t places = sizeof(size_t) * (window->length + layers);
    trace_block *block = calloc(1, sizeof *block + 2 * places + layers * (window->length + 1));
    if (!block) {
        engine_encoding_free(input, encoding);
        return fail_memory(error);
    }
    block->input = *input;
    block->encoding = encoding;
    block->within = (size_t *)(block + 1);
    block->now = block->within + window->length;
    block->heads = block->now + window->length;
    block->neurons = block->heads + layers;
    block->ran = (uint8_t *)(block->neurons + layers);
    block->alive = block->ran + layers;
    block->trace = (rubato_trace){.window = window,
                                  .layers = layers,
                                  .ran = block->ran,
                                  .alive = block->alive,
                                  .heads = block->heads,
                                  .neurons = block->neurons,
                                  .cut = encoding->cut};
    rubato_status status = trace_one(context, block, &own, error);
    if (status == RUBATO_OK)
        *trace = &block->trace;
    else
        rubato_trace_destroy(&block->trace);
    return status;
}
