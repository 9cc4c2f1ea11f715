/* rubato_adapt: from a big model to a small one. A run is a list of stages. Each writes a folder in OUT/stages, or
 * measures; OUT/adapt.json says which are done and what was measured, so that a run goes on where it stopped. */
#ifndef RUBATO_ADAPT_ADAPTING_H
#define RUBATO_ADAPT_ADAPTING_H

#include "base/json.h"
#include "base/text_buffer.h"
#include "store/dataset.h"

#define ADAPT_RECORD "adapt.json"

enum { ADAPT_PATH = 4200 };

typedef enum target_kind { TARGET_RATIO, TARGET_MS, TARGET_MEGABYTES } target_kind;

typedef struct adapting adapting;

/* A stage. Its name is a folder's below OUT/stages where it makes a model. */
typedef struct stage_kind {
    const char *name, *what;
    rubato_status (*run)(adapting *self, rubato_error *error);
    double passes;   /* forward and backward passes of the whole model over the training data, for the estimate */
    const char *way; /* the way to a small model of which it is a part: "student", "pruned" or "elastic"; "pieces":
                        a part of all ways where word pieces leave; NULL: of all */
} stage_kind;

struct adapting {
    const rubato_adapt_options *options;
    target_kind target;
    double wanted, max_drop, epochs;
    json_t *record;       /* adapt.json */
    dataset all, told;    /* the dev data: one half chooses, and the other tells */
    dataset train;        /* for its size */
    size_t tokens;        /* of these */
    size_t small_tokens;  /* of the texts from which small models learn */
    size_t layers;        /* of the model that is adapted */
    double second_tokens; /* tokens of a forward pass in a second */
    size_t pieces;        /* word pieces that stay in the small models, where the target is a size; 0: all */
    size_t words;         /* features of their word embeddings; 0: as many as the model has */
    bool whole;           /* a text has one answer, so that a teacher may read it in other word pieces */
    bool bf16;            /* models learn with products in bf16 */
    double keep;          /* the part of the layers' weights that stays in the pruned model */
    bool prunes;          /* its heads can be cut */
    bool narrows;         /* its layers can run with fewer heads and neurons */
    bool tuned;           /* the model has a head for the data already */
    const stage_kind *stages;
    size_t stage, stage_count;
    double begun_ms, stage_ms;
};

/* The stages, with the fine-tuned model first. */
extern const stage_kind adapt_stages[];
extern const size_t adapt_stage_count;

/* The folders of the models that they make besides the fine-tuned one. */
typedef struct adapt_model {
    const char *name, *way;
    bool points; /* it has operating points, which are candidates, too */
} adapt_model;

extern const adapt_model adapt_models[];
extern const size_t adapt_model_count;

/* Why a stage is left out, or NULL: the way is not wanted, or cannot be gone with this model. */
const char *adapt_left_out(const adapting *self, const stage_kind *stage);
bool adapt_goes(const adapting *self, const char *way);

/* OUT/stages/NAME; the folder of the fine-tuned model, which is the given one where that has a head for the data. */
void adapt_folder(const adapting *self, const char *name, char out[ADAPT_PATH]);
void adapt_tuned(const adapting *self, char out[ADAPT_PATH]);

/* The model with which all ways begin: the fine-tuned one, or what the stage "pieces" makes of it. */
void adapt_start(const adapting *self, char out[ADAPT_PATH]);

/* The model from which they learn, and whether it reads texts in other word pieces. */
bool adapt_teacher(const adapting *self, char out[ADAPT_PATH]);

/* Tells how much of the stage is done. Non-zero: stop. */
int adapt_tell(adapting *self, const char *phase, double share);

/* Measures all candidates and puts them into the record. */
rubato_status adapt_measure(adapting *self, rubato_error *error);

/* Notes which candidates meet the target: a run that goes on may have another one. */
rubato_status adapt_mark(const adapting *self, rubato_error *error);

/* Chooses among the candidates of the record: the best by the examples that choose, among those that meet the target;
 * where none does, the one that is nearest. *met: it meets it, and loses at most max_drop. */
size_t adapt_choose(const adapting *self, bool *met);

/* Writes OUT/report.json and OUT/report.html. */
rubato_status adapt_report(const adapting *self, size_t chosen, bool met, rubato_error *error);

/* Numbers and texts of a candidate of the record. */
double candidate_number(const json_t *candidate, const char *key);
const char *candidate_text(const json_t *candidate, const char *key);

#endif
