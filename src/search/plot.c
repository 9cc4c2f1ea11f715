/* Writing frontier.svg. Its colours follow the viewer's light or dark scheme. */
#include "search/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { WIDTH = 760, HEIGHT = 480, LEFT = 76, RIGHT = 28, TOP = 64, BOTTOM = 62 };

typedef struct frame {
    FILE *out;
    double low_x, low_y, high_y;
} frame;

static double place_x(const frame *f, double cost) {
    return LEFT + (cost - f->low_x) / (1.02 - f->low_x) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const frame *f, double quality) {
    return HEIGHT - BOTTOM - (quality - f->low_y) / (f->high_y - f->low_y) * (HEIGHT - TOP - BOTTOM);
}

static int by_cost(const void *a, const void *b) {
    double x = ((const candidate *)a)->cost, y = ((const candidate *)b)->cost;
    return x < y ? -1 : x > y;
}

/* A distance between grid lines that gives four to nine lines: 1, 2 or 5 times a power of ten. */
static double grid_step(double span) {
    double power = pow(10, floor(log10(span / 4))), share = span / 4 / power;
    return power * (share >= 5 ? 5 : share >= 2 ? 2 : 1);
}

static void draw_grid(const frame *f, const char *metric, bool by_ms) {
    double step = grid_step(f->high_y - f->low_y);
    for (double y = ceil(f->low_y / step) * step; y <= f->high_y + 1e-9; y += step)
        fprintf(f->out,
                "<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/><text class='tick' x='%d' y='%.1f' "
                "text-anchor='end'>%.*f</text>\n",
                LEFT, WIDTH - RIGHT, place_y(f, y), place_y(f, y), LEFT - 10, place_y(f, y) + 4, step * 100 < 1 ? 1 : 0,
                y * 100);
    for (int i = 1; i <= 10; i++)
        if (i / 10.0 >= f->low_x)
            fprintf(f->out,
                    "<line class='grid' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/><text class='tick' x='%.1f' y='%d' "
                    "text-anchor='middle'>%.1fx</text>\n",
                    place_x(f, i / 10.0), place_x(f, i / 10.0), TOP, HEIGHT - BOTTOM, place_x(f, i / 10.0),
                    HEIGHT - BOTTOM + 20, i / 10.0);
    fprintf(f->out, "<text class='label' x='%d' y='%d' text-anchor='middle'>%s of the full model</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, by_ms ? "time" : "operations");
    fprintf(f->out, "<text class='label' transform='translate(20 %d) rotate(-90)' text-anchor='middle'>%s, %%</text>\n",
            (TOP + HEIGHT - BOTTOM) / 2, metric);
}

static void draw_series(const frame *f, const char *class, const candidate *points, size_t count) {
    if (count == 0) return;
    fprintf(f->out, "<polyline clip-path='url(#frame)' class='%s' points='", class);
    for (size_t i = 0; i < count; i++)
        fprintf(f->out, "%.1f,%.1f ", place_x(f, points[i].cost), place_y(f, points[i].quality));
    fprintf(f->out, "'/>\n");
    for (size_t i = 0; i < count; i++)
        if (points[i].quality >= f->low_y &&
            place_x(f, points[i].cost) <= WIDTH - RIGHT) /* exits can cost more than 1x */
            fprintf(f->out, "<circle class='%s' cx='%.1f' cy='%.1f' r='%s'><title>%.2fx: %.2f %%</title></circle>\n",
                    class, place_x(f, points[i].cost), place_y(f, points[i].quality),
                    strcmp(class, "search") ? "3" : "4", points[i].cost, points[i].quality * 100);
}

static void draw_legend(const frame *f, const char *class, const char *text, int number) {
    int x = WIDTH - RIGHT - 214, y = HEIGHT - BOTTOM - 22 - 22 * number;
    fprintf(f->out,
            "<line class='%s' x1='%d' x2='%d' y1='%d' y2='%d'/><circle class='%s' cx='%d' cy='%d' r='3.5'/><text "
            "class='label' "
            "x='%d' y='%d'>%s</text>\n",
            class, x, x + 34, y, y, class, x + 17, y, x + 44, y + 4, text);
}

static const char style[] =
    "<style>text{font-family:system-ui,sans-serif;fill:#24292f}.title{font-size:18px;font-weight:600}.label{font-size:"
    "13px}"
    ".tick{font-size:12px;fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}.back{fill:#fff}"
    "polyline,line{fill:none}polyline.search,line.search{stroke:#0969da;stroke-width:2.5}circle.search{fill:#0969da}"
    "polyline.uniform,line.uniform{stroke:#bc4c00;stroke-width:1.6;stroke-dasharray:6 4}circle.uniform{fill:#bc4c00}"
    "polyline.shallow,line.shallow{stroke:#1a7f37;stroke-width:1.6;stroke-dasharray:2 4}circle.shallow{fill:#1a7f37}"
    "polyline.narrow,line.narrow{stroke:#bf3989;stroke-width:1.6;stroke-dasharray:1 3}circle.narrow{fill:#bf3989}"
    "polyline.merged,line.merged{stroke:#0969da;stroke-width:1.6;stroke-dasharray:2 2}circle.merged{fill:#0969da}"
    "polyline.fixed,line.fixed{stroke:#57606a;stroke-width:1.6;stroke-dasharray:6 2}circle.fixed{fill:#57606a}"
    "polyline.exits,line.exits{stroke:#8250df;stroke-width:1.6;stroke-dasharray:8 3 2 3}circle.exits{fill:#8250df}"
    "line.full{stroke:#57606a;stroke-width:1.4}circle.full{fill:#57606a}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#30363d}.back{fill:#0d1117}"
    "polyline.search,line.search{stroke:#4493f8}circle.search{fill:#4493f8}polyline.uniform,line.uniform{stroke:#"
    "f0883e}"
    "circle.uniform{fill:#f0883e}polyline.shallow,line.shallow{stroke:#3fb950}circle.shallow{fill:#3fb950}"
    "polyline.narrow,line.narrow{stroke:#f778ba}circle.narrow{fill:#f778ba}"
    "polyline.merged,line.merged{stroke:#58a6ff}circle.merged{fill:#58a6ff}"
    "polyline.fixed,line.fixed{stroke:#8b949e}circle.fixed{fill:#8b949e}"
    "polyline.exits,line.exits{stroke:#ab7df8}circle.exits{fill:#ab7df8}"
    "line.full{stroke:#9198a1}circle.full{fill:#9198a1}}</style>\n";

static size_t pick(const candidate *all, size_t count, const char *family, candidate *out) {
    size_t picked = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].family && strcmp(all[i].family, family) == 0 && !isnan(all[i].quality)) out[picked++] = all[i];
    if (picked) qsort(out, picked, sizeof *out, by_cost);
    return picked;
}

