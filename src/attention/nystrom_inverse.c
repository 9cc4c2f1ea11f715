#include "attention/nystrom_inverse.h"

#include <string.h>

#include "attention/block.h"
#include "base/checked.h"

enum { STEPS = 6 };

/* All sequences and heads. */
typedef struct inverse_pass inverse_pass;
typedef struct matrices matrices;
typedef struct one_inverse one_inverse;

/* The work for one head of one sequence. */
typedef void unit_work(const inverse_pass *p, const one_inverse *u, const matrices *at);

struct inverse_pass {
    const run *on;
    unit_work *work; /* of the step that runs */
    nystrom_inverse in;
    tensor out;
    size_t longest; /* landmarks of a sequence */
    float *scores;  /* [sequences * heads][longest^2]: A */
    float *largest; /* [sequences * heads]: the largest sum of a column of A */
    float *slope;   /* backward, [sequences * heads]: its derivative from that head */
    float *grads;   /* backward, as `scores`: dA */
    float *scratch;
    size_t scratch_size;
};

/* A thread's matrices, each [m, m] in room for the longest. */
struct matrices {
    float *z[STEPS + 1]; /* Z before each step, and behind the last */
    float *p, *a, *b, *c, *d, *e, *f, *turned;
    block_room room;
};

/* Lays them out from `base` on; their size in floats, also when base is NULL. */
static size_t lay_out(const inverse_pass *p, float *base, matrices *out) {
    const size_t m = p->longest, square = round_up(m * m, 16), across = round_up(m, 16) + 16;
    size_t at = 0;
    float **const all[] = {&out->p, &out->a, &out->b, &out->c, &out->d, &out->e, &out->f};
    for (size_t i = 0; i <= STEPS; i++, at += square) out->z[i] = base ? base + at : NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++, at += square) *all[i] = base ? base + at : NULL;
    out->turned = base ? base + at : NULL;
    at += round_up(size_max(m, p->in.head_size) * across, 16);
    out->room = (block_room){.packed = base ? base + at : NULL};
    const size_t side = size_max(m, p->in.head_size);
    return at + round_up(packed_size(side, side), 16);
}

/* One head of one sequence. */
struct one_inverse {
    size_t sequence, row, column, m, unit;
};

static one_inverse find_unit(const inverse_pass *p, size_t unit) {
    const size_t sequence = unit / p->in.heads;
    return (one_inverse){.sequence = sequence,
                         .row = p->in.landmarks.start[sequence],
                         .column = unit % p->in.heads * p->in.head_size,
                         .m = batch_length(&p->in.landmarks, sequence),
                         .unit = unit};
}

static void some_units(void *argument, size_t member, size_t first, size_t last) {
    const inverse_pass *p = argument;
    matrices at;
    lay_out(p, p->scratch + member * p->scratch_size, &at);
    for (size_t unit = first; unit < last; unit++) {
        const one_inverse u = find_unit(p, unit);
        p->work(p, &u, &at);
    }
}

static void run_units(inverse_pass *p, unit_work *work) {
    p->work = work;
    run_parallel(p->on, p->in.landmarks.sequences * p->in.heads, 1, some_units, p);
}

static float *scores_of(const inverse_pass *p, const one_inverse *u) {
    return p->scores + u->unit * p->longest * p->longest;
}

/* out = a b, all [m, m]. */
static void multiply(const inverse_pass *p, float *out, const float *a, const float *b, size_t m, const matrices *at) {
    memset(out, 0, m * m * sizeof *out);
    block_accumulate(p->on, out, m, a, m, b, m, m, m, m, &at->room);
}

/* out [m, m] += factor a^T b. */
static void multiply_turned(const inverse_pass *p, float *out, const float *a, const float *b, float factor, size_t m,
                            const matrices *at) {
    const size_t across = round_up(m, 16) + 16;
    p->on->kernels->gradient->transpose(at->turned, across, a, m, m, m);
    for (size_t i = 0; i < m * across && factor != 1; i++) at->turned[i] *= factor;
    block_accumulate(p->on, out, m, at->turned, across, b, m, m, m, m, &at->room);
}

/* out = diagonal I - out. */
static void from_diagonal(float *out, float diagonal, size_t m) {
    for (size_t i = 0; i < m * m; i++) out[i] = -out[i];
    for (size_t i = 0; i < m; i++) out[i * m + i] += diagonal;
}

/* ---- Forward ---- */

/* The column of A with the largest sum, and that sum. */
static size_t largest_column(const float *a, size_t m, float *sum) {
    size_t best = 0;
    *sum = 0;
    for (size_t j = 0; j < m; j++) {
        float own = 0;
        for (size_t i = 0; i < m; i++) own += a[i * m + j];
        if (own > *sum) {
            *sum = own;
            best = j;
        }
    }
    return best;
}

