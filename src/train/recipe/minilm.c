/* MiniLM (Wang et al. 2020): the attention and the relations of values of the last layer; MiniLMv2 (Wang et al. 2021):
 * relations of queries, of keys and of values over any number of heads, of any layer of the teacher. They learn from
 * texts alone; where the data have labels, a second stage learns the answers. */
#include "base/checked.h"
#include "train/recipe/course.h"

enum { MOST_RELATION_HEADS = 48 };

static bool teach_answers(course *c) {
    if (c->stage == 0) c->what.epochs = option_or(c->by->options->layer_epochs, trainer_epochs(c->by));
    c->what.name = c->stage == 0 ? "relations" : "answers";
    if (c->stage == 1) course_answers(c);
    return c->stage == 1;
}

static void teach_minilm(course *c) {
    const size_t last = course_depth(c), of_teacher = course_teacher_depth(c);
    if (teach_answers(c)) return;
    course_relation(c, 1, last, of_teacher, WATCH_QUERIES, WATCH_KEYS, 0);
    course_relation(c, 1, last, of_teacher, WATCH_VALUES, WATCH_VALUES, 0);
}

/* The largest number of heads, up to that of the paper, that divides the widths of both. */
static size_t common_heads(const course *c, size_t of_teacher) {
    const size_t own = course_width(&c->by->model->body, course_depth(c));
    const size_t wide = course_width(&c->by->teacher->body, size_min(of_teacher, course_teacher_depth(c)));
    size_t heads = MOST_RELATION_HEADS;
    while (own % heads || wide % heads) heads--;
    return heads;
}

static void teach_minilmv2(course *c) {
    const rubato_train_options *options = c->by->options;
    const size_t of_teacher = options->teacher_layer ? options->teacher_layer : course_teacher_depth(c);
    const size_t heads = options->relation_heads ? options->relation_heads : common_heads(c, of_teacher);
    if (teach_answers(c)) return;
    static const watch_kind kinds[] = {WATCH_QUERIES, WATCH_KEYS, WATCH_VALUES};
    for (size_t i = 0; i < 3; i++) course_relation(c, 1, course_depth(c), of_teacher, kinds[i], kinds[i], heads);
}

const recipe recipe_minilm = {.name = "minilm",
                              .run = run_course,
                              .teach = teach_minilm,
                              .stages = 2,
                              .texts = true,
                              .epochs = 3,
                              .rate = 5e-5,
                              .warm_up = 0.1,
                              .decay = 0.01,
                              .soft = 0.5,
                              .hard = 0.5,
                              .temperature = 2,
                              .compares = true,
                              .needs_teacher = true,
                              .reads = "soft hard temperature layer_epochs"};

const recipe recipe_minilmv2 = {.name = "minilmv2",
                                .run = run_course,
                                .teach = teach_minilmv2,
                                .stages = 2,
                                .texts = true,
                                .epochs = 3,
                                .rate = 5e-5,
                                .warm_up = 0.1,
                                .decay = 0.01,
                                .soft = 0.5,
                                .hard = 0.5,
                                .temperature = 2,
                                .compares = true,
                                .needs_teacher = true,
                                .reads = "soft hard temperature layer_epochs relation_heads teacher_layer"};
