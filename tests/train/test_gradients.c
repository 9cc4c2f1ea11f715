/* Every operation's derivative against central differences, on every instruction set of this machine: at some places,
 * and along random directions, in which every place takes part.
 *
 * A case builds its result from inputs and parameters; the scalar is the sum of the result times fixed random weights.
 * Floats leave differences some 1e-3 of the largest derivative of noise, so tolerances are relative to that. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/distance_bias.h"
#include "attention/relative.h"
#include "base/random.h"
#include "isas.h"
#include "model/encoder.h"
#include "model/exits.h"
#include "model/pooling.h"
#include "train/loss.h"

enum { MOST_ARRAYS = 12 };

typedef struct array {
    const char *name;
    float *values, *grad;
    size_t count;
} array;

typedef struct bed {
    arena memory;     /* of runs */
    arena parameters; /* of the case */
    const kernel_table *kernels;
    team *crew;
    uint64_t state;
    array arrays[MOST_ARRAYS];
    size_t array_count;
    float *weights; /* of the sum */
    size_t weight_count;
    float hidden_rate, attention_rate;
    double loss; /* what a case that is a loss by itself returned */
    bool is_loss;
    linear *layers[5]; /* the case's, whose transposed copies are to be made */
} bed;

typedef tensor build(bed *b, const run *on);

static float *random_floats(bed *b, size_t count, float size) {
    float *made = arena_take_array(&b->parameters, count, sizeof *made);
    for (size_t i = 0; i < count; i++) made[i] = size * (float)random_normal(&b->state);
    return made;
}

static float *zero_floats(bed *b, size_t count) {
    float *made = arena_take_array(&b->parameters, count, sizeof *made);
    memset(made, 0, count * sizeof *made);
    return made;
}

static void watch(bed *b, const char *name, float *values, float *grad, size_t count) {
    b->arrays[b->array_count++] = (array){name, values, grad, count};
}

/* An input: copied into each run's own tensor; its gradient is collected from there. */
typedef struct input {
    float *values, *grad;
    size_t rows, columns;
    tensor now;
} input;

static input x, y; /* of the case that runs */

static input new_input(bed *b, const char *name, size_t rows, size_t columns) {
    input made = {random_floats(b, rows * columns, 1), zero_floats(b, rows * columns), rows, columns, {0}};
    watch(b, name, made.values, made.grad, rows * columns);
    return made;
}

static tensor take_input(input *in, const run *on) {
    in->now = run_tensor(on, in->rows, in->columns);
    for (size_t i = 0; i < in->rows; i++)
        memcpy(tensor_row(in->now, i), in->values + i * in->columns, in->columns * sizeof(float));
    return in->now;
}

static void collect(input *in) {
    for (size_t i = 0; in->now.grad && i < in->rows; i++)
        memcpy(in->grad + i * in->columns, in->now.grad + i * in->now.stride, in->columns * sizeof(float));
}

static linear new_linear(bed *b, size_t out, size_t in) {
    packer with = {.memory = &b->parameters, .crew = b->crew, .kernels = b->kernels, .precision = PRECISION_F32};
    linear made;
    assert_int_equal(linear_create(&made, out, in, &b->state, &with, NULL), RUBATO_OK);
    for (size_t i = 0; i < packed_size(out, in); i++) made.packed[i] *= 15; /* deviation 0.3 */
    for (size_t i = 0; i < out; i++) made.bias[i] = (float)random_normal(&b->state);
    made.learn = arena_take(&b->parameters, sizeof *made.learn);
    *made.learn = (linear_learning){zero_floats(b, packed_size(out, in)), zero_floats(b, out),
                                    zero_floats(b, packed_size(in, out)), NULL};
    watch(b, "weight", made.packed, made.learn->weight, packed_size(out, in));
    watch(b, "bias", made.bias, made.learn->bias, out);
    return made;
}

static norm new_norm(bed *b, size_t width) {
    norm made = {
        .gamma = random_floats(b, width, 1), .beta = random_floats(b, width, 1), .width = width, .epsilon = 1e-5f};
    made.learn = arena_take(&b->parameters, sizeof *made.learn);
    *made.learn = (norm_learning){zero_floats(b, width), zero_floats(b, width)};
    watch(b, "gamma", made.gamma, made.learn->gamma, width);
    watch(b, "beta", made.beta, made.learn->beta, width);
    return made;
}

