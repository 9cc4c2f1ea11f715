/* Mechanisms of attention: those of the library, and a window that it does not know (window_attention.c). Forward and
 * all gradients against plain double precision, whole encoders against differences, and what a mechanism brings with
 * it: refusals, costs, what configurations and files say of it. Sequences are of several panels, and of one row. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attending.h"
#include "attention/bigbird_attention.h"
#include "attention/performer_attention.h"
#include "bound.h"
#include "feeding/feeding.h"
#include "isas.h"
#include "model/encoder.h"
#include "scenes.h"
#include "train/parameters.h"

/* ---- One layer in double precision ---- */

/* queries, keys, values, output; queries, keys and values of global tokens */
enum { PLAIN = 7, OUTPUT = 3, GLOBAL = 4 };

typedef struct plain_weights {
    const float *weight[PLAIN], *bias[PLAIN];
    const float *slopes; /* [HEADS]; NULL: none */
    size_t block;        /* of queries; 0: none */
    size_t reach;        /* beyond the query, or its block; SIZE_MAX: all */
    size_t globals;      /* first tokens that see and are seen by all */
    size_t dilation;     /* of the windows of the last `dilated` heads; 0: 1 */
    size_t dilated;      /* 0: all */
    size_t stride;       /* sparse: strided, or fixed where there is a summary; axial: columns */
    size_t summary, layer;
    bool axial;
    size_t columns, lines, line_flange; /* of an image; 0: one dimension */
    bigbird_setting big;                /* block 0: not that mechanism */
    size_t features;                    /* of queries and keys: of elu(x) + 1 as many as columns; 0: softmax */
    performer_setting random;
    const float *rows; /* [features, SIZE], where features are random */
    /* The convolutions of keys and values, where RATIO of them become one; NULL: none */
    const float *compress[2], *compress_bias[2];
    bool causal; /* keys behind the query are not seen */
    /* Tables [LONGEST, SLOTS] that make SLOTS keys and values of a text's; NULL: none */
    const float *tables[2];
} plain_weights;

/* What is looked at: the output, and gradients of everything. */
typedef struct plain {
    double out[MOST_ROWS * HIDDEN], x[MOST_ROWS * HIDDEN], query_rows[MOST_ROWS * HIDDEN];
    double weight[PLAIN][HIDDEN * HIDDEN], bias[PLAIN][HIDDEN];
    double received[MOST_ROWS], from_others[MOST_ROWS]; /* the attention that each row got */
    double compress[2][HIDDEN * RATIO * HIDDEN], compress_bias[2][HIDDEN], tables[2][LONGEST * SLOTS];
} plain;

/* The derivative of to [rows, HIDDEN] = from W^T + b. */
static void apply_backward(const double *to_grad, const double *from, double *from_grad, size_t rows, const float *w,
                           double *w_grad, double *b_grad) {
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < HIDDEN; o++) {
            double g = to_grad[r * HIDDEN + o];
            b_grad[o] += g;
            for (size_t i = 0; i < HIDDEN; i++) {
                w_grad[o * HIDDEN + i] += g * from[r * HIDDEN + i];
                from_grad[r * HIDDEN + i] += g * (double)w[o * HIDDEN + i];
            }
        }
}

/* How often Big Bird counts a key. */
static size_t bigbird_counts(const plain_weights *with, size_t length, size_t h, size_t query, size_t key) {
    const size_t size = with->big.block, blocks = (length + size - 1) / size, of = query / size, other = key / size;
    size_t drawn[BIGBIRD_MOST], count = 0;
    if (length <= bigbird_dense(&with->big) || of == 0 || of == blocks - 1) return 1;
    if (other == 0) return with->big.drawn ? 1 : 1 + with->big.random;
    if (other == blocks - 1 || (other + 1 >= of && other <= of + 1)) return 1;
    if (!with->big.drawn) return 0;
    bigbird_draw(&with->big, with->layer, h, of, blocks, drawn);
    for (size_t i = 0; i < with->big.random; i++) count += drawn[i] == other;
    assert_true(count <= 1);
    return count;
}

/* How often a query of a head counts a key, both by their places in a text of that length. */
static size_t counts(const plain_weights *with, size_t length, size_t h, size_t query, size_t key) {
    const size_t begin = with->block ? query / with->block * with->block : 0;
    const size_t far = query > key ? query - key : key - query, stride = with->stride;
    if (with->big.block) return bigbird_counts(with, length, h, query, key);
    if (with->columns) {
        const size_t line = query / with->columns / with->lines * with->lines, other = key / with->columns;
        const size_t at = query % with->columns / with->block * with->block, column = key % with->columns;
        return other + with->line_flange >= line && other < line + with->lines + with->line_flange &&
               column + with->reach >= at && column < at + with->block + with->reach;
    }
    if (with->axial) return (with->layer % 2 ? query % stride == key % stride : query / stride == key / stride) ? 1 : 0;
    if (with->summary) return query / stride == key / stride || key % stride >= stride - with->summary;
    if (stride) return (h % 2 ? far % stride == 0 : far < stride) ? 1 : 0;
    if (query < with->globals || key < with->globals) return true;
    if (with->dilation > 1 && (with->dilated == 0 || h + with->dilated >= HEADS))
        return far % with->dilation == 0 && far / with->dilation <= with->reach;
    if (!with->block) return far <= with->reach;
    return key + with->reach >= begin && key < begin + with->block + with->reach;
}

/* Whether a causal query sees a key: a compressed key when all of its tokens have come. */
static bool has_come(const plain_weights *with, const scene *s, size_t sequence, size_t query, size_t key) {
    size_t place = s->origin[key] - s->origin[s->start[sequence]];
    if (!with->causal) return true;
    if (with->compress[0]) place = (place + 1) * RATIO - 1;
    return place <= s->query_origin[query] - s->input_start[sequence];
}

