/* Drawing the use of memories. Its colours follow the viewer's light or dark scheme. */
#include "cli/memory_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/grid.h"
#include "base/json.h"
#include "base/list.h"

enum { WIDTH = 900, HEIGHT = 420, LEFT = 70, RIGHT = 250, TOP = 56, BOTTOM = 56, MOST_LAYERS = 64, MOST_RUNS = 8 };

/* One memory of one run. */
typedef struct curve {
    size_t run, layer, count, capacity;
    double (*points)[2]; /* step, share */
} curve;

typedef struct drawing {
    const char *const *runs;
    curve *curves;
    size_t count, capacity;
    double last, highest; /* step; share */
} drawing;

/* The colours tell apart for the colour-blind too (Okabe and Ito 2008). */
static const struct {
    const char *light, *dark;
} colours[MOST_RUNS] = {{"#d55e00", "#ff9a5c"}, {"#0072b2", "#56b4e9"}, {"#007a5a", "#3ddbab"}, {"#b0487f", "#f0a3cd"},
                        {"#8a6d00", "#f0e442"}, {"#6b3fa0", "#b99aff"}, {"#57606a", "#9da7b3"}, {"#111111", "#f6f8fa"}};
static const char *const dashes[] = {"none", "7 4", "2 3", "9 3 2 3"};

static curve *curve_of(drawing *d, size_t run, size_t layer) {
    for (size_t i = 0; i < d->count; i++)
        if (d->curves[i].run == run && d->curves[i].layer == layer) return &d->curves[i];
    curve *grown = list_grown(d->curves, d->count, &d->capacity, sizeof *grown);
    if (!grown) return NULL;
    d->curves = grown;
    d->curves[d->count] = (curve){.run = run, .layer = layer};
    return &d->curves[d->count++];
}

static rubato_status add_point(drawing *d, size_t run, const json_t *memory, double step, rubato_error *error) {
    const json_int_t layer = json_integer_value(json_object_get(memory, "layer"));
    const double share = json_number_value(json_object_get(memory, "used_first"));
    if (layer < 0 || layer >= MOST_LAYERS || !(share >= 0 && share <= 1) || !(step >= 0 && step < 1e15))
        return RUBATO_OK;
    curve *to = curve_of(d, run, (size_t)layer);
    void *grown = to ? list_grown(to->points, to->count, &to->capacity, sizeof *to->points) : NULL;
    if (!grown) return fail_memory(error);
    to->points = grown;
    to->points[to->count][0] = step;
    to->points[to->count++][1] = share;
    d->last = fmax(d->last, step);
    d->highest = fmax(d->highest, share);
    return RUBATO_OK;
}

static rubato_status read_line(drawing *d, size_t run, const char *line, size_t bytes, rubato_error *error) {
    json_t *object;
    rubato_status status = json_read_bytes(&object, line, bytes, "metrics.jsonl", NULL);
    if (status == RUBATO_OUT_OF_MEMORY) return fail_memory(error);
    if (status != RUBATO_OK) return RUBATO_OK; /* a line that an interrupted run left */
    const json_t *memories = json_object_get(object, "memory");
    const double step = json_number_value(json_object_get(object, "step"));
    for (size_t i = 0; i < json_array_size(memories) && status == RUBATO_OK; i++)
        status = add_point(d, run, json_array_get(memories, i), step, error);
    json_decref(object);
    return status;
}

static rubato_status read_run(drawing *d, size_t run, rubato_error *error) {
    enum { MOST_BYTES = 256 << 20 };
    char path[4200], *data;
    size_t size;
    const size_t before = d->count;
    snprintf(path, sizeof path, "%s/metrics.jsonl", d->runs[run]);
    TRY(file_read(&data, &size, path, MOST_BYTES, error));
    rubato_status status = RUBATO_OK;
    for (const char *at = data, *end = data + size; at < end && status == RUBATO_OK;) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        status = read_line(d, run, at, (size_t)((next ? next : end) - at), error);
        at = next ? next + 1 : end;
    }
    free(data);
    if (status == RUBATO_OK && d->count == before)
        return fail(error, RUBATO_BAD_DATA, "%s tells nothing of memories; train a model with memories and --dev",
                    path);
    return status;
}

static double place_x(const drawing *d, double step) {
    return LEFT + step / fmax(d->last, 1) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const drawing *d, double share) {
    return HEIGHT - BOTTOM - share / d->highest * (HEIGHT - TOP - BOTTOM);
}

static void write_text(FILE *out, const char *text) {
    for (; *text; text++)
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, out);
}