/* The scalar; with `backward` the gradients too. */
static double evaluate(bed *b, build *make, bool backward) {
    tape recording = {.key = 99, .hidden_rate = b->hidden_rate, .attention_rate = b->attention_rate};
    rubato_status status = RUBATO_OK;
    run on = {.kernels = b->kernels, .crew = b->crew, .memory = &b->memory, .status = &status, .tape = &recording};
    tensor out = make(b, &on);
    assert_non_null(out.data);
    double sum = b->loss;
    if (!b->is_loss) {
        if (!b->weights) {
            b->weight_count = out.rows * out.columns;
            b->weights = random_floats(b, b->weight_count, 1);
        }
        sum = 0;
        for (size_t i = 0; i < out.rows; i++)
            for (size_t j = 0; j < out.columns; j++) {
                sum += (double)tensor_row(out, i)[j] * (double)b->weights[i * out.columns + j];
                out.grad[i * out.stride + j] = b->weights[i * out.columns + j];
            }
    }
    assert_int_equal(status, RUBATO_OK);
    if (backward) tape_backward(&on);
    assert_int_equal(status, RUBATO_OK);
    return sum;
}

static void refresh(bed *b) {
    for (size_t n = 0; n < sizeof b->layers / sizeof *b->layers; n++)
        for (size_t i = 0; b->layers[n] && i * PANEL < b->layers[n]->out; i++)
            linear_refresh(b->layers[n], b->kernels, i, i + 1);
}

/* Moves everything by `step` of a random direction. */
static void move(bed *b, float *const *from, uint64_t seed, double step) {
    for (size_t a = 0; a < b->array_count; a++)
        for (size_t i = 0; i < b->arrays[a].count; i++)
            b->arrays[a].values[i] = (float)((double)from[a][i] + step * random_normal(&seed));
}

/* A gradient that is missing anywhere is missing in the derivative along most directions. */
static void check_directions(bed *b, const char *name, build *make) {
    enum { DIRECTIONS = 4 };
    const double step = 5e-4;
    float *from[MOST_ARRAYS];
    double size = 0;
    for (size_t a = 0; a < b->array_count; a++) {
        const array *all = &b->arrays[a];
        from[a] = malloc(all->count * sizeof **from);
        memcpy(from[a], all->values, all->count * sizeof **from);
        for (size_t i = 0; i < all->count; i++) size += (double)all->grad[i] * (double)all->grad[i];
    }
    for (uint64_t seed = 1; seed <= DIRECTIONS; seed++) {
        double want[2], got = 0;
        uint64_t state = seed * 1000;
        for (size_t a = 0; a < b->array_count; a++)
            for (size_t i = 0; i < b->arrays[a].count; i++) got += (double)b->arrays[a].grad[i] * random_normal(&state);
        for (int down = 0; down < 2; down++) {
            move(b, from, seed * 1000, down ? -step : step);
            want[down] = evaluate(b, make, false);
            arena_reset(&b->memory);
        }
        double difference = (want[0] - want[1]) / (2 * step);
        if (fabs(got - difference) > 0.02 * sqrt(size) + 1e-4)
            fail_msg("%s %s, direction %d: derivative %.6g, by differences %.6g (gradient's size %.3g)", name,
                     b->kernels->name, (int)seed, got, difference, sqrt(size));
    }
    for (size_t a = 0; a < b->array_count; a++) {
        memcpy(b->arrays[a].values, from[a], b->arrays[a].count * sizeof **from);
        free(from[a]);
    }
}

#ifndef RUBATO_TESTS_SAMPLE
/* Evaluates from gradients of zero. */
static double evaluate_anew(bed *b, build *make) {
    for (size_t a = 0; a < b->array_count; a++)
        memset(b->arrays[a].grad, 0, b->arrays[a].count * sizeof *b->arrays[a].grad);
    double sum = evaluate(b, make, true);
    collect(&x);
    collect(&y);
    arena_reset(&b->memory);
    return sum;
}