/* One query of one head: P over the sequence's keys, mixing, and their derivatives. */
static void plain_query(const plain_weights *with, const scene *s, size_t sequence, size_t h, size_t query,
                        double *const rows[PLAIN], double *const grads[PLAIN], plain *out) {
    size_t first = s->start[sequence], count = s->start[sequence + 1] - first, column = h * SIZE;
    const size_t of = s->query_origin[query] - s->origin[first] < with->globals ? GLOBAL : 0; /* its projections */
    double p[LONGEST], d[LONGEST], largest = -INFINITY, sum = 0, mean = 0, scale = 1 / sqrt(SIZE);
    for (size_t k = 0; k < count; k++) {
        double far = fabs((double)s->origin[first + k] - (double)s->query_origin[query]);
        p[k] = 0;
        for (size_t j = column; j < column + SIZE; j++)
            p[k] += rows[of][query * HIDDEN + j] * rows[of + 1][(first + k) * HIDDEN + j] * scale;
        p[k] -= with->slopes ? (double)with->slopes[h] * far : 0;
        p[k] += log((double)counts(with, s->input_start[sequence + 1] - s->origin[first], h,
                                   s->query_origin[query] - s->origin[first], s->origin[first + k] - s->origin[first]));
        if (!has_come(with, s, sequence, query, first + k)) p[k] = -INFINITY;
        largest = fmax(largest, p[k]);
    }
    if (!(largest > -INFINITY)) return; /* it sees nothing */
    for (size_t k = 0; k < count; k++) sum += p[k] = exp(p[k] - largest);
    for (size_t k = 0; k < count; k++) {
        p[k] /= sum;
        out->received[first + k] += p[k];
        if (s->origin[first + k] != s->query_origin[query]) out->from_others[first + k] += p[k];
        d[k] = 0;
        for (size_t j = column; j < column + SIZE; j++) {
            rows[OUTPUT][query * HIDDEN + j] += p[k] * rows[of + 2][(first + k) * HIDDEN + j];
            grads[of + 2][(first + k) * HIDDEN + j] += p[k] * grads[OUTPUT][query * HIDDEN + j];
            d[k] += grads[OUTPUT][query * HIDDEN + j] * rows[of + 2][(first + k) * HIDDEN + j];
        }
        mean += p[k] * d[k];
    }
    for (size_t k = 0; k < count; k++)
        for (size_t j = column; j < column + SIZE; j++) {
            double through = p[k] * (d[k] - mean) * scale;
            grads[of][query * HIDDEN + j] += through * rows[of + 1][(first + k) * HIDDEN + j];
            grads[of + 1][(first + k) * HIDDEN + j] += through * rows[of][query * HIDDEN + j];
        }
}

/* ---- By features ---- */

enum { MOST_FEATURES = 40 };

/* w x' of a random feature. */
static double along(const plain_weights *with, size_t feature, const double *x) {
    double sum = 0;
    for (size_t i = 0; i < SIZE; i++) sum += (double)with->rows[feature * SIZE + i] * x[i] * pow(SIZE, -0.25);
    return sum;
}

/* The exponent of a random feature, which is moderate here: nothing is taken from it. */
static double exponent(const plain_weights *with, size_t feature, const double *x) {
    double sum = along(with, feature, x);
    for (size_t i = 0; i < SIZE; i++) sum -= x[i] * x[i] / sqrt(SIZE) / 2;
    return sum;
}

static void plain_features(const plain_weights *with, const double *x, double *out) {
    for (size_t r = 0; r < with->features; r++)
        if (!with->rows)
            out[r] = x[r] > 0 ? x[r] + 1 : exp(x[r]);
        else
            out[r] = with->random.relu ? fmax(along(with, r, x), 0) + (double)1e-3f : exp(exponent(with, r, x));
}

static void plain_features_backward(const plain_weights *with, const double *x, const double *features, const double *d,
                                    double *dx) {
    const double scale = pow(SIZE, -0.25);
    for (size_t r = 0; r < with->features; r++) {
        if (!with->rows) {
            dx[r] += d[r] * (x[r] > 0 ? 1 : features[r]);
            continue;
        }
        const bool relu = with->random.relu;
        const double slope = d[r] * (!relu ? features[r] : along(with, r, x) > 0);
        for (size_t i = 0; i < SIZE; i++)
            dx[i] += slope * scale * ((double)with->rows[r * SIZE + i] - (relu ? 0 : x[i] * scale));
    }
}

