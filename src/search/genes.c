/* Making candidates. */
#include "search/genes.h"

#include <math.h>

static float stepped(double keep) {
    double steps = round(keep * GENE_STEPS);
    return (float)((steps < 1 ? 1 : steps > GENE_STEPS ? GENE_STEPS : steps) / GENE_STEPS);
}

point gene_constant(size_t layers, double drop) {
    point made = point_full(layers);
    double keep = 1;
    for (size_t i = 0; i < layers; i++) made.keep[i] = stepped(keep *= 1 - drop);
    return made;
}

point gene_shallow(size_t layers, size_t depth) {
    point made = point_full(layers);
    for (size_t i = 0; i < layers; i++) made.skip[i] = true;
    for (size_t i = 0; i < depth; i++) {
        /* the first and the last layer stay, and the others are spread evenly between them */
        size_t at = depth == 1 ? layers - 1 : (i * (layers - 1) + (depth - 1) / 2) / (depth - 1);
        made.skip[at] = false;
    }
    return made;
}

void gene_tidy(point *self) {
    for (size_t i = 0; i < self->layers; i++) {
        if (!self->skip[i]) continue;
        self->keep[i] = i ? self->keep[i - 1] : 1;
        self->merge[i] = false;
        self->heads[i] = self->neurons[i] = self->memory[i] = self->selected[i] = 1;
    }
}

static double draw(double low, double high, uint64_t *state) {
    double a = round(low * GENE_STEPS), b = round(high * GENE_STEPS);
    return (a + (double)random_below(state, (size_t)(b - a) + 1)) / GENE_STEPS;
}

/* Changes the exit setting: to a near one of the list or, as often, to any of them or none. */
static void change_exit(point *at, const gene_space *space, uint64_t *state) {
    size_t now = space->exit_count;
    for (size_t i = 0; i < space->exit_count; i++)
        if (exit_equal(&at->exit, &space->exits[i])) now = i;
    size_t step = 1 + random_below(state, 2);
    if (now < space->exit_count && random_real(state) < 0.5)
        now = random_real(state) < 0.5 && now >= step ? now - step : now + step;
    else
        now = random_below(state, space->exit_count + 1);
    at->exit = now < space->exit_count ? space->exits[now] : (exit_setting){0};
    for (size_t i = 0; i < at->layers; i++) at->alive[i] = 1;
}

/* Sets all layers to one width, or the heads or neurons of one layer to another. */
static void change_width(point *at, const gene_space *space, uint64_t *state) {
    float part = space->widths[random_below(state, space->width_count)];
    double draw = random_real(state);
    size_t one = random_below(state, at->layers);
    for (size_t i = 0; i < at->layers; i++) {
        if (draw >= 0.3 && i != one) continue;
        if (draw < 0.8) at->heads[i] = part;
        if (draw < 0.5 || draw >= 0.8) at->neurons[i] = part;
    }
}

/* Gives one memory another part of its heads, none included, or of the slots that they read. */
static void change_memory(point *at, const gene_space *space, uint64_t *state) {
    static const float parts[] = {0, 0.25f, 0.5f, 0.75f, 1};
    size_t drawn = random_below(state, (size_t)__builtin_popcountll(space->memories));
    const bool slots = random_real(state) < 0.3;
    for (size_t i = 0; i < at->layers && i < 64; i++) {
        if (!(space->memories >> i & 1) || drawn-- > 0) continue;
        (slots ? at->selected : at->memory)[i] = parts[slots ? 1 + random_below(state, 4) : random_below(state, 5)];
        return;
    }
}

