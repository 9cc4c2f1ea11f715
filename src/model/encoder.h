/* The encoder: embeddings and layers of any family, and the forward pass. */
#ifndef RUBATO_MODEL_ENCODER_H
#define RUBATO_MODEL_ENCODER_H

#include "elastic/batch.h"
#include "elastic/point.h"
#include "elastic/retire.h"
#include "model/family.h"
#include "model/relative.h"
#include "store/checkpoint.h"
#include "tensor/run.h"

typedef struct layer {
    linear qkv; /* query, key and value, stacked */
    linear attention_out;
    norm attention_norm;
    linear up, down;
    norm output_norm;
    layer_terms *terms; /* of relative attention; NULL: none */
} layer;

typedef struct encoder {
    encoder_config config;
    table word, position, type;
    norm embedding_norm;
    linear projection;
    layer *layers; /* [unique] */
    size_t unique;
    size_t depth;     /* layers run: config.layers, times the inner ones with ALBERT */
    uint16_t *order;  /* [depth] -> unique */
    table relative;   /* [buckets, heads]: MPNet's relative attention bias as stored */
    float *bias;      /* the same by distance: [heads][2 reach + 1] */
    float *bias_grad; /* the same shape; NULL in models that are only run */
    size_t bias_reach;
    size_t parameters; /* weights, each once */
    layer_shape shape; /* what the layers are made of */
} encoder;

/* Which parameter a stored tensor became: how training finds all parameters, and writing a checkpoint its names. */
typedef enum binding_kind { BOUND_WEIGHT, BOUND_BIAS, BOUND_GAMMA, BOUND_BETA, BOUND_TABLE } binding_kind;

/* Where a parameter is stored. */
typedef enum binding_place { IN_HEAD, IN_BODY, IN_EXITS } binding_place;

typedef struct binding {
    char *name; /* as stored, without the encoder's prefix IN_BODY */
    binding_place place;
    binding_kind kind;
    union {
        linear *linear;
        norm *norm;
        table *table;
    };
    size_t first, rows, columns; /* rows [first, first + rows) of a stacked layer; a vector has rows 0 */
    bool turned;                 /* a weight stored as [inputs, outputs] */
    size_t parts;                /* columns, or a vector, are stored as [parts, columns / parts]; 0: as they are */
} binding;

typedef struct bindings {
    binding *items;
    size_t count, capacity;
} bindings;

void bindings_free(bindings *self);

/* What the inputs of a layer's products are multiplied by before they are rounded to int8; each [its inputs]. */
typedef struct layer_smoothing {
    const float *qkv, *attention_out, *up, *down;
} layer_smoothing;

/* Loading: finds tensors under the right prefix and notes which were used. */
typedef struct loader {
    checkpoint *weights;
    const family *kind;
    const char *prefix;
    packer with;
    rubato_error *error;
    size_t parameters;
    precision how;                 /* of the encoder's layers */
    const layer_smoothing *smooth; /* of each of them; NULL: 1 */
    const precision *each;         /* of each of them, [config.layers]; NULL: how */
    bool both;                     /* and in f32 besides */
    bool decoder;                  /* with the layers after the last block, where there are some */
    /* For training; NULL and 0 for running. */
    bindings *bound;      /* receives every parameter */
    uint64_t *fresh;      /* state of a generator: what the head lacks is drawn from it (normal, deviation 0.02) */
    const size_t *layers; /* the stored layers to take, [config.layers]; NULL: all in order. Not where layers share */
    binding_place place;  /* of what is loaded now; IN_BODY names have the encoder's prefix */
} loader;

/* A weight "name.weight" (or any full name) as a source; missing ones are an error that names them when `needed`,
 * else source.data is NULL. rows or columns 0: whatever is there. */
rubato_status loader_find(loader *load, source *out, const char *name, size_t rows, size_t columns, bool needed);

/* The layers of one stacked product, by their names. With `fresh`, missing ones of known rows and columns are made. */
rubato_status loader_linear(loader *load, linear *out, const char *const *names, size_t count, size_t rows,
                            size_t columns);
rubato_status loader_norm(loader *load, norm *out, const char *name, size_t width, float epsilon);

/* Notes that a parameter is stored under that name. */
rubato_status loader_bind(loader *load, binding what, const char *name);

