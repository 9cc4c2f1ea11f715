/* Lessons: the losses of a pass. A lesson is a kind of loss with a weight and a setting. A phase has a list of lessons.
 * The tensors that a loss needs, of the model and of its teacher, belong to the kind of loss.
 *
 * A new loss is one file under lesson/ and one line below. A recipe names it in the list of its phase. */
#ifndef RUBATO_TRAIN_LESSON_H
#define RUBATO_TRAIN_LESSON_H

#include "train/objective.h"

typedef struct lesson lesson;
typedef struct passing passing; /* train/phase.h */

typedef struct lesson_kind {
    const char *name;
    unsigned observes; /* the tensors of the pass that it reads: bits of watch_kind */
    unsigned compares; /* the tensors of the teacher that it reads; a teacher is needed then */
    bool asks;         /* it reads the teacher's answers, where there is a teacher */
    /* Returns the sum of the loss over the portion's items, times self->weight. Adds the gradient of that sum, times
     * now->scale, to the tensors that it reads. A failure is the run's. */
    double (*loss)(const lesson *self, passing *now);
} lesson_kind;

extern const lesson_kind lesson_answers;  /* answers of the model's head, against labels, the first pass or a teacher */
extern const lesson_kind lesson_exits;    /* answers of the exit after each layer, against the same */
extern const lesson_kind lesson_halting;  /* adaptive computation time: the head reads a mean of the layers' states */
extern const lesson_kind lesson_states;   /* hidden states, against a teacher's of the same layer */
extern const lesson_kind lesson_layer;    /* hidden states of one layer, against those of one of the teacher's */
extern const lesson_kind lesson_relation; /* how much the rows of a sequence have to do with each other in one layer,
                                             against the same in one of the teacher's */
extern const lesson_kind lesson_replaced; /* of each row, whether its token was replaced: the portion's labels */

struct lesson {
    const lesson_kind *kind;
    double weight;       /* 0: the lesson is left out */
    const void *setting; /* a struct that the kind defines; NULL: its defaults, where it has some */
};

/* The setting of lesson_answers. */
typedef struct answers_setting {
    bool from_full;    /* smaller passes learn by KL(full || smaller), whatever the options say */
    bool labels;       /* from the labels, though there is a teacher */
    float temperature; /* of a teacher's answers; 0: 1 */
} answers_setting;

/* Of lesson_layer; has no defaults. Layers count from 1; 0: the embeddings. */
typedef struct layer_setting {
    size_t own, of_teacher;
    bool cosine;  /* 1 - the cosine of each row, and not the squares of the differences; the mean in both cases */
    bool moments; /* MobileBERT's: squares of the differences of normalised rows, of their means, and of variances */
    const linear *projection; /* from the model's width to the teacher's, which learns; NULL: the widths are the same */
} layer_setting;

/* Of lesson_relation; has no defaults. The relation of two rows of a sequence is the product of one's `first` tensor
 * and the other's `second` tensor, for each of `heads` parts of equal width, over the root of that width. Queries and
 * keys give the scores of attention. */
typedef struct relation_setting {
    size_t own, of_teacher;
    watch_kind first, second; /* WATCH_QUERIES, WATCH_KEYS or WATCH_VALUES */
    size_t heads;             /* 0: the model's, which are as many as the teacher's */
    bool squares; /* the mean of squared differences, and not the divergence KL(teacher || model) of their softmax over
                     a row's relations, in the mean of rows and heads */
} relation_setting;

/* Of lesson_exits; has no defaults. */
typedef struct exits_setting {
    double weights[POINT_LAYERS]; /* weight of the exit after each layer */
    bool from_model;              /* exits learn from the answers of the model's own head instead of the labels */
} exits_setting;

/* Of lesson_halting; has no defaults. */
typedef struct halting_setting {
    double ponder; /* price of each layer */
} halting_setting;

#endif