static void write_style(FILE *out) {
    fputs("<style>text{font-family:system-ui,sans-serif;fill:#24292f}.title{font-size:17px;font-weight:600}.label{"
          "font-size:13px}.tick{font-size:12px;fill:#57606a}.grid{stroke:#d0d7de}.back{fill:#fff}"
          "polyline{fill:none;stroke-width:2.2}",
          out);
    for (size_t i = 0; i < MOST_RUNS; i++) fprintf(out, ".r%zu{stroke:%s}", i, colours[i].light);
    fputs("@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#30363d}.back{fill:#"
          "0d1117}",
          out);
    for (size_t i = 0; i < MOST_RUNS; i++) fprintf(out, ".r%zu{stroke:%s}", i, colours[i].dark);
    fputs("}</style>\n", out);
}

static void draw_grid(const drawing *d, FILE *out) {
    double step = grid_step(d->highest);
    for (double y = 0; y <= d->highest * 1.0001; y += step)
        fprintf(out,
                "<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/><text class='tick' x='%d' y='%.1f' "
                "text-anchor='end'>%.*f</text>\n",
                LEFT, WIDTH - RIGHT, place_y(d, y), place_y(d, y), LEFT - 8, place_y(d, y) + 4, step < 0.01 ? 1 : 0,
                100 * y);
    step = grid_step(fmax(d->last, 4));
    for (double x = 0; x <= d->last * 1.0001; x += step)
        fprintf(out, "<text class='tick' x='%.1f' y='%d' text-anchor='middle'>%.0f</text>\n", place_x(d, x),
                HEIGHT - BOTTOM + 20, x);
    fprintf(out, "<text class='label' x='%d' y='%d' text-anchor='middle'>steps of training</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14);
    fprintf(out,
            "<text class='label' transform='translate(18 %d) rotate(-90)' text-anchor='middle'>slots that are some "
            "token's best, %%</text>\n",
            (TOP + HEIGHT - BOTTOM) / 2);
}

/* How many lower layers of the same run have a memory: it chooses the dashes of the line. */
static size_t turn_of(const drawing *d, const curve *of) {
    size_t before = 0;
    for (size_t i = 0; i < d->count; i++) before += d->curves[i].run == of->run && d->curves[i].layer < of->layer;
    return before % (sizeof dashes / sizeof *dashes);
}

static void draw(const drawing *d, FILE *out) {
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' role='img' "
            "aria-label='use of memories by step'>\n",
            WIDTH, HEIGHT);
    write_style(out);
    fprintf(out,
            "<rect class='back' width='%d' height='%d'/><text class='title' x='%d' y='28'>Use of memories on the "
            "dev set</text>\n",
            WIDTH, HEIGHT, LEFT);
    draw_grid(d, out);
    for (size_t i = 0; i < d->count; i++) {
        const curve *one = &d->curves[i];
        const char *dash = dashes[turn_of(d, one)], *name = strrchr(d->runs[one->run], '/');
        fprintf(out, "<polyline class='r%zu' stroke-dasharray='%s' points='", one->run, dash);
        for (size_t j = 0; j < one->count; j++)
            fprintf(out, "%.1f,%.1f ", place_x(d, one->points[j][0]), place_y(d, one->points[j][1]));
        const int x = WIDTH - RIGHT + 18, y = TOP + 10 + 22 * (int)i;
        fprintf(out,
                "'/>\n<line class='r%zu' stroke-width='2.2' stroke-dasharray='%s' x1='%d' x2='%d' y1='%d' y2='%d'/>",
                one->run, dash, x, x + 34, y, y);
        fprintf(out, "<text class='label' x='%d' y='%d'>", x + 42, y + 4);
        write_text(out, name && name[1] ? name + 1 : d->runs[one->run]);
        fprintf(out, ", layer %zu</text>\n", one->layer);
    }
    fputs("</svg>\n", out);
}

rubato_status memory_plot(const char *path, const char *const *runs, size_t count, rubato_error *error) {
    drawing d = {.runs = runs, .highest = 0.001};
    new_file file;
    if (count > MOST_RUNS) return fail(error, RUBATO_BAD_ARGUMENT, "%zu runs; at most %d are drawn", count, MOST_RUNS);
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) status = read_run(&d, i, error);
    if (status == RUBATO_OK) status = new_file_open(&file, path, error);
    if (status == RUBATO_OK) {
        draw(&d, file.stream);
        status = new_file_commit(&file, error);
    }
    for (size_t i = 0; i < d.count; i++) free(d.curves[i].points);
    free(d.curves);
    return status;
}
