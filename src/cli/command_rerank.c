/* rubato rerank: documents by how well they answer a query. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

typedef struct scored {
    size_t index;
    float score;
} scored;

static int best_first(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Scores and prints one query's documents. */
static int rank(session *s, const arguments *given, const char *query, const rubato_input *documents, size_t count,
                const size_t *lines) {
    rubato_error error = {0};
    float *scores = calloc(count + 1, sizeof *scores);
    rubato_costs *costs = NULL;
    scored *order = calloc(count + 1, sizeof *order);
    int result = EXIT_OK;
    if (!scores || !order) {
        result = report_text("out of memory");
    } else if (rubato_rerank(s->context, scores, query, documents, count, &s->options, &costs, &error) != RUBATO_OK) {
        result = report(&error);
    } else {
        for (size_t i = 0; i < count; i++) order[i] = (scored){i, scores[i]};
        qsort(order, count, sizeof *order, best_first);
        size_t top = given->top && given->top < count ? given->top : count;
        for (size_t i = 0; i < top; i++) {
            const rubato_input *document = &documents[order[i].index];
            size_t index = lines ? lines[order[i].index] - 1 : order[i].index;
            if (given->json) {
                printf("{\"index\": %zu, \"score\": ", index);
                print_float((double)order[i].score);
                printf(", \"text\": ");
                print_json_string(document->text, document->text_bytes);
                print_cost_member(given, rubato_costs_at(costs, order[i].index));
                puts("}");
            } else {
                printf("%4zu  %8.4f  %s", index, (double)order[i].score, document->text);
                print_cost_member(given, rubato_costs_at(costs, order[i].index));
                putchar('\n');
            }
        }
    }
    free(scores);
    rubato_free(costs);
    free(order);
    return result;
}

/* All lines are the documents of one query, so they are gathered before anything is scored. */
typedef struct gathered {
    rubato_input *documents;
    size_t *lines, count;
} gathered;

static int gather(gathered *all, const record *records, size_t count) {
    rubato_input *documents = realloc(all->documents, (all->count + count) * sizeof *documents);
    if (documents) all->documents = documents;
    size_t *lines = realloc(all->lines, (all->count + count) * sizeof *lines);
    if (lines) all->lines = lines;
    if (!documents || !lines) return report_text("out of memory");
    for (size_t i = 0; i < count; i++) {
        char *copy = malloc(records[i].text_bytes + 1);
        if (!copy) return report_text("out of memory");
        memcpy(copy, records[i].text, records[i].text_bytes + 1);
        documents[all->count] = (rubato_input){.text = copy, .text_bytes = records[i].text_bytes};
        lines[all->count++] = records[i].line;
    }
    return EXIT_OK;
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)inputs;
    (void)costs;
    if (!given->jsonl) return gather(user, records, count);
    for (size_t i = 0; i < count; i++) {
        const record *r = &records[i];
        rubato_input *documents = calloc(r->document_count + 1, sizeof *documents);
        if (!documents) return report_text("out of memory");
        for (size_t j = 0; j < r->document_count; j++)
            documents[j] = (rubato_input){.text = r->documents[j], .text_bytes = strlen(r->documents[j])};
        int status = rank(s, given, r->text, documents, r->document_count, NULL);
        free(documents);
        if (status != EXIT_OK) return status;
    }
    return EXIT_OK;
}

static int finish(void *user, session *s, const arguments *given) {
    const gathered *all = user;
    return given->jsonl ? EXIT_OK : rank(s, given, given->query, all->documents, all->count, all->lines);
}

static int run(const arguments *given) {
    if (!given->jsonl && !given->query) return report_usage("%s", "rerank needs --query TEXT (or --jsonl)");
    gathered all = {0};
    int status = for_each_chunk(given, given->jsonl ? RECORD_DOCUMENTS : RECORD_TEXT, each, finish, &all);
    for (size_t i = 0; i < all.count; i++) free((char *)(uintptr_t)all.documents[i].text);
    free(all.documents);
    free(all.lines);
    return status;
}

const command command_rerank = {
    "rerank",
    "MODEL [FILE]",
    "Sorts documents (one in each line) by the query, the best answer first.",
    "query jsonl prompt run.prompt_text text.truncation text.special_as_text top" RUN_OPTIONS,
    "  rubato rerank MODEL documents.txt --query 'how do plants breathe' --top 3\n"
    "  echo '{\"query\": \"q\", \"documents\": [\"a\", \"b\"]}' | rubato rerank MODEL --jsonl --json\n",
    run};
