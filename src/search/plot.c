/* Writing frontier.svg. Its colours follow the viewer's light or dark scheme. */
#include "search/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/grid.h"

enum { WIDTH = 990, HEIGHT = 480, LEFT = 76, RIGHT = 260, TOP = 70, BOTTOM = 62 }; /* RIGHT: the legend */

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

/* The colours tell apart for the colour-blind too (Okabe and Ito 2008); lines differ in their dashes as well. */
static const struct {
    const char *family, *legend, *dashes, *light, *dark;
} series[] = {{"search", "points of the frontier", "none", "#0072b2", "#56b4e9"},
              {"uniform", "words dropped evenly", "6 4", "#d55e00", "#ff9a5c"},
              {"shallow", "fewer layers, all words", "2 4", "#007a5a", "#3ddbab"},
              {"narrow", "fewer heads and neurons", "1 3", "#b0487f", "#f0a3cd"},
              {"merged", "words merged two by two", "10 3", "#8a6d00", "#f0e442"},
              {"exits", "leaving early alone", "8 3 2 3", "#6b3fa0", "#b99aff"},
              {"fixed", "everything out at one exit", "6 2", "#57606a", "#9da7b3"}};
enum { SERIES = sizeof series / sizeof series[0] };

static void write_style(const frame *f) {
    fputs("<style>text{font-family:system-ui,sans-serif;fill:#24292f}.title{font-size:18px;font-weight:600}.label{"
          "font-size:13px}.tick{font-size:12px;fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}.back{fill:#fff}"
          "polyline{fill:none}.line{stroke-width:1.7}.search.line{stroke-width:2.6}.bar{stroke-width:1.2}"
          ".full{stroke:#57606a;fill:#57606a;stroke-width:1.4}",
          f->out);
    for (size_t i = 0; i < SERIES; i++)
        fprintf(f->out, ".%s{stroke:%s;stroke-dasharray:%s}.%s.dot,.%s.bar{stroke-dasharray:none}.%s.dot{fill:%s}",
                series[i].family, series[i].light, series[i].dashes, series[i].family, series[i].family,
                series[i].family, series[i].light);
    fputs("@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#30363d}.back{fill:#"
          "0d1117}"
          ".full{stroke:#9198a1;fill:#9198a1}",
          f->out);
    for (size_t i = 0; i < SERIES; i++)
        fprintf(f->out, ".%s{stroke:%s}.%s.dot{fill:%s}", series[i].family, series[i].dark, series[i].family,
                series[i].dark);
    fputs("}</style>\n", f->out);
}

static void draw_bar(const frame *f, const char *family, double cost, double quality, double error) {
    double x = place_x(f, cost);
    if (isnan(error) || error <= 0) return;
    fprintf(f->out, "<line clip-path='url(#frame)' class='%s bar' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n", family,
            x, x, place_y(f, quality - error), place_y(f, quality + error));
}

static void draw_series(const frame *f, const char *family, const candidate *points, size_t count) {
    bool found = strcmp(family, "search") == 0;
    if (count == 0) return;
    fprintf(f->out, "<polyline clip-path='url(#frame)' class='%s line' points='", family);
    for (size_t i = 0; i < count; i++)
        fprintf(f->out, "%.1f,%.1f ", place_x(f, points[i].cost), place_y(f, points[i].quality));
    fprintf(f->out, "'/>\n");
    for (size_t i = 0; i < count; i++) {
        double x = place_x(f, points[i].cost);
        if (points[i].quality < f->low_y || x > WIDTH - RIGHT) continue; /* exits can cost more than 1x */
        if (found) draw_bar(f, family, points[i].cost, points[i].quality, points[i].gene.quality_error);
        fprintf(f->out, "<circle class='%s dot' cx='%.1f' cy='%.1f' r='%s'><title>%.2fx: %.2f %%</title></circle>\n",
                family, x, place_y(f, points[i].quality), found ? "4" : "3", points[i].cost, points[i].quality * 100);
    }
}

/* The legend stands beside the picture, so that it covers no line. */
static void draw_legend(const frame *f, const char *family, const char *text, int number) {
    int x = WIDTH - RIGHT + 18, y = TOP + 12 + 24 * number;
    bool full = strcmp(family, "full") == 0;
    fprintf(f->out, "<line class='%s%s' x1='%d' x2='%d' y1='%d' y2='%d'/>", family, full ? "" : " line", x, x + 34, y,
            y);
    fprintf(f->out, "<circle class='%s%s' cx='%d' cy='%d' r='3.5'/>", family, full ? "" : " dot", x + 17, y);
    fprintf(f->out, "<text class='label' x='%d' y='%d'>%s</text>\n", x + 44, y + 4, text);
}

