/* Printing. */
#include <math.h>
#include <string.h>

#include "cli/command.h"

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
