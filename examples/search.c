/* One model, several threads: each thread embeds its part of the lines with its own context; then the query is searched
 * in all of them.
 *     example_search MODEL QUERY LINE... */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <rubato.h>

typedef struct work {
    const rubato_model *model;
    const rubato_input *lines;
    size_t count;
    float *vectors;
    rubato_status status;
    rubato_error error;
} work;

static void *embed(void *argument) {
    work *w = argument;
    rubato_context *context;
    rubato_context_options options = {.size = sizeof options, .threads = 1};
    w->status = rubato_context_create(&context, w->model, &options, &w->error);
    if (w->status == RUBATO_OK)
        w->status = rubato_embed(context, w->vectors, w->lines, w->count, NULL, NULL, &w->error);
    rubato_context_destroy(context);
    return NULL;
}

int main(int argc, char **argv) {
    enum { THREADS = 2, TOP = 3 };
    rubato_model *model;
    rubato_context *context = NULL;
    rubato_error error;
    if (argc < 4) {
        fprintf(stderr, "usage: example_search MODEL QUERY LINE...\n");
        return 2;
    }
    if (rubato_model_load(&model, argv[1], &error) != RUBATO_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    size_t count = (size_t)argc - 3, width = rubato_model_info(model)->width;
    rubato_input *lines = calloc(count + 1, sizeof *lines);
    float *vectors = calloc((count + 1) * width, sizeof *vectors);
    for (size_t i = 0; i < count; i++) lines[i].text = argv[i + 3];
    lines[count].text = argv[2];
    pthread_t threads[THREADS];
    work works[THREADS];
    int failed = 0;
    for (size_t t = 0; t < THREADS; t++) {
        size_t first = (count + 1) * t / THREADS, last = (count + 1) * (t + 1) / THREADS;
        works[t] =
            (work){.model = model, .lines = lines + first, .count = last - first, .vectors = vectors + first * width};
        pthread_create(&threads[t], NULL, embed, &works[t]);
    }
    for (size_t t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        if (works[t].status != RUBATO_OK) {
            fprintf(stderr, "%s\n", works[t].error.message);
            failed = 1;
        }
    }
    size_t found[TOP];
    float scores[TOP];
    if (!failed && rubato_context_create(&context, model, NULL, &error) == RUBATO_OK) {
        size_t best = rubato_nearest(context, vectors + count * width, vectors, count, width, TOP, found, scores);
        for (size_t i = 0; i < best; i++) printf("%.4f  %s\n", (double)scores[i], lines[found[i]].text);
    }
    rubato_context_destroy(context);
    free(lines);
    free(vectors);
    rubato_model_destroy(model);
    return failed;
}