/* Several threads give the result and the derivatives that one thread gives, to the bit. */
static void check_threads(bed *b, const char *name, build *make) {
    team *crew = b->crew;
    float *alone[MOST_ARRAYS];
    assert_int_equal(team_create(&b->crew, 1, NULL), RUBATO_OK);
    double sum = evaluate_anew(b, make);
    team_destroy(b->crew);
    b->crew = crew;
    for (size_t a = 0; a < b->array_count; a++) {
        size_t bytes = b->arrays[a].count * sizeof **alone;
        alone[a] = malloc(bytes);
        memcpy(alone[a], b->arrays[a].grad, bytes);
    }
    if (evaluate_anew(b, make) != sum)
        fail_msg("%s %s: another result on %zu threads", name, b->kernels->name, team_size(crew));
    for (size_t a = 0; a < b->array_count; a++) {
        if (memcmp(alone[a], b->arrays[a].grad, b->arrays[a].count * sizeof **alone) != 0)
            fail_msg("%s %s, %s: another derivative on %zu threads", name, b->kernels->name, b->arrays[a].name,
                     team_size(crew));
        free(alone[a]);
    }
}
#endif

static void check(bed *b, const char *name, build *make) {
    enum { PLACES = 24 };
    refresh(b);
#ifndef RUBATO_TESTS_SAMPLE /* the derivatives of one thread were checked before */
    if (team_size(b->crew) > 1) {
        check_threads(b, name, make);
        return;
    }
#endif
    evaluate(b, make, true);
    collect(&x);
    collect(&y);
    arena_reset(&b->memory);
    for (size_t a = 0; a < b->array_count; a++) {
        array *all = &b->arrays[a];
        double largest = 1e-3;
        for (size_t i = 0; i < all->count; i++) largest = fmax(largest, fabs((double)all->grad[i]));
        for (size_t n = 0; n < PLACES; n++) {
            size_t at = random_below(&b->state, all->count);
            float before = all->values[at], step = 4e-3f;
            if (strcmp(all->name, "weight") == 0 && before == 0) continue; /* beyond the last column of a panel */
            all->values[at] = before + step;
            double up = evaluate(b, make, false);
            arena_reset(&b->memory);
            all->values[at] = before - step;
            double down = evaluate(b, make, false);
            arena_reset(&b->memory);
            all->values[at] = before;
            double want = (up - down) / (2 * (double)step), got = (double)all->grad[at];
            if (fabs(got - want) > 1e-2 * largest + 2e-3 * fabs(want))
                fail_msg("%s %s, %s[%zu]: derivative %.6g, by differences %.6g (largest %.3g)", name, b->kernels->name,
                         all->name, at, got, want, largest);
        }
    }
    check_directions(b, name, make);
}

static bed bed_open(const kernel_table *kernels, size_t threads) {
    bed b = {.kernels = kernels, .state = 5};
    x = y = (input){0};
    arena_create(&b.memory, 1 << 26, 1 << 20);
    arena_create(&b.parameters, 0, 1 << 20);
    assert_int_equal(team_create(&b.crew, threads, NULL), RUBATO_OK);
    return b;
}

static void bed_close(bed *b) {
    arena_destroy(&b->memory);
    arena_destroy(&b->parameters);
    team_destroy(b->crew);
}

/* ---- Cases ---- */

static linear layer_under_test;
static norm norm_under_test;
static activation act_under_test;
static const size_t starts[] = {0, 5, 6, 17};
static const batch three = {.sequences = 3, .rows = 17, .start = starts};

static tensor build_linear(bed *b, const run *on) {
    (void)b;
    tensor in = take_input(&x, on), residual = take_input(&y, on), out = run_tensor(on, x.rows, layer_under_test.out);
    run_linear(on, out, in, &layer_under_test, act_under_test, &residual);
    return out;
}

/* Outputs 32 to 44 from the first 21 inputs. */
static tensor build_part(bed *b, const run *on) {
    (void)b;
    tensor in = take_input(&x, on), out = run_tensor(on, x.rows, 13);
    const linear *part = linear_part(&layer_under_test, 32, 13, 21, on->memory);
    assert_non_null(part);
    run_linear(on, out, tensor_columns(in, 5, 21), part, ACTIVATION_GELU, NULL);
    return out;
}

static tensor build_norm(bed *b, const run *on) {
    (void)b;
    tensor in = take_input(&x, on), out = run_tensor(on, x.rows, x.columns);
    run_layer_norm(on, out, in, &norm_under_test);
    return out;
}

