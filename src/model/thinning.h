/* How a batch loses rows on its way through an encoder: by an operating point, by exits, by soft extraction. */
#ifndef RUBATO_MODEL_THINNING_H
#define RUBATO_MODEL_THINNING_H

#include "elastic/batch.h"
#include "elastic/point.h"
#include "elastic/retire.h"
#include "model/soft_extraction.h"

/* Decides which sequences or rows leave after a layer that ran.
 *   layer   counted from 0
 *   last    no other layer runs after this one
 *   alive   the original rows, NULL: all are there
 *   leaves  receives true for each sequence that leaves, [sequences], all false before; where thinning has depart_rows,
 * for each row, [rows]. A sequence without rows has left before. A failure sets the run's status. */
typedef void departure_function(void *user, const run *on, size_t layer, bool last, tensor rows, const batch *packed,
                                const size_t *alive, bool *leaves);

/* How a batch loses rows on its way through the layers. All zero: it loses none. */
typedef struct thinning {
    const point *point; /* NULL: full */
    significance by;
    bool protect_first, protect_last; /* these rows of a sequence never retire, because heads read them; one at most */
    bool restore;                     /* every row has a result; a retired row has its last state (Drop-and-Restore) */
    uint64_t seed;                    /* seed of SIGNIFICANCE_RANDOM */
    const soft_extraction *soft;
    departure_function *depart; /* NULL: nothing leaves early; when recording, sequences must not leave */
    void *depart_user;
    /* Rows leave one by one. They stay as keys and values for the other rows (halt-and-copy, Li et al. 2021), and are
     * removed when all rows of their sequence have left. Does not combine with a point that shortens lengths. */
    bool depart_rows;
} thinning;

#endif
