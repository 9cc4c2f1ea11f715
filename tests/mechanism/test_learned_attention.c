/* One layer of mechanisms that have weights of their own, or sort, against plain loops in double precision: what comes
 * out, and the gradient of the rows, by differences of the loops. Gradients of weights are compared with differences in
 * whole encoders (test_mechanisms.c). */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attending.h"
#include "attention/reformer_hash.h"
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
    const double *x;
    bool frozen; /* what is decided stays as it was at the last pass */
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
    bool random, mixed, causal;
} synthetic;

static void plain_synthesizer(plain_pass *p) {
    const scene *s = p->s;
    const synthetic *setting = p->setting;
    const float *keys = own_weight(p->model, "self.place_key", "weight");
    const float *queries = own_weight(p->model, "self.place_query", "weight");
    static bool positive[MOST_ROWS * HIDDEN];
    for (size_t j = 0; j < s->query_start[SEQUENCES] * HIDDEN && !p->frozen; j++) positive[j] = p->query[j] > 0;
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
                        scores[k] += (setting->random                       ? (double)queries[at]
                                      : positive[q * HIDDEN + h * SIZE + j] ? own[j]
                                                                            : 0) *
                                     (double)keys[other];
                    }
                    scores[k] /= sqrt(SIZE);
                    if (setting->causal && first + k > q) scores[k] = -INFINITY;
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

typedef struct reformer {
    size_t chunk, rounds, buckets, before, after;
} reformer;

/* Of a row's copy in a round: what it is sorted by. by [directions][SIZE]. */
static size_t sorted_by(const float *by, size_t directions, const double *x, size_t place) {
    double largest = -INFINITY;
    size_t bucket = 0;
    for (size_t i = 0; i < 2 * directions; i++) {
        double sum = 0;
        for (size_t j = 0; j < SIZE; j++) sum += x[j] * (double)by[i % directions * SIZE + j];
        if (i >= directions) sum = -sum;
        if (sum > largest) bucket = i;
        largest = fmax(largest, sum);
    }
    return bucket * LONGEST + place;
}

enum { MOST_ROUNDS = 3 };

static void plain_reformer(plain_pass *p) {
    const scene *s = p->s;
    const reformer *setting = p->setting;
    static size_t of_keys[HEADS][MOST_ROUNDS][MOST_ROWS], of_queries[HEADS][MOST_ROUNDS][MOST_ROWS];
    static double unit[MOST_ROWS * HIDDEN], seen[MOST_ROUNDS][SIZE];
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++) {
            const size_t first = s->start[i], n = s->start[i + 1] - first,
                         chunks = (n + setting->chunk - 1) / setting->chunk;
            const size_t rounds = chunks == 1 ? 1 : setting->rounds, all = chunks * rounds;
            static size_t list[MOST_ROUNDS][LONGEST];
            for (size_t row = first; row < first + n; row++) {
                const double *from = p->key + row * HIDDEN + h * SIZE;
                const double size = sqrt((plain_dot(from, from) / SIZE + 1e-6) * SIZE);
                for (size_t j = 0; j < SIZE; j++) unit[row * HIDDEN + h * SIZE + j] = from[j] / size;
            }
            const size_t buckets =
                setting->buckets ? setting->buckets : reformer_bucket_count(n, setting->chunk, 0).first;
            const size_t directions = buckets / 2;
            for (size_t r = 0; r < rounds; r++) {
                static float by[LONGEST * SIZE];
                reformer_directions(0, h, r, directions, SIZE, by);
                for (size_t row = first; row < first + n; row++) {
                    const size_t place = place_of(s, i, row);
                    if (!p->frozen)
                        of_keys[h][r][row] =
                            chunks == 1 ? place : sorted_by(by, directions, unit + row * HIDDEN + h * SIZE, place);
                    size_t at = row - first;
                    for (; at > 0 && of_keys[h][r][list[r][at - 1]] > of_keys[h][r][row]; at--)
                        list[r][at] = list[r][at - 1];
                    list[r][at] = row;
                }
                for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++) {
                    const size_t place = query_place(s, i, q);
                    if (!p->frozen)
                        of_queries[h][r][q] =
                            chunks == 1 ? place : sorted_by(by, directions, p->query + q * HIDDEN + h * SIZE, place);
                }
            }
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++) {
                double sums[MOST_ROUNDS], *out = p->mixed + q * HIDDEN + h * SIZE;
                for (size_t r = 0; r < rounds; r++) {
                    static double scores[LONGEST * 8], values[LONGEST * 8][SIZE];
                    size_t count = 0, own = 0;
                    while (own + 1 < chunks &&
                           of_keys[h][r][list[r][(own + 1) * setting->chunk]] <= of_queries[h][r][q])
                        own++;
                    const size_t before = setting->before < all - 1 ? setting->before : all - 1;
                    const size_t after = setting->after < all - 1 - before ? setting->after : all - 1 - before;
                    for (size_t c = 0; c <= before + after; c++) {
                        const size_t at = (r * chunks + own + all - before + c) % all;
                        for (size_t k = at % chunks * setting->chunk; k < n && k < (at % chunks + 1) * setting->chunk;
                             k++) {
                            const size_t row = list[at / chunks][k];
                            const bool itself = s->origin[row] == s->query_origin[q];
                            memcpy(values[count], p->value + row * HIDDEN + h * SIZE, sizeof values[0]);
                            scores[count++] =
                                itself ? -1e5
                                       : plain_dot(p->query + q * HIDDEN + h * SIZE, unit + row * HIDDEN + h * SIZE);
                        }
                    }
                    double largest = -INFINITY, sum = 0;
                    for (size_t k = 0; k < count; k++) largest = fmax(largest, scores[k]);
                    for (size_t k = 0; k < count; k++) sum += exp(scores[k] - largest);
                    sums[r] = largest + log(sum);
                    plain_mix(seen[r], scores, count, values[0], SIZE);
                }
                plain_mix(out, sums, rounds, seen[0], SIZE);
            }
        }
}