/* As plain_query. */
static void featured_query(const plain_weights *with, const scene *s, size_t sequence, size_t h, size_t query,
                           double *const rows[PLAIN], double *const grads[PLAIN], plain *out) {
    const size_t first = s->start[sequence], count = s->start[sequence + 1] - first, column = h * SIZE;
    static double keys[LONGEST][MOST_FEATURES];
    double of[MOST_FEATURES], p[LONGEST], d[LONGEST], sum = 0, mean = 0;
    double d_query[MOST_FEATURES] = {0}, d_key[MOST_FEATURES];
    const double *q = rows[0] + query * HIDDEN + column;
    plain_features(with, q, of);
    for (size_t k = 0; k < count; k++) {
        plain_features(with, rows[1] + (first + k) * HIDDEN + column, keys[k]);
        p[k] = 0;
        for (size_t r = 0; r < with->features; r++) p[k] += of[r] * keys[k][r];
        if (!has_come(with, s, sequence, query, first + k)) p[k] = 0;
        sum += p[k];
    }
    for (size_t k = 0; k < count; k++) {
        p[k] /= sum;
        out->received[first + k] += p[k];
        if (s->origin[first + k] != s->query_origin[query]) out->from_others[first + k] += p[k];
        d[k] = 0;
        for (size_t j = column; j < column + SIZE; j++) {
            rows[OUTPUT][query * HIDDEN + j] += p[k] * rows[2][(first + k) * HIDDEN + j];
            grads[2][(first + k) * HIDDEN + j] += p[k] * grads[OUTPUT][query * HIDDEN + j];
            d[k] += grads[OUTPUT][query * HIDDEN + j] * rows[2][(first + k) * HIDDEN + j];
        }
        mean += p[k] * d[k];
    }
    for (size_t k = 0; k < count; k++) {
        const double through = has_come(with, s, sequence, query, first + k) ? (d[k] - mean) / sum : 0;
        for (size_t r = 0; r < with->features; r++) {
            d_query[r] += through * keys[k][r];
            d_key[r] = through * of[r];
        }
        plain_features_backward(with, rows[1] + (first + k) * HIDDEN + column, keys[k], d_key,
                                grads[1] + (first + k) * HIDDEN + column);
    }
    plain_features_backward(with, q, of, d_query, grads[0] + query * HIDDEN + column);
}

/* ---- Compressed ---- */

/* The scene of the compressed keys, and the slot and part of every row; by tables, the first slot of its text. */
static void find_slots(const plain_weights *with, const scene *s, scene *out, size_t of[MOST_ROWS],
                       size_t part[MOST_ROWS]) {
    size_t count = 0;
    *out = *s;
    for (size_t i = 0; i < SEQUENCES && with->tables[0]; i++) {
        out->start[i] = i * SLOTS;
        for (size_t row = s->start[i]; row < s->start[i + 1]; row++) {
            of[row] = i * SLOTS;
            part[row] = s->origin[row] - s->origin[s->start[i]];
        }
    }
    out->start[SEQUENCES] = SEQUENCES * SLOTS;
    if (with->tables[0]) return;
    for (size_t i = 0; i < SEQUENCES; i++) {
        size_t last = SIZE_MAX;
        out->start[i] = count;
        for (size_t row = s->start[i]; row < s->start[i + 1]; row++) {
            const size_t place = s->origin[row] - s->origin[s->start[i]];
            if (place / RATIO != last) out->origin[count++] = place / RATIO;
            last = place / RATIO;
            of[row] = count - 1;
            part[row] = place % RATIO;
        }
    }
    out->start[SEQUENCES] = count;
}

/* The same by a table. */
static void mix(const plain_weights *with, const scene *s, size_t which, const size_t *of, const size_t *place,
                const double *x, double *out, const double *out_grad, double *x_grad, plain *grads) {
    if (out) memset(out, 0, SEQUENCES * SLOTS * HIDDEN * sizeof *out);
    for (size_t row = 0; row < s->start[SEQUENCES]; row++)
        for (size_t j = 0; j < SLOTS; j++)
            for (size_t i = 0; i < HIDDEN; i++) {
                const size_t at = place[row] * SLOTS + j, slot = (of[row] + j) * HIDDEN + i;
                const double w = (double)with->tables[which][at];
                if (out) out[slot] += w * x[row * HIDDEN + i];
                if (!out_grad) continue;
                grads->tables[which][at] += out_grad[slot] * x[row * HIDDEN + i];
                x_grad[row * HIDDEN + i] += out_grad[slot] * w;
            }
}

/* out [slots, HIDDEN] of x [rows, HIDDEN]; or, where out_grad is given, the gradients of x and of the convolution. */
static void convolve(const plain_weights *with, const scene *s, size_t which, const double *x, double *out,
                     const double *out_grad, double *x_grad, plain *grads) {
    size_t of[MOST_ROWS], part[MOST_ROWS];
    scene slots;
    find_slots(with, s, &slots, of, part);
    if (with->tables[0]) {
        mix(with, s, which, of, part, x, out, out_grad, x_grad, grads);
        return;
    }
    for (size_t i = 0; i < slots.start[SEQUENCES]; i++)
        for (size_t j = 0; j < HIDDEN; j++) {
            if (out) out[i * HIDDEN + j] = (double)with->compress_bias[which][j];
            if (out_grad) grads->compress_bias[which][j] += out_grad[i * HIDDEN + j];
        }
    for (size_t row = 0; row < s->start[SEQUENCES]; row++)
        for (size_t j = 0; j < HIDDEN; j++)
            for (size_t i = 0; i < HIDDEN; i++) {
                const size_t at = j * RATIO * HIDDEN + part[row] * HIDDEN + i;
                const double w = (double)with->compress[which][at];
                if (out) out[of[row] * HIDDEN + j] += w * x[row * HIDDEN + i];
                if (!out_grad) continue;
                grads->compress[which][at] += out_grad[of[row] * HIDDEN + j] * x[row * HIDDEN + i];
                x_grad[row * HIDDEN + i] += out_grad[of[row] * HIDDEN + j] * w;
            }
}

