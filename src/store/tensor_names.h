/* The names of an encoder's tensors in a checkpoint, without ".weight" and ".bias". %zu is the layer; with ALBERT the
 * group and the inner layer; with the Funnel-Transformer the block and the layer within it. NULL where a family has no
 * such tensor. Names of query, key and value may be one name: of a tensor that has all three. */
#ifndef RUBATO_STORE_TENSOR_NAMES_H
#define RUBATO_STORE_TENSOR_NAMES_H

#include <stdbool.h>

typedef struct tensor_names {
    const char *word, *position, *type, *embedding_norm, *projection;
    const char *axes;      /* of axial positions; the number of the axis follows: Reformer */
    const char *query_key; /* of a mechanism whose queries are its keys; NULL: `query` */
    const char *query, *key, *value, *attention_out, *attention_norm, *up, *down, *output_norm;
    const char
        *gate; /* of a gated feed-forward part; the name of `up` where one tensor has both; NULL: "gate" beside `up` */
    bool gate_first;             /* one tensor has both, the gate before what is activated (GTE) */
    const char *final_norm;      /* behind all layers */
    const char *relative_bias;   /* one for all layers: MPNet */
    const char *relative_terms;  /* the beginning of the names of a layer's terms: Funnel-Transformer, XLNet */
    const char *relative_kernel; /* of those, the end of the name of W_R; NULL: "r_kernel" */
    bool bare;                   /* attention's weights have no ".weight": query, key and value stand as [inputs, heads,
                                    head size], and the output's weight as [outputs, heads, head size] (XLNet) */
} tensor_names;

#endif
