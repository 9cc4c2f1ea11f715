/* The report of rubato_adapt: a page for people and the same numbers for programs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/adapting.h"
#include "base/checked.h"
#include "base/grid.h"
#include "base/file.h"

enum { WIDTH = 860, HEIGHT = 420, LEFT = 70, RIGHT = 30, TOP = 24, BOTTOM = 56, MOST_FIGURE = 1 << 22 };

static void write_text(FILE *out, const char *text) {
    for (; text && *text; text++) {
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '\'' || *text == '"')
            fprintf(out, "&#%d;", *text);
        else
            fputc(*text, out);
    }
}

/* ---- The picture ---- */

typedef struct axes {
    double low_x, high_x, low_y, high_y; /* x: logarithms of milliseconds */
} axes;

static double place_x(const axes *a, double ms) {
    return LEFT + (log(ms) - a->low_x) / (a->high_x - a->low_x) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const axes *a, double quality) {
    return HEIGHT - BOTTOM - (quality - a->low_y) / (a->high_y - a->low_y) * (HEIGHT - TOP - BOTTOM);
}

static axes find_axes(const json_t *all) {
    axes a = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    double best = 0;
    for (size_t i = 0; i < json_array_size(all); i++)
        best = fmax(best, candidate_number(json_array_get(all, i), "quality"));
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const double x = log(candidate_number(one, "ms")), y = candidate_number(one, "quality");
        const double spread = candidate_number(one, "quality_error"), error = isfinite(spread) ? spread : 0;
        a.low_x = fmin(a.low_x, x - 0.15);
        a.high_x = fmax(a.high_x, x + 0.15);
        a.low_y = fmin(a.low_y, fmax(y - error, best - 0.15));
        a.high_y = fmax(a.high_y, y + error);
    }
    const double room = fmax(a.high_y - a.low_y, 0.01) * 0.06;
    a.low_y -= room;
    a.high_y += room;
    return a;
}

