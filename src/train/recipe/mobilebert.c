/* MobileBERT's progressive knowledge transfer (Sun et al. 2020): layer after layer learns the states and the attention
 * of the teacher's layer of the same number, while those below go on at a tenth of the rate; then the answers. The
 * teacher has as many layers and heads, and wider ones between the same bottlenecks (IB-BERT). */
#include <stdlib.h>
#include <string.h>

#include "train/recipe/course.h"

static const double LOWER_RATE = 0.1;

typedef struct transfer {
    size_t lower;     /* the group of the layers below the one that learns */
    size_t *layer_of; /* [params.count] from 1; 0: the embeddings and what is no layer's */
} transfer;

static bool holds(const parameter *p, const binding *b) {
    switch (b->kind) {
    case BOUND_WEIGHT: return p->value == b->linear->packed;
    case BOUND_BIAS: return b->linear->bias && p->value == b->linear->bias;
    case BOUND_GAMMA: return p->value == b->norm->gamma;
    case BOUND_BETA: return b->norm->beta && p->value == b->norm->beta;
    case BOUND_TABLE:
    case BOUND_BUFFER: break;
    }
    return false;
}

/* The number of the layer in a tensor's name, from 1; 0: there is none. */
static size_t layer_number(const binding *b) {
    const char *at = b->place == IN_BODY ? strstr(b->name, "layer.") : NULL;
    return at ? strtoul(at + strlen("layer."), NULL, 10) + 1 : 0;
}

static rubato_status begin(void *user, trainer *by, rubato_error *error) {
    const transfer *t = user;
    const size_t now = by->phase_number + 1;
    (void)error;
    for (size_t i = 0; i < by->params.count; i++) {
        parameter *p = &by->params.items[i];
        const size_t of = t->layer_of[i];
        if (of == 0 && p->group != GROUP_EMBEDDINGS) continue;
        p->group = of == 0 ? GROUP_EMBEDDINGS : now <= by->model->body.depth && of < now ? t->lower : GROUP_BODY;
    }
    return RUBATO_OK;
}

static void teach(course *c) {
    const size_t depth = course_depth(c), number = c->stage + 1;
    if (depth != course_teacher_depth(c))
        course_refuse(c, "the teacher has %zu layers and the model %zu", course_teacher_depth(c), depth);
    c->what.begin = begin;
    c->what.user = c->user;
    if (number > depth) {
        c->what.name = "answers";
        course_answers(c);
        return;
    }
    c->what.name = "layer by layer";
    c->what.epochs = option_or(c->by->options->layer_epochs, 1);
    course_moments(c, 1, number, number);
    course_relation(c, 1, number, number, WATCH_QUERIES, WATCH_KEYS, 0);
}

static rubato_status run_mobilebert(trainer *self, rubato_error *error) {
    const parameter_group slow = {.name = "lower layers", .rate = LOWER_RATE * self->rule.rate};
    transfer t = {0};
    if (self->model->body.depth != self->model->body.unique)
        return fail(error, RUBATO_UNSUPPORTED, "recipe mobilebert: layers that share their weights");
    TRY(parameters_add_group(&self->params, &slow, &t.lower, error));
    t.layer_of = calloc(self->params.count + 4, sizeof *t.layer_of); /* a projection is added later */
    if (!t.layer_of) return fail_memory(error);
    for (size_t i = 0; i < self->params.count; i++)
        for (size_t j = 0; j < self->model->bound.count && !t.layer_of[i]; j++)
            if (holds(&self->params.items[i], &self->model->bound.items[j]))
                t.layer_of[i] = layer_number(&self->model->bound.items[j]);
    const rubato_status status = run_course_with(self, &t, error);
    free(t.layer_of);
    return status;
}

const recipe recipe_mobilebert = {.name = "mobilebert",
                                  .run = run_mobilebert,
                                  .teach = teach,
                                  .texts = true,
                                  .epochs = 3,
                                  .rate = 1e-4,
                                  .warm_up = 0.1,
                                  .decay = 0.01,
                                  .soft = 0.5,
                                  .hard = 0.5,
                                  .temperature = 1,
                                  .compares = true,
                                  .needs_teacher = true,
                                  .reads = "soft hard temperature layer_epochs"};
