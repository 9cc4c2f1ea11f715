/* rubato search-text: lines of a corpus by their nearness to a query. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"

typedef struct corpus {
    char **texts;
    size_t *lines;
    float *vectors;
    size_t count;
    double ms;
} corpus;

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)given;
    corpus *all = user;
    size_t width = s->info->width, total = all->count + count;
    rubato_error error = {0};
    char **texts = realloc(all->texts, total * sizeof *texts);
    if (texts) all->texts = texts;
    size_t *lines = realloc(all->lines, total * sizeof *lines);
    if (lines) all->lines = lines;
    float *vectors = realloc(all->vectors, total * width * sizeof *vectors);
    if (vectors) all->vectors = vectors;
    if (!texts || !lines || !vectors) return report_text("out of memory");
    double begin = clock_ms();
    if (rubato_embed(s->context, vectors + all->count * width, inputs, count, &s->options, costs, &error) != RUBATO_OK)
        return report_record(&error, records, count);
    all->ms += clock_ms() - begin;
    for (size_t i = 0; i < count; i++) {
        texts[all->count] = malloc(records[i].text_bytes + 1);
        if (!texts[all->count]) return report_text("out of memory");
        memcpy(texts[all->count], records[i].text, records[i].text_bytes + 1);
        lines[all->count++] = records[i].line;
    }
    return EXIT_OK;
}

/* Scales vectors of models that do not normalise to length 1, so that the score is the cosine. */
static void normalize(const session *s, float *vectors, size_t count) {
    size_t width = s->info->width;
    for (size_t i = 0; i < count && !s->info->normalized; i++) {
        float *row = vectors + i * width, squares = 0;
        for (size_t j = 0; j < width; j++) squares += row[j] * row[j];
        float inverse = squares > 0 ? 1.0f / sqrtf(squares) : 0;
        for (size_t j = 0; j < width; j++) row[j] *= inverse;
    }
}

static int search(void *user, session *s, const arguments *given) {
    corpus *all = user;
    size_t top = given->top ? given->top : 5, width = s->info->width;
    rubato_error error = {0};
    float *query = malloc(width * sizeof *query), *scores = calloc(top, sizeof *scores);
    size_t *found = calloc(top, sizeof *found);
    int status = EXIT_OK;
    double begin = clock_ms(), embedded = 0;
    rubato_input input = {.text = given->query};
    rubato_costs *costs = NULL;
    if (!query || !scores || !found)
        status = report_text("out of memory");
    else if (rubato_embed(s->context, query, &input, 1, &s->options, &costs, &error) != RUBATO_OK)
        status = report(&error);
    if (status == EXIT_OK) {
        embedded = clock_ms() - begin;
        normalize(s, query, 1);
        normalize(s, all->vectors, all->count);
        begin = clock_ms();
        size_t count = rubato_nearest(s->context, query, all->vectors, all->count, width, top, found, scores);
        double looked = clock_ms() - begin;
        for (size_t i = 0; i < count; i++) {
            const char *text = all->texts[found[i]];
            if (given->json) {
                printf("{\"index\": %zu, \"score\": ", all->lines[found[i]] - 1);
                print_float((double)scores[i]);
                printf(", \"text\": ");
                print_json_string(text, strlen(text));
                print_cost_member(given, rubato_costs_at(costs, 0));
                puts("}");
            } else {
                printf("%2zu  %.4f  %s\n", i + 1, (double)scores[i], text);
            }
        }
        if (!given->json && !given->quiet)
            fprintf(stderr, "corpus: %zu lines embedded in %.1f ms; query: embedded in %.1f ms, searched in %.2f ms\n",
                    all->count, all->ms, embedded, looked);
    }
    rubato_free(costs);
    free(query);
    free(scores);
    free(found);
    return status;
}

static int run(const arguments *given) {
    if (!given->query) return report_usage("%s", "search-text needs --query TEXT");
    arguments with_file = *given;
    if (given->corpus) with_file.file = given->corpus;
    corpus all = {0};
    int status = for_each_chunk(&with_file, RECORD_TEXT, each, search, &all);
    for (size_t i = 0; i < all.count; i++) free(all.texts[i]);
    free(all.texts);
    free(all.lines);
    free(all.vectors);
    return status;
}

const command command_search_text = {
    "search-text",
    "MODEL [FILE]",
    "Finds the lines of a corpus that are nearest to a query, by cosine.",
    "query corpus jsonl prompt run.prompt_text top" RUN_OPTIONS,
    "  rubato search-text build/models/all-MiniLM-L6-v2 examples/corpus.txt --query 'ships in the ice' --top 3\n",
    run};
