/* One layer of mechanisms that have weights of their own, against plain loops in double precision, forward. Their
 * gradients are compared with differences in whole encoders (test_mechanisms.c). */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attending.h"
#include "isas.h"
#include "made_model.h"
#include "model/encoder.h"
#include "scenes.h"

/* What a mechanism's plain loops read and write. The heads that run are the first ones. */
typedef struct plain_pass {
    const made_model *model;
    const scene *s;
    const void *setting;
    double query[MOST_ROWS * HIDDEN], key[MOST_ROWS * HIDDEN], value[MOST_ROWS * HIDDEN]; /* projected */
    double mixed[MOST_ROWS * HIDDEN];
} plain_pass;

typedef void plain_mechanism(plain_pass *p);

static const float *own_weight(const made_model *m, const char *name, const char *suffix) {
    char full[96];
    snprintf(full, sizeof full, "encoder.layer.%%zu.attention.%s.%s", name, suffix);
    return stored_named(m, full, 0);
}

/* out = the values weighted by the softmax of `count` scores. */
static void plain_mix(double *out, double *scores, size_t count, const double *values, size_t stride) {
    double largest = -INFINITY, sum = 0;
    for (size_t k = 0; k < count; k++) largest = fmax(largest, scores[k]);
    for (size_t k = 0; k < count; k++) sum += scores[k] = exp(scores[k] - largest);
    for (size_t j = 0; j < SIZE; j++) out[j] = 0;
    for (size_t k = 0; k < count; k++)
        for (size_t j = 0; j < SIZE; j++) out[j] += scores[k] / sum * values[k * stride + j];
}

static double plain_dot(const double *a, const double *b) {
    double sum = 0;
    for (size_t j = 0; j < SIZE; j++) sum += a[j] * b[j];
    return sum;
}

static size_t place_of(const scene *s, size_t sequence, size_t row) {
    return s->origin[row] - s->origin[s->start[sequence]];
}

static size_t query_place(const scene *s, size_t sequence, size_t query) {
    return s->query_origin[query] - s->origin[s->start[sequence]];
}

/* ---- Layers ---- */

static void plain_set(plain_pass *p) {
    const scene *s = p->s;
    const float *points = own_weight(p->model, "self.points", "weight");
    static double met[SLOTS * HIDDEN], keys[SLOTS * HIDDEN], values[SLOTS * HIDDEN];
    for (size_t i = 0; i < SEQUENCES; i++) {
        const size_t first = s->start[i], count = s->start[i + 1] - first;
        for (size_t h = 0; h < HEADS; h++)
            for (size_t r = 0; r < SLOTS; r++) {
                double scores[LONGEST], asks[SIZE];
                for (size_t j = 0; j < SIZE; j++) asks[j] = (double)points[r * HIDDEN + h * SIZE + j];
                for (size_t k = 0; k < count; k++)
                    scores[k] = plain_dot(asks, p->key + (first + k) * HIDDEN + h * SIZE) / sqrt(SIZE);
                plain_mix(met + r * HIDDEN + h * SIZE, scores, count, p->value + first * HIDDEN + h * SIZE, HIDDEN);
            }
        scene_apply(keys, met, SLOTS, HIDDEN, HIDDEN, own_weight(p->model, "self.induced_key", "weight"),
                    own_weight(p->model, "self.induced_key", "bias"));
        scene_apply(values, met, SLOTS, HIDDEN, HIDDEN, own_weight(p->model, "self.induced_value", "weight"),
                    own_weight(p->model, "self.induced_value", "bias"));
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++) {
                double scores[SLOTS];
                for (size_t r = 0; r < SLOTS; r++)
                    scores[r] = plain_dot(p->query + q * HIDDEN + h * SIZE, keys + r * HIDDEN + h * SIZE) / sqrt(SIZE);
                plain_mix(p->mixed + q * HIDDEN + h * SIZE, scores, SLOTS, values + h * SIZE, HIDDEN);
            }
    }
}

typedef struct synthetic {
    bool random, mixed;
} synthetic;

