/* rubato bench: speed of the model on this machine, against the machine's measured peak. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

enum { MOST = 16 };

/* Parses "1,32"; returns the number of values, 0 for a bad list. */
static size_t parse_list(const char *text, size_t *out) {
    size_t count = 0;
    while (*text && count < MOST) {
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || value == 0 || (*end && *end != ',')) return 0;
        out[count++] = value;
        text = *end ? end + 1 : end;
    }
    return count;
}

/* Cuts ascending lengths to what the model takes: the first beyond it becomes the longest. Returns how many are left.
 */
static size_t cut_lengths(size_t *lengths, size_t count, size_t longest) {
    for (size_t i = 0; i < count; i++) {
        if (lengths[i] < longest) continue;
        lengths[i] = longest;
        return i + 1;
    }
    return count;
}

/* The peak of the precision of the model's products. */
static double peak_of(const rubato_machine *machine, const char *precision) {
    double peak = strcmp(precision, "int8") == 0   ? machine->int8_gflops
                  : strcmp(precision, "bf16") == 0 ? machine->bf16_gflops
                                                   : 0;
    return peak > 0 ? peak : machine->peak_gflops;
}

static void print_machine(const session *s, const rubato_machine *machine, bool json) {
    if (json) {
        printf("{\"machine\": {\"processor\": ");
        print_json_string(machine->processor, strlen(machine->processor));
        printf(", ");
        print_kernels(s, true);
        printf(", \"threads\": %zu, \"peak_gflops_1\": %.2f, \"peak_gflops\": %.2f, \"bf16_gflops\": %.2f, "
               "\"int8_gflops\": %.2f, \"bandwidth_gbs\": %.2f, \"l3_gbs\": %.2f, \"l2_gbs\": %.2f}",
               machine->threads, machine->peak_gflops_1, machine->peak_gflops, machine->bf16_gflops,
               machine->int8_gflops, machine->bandwidth_gbs, machine->l3_gbs, machine->l2_gbs);
        return;
    }
    printf("%s; kernels: ", machine->processor);
    print_kernels(s, false);
    printf("; %zu thread%s\n", machine->threads, machine->threads == 1 ? "" : "s");
    printf("measured: f32 peak %.1f Gflop/s (%.1f one thread)", machine->peak_gflops, machine->peak_gflops_1);
    if (machine->bf16_gflops > 0) printf(", bf16 %.1f", machine->bf16_gflops);
    if (machine->int8_gflops > 0) printf(", int8 %.1f", machine->int8_gflops);
    printf("; memory %.1f GB/s, L3 %.1f, L2 %.1f\n\n", machine->bandwidth_gbs, machine->l3_gbs, machine->l2_gbs);
}

/* Prints the time of each part, for each batch and length. */
static rubato_status print_roofline(const session *s, const rubato_machine *machine, size_t batch, size_t length,
                                    const char *before, bool json, rubato_error *error) {
    rubato_parts *made;
    double ms = 0, limit = 0;
    rubato_status status = rubato_roofline(s->context, machine, batch, length, &made, error);
    if (status != RUBATO_OK) return status;
    const rubato_part *const *parts = made->parts;
    size_t count = made->count;
    for (size_t i = 0; i < count; i++) {
        ms += parts[i]->ms;
        limit += parts[i]->limit_ms;
    }
    if (json) {
        printf("%s{\"precision\": \"%s\", \"batch\": %zu, \"length\": %zu, \"ms\": %.6f, \"limit_ms\": %.6f, "
               "\"parts\": [",
               before, s->info->precision, batch, length, ms, limit);
        for (size_t i = 0; i < count; i++)
            printf("%s{\"part\": \"%s\", \"ms\": %.6f, \"gflops\": %.3f, \"limit_ms\": %.6f, \"bound\": \"%s\"}",
                   i ? ", " : "", parts[i]->name, parts[i]->ms, parts[i]->gflops, parts[i]->limit_ms, parts[i]->bound);
        printf("]}");
        rubato_free(made);
        return RUBATO_OK;
    }
    printf("%s, batch %zu of %zu tokens\n", s->info->precision, batch, length);
    printf("%-18s %9s %7s %9s %10s %9s  %s\n", "", "ms", "share", "Gflop/s", "limit, ms", "of limit", "bound by");
    for (size_t i = 0; i < count; i++)
        printf("%-18s %9.4f %6.1f%% %9.1f %10.4f %8.1f%%  %s\n", parts[i]->name, parts[i]->ms, 100 * parts[i]->ms / ms,
               parts[i]->gflops, parts[i]->limit_ms, 100 * parts[i]->limit_ms / parts[i]->ms, parts[i]->bound);
    printf("%-18s %9.4f %6.1f%% %9s %10.4f %8.1f%%\n\n", "together", ms, 100.0, "", limit, 100 * limit / ms);
    rubato_free(made);
    return RUBATO_OK;
}