/* Every query with the keys of the slots, by plain_query. */
static void compressed_queries(const plain_weights *with, const scene *s, double *const rows[PLAIN],
                               double *const grads[PLAIN], plain *out) {
    static double made[2][MOST_ROWS * HIDDEN], made_grads[2][MOST_ROWS * HIDDEN];
    static plain slot_plain;
    double *own[PLAIN] = {rows[0], made[0], made[1], rows[OUTPUT]};
    double *own_grads[PLAIN] = {grads[0], made_grads[0], made_grads[1], grads[OUTPUT]};
    size_t of[MOST_ROWS], part[MOST_ROWS], count[MOST_ROWS] = {0};
    scene slots;
    find_slots(with, s, &slots, of, part);
    memset(made_grads, 0, sizeof made_grads);
    slot_plain = (plain){0};
    for (size_t i = 0; i < 2; i++) convolve(with, s, i, rows[1 + i], made[i], NULL, NULL, NULL);
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++)
                plain_query(with, &slots, i, h, q, own, own_grads, &slot_plain);
    for (size_t i = 0; i < 2; i++) convolve(with, s, i, rows[1 + i], NULL, made_grads[i], grads[1 + i], out);
    for (size_t row = 0; row < s->start[SEQUENCES]; row++) count[of[row]]++;
    for (size_t row = 0; row < s->start[SEQUENCES]; row++)
        out->received[row] = out->from_others[row] = slot_plain.received[of[row]] / (double)count[of[row]];
}

/* ---- A layer ---- */

/* Queries come from `query_rows`. `toward` is the gradient of the output. Of heads beyond s->heads nothing is used. */
static void plain_attention(plain *out, const plain_weights *with, const scene *s, const double *x,
                            const double *query_rows, const double *toward) {
    size_t n = s->start[SEQUENCES], m = s->query_start[SEQUENCES], width = s->heads * SIZE;
    double *rows[PLAIN], *grads[PLAIN]; /* OUTPUT: what is mixed */
    *out = (plain){0};
    for (size_t i = 0; i < PLAIN; i++) {
        rows[i] = calloc(MOST_ROWS * HIDDEN, sizeof **rows);
        grads[i] = calloc(MOST_ROWS * HIDDEN, sizeof **grads);
    }
    for (size_t i = 0; i < PLAIN; i++) {
        const bool queries = i == 0 || i == GLOBAL;
        if (i != OUTPUT && with->weight[i])
            scene_apply(rows[i], queries ? query_rows : x, queries ? m : n, HIDDEN, HIDDEN, with->weight[i],
                        with->bias[i]);
    }
    /* the gradient of what is mixed does not depend on it */
    double *unused = calloc(HIDDEN * HIDDEN, sizeof *unused);
    apply_backward(toward, rows[OUTPUT], grads[OUTPUT], m, with->weight[OUTPUT], unused, out->bias[OUTPUT]);
    const bool compresses = with->compress[0] || with->tables[0];
    if (compresses) compressed_queries(with, s, rows, grads, out);
    for (size_t i = 0; i < SEQUENCES && !compresses; i++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++)
                (with->features ? featured_query : plain_query)(with, s, i, h, q, rows, grads, out);
    scene_apply(out->out, rows[OUTPUT], m, HIDDEN, HIDDEN, with->weight[OUTPUT], with->bias[OUTPUT]);
    for (size_t i = 0; i < m * HIDDEN; i++) {
        out->out[i] += query_rows[i];
        out->query_rows[i] += toward[i];
    }
    for (size_t r = 0; r < m; r++)
        for (size_t o = 0; o < HIDDEN; o++)
            for (size_t i = 0; i < width; i++)
                out->weight[OUTPUT][o * HIDDEN + i] += toward[r * HIDDEN + o] * rows[OUTPUT][r * HIDDEN + i];
    for (size_t i = 0; i < PLAIN; i++) {
        const bool queries = i == 0 || i == GLOBAL;
        if (i == OUTPUT || !with->weight[i]) continue;
        for (size_t r = 0; r < (queries ? m : n); r++) /* nothing comes from heads that do not run */
            for (size_t j = width; j < HIDDEN; j++) assert_true(grads[i][r * HIDDEN + j] == 0);
        apply_backward(grads[i], queries ? query_rows : x, queries ? out->query_rows : out->x, queries ? m : n,
                       with->weight[i], out->weight[i], out->bias[i]);
    }
    for (size_t i = 0; i < PLAIN; i++) {
        free(rows[i]);
        free(grads[i]);
    }
    free(unused);
}

/* ---- One layer against it ---- */

static const char *const plain_names[PLAIN] = {"self.query",       "self.key",          "self.value",
                                               "output.dense",     "self.query_global", "self.key_global",
                                               "self.value_global"};

