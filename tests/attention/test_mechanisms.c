/* Mechanisms of attention: those of the library, and a window that it does not know (window_attention.c). Forward and
 * all gradients against plain double precision, whole encoders against differences, and what a mechanism brings with
 * it: refusals, costs, what configurations and files say of it. Sequences are of several panels, and of one row. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bound.h"
#include "isas.h"
#include "store/safetensors_write.h"
#include "task/context.h"
#include "task/load.h"
#include "task/save.h"
#include "tensor/tape.h"
#include "train/parameters.h"
#include "window_attention.h"

enum { LAYERS = 2, HIDDEN = 64, HEADS = 4, SIZE = HIDDEN / HEADS, INNER = 96, LONGEST = 150, VOCABULARY = 61 };

/* ---- A model of any mechanism ---- */

typedef struct stored {
    char name[96];
    size_t rows, columns; /* rows 0: a vector */
    float *values;
} stored;

typedef struct made_model {
    char folder[64];
    stored tensors[64];
    size_t count;
} made_model;

static void store(made_model *m, const char *name, size_t rows, size_t columns, double mean, double deviation) {
    static uint64_t state = 7;
    stored *one = &m->tensors[m->count++];
    *one = (stored){.rows = rows, .columns = columns};
    snprintf(one->name, sizeof one->name, "%s", name);
    size_t elements = (rows ? rows : 1) * columns;
    one->values = malloc(elements * sizeof *one->values);
    for (size_t i = 0; i < elements; i++) one->values[i] = (float)(mean + deviation * random_normal(&state));
}

static const float *stored_named(const made_model *m, const char *format, size_t number) {
    char name[96];
    snprintf(name, sizeof name, format, number);
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return m->tensors[i].values;
    fail_msg("no tensor %s", name);
    return NULL;
}

static void store_layer(made_model *m, size_t number) {
    static const struct {
        const char *name;
        size_t rows, columns;
    } linears[] = {{"attention.self.query", HIDDEN, HIDDEN}, {"attention.self.key", HIDDEN, HIDDEN},
                   {"attention.self.value", HIDDEN, HIDDEN}, {"attention.output.dense", HIDDEN, HIDDEN},
                   {"intermediate.dense", INNER, HIDDEN},    {"output.dense", HIDDEN, INNER}};
    static const char *const norms[] = {"attention.output.LayerNorm", "output.LayerNorm"};
    char name[96];
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.%s.weight", number, linears[i].name);
        store(m, name, linears[i].rows, linears[i].columns, 0, 0.2);
        snprintf(name, sizeof name, "encoder.layer.%zu.%s.bias", number, linears[i].name);
        store(m, name, 0, linears[i].rows, 0, 0.3);
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.%s.weight", number, norms[i]);
        store(m, name, 0, HIDDEN, 1, 0.2);
        snprintf(name, sizeof name, "encoder.layer.%zu.%s.bias", number, norms[i]);
        store(m, name, 0, HIDDEN, 0, 0.2);
    }
    snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.slopes", number);
    store(m, name, 0, HEADS, 0.3, 0.1);
}

static void read_floats(const void *user, size_t first, size_t count, float *out) {
    const stored *one = user;
    memcpy(out, one->values + first * one->columns, count * one->columns * sizeof *out);
}

