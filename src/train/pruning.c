#include "train/pruning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "train/largest.h"

enum { BLOCK_SIDE = 32, QUAD = 4 };
static const double STRETCH = 1.2, SHIFT = 0.1, HEAT = 2.0 / 3.0; /* of the hard concrete distribution */
static const double THRESHOLD = 0.1;                              /* of soft movement, at the end */
static const double MULTIPLIER_RATE = 0.01, FADING = 0.99;

/* A linear layer and its groups. Groups are numbered as the packed weights stand: panel by panel, along the depth, and
 * within a panel column by column where a group is one output. */
typedef struct pruned {
    linear *of;
    size_t item;           /* the weights' place among the parameters */
    float *weights;        /* W, packed; of->packed is W' */
    size_t outputs;        /* of a group: 1, PANEL, or 0 for all */
    size_t depth;          /* inputs of a group */
    size_t deep;           /* groups along the depth */
    size_t groups, real;   /* all, and those that are not of a panel's padding */
    size_t scores;         /* the scores' place among the parameters; SIZE_MAX: the rule has no parameters */
    float *score;          /* [groups] */
    float *factor, *slope; /* [groups]: z, and dz / dscore */
    float *sum;            /* [groups]: of dL/dW' W in this step */
    bool heads;
} pruned;

struct pruning {
    trainer *by;
    pruning_options options;
    pruned *items;
    size_t count;
    arena memory;
    size_t multipliers; /* l0: two parameters, by which the size is held at its target */
    size_t step, steps;
    bool settled;
    double weights; /* in all groups */
};

/* ---- The hard concrete distribution ---- */

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

double concrete_sample(double score, double u, double *slope) {
    double s = sigmoid((log(u) - log(1 - u) + score) / HEAT), z = STRETCH * s - SHIFT;
    *slope = z > 0 && z < 1 ? STRETCH * s * (1 - s) / HEAT : 0;
    return fmin(fmax(z, 0), 1);
}

double concrete_settled(double score) {
    return fmin(fmax(STRETCH * sigmoid(score) - SHIFT, 0), 1);
}

double concrete_open(double score) {
    return sigmoid(score - HEAT * log(SHIFT / (STRETCH - SHIFT)));
}

/* ---- Groups ---- */

/* Calls work for every stretch of packed weights that lies in one group, or for PANEL groups side by side. */
typedef void stretch_work(pruned *of, size_t group, size_t at, size_t width, void *user);

static void each_stretch(pruned *of, stretch_work *work, void *user) {
    const size_t in = of->of->in, out = of->of->out;
    for (size_t panel = 0; panel * PANEL < out; panel++)
        for (size_t k = 0; k < in; k++) {
            const size_t row = k / of->depth, first = of->outputs ? panel * of->deep + row : row;
            work(of, of->outputs == 1 ? first * PANEL : first, (panel * in + k) * PANEL,
                 size_min(PANEL, out - panel * PANEL), user);
        }
}

static void scale_stretch(pruned *of, size_t group, size_t at, size_t width, void *user) {
    float *to = of->of->packed + at;
    const float *from = of->weights + at, *z = of->factor + group;
    (void)user;
    for (size_t j = 0; j < width; j++) to[j] = from[j] * z[of->outputs == 1 ? j : 0];
}

/* Sums dL/dW' W of the groups, and turns the gradient of W' into that of W. */
static void learn_stretch(pruned *of, size_t group, size_t at, size_t width, void *user) {
    float *grad = of->of->learn->weight + at, *sum = of->sum + group;
    const float *w = of->weights + at, *z = of->factor + group;
    (void)user;
    for (size_t j = 0; j < width; j++) {
        const size_t own = of->outputs == 1 ? j : 0;
        sum[own] += grad[j] * w[j];
        grad[j] *= z[own];
    }
}

static void add_sizes(pruned *of, size_t group, size_t at, size_t width, void *user) {
    const float *w = of->weights + at;
    float *sum = of->sum + group;
    (void)user;
    for (size_t j = 0; j < width; j++) sum[of->outputs == 1 ? j : 0] += fabsf(w[j]);
}

static bool is_real(const pruned *of, size_t group) {
    if (of->outputs != 1) return true;
    return group / (of->deep * PANEL) * PANEL + group % PANEL < of->of->out;
}

