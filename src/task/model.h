/* The contents of a loaded model, and questions about it. */
#ifndef RUBATO_TASK_MODEL_H
#define RUBATO_TASK_MODEL_H

#include "elastic/frontier.h"
#include "model/exits.h"
#include "model/pooling.h"
#include "text/tokenizer.h"

struct rubato_model {
    char *path, *folder; /* the name as given; the folder of the encoder */
    char *config_path;   /* of config.json */
    char *base;          /* the folder of its config.json and weights: another one where `folder` has an adapter */
    const family *kind;
    const char *model_type; /* what config.json should have as such; NULL: what it has */
    const char *prefix;     /* of the encoder's tensors */
    bindings bound;         /* every parameter, when loaded for learning */
    checkpoint weights;     /* stays open: the embedding tables are read in place */
    arena packed;           /* every weight that a product or norm reads */
    tokenizer *text;
    encoder body;
    head heads[HEAD_COUNT];
    exits exits; /* of the main head */
    pooling pool;
    frontier points; /* the contents of rubato.json */
    rubato_info info;
    bool untrained;        /* its weights were drawn */
    bool as_stored;        /* loaded to be changed, not trained: it keeps its task */
    bool lowercase;        /* sentence_bert_config's do_lower_case */
    bool sentence;         /* a sentence-transformers folder: texts are stripped */
    activation rerank_act; /* of a cross-encoder's scores */
    size_t entailment;     /* 1 + the label of a model of natural language inference that is entailment; 0: none */
    char **labels, **prompt_names, **prompts, **warnings;
    char *default_prompt; /* points into prompts; NULL for none */
    char *pooling_text;
    char attention_text[320], feeding_text[320];
    rubato_point *shown; /* [points.count] as rubato_model_point gives them: as they were loaded */
};

/* The head of a task; HEAD_COUNT: pooling. */
head_kind head_of_task(rubato_task task);

/* The head of the model's task; HEAD_COUNT: pooling. */
head_kind engine_main_head(const rubato_model *model);

/* The head of that kind, or WRONG_TASK with a description of the model. */
rubato_status engine_head(const rubato_model *model, head_kind kind, const head **out, rubato_error *error);

/* Whether the model answers for sequences or for tokens, so that they may leave early. */
bool model_may_exit(const rubato_model *model);

/* Operations of one sequence in the layers at a point (NULL: full), exits included; the expected value where texts
 * leave early. */
double engine_flops(const rubato_model *model, const point *at, size_t length);

#endif
