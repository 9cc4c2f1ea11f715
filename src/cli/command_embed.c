/* rubato embed: a vector for each row. */
#include <stdlib.h>

#include "base/utf8.h"
#include "cli/interrupt.h"
#include "cli/vector_file.h"

typedef struct embedding {
    vector_file *file; /* of --output; NULL: vectors are printed */
    float *vectors;    /* of one chunk */
    size_t capacity;   /* in rows */
} embedding;

/* All numbers as a member of an object, or some of them for reading. */
static void print_numbers(const arguments *given, const float *vector, size_t width) {
    if (given->json) {
        printf("\"embedding\": [");
        for (size_t j = 0; j < width; j++) printf("%s%.9g", j ? ", " : "", (double)vector[j]);
        putchar(']');
        return;
    }
    for (size_t j = 0; j < width && j < 8; j++) printf("%s%8.4f", j ? " " : "", (double)vector[j]);
    printf("%s", width > 8 ? " ..." : "");
}

static void print_vector(const arguments *given, const record *row, const float *vector, size_t width,
                         const rubato_cost *cost) {
    if (given->json) print_row_begin(row);
    print_numbers(given, vector, width);
    print_cost_member(given, cost);
    if (given->json) putchar('}');
    putchar('\n');
}

/* One passage after the other, with its text. */
static void print_passages(const session *s, const arguments *given, const record *row, const rubato_passages *all,
                           const rubato_cost *cost) {
    size_t point = 0, byte = 0;
    if (given->json) print_row_begin(row);
    if (given->json) printf("\"passages\": [");
    for (size_t i = 0; i < all->count; i++) {
        const rubato_passage *one = &all->items[i];
        const size_t skipped = one->start > point ? one->start - point : 0; /* passages do not overlap */
        const size_t first = byte + utf8_byte_of(row->text + byte, row->text_bytes - byte, skipped);
        byte = first + utf8_byte_of(row->text + first, row->text_bytes - first, one->end - one->start);
        point = one->end;
        if (given->json) {
            printf("%s{\"start\": %zu, \"end\": %zu, \"tokens\": %zu, \"text\": ", i ? ", " : "", one->start, one->end,
                   one->tokens);
            print_json_string(row->text + first, byte - first);
            printf(", ");
        } else {
            printf("%zu-%zu ", one->start, one->end);
        }
        print_numbers(given, one->vector, s->info->width);
        putchar(given->json ? '}' : '\n');
    }
    if (given->json) putchar(']');
    print_cost_member(given, cost);
    if (given->json) putchar('}');
    putchar('\n');
}

static int each_passages(session *s, const arguments *given, const record *records, size_t count,
                         const rubato_input *inputs, rubato_costs **costs) {
    rubato_error error = {0};
    rubato_passages *passages;
    const rubato_passage_options options = {
        .size = sizeof options, .run = &s->options, .tokens = given->passages, .late = given->late ? 1 : 0};
    if (rubato_embed_passages(s->context, &passages, inputs, count, &options, costs, &error) != RUBATO_OK)
        return report_record(&error, records, count);
    for (size_t i = 0; i < count; i++) print_passages(s, given, &records[i], &passages[i], rubato_costs_at(*costs, i));
    rubato_free(passages);
    return EXIT_OK;
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
    if (given->passages) return each_passages(s, given, records, count, inputs, costs);
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

static int refused(void *user, const arguments *given, const record *row) {
    return vector_file_refuse(((embedding *)user)->file, given, row);
}

static bool stop(void *user) {
    (void)user;
    return interrupted();
}

static int finish(void *user, session *s, const arguments *given) {
    (void)s;
    (void)given;
    return vector_file_finish(((embedding *)user)->file, interrupted());
}

static int run(const arguments *given) {
    embedding self = {0};
    session s;
    char made_by[MADE_BY];
    row_work work = {.kind = RECORD_TEXT, .each = each, .user = &self};
    if (check_windows(given) != EXIT_OK) return EXIT_USAGE;
    if (given->late && !given->passages)
        return report_usage("%s", "--late makes vectors of passages: give --passages N");
    if (given->output && given->passages)
        return report_usage("%s", "--output has one vector a row; those of --passages are printed, best with --json");
    if (given->text.windows && given->passages)
        return report_usage("%s", "--windows gives one vector for a long text, --passages several; give one of them");
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    if (given->output) {
        status = vector_file_describe(&s, given, made_by);
        if (status == EXIT_OK)
            status = vector_file_open(&self.file, given, given->output, s.info->width, made_by, false);
        interrupt_watch(true);
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
    ROW_OPTIONS "prompt run.prompt_text text.left text.windows text.stride text.special_as_text passages late output "
                "resume overwrite" RUN_OPTIONS,
    "  echo 'A text.' | rubato embed build/models/all-MiniLM-L6-v2 --json\n"
    "  rubato embed MODEL texts.txt --output vectors.npy\n"
    "  rubato embed MODEL texts.txt --output vectors.npy --overwrite\n"
    "  rubato embed MODEL reviews.csv.gz --columns text=review --output reviews.npy\n"
    "  rubato embed MODEL queries.txt --prompt query --json --cost\n"
    "  rubato embed MODEL book.txt --whole-file --passages 200 --late --json\n",
    run};