static attention attention_of(tensor qkv) {
    size_t width = qkv.columns / 3;
    return (attention){.query = tensor_columns(qkv, 0, width),
                       .key = tensor_columns(qkv, width, width),
                       .value = tensor_columns(qkv, 2 * width, width),
                       .heads = 2,
                       .head_size = width / 2,
                       .scale = 0.5f};
}

/* Sequences of which rows have gone, and some of whose rows alone ask. */
enum { MOST_ROWS = 430, MOST_ORIGINAL = 2 * MOST_ROWS };

typedef struct attended {
    batch rows, queries;
    size_t start[5], query_start[5];
    size_t origin[MOST_ROWS], query_list[MOST_ROWS], query_origin[MOST_ROWS];
    int32_t types[MOST_ORIGINAL];
    size_t longest, reach; /* rows of a sequence; the longest way between two of them, as they stood */
} attended;

static void lay_out(attended *all, const size_t *lengths, size_t count) {
    uint64_t state = 9;
    size_t original = 0, queries = 0;
    *all = (attended){.rows = {.sequences = count, .start = all->start},
                      .queries = {.sequences = count, .start = all->query_start}};
    for (size_t i = 0; i < count; i++) {
        size_t first = original;
        for (size_t place = 0; place < lengths[i]; place++, original++) {
            if (place && random_real(&state) < 0.4) original++;
            if (place % 3 == 0 || random_real(&state) < 0.3) {
                all->query_list[queries] = all->rows.rows;
                all->query_origin[queries++] = original;
            }
            all->origin[all->rows.rows++] = original;
        }
        all->start[i + 1] = all->rows.rows;
        all->query_start[i + 1] = queries;
        all->longest = lengths[i] > all->longest ? lengths[i] : all->longest;
        all->reach = original - 1 - first > all->reach ? original - 1 - first : all->reach;
    }
    all->queries.rows = queries;
    for (size_t i = 0; i < MOST_ORIGINAL; i++) all->types[i] = (int32_t)random_below(&state, 3);
}

static attended attended_under_test;
static bool some_ask;

static float *bias_values, *bias_grad;
static distance_bias bias_under_test;

/* terms by distance and segment; far is a part of y's rows */
static relative_terms terms_under_test;
static bool related;

static tensor build_attention(bed *b, const run *on) {
    const attended *all = &attended_under_test;
    (void)b;
    tensor qkv = take_input(&x, on), out = run_tensor(on, some_ask ? all->queries.rows : x.rows, x.columns / 3);
    attention in = attention_of(qkv);
    if (some_ask) {
        in.query = run_gather(on, in.query, all->query_list, all->queries.rows);
        in.queries = &all->queries;
        in.query_origin = all->query_origin;
    }
    if (bias_values) {
        bias_under_test =
            (distance_bias){.heads = in.heads, .reach = all->reach, .values = bias_values, .grad = bias_grad};
        in.terms[0] = (score_term){&score_term_distance, &bias_under_test};
        in.origin = all->origin;
    }
    if (related) {
        terms_under_test.far = take_input(&y, on);
        in.terms[0] = (score_term){&score_term_relative, &terms_under_test};
        in.origin = some_ask ? all->origin : NULL;
    }
    attention_softmax(on, out, &in, &all->rows);
    return out;
}

static const size_t rows_from[] = {3, 3, 0, 7}, rows_to[] = {1, 0, 3, 2};

static tensor build_moves(bed *b, const run *on) {
    (void)b;
    tensor in = take_input(&x, on), gathered = run_gather(on, in, rows_from, 4), out = run_tensor(on, 4, x.columns);
    run_scatter(on, out, rows_to, gathered, rows_from + 2, 1); /* row 0 to 1 */
    run_scatter(on, out, rows_to + 1, in, rows_from, 3);
    return out;
}

static pooling pool_under_test;

static tensor build_pooling(bed *b, const run *on) {
    (void)b;
    return pooling_forward(&pool_under_test, on, take_input(&x, on), &three, NULL);
}

/* Exits look back on three states, which are parts of x. */
static exits exits_under_test;
static head final_under_test;
static const size_t parts_of_x[3][4] = {{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}}, some[] = {3, 0, 2};
static bool ponders;

static exit_memory remembered(const run *on) {
    tensor states = take_input(&x, on);
    exit_memory memory = {.count = 3, .layer = {0, 2, 5}};
    for (size_t i = 0; i < 3; i++) memory.states[i] = run_gather(on, states, parts_of_x[i], 4);
    return memory;
}