/* taken [rows]: whether a row of a sequence is among the `count` that are nearest to a centroid. */
static void plain_take(const double *x, size_t rows, size_t count, const float *centroid, bool *taken) {
    double near[LONGEST];
    for (size_t i = 0; i < rows; i++) {
        double mean = 0, square = 0;
        near[i] = 0;
        for (size_t j = 0; j < SIZE; j++) mean += x[i * HIDDEN + j] / SIZE;
        for (size_t j = 0; j < SIZE; j++) square += pow(x[i * HIDDEN + j] - mean, 2) / SIZE;
        for (size_t j = 0; j < SIZE; j++)
            near[i] += (x[i * HIDDEN + j] - mean) / sqrt(square + 1e-5) * (double)centroid[j];
    }
    for (size_t i = 0; i < rows; i++) {
        size_t nearer = 0;
        for (size_t j = 0; j < rows; j++) nearer += near[j] > near[i];
        taken[i] = nearer < count;
    }
}

static void plain_routing(plain_pass *p) {
    const scene *s = p->s;
    const size_t clusters = *(const size_t *)p->setting;
    const float *centroids = own_weight(p->model, "self.centroids", "weight");
    static bool keys[SEQUENCES][HEADS][MOST_CLUSTERS][LONGEST], queries[SEQUENCES][HEADS][MOST_CLUSTERS][LONGEST];
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++) {
            const size_t first = s->start[i], n = s->start[i + 1] - first, begin = s->query_start[i];
            const size_t m = s->query_start[i + 1] - begin;
            for (size_t c = 0; c < clusters && !p->frozen; c++) {
                const float *centroid = centroids + c * HIDDEN + h * SIZE;
                plain_take(p->key + first * HIDDEN + h * SIZE, n, (n + clusters - 1) / clusters, centroid,
                           keys[i][h][c]);
                plain_take(p->query + begin * HIDDEN + h * SIZE, m, (m + clusters - 1) / clusters, centroid,
                           queries[i][h][c]);
            }
            for (size_t q = 0; q < m; q++) {
                double count = 0, sum[SIZE] = {0};
                for (size_t c = 0; c < clusters; c++) {
                    static double scores[LONGEST], values[LONGEST][SIZE], seen[SIZE];
                    size_t found = 0;
                    if (!queries[i][h][c][q]) continue;
                    for (size_t k = 0; k < n; k++) {
                        if (!keys[i][h][c][k]) continue;
                        memcpy(values[found], p->value + (first + k) * HIDDEN + h * SIZE, sizeof values[0]);
                        scores[found++] = plain_dot(p->query + (begin + q) * HIDDEN + h * SIZE,
                                                    p->key + (first + k) * HIDDEN + h * SIZE) /
                                          sqrt(SIZE);
                    }
                    plain_mix(seen, scores, found, values[0], SIZE);
                    for (size_t j = 0; j < SIZE; j++) sum[j] += seen[j];
                    count++;
                }
                for (size_t j = 0; j < SIZE && count > 0; j++)
                    p->mixed[(begin + q) * HIDDEN + h * SIZE + j] = sum[j] / count;
            }
        }
}