static void compare_parameters(const bed *b, const plain_weights *with, const plain *want, const scene *s,
                               const char *isa) {
    for (size_t i = 0; i < PLAIN; i++) {
        if (!with->weight[i]) continue;
        float got[HIDDEN * HIDDEN];
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.0.attention.%s.weight", plain_names[i]);
        for (size_t j = 0; j < HIDDEN * HIDDEN; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        scene_compare(name, s, isa, want->weight[i], got, HIDDEN, HIDDEN, HIDDEN);
        snprintf(name, sizeof name, "encoder.layer.0.attention.%s.bias", plain_names[i]);
        for (size_t j = 0; j < HIDDEN; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        scene_compare(name, s, isa, want->bias[i], got, 1, HIDDEN, HIDDEN);
    }
}

static void compare_convolutions(const bed *b, const plain *want, const scene *s, const char *isa) {
    static float got[HIDDEN * RATIO * HIDDEN];
    for (size_t i = 0; i < 2; i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.0.attention.self.compress_%s.weight", i ? "value" : "key");
        for (size_t j = 0; j < HIDDEN * RATIO * HIDDEN; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        scene_compare(name, s, isa, want->compress[i], got, HIDDEN, RATIO * HIDDEN, RATIO * HIDDEN);
        snprintf(name, sizeof name, "encoder.layer.0.attention.self.compress_%s.bias", i ? "value" : "key");
        for (size_t j = 0; j < HIDDEN; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        scene_compare(name, s, isa, want->compress_bias[i], got, 1, HIDDEN, HIDDEN);
    }
}

static void compare_tables(const bed *b, const plain *want, const scene *s, const char *isa) {
    float got[LONGEST * SLOTS];
    for (size_t i = 0; i < 2; i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.0.attention.self.project_%s.weight", i ? "value" : "key");
        for (size_t j = 0; j < LONGEST * SLOTS; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        scene_compare(name, s, isa, want->tables[i], got, LONGEST, SLOTS, SLOTS);
    }
}

static void check_scene(bed *b, const plain_weights *with, scene s) {
    static double x[MOST_ROWS * HIDDEN], query_rows[MOST_ROWS * HIDDEN], toward[MOST_ROWS * HIDDEN];
    static plain want;
    uint64_t state = 3;
    const layer *one = &b->model->body.layers[0];
    const char *isa = b->context->kernels->name;
    lay_out(&s, &state);
    size_t n = s.start[SEQUENCES], m = s.query_start[SEQUENCES];
    for (size_t i = 0; i < n * HIDDEN; i++) x[i] = (double)(float)random_normal(&state);
    for (size_t i = 0; i < m * HIDDEN; i++) query_rows[i] = s.fewer ? (double)(float)random_normal(&state) : x[i];
    for (size_t i = 0; i < m * HIDDEN; i++) toward[i] = (double)(float)random_normal(&state);
    plain_attention(&want, with, &s, x, query_rows, toward);
    for (int records = 0; records < 2; records++) {
        run on = run_of(b, records);
        float received[MOST_ROWS];
        bool asks = one->attending->yields_received && !s.fewer && !with->causal;
        b->recording = (tape){.key = 1};
        tensor rows = scene_fill(&on, x, n), queries = s.fewer ? scene_fill(&on, query_rows, m) : rows;
        tensor out = run_tensor(&on, m, HIDDEN);
        attending_input in = scene_input(&s, with->layer, rows, queries);
        in.significance = asks ? received : NULL;
        in.others_only = records;
        in.places = with->causal ? scene_places(&s) : NULL;
        one->attending->forward(one->attention, &on, &in, out);
        assert_int_equal(b->status, RUBATO_OK);
        scene_compare("output", &s, isa, want.out, out.data, m, HIDDEN, out.stride);
        if (asks)
            scene_compare("attention received", &s, isa, records ? want.from_others : want.received, received, 1, n, n);
        if (records) {
            for (size_t r = 0; r < m; r++)
                for (size_t j = 0; j < HIDDEN; j++) tensor_grad(out, r)[j] = (float)toward[r * HIDDEN + j];
            tape_backward(&on);
            assert_int_equal(b->status, RUBATO_OK);
            if (s.fewer)
                scene_compare("gradient of the query_rows rows", &s, isa, want.query_rows, queries.grad, m, HIDDEN,
                              queries.stride);
            for (size_t i = 0; !s.fewer && i < n * HIDDEN; i++) want.x[i] += want.query_rows[i];
            scene_compare("gradient of the rows", &s, isa, want.x, rows.grad, n, HIDDEN, rows.stride);
            compare_parameters(b, with, &want, &s, isa);
            if (with->compress[0]) compare_convolutions(b, &want, &s, isa);
            if (with->tables[0]) compare_tables(b, &want, &s, isa);
            parameters_clear(&b->params);
        }
        arena_reset(&b->memory);
    }
}

/* What a query sees, and whether there are slopes, and projections of global tokens. */
typedef struct seeing {
    plain_weights by; /* without weights */
    bool sloped, projects, compresses, by_tables;
} seeing;

static void check_layer(const char *parts, seeing of) {
    made_model m = make_model(parts);
    plain_weights with = of.by;
    for (size_t i = 0; i < (of.projects ? PLAIN : GLOBAL); i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.%%zu.attention.%s.weight", plain_names[i]);
        with.weight[i] = stored_named(&m, name, 0);
        snprintf(name, sizeof name, "encoder.layer.%%zu.attention.%s.bias", plain_names[i]);
        with.bias[i] = stored_named(&m, name, 0);
    }
    for (size_t i = 0; i < 2 && of.compresses; i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.%%zu.attention.self.compress_%s.weight", i ? "value" : "key");
        with.compress[i] = stored_named(&m, name, 0);
        snprintf(name, sizeof name, "encoder.layer.%%zu.attention.self.compress_%s.bias", i ? "value" : "key");
        with.compress_bias[i] = stored_named(&m, name, 0);
    }
    for (size_t i = 0; i < 2 && of.by_tables; i++)
        with.tables[i] = stored_named(&m,
                                      i ? "encoder.layer.%zu.attention.self.project_value.weight"
                                        : "encoder.layer.%zu.attention.self.project_key.weight",
                                      0);
    if (of.sloped) with.slopes = stored_named(&m, "encoder.layer.%zu.attention.self.slopes", 0);
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        bed b;
        if (!isa_kernels_sampled(isa)) continue;
        open_bed(&b, m.folder, isa_name(isa), 1 + isa % 2);
        if (b.model->body.layers[0].attending->narrows)
            assert_int_equal(encoder_allow_narrow(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
        for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
            if ((scenes[i].heads == HEADS || b.model->body.layers[0].attending->narrows) &&
                !(with.causal && (scenes[i].retired || scenes[i].fewer)))
                check_scene(&b, &with, scenes[i]);
        close_bed(&b);
    }
    remove_model(&m);
}

static void test_softmax_layer(void **state) {
    (void)state;
    check_layer("", (seeing){.by.reach = SIZE_MAX});
}

static void test_window_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"window\", \"window\": 16}, ", (seeing){.by.reach = 16});
    check_layer("\"attention\": {\"mechanism\": \"window\", \"window\": 40, \"sloped\": true}, ",
                (seeing){.by.reach = 40, .sloped = true});
}

/* Blocks that are smaller and larger than a panel, and than the text, where the attention is dense. */
static void test_image_layer(void **state) {
    static const size_t sizes[][2] = {{8, 5}, {1, 3}, {40, 0}, {33, 40}, {5000, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char part[120];
        snprintf(part, sizeof part, "\"attention\": {\"mechanism\": \"image\", \"block\": %zu, \"flange\": %zu}, ",
                 sizes[i][0], sizes[i][1]);
        check_layer(part, (seeing){.by = {.block = sizes[i][0], .reach = sizes[i][1]}});
    }
}

/* Lines of one token, blocks that end within a line, and blocks of the whole text. */
static void test_image_of_lines(void **state) {
    static const size_t sizes[][5] = {
        {10, 4, 3, 2, 1}, {12, 12, 0, 3, 0}, {33, 7, 40, 1, 2}, {1, 1, 0, 4, 3}, {150, 200, 0, 8, 8}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t causal = 0; causal < 2; causal++) {
            const size_t *s = sizes[i];
            char part[200];
            snprintf(part, sizeof part,
                     "\"attention\": {\"mechanism\": \"image\", \"columns\": %zu, \"block\": %zu, \"flange\": %zu, "
                     "\"lines\": %zu, \"line_flange\": %zu}, ",
                     s[0], s[1], s[2], s[3], s[4]);
            check_layer(part, (seeing){.by = {.columns = s[0],
                                              .block = s[1],
                                              .reach = s[2],
                                              .lines = s[3],
                                              .line_flange = s[4],
                                              .causal = causal}});
        }
}

/* Windows within a panel, across panels, and wider than the text; no, one and several global tokens, and only such. */
static void test_longformer_layer(void **state) {
    static const size_t sizes[][2] = {{0, 0}, {6, 1}, {40, 3}, {80, 0}, {4000, 2}, {10, 500}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char part[120];
        snprintf(part, sizeof part,
                 "\"attention\": {\"mechanism\": \"longformer\", \"window\": %zu, \"globals\": %zu}, ", sizes[i][0],
                 sizes[i][1]);
        check_layer(part,
                    (seeing){.by = {.reach = sizes[i][0] / 2, .globals = sizes[i][1]}, .projects = sizes[i][1] > 0});
    }
}

/* Windows of every second, seventh ... key; of all heads, and of the last one alone; causal too. */
static void test_dilated_layer(void **state) {
    static const size_t sizes[][4] = {{6, 1, 2, 0}, {40, 0, 2, 1}, {10, 3, 7, 0}, {6, 1, 300, 1}, {4000, 2, 3, 0}};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        const size_t *s = sizes[i / 2];
        char part[160];
        snprintf(part, sizeof part,
                 "\"attention\": {\"mechanism\": \"longformer\", \"window\": %zu, \"globals\": %zu, \"dilation\": %zu, "
                 "\"dilated\": %zu}, ",
                 s[0], s[1], s[2], s[3]);
        check_layer(
            part,
            (seeing){.by = {.reach = s[0] / 2, .globals = s[1], .dilation = s[2], .dilated = s[3], .causal = i % 2},
                     .projects = s[1] > 0});
    }
}

/* Strides of one token, within a panel, across panels, and longer than the text, where all heads but the strided ones
 * are dense. */
static void test_sparse_layer(void **state) {
    static const size_t sizes[][2] = {{1, 0}, {7, 0}, {40, 0}, {4000, 0}, {1, 1}, {8, 2}, {50, 50}, {64, 7}, {4000, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char part[160], summary[40] = "";
        if (sizes[i][1]) snprintf(summary, sizeof summary, "\"pattern\": \"fixed\", \"summary\": %zu, ", sizes[i][1]);
        snprintf(part, sizeof part, "\"attention\": {\"mechanism\": \"sparse\", %s\"stride\": %zu}, ", summary,
                 sizes[i][0]);
        check_layer(part, (seeing){.by = {.stride = sizes[i][0], .summary = sizes[i][1]}});
    }
}

/* Layers of rows and of columns; one column, and one row. */
static void test_axial_layer(void **state) {
    static const size_t columns[] = {1, 5, 33, 1000};
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        char part[100];
        snprintf(part, sizeof part, "\"attention\": {\"mechanism\": \"axial\", \"columns\": %zu}, ", columns[i / 2]);
        check_layer(part, (seeing){.by = {.axial = true, .stride = columns[i / 2], .layer = i % 2}});
    }
}

/* Texts of many blocks, and of so few that attention is dense. */
static void test_bigbird_layer(void **state) {
    static const bigbird_setting settings[] = {{2, 0, true}, {3, 2, true}, {3, 2, false}, {8, 1, true}, {64, 3, false}};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char part[160];
        snprintf(part, sizeof part,
                 "\"attention\": {\"mechanism\": \"bigbird\", \"block\": %zu, \"random\": %zu, \"drawn\": %s}, ",
                 settings[i].block, settings[i].random, settings[i].drawn ? "true" : "false");
        check_layer(part, (seeing){.by = {.big = settings[i], .layer = i}});
    }
}

static void test_linear_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"linear\"}, ", (seeing){.by = {.features = SIZE}});
}

/* Fewer features than columns, and more. */
static void test_performer_layer(void **state) {
    static const performer_setting settings[] = {{7, 0, false}, {MOST_FEATURES, 3, false}, {33, 1, true}};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char part[160];
        float rows[MOST_FEATURES * SIZE];
        snprintf(part, sizeof part,
                 "\"attention\": {\"mechanism\": \"performer\", \"features\": %zu, \"seed\": %zu%s}, ",
                 settings[i].features, (size_t)settings[i].seed, settings[i].relu ? ", \"kernel\": \"relu\"" : "");
        assert_int_equal(performer_draw(&settings[i], SIZE, rows, NULL), RUBATO_OK);
        check_layer(part, (seeing){.by = {.features = settings[i].features, .random = settings[i], .rows = rows}});
    }
}

