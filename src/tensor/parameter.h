/* Parameters: weights in the form that the operations need. They are immutable once loaded. The weight of a linear
 * layer is packed for the product, and the pages that it came from are released by those who load it. A table of
 * embeddings stays in the bytes of its file, mapped or in memory, in the type that it has there, because a text reads
 * only a few of its rows. */
#ifndef RUBATO_TENSOR_PARAMETER_H
#define RUBATO_TENSOR_PARAMETER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "kernels/table.h"
#include "tensor/dtype.h"

/* A matrix or vector on disk: [rows, columns], row-major; borrowed. */
typedef struct source {
    const char *name; /* for messages */
    dtype type;
    const unsigned char *data;
    size_t rows, columns;
    const float *scale; /* [rows] of an I8 matrix; else NULL */
    bool turned;        /* stands as [columns, rows] */
} source;

/* A linear layer on disk in the form that the product needs (product_low.h), so that it is used without a copy: one
 * weight or several stacked ones. Borrowed; any alignment. */
typedef struct packed_source {
    const char *name;
    dtype type;                  /* I8 or BF16 */
    const unsigned char *words;  /* [panels][words][PANEL] of 32 bits */
    const unsigned char *scale;  /* I8: [out] floats */
    const unsigned char *offset; /* I8: [out] 32-bit integers */
    const unsigned char *smooth; /* I8: [in] floats, or NULL */
    size_t out, in;
} packed_source;

/* The additions of training: gradients in the form of the values. All gradients are zero between steps. A NULL gradient
 * belongs to a parameter that does not learn. */
typedef struct linear_learning {
    float *weight, *bias;
    float *transposed;        /* W itself packed as the second operand of dx = dy W; see linear_refresh */
    uint32_t *low_transposed; /* the same in bf16, for a layer that learns in low precision. Such a layer has f32
                                 weights in `packed`, which learn, and copies in `low`, in bf16 or int8, which are
                                 multiplied in the forward pass; gradients ignore the rounding (Bengio et al. 2013) */
} linear_learning;

typedef struct norm_learning {
    float *gamma, *beta;
} norm_learning;

/* A table's gradient is sparse: only rows that were touched since the last step can be other than zero, so a step looks
 * at these alone. */
typedef struct table_learning {
    float *rows;       /* [rows, width] */
    uint32_t *touched; /* [touched_count] the touched rows, each once; room for all rows */
    size_t touched_count;
    uint8_t *marks; /* [rows]: whether the row is among them */
} table_learning;

/* Notes that a row's gradient is added to. One thread at a time. */
static inline void table_touch(table_learning *self, size_t row) {
    if (self->marks[row]) return;
    self->marks[row] = 1;
    self->touched[self->touched_count++] = (uint32_t)row;
}

/* Touched rows become zero, and none is touched any more. */
void table_clear(table_learning *self, size_t width);

/* The number format in which a weight is stored and multiplied. Sums, biases and everything between products are
 * f32. */
typedef enum precision {
    PRECISION_F32,
    PRECISION_BF16,
    PRECISION_INT8,
    PRECISION_STORED, /* only as a request: the format of the file */
} precision;

/* The name of a precision: "f32", "bf16", "int8"; and the precision of a name, false for another name. */
const char *precision_name(precision of);
bool precision_named(precision *out, const char *name);

/* y = x W^T + b, W [out, in]. */
typedef struct linear {
    float *packed;     /* f32; NULL: the layer is in another precision, or there is none */
    uint32_t *low;     /* bf16 or int8, packed; a model of two precisions has it besides f32 */
    float *scale;      /* int8: [out] of the weights' columns */
    int32_t *offset;   /* int8: [out] */
    float *smooth;     /* int8: [in] factors of the inputs before rounding, by which weights were divided (Xiao et al.
                          2023); NULL: 1 */
    int32_t *prefixes; /* int8, for reduced widths: [in / PREFIX_STEP][out], offsets of the first inputs */
    const sparse_words
        *sparse;    /* int8: the words of `low` that are not zero, where their product is faster; else NULL */
    float *bias;    /* [out] or NULL */
    size_t biased;  /* only the first of them may be other than 0, and learn; 0: all */
    size_t in, out; /* 0: there is no such layer */
    size_t whole_in, whole_out; /* the sizes of the layer of which this is a part; 0: it is whole. See linear_part */
    precision precision;        /* the precision of `low` where there is one */
    bool exact;                 /* multiplied in f32 at all times */
    linear_learning *learn;     /* NULL in models that do not learn; also in the structs below */
} linear;

/* The sizes with which the weights were packed. */
static inline size_t linear_depth(const linear *self) {
    return self->whole_in ? self->whole_in : self->in;
}

static inline size_t linear_width(const linear *self) {
    return self->whole_out ? self->whole_out : self->out;
}

/* Whether `low` is multiplied: always where there is no f32 or the layer learns, else when `wanted`. */
static inline bool linear_is_low(const linear *self, bool wanted) {
    return self->low && (wanted || !self->packed || self->learn);
}