typedef struct xl {
    size_t segment, memory;
    bool causal;
    size_t compressed; /* slots of RATIO tokens; 0: none */
} xl;

/* Slots of a sequence: there [slot]: whether one of its tokens is; its keys and values [slot * HIDDEN]. */
static void plain_slots(const plain_pass *p, size_t sequence, bool *there, double *keys, double *values) {
    const scene *s = p->s;
    const float *by = own_weight(p->model, "self.compress", "weight");
    static double made[LONGEST * HIDDEN];
    memset(there, 0, LONGEST * sizeof *there);
    for (size_t i = 0; i < LONGEST * HIDDEN; i++)
        made[i] = (double)own_weight(p->model, "self.compress", "bias")[i % HIDDEN];
    for (size_t row = s->start[sequence]; row < s->start[sequence + 1]; row++) {
        const size_t place = place_of(s, sequence, row);
        there[place / RATIO] = true;
        for (size_t j = 0; j < HIDDEN; j++)
            for (size_t i = 0; i < HIDDEN; i++)
                made[place / RATIO * HIDDEN + j] +=
                    p->x[row * HIDDEN + i] * (double)by[j * RATIO * HIDDEN + place % RATIO * HIDDEN + i];
    }
    scene_apply(keys, made, LONGEST / RATIO + 1, HIDDEN, HIDDEN, own_weight(p->model, "self.key", "weight"),
                own_weight(p->model, "self.key", "bias"));
    scene_apply(values, made, LONGEST / RATIO + 1, HIDDEN, HIDDEN, own_weight(p->model, "self.value", "weight"),
                own_weight(p->model, "self.value", "bias"));
}

static void plain_transformer_xl(plain_pass *p) {
    const scene *s = p->s;
    const xl *setting = p->setting;
    const float *kernel = own_weight(p->model, "self.relative", "weight");
    const float *u = own_weight(p->model, "self.query", "bias");
    const float *v = own_weight(p->model, "self.relative_bias", "weight");
    static double sinusoids[2 * LONGEST][HIDDEN], far[2 * LONGEST][HIDDEN]; /* row LONGEST: distance 0 */
    const bool filled = sinusoids[LONGEST][HIDDEN - 1] != 0;                /* the cosine of 0 */
    for (size_t t = 0; t < 2 * LONGEST && !filled; t++)
        for (size_t i = 0; i < HIDDEN; i++) {
            const double angle = ((double)t - LONGEST) * pow(10000, -(double)(i % (HIDDEN / 2)) / (HIDDEN / 2));
            sinusoids[t][i] = i < HIDDEN / 2 ? sin(angle) : cos(angle);
        }
    memset(far, 0, sizeof far);
    for (size_t t = 0; t < 2 * LONGEST; t++)
        for (size_t i = 0; i < HIDDEN; i++)
            for (size_t j = 0; j < HIDDEN; j++) far[t][j] += sinusoids[t][i] * (double)kernel[i * HIDDEN + j];
    static double slot_keys[LONGEST * HIDDEN], slot_values[LONGEST * HIDDEN];
    bool there[LONGEST];
    for (size_t i = 0; i < SEQUENCES; i++) {
        if (setting->compressed) plain_slots(p, i, there, slot_keys, slot_values);
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++) {
                static double scores[2 * LONGEST], values[2 * LONGEST][SIZE];
                const size_t place = query_place(s, i, q), begin = place / setting->segment * setting->segment;
                const size_t memory = begin > setting->memory ? begin - setting->memory : 0, all = memory / RATIO;
                const double *own = p->query + q * HIDDEN + h * SIZE;
                size_t count = 0;
                for (size_t slot = 0; slot < LONGEST; slot++) { /* slots, and then tokens */
                    const size_t other = memory - (all - slot);
                    if (!setting->compressed || slot >= all || slot + setting->compressed < all || !there[slot])
                        continue;
                    memcpy(values[count], slot_values + slot * HIDDEN + h * SIZE, sizeof values[0]);
                    scores[count] = plain_dot(own, slot_keys + slot * HIDDEN + h * SIZE);
                    for (size_t j = 0; j < SIZE; j++)
                        scores[count] += (own[j] - (double)u[h * SIZE + j] + (double)v[h * SIZE + j]) *
                                         far[LONGEST + place - other][h * SIZE + j];
                    scores[count++] /= sqrt(SIZE);
                }
                for (size_t row = s->start[i]; row < s->start[i + 1]; row++) {
                    const size_t other = place_of(s, i, row);
                    if (other < memory || other >= begin + setting->segment) continue;
                    if (setting->causal && other > place) continue;
                    memcpy(values[count], p->value + row * HIDDEN + h * SIZE, sizeof values[0]);
                    scores[count] = plain_dot(own, p->key + row * HIDDEN + h * SIZE);
                    for (size_t j = 0; j < SIZE; j++)
                        scores[count] += (own[j] - (double)u[h * SIZE + j] + (double)v[h * SIZE + j]) *
                                         far[LONGEST + place - other][h * SIZE + j];
                    scores[count++] /= sqrt(SIZE);
                }
                plain_mix(p->mixed + q * HIDDEN + h * SIZE, scores, count, values[0], SIZE);
            }
    }
}

