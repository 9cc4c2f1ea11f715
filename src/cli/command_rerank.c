/* rubato rerank: documents by how well they answer a query. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

/* Scores and prints one query's documents. rows [count]: the rows of the input that they are; NULL: `row` is the query
 * with all of them. */
static int rank(session *s, const arguments *given, const char *query, const rubato_input *documents, size_t count,
                const record *rows, const record *row) {
    rubato_error error = {0};
    float *scores = calloc(count + 1, sizeof *scores);
    rubato_costs *costs = NULL;
    ranked *order = calloc(count + 1, sizeof *order);
    int result = EXIT_OK;
    if (!scores || !order) {
        result = report_text("out of memory");
    } else if (rubato_rerank(s->context, scores, query, documents, count, &s->options, &costs, &error) != RUBATO_OK) {
        error.line = row && error.line ? 1 : 0; /* a document's error is its row's */
        result = report_record(&error, row, 1);
    } else {
        for (size_t i = 0; i < count; i++) order[i] = (ranked){scores[i], i};
        sort_ranked(order, count);
        size_t top = given->top && given->top < count ? given->top : count;
        if (row && !given->json) print_text_line(query, 0);
        for (size_t i = 0; i < top; i++) {
            const rubato_input *document = &documents[order[i].index];
            const record *from = rows ? &rows[order[i].index] : row;
            size_t index = rows ? from->row : order[i].index;
            if (given->json) {
                print_row_begin(from);
                if (row) {
                    printf("\"line\": %zu, \"query\": ", row->line);
                    print_json_string(row->text, row->text_bytes);
                    printf(", ");
                }
                printf("\"index\": %zu, \"score\": ", index);
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
        if (row && !given->json) putchar('\n');
    }
    free(scores);
    rubato_free(costs);
    free(order);
    return result;
}

/* All rows are the documents of one query, so they are gathered before anything is scored. */
typedef struct gathered {
    rubato_input *documents;
    record *rows; /* [count] */
    size_t count;
} gathered;

static int gather(void *user, session *s, const arguments *given, const record *records, size_t count,
                  const rubato_input *inputs, rubato_costs **costs) {
    (void)s;
    (void)given;
    (void)inputs;
    (void)costs;
    gathered *all = user;
    bool failed = false;
    rubato_input *documents = realloc(all->documents, (all->count + count) * sizeof *documents);
    if (documents) all->documents = documents;
    record *rows = realloc(all->rows, (all->count + count) * sizeof *rows);
    if (rows) all->rows = rows;
    for (size_t i = 0; documents && rows && i < count; i++) {
        if (records[i].pair) return report_usage("%s", "--columns pair=NAME: a document is one text");
        record *row = &rows[all->count];
        const char *kept = records[i].kept;
        *row = (record){.text = copy_text(records[i].text, records[i].text_bytes, &failed),
                        .text_bytes = records[i].text_bytes,
                        .kept = copy_text(kept, kept ? strlen(kept) : 0, &failed),
                        .row = records[i].row};
        documents[all->count++] = (rubato_input){.text = row->text, .text_bytes = row->text_bytes};
    }
    return documents && rows && !failed ? EXIT_OK : report_text("out of memory");
}

static int rank_gathered(void *user, session *s, const arguments *given) {
    const gathered *all = user;
    return rank(s, given, given->query, all->documents, all->count, all->rows, NULL);
}

/* A row is a query with its documents. */
static int rank_rows(void *user, session *s, const arguments *given, const record *records, size_t count,
                     const rubato_input *inputs, rubato_costs **costs) {
    (void)user;
    (void)inputs;
    (void)costs;
    for (size_t i = 0; i < count; i++) {
        const record *r = &records[i];
        rubato_input *documents = calloc(r->document_count + 1, sizeof *documents);
        if (!documents) return report_text("out of memory");
        for (size_t j = 0; j < r->document_count; j++)
            documents[j] = (rubato_input){.text = r->documents[j], .text_bytes = strlen(r->documents[j])};
        int status = rank(s, given, r->text, documents, r->document_count, NULL, r);
        free(documents);
        if (status != EXIT_OK) return status;
    }
    return EXIT_OK;
}

static int run(const arguments *given) {
    if (check_windows(given) != EXIT_OK) return EXIT_USAGE;
    if (!given->query) {
        if (!given->file && !given->jsonl) return report_usage("%s", "rerank needs --query TEXT (or --jsonl)");
        return for_each_row(given, &(row_work){.kind = RECORD_DOCUMENTS, .one_by_one = true, .each = rank_rows});
    }
    gathered all = {0};
    int status = for_each_chunk(given, RECORD_DOCUMENT, gather, rank_gathered, &all);
    for (size_t i = 0; i < all.count; i++) {
        free(all.rows[i].text);
        free(all.rows[i].kept);
    }
    free(all.documents);
    free(all.rows);
    return status;
}

const command command_rerank = {
    "rerank",
    "MODEL [FILE]",
    "Sorts documents (one in each line) by the query, the best answer first.",
    "query " ROW_OPTIONS
    "prompt run.prompt_text text.truncation text.windows text.stride text.special_as_text top" RUN_OPTIONS,
    "  rubato rerank MODEL documents.txt --query 'how do plants breathe' --top 3\n"
    "  echo '{\"query\": \"q\", \"documents\": [\"a\", \"b\"]}' | rubato rerank MODEL --jsonl --json\n",
    run};