static void find_scores(const inverse_pass *p, const one_inverse *u, const matrices *at) {
    float *a = scores_of(p, u);
    p->largest[u->unit] = 0;
    if (p->in.whole[u->sequence] || u->m == 0) return;
    block_outer(p->on, a, u->m, tensor_row(p->in.query, u->row) + u->column, p->in.query.stride, u->m,
                tensor_row(p->in.key, u->row) + u->column, p->in.key.stride, u->m, p->in.head_size, p->in.scale,
                &at->room);
    for (size_t i = 0; i < u->m; i++) p->on->kernels->softmax_f32(a + i * u->m, u->m);
    largest_column(a, u->m, &p->largest[u->unit]);
}

/* The head of a sequence whose columns have the largest sum. */
static size_t largest_head(const inverse_pass *p, size_t sequence) {
    size_t best = sequence * p->in.heads;
    for (size_t unit = best; unit < (sequence + 1) * p->in.heads; unit++)
        if (p->largest[unit] > p->largest[best]) best = unit;
    return best;
}

/* One step: next = z x3 / 4 with p = A z, x1 = 7 I - p, x2 = 15 I - p x1, x3 = 13 I - p x2. */
static void step(const inverse_pass *p, const float *a, const float *z, float *next, float *x1, float *x2, float *x3,
                 size_t m, const matrices *at) {
    multiply(p, at->p, a, z, m, at);
    memcpy(x1, at->p, m * m * sizeof *x1);
    from_diagonal(x1, 7, m);
    multiply(p, x2, at->p, x1, m, at);
    from_diagonal(x2, 15, m);
    multiply(p, x3, at->p, x2, m, at);
    from_diagonal(x3, 13, m);
    if (!next) return;
    multiply(p, next, z, x3, m, at);
    for (size_t i = 0; i < m * m; i++) next[i] *= 0.25f;
}

static void find_inverse(const inverse_pass *p, const one_inverse *u, const matrices *at) {
    const float *a = scores_of(p, u), inverse = 1 / p->largest[largest_head(p, u->sequence)];
    const size_t m = u->m;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) at->z[0][i * m + j] = inverse * a[j * m + i];
    for (size_t i = 0; i < STEPS; i++) step(p, a, at->z[i], at->z[i + 1], at->a, at->b, at->c, m, at);
}

static void apply_inverse(const inverse_pass *p, const one_inverse *u, const matrices *at) {
    const size_t size = p->in.head_size;
    float *out = tensor_row(p->out, u->row) + u->column;
    if (p->in.whole[u->sequence]) {
        const size_t first = p->in.sequences.start[u->sequence];
        for (size_t i = 0; i < u->m; i++)
            memcpy(out + i * p->out.stride, tensor_row(p->in.values, first + i) + u->column, size * sizeof *out);
        return;
    }
    if (u->m == 0) return;
    find_inverse(p, u, at);
    for (size_t i = 0; i < u->m; i++) memset(out + i * p->out.stride, 0, size * sizeof *out);
    block_accumulate(p->on, out, p->out.stride, at->z[STEPS], u->m, tensor_row(p->in.rows, u->row) + u->column,
                     p->in.rows.stride, u->m, size, u->m, &at->room);
}

/* ---- The derivative ---- */

/* dA from the steps, and the derivative by the divisor of the first Z. */
static void inverse_backward(const inverse_pass *p, const one_inverse *u, const matrices *at) {
    const size_t m = u->m, size = p->in.head_size;
    const float *a = scores_of(p, u), *grad = tensor_grad(p->out, u->row) + u->column;
    const float *b = tensor_row(p->in.rows, u->row) + u->column;
    const gradient_kernels *g = p->on->kernels->gradient;
    const size_t across = round_up(m, 16) + 16;
    float *da = p->grads + u->unit * p->longest * p->longest;
    memset(da, 0, m * m * sizeof *da);
    find_inverse(p, u, at);
    g->transpose(at->turned, across, at->z[STEPS], m, m, m);
    block_accumulate(p->on, tensor_grad(p->in.rows, u->row) + u->column, p->in.rows.stride, at->turned, across, grad,
                     p->out.stride, m, size, m, &at->room);
    float *dz = at->e, *before = at->f;
    block_outer(p->on, dz, m, grad, p->out.stride, m, b, p->in.rows.stride, m, size, 1, &at->room);
    for (size_t i = STEPS; i-- > 0;) {
        const float *z = at->z[i];
        float *x1 = at->a, *x2 = at->b, *x3 = at->c, *dx = at->d;
        step(p, a, z, NULL, x1, x2, x3, m, at);
        /* z x3 / 4 */
        block_outer(p->on, before, m, dz, m, m, x3, m, m, m, 0.25f, &at->room);
        memset(dx, 0, m * m * sizeof *dx);
        multiply_turned(p, dx, z, dz, 0.25f, m, at);
        /* 13 I - p x2; x3 is not needed any more, and so on */
        float *dp = x3;
        block_outer(p->on, dp, m, dx, m, m, x2, m, m, m, -1, &at->room);
        memset(x2, 0, m * m * sizeof *x2);
        multiply_turned(p, x2, at->p, dx, -1, m, at);
        /* 15 I - p x1 */
        block_outer(p->on, dx, m, x2, m, m, x1, m, m, m, -1, &at->room);
        g->add(dp, dx, m * m);
        memset(x1, 0, m * m * sizeof *x1);
        multiply_turned(p, x1, at->p, x2, -1, m, at);
        /* 7 I - p */
        g->add_scaled(dp, x1, -1, m * m);
        /* p = A z */
        block_outer(p->on, dx, m, dp, m, m, z, m, m, m, 1, &at->room);
        g->add(da, dx, m * m);
        multiply_turned(p, before, a, dp, 1, m, at);
        float *const now = dz;
        dz = before;
        before = now;
    }
    /* Z = A^T / s */
    const float inverse = 1 / p->largest[largest_head(p, u->sequence)];
    float slope = 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) {
            da[j * m + i] += inverse * dz[i * m + j];
            slope -= dz[i * m + j] * a[j * m + i] * inverse * inverse;
        }
    p->slope[u->unit] = slope;
}