/* A folder of BERT's layout whose config.json has the given parts, as `"attention": {...}, `. */
static made_model make_model(const char *parts) {
    made_model m = {.folder = "/tmp/rubato-mechanisms-XXXXXX"};
    char path[128], command[256];
    assert_non_null(mkdtemp(m.folder));
    store(&m, "embeddings.word_embeddings.weight", VOCABULARY, HIDDEN, 0, 1);
    store(&m, "embeddings.position_embeddings.weight", LONGEST, HIDDEN, 0, 1);
    store(&m, "embeddings.token_type_embeddings.weight", 2, HIDDEN, 0, 1);
    store(&m, "embeddings.LayerNorm.weight", 0, HIDDEN, 1, 0.2);
    store(&m, "embeddings.LayerNorm.bias", 0, HIDDEN, 0, 0.2);
    for (size_t i = 0; i < LAYERS; i++) store_layer(&m, i);
    tensor_source sources[64];
    for (size_t i = 0; i < m.count; i++)
        sources[i] = (tensor_source){.name = m.tensors[i].name,
                                     .type = DTYPE_F32,
                                     .rows = m.tensors[i].rows,
                                     .columns = m.tensors[i].columns,
                                     .read = read_floats,
                                     .user = &m.tensors[i]};
    snprintf(path, sizeof path, "%s/model.safetensors", m.folder);
    assert_int_equal(safetensors_write(path, sources, m.count, NULL, NULL), RUBATO_OK);
    snprintf(path, sizeof path, "%s/config.json", m.folder);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "{%s\"model_type\": \"bert\", \"architectures\": [\"BertModel\"], \"num_hidden_layers\": %d, "
            "\"hidden_size\": %d, \"num_attention_heads\": %d, \"intermediate_size\": %d, "
            "\"max_position_embeddings\": %d, \"vocab_size\": %d, \"type_vocab_size\": 2}\n",
            parts, LAYERS, HIDDEN, HEADS, INNER, LONGEST, VOCABULARY);
    fclose(file);
    snprintf(command, sizeof command, "cp %s/bert/tokenizer.json %s/", GOLDEN, m.folder);
    assert_int_equal(system(command), 0);
    return m;
}

static void remove_model(made_model *m) {
    char command[96];
    for (size_t i = 0; i < m->count; i++) free(m->tensors[i].values);
    snprintf(command, sizeof command, "rm -r %s", m->folder);
    assert_int_equal(system(command), 0);
}

/* A model that learns, and what runs it. */
typedef struct bed {
    rubato_model *model;
    rubato_context *context;
    parameters params;
    arena memory;
    rubato_status status;
    tape recording;
} bed;

static void open_bed(bed *b, const char *folder, const char *isa, size_t threads) {
    rubato_error error = {0};
    const learning learn = {.task = RUBATO_TASK_EMBEDDING, .seed = 1};
    const rubato_context_options options = {.threads = threads, .isa = isa};
    *b = (bed){0};
    if (model_load(&b->model, folder, NULL, &learn, &error) != RUBATO_OK) fail_msg("%s", error.message);
    assert_int_equal(rubato_context_create(&b->context, b->model, &options, &error), RUBATO_OK);
    assert_int_equal(
        parameters_create(&b->params, b->model, PRECISION_F32, b->context->crew, b->context->kernels, &error),
        RUBATO_OK);
    arena_create(&b->memory, 1 << 28, 1 << 22);
}

static void close_bed(bed *b) {
    parameters_destroy(&b->params);
    arena_destroy(&b->memory);
    rubato_context_destroy(b->context);
    rubato_model_destroy(b->model);
}

static run run_of(bed *b, bool records) {
    return (run){.kernels = b->context->kernels,
                 .crew = b->context->crew,
                 .memory = &b->memory,
                 .status = &b->status,
                 .tape = records ? &b->recording : NULL};
}

/* ---- Scenes: which rows there are, and which of them ask ---- */

enum { MOST_ROWS = 1 + 31 + 33 + 70 + LONGEST, SEQUENCES = 5 };

static const size_t lengths[SEQUENCES] = {33, 1, LONGEST, 31, 70};

typedef struct scene {
    const char *name;
    bool retired, fewer; /* rows are gone; not all that are there ask */
    size_t heads;
    size_t start[SEQUENCES + 1], query_start[SEQUENCES + 1], input_start[SEQUENCES + 1];
    size_t origin[MOST_ROWS], query_origin[MOST_ROWS];
} scene;

static batch batch_of(const size_t *start) {
    static const int32_t types[MOST_ROWS];
    return (batch){.sequences = SEQUENCES, .rows = start[SEQUENCES], .start = start, .types = types};
}