/* Weights in a group. The last one along the depth may be smaller, and so may a block at the edge. */
static double group_weights(const pruned *of, size_t group) {
    const size_t across = of->outputs == 1 ? 1 : PANEL, place = of->outputs == 1 ? group / PANEL : group;
    const size_t first = place % of->deep * of->depth, panel = place / of->deep;
    const double deep = (double)size_min(of->depth, of->of->in - first);
    if (of->outputs == 0) return deep * (double)of->of->out;
    return deep * (double)(across == 1 ? 1 : size_min(PANEL, of->of->out - panel * PANEL));
}

/* ---- Creating ---- */

static double first_score(prune_rule rule) {
    return rule == PRUNE_L0 ? 2.197 : 0; /* the hard concrete variable is open at first */
}

static float *room(pruning *self, size_t count) {
    float *made = arena_take_array(&self->memory, count, sizeof *made);
    if (made) memset(made, 0, count * sizeof *made);
    return made;
}

typedef struct making {
    pruning *self;
    size_t group; /* of the scores */
    size_t head_size;
    rubato_status status;
    rubato_error *error;
} making;

static rubato_status make(making *m, linear *of, const linear_role *role) {
    pruning *self = m->self;
    parameters *params = &self->by->params;
    const prune_unit unit = self->options.unit;
    pruned *made = &self->items[self->count];
    *made = (pruned){.of = of, .scores = SIZE_MAX, .heads = role->inputs == AXIS_HEADS};
    if (unit == PRUNE_STRUCTURE) {
        if (role->inputs == AXIS_HIDDEN) return RUBATO_OK;
        made->depth = made->heads ? m->head_size : 1;
    } else {
        made->outputs = unit == PRUNE_BLOCKS ? PANEL : 1;
        made->depth = unit == PRUNE_BLOCKS ? BLOCK_SIDE : unit == PRUNE_QUADS ? QUAD : 1;
    }
    if (!of->learn) return RUBATO_OK;
    while (made->item < params->count && params->items[made->item].value != of->packed) made->item++;
    if (made->item == params->count) return RUBATO_OK; /* does not learn */
    const size_t panels = divide_up(of->out, PANEL), floats = params->items[made->item].count;
    made->deep = divide_up(of->in, made->depth);
    made->groups = made->deep * (made->outputs == 0 ? 1 : made->outputs == 1 ? panels * PANEL : panels);
    made->weights = room(self, floats);
    made->factor = room(self, made->groups);
    made->slope = room(self, made->groups);
    made->sum = room(self, made->groups);
    if (!made->weights || !made->factor || !made->slope || !made->sum) return fail_memory(m->error);
    memcpy(made->weights, of->packed, floats * sizeof *made->weights);
    params->items[made->item].value = made->weights;
    /* scores of all rules are parameters, so that checkpoints have them */
    TRY(parameters_add(params, made->groups, m->group, &made->scores, m->error));
    made->score = params->items[made->scores].value;
    for (size_t i = 0; i < made->groups; i++) {
        made->score[i] = (float)first_score(self->options.rule);
        made->real += is_real(made, i);
        if (is_real(made, i)) self->weights += group_weights(made, i);
    }
    self->count++;
    return RUBATO_OK;
}

static void make_linear(void *user, linear *of, const linear_role *role) {
    making *m = user;
    if (m->status == RUBATO_OK) m->status = make(m, of, role);
}

static rubato_status make_all(pruning *self, rubato_error *error) {
    trainer *by = self->by;
    const encoder *body = &by->model->body;
    size_t linears = 0, group, other;
    if (body->unique != body->depth)
        return fail(error, RUBATO_UNSUPPORTED, "layers that share their weights cannot be pruned");
    if (self->options.unit == PRUNE_STRUCTURE && !config_sorts_heads(&body->config))
        return fail(error, RUBATO_UNSUPPORTED,
                    "heads of %s attention cannot be cut away: their weights stand in tables or layers that mix them; "
                    "use --unit weights, quads or blocks",
                    body->config.attention.kind->name);
    for (size_t i = 0; i < body->unique; i++) linears += 8; /* more than a layer has */
    self->items = calloc(size_max(linears, 1), sizeof *self->items);
    if (!self->items) return fail_memory(error);
    const parameter_group scores = {.name = "scores", .rate = self->options.score_rate, .decay = -1, .clip = 1};
    const parameter_group multipliers = {
        .name = "multipliers", .rate = MULTIPLIER_RATE, .decay = -1, .clip = 1e30, .schedule = rate_constant};
    TRY(parameters_add_group(&by->params, &scores, &group, error));
    for (size_t i = 0; i < body->unique; i++) {
        making m = {self, group, body->layers[i].head_size, RUBATO_OK, error};
        layer_visit(&body->layers[i], make_linear, &m);
        TRY(m.status);
    }
    if (self->count == 0) return fail(error, RUBATO_UNSUPPORTED, "this model has no layers that could be pruned");
    TRY(parameters_add_group(&by->params, &multipliers, &other, error));
    return parameters_add(&by->params, 2, other, &self->multipliers, error);
}

