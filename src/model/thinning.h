/* How a batch is thinned out on its way through an encoder: by an operating point, by exits, by soft extraction. */
#ifndef RUBATO_MODEL_THINNING_H
#define RUBATO_MODEL_THINNING_H

#include "elastic/batch.h"
#include "elastic/point.h"
#include "elastic/retire.h"
#include "model/soft_extraction.h"

/* Decides which sequences, or rows, leave after a layer that ran.
 *   layer   counted from 0
 *   last    no other layer follows
 *   alive   the original row of each row, NULL: all are there
 *   leaves  [sequences], all false before, receives which sequences leave; where thinning has depart_rows, [rows] and
 *           which rows. A sequence without rows has left before.
 * A failure is the run's. */
typedef void departure_function(void *user, const run *on, size_t layer, bool last, tensor rows, const batch *packed,
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

#endif
