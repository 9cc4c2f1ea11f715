/* rubato embed: a vector for each row. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cli/vector_file.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    interrupted = 1;
    signal(number, SIG_DFL); /* the second one ends the program at once */
}

typedef struct embedding {
    vector_file *file; /* of --output; NULL: vectors are printed */
    float *vectors;    /* of one chunk */
    size_t capacity;   /* in rows */
} embedding;

static void print_vector(const arguments *given, const record *row, const float *vector, size_t width,
                         const rubato_cost *cost) {
    if (given->json) {
        print_row_begin(row);
        printf("\"embedding\": [");
        for (size_t j = 0; j < width; j++) printf("%s%.9g", j ? ", " : "", (double)vector[j]);
        putchar(']');
        print_cost_member(given, cost);
        puts("}");
        return;
    }
    for (size_t j = 0; j < width && j < 8; j++) printf("%s%8.4f", j ? " " : "", (double)vector[j]);
    printf("%s", width > 8 ? " ..." : "");
    print_cost_member(given, cost);
    putchar('\n');
}

static int write_rows(embedding *self, const record *records, size_t known, size_t count) {
    int status = EXIT_OK;
    for (size_t i = 0; i < count && status == EXIT_OK; i++) status = vector_file_take(self->file, &records[i]);
    if (status == EXIT_OK) status = vector_file_add(self->file, self->vectors, count - known);
    return status == EXIT_OK ? vector_file_keep(self->file) : status;
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    embedding *self = user;
    size_t width = s->info->width, known = self->file ? vector_file_known(self->file) : 0;
    rubato_error error = {0};
    if (known > count) known = count;
    if (count > self->capacity) {
        float *grown = realloc(self->vectors, count * width * sizeof *grown);
        if (!grown) return report_text("out of memory");
        self->vectors = grown;
        self->capacity = count;
    }
    if (count > known &&
        rubato_embed(s->context, self->vectors, inputs + known, count - known, &s->options, costs, &error) != RUBATO_OK)
        return report_record(&error, records + known, count - known);
    if (self->file) return write_rows(self, records, known, count);
    for (size_t i = 0; i < count; i++)
        print_vector(given, &records[i], self->vectors + i * width, width, rubato_costs_at(*costs, i));
    return EXIT_OK;
}

/* A row that cannot be embedded has a row of NaN, so that the others keep their numbers. */
static int refused(void *user, const arguments *given, const record *row) {
    embedding *self = user;
    bool known = vector_file_known(self->file) > 0;
    int status = vector_file_take(self->file, row);
    if (status == EXIT_OK && !known && given->on_error == ON_ERROR_ROW) status = vector_file_add(self->file, NULL, 1);
    return status == EXIT_OK ? vector_file_keep(self->file) : status;
}

static bool stop(void *user) {
    (void)user;
    return interrupted;
}

static int finish(void *user, session *s, const arguments *given) {
    embedding *self = user;
    (void)s;
    if (!interrupted) return vector_file_finish(self->file);
    fprintf(stderr, "rubato: stopped after %zu rows, which %s.part holds; the same command with --resume continues\n",
            vector_file_rows(self->file), given->output);
    return EXIT_FAILED;
}

/* What the vectors depend on. The vector of a fixed text stands for the model, its point and the kernels: their vectors
 * differ in their last bits. */
static int describe(session *s, const arguments *given, char *out, size_t bytes) {
    float *vector = calloc(s->info->width + 1, sizeof *vector);
    const rubato_input probe = {.text = "Which model, and at which point, made these vectors?"};
    rubato_error error = {0};
    if (!vector) return report_text("out of memory");
    int status =
        rubato_embed(s->context, vector, &probe, 1, &s->options, NULL, &error) == RUBATO_OK ? EXIT_OK : report(&error);
    const char *budget = s->options.budget, *prompt = s->options.prompt;
    snprintf(out, bytes, "vector %016llx, max_length %zu, left %d, special_as_text %d, budget %.60s, prompt %.200s",
             (unsigned long long)hash_bytes(0, vector, s->info->width * sizeof *vector), given->text.max_length,
             given->text.cut_left, given->text.special_as_text, budget ? budget : "full", prompt ? prompt : "");
    free(vector);
    return status;
}

static int run(const arguments *given) {
    embedding self = {0};
    session s;
    char made_by[512];
    row_work work = {.kind = RECORD_TEXT, .each = each, .user = &self};
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    if (given->output) {
        status = describe(&s, given, made_by, sizeof made_by);
        if (status == EXIT_OK) status = vector_file_open(&self.file, given, s.info->width, made_by);
        signal(SIGINT, interrupt);
        signal(SIGTERM, interrupt);
        work.refused = refused;
        work.stop = stop;
        work.finish = finish;
    }
    if (status == EXIT_OK)
        status = session_run(&s, given, &work);
    else
        session_close(&s);
    vector_file_close(self.file);
    free(self.vectors);
    return status;
}

const command command_embed = {
    "embed",
    "MODEL [FILE]",
    "Turns each row into a vector.",
    ROW_OPTIONS "prompt run.prompt_text text.left text.special_as_text output resume overwrite" RUN_OPTIONS,
    "  echo 'A text.' | rubato embed build/models/all-MiniLM-L6-v2 --json\n"
    "  rubato embed MODEL texts.txt --output vectors.npy\n"
    "  rubato embed MODEL reviews.csv.gz --columns text=review --output vectors.npy\n"
    "  rubato embed MODEL queries.txt --prompt query --json --cost\n",
    run};
