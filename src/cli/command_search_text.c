/* rubato search-text: texts of a corpus by their nearness to a query. One pass over the corpus keeps the best ones; the
 * vectors come from the model, or from an index that an earlier command wrote. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/vector_file.h"

/* A text of the corpus that was found. */
typedef struct hit {
    float score;
    size_t row; /* of the corpus */
    char *text, *kept;
} hit;

typedef struct query {
    char *text, *kept;
    hit *hits; /* the best first */
    size_t count, capacity;
} query;

typedef struct searching {
    query *queries;
    size_t query_count, top;
    rubato_costs *costs;            /* of the queries */
    float *query_vectors, *vectors; /* [query_count, width]; of a chunk of the corpus */
    size_t capacity;                /* of vectors, in rows */
    vector_file *index;             /* NULL: none */
    size_t rows, embedded;
    double query_ms, corpus_ms, search_ms;
} searching;

static char *copy_string(const char *text, bool *failed) {
    return copy_text(text, text ? strlen(text) : 0, failed);
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

static void release_hit(hit *found) {
    free(found->text);
    free(found->kept);
}

/* ---- Queries ---- */

static int add_query(searching *self, const char *text, const char *kept) {
    bool failed = false;
    query *grown = realloc(self->queries, (self->query_count + 1) * sizeof *grown);
    if (!grown) return report_text("out of memory");
    self->queries = grown;
    grown[self->query_count++] = (query){.text = copy_string(text, &failed), .kept = copy_string(kept, &failed)};
    return failed ? report_text("out of memory") : EXIT_OK;
}

static int read_queries(searching *self, const char *path) {
    reader *input;
    record *records;
    size_t count;
    int status = reader_open(&input, &(arguments){.file = path}, RECORD_TEXT);
    while (status == EXIT_OK && (status = reader_next(input, CHUNK_LINES, &records, &count)) == EXIT_OK && count > 0)
        for (size_t i = 0; i < count && status == EXIT_OK; i++) {
            if (records[i].why) {
                print_place(records[i].file, records[i].line);
                fprintf(stderr, "%s\n", records[i].why);
                status = EXIT_FAILED;
            } else {
                status = add_query(self, records[i].text, records[i].kept);
            }
        }
    reader_close(input);
    return status == EXIT_OK && self->query_count == 0 ? report_usage("%s: no query in it", path) : status;
}

static int embed_queries(searching *self, session *s) {
    size_t count = self->query_count, width = s->info->width;
    rubato_error error = {0};
    rubato_input *inputs = calloc(count, sizeof *inputs);
    self->query_vectors = calloc(count * width, sizeof *self->query_vectors);
    int status = inputs && self->query_vectors ? EXIT_OK : report_text("out of memory");
    for (size_t i = 0; i < count && status == EXIT_OK; i++) inputs[i].text = self->queries[i].text;
    double begin = clock_ms();
    if (status == EXIT_OK &&
        rubato_embed(s->context, self->query_vectors, inputs, count, &s->options, &self->costs, &error) != RUBATO_OK)
        status = report(&error);
    if (status == EXIT_OK) normalize(s, self->query_vectors, count);
    self->query_ms = clock_ms() - begin;
    free(inputs);
    return status;
}

/* ---- The corpus ---- */

/* Puts a text among the hits. Of equal scores the earlier text stands first. False: memory is short. */
static bool add_hit(query *q, size_t top, float score, size_t row, const record *found) {
    bool failed = false;
    if (q->count == top && score <= q->hits[top - 1].score) return true;
    if (q->count == q->capacity && q->count < top) {
        size_t capacity = q->capacity < top / 2 ? 2 * q->capacity + 8 : top;
        hit *grown = realloc(q->hits, capacity * sizeof *grown);
        if (!grown) return false;
        q->hits = grown;
        q->capacity = capacity;
    }
    hit made = {score, row, copy_string(found->text, &failed), copy_string(found->kept, &failed)};
    if (q->count == top) release_hit(&q->hits[--q->count]);
    size_t at = q->count++;
    for (; at > 0 && q->hits[at - 1].score < score; at--) q->hits[at] = q->hits[at - 1];
    q->hits[at] = made;
    return !failed;
}

/* Looks for every query's best texts among rows of the corpus; a row of NaN has no vector. */
static int look(searching *self, const session *s, const float *vectors, const record *records, size_t count) {
    static const size_t most = CHUNK_LINES;
    size_t width = s->info->width, top = self->top < most ? self->top : most, *found = calloc(top, sizeof *found);
    float *scores = calloc(top, sizeof *scores);
    bool failed = !found || !scores;
    double begin = clock_ms();
    for (size_t first = 0, end; first < count && !failed; first = end + 1) {
        for (end = first; end < count && !isnan(vectors[end * width]);) end++;
        for (size_t i = 0; i < self->query_count && !failed; i++) {
            size_t got = rubato_nearest(s->context, self->query_vectors + i * width, vectors + first * width,
                                        end - first, width, top, found, scores);
            for (size_t j = 0; j < got && !failed; j++)
                failed = !add_hit(&self->queries[i], self->top, scores[j], self->rows + first + found[j],
                                  &records[first + found[j]]);
        }
    }
    self->search_ms += clock_ms() - begin;
    self->rows += count;
    free(found);
    free(scores);
    return failed ? report_text("out of memory") : EXIT_OK;
}

static int embed_rows(searching *self, session *s, const record *records, size_t count, const rubato_input *inputs,
                      rubato_costs **costs) {
    rubato_error error = {0};
    if (count > self->capacity) {
        float *grown = realloc(self->vectors, count * s->info->width * sizeof *grown);
        if (!grown) return report_text("out of memory");
        self->vectors = grown;
        self->capacity = count;
    }
    double begin = clock_ms();
    if (count && rubato_embed(s->context, self->vectors, inputs, count, &s->options, costs, &error) != RUBATO_OK)
        return report_record(&error, records, count);
    normalize(s, self->vectors, count);
    self->corpus_ms += clock_ms() - begin;
    self->embedded += count;
    return EXIT_OK;
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)given;
    searching *self = user;
    size_t known = self->index ? vector_file_known(self->index) : 0;
    if (known > count) known = count;
    if (known < count && self->index && vector_file_complete(self->index)) { /* refused before anything is embedded */
        for (size_t i = 0; i < known; i++) vector_file_take(self->index, &records[i]);
        return vector_file_take(self->index, &records[known]);
    }
    int status = embed_rows(self, s, records + known, count - known, inputs + known, costs);
    if (status == EXIT_OK && known) status = look(self, s, vector_file_known_rows(self->index), records, known);
    if (status == EXIT_OK) status = look(self, s, self->vectors, records + known, count - known);
    if (!self->index) return status;
    for (size_t i = 0; i < count && status == EXIT_OK; i++) status = vector_file_take(self->index, &records[i]);
    if (status == EXIT_OK && count > known) status = vector_file_add(self->index, self->vectors, count - known);
    return status == EXIT_OK ? vector_file_keep(self->index) : status;
}

