/* A small model of random weights whose mechanisms a test chooses, and what runs it and lets it learn. For one source.
 */
#ifndef RUBATO_TESTS_MADE_MODEL_H
#define RUBATO_TESTS_MADE_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "store/safetensors_write.h"
#include "task/context.h"
#include "task/load.h"
#include "tensor/tape.h"
#include "train/parameters.h"

enum {
    LAYERS = 2,
    HIDDEN = 64,
    HEADS = 4,
    SIZE = HIDDEN / HEADS,
    INNER = 96,
    RATIO = 3,
    SLOTS = 5,
    LONGEST = 150,
    VOCABULARY = 61,
    MOST_CLUSTERS = 9,
    CLIP = 4,
    LABELS = 2 * (2 * CLIP + 1) + 2, /* of ETC */
    MOST_STORED = 192
};

typedef struct stored {
    char name[96];
    size_t rows, columns; /* rows 0: a vector */
    float *values;
} stored;

typedef struct made_model {
    char folder[64];
    size_t heads[LAYERS], inner[LAYERS];
    stored tensors[MOST_STORED];
    size_t count;
} made_model;

static inline void store(made_model *m, const char *name, size_t rows, size_t columns, double mean, double deviation) {
    static uint64_t state = 7;
    stored *one = &m->tensors[m->count++];
    *one = (stored){.rows = rows, .columns = columns};
    snprintf(one->name, sizeof one->name, "%s", name);
    size_t elements = (rows ? rows : 1) * columns;
    one->values = malloc(elements * sizeof *one->values);
    for (size_t i = 0; i < elements; i++) one->values[i] = (float)(mean + deviation * random_normal(&state));
}

static inline const float *stored_named(const made_model *m, const char *format, size_t number) {
    char name[96];
    snprintf(name, sizeof name, format, number);
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return m->tensors[i].values;
    fail_msg("no tensor %s", name);
    return NULL;
}

static inline void store_layer(made_model *m, size_t number) {
    const size_t width = m->heads[number] * SIZE, inner = m->inner[number];
    const struct {
        const char *name;
        size_t rows, columns;
    } linears[] = {{"attention.self.query", width, HIDDEN},
                   {"attention.self.key", width, HIDDEN},
                   {"attention.self.value", width, HIDDEN},
                   {"attention.output.dense", HIDDEN, width},
                   {"intermediate.dense", inner, HIDDEN},
                   {"intermediate.gate", inner, HIDDEN},
                   {"output.dense", HIDDEN, inner},
                   {"attention.self.query_global", width, HIDDEN},
                   {"attention.self.key_global", width, HIDDEN},
                   {"attention.self.value_global", width, HIDDEN},
                   {"attention.self.compress_key", width, RATIO * width},
                   {"attention.self.compress_value", width, RATIO * width}};
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
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.project_%s.weight", number, i ? "value" : "key");
        store(m, name, LONGEST, SLOTS, 0, 0.05);
    }
    snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.slopes", number);
    store(m, name, 0, m->heads[number], 0.3, 0.1);
}

/* Weights of mechanisms that came later, so that the values of the others stay what they are. */
static inline void store_more(made_model *m, size_t number) {
    static const char *const linears[] = {"induced_key", "induced_value", "compress"};
    static const struct {
        const char *name;
        size_t rows;
    } tables[] = {{"points", SLOTS},    {"place_key", LONGEST}, {"place_query", LONGEST}, {"centroids", MOST_CLUSTERS},
                  {"relative", HIDDEN}, {"relative_bias", 1},   {"label", LABELS},        {"label_bias", LABELS}};
    const size_t width = m->heads[number] * SIZE;
    char name[96];
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.%s.weight", number, linears[i]);
        store(m, name, i < 2 ? width : HIDDEN, i < 2 ? width : RATIO * HIDDEN, 0, 0.2);
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.%s.bias", number, linears[i]);
        store(m, name, 0, i < 2 ? width : HIDDEN, 0, 0.3);
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.%s.weight", number, tables[i].name);
        const bool by_head = strcmp(tables[i].name, "label_bias") == 0;
        store(m, name, tables[i].rows, by_head ? m->heads[number] : width, 0,
              strcmp(tables[i].name, "relative") == 0 ? 0.2 : 1);
    }
}

/* One slot: with more, small steps would select others. test_product_keys.c has the rest. */
enum { SIDE = 1, MEMORY_HEADS = 3, MEMORY_QUERY = 12 };

static inline void store_memory(made_model *m, size_t number) {
    char name[96];
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.memory.query.%s", number, i ? "bias" : "weight");
        store(m, name, i ? 0 : MEMORY_HEADS * MEMORY_QUERY, i ? MEMORY_HEADS * MEMORY_QUERY : HIDDEN, 0, 0.2);
    }
    for (size_t i = 0; i < 2 * MEMORY_HEADS; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.memory.keys.%zu.%zu.weight", number, i / 2, i % 2);
        store(m, name, SIDE, MEMORY_QUERY / 2, 0, 0.5);
    }
    snprintf(name, sizeof name, "encoder.layer.%zu.memory.values.weight", number);
    store(m, name, SIDE * SIDE, HIDDEN, 0, 0.5);
}