static void plain_synthesizer(plain_pass *p) {
    const scene *s = p->s;
    const synthetic *setting = p->setting;
    const float *keys = own_weight(p->model, "self.place_key", "weight");
    const float *queries = own_weight(p->model, "self.place_query", "weight");
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++) {
                const size_t first = s->start[i], count = s->start[i + 1] - first;
                const double *own = p->query + q * HIDDEN + h * SIZE;
                double scores[LONGEST];
                for (size_t k = 0; k < count; k++) {
                    scores[k] = setting->mixed ? plain_dot(own, p->key + (first + k) * HIDDEN + h * SIZE) : 0;
                    for (size_t j = 0; j < SIZE; j++) {
                        const size_t at = query_place(s, i, q) * HIDDEN + h * SIZE + j;
                        const size_t other = place_of(s, i, first + k) * HIDDEN + h * SIZE + j;
                        scores[k] += (setting->random ? (double)queries[at] : fmax(own[j], 0)) * (double)keys[other];
                    }
                    scores[k] /= sqrt(SIZE);
                }
                plain_mix(p->mixed + q * HIDDEN + h * SIZE, scores, count, p->value + first * HIDDEN + h * SIZE,
                          HIDDEN);
            }
}

typedef struct sinkhorn {
    size_t block, iterations, cut;
} sinkhorn;

/* means [blocks][SIZE] of the rows that stand in a block. */
static void plain_means(const scene *s, size_t sequence, size_t block, bool queries, const double *x,
                        double means[][SIZE]) {
    const size_t *start = queries ? s->query_start : s->start;
    size_t count[LONGEST] = {0};
    memset(means, 0, LONGEST * sizeof *means);
    for (int sums = 1; sums >= 0; sums--)
        for (size_t row = start[sequence]; row < start[sequence + 1]; row++) {
            const size_t at = (queries ? query_place(s, sequence, row) : place_of(s, sequence, row)) / block;
            if (sums) count[at]++;
            for (size_t j = 0; j < SIZE && !sums; j++) means[at][j] += x[row * HIDDEN + j] / (double)count[at];
        }
}

static void plain_sinkhorn(plain_pass *p) {
    const scene *s = p->s;
    const sinkhorn *setting = p->setting;
    static double q[LONGEST][SIZE], k[LONGEST][SIZE], sorts[LONGEST][LONGEST], mixed[2][2 * LONGEST][SIZE];
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++) {
            const size_t length = s->input_start[i + 1] - s->origin[s->start[i]], block = setting->block;
            const size_t blocks = (length + block - 1) / block, slots = block < length ? block : length;
            plain_means(s, i, block, true, p->query + h * SIZE, q);
            plain_means(s, i, block, false, p->key + h * SIZE, k);
            for (size_t u = 0; u < blocks; u++)
                for (size_t v = 0; v < blocks; v++) sorts[u][v] = exp(plain_dot(q[u], k[v]) / sqrt(SIZE) / 0.75);
            for (size_t t = 0; t < 2 * setting->iterations; t++)
                for (size_t u = 0; u < blocks; u++) {
                    double sum = 0;
                    for (size_t v = 0; v < blocks; v++) sum += t % 2 ? sorts[v][u] : sorts[u][v];
                    for (size_t v = 0; v < blocks; v++) *(t % 2 ? &sorts[v][u] : &sorts[u][v]) /= sum;
                }
            memset(mixed, 0, sizeof mixed);
            for (size_t row = s->start[i]; row < s->start[i + 1]; row++)
                for (size_t u = 0; u < blocks; u++)
                    for (size_t j = 0; j < SIZE; j++) {
                        const size_t place = place_of(s, i, row), to = u * slots + place % block;
                        mixed[0][to][j] += sorts[u][place / block] * p->key[row * HIDDEN + h * SIZE + j];
                        mixed[1][to][j] += sorts[u][place / block] * p->value[row * HIDDEN + h * SIZE + j];
                    }
            for (size_t query = s->query_start[i]; query < s->query_start[i + 1]; query++) {
                static double scores[3 * LONGEST], values[3 * LONGEST][SIZE];
                const double *own = p->query + query * HIDDEN + h * SIZE;
                const size_t at = query_place(s, i, query) / block;
                size_t count = 0;
                for (size_t row = s->start[i]; row < s->start[i + 1] && !setting->cut; row++) {
                    if (place_of(s, i, row) / block != at) continue;
                    memcpy(values[count], p->value + row * HIDDEN + h * SIZE, sizeof values[0]);
                    scores[count++] = plain_dot(own, p->key + row * HIDDEN + h * SIZE) / sqrt(SIZE);
                }
                for (size_t u = 0; u < blocks; u++)
                    for (size_t t = 0; t < slots && (setting->cut ? u < setting->cut : u == at); t++) {
                        memcpy(values[count], mixed[1][u * slots + t], sizeof values[0]);
                        scores[count++] = plain_dot(own, mixed[0][u * slots + t]) / sqrt(SIZE);
                    }
                plain_mix(p->mixed + query * HIDDEN + h * SIZE, scores, count, values[0], SIZE);
            }
        }
}

