/* rubato tokenize: ids, tokens and offsets of each line. */
#include <string.h>

#include "cli/command.h"

static const char *token_text(const session *s, const rubato_window *window, size_t i, size_t *bytes) {
    if (window->surfaces && window->surfaces[i]) {
        *bytes = strlen(window->surfaces[i]);
        return window->surfaces[i];
    }
    return rubato_token(s->model, window->ids[i], bytes);
}

static void print_json_window(const session *s, const rubato_window *window) {
    printf("\"ids\": [");
    for (size_t i = 0; i < window->length; i++) printf("%s%d", i ? ", " : "", window->ids[i]);
    printf("], \"tokens\": [");
    for (size_t i = 0; i < window->length; i++) {
        size_t bytes;
        const char *text = token_text(s, window, i, &bytes);
        if (i) fputs(", ", stdout);
        print_json_string(text, bytes);
    }
    printf("], \"offsets\": [");
    for (size_t i = 0; i < window->length; i++)
        printf("%s[%u, %u]", i ? ", " : "", window->offsets[i][0], window->offsets[i][1]);
    printf("], \"types\": [");
    for (size_t i = 0; i < window->length; i++) printf("%s%d", i ? ", " : "", window->types[i]);
    putchar(']');
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)user;
    (void)costs;
    rubato_text_options options = given->text;
    options.whole = options.max_length == 0;
    options.windows = options.stride > 0;
    for (size_t i = 0; i < count; i++) {
        rubato_encoding *encoding;
        rubato_error error = {0};
        if (rubato_encode(s->model, &inputs[i], &options, &encoding, &error) != RUBATO_OK) {
            error.line = i + 1;
            return report_record(&error, records, count);
        }
        if (given->json) {
            print_row_begin(&records[i]);
            print_json_window(s, &encoding->windows[0]);
            if (encoding->cut) printf(", \"cut\": %zu", encoding->cut);
            for (size_t w = 1; w < encoding->count; w++) {
                fputs(w == 1 ? ", \"overflow\": [{" : ", {", stdout);
                print_json_window(s, &encoding->windows[w]);
                putchar('}');
            }
            puts(encoding->count > 1 ? "]}" : "}");
        } else {
            for (size_t w = 0; w < encoding->count; w++) {
                const rubato_window *window = &encoding->windows[w];
                for (size_t j = 0; j < window->length; j++) {
                    size_t bytes;
                    const char *text = token_text(s, window, j, &bytes);
                    printf("%s%.*s", j ? " " : "", (int)bytes, text);
                }
                putchar('\n');
            }
        }
        rubato_encoding_destroy(encoding);
    }
    return EXIT_OK;
}

static int run(const arguments *given) {
    session s;
    int status = session_describe(&s, given);
    return status == EXIT_OK
               ? session_run(&s, given, &(row_work){.kind = RECORD_TEXT, .one_by_one = true, .each = each})
               : status;
}

const command command_tokenize = {"tokenize",
                                  "MODEL [FILE]",
                                  "Cuts each line into the model's tokens, with their positions in code points.",
                                  ROW_OPTIONS "text.* context.threads context.isa json quiet help",
                                  "  echo 'Hello, world!' | rubato tokenize build/models/all-MiniLM-L6-v2 --json\n"
                                  "  rubato tokenize MODEL long.txt --max-length 128 --stride 32 --json\n",
                                  run};