static tensor build_weighted_exit(bed *b, const run *on) {
    (void)b;
    exit_memory memory = remembered(on);
    exit_subjects who = {.which = some, .count = 3};
    return exits_forward(&exits_under_test, &final_under_test, on, 5, &who, &memory);
}

/* A student reads first rows; a linear exit the means of the last and the first sequence. */
static tensor build_exit(bed *b, const run *on) {
    static const size_t two[] = {2, 0};
    bool mean = exits_under_test.reads_mean;
    exit_subjects who = {
        .x = take_input(&x, on), .packed = &three, .rows = starts, .which = mean ? two : NULL, .count = mean ? 2 : 3};
    (void)b;
    return exits_forward(&exits_under_test, &final_under_test, on, 0, &who, NULL);
}

static tensor build_halting(bed *b, const run *on) {
    exit_memory memory = remembered(on);
    tensor signals = take_input(&y, on);
    double ponder;
    for (size_t i = 0; i < 3; i++) memory.signals[i] = run_gather(on, signals, parts_of_x[i], 4);
    tensor out = halting_mean(on, &memory, 0.05f, ponders ? 0.3f : 0, 2, &ponder);
    b->is_loss = ponders;
    b->loss = 0.3 * 2 * ponder;
    return out;
}

static int loss_kind;
static const size_t *some_rows; /* to match; NULL: all in order */
static float reference_values[17 * 12];

static tensor build_loss(bed *b, const run *on) {
    static const int32_t labels[] = {2, -1, 0, 4, 1, 1, 3, -1, 2, 0, 1, 2, 3, 4, 0, 1, 2}, first[] = {1, -1, 4},
                         last[] = {3, 0, 9};
    tensor in = take_input(&x, on);
    static float flags[17][5];
    const float *targets[17];
    double s = 0.7;
    for (size_t i = 0; i < 17; i++) {
        targets[i] = flags[i];
        for (size_t j = 0; j < 5; j++) flags[i][j] = (float)((i * 7 + j * 3) % 4 == 0);
    }
    switch (loss_kind) {
    case 0: b->loss = loss_cross_entropy(on, in, labels, s); break;
    case 1: b->loss = loss_spans(on, in, &three, first, last, s); break;
    case 2: b->loss = loss_squares(on, in, reference_values, s); break;
    case 3: b->loss = loss_divergence(on, in, reference_values, labels, (divergence){0}, s); break;
    case 4: b->loss = loss_divergence(on, in, reference_values, NULL, (divergence){.from_full = true}, s); break;
    case 5: b->loss = loss_spans_divergence(on, in, &three, reference_values, (divergence){0}, s); break;
    case 6: b->loss = loss_match(on, in, reference_values, in.columns, some_rows, s); break;
    case 7: b->loss = loss_contrast(on, in, 2, s); break;
    case 9: b->loss = loss_labels(on, in, targets, s); break;
    case 10: b->loss = loss_labels_match(on, in, reference_values, s); break;
    default: b->loss = loss_cosine(on, in, reference_values, s); break;
    }
    b->loss *= s;
    return in;
}

static void linear_cases(const kernel_table *kernels, size_t threads) {
    for (int act = 0; act < ACTIVATION_COUNT; act++) {
        /* differences do not see corners */
        if (act == ACTIVATION_RELU || act == ACTIVATION_LEAKY_RELU || act == ACTIVATION_RELU6) continue;
        if (act == ACTIVATION_HARD_SWISH) continue;
        bed b = bed_open(kernels, threads);
        b.hidden_rate = act % 2 ? 0.3f : 0;
        x = new_input(&b, "x", 9, 37);
        y = new_input(&b, "residual", 9, 45);
        layer_under_test = new_linear(&b, 45, 37);
        b.layers[0] = &layer_under_test;
        act_under_test = (activation)act;
        check(&b, "linear", build_linear);
        bed_close(&b);
    }
}

static void part_cases(const kernel_table *kernels, size_t threads) {
    bed b = bed_open(kernels, threads);
    x = new_input(&b, "x", 9, 37);
    layer_under_test = new_linear(&b, 77, 37);
    b.layers[0] = &layer_under_test;
    check(&b, "part", build_part);
    /* nothing beyond the part has a gradient */
    for (size_t row = 0; row < 77; row++)
        for (size_t k = 0; k < 37; k++) {
            float gradient = layer_under_test.learn->weight[(row / PANEL * 37 + k) * PANEL + row % PANEL];
            bool inside = row >= 32 && row < 45 && k < 21;
            assert_true(inside || gradient == 0);
        }
    bed_close(&b);
}

