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

static void print_sizes(const char *name, const size_t *sizes, const rubato_trace *trace) {
    printf(", \"%s\": [", name);
    for (size_t layer = 0; layer < trace->layers; layer++) {
        if (layer) fputs(", ", stdout);
        if (trace->ran[layer])
            printf("%zu", sizes[layer]);
        else
            fputs("null", stdout);
    }
    putchar(']');
}

static void print_alive(const rubato_trace *trace, size_t layer) {
    bool any = false;
    putchar('[');
    for (size_t i = 0; i < trace->window->length; i++) {
        if (!trace->alive[layer * trace->window->length + i]) continue;
        printf("%s%zu", any ? ", " : "", i);
        any = true;
    }
    putchar(']');
}

static void print_json(const session *s, const rubato_trace *trace) {
    const rubato_window *window = trace->window;
    fputs(", \"words\": {\"tokens\": [", stdout);
    for (size_t i = 0; i < window->length; i++) {
        size_t bytes;
        const char *text = rubato_token(s->model, window->ids[i], &bytes);
        if (i) fputs(", ", stdout);
        print_json_string(text, bytes);
    }
    fputs("], \"sequences\": [", stdout);
    for (size_t i = 0; i < window->length; i++) {
        if (i) fputs(", ", stdout);
        if (window->sequences[i] == 255)
            fputs("null", stdout);
        else
            printf("%u", window->sequences[i]);
    }
    fputs("], \"alive\": [", stdout);
    for (size_t layer = 0; layer < trace->layers; layer++) {
        if (layer) fputs(", ", stdout);
        if (trace->ran[layer])
            print_alive(trace, layer);
        else
            fputs("null", stdout);
    }
    putchar(']');
    print_sizes("heads", trace->heads, trace);
    print_sizes("neurons", trace->neurons, trace);
    printf(", \"cut\": %zu, \"left_after\": ", trace->cut);
    if (trace->left_after)
        printf("%zu}", trace->left_after);
    else
        fputs("null}", stdout);
}

/* The parts of a layer that is narrower than the model's widest. */
static void print_width(const rubato_info *info, const rubato_trace *trace, size_t layer) {
    if (trace->heads[layer] < info->heads) printf("(%zu of %zu heads) ", trace->heads[layer], info->heads);
    if (trace->neurons[layer] < info->inner) printf("(%zu of %zu neurons) ", trace->neurons[layer], info->inner);
}

static void print_text(const session *s, const rubato_trace *trace) {
    for (size_t layer = 0; layer < trace->layers; layer++) {
        printf("  layer %-2zu ", layer + 1);
        if (trace->ran[layer]) {
            print_width(s->info, trace, layer);
            print_line(s, trace, layer);
        } else {
            puts(trace->left_after && layer >= trace->left_after ? "(not needed any more)" : "(left out)");
        }
    }
    if (trace->cut)
        printf("  %zu more token%s %s\n", trace->cut, trace->cut == 1 ? "" : "s",
               s->info->task == RUBATO_TASK_QA ? "in further windows, which are read too" : "cut and not read");
}

int print_words(session *s, const arguments *given, const rubato_input *input) {
    rubato_trace *trace;
    rubato_error error;
    rubato_options options = s->options;
    rubato_text_options text = *options.text;
    if (s->info->task == RUBATO_TASK_QA) text.truncation = RUBATO_ONLY_SECOND;
    options.text = &text;
    if (rubato_trace_text(s->context, input, &options, &trace, &error) != RUBATO_OK) return report(&error);
    if (given->json)
        print_json(s, trace);
    else
        print_text(s, trace);
    rubato_trace_destroy(trace);
    return EXIT_OK;
}