static size_t pick(const candidate *all, size_t count, const char *family, candidate *out) {
    size_t picked = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].family && strcmp(all[i].family, family) == 0 && !isnan(all[i].quality)) out[picked++] = all[i];
    if (picked) qsort(out, picked, sizeof *out, by_cost);
    return picked;
}

/* A text of the user within XML. */
static void write_text(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else
            fputc(*text, out);
    }
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void write_title(const frame *f, const plot_text *text) {
    fprintf(f->out, "<text class='title' x='%d' y='30'>", LEFT);
    write_text(f->out, text->task);
    fprintf(f->out, ": %s against %s</text>\n<text class='label' x='%d' y='50'>", text->metric,
            text->by_ms ? "time" : "operations", LEFT);
    write_text(f->out, file_name(text->data));
    if (text->held_out)
        fprintf(f->out, ", %zu examples on which no point was chosen; bars: one standard error", text->held_out);
    else
        fputs(", on which the points were chosen: they look too good", f->out);
    fputs("</text>\n", f->out);
}

/* Leaves room for the baselines, but not for points that are of no use: the baselines' lowest, and those of the
 * frontier that keep less than three quarters of the best quality. */
static void set_range(frame *f, const plot_points *what) {
    const candidate *best = what->frontier;
    size_t count = what->frontier_count;
    double low = what->full, high = what->full, cheapest = 1, reach = what->full + what->full_error;
    for (size_t i = 0; i < count; i++) {
        high = fmax(high, best[i].quality);
        reach = fmax(reach, best[i].quality + best[i].gene.quality_error); /* fmax passes NaN over */
    }
    for (size_t i = 0; i < count; i++) {
        cheapest = fmin(cheapest, best[i].cost);
        if (best[i].quality >= 0.75 * high) low = fmin(low, best[i].quality);
    }
    double span = fmax(high - low, 0.01);
    f->low_x = floor(cheapest * 10) / 10;
    f->low_y = fmax(fmax(low - 0.8 * span, high - 0.2), 0);
    f->high_y = fmin(fmax(high + 0.25 * (high - f->low_y), reach), 1);
}

rubato_status plot_write(const char *folder, const plot_text *text, const plot_points *what, rubato_error *error) {
    char path[4200];
    new_file file;
    int row = 0;
    candidate *picked = malloc((what->count + 1) * sizeof *picked);
    if (!picked) return fail_memory(error);
    snprintf(path, sizeof path, "%s/frontier.svg", folder);
    rubato_status status = new_file_open(&file, path, error);
    if (status != RUBATO_OK) {
        free(picked);
        return status;
    }
    frame f = {.out = file.stream};
    set_range(&f, what);
    fprintf(f.out, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    write_style(&f);
    fprintf(f.out,
            "<clipPath id='frame'><rect x='%d' y='%d' width='%d' height='%d'/></clipPath><rect class='back' width='%d' "
            "height='%d'/>\n",
            LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, WIDTH, HEIGHT);
    write_title(&f, text);
    draw_grid(&f, text->metric, text->by_ms);
    fprintf(f.out, "<line class='full' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>\n", LEFT, WIDTH - RIGHT,
            place_y(&f, what->full), place_y(&f, what->full));
    draw_legend(&f, "full", "full model", row++);
    for (size_t i = 1; i < SERIES; i++) {
        size_t found = pick(what->all, what->count, series[i].family, picked);
        draw_series(&f, series[i].family, picked, found);
        if (found) draw_legend(&f, series[i].family, series[i].legend, row++);
    }
    draw_series(&f, series[0].family, what->frontier, what->frontier_count);
    draw_legend(&f, series[0].family, series[0].legend, row);
    draw_bar(&f, "full", 1, what->full, what->full_error);
    fprintf(f.out, "<circle class='full' cx='%.1f' cy='%.1f' r='5'/>\n</svg>\n", place_x(&f, 1),
            place_y(&f, what->full));
    free(picked);
    return new_file_commit(&file, error);
}