/* A layer that learns in bf16 or int8 gets the derivatives of one in f32, as far as eight bits go: nothing of the
 * rounding is in them. */
static void narrow_cases_in(const kernel_table *kernels, size_t threads, precision how) {
    bed b = bed_open(kernels, threads);
    enum { ROWS = 33, IN = 37, OUT = 45 };
    x = new_input(&b, "x", ROWS, IN);
    y = new_input(&b, "residual", ROWS, OUT);
    layer_under_test = new_linear(&b, OUT, IN);
    b.layers[0] = &layer_under_test;
    act_under_test = ACTIVATION_GELU;
    refresh(&b);
    double wide = evaluate(&b, build_linear, true);
    collect(&x);
    float *before[MOST_ARRAYS];
    for (size_t a = 0; a < b.array_count; a++) {
        before[a] = zero_floats(&b, b.arrays[a].count);
        memcpy(before[a], b.arrays[a].grad, b.arrays[a].count * sizeof(float));
        memset(b.arrays[a].grad, 0, b.arrays[a].count * sizeof(float));
    }
    arena_reset(&b.memory);
    layer_under_test.low = (uint32_t *)(void *)zero_floats(&b, packed_size(OUT, precision_words(how, IN)));
    layer_under_test.scale = zero_floats(&b, OUT);
    layer_under_test.offset = (int32_t *)(void *)zero_floats(&b, OUT);
    layer_under_test.learn->low_transposed = (uint32_t *)(void *)zero_floats(&b, packed_size(IN, words_bf16(OUT)));
    layer_under_test.precision = how;
    refresh(&b);
    double narrow = evaluate(&b, build_linear, true);
    collect(&x);
    assert_true(fabs(narrow - wide) < 0.02 * (1 + fabs(wide)) && narrow != wide);
    for (size_t a = 0; a < b.array_count; a++) {
        double largest = 0, off = 0;
        for (size_t i = 0; i < b.arrays[a].count; i++) {
            largest = fmax(largest, fabs((double)before[a][i]));
            off = fmax(off, fabs((double)before[a][i] - (double)b.arrays[a].grad[i]));
        }
        if (off > 0.02 * largest) fail_msg("%s %s: off by %.3g of %.3g", kernels->name, b.arrays[a].name, off, largest);
    }
    bed_close(&b);
}

static void narrow_cases(const kernel_table *kernels, size_t threads) {
    narrow_cases_in(kernels, threads, PRECISION_BF16);
    narrow_cases_in(kernels, threads, PRECISION_INT8);
}

static void norm_cases(const kernel_table *kernels, size_t threads) {
    bed b = bed_open(kernels, threads);
    x = new_input(&b, "x", 21, 43);
    norm_under_test = new_norm(&b, 43);
    check(&b, "layer_norm", build_norm);
    bed_close(&b);
    b = bed_open(kernels, threads);
    x = new_input(&b, "x", 21, 43);
    norm_under_test = new_norm(&b, 43);
    norm_under_test.plain = true;
    check(&b, "plain norm", build_norm);
    bed_close(&b);
}

static relative_vector new_term(bed *b, const char *name, size_t count) {
    float *values = random_floats(b, count, 1), *grad = zero_floats(b, count);
    watch(b, name, values, grad, count);
    return (relative_vector){values, grad};
}

/* All ask, with dropout; some ask of rows that are not all there any more. */
static void relative_cases(const kernel_table *kernels, size_t threads) {
    const attended *all = &attended_under_test;
    related = true;
    for (int kind = 0; kind < 4; kind++) {
        bed b = bed_open(kernels, threads);
        b.attention_rate = kind == 0 ? 0.25f : 0;
        some_ask = kind % 2;
        size_t reach = some_ask ? all->reach : all->longest + 1;
        x = new_input(&b, "qkv", all->rows.rows, 3 * 24);
        y = new_input(&b, "far", 2 * reach + 1, 24);
        terms_under_test = (relative_terms){.reach = reach, .types = all->types, .form = {kind < 2, kind == 3}};
        terms_under_test.u = new_term(&b, "u", 24);
        terms_under_test.v = new_term(&b, "v", 24);
        terms_under_test.w = new_term(&b, "w", 24);
        terms_under_test.segments = new_term(&b, "segments", 48);
        check(&b, "relative", build_attention);
        bed_close(&b);
    }
    related = some_ask = false;
}

