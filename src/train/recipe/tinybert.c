/* TinyBERT (Jiao et al. 2020): hidden states, the embeddings among them, and scores of attention, of evenly spread
 * layers of the teacher; then, in a stage of its own, the teacher's answers. Texts alone have the first stage, which is
 * the paper's general distillation. */
#include "train/recipe/course.h"

static void teach_layers(course *c) {
    const size_t depth = course_depth(c), each = course_teacher_depth(c) / depth;
    if (depth * each != course_teacher_depth(c) || each == 0)
        course_refuse(c, "the teacher's %zu layers are no multiple of the model's %zu", course_teacher_depth(c), depth);
    for (size_t i = 0; i <= depth; i++) course_layer(c, 1, i, i * each, false);
    for (size_t i = 1; i <= depth; i++) course_scores(c, 1, i, i * each);
    c->what.name = "layers";
    if (course_texts(c)) return;
    c->what.epochs = option_or(c->by->options->layer_epochs, 10);
    c->what.schedule = rate_constant;
}

static void teach(course *c) {
    if (c->stage == 0) {
        teach_layers(c);
        return;
    }
    course_answers(c);
    c->what.name = "answers";
}

const recipe recipe_tinybert = {.name = "tinybert",
                                .run = run_course,
                                .teach = teach,
                                .stages = 2,
                                .texts = true,
                                .epochs = 3,
                                .rate = 5e-5,
                                .warm_up = 0.1,
                                .decay = 0.01,
                                .soft = 1,
                                .temperature = 1,
                                .compares = true,
                                .needs_teacher = true,
                                .reads = "soft hard temperature layer_epochs"};
