/* Choosing the layers to remove. */
#include "task/depth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "store/dataset.h"
#include "task/context.h"

enum { SAMPLE_TEXTS = 200 };

/* Adds the mean cosine between each layer's input and output, over the tokens of one text, to sums. */
static rubato_status add_text(rubato_context *context, const example *item, double *sums, size_t *tokens,
                              rubato_error *error) {
    const encoder *body = &context->model->body;
    rubato_input input = {.text = item->text, .pair = item->pair};
    const rubato_text_options text = {.size = sizeof text, .max_length = context->model->info.max_length};
    const rubato_options options = {.size = sizeof options, .text = &text};
    float *states;
    size_t length, hidden = config_width(&body->config);
    dot_f32_function *const dot = context->kernels->dot_f32;
    TRY(rubato_hidden_states(context, &states, &length, &input, &options, error));
    for (size_t i = 0; i < body->depth; i++)
        for (size_t row = 0; row < length; row++) {
            const float *a = states + (i * length + row) * hidden, *b = a + length * hidden;
            double norms = sqrt((double)dot(a, a, hidden) * (double)dot(b, b, hidden));
            sums[i] += (double)dot(a, b, hidden) / fmax(norms, 1e-12);
        }
    *tokens += length;
    free(states);
    return RUBATO_OK;
}

static rubato_status drop_idle(const rubato_model *model, double most, const char *file, const char *columns,
                               bool *drop, rubato_error *error) {
    double sums[POINT_LAYERS] = {0};
    size_t tokens = 0;
    dataset data;
    rubato_context *context;
    if (!file) return fail(error, RUBATO_BAD_ARGUMENT, "contribution:X is measured on --data, which is missing");
    TRY(dataset_read(&data, file, DATASET_TEXTS, columns, error));
    rubato_status status = dataset_sample(&data, SAMPLE_TEXTS, 0, error);
    context = NULL;
    if (status == RUBATO_OK) status = rubato_context_create(&context, model, NULL, error);
    for (size_t i = 0; i < data.count && status == RUBATO_OK; i++)
        status = add_text(context, &data.items[i], sums, &tokens, error);
    rubato_context_destroy(context);
    dataset_free(&data);
    for (size_t i = 0; i < model->body.depth; i++) drop[i] = sums[i] / (double)size_max(tokens, 1) > most;
    return status;
}

rubato_status depth_choose(const rubato_model *model, const char *strategy, const char *data, const char *columns,
                           size_t *layers, size_t *count, rubato_error *error) {
    static const char *const names[] = {"top", "bottom", "odd", "even", "symmetric", "contribution"};
    size_t depth = model->body.depth, which = 0, length = strcspn(strategy, ":");
    bool drop[POINT_LAYERS] = {false};
    while (which < 6 && (strlen(names[which]) != length || strncmp(names[which], strategy, length) != 0)) which++;
    char *end = NULL;
    double value = strategy[length] ? strtod(strategy + length + 1, &end) : 0;
    bool whole = value >= 1 && value == floor(value) && value < (double)depth;
    if (which == 6 || !end || *end || end == strategy + length + 1 || depth > POINT_LAYERS ||
        (which < 5 ? !whole : !(value > 0 && value < 1)))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "drop \"%.40s\": use top:K, bottom:K, odd:K, even:K or symmetric:K with K from 1 to %zu, or "
                    "contribution:X with a cosine below 1",
                    strategy, depth - 1);
    size_t k = which < 5 ? (size_t)value : 0;
    if ((which == 2 && 2 * k > depth) || (which == 3 && 2 * k > depth + 1))
        return fail(error, RUBATO_BAD_ARGUMENT, "drop \"%.40s\": of %zu layers not so many are every other one",
                    strategy, depth);
    for (size_t i = 0; i < k; i++) {
        size_t from[] = {depth - 1 - i, i, depth - 2 - 2 * i, depth - 1 - 2 * i, (depth - k + 1) / 2 + i};
        drop[from[which]] = true;
    }
    if (which == 5) TRY(drop_idle(model, value, data, columns, drop, error));
    *count = 0;
    for (size_t i = 0; i < depth; i++)
        if (!drop[i]) layers[(*count)++] = i;
    return *count ? RUBATO_OK
                  : fail(error, RUBATO_BAD_ARGUMENT, "drop \"%.40s\": no layer does more than that", strategy);
}
