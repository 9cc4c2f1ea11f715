/* rubato generate: goes on with each text. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"

/* The text that is told first, with what goes on with it. */
typedef struct telling {
    const char *text;
    size_t bytes;
} telling;

/* New text as it comes, for reading. */
static int print_piece(void *user, const char *text, size_t bytes) {
    telling *now = user;
    fwrite(now->text, 1, now->bytes, stdout);
    fwrite(text, 1, bytes, stdout);
    now->bytes = 0;
    return fflush(stdout) != 0;
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)user, (void)costs;
    rubato_error error = {0};
    for (size_t i = 0; i < count; i++) {
        rubato_generate_options options = given->generate;
        char *text;
        size_t tokens;
        options.size = sizeof options;
        options.run = &s->options;
        options.seed = given->seed;
        telling now = {inputs[i].text, records[i].text_bytes};
        options.user = &now;
        if (!given->json) options.piece = print_piece;
        const double begin = clock_ms();
        if (rubato_generate(s->context, &text, &tokens, &inputs[i], &options, &error) != RUBATO_OK) {
            error.line = i + 1;
            return report_record(&error, records, count);
        }
        const double ms = clock_ms() - begin;
        if (!given->json) print_piece(&now, "", 0);
        if (given->json) {
            print_row_begin(&records[i]);
            printf("\"generated\": ");
            print_json_string(text, strlen(text));
            printf(", \"tokens\": %zu, \"ms\": ", tokens);
            print_float(ms);
            putchar('}');
        }
        putchar('\n');
        rubato_free(text);
    }
    return EXIT_OK;
}

static int run(const arguments *given) {
    return for_each_row(given, &(row_work){.kind = RECORD_TEXT, .one_by_one = true, .each = each});
}

const command command_generate = {"generate",
                                  "MODEL [FILE]",
                                  "Goes on with each line, by a language model that train --task lm made.",
                                  "generate.* " ROW_OPTIONS
                                  "text.special_as_text load.* context.* json seed quiet help",
                                  "  echo 'The city lies' | rubato generate MODEL\n"
                                  "  echo 'The city lies' | rubato generate MODEL --temperature 0.8 --top 40 --seed 3\n"
                                  "  rubato generate MODEL beginnings.txt --tokens 100 --json\n",
                                  run};
