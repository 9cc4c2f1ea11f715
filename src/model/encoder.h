/* The encoder: embeddings and layers of any family, and the forward pass. */
#ifndef RUBATO_MODEL_ENCODER_H
#define RUBATO_MODEL_ENCODER_H

#include "attention/rotary.h"
#include "model/embeddings.h"
#include "model/layer.h"
#include "model/thinning.h"
#include "tensor/watch.h"

typedef struct encoder {
    encoder_config config;
    embeddings tables;
    layer *layers; /* [unique] */
    size_t unique;
    size_t depth;       /* the number of layers that run: config.layers, times the inner layers with ALBERT */
    uint16_t *order;    /* [depth] -> unique */
    void *shared[2];    /* data that the attention of all layers shares, of each of two mechanisms */
    norm final_norm;    /* behind all layers; gamma NULL: there is none */
    rotary turns[2];    /* of layers with the first mechanism of attention, and of those with the other one */
    size_t parameters;  /* the number of weights, each counted once */
    layer_sizes *sizes; /* [depth] */
    encoder_shape shape;
} encoder;

/* The plan for loading an encoder from a checkpoint. */
typedef struct encoder_plan {
    const family *kind;
    const encoder_config *config;
    precision precision;        /* of the layers */
    const enum precision *each; /* of each layer, [config.layers]; NULL: all the same */
    bool both;                  /* the layers are loaded in f32 as well */
    const float *const *smooth; /* factors of the inputs of every linear layer of every layer, in the order of
                                   visiting; NULL: 1 */
    const size_t *layers;       /* the stored layers to load, [config.layers]; NULL: all in order */
    bool decoder;               /* also loads the layers after the last block, where there are some */
} encoder_plan;

/* Loads embeddings and layers. Fails as the loader; UNSUPPORTED for shapes that cannot be run. */
rubato_status encoder_load(encoder *self, loader *load, const encoder_plan *plan);
void encoder_free(encoder *self);

/* The precision of the layers' products: "f32", "bf16", "int8", "f32+int8", "f32+bf16", or "mixed". */
const char *encoder_precision(const encoder *self);

/* Whether the layers can be multiplied in f32 and in low precision. */
bool encoder_has_both(const encoder *self);

/* The number of linear layers whose int8 products leave out zeros; *all: of linear layers. */
size_t encoder_sparse(const encoder *self, size_t *all);

/* The longest sequence for which the position table has positions. */
size_t encoder_max_length(const encoder_config *config);

/* Calls `visit` for every linear layer that rows pass through, layer by layer (shared layers once). */
void encoder_visit(const encoder *self, linear_visitor *visit, void *user);

/* Adds the gradients of data that layers derived from parameters to those of the parameters; and derives the data again
 * after the parameters changed. */
void encoder_collect(encoder *self);
void encoder_refresh(encoder *self);

/* Fails: UNSUPPORTED, naming the mechanism, when a layer cannot do what the thinning needs: tell the attention that
 * rows received, have fewer queries than keys, run some of its heads. thin NULL: full. */
rubato_status encoder_check(const encoder *self, const thinning *thin, rubato_error *error);

/* The result: rows, and the offsets of each sequence's rows. */
typedef struct encoded {
    tensor rows; /* data is NULL on a failed run */
    batch packed;
} encoded;

/* Runs a batch through embeddings and all layers. Ids and types are in range and no sequence is longer than the
 * position table: the caller has seen to it.
 *   how  NULL: every layer and every row
 *   out  in the run's arena. Where rows retired and were not restored, packed.start tells where a sequence's rows are
 *        and packed.ids is NULL; else packed is the input.
 * The run's watcher sees the embeddings' output, and what it asked for of every layer. Returns the run's status;
 * UNSUPPORTED where encoder_check fails; encoder_result has the message.
 * Retirement: after the attention of layer i and its normalisation, a sequence of n tokens keeps point_rows() rows,
 * by significance and in their order; the feed-forward part sees only those (Kim and Cho 2021, section 3). */
rubato_status encoder_forward(const encoder *self, const run *on, const batch *input, const thinning *thin,
                              encoded *out);

/* The mechanism of attention that cannot tell which rows received attention; NULL: all layers' can. */
const attending *encoder_untelling(const encoder *self);

/* Whether a pass of a run with a state goes on where the passes before it ended: a causal model can then be run token
 * by token. */
bool encoder_continues(const encoder *self);

/* The status of a forward pass with its message. */
rubato_status encoder_result(const encoder *self, const run *on, const thinning *thin, rubato_error *error);

/* Prepares the encoder for points of reduced width, at which the first heads and neurons of each layer run. Fails:
 * UNSUPPORTED for sizes that do not divide. */
rubato_status encoder_allow_narrow(encoder *self, arena *memory, rubato_error *error);

/* Floating-point operations of one sequence of that length, where a multiply and an add are two: the products of all
 * layers and of attention, and of the embedding's projection where there is one. point NULL: full. */
double encoder_flops(const encoder *self, const point *at, size_t length);

#endif