static void test_compressed_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"compressed\"}, ",
                (seeing){.by = {.reach = SIZE_MAX}, .compresses = true});
}

static void test_linformer_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"linformer\", \"slots\": 5}, ",
                (seeing){.by = {.reach = SIZE_MAX}, .by_tables = true});
}

/* The rows are orthogonal within a block, and with more of them the weights come nearer to the softmax's. */
static void test_random_features(void **state) {
    enum { MANY = 4096, DRAWS = 8 };
    static float rows[MANY * SIZE];
    double x[SIZE], y[SIZE], want = 0, square = 0, found[2] = {0};
    uint64_t seed = 5;
    (void)state;
    for (size_t i = 0; i < SIZE; i++) {
        x[i] = 0.5 * random_normal(&seed);
        y[i] = 0.5 * random_normal(&seed);
        want += x[i] * y[i];
        square += (x[i] * x[i] + y[i] * y[i]) / 2;
    }
    for (size_t size = 0; size < 2; size++) /* few features, and many */
        for (uint64_t draw = 0; draw < DRAWS; draw++) {
            const performer_setting setting = {size ? MANY : 64, draw, false};
            assert_int_equal(performer_draw(&setting, SIZE, rows, NULL), RUBATO_OK);
            double sum = 0;
            for (size_t r = 0; r < setting.features; r++) {
                double a = 0, b = 0, with_first = 0;
                for (size_t i = 0; i < SIZE; i++) {
                    a += (double)rows[r * SIZE + i] * x[i];
                    b += (double)rows[r * SIZE + i] * y[i];
                    with_first += (double)rows[r * SIZE + i] * (double)rows[r / SIZE * SIZE * SIZE + i];
                }
                sum += exp(a + b - square) / (double)setting.features;
                if (r % SIZE) assert_true(fabs(with_first) < 1e-4);
            }
            found[size] += pow(sum / exp(want) - 1, 2) / DRAWS;
        }
    if (!(sqrt(found[1]) < 0.25 && sqrt(found[1]) < sqrt(found[0]) / 2))
        fail_msg("errors of 64 and %d features: %.3g, %.3g", MANY, sqrt(found[0]), sqrt(found[1]));
}

