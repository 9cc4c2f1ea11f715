/* Drawing smaller models, for the sandwich rule: what recipes share. */
#ifndef RUBATO_TRAIN_RECIPE_DRAW_H
#define RUBATO_TRAIN_RECIPE_DRAW_H

#include "train/trainer.h"

/* A step of one pass, of the whole model. */
size_t draw_full(const trainer *self, uint64_t *state, pass *out);

/* Passes of a step: as many random ones as asked for (default 2), the full and the smallest one. */
size_t draw_pass_count(const rubato_train_options *options);

/* Each layer is left out with the probability of LayerDrop (Fan et al. 2020), never all of them. */
void draw_layers(double probability, uint64_t *state, point *at);

/* l_{j+1} between (1 - p) l_j and l_j: the least of it, or anywhere (Kim and Cho 2021). Layers that are left out
 * shorten nothing. */
void draw_lengths(double most, bool smallest, uint64_t *state, point *at);

/* How small passes may be: what the run's options say, or else its recipe. */
typedef struct drops {
    double length, layer; /* probabilities, as above */
    size_t merges;        /* in so many layers rows merge at most; in the first layer never */
} drops;
drops drops_of(const trainer *self);

/* Tells search about them. */
rubato_status note_drops(const trainer *self, rubato_error *error);

/* Rows merge in up to so many layers: the most, evenly spread as in a Funnel-Transformer of equal blocks; or any. */
void draw_merges(size_t most, bool smallest, uint64_t *state, point *at);

enum { JUDGED_POINTS = 3 };

/* Smaller passes are the points that search found: the cheapest one and some others. What PoWER-BERT does for its one
 * configuration, for all of a frontier. Makes a phase one of such passes, which is judged by some of the points, put
 * into also [JUDGED_POINTS]. Fails: BAD_ARGUMENT where there are none. */
rubato_status refine_points(const trainer *self, phase *what, point *also, rubato_error *error);

/* Weight of the distance from a teacher's hidden states; 0 where there is none. */
double match_states(const trainer *self);

enum { MOST_WIDTHS = 16 };

/* Parts of heads and neurons, falling from 1. */
typedef struct width_list {
    float parts[MOST_WIDTHS];
    size_t count;
} width_list;

/* "1,0.75,0.5"; NULL: these and a quarter. Fails: BAD_ARGUMENT. */
rubato_status widths_parse(width_list *out, const char *text, rubato_error *error);

/* What the run's options say, which were checked. */
width_list widths_of(const trainer *self);

/* Every layer at that part. */
void set_width(float part, point *at);

/* Heads and neurons of each layer by themselves (Yu and Huang 2019, its non-uniform mode) or, `even`, the same in all:
 * any whole number of heads and the same part of neurons from the list's least to all. */
void draw_widths(const width_list *widths, bool even, size_t heads, uint64_t *state, point *at);

/* Tells search that widths were trained. */
rubato_status note_widths(const trainer *self, const width_list *widths, rubato_error *error);

#endif
