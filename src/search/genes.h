/* Candidates of the search, and the ways to make new ones: evolution over length configurations (Cai et al. 2020; Kim
 * and Cho 2021, section 3.3), with layers left out where the model was trained for that. */
#ifndef RUBATO_SEARCH_GENES_H
#define RUBATO_SEARCH_GENES_H

#include "elastic/point.h"
#include "base/random.h"

/* Lengths are multiples of 1 / GENE_STEPS. */
enum { GENE_STEPS = 100 };

/* Lengths shrink by the same share in every layer that runs. */
point gene_constant(size_t layers, double drop);

/* Evenly spread layers are left out; lengths stay. */
point gene_shallow(size_t layers, size_t depth);

/* Gives layers that do not run fixed values, which have no effect: the length of the previous layer, full widths. A
 * candidate that was read from a file then has the same children as when it was made. */
void gene_tidy(point *self);

/* The axes along which candidates may differ. */
typedef struct gene_space {
    bool lengths, depth, precision;
    uint64_t memories;   /* bit i: layer i has a memory, of which less may run */
    bool merges;         /* rows may merge in any layer but the first */
    const float *widths; /* the parts of heads and neurons that layers may have */
    size_t width_count;
    const exit_setting *exits; /* the settings that may be used, besides none */
    size_t exit_count;
} gene_space;

/* Draws lengths again, where they may differ, between the next layer's length and the previous layer's new length: one
 * of them, or each with probability 1/2 as in the papers. Sometimes, as the space allows, it takes a layer out or puts
 * it back, lets rows merge in another layer, or changes widths, the precision or the exit setting. Lengths stay
 * non-increasing. */
point gene_mutate(const point *from, const gene_space *space, uint64_t *state);

/* Takes the means of the parents' lengths; everything else comes from either parent. */
point gene_cross(const point *a, const point *b, uint64_t *state);

/* The same point without exits. */
point gene_without_exit(const point *from);

/* Whether two points have the same effect: the same layers and, where they run, the same lengths and widths, and the
 * same exit setting. gene_same_body ignores the exit setting. */
bool gene_equal(const point *a, const point *b);
bool gene_same_body(const point *a, const point *b);

#endif
