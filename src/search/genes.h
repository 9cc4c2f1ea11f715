/* Candidates of the search, and how new ones are made: evolution over length configurations (Cai et al. 2020; Kim and
 * Cho 2021, section 3.3), with layers left out where the model was trained for that. */
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

/* Layers that do not run get what does not count: the lengths of the layer below, full widths. Candidates are tidy, so
 * that one that was read from a file has the same children as when it was made. */
void gene_tidy(point *self);

/* What may differ. */
typedef struct gene_space {
    bool lengths, depth, precision;
    bool merges;         /* rows may merge in any layer but the first */
    const float *widths; /* parts of heads and neurons that layers may have */
    size_t width_count;
    const exit_setting *exits; /* that may be set; and none at all */
    size_t exit_count;
} gene_space;

/* Lengths, where they may differ, are drawn anew between the right neighbour's and the left one's new length: one of
 * them, or each with probability 1/2 as the papers do it. Sometimes, as the space allows, a layer is taken out or put
 * back, rows merge in another, widths or the precision change, another exit setting is taken. Lengths stay
 * non-increasing. */
point gene_mutate(const point *from, const gene_space *space, uint64_t *state);

/* Means of the parents' lengths; everything else as in either. */
point gene_cross(const point *a, const point *b, uint64_t *state);

/* Nobody leaves early. */
point gene_without_exit(const point *from);

/* Equal in effect: the same layers and, where they run, the same lengths and widths. gene_same_body: whatever the
 * exits. */
bool gene_equal(const point *a, const point *b);
bool gene_same_body(const point *a, const point *b);

#endif
