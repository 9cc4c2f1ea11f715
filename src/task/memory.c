/* rubato_memory: the use of a model's memories by texts. */
#include <stdlib.h>

#include "base/options.h"
#include "store/dataset.h"
#include "task/context.h"
#include "task/encode.h"
#include "task/job.h"
#include "task/memory_use.h"

static rubato_status run_texts(rubato_context *context, const dataset *data, const rubato_memory_options *o,
                               rubato_error *error) {
    enum { CHUNK = 1024 };
    rubato_input inputs[CHUNK];
    const size_t all = o->limit && o->limit < data->count ? o->limit : data->count;
    const rubato_text_options text = {.size = sizeof text, .max_length = o->max_length};
    const rubato_options options = {.size = sizeof options, .text = &text};
    for (size_t first = 0; first < all; first += CHUNK) {
        const size_t count = all - first < CHUNK ? all - first : CHUNK;
        rubato_options own;
        for (size_t i = 0; i < count; i++)
            inputs[i] = (rubato_input){.text = data->items[first + i].text, .pair = data->items[first + i].pair};
        job work = {.inputs = inputs, .count = count, .options = &own, .head = HEAD_COUNT};
        TRY(engine_options(context->model, RUBATO_FOR_SCORES, &options, &own, &work.text, error));
        TRY(engine_run(context, &work, error));
        if (o->progress && o->progress(o->progress_user, first + count, all))
            return fail(error, RUBATO_CANCELLED, "cancelled");
    }
    return RUBATO_OK;
}

static rubato_status report(const memory_use *use, size_t texts, rubato_memory_report **out, rubato_error *error) {
    rubato_memory_report *made = calloc(1, sizeof *made + use->count * sizeof(rubato_memory_use));
    if (!made) return fail_memory(error);
    rubato_memory_use *each = (rubato_memory_use *)(made + 1);
    *made = (rubato_memory_report){.texts = texts, .tokens = use->rows, .count = use->count, .uses = each};
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < use->count && status == RUBATO_OK; i++) status = memory_use_measure(use, i, &each[i], error);
    if (status == RUBATO_OK)
        *out = made;
    else
        free(made);
    return status;
}

static rubato_status measure(rubato_context *context, const rubato_memory_options *o, rubato_memory_report **out,
                             rubato_error *error) {
    const encoder *body = &context->model->body;
    dataset data = {0};
    memory_use use;
    if (!o->data) return fail(error, RUBATO_BAD_ARGUMENT, "texts are needed");
    if (!encoder_remembers(body))
        return fail(error, RUBATO_UNSUPPORTED, "%s: the model has no memories", context->model->path);
    rubato_status status = memory_use_create(&use, body, error);
    if (status == RUBATO_OK) status = dataset_read(&data, o->data, DATASET_TEXTS, o->columns, error);
    const watcher *before = context->watch;
    context->watch = &use.watch;
    if (status == RUBATO_OK) status = run_texts(context, &data, o, error);
    context->watch = before;
    if (status == RUBATO_OK)
        status = report(&use, o->limit && o->limit < data.count ? o->limit : data.count, out, error);
    dataset_free(&data);
    memory_use_destroy(&use);
    return status;
}

rubato_status rubato_memory(rubato_context *context, const rubato_memory_options *options, rubato_memory_report **out,
                            rubato_error *error) {
    rubato_memory_options own;
    *out = NULL;
    TRY(OPTIONS_COPY(&own, rubato_memory_options, options, error));
    return measure(context, &own, out, error);
}