/* The object of config.json for mechanisms that need a setting. */
static inline void parts_of(char *out, size_t bytes, const part_table *all, size_t number) {
    static const char *const settings[][2] = {{"window", ", \"window\": 16"},
                                              {"sparse", ", \"stride\": 16"},
                                              {"axial", ", \"columns\": 16"},
                                              {"bigbird", ", \"block\": 8, \"random\": 2"},
                                              {"performer", ", \"features\": 24"},
                                              {"linformer", ", \"slots\": 5"},
                                              {"nystrom", ", \"landmarks\": 6"},
                                              {"set", ", \"points\": 5"},
                                              {"memory", ", \"slots\": 1, \"heads\": 3, \"selected\": 1, "
                                                         "\"query\": 12, \"normal\": false"},
                                              {"synthesizer", ", \"mixed\": true"},
                                              {"sinkhorn", ", \"block\": 16"},
                                              {"etc", ", \"globals\": 2, \"radius\": 9, \"clip\": 4"},
                                              {"compressive", ", \"segment\": 16, \"memory\": 20, \"compressed\": 4"},
                                              {"transformer-xl", ", \"segment\": 16, \"memory\": 20"},
                                              /* buckets and clusters would change by small steps */
                                              {"reformer", ", \"chunk\": 500"},
                                              {"routing", ", \"clusters\": 1, \"pull\": 0"}};
    const char *name = all->kinds[number]->name, *setting = "";
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (strcmp(settings[i][0], name) == 0) setting = settings[i][1];
    snprintf(out, bytes, "\"%s\": {\"mechanism\": \"%s\"%s}, ", all->key, name, setting);
}

static inline void read_floats(const void *user, size_t first, size_t count, float *out) {
    const stored *one = user;
    memcpy(out, one->values + first * one->columns, count * one->columns * sizeof *out);
}

/* Random weights of layers of those widths. */
static inline made_model draw_model(const size_t heads[LAYERS], const size_t inner[LAYERS]) {
    made_model m = {.folder = "/tmp/rubato-mechanisms-XXXXXX"};
    assert_non_null(mkdtemp(m.folder));
    memcpy(m.heads, heads, sizeof m.heads);
    memcpy(m.inner, inner, sizeof m.inner);
    store(&m, "embeddings.word_embeddings.weight", VOCABULARY, HIDDEN, 0, 1);
    store(&m, "embeddings.position_embeddings.weight", LONGEST, HIDDEN, 0, 1);
    store(&m, "embeddings.token_type_embeddings.weight", 2, HIDDEN, 0, 1);
    store(&m, "embeddings.LayerNorm.weight", 0, HIDDEN, 1, 0.2);
    store(&m, "embeddings.LayerNorm.bias", 0, HIDDEN, 0, 0.2);
    for (size_t i = 0; i < LAYERS; i++) store_layer(&m, i);
    for (size_t i = 0; i < LAYERS; i++) store_more(&m, i);
    for (size_t i = 0; i < LAYERS; i++) store_memory(&m, i);
    return m;
}

/* Writes a folder of BERT's layout whose config.json has the given parts, as `"attention": {...}, `. */
static inline void write_model(made_model *self, const char *parts) {
    char path[128], command[256];
    tensor_source sources[MOST_STORED];
    for (size_t i = 0; i < self->count; i++)
        sources[i] = (tensor_source){.name = self->tensors[i].name,
                                     .type = DTYPE_F32,
                                     .rows = self->tensors[i].rows,
                                     .columns = self->tensors[i].columns,
                                     .read = read_floats,
                                     .user = &self->tensors[i]};
    const char *clusters = strstr(parts, "\"clusters\": "); /* as many centroids are in the file */
    for (size_t i = 0; i < self->count; i++)
        if (strstr(self->tensors[i].name, "centroids"))
            sources[i].rows = clusters ? strtoul(clusters + strlen("\"clusters\": "), NULL, 10) : 1;
    snprintf(path, sizeof path, "%s/model.safetensors", self->folder);
    assert_int_equal(safetensors_write(path, sources, self->count, NULL, NULL), RUBATO_OK);
    snprintf(path, sizeof path, "%s/config.json", self->folder);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "{%s\"model_type\": \"bert\", \"architectures\": [\"BertModel\"], \"num_hidden_layers\": %d, "
            "\"hidden_size\": %d, \"num_attention_heads\": %d, \"intermediate_size\": %d, "
            "\"max_position_embeddings\": %d, \"vocab_size\": %d, \"type_vocab_size\": 2}\n",
            parts, LAYERS, HIDDEN, HEADS, INNER, LONGEST, VOCABULARY);
    fclose(file);
    snprintf(command, sizeof command, "cp %s/bert/tokenizer.json %s/", GOLDEN, self->folder);
    assert_int_equal(system(command), 0);
}

