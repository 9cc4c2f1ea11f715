/* Loading a model to run or to train it. */
#ifndef RUBATO_TASK_LOAD_H
#define RUBATO_TASK_LOAD_H

#include "base/json.h"
#include "task/model.h"

/* How to load a model that is to be trained: the task of its head. */
typedef struct learning {
    rubato_task task;
    const char *const *labels; /* of classification and tagging; NULL: the checkpoint's */
    size_t label_count;
    uint64_t seed;        /* of a head that the checkpoint lacks */
    const size_t *layers; /* the checkpoint's layers to take, from 0 on; NULL: all */
    size_t layer_count;
    bool new_head;         /* the last layer of the head is made new, though the checkpoint has one that fits */
    bool several;          /* classification with any number of labels for a text */
    bool may_begin;        /* a folder without weights, or a config.json, is a model whose weights are drawn */
    const char *tokenizer; /* the folder of its tokenizer; NULL: its own */
    bool next_sentence;    /* a masked language model gets the head for pairs of texts too */
    bool discriminates;    /* the head that says which tokens were replaced (ELECTRA), and no other one */
    /* The object that config.json's "feed_forward" is replaced with: memories that the model gets, whose weights are
     * drawn; or null: the memories that it has are left out. NULL: as stored. */
    const json_t *feed_forward;
    bool attended_head; /* a head for sequences gets pooling by attention (pooling_attention.h) */
    bool zero_values;   /* the values of new memories are zero: the model is what it was */
    bool as_stored;     /* task, labels and problem_type are kept from config.json: the model is changed, not trained */
} learning;

/* The wanted precision of the encoder's products. */
typedef struct model_precision {
    precision precision;        /* of all layers */
    const precision *each;      /* of each, [layers]; NULL: the same */
    bool both;                  /* f32 as well, for operating points that differ in precision */
    const float *const *smooth; /* factors of the inputs of every linear layer of the encoder that becomes int8, in the
                                   order of visiting (encoder_visit); NULL: 1 */
} model_precision;

/* As rubato_model_load_with; `wanted` NULL: f32; `learn` NULL: the model will not be trained. A model that is loaded
 * for learning belongs to the caller alone; to be trained it must be f32. */
rubato_status model_load(rubato_model **model, const char *name, const model_precision *wanted, const learning *learn,
                         rubato_error *error);

/* As rubato_model_load, in memory, with the hash of the weights: for training, which takes hours. A model that is
 * loaded to be trained has its hash too. */
rubato_status model_load_teacher(rubato_model **model, const char *name, rubato_error *error);

/* Adds a warning to those of rubato_info: a format with one %s, and what stands for it. Fails: OUT_OF_MEMORY. */
rubato_status model_warn(rubato_model *model, const char *format, const char *what, rubato_error *error);

/* "0,2,5": numbers of layers. out [POINT_LAYERS]; NULL text: none. Fails: BAD_ARGUMENT. */
rubato_status layers_parse(const char *text, size_t *out, size_t *count, rubato_error *error);

/* "f32", "bf16", "int8"; NULL: as stored. Fails: BAD_ARGUMENT. */
rubato_status precision_find(precision *out, const char *name, rubato_error *error);

#endif
