/* The encoder: embeddings and layers of any family, and the forward pass. */
#ifndef RUBATO_MODEL_ENCODER_H
#define RUBATO_MODEL_ENCODER_H

#include "elastic/batch.h"
#include "model/family.h"
#include "store/checkpoint.h"
#include "tensor/run.h"

typedef struct layer {
    linear qkv; /* query, key and value, stacked */
    linear attention_out;
    norm attention_norm;
    linear up, down;
    norm output_norm;
} layer;

typedef struct encoder {
    encoder_config config;
    table word, position, type;
    norm embedding_norm;
    linear projection;
    layer *layers; /* [unique] */
    size_t unique;
    size_t depth;    /* layers run: config.layers, times the inner ones with ALBERT */
    uint16_t *order; /* [depth] -> unique */
    float *bias;     /* relative attention bias by distance: [heads][2 reach + 1] */
    size_t bias_reach;
    size_t parameters; /* weights, each once */
} encoder;

/* Loading: finds tensors under the right prefix and notes which were used. */
typedef struct loader {
    checkpoint *weights;
    const family *kind;
    const char *prefix;
    packer with;
    rubato_error *error;
    size_t parameters;
} loader;

/* A weight "name.weight" (or any full name) as a source; missing ones are an error that names them when `needed`,
 * else source.data is NULL. rows or columns 0: whatever is there. */
rubato_status loader_find(loader *load, source *out, const char *name, size_t rows, size_t columns, bool needed);

/* The layers of one stacked product, by their names. */
rubato_status loader_linear(loader *load, linear *out, const char *const *names, size_t count, size_t rows,
                            size_t columns);
rubato_status loader_norm(loader *load, norm *out, const char *name, size_t width, float epsilon);

/* Puts prefix and name together; %zu of the name are filled with the numbers. */
void loader_name(char *out, size_t bytes, const char *prefix, const char *name, size_t a, size_t b);

rubato_status encoder_load(encoder *self, loader *load, const encoder_config *config);
void encoder_free(encoder *self);

/* Longest sequence that the position table holds. */
size_t encoder_max_length(const encoder_config *config);

/* Called with the embedding output (layer 0) and every layer's output (1 ...); NULL for none. */
typedef void layer_output(void *user, size_t layer, tensor rows);

/* Runs a batch through embeddings and all layers. Ids and types are in range and no sequence is longer than the
 * position table: the caller has seen to it.
 *   out  receives [rows, hidden] in the run's arena; data is NULL when memory is short. */
void encoder_forward(const encoder *self, const run *on, const batch *input, tensor *out, layer_output *each,
                     void *user);

/* Floating-point operations of one sequence of that length, multiply and add counted as two: the products of all
 * layers and of attention. */
double encoder_flops(const encoder_config *config, size_t depth, size_t length);

#endif