/* The baselines that the search tries beside its own candidates. */
static const struct {
    const char *family, *legend;
} baselines[] = {{"shallow", "fewer layers, all words"}, {"uniform", "words dropped evenly"},
                 {"narrow", "fewer heads and neurons"},  {"exits", "leaving early alone"},
                 {"merged", "words merged two by two"},  {"fixed", "everything out at one exit"}};

rubato_status plot_write(const char *folder, const candidate *all, size_t count, const candidate *best,
                         size_t best_count, const char *metric, bool by_ms, const char *task, rubato_error *error) {
    char path[4200];
    new_file file;
    candidate *series = malloc((count + 1) * sizeof *series);
    if (!series) return fail_memory(error);
    snprintf(path, sizeof path, "%s/frontier.svg", folder);
    rubato_status status = new_file_open(&file, path, error);
    if (status != RUBATO_OK) {
        free(series);
        return status;
    }
    size_t fulls = pick(all, count, "full", series);
    double full = fulls ? series[0].quality : best_count ? best[best_count - 1].quality : 1, low = full, high = full;
    double cheapest = 1;
    for (size_t i = 0; i < best_count; i++) {
        low = fmin(low, best[i].quality);
        high = fmax(high, best[i].quality);
        cheapest = fmin(cheapest, best[i].cost);
    }
    /* leaves room for the baselines, but not for their lowest points */
    double span = fmax(high - low, 0.01);
    frame f = {.out = file.stream, .low_x = floor(cheapest * 10) / 10};
    f.low_y = fmax(fmax(low - 0.8 * span, high - 0.2), 0); /* lower points are of no use */
    f.high_y = fmin(high + 0.15 * (high - f.low_y), 1);
    fprintf(
        f.out,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n%s<clipPath "
        "id='frame'><rect x='%d' y='%d' width='%d' height='%d'/></clipPath><rect class='back' width='%d' "
        "height='%d'/>\n<text class='title' x='%d' y='36'>%s: %s against cost</text>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT, style, LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, WIDTH, HEIGHT,
        LEFT, task, metric);
    draw_grid(&f, metric, by_ms);
    fprintf(f.out, "<line class='full' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>\n", LEFT, WIDTH - RIGHT, place_y(&f, full),
            place_y(&f, full));
    int row = 0;
    draw_legend(&f, "full", "full model", row++);
    for (size_t i = 0; i < sizeof baselines / sizeof baselines[0]; i++) {
        size_t picked = pick(all, count, baselines[i].family, series);
        draw_series(&f, baselines[i].family, series, picked);
        if (picked) draw_legend(&f, baselines[i].family, baselines[i].legend, row++);
    }
    draw_series(&f, "search", best, best_count);
    draw_legend(&f, "search", "searched frontier", row);
    if (fulls) fprintf(f.out, "<circle class='full' cx='%.1f' cy='%.1f' r='5'/>\n", place_x(&f, 1), place_y(&f, full));
    fprintf(f.out, "</svg>\n");
    free(series);
    return new_file_commit(&file, error);
}
