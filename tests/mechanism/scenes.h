/* Rows of packed sequences for one layer's attention: all, some of which are gone, or of which not all are queries. For
 * one source, after made_model.h. */
#ifndef RUBATO_TESTS_SCENES_H
#define RUBATO_TESTS_SCENES_H

#include <math.h>

#include "attention/attending.h"
#include "made_model.h"

typedef struct scene {
    const char *name;
    bool retired, fewer; /* rows are gone; not all that are there are queries */
    size_t heads;
    size_t start[SEQUENCES + 1], query_start[SEQUENCES + 1], input_start[SEQUENCES + 1];
    size_t origin[MOST_ROWS], query_origin[MOST_ROWS];
} scene;

static const scene scenes[] = {
    {.name = "all rows", .heads = HEADS},
    {.name = "rows are gone", .retired = true, .heads = HEADS},
    {.name = "fewer queries", .fewer = true, .heads = HEADS},
    {.name = "fewer queries of rows of which some are gone", .retired = true, .fewer = true, .heads = HEADS},
    {.name = "first heads", .heads = 2},
    {.name = "one head, fewer queries", .fewer = true, .heads = 1}};

static inline batch batch_of(const size_t *start) {
    static const int32_t types[MOST_ROWS];
    return (batch){.sequences = SEQUENCES, .rows = start[SEQUENCES], .start = start, .types = types};
}

static inline void lay_out(scene *s, uint64_t *state) {
    size_t rows = 0, queries = 0, first = 0;
    for (size_t i = 0; i < SEQUENCES; i++, first += lengths[i - 1]) {
        s->start[i] = rows;
        s->query_start[i] = queries;
        s->input_start[i] = first;
        for (size_t place = 0; place < lengths[i]; place++) {
            if (s->retired && place % 7 && random_real(state) < 0.3) continue;
            s->origin[rows++] = first + place;
            if (!s->fewer || place % 5 == 0 || random_real(state) < 0.3) s->query_origin[queries++] = first + place;
        }
    }
    s->start[SEQUENCES] = rows;
    s->query_start[SEQUENCES] = queries;
    s->input_start[SEQUENCES] = first;
}

/* One pass of a layer over the scene's rows. */
static inline attending_input scene_input(const scene *s, size_t number, tensor rows, tensor queries) {
    return (attending_input){.layer = number,
                             .heads = s->heads,
                             .x = rows,
                             .query_rows = queries,
                             .residual = queries,
                             .sequences = batch_of(s->start),
                             .queries = batch_of(s->query_start),
                             .origin = s->retired ? s->origin : NULL,
                             .query_origin = s->retired || s->fewer ? s->query_origin : NULL,
                             .input = batch_of(s->input_start)};
}

/* Of a scene with all rows, each row's place; for a causal pass. */
static inline const size_t *scene_places(const scene *s) {
    static size_t places[MOST_ROWS];
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t row = s->start[i]; row < s->start[i + 1]; row++) places[row] = row - s->start[i];
    return places;
}

/* to [rows, out] = from [rows, in] W^T + b. */
static inline void scene_apply(double *to, const double *from, size_t rows, size_t out, size_t in, const float *w,
                               const float *b) {
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = (double)b[o];
            for (size_t i = 0; i < in; i++) sum += from[r * in + i] * (double)w[o * in + i];
            to[r * out + o] = sum;
        }
}

/* Fails where a value is farther from its own than 1e-4 of the largest. */
static inline void scene_compare(const char *what, const scene *s, const char *isa, const double *want,
                                 const float *got, size_t rows, size_t columns, size_t stride) {
    double largest = 4; /* a gradient may be zero, as that of the keys' bias, and its rounding is not */
    for (size_t i = 0; i < rows * columns; i++) largest = fmax(largest, fabs(want[i]));
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            if (!(fabs((double)got[r * stride + c] - want[r * columns + c]) < 1e-4 * largest))
                fail_msg("%s, %s, %s: [%zu, %zu] is %.8g, should be %.8g (largest %.3g)", s->name, isa, what, r, c,
                         (double)got[r * stride + c], want[r * columns + c], largest);
}

static inline tensor scene_fill(const run *on, const double *from, size_t rows) {
    tensor made = run_tensor(on, rows, HIDDEN);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < HIDDEN; j++) tensor_row(made, r)[j] = (float)from[r * HIDDEN + j];
    return made;
}

#endif