static int refused(void *user, const arguments *given, const record *row) {
    searching *self = user;
    self->rows++;
    return self->index ? vector_file_refuse(self->index, given, row) : EXIT_OK;
}

static bool stop(void *user) {
    (void)user;
    return interrupted();
}

/* ---- Results ---- */

static void print_hit(const hit *found) {
    printf("{%s\"index\": %zu, \"score\": ", found->kept ? found->kept : "", found->row);
    print_float((double)found->score);
    printf(", \"text\": ");
    print_json_string(found->text, strlen(found->text));
}

/* A single query has a result in each line; each of several is an object of its own. */
static void print_json(const arguments *given, const query *q, const rubato_cost *cost) {
    if (given->query) {
        for (size_t i = 0; i < q->count; i++) {
            print_hit(&q->hits[i]);
            print_cost_member(given, cost);
            puts("}");
        }
        return;
    }
    printf("{%s\"text\": ", q->kept ? q->kept : "");
    print_json_string(q->text, strlen(q->text));
    printf(", \"results\": [");
    for (size_t i = 0; i < q->count; i++) {
        if (i) fputs(", ", stdout);
        print_hit(&q->hits[i]);
        putchar('}');
    }
    putchar(']');
    print_cost_member(given, cost);
    puts("}");
}

static void print_lines(const arguments *given, const query *q) {
    if (given->queries) print_text_line(q->text, 0);
    for (size_t i = 0; i < q->count; i++)
        print_text_line(q->hits[i].text, (size_t)printf("%2zu  %.4f  ", i + 1, (double)q->hits[i].score));
    if (given->queries) putchar('\n');
}