rubato_status pruning_create(pruning **out, trainer *by, const pruning_options *options, rubato_error *error) {
    pruning *self = *out = calloc(1, sizeof *self);
    if (!self) return fail_memory(error);
    self->by = by;
    self->options = *options;
    arena_create(&self->memory, 0, 16 << 20);
    return make_all(self, error);
}

/* The layers get their own weights back, as the parameters have them. */
void pruning_destroy(pruning *self) {
    if (!self) return;
    for (size_t i = 0; i < self->count; i++) {
        parameter *p = &self->by->params.items[self->items[i].item];
        if (p->value == self->items[i].weights) p->value = self->items[i].of->packed;
    }
    arena_destroy(&self->memory);
    free(self->items);
    free(self);
}

/* ---- Factors ---- */

double pruning_share(const pruning_options *o, size_t step, size_t steps) {
    const double at = steps ? (double)step / (double)steps : 1, span = fmax(1 - o->begin - o->end, 1e-9);
    if (at <= o->begin) return 1;
    if (at >= 1 - o->end) return o->keep;
    const double left = 1 - (at - o->begin) / span;
    return o->keep + (1 - o->keep) * left * left * left;
}

/* What the factors are chosen by. */
static void find_worth(const pruning *self, pruned *of, float *worth) {
    if (self->options.rule == PRUNE_MAGNITUDE) {
        memset(of->sum, 0, of->groups * sizeof *of->sum);
        each_stretch(of, add_sizes, NULL);
        for (size_t i = 0; i < of->groups; i++)
            worth[i] = is_real(of, i) ? of->sum[i] / (float)group_weights(of, i) : -INFINITY;
        memset(of->sum, 0, of->groups * sizeof *of->sum);
        return;
    }
    for (size_t i = 0; i < of->groups; i++) worth[i] = is_real(of, i) ? of->score[i] : -INFINITY;
}

/* Importance of heads and of neurons is compared among all layers, where each layer's is divided by its length (Michel
 * et al. 2019), and so are other rules' scores as they are. */
static void level_worth(const pruning *self, const pruned *of, float *worth) {
    double square = 0;
    if (self->options.rule != PRUNE_IMPORTANCE && self->options.rule != PRUNE_MAGNITUDE) return;
    for (size_t i = 0; i < of->groups; i++) square += (double)worth[i] * (double)worth[i];
    for (size_t i = 0; i < of->groups && square > 0; i++) worth[i] = (float)((double)worth[i] / sqrt(square));
}

/* Of all layers' heads, or neurons, together; one stays in every layer. */
static rubato_status choose_structure(pruning *self, bool heads, double share, rubato_error *error) {
    size_t all = 0;
    for (size_t i = 0; i < self->count; i++) all += self->items[i].heads == heads ? self->items[i].groups : 0;
    float *worth = malloc(size_max(all, 1) * sizeof *worth), *kept = malloc(size_max(all, 1) * sizeof *kept);
    if (worth && kept) {
        for (size_t i = 0, at = 0; i < self->count; i++) {
            pruned *of = &self->items[i];
            if (of->heads != heads) continue;
            find_worth(self, of, worth + at);
            level_worth(self, of, worth + at);
            size_t best = at;
            for (size_t j = at; j < at + of->groups; j++)
                if (worth[j] > worth[best]) best = j;
            worth[best] = INFINITY;
            at += of->groups;
        }
        largest_mark(worth, all, (size_t)(share * (double)all + 0.5), kept);
        for (size_t i = 0, at = 0; i < self->count; i++) {
            pruned *of = &self->items[i];
            if (of->heads != heads) continue;
            memcpy(of->factor, kept + at, of->groups * sizeof *kept);
            at += of->groups;
        }
    }
    rubato_status status = worth && kept ? RUBATO_OK : fail_memory(error);
    free(worth);
    free(kept);
    return status;
}