/* ---- One layer against its plain loops ---- */

static void check_scene(bed *b, plain_pass *p, plain_mechanism *plain, scene s) {
    static double x[MOST_ROWS * HIDDEN], queries[MOST_ROWS * HIDDEN], want[MOST_ROWS * HIDDEN];
    const layer *one = &b->model->body.layers[0];
    uint64_t state = 3;
    lay_out(&s, &state);
    const size_t n = s.start[SEQUENCES], m = s.query_start[SEQUENCES];
    for (size_t i = 0; i < n * HIDDEN; i++) x[i] = (double)(float)random_normal(&state);
    for (size_t i = 0; i < m * HIDDEN; i++) queries[i] = s.fewer ? (double)(float)random_normal(&state) : x[i];
    p->s = &s;
    static const char *const names[] = {"self.query", "self.key", "self.value"};
    double *const made[] = {p->query, p->key, p->value};
    for (size_t i = 0; i < 3; i++)
        scene_apply(made[i], i ? x : queries, i ? n : m, HIDDEN, HIDDEN, own_weight(p->model, names[i], "weight"),
                    own_weight(p->model, names[i], "bias"));
    memset(p->mixed, 0, sizeof p->mixed);
    plain(p);
    scene_apply(want, p->mixed, m, HIDDEN, HIDDEN, own_weight(p->model, "output.dense", "weight"),
                own_weight(p->model, "output.dense", "bias"));
    for (size_t i = 0; i < m * HIDDEN; i++) want[i] += queries[i];
    run on = run_of(b, false);
    tensor rows = scene_fill(&on, x, n), of_queries = s.fewer ? scene_fill(&on, queries, m) : rows;
    tensor out = run_tensor(&on, m, HIDDEN);
    const attending_input in = scene_input(&s, 0, rows, of_queries);
    one->attending->forward(one->attention, &on, &in, out);
    assert_int_equal(b->status, RUBATO_OK);
    scene_compare("output", &s, b->context->kernels->name, want, out.data, m, HIDDEN, out.stride);
    arena_reset(&b->memory);
}

static void check_layer(const char *parts, plain_mechanism *plain, const void *setting) {
    made_model m = make_model(parts);
    static plain_pass p;
    p.model = &m;
    p.setting = setting;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        bed b;
        if (!isa_kernels_sampled(isa)) continue;
        open_bed(&b, m.folder, isa_name(isa), 1 + isa % 2);
        const bool narrows = b.model->body.layers[0].attending->narrows;
        if (narrows) assert_int_equal(encoder_allow_narrow(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
        for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
            if (scenes[i].heads == HEADS || narrows) check_scene(&b, &p, plain, scenes[i]);
        close_bed(&b);
    }
    remove_model(&m);
}

static void test_set_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"set\", \"points\": 5}, ", plain_set, NULL);
}

static void test_synthesizer_layer(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const synthetic setting = {i % 2, i / 2};
        char parts[120];
        snprintf(parts, sizeof parts,
                 "\"attention\": {\"mechanism\": \"synthesizer\", \"scores\": \"%s\", \"mixed\": %s}, ",
                 setting.random ? "random" : "dense", setting.mixed ? "true" : "false");
        check_layer(parts, plain_synthesizer, &setting);
    }
}

/* Blocks of one token, within a panel, and longer than the text. */
static void test_sinkhorn_layer(void **state) {
    static const sinkhorn settings[] = {{1, 5, 0},   {7, 3, 0},  {40, 5, 0}, {9, 0, 0},
                                        {500, 5, 0}, {16, 5, 2}, {16, 5, 99}};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char parts[160];
        snprintf(parts, sizeof parts,
                 "\"attention\": {\"mechanism\": \"sinkhorn\", \"block\": %zu, \"iterations\": %zu, \"cut\": %zu}, ",
                 settings[i].block, settings[i].iterations, settings[i].cut);
        check_layer(parts, plain_sinkhorn, &settings[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_set_layer), cmocka_unit_test(test_synthesizer_layer),
                                       cmocka_unit_test(test_sinkhorn_layer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