typedef struct etc {
    size_t globals, radius;
} etc;

static void plain_etc(plain_pass *p) {
    const scene *s = p->s;
    const etc *setting = p->setting;
    const float *vectors = own_weight(p->model, "self.label", "weight");
    const float *biases = own_weight(p->model, "self.label_bias", "weight");
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++) {
                static double scores[LONGEST], values[LONGEST][SIZE];
                const long place = (long)query_place(s, i, q), globals = (long)setting->globals;
                const double *own = p->query + q * HIDDEN + h * SIZE;
                size_t count = 0;
                for (size_t row = s->start[i]; row < s->start[i + 1]; row++) {
                    const long other = (long)place_of(s, i, row), far = other - place;
                    if (place >= globals && other >= globals && labs(far) > (long)setting->radius) continue;
                    const long near = far > CLIP ? CLIP : far < -CLIP ? -CLIP : far;
                    const size_t label = (place < globals) == (other < globals)
                                             ? (size_t)(near + CLIP) + (place < globals ? 2 * CLIP + 1 : 0)
                                             : 2 * (2 * CLIP + 1) + (place < globals);
                    memcpy(values[count], p->value + row * HIDDEN + h * SIZE, sizeof values[0]);
                    scores[count] = plain_dot(own, p->key + row * HIDDEN + h * SIZE);
                    for (size_t j = 0; j < SIZE; j++)
                        scores[count] += own[j] * (double)vectors[label * HIDDEN + h * SIZE + j];
                    scores[count] = scores[count] / sqrt(SIZE) + (double)biases[label * HEADS + h];
                    count++;
                }
                plain_mix(p->mixed + q * HIDDEN + h * SIZE, scores, count, values[0], SIZE);
            }
}

/* ---- One layer against its plain loops ---- */

typedef struct rows {
    double x[MOST_ROWS * HIDDEN], queries[MOST_ROWS * HIDDEN], out[MOST_ROWS * HIDDEN];
} rows;

static void run_plain(plain_pass *p, plain_mechanism *plain, rows *of) {
    static const char *const names[] = {"self.query", "self.key", "self.value"};
    double *const made[] = {p->query, p->key, p->value};
    const size_t n = p->s->start[SEQUENCES], m = p->s->query_start[SEQUENCES];
    for (size_t i = 0; i < 3; i++) {
        const char *name = plain == plain_reformer && i == 1 ? names[0] : names[i];
        scene_apply(made[i], i ? of->x : of->queries, i ? n : m, HIDDEN, HIDDEN, own_weight(p->model, name, "weight"),
                    own_weight(p->model, name, "bias"));
    }
    memset(p->mixed, 0, sizeof p->mixed);
    p->x = of->x;
    plain(p);
    scene_apply(of->out, p->mixed, m, HIDDEN, HIDDEN, own_weight(p->model, "output.dense", "weight"),
                own_weight(p->model, "output.dense", "bias"));
    for (size_t i = 0; i < m * HIDDEN; i++) of->out[i] += of->queries[i];
}

