/* One layer: attention and a feed-forward part, each followed by its normalisation (post-normalisation, Vaswani et al.
 * 2017, Devlin et al. 2018), or each reading normalised rows (pre-normalisation, Xiong et al. 2020). The configuration
 * chooses the mechanisms of the parts, and the layer knows only their tables. */
#ifndef RUBATO_MODEL_LAYER_H
#define RUBATO_MODEL_LAYER_H

#include "attention/attending.h"
#include "feeding/feeding.h"
#include "tensor/operations.h"

typedef struct layer {
    const attending *attending;
    void *attention; /* the mechanism's weights */
    norm attention_norm;
    const feeding *feeding;
    void *feed_forward;
    norm output_norm;
    bool pre_norm, two_streams;
    size_t hidden, heads, head_size, inner;
    size_t between; /* width of what attention gives the feed-forward part: that of rows, or as the mechanism says */
} layer;

/* Loads a layer's parts, with the sizes of the source. Fails as the loader. */
rubato_status layer_load(layer *self, const part_choice *attention, const part_choice *feed_forward, float epsilon,
                         const part_source *from);

/* LN(query_rows + Attention(x)), or query_rows + Attention(LN(x)), [rows of query_rows, between]. Of two streams
 * (Gomez et al. 2017, Kitaev et al. 2020): x1 + Attention(LN(x2)) beside x2; and x2 + FeedForward(LN(x1)) behind x1. A
 * mechanism that normalises by itself has no norm. */
tensor layer_attend(const layer *self, const run *on, const attending_input *in);

/* LN(y + FeedForward(y)), or y + FeedForward(LN(y)), of the rows in->x = y, and what the feed-forward part has behind
 * that. room: a tensor whose memory may be overwritten, with at least as many rows as y; without data, new memory is
 * taken. */
tensor layer_feed(const layer *self, const run *on, const feeding_input *in, tensor room);

/* Calls `visit` for every linear layer that rows pass through, in the order of loading. */
void layer_visit(const layer *self, linear_visitor *visit, void *user);

/* The precision of its linear layers, and whether they can be multiplied in f32 as well. */
precision layer_precision(const layer *self, bool *both);

#endif