static inline made_model make_model(const char *parts) {
    made_model m = draw_model((const size_t[LAYERS]){HEADS, HEADS}, (const size_t[LAYERS]){INNER, INNER});
    write_model(&m, parts);
    return m;
}

static inline void remove_model(made_model *m) {
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

static inline void open_bed_for(bed *b, const char *folder, const char *isa, size_t threads, const learning *learn) {
    rubato_error error = {0};
    const rubato_context_options options = {.size = sizeof options, .threads = threads, .isa = isa};
    *b = (bed){0};
    if (model_load(&b->model, folder, NULL, learn, &error) != RUBATO_OK) fail_msg("%s", error.message);
    assert_int_equal(rubato_context_create(&b->context, b->model, &options, &error), RUBATO_OK);
    assert_int_equal(
        parameters_create(&b->params, b->model, PRECISION_F32, b->context->crew, b->context->kernels, &error),
        RUBATO_OK);
    arena_create(&b->memory, 1 << 28, 1 << 22);
}

static inline void open_bed(bed *b, const char *folder, const char *isa, size_t threads) {
    open_bed_for(b, folder, isa, threads, &(const learning){.task = RUBATO_TASK_EMBEDDING, .seed = 1});
}

static inline void close_bed(bed *b) {
    parameters_destroy(&b->params);
    arena_destroy(&b->memory);
    rubato_context_destroy(b->context);
    rubato_model_destroy(b->model);
}

static inline run run_of(bed *b, bool records) {
    return (run){.kernels = b->context->kernels,
                 .crew = b->context->crew,
                 .memory = &b->memory,
                 .status = &b->status,
                 .tape = records ? &b->recording : NULL};
}

/* Sequences of several panels, and of one row. */
enum { MOST_ROWS = 1 + 31 + 33 + 70 + LONGEST, SEQUENCES = 5 };

static const size_t lengths[SEQUENCES] = {33, 1, LONGEST, 31, 70};

typedef struct words {
    int32_t ids[MOST_ROWS], types[MOST_ROWS];
    size_t start[SEQUENCES + 1];
    float weights[MOST_ROWS * HIDDEN]; /* of the sum that is derived */
    batch packed;
} words;

static inline void draw_words(words *w, uint64_t *state) {
    w->start[0] = 0;
    for (size_t i = 0; i < SEQUENCES; i++) w->start[i + 1] = w->start[i] + lengths[i];
    for (size_t i = 0; i < MOST_ROWS; i++) {
        w->ids[i] = (int32_t)random_below(state, VOCABULARY);
        w->types[i] = (int32_t)random_below(state, 2);
    }
    for (size_t i = 0; i < MOST_ROWS * HIDDEN; i++) w->weights[i] = (float)random_normal(state);
    w->packed = (batch){SEQUENCES, MOST_ROWS, w->start, w->ids, w->types};
}

/* The sum of a tensor times fixed weights, whose gradient is added. */
static inline double weigh(tensor x, const float *weights) {
    double sum = 0;
    for (size_t r = 0; r < x.rows; r++)
        for (size_t j = 0; j < x.columns; j++) {
            sum += (double)tensor_row(x, r)[j] * (double)weights[r * x.columns + j];
            tensor_grad(x, r)[j] += weights[r * x.columns + j];
        }
    return sum;
}

/* ---- Derivatives ---- */

/* A function of the parameters; with `backward` it adds its gradient to theirs. */
typedef double derived(bed *b, const void *user, bool backward);

/* Moves all parameters by `step` of a direction. */
static inline void move(bed *b, double *const *from, uint64_t seed, double step) {
    for (size_t i = 0; i < b->params.count; i++)
        for (size_t j = 0; j < b->params.items[i].count; j++)
            b->params.items[i].value[j] = (float)(from[i][j] + step * random_normal(&seed));
    parameters_refresh(&b->params, b->context->crew, b->context->kernels);
}

/* Derivatives along random directions, in which every element of every parameter takes part: a gradient that is missing
 * anywhere is missing in them. */
static inline void check_directions(bed *b, derived *function, const void *user, const char *name) {
    enum { DIRECTIONS = 3 };
    double *from[128], size = 0;
    assert_true(b->params.count <= sizeof from / sizeof *from);
    function(b, user, true);
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
        double got = 0, up, down;
        uint64_t state = seed * 1000;
        for (size_t i = 0; i < b->params.count; i++)
            for (size_t j = 0; j < b->params.items[i].count; j++)
                got += (double)b->params.items[i].gradient[j] * random_normal(&state);
        move(b, from, seed * 1000, step);
        up = function(b, user, false);
        move(b, from, seed * 1000, -step);
        down = function(b, user, false);
        if (!(fabs((up - down) / (2 * step) - got) < 0.02 * sqrt(size)))
            fail_msg("%s: derivative %.6g along direction %d, by differences %.6g (gradient's size %.4g)", name, got,
                     (int)seed, (up - down) / (2 * step), sqrt(size));
    }
    move(b, from, 1, 0);
    for (size_t i = 0; i < b->params.count; i++) free(from[i]);
    parameters_clear(&b->params);
}

#endif
