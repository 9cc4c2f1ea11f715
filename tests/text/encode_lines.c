/* Prints the encoding of each line of standard input by the tokenizer of a folder, for comparison with an oracle: one line
 * for each window, tokens as id:type:first:last:word:text, separated by spaces; text as hexadecimal bytes.
 *
 *     encode_lines FOLDER [--json] [--pairs] [--quiet]
 *
 * --json: a line is a JSON string; --pairs: a line is max_length, truncation, stride, left, text and pair, with TABs between;
 * --quiet: only the time. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "text/tokenizer.h"

static void print_window(const tokenizer *t, const rubato_window *window) {
    for (size_t i = 0; i < window->length; i++) {
        const char *text = window->surfaces && window->surfaces[i] ? window->surfaces[i] : t->tokens[window->ids[i]];
        printf("%s%d:%d:%u:%u:%d:", i ? " " : "", window->ids[i], window->types[i], window->offsets[i][0],
               window->offsets[i][1], window->words[i] == UINT32_MAX ? -1 : (int)window->words[i]);
        for (const char *c = text; *c; c++) printf("%02x", (unsigned char)*c);
    }
    putchar('\n');
}

/* Cuts a line of --pairs into its six fields. */
static bool read_pair(char *line, rubato_input *input, rubato_text_options *options) {
    char *field[6] = {line};
    for (int i = 1; i < 6; i++) {
        char *tab = strchr(field[i - 1], '\t');
        if (!tab) return false;
        *tab = 0;
        field[i] = tab + 1;
    }
    *input = (rubato_input){.text = field[4], .pair = field[5]};
    *options = (rubato_text_options){.size = sizeof *options,
                                     .max_length = strtoul(field[0], NULL, 10),
                                     .truncation = (rubato_truncation)strtoul(field[1], NULL, 10),
                                     .stride = strtoul(field[2], NULL, 10),
                                     .cut_left = strcmp(field[3], "0") != 0,
                                     .windows = 1};
    return true;
}

int main(int argc, char **argv) {
    tokenizer *t;
    rubato_error error;
    rubato_text_options options = {.size = sizeof options, .whole = 1};
    bool pairs = false, quiet = false, json = false;
    for (int i = 2; i < argc; i++) {
        pairs |= strcmp(argv[i], "--pairs") == 0;
        quiet |= strcmp(argv[i], "--quiet") == 0;
        json |= strcmp(argv[i], "--json") == 0;
    }
    if (argc < 2) return 2;
    if (tokenizer_load(&t, argv[1], &error) != RUBATO_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    char *line = NULL;
    size_t capacity = 0, bytes = 0, tokens = 0;
    double spent = 0;
    tokenizer_scratch scratch = {0};
    for (ssize_t length; (length = getline(&line, &capacity, stdin)) >= 0;) {
        if (length && line[length - 1] == '\n') line[--length] = 0;
        rubato_input input = {.text = line, .text_bytes = (size_t)length};
        json_t *value = NULL;
        if (json) {
            json_error_t where;
            value = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
            if (!value) {
                puts("refused");
                continue;
            }
            input = (rubato_input){.text = json_string_value(value), .text_bytes = json_string_length(value)};
        }
        if (pairs && !read_pair(line, &input, &options)) continue;
        rubato_encoding *encoding;
        double begin = clock_ms();
        rubato_status status = tokenizer_encode(t, &input, &options, &scratch, &encoding, &error);
        spent += clock_ms() - begin;
        bytes += (size_t)length;
        if (status != RUBATO_OK) {
            printf("error: %s\n", error.message);
        } else {
            for (size_t i = 0; i < encoding->count; i++) {
                tokens += encoding->windows[i].length;
                if (!quiet) print_window(t, &encoding->windows[i]);
            }
        }
        rubato_encoding_destroy(encoding);
        json_decref(value);
    }
    if (quiet) printf("%.1f ms, %zu bytes, %zu tokens\n", spent, bytes, tokens);
    free(line);
    tokenizer_scratch_free(&scratch);
    tokenizer_destroy(t);
    return 0;
}
