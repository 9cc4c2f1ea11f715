/* Drawing passes of smaller models, for the sandwich rule. Several recipes use these functions. */
#ifndef RUBATO_TRAIN_RECIPE_DRAW_H
#define RUBATO_TRAIN_RECIPE_DRAW_H

#include "train/trainer.h"

/* A step with one pass of the whole model. */
size_t draw_full(const trainer *self, uint64_t *state, pass *out);

/* The number of passes of a step: the full and the smallest model, and as many random ones as the options say
 * (default 2). */
size_t draw_pass_count(const rubato_train_options *options);

/* Leaves out each layer with that probability (LayerDrop, Fan et al. 2020), but never all of them. */
void draw_layers(double probability, uint64_t *state, point *at);

/* Draws lengths: l_{j+1} lies between (1 - p) l_j and l_j, for the smallest model at the lower end (Kim and Cho 2021).
 * Layers that are left out shorten nothing. */
void draw_lengths(double most, bool smallest, uint64_t *state, point *at);

/* How small passes may be, by the run's options and else by its recipe. */
typedef struct drops {
    double length, layer; /* probabilities, as above */
    size_t merges;        /* the most layers in which rows merge; the first layer is never among them */
} drops;
drops drops_of(const trainer *self);

/* Notes them in rubato.json, where search reads them. */
rubato_status note_drops(const trainer *self, rubato_error *error);

/* Draws the layers in which rows merge: up to `most` of them; for the smallest model exactly as many, evenly spread as
 * in a Funnel-Transformer of equal blocks. */
void draw_merges(size_t most, bool smallest, uint64_t *state, point *at);

enum { JUDGED_POINTS = 3 };

/* Changes a phase so that its smaller passes are points of the model's frontier: the cheapest one and random ones.
 * (What PoWER-BERT does for its one configuration, done for a whole frontier.) The phase is judged at some of the
 * points, which go into also [JUDGED_POINTS]. Fails: BAD_ARGUMENT for a model without points. */
rubato_status refine_points(const trainer *self, phase *what, point *also, rubato_error *error);

/* The weight of lesson_states; 0 without a teacher. */
double match_states(const trainer *self);

enum { MOST_WIDTHS = 16 };

/* Parts of heads and neurons, falling from 1. */
typedef struct width_list {
    float parts[MOST_WIDTHS];
    size_t count;
} width_list;

/* Reads "1,0.75,0.5". NULL: 1,0.75,0.5,0.25. Fails: BAD_ARGUMENT. */
rubato_status widths_parse(width_list *out, const char *text, rubato_error *error);

/* The widths of the run's options, which were checked before. */
width_list widths_of(const trainer *self);

/* Gives every layer that part of its heads and neurons. */
void set_width(float part, point *at);

/* Draws for each layer a whole number of heads, from the list's smallest part to all, and the same part of neurons (Yu
 * and Huang 2019, non-uniform mode). even: all layers get the same. */
void draw_widths(const width_list *widths, bool even, size_t heads, uint64_t *state, point *at);

/* Notes in rubato.json, where search reads them, that widths were trained. */
rubato_status note_widths(const trainer *self, const width_list *widths, rubato_error *error);

#endif
