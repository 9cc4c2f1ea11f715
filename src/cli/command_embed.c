/* rubato embed: a vector for each line. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

typedef struct collected {
    float *vectors; /* of all lines, for --output */
    size_t rows, width;
} collected;

static void print_vector(const arguments *given, const float *vector, size_t width, const rubato_cost *cost) {
    if (given->json) {
        printf("{\"embedding\": [");
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

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    collected *all = user;
    size_t width = s->info->width;
    rubato_error error = {0};
    float *vectors = realloc(all->vectors, (all->rows + count) * width * sizeof *vectors);
    if (!vectors) return report_text("out of memory");
    all->vectors = vectors;
    all->width = width;
    float *here = vectors + all->rows * width;
    if (rubato_embed(s->context, here, inputs, count, &s->options, costs, &error) != RUBATO_OK)
        return report_record(&error, records, count);
    if (given->output) {
        all->rows += count;
        return EXIT_OK;
    }
    for (size_t i = 0; i < count; i++) print_vector(given, here + i * width, width, rubato_costs_at(*costs, i));
    return EXIT_OK;
}

static int run(const arguments *given) {
    collected all = {0};
    rubato_error error;
    int status = for_each_chunk(given, RECORD_TEXT, each, NULL, &all);
    if (status == EXIT_OK && given->output &&
        rubato_npy_write(given->output, all.vectors, all.rows, all.width, &error) != RUBATO_OK)
        status = report(&error);
    free(all.vectors);
    return status;
}

const command command_embed = {"embed",
                               "MODEL [FILE]",
                               "Turns each line into a vector.",
                               "jsonl prompt run.prompt_text text.left text.special_as_text output" RUN_OPTIONS,
                               "  echo 'A text.' | rubato embed build/models/all-MiniLM-L6-v2 --json\n"
                               "  rubato embed MODEL texts.txt --output vectors.npy\n"
                               "  rubato embed MODEL queries.txt --prompt query --json --cost\n",
                               run};