static rubato_status choose_within(pruning *self, pruned *of, double share, rubato_error *error) {
    float *worth = malloc(of->groups * sizeof *worth);
    if (!worth) return fail_memory(error);
    find_worth(self, of, worth);
    largest_mark(worth, of->groups, size_max(1, (size_t)(share * (double)of->real + 0.5)), of->factor);
    free(worth);
    return RUBATO_OK;
}

/* Soft movement: all scores above a threshold that rises from 0 to its last value as `share` falls; at least one of
 * two hundred stays. */
static rubato_status choose_above(pruned *of, double threshold, rubato_error *error) {
    size_t above = 0;
    for (size_t i = 0; i < of->groups; i++) {
        of->factor[i] = is_real(of, i) && sigmoid((double)of->score[i]) > threshold ? 1 : 0;
        above += of->factor[i] > 0;
    }
    const size_t least = size_max(1, of->real / 200);
    if (above >= least) return RUBATO_OK;
    float *worth = malloc(of->groups * sizeof *worth);
    if (!worth) return fail_memory(error);
    for (size_t i = 0; i < of->groups; i++) worth[i] = is_real(of, i) ? of->score[i] : -INFINITY;
    largest_mark(worth, of->groups, least, of->factor);
    free(worth);
    return RUBATO_OK;
}

static void draw_factors(pruned *of, uint64_t key, bool settled) {
    double most = -INFINITY;
    size_t best = 0;
    for (size_t i = 0; i < of->groups; i++) {
        double slope = 0, score = (double)of->score[i];
        uint64_t state = random_hash(key ^ random_hash(i));
        const double u = 1e-6 + (1 - 2e-6) * random_real(&state);
        of->factor[i] = (float)(settled ? concrete_settled(score) : concrete_sample(score, u, &slope));
        of->slope[i] = (float)slope;
        if (is_real(of, i) && score > most) {
            most = score;
            best = i;
        }
    }
    if (settled && of->outputs == 0 && of->factor[best] == 0) of->factor[best] = 1;
}

/* The threshold rises from 0 as the kept part falls. */
static double threshold_at(const pruning *self, double share) {
    return THRESHOLD * (1 - share) / fmax(1 - self->options.keep, 1e-9);
}

/* One piece of work for each layer, divided over threads. */
typedef rubato_status layer_work(pruning *self, size_t number, rubato_error *error);

typedef struct sharing {
    pruning *self;
    layer_work *work;
    rubato_status *status; /* [self->count] */
} sharing;

static void some_layers(void *argument, size_t member, size_t members) {
    const sharing *s = argument;
    for (size_t i = member; i < s->self->count; i += members) s->status[i] = s->work(s->self, i, NULL);
}

static rubato_status each_layer(pruning *self, layer_work *work, rubato_error *error) {
    sharing s = {self, work, calloc(self->count, sizeof *s.status)};
    rubato_status status = s.status ? RUBATO_OK : fail_memory(error);
    if (s.status) team_run(self->by->context->crew, some_layers, &s);
    for (size_t i = 0; i < self->count && status == RUBATO_OK; i++)
        if (s.status[i] != RUBATO_OK) status = fail_memory(error); /* nothing else can fail */
    free(s.status);
    return status;
}

static bool chooses(const pruning *self) {
    const prune_rule rule = self->options.rule;
    return rule == PRUNE_MAGNITUDE || rule == PRUNE_MOVEMENT || rule == PRUNE_IMPORTANCE;
}

static rubato_status apply_to(pruning *self, size_t number, rubato_error *error) {
    const pruning_options *o = &self->options;
    pruned *of = &self->items[number];
    const double share = pruning_share(o, self->step, self->steps);
    if (chooses(self) && o->unit != PRUNE_STRUCTURE) TRY(choose_within(self, of, share, error));
    if (o->rule == PRUNE_SOFT_MOVEMENT) TRY(choose_above(of, threshold_at(self, share), error));
    if (o->rule == PRUNE_L0)
        draw_factors(of, trainer_seed(self->by, 7, self->step * self->count + number), self->settled);
    each_stretch(of, scale_stretch, NULL);
    linear_refresh(of->of, self->by->context->kernels, 0, divide_up(of->of->out, PANEL));
    return RUBATO_OK;
}

rubato_status pruning_apply(pruning *self, size_t step, size_t steps, bool settled, rubato_error *error) {
    self->step = step;
    self->steps = steps;
    self->settled = settled;
    if (chooses(self) && self->options.unit == PRUNE_STRUCTURE) {
        const double share = pruning_share(&self->options, step, steps);
        TRY(choose_structure(self, true, share, error));
        TRY(choose_structure(self, false, share, error));
    }
    return each_layer(self, apply_to, error);
}