/* The derivative of the sum of `toward` times the output, along a random direction of all rows. */
static double plain_slope(plain_pass *p, plain_mechanism *plain, const rows *at, const double *toward, bool fewer,
                          uint64_t seed) {
    static rows moved;
    const double step = 1e-5;
    double sums[2] = {0, 0};
    const size_t n = p->s->start[SEQUENCES], m = p->s->query_start[SEQUENCES];
    p->frozen = true;
    for (size_t side = 0; side < 2; side++) {
        uint64_t state = seed;
        moved = *at;
        for (size_t i = 0; i < n * HIDDEN; i++) moved.x[i] += (side ? -step : step) * random_normal(&state);
        for (size_t i = 0; i < m * HIDDEN; i++)
            moved.queries[i] = fewer ? moved.queries[i] + (side ? -step : step) * random_normal(&state) : moved.x[i];
        run_plain(p, plain, &moved);
        for (size_t i = 0; i < m * HIDDEN; i++) sums[side] += toward[i] * moved.out[i];
    }
    p->frozen = false;
    return (sums[0] - sums[1]) / (2 * step);
}

static void check_slope(plain_pass *p, plain_mechanism *plain, const rows *at, const double *toward, tensor x,
                        tensor queries, bool fewer, const char *isa) {
    for (uint64_t seed = 1; seed <= 2; seed++) {
        const double want = plain_slope(p, plain, at, toward, fewer, seed);
        double got = 0, size = 0;
        uint64_t state = seed;
        for (size_t which = 0; which < (fewer ? 2 : 1); which++) {
            const tensor of = which ? queries : x;
            for (size_t i = 0; i < of.rows * HIDDEN; i++) {
                const double grad = (double)tensor_grad(of, i / HIDDEN)[i % HIDDEN];
                got += grad * random_normal(&state);
                size += grad * grad;
            }
        }
        if (!(fabs(got - want) < 1e-4 * sqrt(size)))
            fail_msg("%s, %s: the derivative is %.8g, by differences %.8g (gradient's size %.4g)", p->s->name, isa, got,
                     want, sqrt(size));
    }
}

static void check_scene(bed *b, plain_pass *p, plain_mechanism *plain, scene s, bool causal, bool learns) {
    static rows of;
    static double toward[MOST_ROWS * HIDDEN];
    const layer *one = &b->model->body.layers[0];
    const char *isa = b->context->kernels->name;
    uint64_t state = 3;
    lay_out(&s, &state);
    const size_t n = s.start[SEQUENCES], m = s.query_start[SEQUENCES];
    for (size_t i = 0; i < n * HIDDEN; i++) of.x[i] = (double)(float)random_normal(&state);
    for (size_t i = 0; i < m * HIDDEN; i++) of.queries[i] = s.fewer ? (double)(float)random_normal(&state) : of.x[i];
    for (size_t i = 0; i < m * HIDDEN; i++) toward[i] = (double)(float)random_normal(&state);
    p->s = &s;
    run_plain(p, plain, &of);
    for (int records = 0; records < 1 + learns; records++) {
        run on = run_of(b, records);
        b->recording = (tape){.key = 1};
        tensor x = scene_fill(&on, of.x, n), queries = s.fewer ? scene_fill(&on, of.queries, m) : x;
        tensor out = run_tensor(&on, m, HIDDEN);
        attending_input in = scene_input(&s, 0, x, queries);
        if (causal) in.places = scene_places(&s);
        one->attending->forward(one->attention, &on, &in, out);
        assert_int_equal(b->status, RUBATO_OK);
        scene_compare("output", &s, isa, of.out, out.data, m, HIDDEN, out.stride);
        if (records) {
            for (size_t i = 0; i < m * HIDDEN; i++) tensor_grad(out, i / HIDDEN)[i % HIDDEN] = (float)toward[i];
            tape_backward(&on);
            assert_int_equal(b->status, RUBATO_OK);
            check_slope(p, plain, &of, toward, x, queries, s.fewer, isa);
            parameters_clear(&b->params);
        }
        arena_reset(&b->memory);
    }
}