/* The same of any sequence; one with dense attention hands its gradient to its values. */
static void unit_backward(const inverse_pass *p, const one_inverse *u, const matrices *at) {
    p->slope[u->unit] = 0;
    if (p->in.whole[u->sequence]) {
        const size_t first = p->in.sequences.start[u->sequence];
        for (size_t i = 0; i < u->m; i++)
            p->on->kernels->gradient->add(tensor_grad(p->in.values, first + i) + u->column,
                                          tensor_grad(p->out, u->row + i) + u->column, p->in.head_size);
    } else if (u->m) {
        inverse_backward(p, u, at);
    }
}

/* From dA through the softmax to q and k. */
static void scores_backward(const inverse_pass *p, const one_inverse *u, const matrices *at) {
    const size_t m = u->m, size = p->in.head_size, across = round_up(m, 16) + 16;
    float *a = scores_of(p, u), *da = p->grads + u->unit * p->longest * p->longest, sum;
    if (p->in.whole[u->sequence] || m == 0) return;
    if (largest_head(p, u->sequence) == u->unit) {
        float slope = 0;
        for (size_t i = 0; i < p->in.heads; i++) slope += p->slope[u->sequence * p->in.heads + i];
        const size_t column = largest_column(a, m, &sum);
        for (size_t i = 0; i < m; i++) da[i * m + column] += slope;
    }
    for (size_t i = 0; i < m; i++) {
        const float along = p->on->kernels->dot_f32(a + i * m, da + i * m, m);
        for (size_t j = 0; j < m; j++) da[i * m + j] = p->in.scale * a[i * m + j] * (da[i * m + j] - along);
    }
    block_accumulate(p->on, tensor_grad(p->in.query, u->row) + u->column, p->in.query.stride, da, m,
                     tensor_row(p->in.key, u->row) + u->column, p->in.key.stride, m, size, m, &at->room);
    p->on->kernels->gradient->transpose(at->turned, across, da, m, m, m);
    block_accumulate(p->on, tensor_grad(p->in.key, u->row) + u->column, p->in.key.stride, at->turned, across,
                     tensor_row(p->in.query, u->row) + u->column, p->in.query.stride, m, size, m, &at->room);
}

static void backward(const run *on, void *saved) {
    inverse_pass p = *(const inverse_pass *)saved;
    matrices none;
    const size_t units = p.in.landmarks.sequences * p.in.heads;
    p.on = on;
    p.scratch_size = lay_out(&p, NULL, &none);
    p.scratch = run_take(on, team_size(on->crew) * p.scratch_size, sizeof *p.scratch);
    p.grads = run_take(on, units * p.longest * p.longest, sizeof *p.grads);
    p.slope = run_take(on, units, sizeof *p.slope);
    if (run_failed(on)) return;
    run_units(&p, unit_backward);
    run_units(&p, scores_backward);
}

void nystrom_inverse_run(const run *on, tensor out, const nystrom_inverse *inputs) {
    inverse_pass p = {.on = on, .in = *inputs, .out = out, .longest = batch_longest(&inputs->landmarks)};
    matrices none;
    const size_t units = inputs->landmarks.sequences * inputs->heads;
    p.scores = run_take(on, units * p.longest * p.longest + 1, sizeof *p.scores);
    p.largest = run_take(on, units + 1, sizeof *p.largest);
    const arena_mark mark = arena_save(on->memory);
    p.scratch_size = lay_out(&p, NULL, &none);
    p.scratch = run_take(on, team_size(on->crew) * p.scratch_size, sizeof *p.scratch);
    if (run_failed(on)) return;
    run_units(&p, find_scores);
    run_units(&p, apply_inverse);
    arena_rewind(on->memory, mark);
    inverse_pass *saved = on->tape ? tape_push(on, backward, sizeof *saved) : NULL;
    if (saved) *saved = p;
}