static void lay_out(scene *s, uint64_t *state) {
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

/* ---- One layer in double precision ---- */

typedef struct plain_weights {
    const float *weight[4], *bias[4]; /* of queries, keys, values, output */
    const float *slopes;              /* [HEADS]; NULL: none */
    size_t reach;                     /* SIZE_MAX: all */
} plain_weights;

/* What is looked at: the output, and gradients of everything. */
typedef struct plain {
    double out[MOST_ROWS * HIDDEN], x[MOST_ROWS * HIDDEN], asking[MOST_ROWS * HIDDEN];
    double weight[4][HIDDEN * HIDDEN], bias[4][HIDDEN];
} plain;

/* to [rows, HIDDEN] = from W^T + b; and backward. */
static void apply(double *to, const double *from, size_t rows, const float *w, const float *b) {
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < HIDDEN; o++) {
            double sum = (double)b[o];
            for (size_t i = 0; i < HIDDEN; i++) sum += from[r * HIDDEN + i] * (double)w[o * HIDDEN + i];
            to[r * HIDDEN + o] = sum;
        }
}

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

/* One query of one head: P over the sequence's keys, mixing, and their derivatives. */
static void plain_query(const plain_weights *with, const scene *s, size_t sequence, size_t h, size_t query,
                        double *const rows[4], double *const grads[4]) {
    size_t first = s->start[sequence], count = s->start[sequence + 1] - first, column = h * SIZE;
    double p[LONGEST], d[LONGEST], largest = -INFINITY, sum = 0, mean = 0, scale = 1 / sqrt(SIZE);
    for (size_t k = 0; k < count; k++) {
        double far = fabs((double)s->origin[first + k] - (double)s->query_origin[query]);
        p[k] = 0;
        for (size_t j = column; j < column + SIZE; j++)
            p[k] += rows[0][query * HIDDEN + j] * rows[1][(first + k) * HIDDEN + j] * scale;
        p[k] -= with->slopes ? (double)with->slopes[h] * far : 0;
        if (far > (double)with->reach) p[k] = -INFINITY;
        largest = fmax(largest, p[k]);
    }
    for (size_t k = 0; k < count; k++) sum += p[k] = exp(p[k] - largest);
    for (size_t k = 0; k < count; k++) {
        p[k] /= sum;
        d[k] = 0;
        for (size_t j = column; j < column + SIZE; j++) {
            rows[3][query * HIDDEN + j] += p[k] * rows[2][(first + k) * HIDDEN + j];
            grads[2][(first + k) * HIDDEN + j] += p[k] * grads[3][query * HIDDEN + j];
            d[k] += grads[3][query * HIDDEN + j] * rows[2][(first + k) * HIDDEN + j];
        }
        mean += p[k] * d[k];
    }
    for (size_t k = 0; k < count; k++)
        for (size_t j = column; j < column + SIZE; j++) {
            double through = p[k] * (d[k] - mean) * scale;
            grads[0][query * HIDDEN + j] += through * rows[1][(first + k) * HIDDEN + j];
            grads[1][(first + k) * HIDDEN + j] += through * rows[0][query * HIDDEN + j];
        }
}