static int finish(void *user, session *s, const arguments *given) {
    (void)s;
    searching *self = user;
    int status = self->index ? vector_file_finish(self->index, interrupted()) : EXIT_OK;
    if (status != EXIT_OK) return status;
    for (size_t i = 0; i < self->query_count; i++) {
        if (given->json)
            print_json(given, &self->queries[i], rubato_costs_at(self->costs, i));
        else
            print_lines(given, &self->queries[i]);
    }
    if (given->json || given->quiet) return EXIT_OK;
    fprintf(stderr, "corpus: %zu lines, %zu embedded in %.1f ms; %s: embedded in %.1f ms, searched in %.2f ms\n",
            self->rows, self->embedded, self->corpus_ms, given->queries ? "queries" : "query", self->query_ms,
            self->search_ms);
    return EXIT_OK;
}

static int open_index(searching *self, session *s, const arguments *given, char *made_by) {
    int status = vector_file_describe(s, given, made_by);
    if (status != EXIT_OK) return status;
    status = vector_file_open(&self->index, given, given->index, s->info->width, made_by, true);
    interrupt_watch(true);
    return status;
}

static void release(searching *self) {
    for (size_t i = 0; i < self->query_count; i++) {
        query *q = &self->queries[i];
        for (size_t j = 0; j < q->count; j++) release_hit(&q->hits[j]);
        free(q->hits);
        free(q->text);
        free(q->kept);
    }
    free(self->queries);
    rubato_free(self->costs);
    free(self->query_vectors);
    free(self->vectors);
    vector_file_close(self->index);
}

static int run(const arguments *given) {
    if (!given->query == !given->queries)
        return report_usage("%s", "search-text needs --query TEXT or --queries FILE, and one of them");
    if (given->corpus && given->file)
        return report_usage("%s is given, and --corpus too: give one corpus", given->file);
    if (!given->index && (given->resume || given->overwrite))
        return report_usage("%s", "--resume and --overwrite are for an --index");
    arguments with_file = *given;
    if (given->corpus) with_file.file = given->corpus;
    searching self = {.top = given->top ? given->top : 5};
    row_work work = {.kind = RECORD_DOCUMENT,
                     .each = each,
                     .refused = refused,
                     .finish = finish,
                     .stop = given->index ? stop : NULL,
                     .user = &self};
    session s;
    char made_by[MADE_BY];
    int status = given->query ? add_query(&self, given->query, NULL) : read_queries(&self, given->queries);
    if (status == EXIT_OK && (status = session_open(&s, given)) == EXIT_OK) {
        status = embed_queries(&self, &s);
        if (status == EXIT_OK && given->index) status = open_index(&self, &s, &with_file, made_by);
        if (status == EXIT_OK)
            status = session_run(&s, &with_file, &work);
        else
            session_close(&s);
    }
    release(&self);
    return status;
}

const command command_search_text = {
    "search-text",
    "MODEL [FILE]",
    "Finds the texts of a corpus that are nearest to a query, by cosine.",
    "query queries corpus index resume overwrite jsonl columns prompt run.prompt_text top" RUN_OPTIONS,
    "  rubato search-text build/models/all-MiniLM-L6-v2 examples/corpus.txt --query 'ships in the ice' --top 3\n"
    "  rubato search-text MODEL corpus.jsonl --query 'ships in the ice' --index corpus.npy\n"
    "  rubato search-text MODEL corpus.csv.gz --columns text=body --queries queries.jsonl --json\n",
    run};