double pruning_kept(const pruning *self) {
    double kept = 0;
    for (size_t i = 0; i < self->count; i++)
        for (size_t j = 0; j < self->items[i].groups; j++)
            if (self->items[i].factor[j] != 0 && is_real(&self->items[i], j)) kept += group_weights(&self->items[i], j);
    return kept / self->weights;
}

/* ---- Learning ---- */

/* The part of the weights that the scores are expected to keep, and its slopes times `by`. */
static double expect_kept(const pruning *self, double by) {
    double sum = 0;
    for (size_t i = 0; i < self->count; i++) {
        const pruned *of = &self->items[i];
        float *grad = self->by->params.items[of->scores].gradient;
        for (size_t j = 0; j < of->groups; j++) {
            if (!is_real(of, j)) continue;
            const double open = concrete_open((double)of->score[j]), part = group_weights(of, j) / self->weights;
            sum += part * open;
            grad[j] += (float)(by * part * open * (1 - open));
        }
    }
    return sum;
}

/* Holds the expected size at its target by l1 (kept - target) + l2 (kept - target)^2, of which the multipliers are
 * learnt by ascent (Wang et al. 2020, Xia et al. 2022). */
static void penalize_size(const pruning *self) {
    parameter *multipliers = &self->by->params.items[self->multipliers];
    const double target = pruning_share(&self->options, self->step, self->steps), kept = expect_kept(self, 0);
    const double off = kept - target;
    expect_kept(self, (double)multipliers->value[0] + 2 * (double)multipliers->value[1] * off);
    multipliers->gradient[0] -= (float)off;
    multipliers->gradient[1] -= (float)(off * off);
}

/* The mean of the scores' sigmoids over layers, times a weight that rises as the threshold does. */
static void penalize_scores(const pruning *self) {
    const double share = pruning_share(&self->options, self->step, self->steps);
    const double weight = self->options.penalty * threshold_at(self, share) / THRESHOLD / (double)self->count;
    for (size_t i = 0; i < self->count; i++) {
        const pruned *of = &self->items[i];
        float *grad = self->by->params.items[of->scores].gradient;
        for (size_t j = 0; j < of->groups; j++) {
            const double s = sigmoid((double)of->score[j]);
            if (is_real(of, j)) grad[j] += (float)(weight * s * (1 - s) / (double)of->real);
        }
    }
}

static rubato_status learn(pruning *self, size_t number, rubato_error *error) {
    pruned *of = &self->items[number];
    float *grad = self->by->params.items[of->scores].gradient;
    (void)error;
    memset(of->sum, 0, of->groups * sizeof *of->sum);
    each_stretch(of, learn_stretch, NULL);
    for (size_t j = 0; j < of->groups; j++) {
        switch (self->options.rule) {
        case PRUNE_MOVEMENT:
        case PRUNE_SOFT_MOVEMENT: grad[j] += of->sum[j]; break;
        case PRUNE_L0: grad[j] += of->sum[j] * of->slope[j]; break;
        case PRUNE_IMPORTANCE:
            of->score[j] = (float)(FADING * (double)of->score[j] + (1 - FADING) * fabs((double)of->sum[j]));
            break;
        case PRUNE_MAGNITUDE: break;
        }
    }
    return RUBATO_OK;
}

rubato_status pruning_after_gradients(void *user, trainer *by, rubato_error *error) {
    pruning *self = user;
    (void)by;
    TRY(each_layer(self, learn, error));
    if (self->options.rule == PRUNE_L0) penalize_size(self);
    if (self->options.rule == PRUNE_SOFT_MOVEMENT) penalize_scores(self);
    return RUBATO_OK;
}

rubato_status pruning_after_step(void *user, trainer *by, rubato_error *error) {
    pruning *self = user;
    return pruning_apply(self, by->step + 1, self->steps, false, error);
}

rubato_status pruning_before_judge(void *user, trainer *by, rubato_error *error) {
    pruning *self = user;
    (void)by;
    return self->options.rule == PRUNE_L0 ? pruning_apply(self, self->step, self->steps, true, error) : RUBATO_OK;
}

rubato_status pruning_after_judge(void *user, trainer *by, rubato_error *error) {
    pruning *self = user;
    (void)by;
    return self->options.rule == PRUNE_L0 ? pruning_apply(self, self->step, self->steps, false, error) : RUBATO_OK;
}
