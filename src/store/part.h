/* Parts of a layer that can be exchanged: attention (attention/attending.h) and the feed-forward part
 * (feeding/feeding.h). Here is what both have in common: names, settings, and what they are loaded from. */
#ifndef RUBATO_STORE_PART_H
#define RUBATO_STORE_PART_H

#include "base/json.h"
#include "store/loader.h"
#include "store/tensor_names.h"

enum { SETTING_BYTES = 64 };

/* One mechanism, as configurations know it. Its setting is a small struct of its own that nothing else reads. Functions
 * that a mechanism lacks are NULL. */
typedef struct part_kind {
    const char *name;
    /* `transformers` has no such mechanism: a saved model gets a model_type of its own, so that it is not loaded there
     * as something else. */
    bool foreign;
    /* config.json's object to a setting; and back, into `json`. */
    rubato_status (*configure)(void *setting, const json_t *json, rubato_error *error);
    rubato_status (*note)(const void *setting, json_t *json, rubato_error *error);
    /* For people, "windows of 256". */
    void (*describe)(const void *setting, char *out, size_t bytes);
} part_kind;

/* A mechanism and its setting. kind NULL: the default one. */
typedef struct part_choice {
    const part_kind *kind;
    _Alignas(16) unsigned char setting[SETTING_BYTES];
} part_choice;

/* All mechanisms of one sort, the default one first, and the key of their object in config.json. */
typedef struct part_table {
    const char *key;
    const part_kind *const *kinds; /* [count] */
    size_t count;
} part_table;

/* The mechanism of that name; NULL: there is none. */
const part_kind *part_find(const part_table *all, const char *name);

/* Chooses a mechanism with a setting of `bytes` bytes, at most SETTING_BYTES. */
void part_choose(part_choice *out, const part_kind *kind, const void *setting, size_t bytes);

/* Reads config.json's object: {"mechanism": NAME, settings ...}; without one the choice stays, or becomes the default.
 * Fails: UNSUPPORTED for a name that is not known, and as the mechanism. */
rubato_status part_configure(part_choice *choice, const part_table *all, const json_t *config, rubato_error *error);

/* Writes it; nothing for mechanisms that the family implies. */
rubato_status part_note(const part_choice *choice, const part_table *all, json_t *config, rubato_error *error);

/* "softmax" or "window (256 rows)"; out [bytes]. */
void part_describe(const part_choice *choice, char *out, size_t bytes);

/* What a layer's part is loaded from. */
typedef struct part_source {
    loader *load;
    const tensor_names *names;
    size_t first, second; /* numbers for the names' %zu */
    size_t hidden, heads, head_size, inner;
    size_t longest; /* rows of the longest sequence */
    activation act;
    const void *setting; /* of the mechanism; outlives the layer */
    void *shared;        /* what all layers of the mechanism have in common; NULL: nothing */
} part_source;

/* A tensor's full name; out [LOADER_NAME]. */
void part_name(char *out, const part_source *from, const char *name);

#endif
