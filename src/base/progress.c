/* A progress bar. */
#define _POSIX_C_SOURCE 200809L
#include "base/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

void progress_begin(progress *bar, const char *label, const char *unit, bool quiet) {
    *bar = (progress){label, unit, clock_ms(), 0, !quiet && isatty(STDERR_FILENO)};
}

static void write_amount(char *out, size_t bytes, double amount) {
    const char *scale = "";
    if (amount >= 1e9)
        amount /= 1e9, scale = "G";
    else if (amount >= 1e6)
        amount /= 1e6, scale = "M";
    else if (amount >= 1e4)
        amount /= 1e3, scale = "k";
    snprintf(out, bytes, *scale ? "%.1f%s" : "%.0f%s", amount, scale);
}

void progress_show(progress *bar, double done, double total) {
    double now = clock_ms();
    if (!bar->on || (now - bar->drawn_ms < 100 && done < total)) return;
    bar->drawn_ms = now;
    enum { WIDTH = 24 };
    char cells[WIDTH + 1], amount[32], speed[32], left[48] = "";
    double seconds = (now - bar->begin_ms) / 1e3, rate = seconds > 0 ? done / seconds : 0;
    double share = total > 0 ? done / total : 0;
    for (int i = 0; i < WIDTH; i++) cells[i] = share * WIDTH > i ? '#' : '.';
    cells[WIDTH] = 0;
    write_amount(amount, sizeof amount, done);
    write_amount(speed, sizeof speed, rate);
    if (total > done && rate > 0) snprintf(left, sizeof left, ", %.0f s left", (total - done) / rate);
    if (total > 0)
        fprintf(stderr, "\r\033[K%s [%s] %3.0f%% %s%s, %s%s/s%s", bar->label, cells, 100 * share, amount, bar->unit,
                speed, bar->unit, left);
    else
        fprintf(stderr, "\r\033[K%s %s%s, %s%s/s", bar->label, amount, bar->unit, speed, bar->unit);
    fflush(stderr);
}

void progress_end(progress *bar) {
    if (bar->on && bar->drawn_ms > 0) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    bar->on = false;
}
