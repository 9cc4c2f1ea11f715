/* rubato info: the description of a model. */
#include <math.h>
#include <string.h>

#include "cli/command.h"

/* "heads 12", or "heads 6 to 12" where layers differ. */
static void print_range(const char *name, size_t least, size_t most) {
    printf("%s %zu", name, least);
    if (least < most) printf(" to %zu", most);
}

static void print_list(const char *const *items, size_t count) {
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        if (i) fputs(", ", stdout);
        print_json_string(items[i], strlen(items[i]));
    }
    putchar(']');
}

static void print_quality(double quality, double error) {
    if (!isnan(quality)) printf(", quality %.4f", quality);
    if (!isnan(error)) printf(" +- %.4f", error);
}

static void print_json(const session *s) {
    const rubato_info *info = s->info;
    printf("{\"path\": ");
    print_json_string(info->path, strlen(info->path));
    printf(", \"family\": \"%s\", \"task\": \"%s\", \"layers\": %zu, \"hidden\": %zu, \"heads\": %zu, \"inner\": %zu, "
           "\"parameters\": %zu, \"vocabulary\": %zu, \"max_length\": %zu, \"width\": %zu, \"pooling\": \"%s\", "
           "\"normalized\": %s, \"precision\": \"%s\", \"labels\": ",
           info->family, rubato_task_name(info->task), info->layers, info->hidden, info->heads, info->inner,
           info->parameters, info->vocabulary, info->max_length, info->width, info->pooling,
           info->normalized ? "true" : "false", info->precision);
    print_list(info->labels, info->label_count);
    if (info->least_heads < info->most_heads || info->least_inner < info->most_inner)
        printf(", \"layer_heads\": [%zu, %zu], \"layer_inner\": [%zu, %zu]", info->least_heads, info->most_heads,
               info->least_inner, info->most_inner);
    if (info->sparse_products)
        printf(", \"sparse_products\": %zu, \"products\": %zu", info->sparse_products, info->products);
    if (info->attention) printf(", \"attention\": \"%s\"", info->attention);
    if (info->feed_forward) printf(", \"feed_forward\": \"%s\"", info->feed_forward);
    printf(", \"prompts\": {");
    for (size_t i = 0; i < info->prompt_count; i++) {
        if (i) fputs(", ", stdout);
        print_json_string(info->prompt_names[i], strlen(info->prompt_names[i]));
        fputs(": ", stdout);
        print_json_string(info->prompts[i], strlen(info->prompts[i]));
    }
    fputs("}, \"points\": [", stdout);
    for (size_t i = 0; i < rubato_point_count(s->model); i++) {
        const rubato_point *p = rubato_model_point(s->model, i);
        printf("{\"name\": \"%s\", \"quality\": ", p->name);
        print_float(p->quality);
        if (!isnan(p->quality_error)) printf(", \"quality_error\": %.5f", p->quality_error);
        printf(", \"flops_ratio\": %.4f, \"layers\": %zu, \"exits\": %s, \"ms\": ", p->flops_ratio, p->layers,
               p->exits ? "true" : "false");
        print_float(p->ms);
        if (p->precision) printf(", \"precision\": \"%s\"", p->precision);
        fputs("}, ", stdout);
    }
    printf("{\"name\": \"full\", \"flops_ratio\": 1");
    if (!isnan(info->full_quality)) printf(", \"quality\": %.6g", info->full_quality);
    if (!isnan(info->full_quality_error)) printf(", \"quality_error\": %.5f", info->full_quality_error);
    fputs("}], \"metric\": ", stdout);
    print_json_string(info->metric, strlen(info->metric));
    printf(", \"held_out\": %zu, ", info->held_out);
    print_kernels(s, true);
    printf(", \"threads\": %zu, \"warnings\": ", rubato_context_threads(s->context));
    print_list(info->warnings, info->warning_count);
    puts("}");
}

static void print_text(const session *s) {
    const rubato_info *info = s->info;
    printf("%s\n", info->path);
    printf("  family       %s\n", info->family);
    if (info->attention) printf("  attention    %s\n", info->attention);
    if (info->feed_forward) printf("  feed-forward %s\n", info->feed_forward);
    printf("  task         %s%s\n", rubato_task_name(info->task), info->multi_label ? " (several labels at once)" : "");
    printf("  layers       %zu, hidden %zu, ", info->layers, info->hidden);
    print_range("heads", info->least_heads, info->most_heads);
    printf(", ");
    print_range("inner", info->least_inner, info->most_inner);
    putchar('\n');
    printf("  parameters   %.1f M\n", (double)info->parameters / 1e6);
    printf("  vocabulary   %zu\n", info->vocabulary);
    printf("  max length   %zu tokens\n", info->max_length);
    printf("  embedding    %zu, %s%s\n", info->width, info->pooling, info->normalized ? ", normalised" : "");
    if (info->label_count) {
        printf("  labels      ");
        for (size_t i = 0; i < info->label_count && i < 20; i++) printf(" %s", info->labels[i]);
        puts(info->label_count > 20 ? " ..." : "");
    }
    for (size_t i = 0; i < info->prompt_count; i++)
        printf("  prompt       %s: \"%s\"\n", info->prompt_names[i], info->prompts[i]);
    for (size_t i = 0; i < rubato_point_count(s->model); i++) {
        const rubato_point *p = rubato_model_point(s->model, i);
        printf("  point        @%-10s %.2fx operations%s, %zu layer%s", p->name, p->flops_ratio,
               p->exits || p->flops_error > 0 ? " on average" : "", p->layers, p->layers == 1 ? "" : "s");
        if (p->precision) printf(", products in %s", p->precision);
        print_quality(p->quality, p->quality_error);
        putchar('\n');
    }
    printf("  point        full        1.00x operations, %zu layer%s", info->layers, info->layers == 1 ? "" : "s");
    print_quality(info->full_quality, info->full_quality_error);
    putchar('\n');
    if (info->held_out)
        printf("  quality      %s of %zu examples, on which no point was chosen\n", info->metric, info->held_out);
    else if (*info->metric)
        printf("  quality      %s\n", info->metric);
    printf("  products in  %s", info->precision);
    if (info->sparse_products) printf(", %zu of %zu leave out zeros", info->sparse_products, info->products);
    putchar('\n');
    printf("  kernels      ");
    print_kernels(s, false);
    printf("\n  threads      %zu\n", rubato_context_threads(s->context));
}

static int run(const arguments *given) {
    session s;
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    if (given->json)
        print_json(&s);
    else
        print_text(&s);
    session_close(&s);
    return finish_output(EXIT_OK);
}

const command command_info = {"info",
                              "MODEL",
                              "Describes a model: family, task, sizes, labels, operating points.",
                              "load.* context.threads context.isa json quiet help",
                              "  rubato info build/models/all-MiniLM-L6-v2\n  rubato info org/name --json\n",
                              run};