/* ---- Causal ---- */

/* A layer that sees no later rows: of every kind of engine, and of blocks of several sizes. */
static void test_causal_layers(void **state) {
    float rows[MOST_FEATURES * SIZE];
    const performer_setting drawn = {33, 0, false};
    assert_int_equal(performer_draw(&drawn, SIZE, rows, NULL), RUBATO_OK);
    const struct {
        const char *setting;
        seeing of;
    } layers[] = {
        {"\"softmax\"", {.by.reach = SIZE_MAX}},
        {"\"image\", \"block\": 8, \"flange\": 5", {.by = {.block = 8, .reach = 5}}},
        {"\"image\", \"block\": 40, \"flange\": 33", {.by = {.block = 40, .reach = 33}}},
        {"\"longformer\", \"window\": 40, \"globals\": 3", {.by = {.reach = 20, .globals = 3}, .projects = true}},
        {"\"sparse\", \"stride\": 7", {.by = {.stride = 7}}},
        {"\"sparse\", \"stride\": 40, \"pattern\": \"fixed\", \"summary\": 3", {.by = {.stride = 40, .summary = 3}}},
        {"\"axial\", \"columns\": 5", {.by = {.axial = true, .stride = 5, .layer = 0}}},
        {"\"axial\", \"columns\": 33", {.by = {.axial = true, .stride = 33, .layer = 1}}},
        {"\"linear\"", {.by = {.features = SIZE}}},
        {"\"performer\", \"features\": 33", {.by = {.features = 33, .random = drawn, .rows = rows}}},
        {"\"compressed\"", {.by = {.reach = SIZE_MAX}, .compresses = true}}};
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        char parts[160];
        seeing of = layers[i].of;
        of.by.causal = true;
        snprintf(parts, sizeof parts, "\"attention\": {\"mechanism\": %s}, ", layers[i].setting);
        check_layer(parts, of);
    }
}

/* ---- Whole encoders of every mechanism ---- */

/* The sum of the encoder's output at a point times fixed weights, with dropout, whose masks stay. */
typedef struct summing {
    const words *of;
    const point *at;
} summing;

static double evaluate(bed *b, const void *user, bool backward) {
    const summing *sum = user;
    const thinning how = {.point = sum->at, .by = SIGNIFICANCE_FIRST, .restore = true};
    encoded out;
    b->recording = (tape){.key = 5, .hidden_rate = 0.1f, .attention_rate = 0.25f};
    run on = run_of(b, true);
    assert_int_equal(encoder_forward(&b->model->body, &on, &sum->of->packed, &how, &out), RUBATO_OK);
    double value = weigh(out.rows, sum->of->weights);
    if (backward) tape_backward(&on);
    assert_int_equal(b->status, RUBATO_OK);
    arena_reset(&b->memory);
    return value;
}

static void check_point(bed *b, const words *of, const point *at, const char *mechanism) {
    char name[128];
    snprintf(name, sizeof name, "%s, %s", mechanism, at->name);
    check_directions(b, evaluate, &(summing){of, at}, name);
}

