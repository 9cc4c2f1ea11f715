/* From rows to one vector for each sequence, as sentence-transformers folders describe it: pooling modes whose results
 * are concatenated, then dense layers, normalisation and layer normalisation in the order of modules.json. */
#ifndef RUBATO_MODEL_POOLING_H
#define RUBATO_MODEL_POOLING_H

#include "model/encoder.h"

typedef enum pooling_mode {
    POOL_CLS,
    POOL_MAX,
    POOL_MEAN,
    POOL_MEAN_SQRT,
    POOL_WEIGHTED_MEAN,
    POOL_LAST,
    POOL_COUNT
} pooling_mode;

typedef enum pooling_stage_kind {
    STAGE_DENSE,
    STAGE_NORMALIZE,
    STAGE_LAYER_NORM,
    STAGE_TRUNCATE /* only the first columns stay; has no derivative, since training sees all of them */
} pooling_stage_kind;

typedef struct pooling_stage {
    pooling_stage_kind kind;
    linear dense;
    activation act;
    bool residual; /* the stage's input is added to its result, through `beside` where their widths differ */
    linear beside;
    norm norm;
    size_t columns; /* of STAGE_TRUNCATE */
} pooling_stage;

enum { MAX_STAGES = 8, MOST_MODES = 16 };

/* Modes in the order of concatenation. */
typedef struct pooling_modes {
    pooling_mode list[MOST_MODES];
    size_t count;
} pooling_modes;

typedef struct pooling {
    pooling_modes modes;
    bool skip_prompt; /* rows of the prompt do not count */
    pooling_stage stages[MAX_STAGES];
    size_t stage_count;
    size_t width; /* of the result */
} pooling;

/* Whether one of the modes is that one. */
bool pooling_has(const pooling *self, pooling_mode mode);

/* "mean", "cls+max", ... */
void pooling_name(const pooling *self, char *out, size_t bytes);

/* [sequences, width]; data is NULL when memory is short. prompt_rows [sequences]: leading rows to leave out, or NULL.
 */
tensor pooling_forward(const pooling *self, const run *on, tensor x, const batch *input, const size_t *prompt_rows);

/* Pooling in parts, of rows that are not in one batch: sums of parts, [modes * hidden], begin with zeros. False for
 * modes that need more than sums or maxima. */
bool pooling_has_parts(const pooling *self);

/* Adds a row to a part of `count` rows; a part to another part, of which `count` is 0 if it is new; and makes of a part
 * what the modes give. */
void pooling_add_row(const pooling *self, float *part, const float *row, size_t hidden, size_t count);
void pooling_add_part(const pooling *self, float *to, const float *part, size_t hidden, size_t count);
void pooling_end_part(const pooling *self, float *part, size_t hidden, size_t count);

/* From what the modes give, [rows, modes * hidden], to vectors. */
tensor pooling_stages(const pooling *self, const run *on, tensor rows);

/* The same of the mean of all rows. */
tensor pooling_mean(const run *on, tensor x, const batch *input);

/* The first or last row of every sequence, [sequences]; NULL on a failed run. A sequence without rows has its start. */
const size_t *pooling_ends(const run *on, const batch *input, bool last);

/* Scales rows to length 1; data is NULL when memory is short. */
tensor pooling_normalize(const run *on, tensor rows);

#endif