static void draw_grid(FILE *out, const axes *a, const char *metric) {
    const double step = grid_step(a->high_y - a->low_y);
    for (double y = ceil(a->low_y / step) * step; y <= a->high_y; y += step)
        fprintf(out,
                "<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/><text class='tick' x='%d' y='%.1f' "
                "text-anchor='end'>%.*f</text>\n",
                LEFT, WIDTH - RIGHT, place_y(a, y), place_y(a, y), LEFT - 8, place_y(a, y) + 4, step < 0.01 ? 1 : 0,
                100 * y);
    static const double steps[] = {1, 2, 5};
    for (int power = -3; power <= 4; power++)
        for (size_t i = 0; i < 3; i++) {
            const double ms = steps[i] * pow(10, power);
            if (log(ms) < a->low_x || log(ms) > a->high_x) continue;
            fprintf(out,
                    "<line class='grid' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/><text class='tick' x='%.1f' y='%d' "
                    "text-anchor='middle'>%g ms</text>\n",
                    place_x(a, ms), place_x(a, ms), TOP, HEIGHT - BOTTOM, place_x(a, ms), HEIGHT - BOTTOM + 18, ms);
        }
    fprintf(out, "<text class='label' x='%d' y='%d' text-anchor='middle'>time of one text alone</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
    fprintf(out, "<text class='label' transform='translate(18 %d) rotate(-90)' text-anchor='middle'>%s, %%</text>\n",
            (TOP + HEIGHT - BOTTOM) / 2, metric);
}

/* Families of candidates by the first word of their names; the colours tell apart for the colour-blind too (Okabe and
 * Ito 2008). */
static const struct {
    const char *name, *colour;
} families[] = {
    {"tuned", "#57606a"}, {"pieces", "#cc79a7"}, {"student", "#d55e00"}, {"pruned", "#009e73"}, {"elastic", "#0072b2"}};

enum { FAMILIES = sizeof families / sizeof families[0] };

static const char *colour_of(const char *name) {
    for (size_t i = 0; i < FAMILIES; i++)
        if (strncmp(name, families[i].name, strlen(families[i].name)) == 0) return families[i].colour;
    return families[0].colour;
}

static void draw(FILE *out, const adapting *self, const json_t *all, size_t chosen) {
    const axes a = find_axes(all);
    fprintf(out, "<svg viewBox='0 0 %d %d' role='img' aria-label='quality against time of all candidates'>\n", WIDTH,
            HEIGHT);
    draw_grid(out, &a, candidate_text(self->record, "metric"));
    if (self->target != TARGET_MEGABYTES) {
        const double base = candidate_number(json_array_get(all, 0), "ms");
        const double limit = self->target == TARGET_MS ? self->wanted : self->wanted * base;
        if (log(limit) > a.low_x && log(limit) < a.high_x)
            fprintf(out,
                    "<line class='limit' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/><text class='tick' x='%.1f' y='%d' "
                    "text-anchor='end'>target</text>\n",
                    place_x(&a, limit), place_x(&a, limit), TOP, HEIGHT - BOTTOM, place_x(&a, limit) - 5, TOP + 12);
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *name = candidate_text(one, "name");
        const double x = place_x(&a, candidate_number(one, "ms")), quality = candidate_number(one, "quality");
        const double spread = candidate_number(one, "quality_error");
        if (quality < a.low_y) continue;
        if (isfinite(spread))
            fprintf(out, "<line stroke='%s' stroke-width='1' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n",
                    colour_of(name), x, x, place_y(&a, fmax(quality - spread, a.low_y)),
                    place_y(&a, fmin(quality + spread, a.high_y)));
        const bool bytes = strstr(name, "int8") != NULL;
        fprintf(out, "<circle cx='%.1f' cy='%.1f' r='%s' fill='%s' stroke='%s' stroke-width='1.6'><title>", x,
                place_y(&a, quality), i == chosen ? "7" : "4.5", bytes ? colour_of(name) : "var(--paper)",
                colour_of(name));
        write_text(out, name);
        fprintf(out, "</title></circle>\n");
        if (i == chosen)
            fprintf(out, "<text class='label chosen' x='%.1f' y='%.1f' text-anchor='middle'>chosen</text>\n", x,
                    place_y(&a, quality) - 13);
    }
    fprintf(out, "</svg>\n<p class='legend'>");
    for (size_t i = 0; i < FAMILIES; i++)
        fprintf(out, "<span style='color:%s'>&#9679;</span> %s&ensp;", families[i].colour, families[i].name);
    fprintf(out, "filled: int8; bars: one standard error</p>\n");
}

/* ---- The page ---- */

static const char style[] =
    ":root{--paper:#fff;--ink:#1f2328;--quiet:#57606a;--line:#d8dee4;--mark:#fff8c5}"
    "@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--quiet:#9198a1;--line:#30363d;--mark:#"
    "3a3206}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:900px;margin:2em auto;"
    "padding:0 1em}h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.1em;margin-top:1.6em}"
    ".quiet,.legend{color:var(--quiet);font-size:.9em}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.3em .55em;text-align:right;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--quiet)}tr.chosen{background:var(--"
    "mark)}"
    ".big{display:flex;flex-wrap:wrap;gap:1.6em;margin:1em 0}.big div b{display:block;font-size:1.5em}svg{width:100%}"
    "svg text{fill:var(--ink);font-family:inherit}.label{font-size:13px}.tick{font-size:12px}.chosen{font-weight:600}"
    ".grid{stroke:var(--line)}.limit{stroke:#cf222e;stroke-dasharray:5 4;stroke-width:1.4}"
    "pre{background:rgba(127,127,127,.12);padding:.6em;overflow:auto}";

static void write_row(FILE *out, const json_t *one, bool chosen) {
    const double spread = candidate_number(one, "quality_error");
    fprintf(out, "<tr%s><td>", chosen ? " class='chosen'" : "");
    write_text(out, candidate_text(one, "name"));
    fprintf(out, "</td><td>%.2f", 100 * candidate_number(one, "quality"));
    if (isfinite(spread)) fprintf(out, " &plusmn; %.2f", 100 * spread);
    fprintf(out, "</td><td>%.2f</td><td>%.3g</td><td>%.2fx</td><td>%.1f</td><td>%.3g</td><td>%s</td></tr>\n",
            100 * candidate_number(one, "chosen_on"), candidate_number(one, "ms"), candidate_number(one, "ratio"),
            candidate_number(one, "megabytes"), candidate_number(one, "joules"),
            json_is_true(json_object_get(one, "meets")) ? "yes" : "");
}

/* The frontier's own picture, as it stands in the folder of the points. */
static void write_figure(FILE *out, const adapting *self) {
    char folder[ADAPT_PATH], path[ADAPT_PATH + 16], *text;
    size_t size;
    adapt_folder(self, "elastic", folder);
    snprintf(path, sizeof path, "%s/frontier.svg", folder);
    if (file_read(&text, &size, path, MOST_FIGURE, NULL) != RUBATO_OK) return;
    const char *svg = strstr(text, "<svg");
    /* its own style would reach the page: it stands alone in a frame of its own */
    fprintf(out, "<h2>Operating points of the elastic model</h2><img alt='quality against operations' "
                 "style='width:100%%' src=\"data:image/svg+xml;utf8,");
    for (const char *at = svg ? svg : ""; *at; at++) {
        if (*at == '#' || *at == '%' || *at == '"' || *at == '&' || *at == '\n' || (unsigned char)*at >= 0x80)
            fprintf(out, "%%%02X", (unsigned char)*at);
        else
            fputc(*at, out);
    }
    fprintf(out, "\">\n");
    free(text);
}

static void write_target(FILE *out, const adapting *self) {
    fprintf(out, "%g%s", self->wanted, self->target == TARGET_RATIO ? "x" : self->target == TARGET_MS ? "ms" : "MB");
}

static void write_page(FILE *out, const adapting *self, size_t chosen, bool met) {
    const rubato_adapt_options *o = self->options;
    const json_t *all = json_object_get(self->record, "candidates"), *best = json_array_get(all, chosen);
    const json_t *first = json_array_get(all, 0);
    const char *metric = candidate_text(self->record, "metric");
    fprintf(out, "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
                 "content='width=device-width'><title>rubato adapt: ");
    write_text(out, o->task);
    fprintf(out, "</title><style>%s</style></head><body>\n<h1>", style);
    write_text(out, candidate_text(best, "name"));
    const bool within = json_is_true(json_object_get(best, "meets"));
    fprintf(out, met ? " meets " : within ? " keeps " : " is nearest to ");
    write_target(out, self);
    if (within && !met)
        fprintf(out, ", but loses more than %g point%s", self->max_drop, self->max_drop == 1 ? "" : "s");
    fprintf(out, "</h1>\n<p class='quiet'>");
    write_text(out, o->model);
    fprintf(out, ", ");
    write_text(out, o->task);
    fprintf(out, " on ");
    write_text(out, o->data);
    fprintf(out, "; %s</p>\n", candidate_text(self->record, "machine"));
    if (!met)
        fprintf(
            out,
            "<p><b>No candidate keeps the target and loses at most %g point%s.</b> The one that is chosen is %s.</p>",
            self->max_drop, self->max_drop == 1 ? "" : "s",
            json_is_true(json_object_get(best, "meets")) ? "the best within the target" : "the cheapest");
    fprintf(out, "<div class='big'><div><b>%.2f %%</b>%s (%+.2f against the fine-tuned model)</div>",
            100 * candidate_number(best, "quality"), metric,
            100 * (candidate_number(best, "quality") - candidate_number(first, "quality")));
    fprintf(out,
            "<div><b>%.3g ms</b>one text alone (%.1fx as fast)</div><div><b>%.1f MB</b>weights, %.2f of the size</div>",
            candidate_number(best, "ms"), 1 / candidate_number(best, "ratio"), candidate_number(best, "megabytes"),
            candidate_number(best, "megabytes") / candidate_number(first, "megabytes"));
    fprintf(out, "<div><b>%.3g J</b>an answer, %s</div></div>\n", candidate_number(best, "joules"),
            json_is_true(json_object_get(best, "joules_measured")) ? "measured: the whole processor"
                                                                   : "estimated from the time");
    draw(out, self, all, chosen);
    fprintf(out,
            "<h2>All candidates</h2>\n<table><tr><th>candidate</th><th>%s, %%</th><th>on the other half</th>"
            "<th>ms</th><th>of full</th><th>MB</th><th>J</th><th>meets</th></tr>\n",
            metric);
    for (size_t i = 0; i < json_array_size(all); i++) write_row(out, json_array_get(all, i), i == chosen);
    fprintf(
        out,
        "</table>\n<p class='quiet'>Quality is of %zu examples of the dev data on which nothing was chosen; the "
        "column beside it is of the other half, by which the operating points and this candidate were chosen. Times "
        "are medians of single texts. Joules are %s.</p>\n",
        self->told.count,
        json_is_true(json_object_get(best, "joules_measured"))
            ? "of the processor's counters, with all that ran beside"
            : "estimated at 4 W a busy thread, because this processor does not tell");
    write_figure(out, self);
    const char *budget = candidate_text(best, "budget");
    fprintf(out, "<h2>To use it</h2>\n<pre>rubato classify ");
    write_text(out, o->out);
    if (budget) fprintf(out, " --budget ");
    write_text(out, budget);
    fprintf(out, " texts.txt</pre>\n</body></html>\n");
}

rubato_status adapt_report(const adapting *self, size_t chosen, bool met, rubato_error *error) {
    char path[ADAPT_PATH + 16];
    new_file file;
    const json_t *all = json_object_get(self->record, "candidates");
    json_t *made = json_object();
    json_put(&made, "target", json_string(self->options->target));
    json_put(&made, "max_drop", json_real(self->max_drop));
    json_put(&made, "metric", json_incref(json_object_get(self->record, "metric")));
    json_put(&made, "machine", json_incref(json_object_get(self->record, "machine")));
    json_put(&made, "held_out", json_integer((json_int_t)self->told.count));
    json_put(&made, "met", json_boolean(met));
    json_put(&made, "chosen", json_incref(json_array_get(all, chosen)));
    json_put(&made, "candidates", json_deep_copy(all));
    if (!made) return fail_memory(error);
    snprintf(path, sizeof path, "%s/report.json", self->options->out);
    rubato_status status = json_write_file(made, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6), error);
    json_decref(made);
    TRY(status);
    snprintf(path, sizeof path, "%s/report.html", self->options->out);
    TRY(new_file_open(&file, path, error));
    write_page(file.stream, self, chosen, met);
    return new_file_commit(&file, error);
}
