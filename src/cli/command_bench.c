/* rubato bench: speed of the model on this machine, against the machine's measured peak. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

enum { MOST = 16 };

/* "1,32" to numbers; 0 of them for a bad list. */
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

static int run(const arguments *given) {
    size_t batches[MOST] = {1, 32}, lengths[MOST] = {8, 32, 128, 512}, batch_count = 2, length_count = 4;
    if (given->batches && !(batch_count = parse_list(given->batches, batches)))
        return report_usage("--batch %s: write numbers as 1,32", given->batches);
    if (given->lengths && !(length_count = parse_list(given->lengths, lengths)))
        return report_usage("--length %s: write numbers as 16,128", given->lengths);
    session s;
    rubato_machine machine;
    rubato_error error = {0};
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    if (rubato_measure_machine(s.context, &machine, &error) != RUBATO_OK) {
        session_close(&s);
        return report(&error);
    }
    if (given->json) {
        printf("{\"machine\": {\"processor\": ");
        print_json_string(machine.processor, strlen(machine.processor));
        printf(", \"isa\": \"%s\", \"threads\": %zu, \"peak_gflops_1\": %.2f, \"peak_gflops\": %.2f, "
               "\"bandwidth_gbs\": %.2f}, \"rows\": [",
               machine.isa, machine.threads, machine.peak_gflops_1, machine.peak_gflops, machine.bandwidth_gbs);
    } else {
        printf("%s, %s kernels, %zu thread%s\n", machine.processor, machine.isa, machine.threads,
               machine.threads == 1 ? "" : "s");
        printf("measured: f32 peak %.1f Gflop/s (%.1f one thread), memory %.1f GB/s\n\n", machine.peak_gflops,
               machine.peak_gflops_1, machine.bandwidth_gbs);
        printf("%9s %6s %7s %10s %12s %9s %8s%s\n", "precision", "batch", "length", "ms", "tokens/s", "Gflop/s",
               "of peak", given->budget ? "  point        against full" : "");
    }
    bool first = true;
    for (size_t i = 0; i < batch_count && status == EXIT_OK; i++)
        for (size_t j = 0; j < length_count && status == EXIT_OK; j++) {
            rubato_bench_row row, full;
            if (rubato_bench_at(s.context, given->budget, batches[i], lengths[j], &row, &error) != RUBATO_OK ||
                (given->budget && rubato_bench(s.context, batches[i], lengths[j], &full, &error) != RUBATO_OK)) {
                status = report(&error);
                break;
            }
            double share = row.gflops / machine.peak_gflops;
            if (given->json)
                printf("%s{\"precision\": \"%s\", \"batch\": %zu, \"length\": %zu, \"tokens_per_second\": %.1f, "
                       "\"ms\": %.4f, \"gflops\": %.2f, \"of_peak\": %.4f, \"point\": \"%s\"",
                       first ? "" : ", ", s.info->precision, row.batch, row.length, row.tokens_per_second, row.ms,
                       row.gflops, share, row.point);
            else
                printf("%9s %6zu %7zu %10.3f %12.0f %9.1f %7.1f%%", s.info->precision, row.batch, row.length, row.ms,
                       row.tokens_per_second, row.gflops, 100 * share);
            if (given->budget && given->json)
                printf(", \"against_full\": %.3f", full.ms / row.ms);
            else if (given->budget)
                printf("  %-12s %.2fx as fast", row.point, full.ms / row.ms);
            fputs(given->json ? "}" : "\n", stdout);
            fflush(stdout);
            first = false;
        }
    if (given->json) puts("]}");
    session_close(&s);
    return finish_output(status);
}

const command command_bench = {"bench",
                               "MODEL",
                               "Measures the machine's peak and the model's speed over batch sizes and lengths.",
                               " json batch length budget precision threads batch-tokens isa quiet help ",
                               "  rubato bench build/models/all-MiniLM-L6-v2\n"
                               "  rubato bench MODEL --batch 1,32 --length 16,128 --threads 1 --json\n"
                               "  rubato bench ELASTIC --budget 0.4x\n",
                               run};
