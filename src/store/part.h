/* Exchangeable parts of a layer: attention (attention/attending.h) and the feed-forward part (feeding/feeding.h). This
 * file has the common part of both: names, settings, and the source from which they are loaded. */
#ifndef RUBATO_STORE_PART_H
#define RUBATO_STORE_PART_H

#include "base/json.h"
#include "store/loader.h"
#include "store/tensor_names.h"

enum { SETTING_BYTES = 64 };

/* One mechanism in a configuration. Its setting is a small struct that only the mechanism reads, of SETTING_BYTES at
 * most, which the mechanism asserts. A function that a mechanism does not have is NULL. */
typedef struct part_kind {
    const char *name;
    /* `transformers` has no such mechanism. A saved model then gets its own model_type, so that `transformers` does not
     * load it as another model. */
    bool foreign;
    bool told; /* users hear of it though it is a family's own */
    /* Reads a setting from config.json's object; and writes it into `json`. */
    rubato_status (*configure)(void *setting, const json_t *json, rubato_error *error);
    rubato_status (*note)(const void *setting, json_t *json, rubato_error *error);
    /* A description for users, such as "windows of 256". It names all that changes the mechanism's speed, because
     * calibrations are stored by it. */
    void (*describe)(const void *setting, char *out, size_t bytes);
} part_kind;

/* A mechanism and its setting. kind NULL: the default mechanism. */
typedef struct part_choice {
    const part_kind *kind;
    bool implied; /* by the family, which transformers has with it */
    _Alignas(16) unsigned char setting[SETTING_BYTES];
} part_choice;

/* Whether `transformers` lacks a model with that part. */
static inline bool part_is_foreign(const part_choice *choice) {
    return choice->kind->foreign && !choice->implied;
}

/* All mechanisms for one part of a layer, the default first, and the key of their object in config.json. */
typedef struct part_table {
    const char *key;
    const part_kind *const *kinds; /* [count] */
    size_t count;
} part_table;

/* The mechanism of that name, or NULL. */
const part_kind *part_find(const part_table *all, const char *name);

/* Fails with "WHERE \"NAME\"; known are ...": UNSUPPORTED. */
rubato_status part_unknown(const part_table *all, const char *where, const char *name, rubato_error *error);

/* Chooses a family's mechanism with a setting of `bytes` bytes, at most SETTING_BYTES. */
void part_choose(part_choice *out, const part_kind *kind, const void *setting, size_t bytes);

/* Reads config.json's object: {"mechanism": NAME, settings ...}. Without such an object the choice stays, or becomes
 * the default. Fails: UNSUPPORTED for an unknown name, and as the mechanism. */
rubato_status part_configure(part_choice *choice, const part_table *all, const json_t *config, rubato_error *error);

/* Writes the choice; writes nothing for mechanisms that the family implies. */
rubato_status part_note(const part_choice *choice, const part_table *all, json_t *config, rubato_error *error);

/* Writes "softmax" or "window (256 rows)" to out [bytes]. */
void part_describe(const part_choice *choice, char *out, size_t bytes);

/* The source from which a layer's part is loaded. */
typedef struct part_source {
    loader *load;
    const tensor_names *names;
    size_t first, second; /* the numbers for %zu in names */
    size_t hidden, heads, head_size, inner;
    size_t longest; /* the rows of the longest sequence */
    float epsilon;  /* of norms */
    bool pre_norm;  /* norms stand before attention and feed-forward; the first layer may have none before attention */
    const struct rotary *rotary; /* turns queries and keys (attention/rotary.h); NULL: nothing does */
    bool plain;                  /* norms have no statistics */
    bool two_streams;            /* rows are twice as wide as `hidden`: each part reads one half */
    activation act;
    const void *setting; /* of the mechanism; must outlive the layer */
    void *shared;        /* data that all layers of the mechanism share; NULL: none */
    void **kept;         /* where the first layer of a feed-forward part leaves data for the others; NULL at first */
} part_source;

/* A tensor's full name; out [LOADER_NAME]. */
void part_name(char *out, const part_source *from, const char *name);

/* The full name of a tensor of the layer that families do not know: "memory.query" with
 * "encoder.layer.%zu.output.dense" is "encoder.layer.0.memory.query". */
void part_name_in_layer(char *out, const part_source *from, const char *name);

/* The full name of a tensor that families do not know: "decay" beside "layer.%zu.attention.query" is
 * "layer.0.attention.decay". */
void part_name_beside(char *out, const part_source *from, const char *beside, const char *name);

#endif
