/* DistilBERT (Sanh et al. 2019): the teacher's answers at a temperature, the labels (of masked tokens, or of the task),
 * and the direction of the last hidden states. A student begins with some of the teacher's layers (rubato trim). */
#include "train/recipe/course.h"

static void teach(course *c) {
    const trainer *by = c->by;
    const bool masked = by->kind == SAMPLE_MASKED;
    const double soft = masked ? 5 : by->method->soft, hard = masked ? 2 : by->method->hard;
    course_soft_answers(c, option_or(by->options->soft, soft));
    course_labels(c, option_or(by->options->hard, hard));
    course_layer(c, wanted_matching(by), course_depth(c), course_teacher_depth(c), true);
}

const recipe recipe_distilbert = {.name = "distilbert",
                                  .run = run_course,
                                  .teach = teach,
                                  .stages = 1,
                                  .epochs = 3,
                                  .rate = 5e-5,
                                  .warm_up = 0.05,
                                  .soft = 0.5,
                                  .hard = 0.5,
                                  .temperature = 2,
                                  .match_states = 1,
                                  .weighs_states = true,
                                  .needs_teacher = true,
                                  .reads = "soft hard temperature"};