static int run(const arguments *given) {
    size_t batches[MOST] = {1, 32}, lengths[MOST] = {8, 32, 128, 512}, batch_count = 2, length_count = 4;
    if (given->batches && !(batch_count = parse_list(given->batches, batches)))
        return report_usage("--batch %s: write numbers as 1,32", given->batches);
    if (given->lengths && !(length_count = parse_list(given->lengths, lengths)))
        return report_usage("--length %s: write numbers as 16,128", given->lengths);
    session s;
    rubato_machine *machine;
    rubato_error error = {0};
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    if (!given->lengths) length_count = cut_lengths(lengths, length_count, s.info->max_length);
    size_t point; /* a wrong budget is refused before anything is measured */
    if ((given->run.budget &&
         rubato_choose_point(s.context, given->run.budget, lengths[0], &point, &error) != RUBATO_OK) ||
        rubato_measure_machine(s.context, &machine, &error) != RUBATO_OK) {
        session_close(&s);
        return report(&error);
    }
    print_machine(&s, machine, given->json);
    if (given->json)
        printf(", \"rows\": [");
    else if (!given->roofline)
        printf("%9s %6s %7s %10s %12s %9s %8s%s\n", "precision", "batch", "length", "ms", "tokens/s", "Gflop/s",
               "of peak", given->run.budget ? "  point        against full" : "");
    bool first = true;
    for (size_t i = 0; i < batch_count && status == EXIT_OK; i++)
        for (size_t j = 0; j < length_count && status == EXIT_OK; j++) {
            rubato_bench_row *row, *full = NULL;
            if (given->roofline) {
                if (print_roofline(&s, machine, batches[i], lengths[j], first ? "" : ", ", given->json, &error) !=
                    RUBATO_OK)
                    status = report(&error);
                first = false;
                continue;
            }
            if (rubato_bench_at(s.context, given->run.budget, batches[i], lengths[j], &row, &error) != RUBATO_OK ||
                (given->run.budget && rubato_bench(s.context, batches[i], lengths[j], &full, &error) != RUBATO_OK)) {
                status = report(&error);
                rubato_free(row);
                break;
            }
            double share = row->gflops / peak_of(machine, s.info->precision);
            if (given->json)
                printf("%s{\"precision\": \"%s\", \"batch\": %zu, \"length\": %zu, \"tokens_per_second\": %.1f, "
                       "\"ms\": %.4f, \"gflops\": %.2f, \"of_peak\": %.4f, \"point\": \"%s\", \"joules\": %.6g, "
                       "\"joules_measured\": %s",
                       first ? "" : ", ", s.info->precision, row->batch, row->length, row->tokens_per_second, row->ms,
                       row->gflops, share, row->point, row->joules, row->joules_measured ? "true" : "false");
            else
                printf("%9s %6zu %7zu %10.3f %12.0f %9.1f %7.1f%%", s.info->precision, row->batch, row->length, row->ms,
                       row->tokens_per_second, row->gflops, 100 * share);
            if (given->run.budget && given->json)
                printf(", \"against_full\": %.3f", full->ms / row->ms);
            else if (given->run.budget)
                printf("  %-12s %.2fx as fast", row->point, full->ms / row->ms);
            fputs(given->json ? "}" : "\n", stdout);
            fflush(stdout);
            first = false;
            rubato_free(row);
            rubato_free(full);
        }
    if (given->json) puts("]}");
    rubato_free(machine);
    session_close(&s);
    return finish_output(status);
}

const command command_bench = {"bench",
                               "MODEL",
                               "Measures the machine's peak and the model's speed over batch sizes and lengths.",
                               "batch length roofline run.budget load.* context.* json quiet help",
                               "  rubato bench build/models/all-MiniLM-L6-v2\n"
                               "  rubato bench MODEL --batch 1,32 --length 16,128 --threads 1 --json\n"
                               "  rubato bench ELASTIC --budget 0.4x\n"
                               "  rubato bench MODEL --precision int8 --batch 1 --length 128 --roofline\n",
                               run};