/* Puts prefix and name together; %zu of the name are filled with the numbers. */
void loader_name(char *out, size_t bytes, const char *prefix, const char *name, size_t a, size_t b);

/* Notes where a masked-LM decoder is stored; a tied weight is stored as the word embeddings. */
rubato_status loader_bind_decoder(loader *load, linear *out, const char *name, const char *bias, bool tied);

/* The relative bias by distance, made from its table; and its gradient, given back to the table's. */
void encoder_spread_bias(encoder *self);
void encoder_collect_bias(encoder *self);

rubato_status encoder_load(encoder *self, loader *load, const encoder_config *config);

/* What the layers' products are in: "f32", "bf16", "int8", "f32+int8", "f32+bf16", or "mixed". */
const char *encoder_precision(const encoder *self);

/* Whether the layers can be multiplied in f32 and in a lower precision. */
bool encoder_has_both(const encoder *self);

/* Whether a layer's attention multiplies in a lower form (attention/operand.h) in that run. */
bool layer_attends_narrow(const layer *self, const run *on);

void encoder_free(encoder *self);

/* Longest sequence that the position table holds. */
size_t encoder_max_length(const encoder_config *config);

/* Soft extraction, the search phase of PoWER-BERT: rows are not dropped but scaled by learned factors of their rank. */
typedef struct soft_extraction {
    const float *factors; /* [depth][bins]: bin 0 is for the most significant rows */
    float *gradient;      /* the same shape, += when recording */
    size_t bins;
} soft_extraction;

/* Asked after each layer that ran, `layer` counted from 0, `last`: no other follows. `alive` are the original rows,
 * NULL for all. Marks the sequences that leave (leaves [sequences], all false before), or the rows (leaves [rows])
 * where thinning has depart_rows; those of no rows have left already. False when memory is short. */
typedef bool departure_function(void *user, const run *on, size_t layer, bool last, tensor rows, const batch *packed,
                                const size_t *alive, bool *leaves);

/* How a batch is thinned out on its way. All zero: not at all. */
typedef struct thinning {
    const point *point; /* NULL: full */
    significance by;
    bool protect_first; /* a sequence's first row never retires: heads read it */
    bool restore;       /* every row has a result: a retired one its last state (Drop-and-Restore) */
    uint64_t seed;      /* of SIGNIFICANCE_RANDOM */
    const soft_extraction *soft;
    departure_function *depart; /* NULL: nothing leaves early; sequences not when recording */
    void *depart_user;
    /* Rows leave one by one: they stay as they are, as keys and values for the others (halt-and-copy, Li et al. 2021),
     * and go when none of their sequence is left. Not together with a point that shortens lengths. */
    bool depart_rows;
} thinning;

/* What comes out: rows, and where each sequence's begin among them. */
typedef struct encoded {
    tensor rows; /* data is NULL when memory was short */
    batch packed;
} encoded;

/* Called with the embedding output (layer 0) and every layer's output (1 ...), which rows are whose, and the original
 * rows that are alive in it, NULL for all; NULL for none. */
typedef void layer_output(void *user, size_t layer, tensor rows, const batch *packed, const size_t *alive);

/* Runs a batch through embeddings and all layers. Ids and types are in range and no sequence is longer than the
 * position table: the caller has seen to it.
 *   how  NULL: every layer and every row
 *   out  in the run's arena. Where rows retired and were not restored, packed.start tells where a sequence's rows are
 *        and packed.ids is NULL; else packed is the input.
 * Retirement: after the attention of layer i and its normalisation, a sequence of n tokens keeps point_rows() rows,
 * by significance and in their order; the feed-forward part sees only those (Kim and Cho 2021, section 3). */
void encoder_forward(const encoder *self, const run *on, const batch *input, const thinning *how, encoded *out,
                     layer_output *each, void *user);

/* Readies the encoder for points with fewer heads and neurons, which are the first ones of each layer. Fails:
 * UNSUPPORTED for sizes that do not divide. */
rubato_status encoder_allow_slim(encoder *self, arena *memory, rubato_error *error);

/* Floating-point operations of one sequence of that length, multiply and add counted as two: the products of all
 * layers and of attention, and of the embedding's projection where there is one. point NULL: full. */
double encoder_flops(const encoder *self, const point *at, size_t length);

#endif