/* Queries come from `asking`. `toward` is the gradient of the output. Of heads beyond s->heads nothing is used. */
static void plain_attention(plain *out, const plain_weights *with, const scene *s, const double *x,
                            const double *asking, const double *toward) {
    size_t n = s->start[SEQUENCES], m = s->query_start[SEQUENCES], width = s->heads * SIZE;
    double *rows[4], *grads[4]; /* queries, keys, values, mixed */
    *out = (plain){0};
    for (size_t i = 0; i < 4; i++) {
        rows[i] = calloc(MOST_ROWS * HIDDEN, sizeof **rows);
        grads[i] = calloc(MOST_ROWS * HIDDEN, sizeof **grads);
    }
    for (size_t i = 0; i < 3; i++) apply(rows[i], i ? x : asking, i ? n : m, with->weight[i], with->bias[i]);
    /* the gradient of what is mixed does not depend on it */
    double *unused = calloc(HIDDEN * HIDDEN, sizeof *unused);
    apply_backward(toward, rows[3], grads[3], m, with->weight[3], unused, out->bias[3]);
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t h = 0; h < s->heads; h++)
            for (size_t q = s->query_start[i]; q < s->query_start[i + 1]; q++)
                plain_query(with, s, i, h, q, rows, grads);
    apply(out->out, rows[3], m, with->weight[3], with->bias[3]);
    for (size_t i = 0; i < m * HIDDEN; i++) {
        out->out[i] += asking[i];
        out->asking[i] += toward[i];
    }
    for (size_t r = 0; r < m; r++)
        for (size_t o = 0; o < HIDDEN; o++)
            for (size_t i = 0; i < width; i++)
                out->weight[3][o * HIDDEN + i] += toward[r * HIDDEN + o] * rows[3][r * HIDDEN + i];
    for (size_t i = 0; i < 3; i++) {
        for (size_t r = 0; r < (i ? n : m); r++) /* nothing comes from heads that do not run */
            for (size_t j = width; j < HIDDEN; j++) assert_true(grads[i][r * HIDDEN + j] == 0);
        apply_backward(grads[i], i ? x : asking, i ? out->x : out->asking, i ? n : m, with->weight[i], out->weight[i],
                       out->bias[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        free(rows[i]);
        free(grads[i]);
    }
    free(unused);
}

/* ---- One layer against it ---- */

static void compare(const char *what, const scene *s, const char *isa, const double *want, const float *got,
                    size_t rows, size_t columns, size_t stride) {
    double largest = 1; /* a gradient may be zero, as that of the keys' bias */
    for (size_t i = 0; i < rows * columns; i++) largest = fmax(largest, fabs(want[i]));
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            if (!(fabs((double)got[r * stride + c] - want[r * columns + c]) < 1e-4 * largest))
                fail_msg("%s, %s, %s: [%zu, %zu] is %.8g, should be %.8g (largest %.3g)", s->name, isa, what, r, c,
                         (double)got[r * stride + c], want[r * columns + c], largest);
}

static tensor fill(const run *on, const double *from, size_t rows) {
    tensor made = run_tensor(on, rows, HIDDEN);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < HIDDEN; j++) tensor_row(made, r)[j] = (float)from[r * HIDDEN + j];
    return made;
}

