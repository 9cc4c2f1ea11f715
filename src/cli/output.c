/* Printing. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "cli/command.h"

char *copy_text(const char *text, size_t bytes, bool *failed) {
    char *copy = text ? malloc(bytes + 1) : NULL;
    *failed = *failed || (text && !copy);
    if (copy) memcpy(copy, text, bytes + 1);
    return copy;
}

void print_json_string(const char *text, size_t bytes) {
    putchar('"');
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c == '\n')
            fputs("\\n", stdout);
        else if (c == '\t')
            fputs("\\t", stdout);
        else if (c < 0x20 || c == 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

/* The columns of the terminal, SIZE_MAX where output is none. */
static size_t terminal_width(void) {
    struct winsize size;
    bool known = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : SIZE_MAX;
}

/* The bytes of the beginning of a text, UTF-8, that take at most `columns`. */
static size_t bytes_within(const char *text, size_t columns) {
    size_t at = 0, step;
    for (utf8proc_int32_t code; text[at]; at += step) {
        utf8proc_ssize_t read = utf8proc_iterate((const utf8proc_uint8_t *)text + at, -1, &code);
        size_t width = read <= 0 || code < ' ' || code == 0x7f ? 1 : (size_t)utf8proc_charwidth(code);
        if (width > columns) break;
        columns -= width;
        step = read > 0 ? (size_t)read : 1;
    }
    return at;
}

void print_text_line(const char *text, size_t used) {
    size_t width = terminal_width(), left = width > used ? width - used : 0, bytes = strlen(text);
    bool cut = width != SIZE_MAX && bytes_within(text, left) < bytes;
    if (cut) bytes = bytes_within(text, left ? left - 1 : 0);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        putchar(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    puts(cut && left ? "\xe2\x80\xa6" : "");
}

void print_float(double value) {
    if (isfinite(value))
        printf("%.7g", value);
    else
        fputs("null", stdout);
}

void print_cost(const rubato_cost *cost) {
    printf("{\"point\": ");
    print_json_string(cost->point, strlen(cost->point));
    printf(", \"flops\": %.0f, \"flops_ratio\": %.4g, \"layers\": %zu, \"rows\": [", cost->flops, cost->flops_ratio,
           cost->layers);
    for (size_t i = 0; i < cost->layers; i++) printf("%s%zu", i ? ", " : "", cost->rows[i]);
    printf("], \"ms\": %.3f, \"cut\": %zu, \"windows\": %zu}", cost->ms, cost->cut, cost->windows);
}

void print_cost_member(const arguments *given, const rubato_cost *cost) {
    if (!given->cost) return;
    if (given->json) {
        printf(", \"cost\": ");
        print_cost(cost);
        return;
    }
    printf("  [%s, %.1f Mflop (%.2fx), %zu tokens, %.2f ms", cost->point, cost->flops / 1e6, cost->flops_ratio,
           cost->tokens, cost->ms);
    if (cost->windows > 1) printf(", %zu windows", cost->windows);
    if (cost->cut) printf(", %zu tokens cut", cost->cut);
    printf("]");
}

static int best_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

void sort_ranked(ranked *order, size_t count) {
    qsort(order, count, sizeof *order, best_first);
}

static void print_ranked(const arguments *given, const scored_labels *what, const ranked *order, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *label = what->labels[order[i].index];
        if (given->json) {
            if (i) fputs(", ", stdout);
            print_json_string(label, strlen(label));
            fputs(": ", stdout);
            print_float((double)order[i].score);
        } else if (count > 1) {
            printf("%s%s %.4f", i ? ", " : "", label, (double)order[i].score);
        } else {
            printf("%-16s %.4f", label, (double)order[i].score);
        }
    }
}

int print_labels(const arguments *given, const scored_labels *what) {
    size_t shown = given->json || what->several ? what->count : 1, best = 0;
    if (given->top) shown = given->top < what->count ? given->top : what->count;
    ranked *order = calloc(what->count + 1, sizeof *order);
    if (!order) return report_text("out of memory");
    for (size_t i = 0; i < what->count; i++) {
        order[i] = (ranked){what->scores[i], i};
        if (what->scores[i] > what->scores[best]) best = i;
    }
    if (!given->json || given->top || what->sorted) sort_ranked(order, what->count);
    if (given->json) {
        printf("\"label\": ");
        print_json_string(what->labels[best], strlen(what->labels[best]));
        printf(", \"score\": ");
        print_float((double)what->scores[best]);
        printf(", \"scores\": {");
    }
    print_ranked(given, what, order, shown);
    if (given->json) putchar('}');
    free(order);
    return EXIT_OK;
}