/* Sequences within one panel of keys, of several, full and not, and of several blocks of queries. */
static void attention_cases(const kernel_table *kernels, size_t threads) {
    static const size_t few[] = {5, 1, 11}, many[] = {1, 33, 70, 31}, blocks[] = {3, 420};
    static const size_t *const lengths[] = {few, many, blocks};
    static const size_t counts[] = {3, 4, 2};
    for (int size = 0; size < 3; size++) {
        const attended *all = &attended_under_test;
        lay_out(&attended_under_test, lengths[size], counts[size]);
        size_t biases = 2 * (2 * all->reach + 1);
        /* plain, with dropout, with a relative bias, fewer queries with dropout, some with a bias */
        for (int kind = 0; kind < 5; kind++) {
            if (size == 2 && kind != 3) continue; /* emulated processors are slow */
            bed b = bed_open(kernels, threads);
            b.attention_rate = kind % 2 ? 0.25f : 0;
            some_ask = kind > 2;
            x = new_input(&b, "qkv", all->rows.rows, 3 * 24);
            bool biased = kind == 2 || kind == 4;
            bias_values = biased ? random_floats(&b, biases, 1) : NULL;
            bias_grad = biased ? zero_floats(&b, biases) : NULL;
            if (biased) watch(&b, "bias", bias_values, bias_grad, biases);
            check(&b, "attention", build_attention);
            bed_close(&b);
        }
        bias_values = bias_grad = NULL;
        if (size < 2) relative_cases(kernels, threads);
    }
}

static void move_cases(const kernel_table *kernels, size_t threads) {
    bed b = bed_open(kernels, threads);
    x = new_input(&b, "x", 8, 19);
    check(&b, "moves", build_moves);
    bed_close(&b);
}

static void pooling_cases(const kernel_table *kernels, size_t threads) {
    static const pooling_modes several[] = {{{POOL_CLS}, 1},
                                            {{POOL_MAX}, 1},
                                            {{POOL_MEAN}, 1},
                                            {{POOL_MEAN_SQRT}, 1},
                                            {{POOL_WEIGHTED_MEAN}, 1},
                                            {{POOL_LAST}, 1},
                                            {{POOL_LAST, POOL_CLS, POOL_MEAN, POOL_CLS}, 4}};
    for (size_t i = 0; i < sizeof several / sizeof *several; i++) {
        bed b = bed_open(kernels, threads);
        x = new_input(&b, "x", 17, 11);
        pool_under_test = (pooling){.modes = several[i], .stage_count = 1, .stages = {{.kind = STAGE_NORMALIZE}}};
        check(&b, "pooling", build_pooling);
        bed_close(&b);
    }
}

static void loss_cases(const kernel_table *kernels, size_t threads) {
    static const size_t turned[17] = {16, 3, 3, 0, 1, 2, 9, 8, 7, 6, 5, 4, 10, 11, 15, 14, 12};
    for (int number = 0; number < 12; number++) {
        bed b = bed_open(kernels, threads);
        loss_kind = number < 11 ? number : 6;
        some_rows = number < 11 ? NULL : turned;
        bool spans = loss_kind == 1 || loss_kind == 5, pairs = loss_kind == 7 || loss_kind == 8;
        b.is_loss = true;
        x = new_input(&b, "logits", pairs ? 16 : 17, spans ? 2 : loss_kind == 2 ? 1 : 5);
        for (size_t i = 0; i < sizeof reference_values / sizeof *reference_values; i++)
            reference_values[i] = (float)random_normal(&b.state);
        check(&b, "loss", build_loss);
        bed_close(&b);
    }
}