static void check_layer(const char *parts, plain_mechanism *plain, const void *setting, bool causal) {
    made_model m = make_model(parts);
    static plain_pass p;
    p.model = &m;
    p.setting = setting;
    size_t best = ISA_COUNT - 1; /* gradients are compared on it alone: differences of plain loops take long */
    while (!isa_kernels_sampled(best)) best--;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        bed b;
        if (!isa_kernels_sampled(isa)) continue;
        open_bed(&b, m.folder, isa_name(isa), 1 + isa % 2);
        const bool narrows = b.model->body.layers[0].attending->narrows;
        if (narrows) assert_int_equal(encoder_allow_narrow(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
        for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
            if ((scenes[i].heads == HEADS || narrows) && !(causal && (scenes[i].retired || scenes[i].fewer)))
                check_scene(&b, &p, plain, scenes[i], causal, isa == best);
        close_bed(&b);
    }
    remove_model(&m);
}

static void test_set_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"set\", \"points\": 5}, ", plain_set, NULL, false);
}

static void test_synthesizer_layer(void **state) {
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        const synthetic setting = {i % 2, i / 2 % 2, i / 4};
        char parts[120];
        snprintf(parts, sizeof parts,
                 "\"attention\": {\"mechanism\": \"synthesizer\", \"scores\": \"%s\", \"mixed\": %s}, ",
                 setting.random ? "random" : "dense", setting.mixed ? "true" : "false");
        check_layer(parts, plain_synthesizer, &setting, setting.causal);
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
        check_layer(parts, plain_sinkhorn, &settings[i], false);
    }
}

/* Chunks of one token, within a panel, and longer than the text; one round and three; with neighbours on both sides. */
static void test_reformer_layer(void **state) {
    static const reformer settings[] = {{16, 1, 0, 1, 0}, {16, 3, 8, 1, 0},  {7, 2, 4, 2, 1},
                                        {1, 2, 2, 1, 0},  {500, 3, 0, 1, 0}, {40, 2, 0, 0, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char parts[200];
        snprintf(parts, sizeof parts,
                 "\"attention\": {\"mechanism\": \"reformer\", \"chunk\": %zu, \"rounds\": %zu, \"buckets\": %zu, "
                 "\"before\": "
                 "%zu, \"after\": %zu}, ",
                 settings[i].chunk, settings[i].rounds, settings[i].buckets, settings[i].before, settings[i].after);
        check_layer(parts, plain_reformer, &settings[i], false);
    }
}

/* One cluster, which is dense attention, and several. */
static void test_routing_layer(void **state) {
    static const size_t clusters[] = {1, 2, 5, MOST_CLUSTERS};
    (void)state;
    for (size_t i = 0; i < sizeof clusters / sizeof *clusters; i++) {
        char parts[120];
        snprintf(parts, sizeof parts, "\"attention\": {\"mechanism\": \"routing\", \"clusters\": %zu}, ", clusters[i]);
        check_layer(parts, plain_routing, &clusters[i], false);
    }
}

/* Segments within a panel and longer than the text, with and without a memory, and rows of older tokens. */
static void test_transformer_xl_layer(void **state) {
    static const xl settings[] = {{16, 20, false, 0},  {7, 0, false, 0},  {40, 100, true, 0}, {500, 3, false, 0},
                                  {500, 500, true, 0}, {1, 9, true, 0},   {33, 33, false, 0}, {16, 20, false, 4},
                                  {12, 12, true, 3},   {7, 0, false, 99}, {9, 2, true, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char parts[200], more[60] = "";
        if (settings[i].compressed) snprintf(more, sizeof more, "\"compressed\": %zu, ", settings[i].compressed);
        snprintf(parts, sizeof parts, "\"attention\": {\"mechanism\": \"%s\", %s\"segment\": %zu, \"memory\": %zu}, ",
                 settings[i].compressed ? "compressive" : "transformer-xl", more, settings[i].segment,
                 settings[i].memory);
        check_layer(parts, plain_transformer_xl, &settings[i], settings[i].causal);
    }
}

static void test_etc_layer(void **state) {
    static const etc settings[] = {{2, 9}, {0, 3}, {1, 500}, {40, 33}, {500, 0}, {3, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char parts[160];
        snprintf(parts, sizeof parts,
                 "\"attention\": {\"mechanism\": \"etc\", \"globals\": %zu, \"radius\": %zu, \"clip\": %d}, ",
                 settings[i].globals, settings[i].radius, CLIP);
        check_layer(parts, plain_etc, &settings[i], false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routing_layer),        cmocka_unit_test(test_etc_layer),
        cmocka_unit_test(test_transformer_xl_layer), cmocka_unit_test(test_set_layer),
        cmocka_unit_test(test_synthesizer_layer),    cmocka_unit_test(test_sinkhorn_layer),
        cmocka_unit_test(test_reformer_layer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