static point mutate(const point *from, const gene_space *space, uint64_t *state) {
    point made = *from;
    if (space->width_count && random_real(state) < 0.4) {
        change_width(&made, space, state);
        if (random_real(state) < 0.5) return made;
    }
    if (space->memories && random_real(state) < 0.4) {
        change_memory(&made, space, state);
        if (random_real(state) < 0.5) return made;
    }
    if (space->exit_count && random_real(state) < 0.4) {
        change_exit(&made, space, state);
        if (random_real(state) < 0.5 && !made.exit.by_token) return made;
    }
    bool lengths = space->lengths && !made.exit.by_token; /* exits of single tokens do not combine with lengths */
    for (size_t i = 0; i < made.layers && made.exit.by_token; i++) {
        made.keep[i] = 1;
        made.merge[i] = false;
    }
    if (space->merges && !made.exit.by_token && made.layers > 1 && random_real(state) < 0.5) {
        size_t at = 1 + random_below(state, made.layers - 1);
        made.merge[at] = !made.merge[at];
    }
    bool others = space->depth || space->merges || space->width_count || space->exit_count || space->memories;
    if (others && random_real(state) < 0.4) lengths = false;
    size_t only = random_real(state) < 0.5 ? random_below(state, made.layers) : made.layers;
    for (size_t i = 0; i < made.layers && lengths; i++) {
        double left = i > 0 ? (double)made.keep[i - 1] : 1;
        double right = i + 1 < made.layers ? (double)from->keep[i + 1] : 1.0 / GENE_STEPS;
        bool anew = only < made.layers ? i == only : random_real(state) < 0.5;
        if (anew) made.keep[i] = stepped(draw(right < left ? right : left, left, state));
    }
    if (space->depth && random_real(state) < 0.4) {
        size_t at = random_below(state, made.layers);
        if (made.skip[at] || point_depth(&made) > 1) made.skip[at] = !made.skip[at];
    }
    if (space->precision && random_real(state) < 0.2) made.low = !made.low;
    return made;
}

point gene_mutate(const point *from, const gene_space *space, uint64_t *state) {
    point made = mutate(from, space, state);
    gene_tidy(&made);
    return made;
}

point gene_cross(const point *a, const point *b, uint64_t *state) {
    point made = *a;
    const point *leaving = exit_equal(&a->exit, &b->exit) || random_real(state) < 0.5 ? a : b;
    made.exit = leaving->exit;
    for (size_t i = 0; i < made.layers; i++) {
        made.alive[i] = leaving->alive[i];
        made.present[i] = leaving->present[i];
    }
    for (size_t i = 0; i < made.layers; i++) {
        made.keep[i] = leaving->exit.by_token ? 1 : stepped(((double)a->keep[i] + (double)b->keep[i]) / 2);
        const point *parent = random_real(state) < 0.5 ? a : b;
        made.skip[i] = parent->skip[i];
        made.merge[i] = parent->merge[i] && !leaving->exit.by_token;
        made.heads[i] = parent->heads[i];
        made.neurons[i] = parent->neurons[i];
        made.memory[i] = parent->memory[i];
        made.selected[i] = parent->selected[i];
    }
    if (a->low != b->low) made.low = random_real(state) < 0.5;
    if (point_depth(&made) == 0)
        for (size_t i = 0; i < made.layers; i++) made.skip[i] = a->skip[i];
    gene_tidy(&made);
    return made;
}

point gene_without_exit(const point *from) {
    point made = *from;
    made.exit = (exit_setting){0};
    for (size_t i = 0; i < made.layers; i++) made.alive[i] = made.present[i] = 1;
    return made;
}

bool gene_equal(const point *a, const point *b) {
    return exit_equal(&a->exit, &b->exit) && gene_same_body(a, b);
}

/* Widths are stored with six digits. */
static bool near(float a, float b) {
    return fabsf(a - b) < 1e-5f;
}

bool gene_same_body(const point *a, const point *b) {
    if (a->low != b->low) return false;
    for (size_t i = 0; i < a->layers; i++) {
        if (a->skip[i] != b->skip[i]) return false;
        if (a->skip[i]) continue;
        if (a->merge[i] != b->merge[i] || !near(a->keep[i], b->keep[i])) return false;
        if (!near(a->heads[i], b->heads[i]) || !near(a->neurons[i], b->neurons[i])) return false;
        if (!near(a->memory[i], b->memory[i]) || !near(a->selected[i], b->selected[i])) return false;
    }
    return true;
}