/* A sequence's rows are the same alone and in company, on one thread and on two, to the bit. */
static void check_company(const char *folder, const words *w) {
    float *first = NULL;
    for (size_t threads = 1; threads <= 2; threads++) {
        bed b;
        open_bed(&b, folder, NULL, threads);
        run on = run_of(&b, false);
        encoded out;
        assert_int_equal(encoder_forward(&b.model->body, &on, &w->packed, NULL, &out), RUBATO_OK);
        if (!first) {
            first = malloc(MOST_ROWS * HIDDEN * sizeof *first);
            for (size_t r = 0; r < MOST_ROWS; r++)
                memcpy(first + r * HIDDEN, tensor_row(out.rows, r), HIDDEN * sizeof *first);
        }
        for (size_t r = 0; r < MOST_ROWS; r++)
            assert_memory_equal(tensor_row(out.rows, r), first + r * HIDDEN, HIDDEN * sizeof *first);
        for (size_t i = 0; i < SEQUENCES; i++) {
            const size_t start[] = {0, lengths[i]};
            const batch alone = {1, lengths[i], start, w->ids + w->start[i], w->types + w->start[i]};
            assert_int_equal(encoder_forward(&b.model->body, &on, &alone, NULL, &out), RUBATO_OK);
            for (size_t r = 0; r < lengths[i]; r++)
                assert_memory_equal(tensor_row(out.rows, r), first + (w->start[i] + r) * HIDDEN,
                                    HIDDEN * sizeof *first);
        }
        close_bed(&b);
    }
    free(first);
}

/* The rows of a causal encoder are those of a text that ends there. */
static void check_causal(const char *name, const char *parts, const words *w) {
    enum { ROWS = 70, CUT = 41 };
    char causal[200];
    bed b;
    snprintf(causal, sizeof causal, "%s\"is_decoder\": true, \"architectures\": [\"BertLMHeadModel\"], ", parts);
    made_model m = make_model(causal);
    const learning learn = {.task = RUBATO_TASK_LM, .seed = 1};
    open_bed_for(&b, m.folder, NULL, 2, &learn);
    run on = run_of(&b, false);
    const size_t whole_start[] = {0, ROWS}, cut_start[] = {0, CUT};
    const batch whole = {1, ROWS, whole_start, w->ids, w->types}, cut = {1, CUT, cut_start, w->ids, w->types};
    encoded all, some;
    assert_int_equal(encoder_forward(&b.model->body, &on, &whole, NULL, &all), RUBATO_OK);
    assert_int_equal(encoder_forward(&b.model->body, &on, &cut, NULL, &some), RUBATO_OK);
    for (size_t r = 0; r < CUT; r++)
        for (size_t j = 0; j < HIDDEN; j++)
            if (!(fabsf(tensor_row(all.rows, r)[j] - tensor_row(some.rows, r)[j]) < 1e-5f))
                fail_msg("%s: row %zu depends on later rows: %.8g, %.8g", name, r, (double)tensor_row(all.rows, r)[j],
                         (double)tensor_row(some.rows, r)[j]);
    point at = point_full(LAYERS);
    check_point(&b, w, &at, name);
    close_bed(&b);
    remove_model(&m);
}

static void check_encoder(const char *name, const char *parts) {
    static words w;
    uint64_t state = 11;
    bed b;
    made_model m = make_model(parts);
    draw_words(&w, &state);
    check_company(m.folder, &w);
    open_bed(&b, m.folder, NULL, 2);
    const layer *one = &b.model->body.layers[0];
    if (one->attending->decodes) check_causal(name, parts, &w);
    point at = point_full(LAYERS);
    check_point(&b, &w, &at, name);
    snprintf(at.name, sizeof at.name, "shorter");
    at.keep[0] = 0.7f;
    at.keep[1] = 0.4f;
    check_point(&b, &w, &at, name);
    if (one->attending->fewer_queries) {
        at = point_full(LAYERS);
        snprintf(at.name, sizeof at.name, "merging");
        at.merge[1] = true;
        check_point(&b, &w, &at, name);
    }
    if (one->attending->narrows && one->feeding->narrows) {
        at = point_full(LAYERS);
        snprintf(at.name, sizeof at.name, "first heads and neurons");
        at.heads[0] = at.neurons[0] = at.heads[1] = 0.5f;
        assert_int_equal(encoder_allow_narrow(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
        check_point(&b, &w, &at, name);
    }
    close_bed(&b);
    remove_model(&m);
}

static void test_every_attention(void **state) {
    (void)state;
    for (size_t i = 0; i < attending_table.count; i++) {
        char parts[128];
        parts_of(parts, sizeof parts, &attending_table, i);
        check_encoder(attending_table.kinds[i]->name, parts);
    }
}

static void test_every_feeding(void **state) {
    (void)state;
    for (size_t i = 0; i < feeding_table.count; i++) {
        char parts[128];
        parts_of(parts, sizeof parts, &feeding_table, i);
        check_encoder(feeding_table.kinds[i]->name, parts);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_softmax_layer),    cmocka_unit_test(test_image_of_lines),
                                       cmocka_unit_test(test_image_layer),      cmocka_unit_test(test_longformer_layer),
                                       cmocka_unit_test(test_dilated_layer),    cmocka_unit_test(test_window_layer),
                                       cmocka_unit_test(test_sparse_layer),     cmocka_unit_test(test_axial_layer),
                                       cmocka_unit_test(test_bigbird_layer),    cmocka_unit_test(test_linear_layer),
                                       cmocka_unit_test(test_performer_layer),  cmocka_unit_test(test_random_features),
                                       cmocka_unit_test(test_compressed_layer), cmocka_unit_test(test_linformer_layer),
                                       cmocka_unit_test(test_causal_layers),    cmocka_unit_test(test_every_attention),
                                       cmocka_unit_test(test_every_feeding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