static void exit_cases(const kernel_table *kernels, size_t threads) {
    static const exit_kind kinds[] = {EXIT_WEIGHTED, EXIT_WEIGHTED, EXIT_WEIGHTED, EXIT_STUDENT, EXIT_LINEAR};
    for (int kind = 0; kind < 5; kind++) {
        bed b = bed_open(kernels, threads);
        ponders = kind == 1;
        x = new_input(&b, "states", kind >= 3 ? 17 : 12, 11);
        exits_under_test = (exits){.kind = kinds[kind], .reads_mean = kind == 4, .depth = 7, .classes = 3};
        exit_head *at = &exits_under_test.heads[kind >= 3 ? 0 : 5];
        if (kind < 2) {
            y = new_input(&b, "signals", 12, 1);
            check(&b, "halting", build_halting);
        } else if (kind == 2) {
            at->weights = new_norm(&b, 7);
            at->out = new_linear(&b, 3, 11);
            b.layers[0] = &at->out;
            check(&b, "weighted exit", build_weighted_exit);
        } else if (kind == 4) {
            at->out = new_linear(&b, 3, 11);
            b.layers[0] = &at->out;
            check(&b, "linear exit on means", build_exit);
        } else {
            at->dense = new_linear(&b, STUDENT_WIDTH, 11);
            at->qkv = new_linear(&b, 3 * STUDENT_WIDTH, STUDENT_WIDTH);
            at->attention_out = new_linear(&b, STUDENT_WIDTH, STUDENT_WIDTH);
            at->last = new_linear(&b, STUDENT_WIDTH, STUDENT_WIDTH);
            at->out = new_linear(&b, 3, STUDENT_WIDTH);
            linear *all[] = {&at->dense, &at->qkv, &at->attention_out, &at->last, &at->out};
            for (size_t i = 0; i < 5; i++) {
                for (size_t j = 0; j < packed_size(all[i]->out, all[i]->in); j++) all[i]->packed[j] *= 0.2f;
                b.layers[i] = all[i];
            }
            check(&b, "student", build_exit);
        }
        bed_close(&b);
    }
}

static void for_each_bed(void (*one)(const kernel_table *kernels, size_t threads)) {
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *kernels = isa_kernels_sampled(isa);
        if (!kernels) continue;
#ifndef RUBATO_TESTS_SAMPLE
        one(kernels, 1);
#endif
        one(kernels, 2);
    }
}

static void test_linear(void **state) {
    (void)state;
    for_each_bed(linear_cases);
    for_each_bed(part_cases);
    for_each_bed(narrow_cases);
}

static void test_norm(void **state) {
    (void)state;
    for_each_bed(norm_cases);
}

static void test_attention(void **state) {
    (void)state;
    for_each_bed(attention_cases);
}

static void test_moves(void **state) {
    (void)state;
    for_each_bed(move_cases);
}

static void test_pooling(void **state) {
    (void)state;
    for_each_bed(pooling_cases);
}

static void test_exits(void **state) {
    (void)state;
    for_each_bed(exit_cases);
}

static void test_losses(void **state) {
    (void)state;
    for_each_bed(loss_cases);
}

/* The divergences of the method's own worked example: full (2, 1, 0), smaller (1, 1, 1.5). */
static void divergence_cases(const kernel_table *kernels, size_t threads) {
    static const double want[2][4] = {{0.516955, -0.384717, -0.110648, 0.495366},
                                      {0.416966, -0.391172, 0.029340, 0.361832}};
    static const float full[] = {2, 1, 0}, smaller[] = {1, 1, 1.5f};
    for (int how = 0; how < 2; how++) {
        bed b = bed_open(kernels, threads);
        tape recording = {0};
        rubato_status status = RUBATO_OK;
        run on = {.kernels = b.kernels, .memory = &b.memory, .status = &status, .tape = &recording};
        tensor logits = run_tensor(&on, 1, 3);
        memcpy(logits.data, smaller, sizeof smaller);
        double value = loss_divergence(&on, logits, full, NULL, (divergence){.from_full = how}, 1);
        assert_true(fabs(value - want[how][0]) < 2e-6);
        for (int i = 0; i < 3; i++) assert_true(fabs((double)logits.grad[i] - want[how][i + 1]) < 2e-6);
        bed_close(&b);
    }
}

static void test_divergence_values(void **state) {
    (void)state;
    for_each_bed(divergence_cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear),
                                       cmocka_unit_test(test_norm),
                                       cmocka_unit_test(test_attention),
                                       cmocka_unit_test(test_moves),
                                       cmocka_unit_test(test_pooling),
                                       cmocka_unit_test(test_losses),
                                       cmocka_unit_test(test_divergence_values),
                                       cmocka_unit_test(test_exits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