typedef struct norm {
    float *gamma, *beta; /* [width]; gamma NULL: there is no such layer */
    size_t width;
    float epsilon;
    bool plain;    /* gamma x + beta without statistics (NoNorm, Sun et al. 2020) */
    bool measured; /* gamma and beta, [width + 1] each, are running variances and means: they have no derivative */
    norm_learning *learn;
} norm;

/* Batch normalisation: every column by its mean and variance over rows. */
typedef struct batch_norm {
    norm scale;   /* width 0: there is no such layer */
    norm running; /* measured. In training, `learn` gathers the sums of what passes measured, each times the rows of its
                     pass, and [width] the rows */
} batch_norm;

/* A table of rows to look up. */
typedef struct table {
    dtype type;
    const unsigned char *data; /* NULL: there is no such table */
    const float *scale;        /* [rows] of an I8 table; else NULL */
    size_t rows, width;
    bool slots;            /* a memory's values, of which a step touches few; they learn by a rule of their own */
    table_learning *learn; /* if set, the type is F32 and data belongs to the learner */
} table;

/* The needs of loading: packed weights and vectors are allocated in `memory`, which outlives the layers; `crew`
 * packs. */
typedef struct packer {
    arena *memory;
    team *crew;
    const kernel_table *kernels;
    precision precision; /* of linear layers that are loaded; layers that are made are f32 */
    bool both;           /* f32 as well */
    const float *smooth; /* [in] of the next layer to be loaded, where it becomes int8; NULL: 1 */
    double deviation;    /* of weights that are drawn; 0: 0.02; negative: they are zero */
    bool uniform;        /* they are drawn from a uniform distribution of that deviation, else from a normal one */
    bool no_bias;        /* layers that are drawn have no bias */
} packer;

/* Packs weights stacked on top of each other (query, key and value are one product) with their biases, NULL for a layer
 * without. All weights have the same number of columns. Fails: BAD_MODEL for NaN or infinity. */
rubato_status linear_load(linear *self, const source *weights, const source *biases, size_t count, const packer *with,
                          rubato_error *error);

/* The same from a packed layer. It is used in place where it is in the wanted precision and well aligned, else unpacked
 * and packed again. biases [count] are those of the stacked weights, with from->out / count rows each. */
rubato_status linear_load_packed(linear *self, const packed_source *from, const source *biases, size_t count,
                                 const packer *with, rubato_error *error);

/* The number of 32-bit words that hold a depth in that precision. */
size_t precision_words(precision of, size_t depth);

/* beta may be NULL. */
rubato_status norm_load(norm *self, const source *gamma, const source *beta, float epsilon, const packer *with,
                        rubato_error *error);

/* Outputs [first, first + out) from inputs [0, in) of a layer, as a layer of its own: a view of the same weights,
 * gradients and packed forms. first is a multiple of PANEL. For int8 layers, `in` is a multiple of PREFIX_STEP, and the
 * layer has prefixes unless `in` is all. The view is allocated in `memory`; the whole layer is returned as it is. NULL
 * when memory is short. */
const linear *linear_part(const linear *self, size_t first, size_t out, size_t in, arena *memory);

enum { PREFIX_STEP = 32 };

/* Makes an int8 layer's prefixes, which its parts need; does nothing for other layers. */
rubato_status linear_make_prefixes(linear *self, arena *memory, rubato_error *error);

/* Updates learn->transposed, and the low-precision copies where there are some, from the packed weights: panels [first,
 * last) of the output. */
void linear_refresh(const linear *self, const kernel_table *kernels, size_t first_panel, size_t last_panel);

/* Unpacks rows of the weight, from any precision: out [rows, in] = rows [first, first + rows) of W. */
void linear_unpack(const linear *self, size_t first, size_t rows, float *out);

/* A new layer: weights from a normal distribution of with->deviation, drawn from *state, biases zero. */
rubato_status linear_create(linear *self, size_t out, size_t in, uint64_t *state, const packer *with,
                            rubato_error *error);

/* A bias of zeros for a layer that has none. */
rubato_status linear_add_bias(linear *self, arena *memory, rubato_error *error);

/* A new norm: gamma one, beta zero. */
rubato_status norm_create(norm *self, size_t width, float epsilon, const packer *with, rubato_error *error);

/* A new table, as linear_create draws weights. */
rubato_status table_create(table *self, size_t rows, size_t width, uint64_t *state, const packer *with,
                           rubato_error *error);

void table_load(table *self, const source *from);

/* Symmetric quantisation by row: the scale is max |x| / 127, values are rounded to nearest even. q [count, width]. */
void quantize_rows(const float *rows, size_t count, size_t width, int8_t *q, float *scale);

/* out [width] = row; out [count, width] = rows; out += row; out += factor * row. */
void table_copy(const table *self, size_t row, float *out);
void table_read(const table *self, size_t first, size_t count, float *out);
void table_add(const table *self, size_t row, float *out);
void table_add_scaled(const table *self, size_t row, float factor, float *out);

#endif
