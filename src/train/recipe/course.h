/* A course: what a student learns from a teacher, in stages. A recipe writes down the lessons of each stage, and
 * run_course does the rest:
 *
 *   static void teach(course *c) {
 *       const size_t last = course_depth(c), of_teacher = course_teacher_depth(c);
 *       course_relation(c, 1, last, of_teacher, WATCH_QUERIES, WATCH_KEYS, 0);
 *       course_relation(c, 1, last, of_teacher, WATCH_VALUES, WATCH_VALUES, 0);
 *   }
 *
 * Layers count from 1; 0: the embeddings. A failure is kept in the course; the functions then do nothing. */
#ifndef RUBATO_TRAIN_RECIPE_COURSE_H
#define RUBATO_TRAIN_RECIPE_COURSE_H

#include "train/trainer.h"

enum { MOST_LESSONS = 4 * POINT_LAYERS };

typedef union lesson_setting {
    answers_setting answers;
    layer_setting layer;
    relation_setting relation;
} lesson_setting;

struct course {
    trainer *by;
    size_t stage; /* from 0 */
    phase what;   /* a recipe may change name, rate, schedule, epochs; blind is set where no lesson has answers */
    lesson lessons[MOST_LESSONS];
    lesson_setting settings[MOST_LESSONS];
    void *user;          /* of run_course_with */
    linear **projection; /* from the student's width to the teacher's; one for all lessons. NULL in it: none yet */
    rubato_status status;
    rubato_error *error;
};

size_t course_depth(const course *c);
size_t course_teacher_depth(const course *c);

/* The width of a layer's queries, keys and values. */
size_t course_width(const encoder *body, size_t number);

/* Whether samples are texts alone: no lesson may have answers. */
bool course_texts(const course *c);

/* The model's answers, from the teacher's with the options' temperature, or from the labels. A weight of 0 adds
 * nothing, here and below. */
void course_soft_answers(course *c, double weight);
void course_labels(course *c, double weight);

/* Both, with the weights of the options. Labels have no weight where the data have none; without a teacher they count
 * alone. */
void course_answers(course *c);

/* States of a layer, by squares or by the cosine; through the projection where the widths differ. */
void course_layer(course *c, double weight, size_t own, size_t of_teacher, bool cosine);

/* The same by MobileBERT's loss of normalised rows and their moments. */
void course_moments(course *c, double weight, size_t own, size_t of_teacher);

/* Relations of two kinds of tensors (lesson_relation) by divergence, over `heads`; 0: the models' heads, which must be
 * as many in both. */
void course_relation(course *c, double weight, size_t own, size_t of_teacher, watch_kind first, watch_kind second,
                     size_t heads);

/* The scores of attention, by squares. */
void course_scores(course *c, double weight, size_t own, size_t of_teacher);

/* Fails the course with BAD_ARGUMENT. */
void course_refuse(course *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs the stages of the trainer's recipe. */
rubato_status run_course(trainer *self, rubato_error *error);

/* The same for a recipe whose lessons need more. */
rubato_status run_course_with(trainer *self, void *user, rubato_error *error);

#endif