static void compare_parameters(const bed *b, const plain *want, const scene *s, const char *isa) {
    static const char *const names[] = {"self.query", "self.key", "self.value", "output.dense"};
    for (size_t i = 0; i < 4; i++) {
        float got[HIDDEN * HIDDEN];
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.0.attention.%s.weight", names[i]);
        for (size_t j = 0; j < HIDDEN * HIDDEN; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        compare(name, s, isa, want->weight[i], got, HIDDEN, HIDDEN, HIDDEN);
        snprintf(name, sizeof name, "encoder.layer.0.attention.%s.bias", names[i]);
        for (size_t j = 0; j < HIDDEN; j++) got[j] = bound_gradient(bound_named(b->model, name), j);
        compare(name, s, isa, want->bias[i], got, 1, HIDDEN, HIDDEN);
    }
}

static void check_scene(bed *b, const plain_weights *with, scene s) {
    static double x[MOST_ROWS * HIDDEN], asking[MOST_ROWS * HIDDEN], toward[MOST_ROWS * HIDDEN];
    static plain want;
    uint64_t state = 3;
    const layer *one = &b->model->body.layers[0];
    const char *isa = b->context->kernels->name;
    lay_out(&s, &state);
    size_t n = s.start[SEQUENCES], m = s.query_start[SEQUENCES];
    for (size_t i = 0; i < n * HIDDEN; i++) x[i] = (double)(float)random_normal(&state);
    for (size_t i = 0; i < m * HIDDEN; i++) asking[i] = s.fewer ? (double)(float)random_normal(&state) : x[i];
    for (size_t i = 0; i < m * HIDDEN; i++) toward[i] = (double)(float)random_normal(&state);
    plain_attention(&want, with, &s, x, asking, toward);
    for (int records = 0; records < 2; records++) {
        run on = run_of(b, records);
        b->recording = (tape){.key = 1};
        tensor rows = fill(&on, x, n), queries = s.fewer ? fill(&on, asking, m) : rows;
        tensor out = run_tensor(&on, m, HIDDEN);
        attending_input in = {.heads = s.heads,
                              .x = rows,
                              .asking = queries,
                              .sequences = batch_of(s.start),
                              .queries = batch_of(s.query_start),
                              .origin = s.retired ? s.origin : NULL,
                              .query_origin = s.retired || s.fewer ? s.query_origin : NULL,
                              .input = batch_of(s.input_start)};
        one->attending->forward(one->attention, &on, &in, out);
        assert_int_equal(b->status, RUBATO_OK);
        compare("output", &s, isa, want.out, out.data, m, HIDDEN, out.stride);
        if (records) {
            for (size_t r = 0; r < m; r++)
                for (size_t j = 0; j < HIDDEN; j++) tensor_grad(out, r)[j] = (float)toward[r * HIDDEN + j];
            tape_backward(&on);
            assert_int_equal(b->status, RUBATO_OK);
            if (s.fewer)
                compare("gradient of the asking rows", &s, isa, want.asking, queries.grad, m, HIDDEN, queries.stride);
            for (size_t i = 0; !s.fewer && i < n * HIDDEN; i++) want.x[i] += want.asking[i];
            compare("gradient of the rows", &s, isa, want.x, rows.grad, n, HIDDEN, rows.stride);
            compare_parameters(b, &want, &s, isa);
            parameters_clear(&b->params);
        }
        arena_reset(&b->memory);
    }
}

static void check_layer(const char *parts, size_t reach, bool sloped) {
    static const scene scenes[] = {
        {.name = "all rows", .heads = HEADS},
        {.name = "rows are gone", .retired = true, .heads = HEADS},
        {.name = "fewer queries", .fewer = true, .heads = HEADS},
        {.name = "fewer queries of rows of which some are gone", .retired = true, .fewer = true, .heads = HEADS},
        {.name = "first heads", .heads = 2},
        {.name = "one head, fewer queries", .fewer = true, .heads = 1}};
    static const char *const names[] = {"self.query", "self.key", "self.value", "output.dense"};
    made_model m = make_model(parts);
    plain_weights with = {.reach = reach};
    for (size_t i = 0; i < 4; i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.%%zu.attention.%s.weight", names[i]);
        with.weight[i] = stored_named(&m, name, 0);
        snprintf(name, sizeof name, "encoder.layer.%%zu.attention.%s.bias", names[i]);
        with.bias[i] = stored_named(&m, name, 0);
    }
    if (sloped) with.slopes = stored_named(&m, "encoder.layer.%zu.attention.self.slopes", 0);
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        bed b;
        if (!isa_kernels(isa)) continue;
        open_bed(&b, m.folder, isa_name(isa), 1 + isa % 2);
        assert_int_equal(encoder_allow_slim(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
        for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) check_scene(&b, &with, scenes[i]);
        close_bed(&b);
    }
    remove_model(&m);
}

static void test_softmax_layer(void **state) {
    (void)state;
    check_layer("", SIZE_MAX, false);
}

static void test_window_layer(void **state) {
    (void)state;
    check_layer("\"attention\": {\"mechanism\": \"window\", \"window\": 16}, ", 16, false);
    check_layer("\"attention\": {\"mechanism\": \"window\", \"window\": 40, \"sloped\": true}, ", 40, true);
}

/* ---- Whole encoders of every mechanism ---- */

/* The object of config.json for mechanisms that need a setting. */
static void parts_of(char *out, size_t bytes, const part_table *all, size_t number) {
    const char *name = all->kinds[number]->name, *setting = strcmp(name, "window") == 0 ? ", \"window\": 16" : "";
    snprintf(out, bytes, "\"%s\": {\"mechanism\": \"%s\"%s}, ", all->key, name, setting);
}

typedef struct words {
    int32_t ids[MOST_ROWS], types[MOST_ROWS];
    size_t start[SEQUENCES + 1];
    float weights[MOST_ROWS * HIDDEN]; /* of the sum that is derived */
    batch packed;
} words;

static void draw_words(words *w, uint64_t *state) {
    w->start[0] = 0;
    for (size_t i = 0; i < SEQUENCES; i++) w->start[i + 1] = w->start[i] + lengths[i];
    for (size_t i = 0; i < MOST_ROWS; i++) {
        w->ids[i] = (int32_t)random_below(state, VOCABULARY);
        w->types[i] = (int32_t)random_below(state, 2);
    }
    for (size_t i = 0; i < MOST_ROWS * HIDDEN; i++) w->weights[i] = (float)random_normal(state);
    w->packed = (batch){SEQUENCES, MOST_ROWS, w->start, w->ids, w->types};
}

static double evaluate(bed *b, const words *w, const point *at, bool backward) {
    const thinning how = {.point = at, .restore = true};
    encoded out;
    double sum = 0;
    b->recording = (tape){.key = 5, .hidden_rate = 0.1f, .attention_rate = 0.25f};
    run on = run_of(b, true);
    assert_int_equal(encoder_forward(&b->model->body, &on, &w->packed, &how, &out), RUBATO_OK);
    for (size_t r = 0; r < out.rows.rows; r++)
        for (size_t j = 0; j < HIDDEN; j++) {
            sum += (double)tensor_row(out.rows, r)[j] * (double)w->weights[r * HIDDEN + j];
            tensor_grad(out.rows, r)[j] = w->weights[r * HIDDEN + j];
        }
    if (backward) tape_backward(&on);
    assert_int_equal(b->status, RUBATO_OK);
    arena_reset(&b->memory);
    return sum;
}

/* Moves all parameters by `step` of a direction. */
static void move(bed *b, double *const *from, uint64_t seed, double step) {
    for (size_t i = 0; i < b->params.count; i++)
        for (size_t j = 0; j < b->params.items[i].count; j++)
            b->params.items[i].value[j] = (float)(from[i][j] + step * random_normal(&seed));
    parameters_refresh(&b->params, b->context->crew, b->context->kernels);
}

/* Derivatives along random directions, in which every element of every parameter takes part: a gradient that is missing
 * anywhere is missing in them. With dropout, whose masks stay. */
static void check_directions(bed *b, const words *w, const point *at, const char *name) {
    enum { DIRECTIONS = 3 };
    double *from[128], size = 0;
    evaluate(b, w, at, true);
    encoder_collect(&b->model->body);
    for (size_t i = 0; i < b->params.count; i++) {
        const parameter *p = &b->params.items[i];
        from[i] = malloc(p->count * sizeof **from);
        for (size_t j = 0; j < p->count; j++) {
            from[i][j] = (double)p->value[j];
            size += (double)p->gradient[j] * (double)p->gradient[j];
        }
    }
    for (uint64_t seed = 1; seed <= DIRECTIONS; seed++) {
        const double step = 2e-4;
        double want = 0, up, down;
        uint64_t state = seed * 1000;
        for (size_t i = 0; i < b->params.count; i++)
            for (size_t j = 0; j < b->params.items[i].count; j++)
                want += (double)b->params.items[i].gradient[j] * random_normal(&state);
        move(b, from, seed * 1000, step);
        up = evaluate(b, w, at, false);
        move(b, from, seed * 1000, -step);
        down = evaluate(b, w, at, false);
        if (!(fabs((up - down) / (2 * step) - want) < 0.02 * sqrt(size)))
            fail_msg("%s, %s: derivative %.6g along direction %d, by differences %.6g (gradient's size %.4g)", name,
                     at->name, want, (int)seed, (up - down) / (2 * step), sqrt(size));
    }
    move(b, from, 1, 0);
    for (size_t i = 0; i < b->params.count; i++) free(from[i]);
    parameters_clear(&b->params);
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

static void check_encoder(const char *name, const char *parts) {
    static words w;
    uint64_t state = 11;
    bed b;
    made_model m = make_model(parts);
    draw_words(&w, &state);
    check_company(m.folder, &w);
    open_bed(&b, m.folder, NULL, 2);
    const layer *one = &b.model->body.layers[0];
    point at = point_full(LAYERS);
    check_directions(&b, &w, &at, name);
    if (one->attending->fewer_queries) {
        snprintf(at.name, sizeof at.name, "merging");
        at.merge[1] = true;
        check_directions(&b, &w, &at, name);
    }
    if (one->attending->narrows && one->feeding->narrows) {
        at = point_full(LAYERS);
        snprintf(at.name, sizeof at.name, "first heads and neurons");
        at.heads[0] = at.neurons[0] = at.heads[1] = 0.5f;
        assert_int_equal(encoder_allow_slim(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
        check_directions(&b, &w, &at, name);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_softmax_layer), cmocka_unit_test(test_window_layer),
                                       cmocka_unit_test(test_every_attention), cmocka_unit_test(test_every_feeding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
