/* Summaries of data. */
#include "train/summary.h"

#include <stdlib.h>

#include "base/checked.h"

enum { SAMPLES_BLOCK = 1 << 16 };

static int by_size(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static void count_labels(const sample *of, sample_kind kind, size_t labels, size_t *counts) {
    if (kind == SAMPLE_CLASS && of->label >= 0) counts[of->label]++;
    for (size_t i = 0; kind == SAMPLE_CLASSES && i < labels; i++) counts[i] += of->targets[i] > 0;
    for (size_t i = 0; kind == SAMPLE_TAGS && i < of->window->length; i++)
        if (of->labels[i] >= 0) counts[of->labels[i]]++;
}

static rubato_status summarize(const trainer *self, const samples *data, const char *path, const char *use,
                               size_t limit, rubato_error *error) {
    const rubato_info *info = &self->model->info;
    size_t labels = sample_takes_labels(self->kind) ? info->label_count : 0;
    bool labelled = labels || self->kind == SAMPLE_VALUE || self->kind == SAMPLE_COSINE;
    size_t *lengths = malloc(size_max(data->count, 1) * sizeof *lengths), *counts = calloc(labels + 1, sizeof *counts);
    rubato_status status = lengths && counts ? RUBATO_OK : fail_memory(error);
    arena drawn;
    arena_create(&drawn, SAMPLES_BLOCK, SAMPLES_BLOCK);
    for (size_t i = 0; i < data->count && status == RUBATO_OK; i++) {
        const sample *of = samples_at(data, i, &drawn);
        if (!of) status = fail_memory(error);
        if (of) lengths[i] = of->window->length;
        if (of) count_labels(of, self->kind, labels, counts);
        arena_reset(&drawn);
    }
    arena_destroy(&drawn);
    if (status == RUBATO_OK && data->count) {
        qsort(lengths, data->count, sizeof *lengths, by_size);
        rubato_data_summary told = {.path = path,
                                    .use = use,
                                    .rows = data->rows,
                                    .limit = limit < data->rows ? limit : 0,
                                    .samples = data->count,
                                    .shortest = lengths[0],
                                    .median = lengths[data->count / 2],
                                    .longest = lengths[data->count - 1],
                                    .cut = data->cut,
                                    .empty = data->empty,
                                    .label_column = labelled ? data->data.label_from : NULL,
                                    .label_other = data->data.label_also,
                                    .label_count = labels,
                                    .labels = info->labels,
                                    .counts = counts,
                                    .documents = data->text.document_count,
                                    .sentences = data->text.sentence_count,
                                    .tokens = data->text.tokens};
        self->options->data_read(self->options->data_user, &told);
    }
    free(lengths);
    free(counts);
    return status;
}

rubato_status trainer_summarize(const trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    if (!options->data_read) return RUBATO_OK;
    TRY(summarize(self, &self->data, options->data, "train", options->limit, error));
    return options->dev ? summarize(self, &self->dev, options->dev, "dev", 0, error) : RUBATO_OK;
}
