/* Prints the words that each layer kept: one line for each layer, with dropped words as dots. */
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

static size_t code_points(const char *text, size_t bytes) {
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* A token as it is printed: without continuation marks and byte-level or Unigram marks of white space. */
static const char *shown(const session *s, const rubato_window *window, size_t i, size_t *bytes, bool *joined) {
    const char *text = window->surfaces && window->surfaces[i] ? window->surfaces[i] : NULL;
    if (text)
        *bytes = strlen(text);
    else
        text = rubato_token(s->model, window->ids[i], bytes);
    *joined = i > 0 && window->words[i] != UINT32_MAX && window->words[i] == window->words[i - 1];
    if (*bytes > 2 && strncmp(text, "##", 2) == 0) {
        text += 2;
        *bytes -= 2;
    }
    static const char *const marks[] = {"\xe2\x96\x81", "\xc4\xa0"};
    for (size_t j = 0; j < 2; j++)
        if (*bytes > strlen(marks[j]) && strncmp(text, marks[j], strlen(marks[j])) == 0) {
            text += strlen(marks[j]);
            *bytes -= strlen(marks[j]);
        }
    return text;
}

static void print_line(const session *s, const rubato_trace *trace, size_t layer) {
    for (size_t i = 0; i < trace->window->length; i++) {
        size_t bytes;
        bool joined;
        const char *text = shown(s, trace->window, i, &bytes, &joined);
        if (i && !joined) putchar(' ');
        if (trace->alive[layer * trace->window->length + i]) {
            fwrite(text, 1, bytes, stdout);
        } else {
            size_t width = code_points(text, bytes);
            for (size_t j = 0; j < width; j++) fputs("\xc2\xb7", stdout);
        }
    }
    putchar('\n');
}

int print_words(session *s, const arguments *given, const rubato_input *input) {
    rubato_trace *trace;
    rubato_error error;
    if (rubato_trace_text(s->context, input, &s->options, &trace, &error) != RUBATO_OK) return report(&error);
    size_t length = trace->window->length;
    if (given->json) {
        printf(", \"words\": {\"tokens\": [");
        for (size_t i = 0; i < length; i++) {
            size_t bytes;
            const char *text = rubato_token(s->model, trace->window->ids[i], &bytes);
            if (i) fputs(", ", stdout);
            print_json_string(text, bytes);
        }
        printf("], \"alive\": [");
        for (size_t layer = 0; layer < trace->layers; layer++) {
            printf("%s", layer ? ", " : "");
            if (!trace->ran[layer]) {
                fputs("null", stdout);
                continue;
            }
            putchar('[');
            bool any = false;
            for (size_t i = 0; i < length; i++)
                if (trace->alive[layer * length + i]) {
                    printf("%s%zu", any ? ", " : "", i);
                    any = true;
                }
            putchar(']');
        }
        printf("], \"left_after\": ");
        if (trace->left_after)
            printf("%zu}", trace->left_after);
        else
            printf("null}");
    } else {
        for (size_t layer = 0; layer < trace->layers; layer++) {
            printf("  layer %-2zu ", layer + 1);
            if (trace->ran[layer])
                print_line(s, trace, layer);
            else
                puts(trace->left_after && layer >= trace->left_after ? "(not needed any more)" : "(left out)");
        }
    }
    rubato_trace_destroy(trace);
    return EXIT_OK;
}
