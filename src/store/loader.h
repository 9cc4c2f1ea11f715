/* Loading a model's parameters from a checkpoint: finds tensors under the right names, checks their shapes, packs them,
 * and records which parameter each became. */
#ifndef RUBATO_STORE_LOADER_H
#define RUBATO_STORE_LOADER_H

#include "store/checkpoint.h"
#include "tensor/parameter.h"

enum { LOADER_NAME = 512 }; /* bytes of a tensor's name */

/* The parameter that a stored tensor became. Training finds all parameters by these, and saving a checkpoint finds
 * their names. */
typedef enum binding_kind {
    BOUND_WEIGHT,
    BOUND_BIAS,
    BOUND_GAMMA,
    BOUND_BETA,
    BOUND_TABLE,
    BOUND_BUFFER /* a table that is stored and does not learn */
} binding_kind;

/* The part of the model to which a parameter belongs. */
typedef enum binding_place { IN_HEAD, IN_BODY, IN_EXITS } binding_place;

typedef struct binding {
    char *name; /* the stored name; for IN_BODY without the encoder's prefix */
    binding_place place;
    binding_kind kind;
    union {
        linear *linear;
        norm *norm;
        table *table;
    };
    size_t first, rows, columns; /* rows [first, first + rows) of a stacked layer; a vector has rows 0 */
    bool turned;                 /* the weight is stored as [inputs, outputs], which are `columns` and `rows` */
    size_t first_input;          /* turned: the first input of the tensor */
    size_t parts;                /* what is stored last, or a vector, stands as [parts, size / parts]; 0: as it is */
    bool taps;                   /* stored as [rows, 1, columns, 1], as a convolution is */
    bool behind_one;             /* stored as [1, rows, columns] */
} binding;

typedef struct bindings {
    binding *items;
    size_t count, capacity;
} bindings;

/* Gives a bound table other rows, [count, width] in f32, which must outlive it. */
void bindings_replace_table(const bindings *self, table *of, const float *rows, size_t count);

void bindings_free(bindings *self);

/* The form of linear layers' weights in the file. All zero: "NAME.weight", [outputs, inputs]. */
typedef struct weight_form {
    bool bare;    /* the name has no ".weight" */
    bool turned;  /* [inputs, outputs] */
    size_t parts; /* the last dimension stands as [parts, size / parts]; 0: as it is */
} weight_form;

typedef struct loader {
    checkpoint *weights;
    const char *prefix; /* of the encoder's tensors */
    packer with;
    rubato_error *error;
    size_t parameters; /* the number of elements read so far */
    /* Factors of the inputs of the next linear layers, applied before the inputs are rounded to int8. One vector for
     * each layer in the order of loading, which is the order of visiting (tensor/visit.h); loading moves on. NULL:
     * 1. */
    const float *const *smooth;
    weight_form form;    /* of the weights of linear layers that are loaded now */
    binding_place place; /* the place of the parameters that are loaded now; IN_BODY names have the encoder's prefix */
    /* For training; NULL for running. */
    bindings *bound;      /* receives every parameter */
    bool new_head;        /* the last layer of the head is drawn, though it is stored */
    bool new_all;         /* there is no checkpoint: everything is drawn */
    bool zero_values;     /* values of memories that are drawn are zero */
    uint64_t *new_memory; /* state of a generator, from which memories are drawn that a checkpoint gets; else NULL */
    uint64_t *fresh; /* state of a generator, from which missing parts of the head are drawn (normal, deviation 0.02) */
} loader;

/* Joins prefix and name; %zu in the name are replaced by the numbers. out [bytes]. */
void loader_name(char *out, size_t bytes, const char *prefix, const char *name, size_t a, size_t b);

/* Finds a weight "name.weight" (or any full name) as a source, of real numbers, or of bytes with "name.scale", a scale
 * for each row. A missing one is an error that names it when `needed`,
 * else source.data is NULL. rows or columns 0: any number. */
rubato_status loader_find(loader *load, source *out, const char *name, size_t rows, size_t columns, bool needed);

/* Draws a layer that the checkpoint lacks, or that is not taken from it. */
rubato_status loader_new_linear(loader *load, linear *out, const char *name, size_t rows, size_t columns);

/* Loads the layers of one stacked product by their names, or one tensor of all of them, where the names are one. With
 * `fresh`, missing ones of known rows and columns are made. */
rubato_status loader_linear(loader *load, linear *out, const char *const *names, size_t count, size_t rows,
                            size_t columns);
rubato_status loader_norm(loader *load, norm *out, const char *name, size_t width, float epsilon);

/* Loads a table "PREFIX NAME.weight" of any stored type; does nothing for a NULL name. */
rubato_status loader_table(loader *load, table *out, const char *name, size_t rows, size_t columns);

/* A table under its full name, in the type of real numbers that is stored: BOUND_TABLE learns, BOUND_BUFFER is saved
 * with the model and does not. */
rubato_status loader_stored(loader *load, table *out, binding_kind kind, const char *name, size_t rows, size_t columns);

/* A learned row of a head, [1, width], under its full name; drawn with `fresh` where it is missing. */
rubato_status loader_seed(loader *load, table *out, const char *name, size_t width);

/* A dimension of one in a stored table: [rows, 1, columns], or [1, rows, columns]. */
typedef enum lone_dimension { BEFORE_ONE, BEHIND_ONE } lone_dimension;

/* A table that learns, with such a dimension, under its full name. */
rubato_status loader_shaped(loader *load, table *out, const char *name, size_t rows, size_t columns,
                            lone_dimension where);

/* The same for a table that learns, which is drawn with that deviation where everything is. */
rubato_status loader_spread(loader *load, table *out, const char *name, size_t rows, size_t columns, double deviation);

/* A memory's values, under their full name, of any stored type; drawn with a deviation of 1 / sqrt(columns). */
rubato_status loader_values(loader *load, table *out, const char *name, size_t rows, size_t columns);

/* The running statistics of a batch normalisation, "NAME.running_var" and "NAME.running_mean"; drawn ones are 1 and
 * 0. */
rubato_status loader_running(loader *load, norm *out, const char *name, size_t width);

/* Records the name under which a parameter is stored. */
rubato_status loader_bind(loader *load, binding what, const char *name);

/* Records where a masked-LM decoder is stored; a tied weight is stored as the word embeddings. */
rubato_status loader_bind_decoder(loader *load, linear *out, const char *name, const char *bias, bool tied);

#endif
