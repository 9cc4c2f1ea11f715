/* With n rows and d columns, out = Re(F_n x F_d) for F_m[j, k] = exp(-2 pi i j k / m), so
 *
 *   out = C_n (x C_d) - S_n (x S_d),   C_m[j, k] = cos(2 pi j k / m), S_m[j, k] = sin(2 pi j k / m).
 *
 * Column d - k of x C_d is column k, and that of x S_d is column k with the other sign. One product therefore gives
 * a = the columns 0 to d/2 of x C_d and b = the columns between 0 and d/2 of x S_d, which together are d. Rows of C_n
 * and S_n repeat in the same way: with p = C_n a and q = S_n b,
 *
 *   out[j, k] = out[n - j, d - k] = p - q,   out[j, d - k] = out[n - j, k] = p + q,
 *
 * so that half of the rows of p and q are enough: 2 d + n operations for each number of a row. The transform is
 * symmetric, and is its own derivative. */
#include "attention/fourier_attention.h"

#include <math.h>
#include <string.h>

#include "attention/block.h"
#include "base/checked.h"
#include "tensor/watch.h"

enum { ROWS = 64 }; /* of p and q that are made together */

static const double TURN = 6.283185307179586476925286766559;

typedef struct fourier_shared {
    size_t width, cosines; /* d; the columns of a; b has the rest of the columns */
    float *columns;        /* the product's second operand: [d, d], packed */
} fourier_shared;

typedef struct fourier_weights {
    const fourier_shared *shared;
} fourier_weights;

/* ---- Loading ---- */

static rubato_status make_shared(void **out, const part_source *from) {
    const size_t width = from->hidden, cosines = width / 2 + 1;
    arena *memory = from->load->with.memory;
    fourier_shared *self = arena_take(memory, sizeof *self);
    float *made = arena_take_array(memory, packed_size(width, width), sizeof *made);
    *out = self;
    if (!self || !made) return fail_memory(from->load->error);
    *self = (fourier_shared){width, cosines, made};
    memset(made, 0, packed_size(width, width) * sizeof *made);
    for (size_t k = 0; k < width; k++) {
        float *column = made + k / PANEL * PANEL * width + k % PANEL;
        const size_t wave = k < cosines ? k : k - cosines + 1;
        for (size_t j = 0; j < width; j++) {
            const double angle = TURN * (double)(j * wave % width) / (double)width;
            column[j * PANEL] = (float)(k < cosines ? cos(angle) : sin(angle));
        }
    }
    return RUBATO_OK;
}

static rubato_status load(void **out, const part_source *from) {
    fourier_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (fourier_weights){from->shared};
    *out = self;
    return RUBATO_OK;
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    (void)weights;
    (void)visitor;
    (void)user;
}

/* ---- Running ---- */

/* out += the transform of x, in rows of floats with strides. */
typedef struct mixing {
    const run *on;
    const fourier_shared *shared;
    batch sequences;
    const float *x;
    float *out;
    size_t x_stride, out_stride;
    tensor half;    /* [rows, d]: a and b side by side */
    size_t *blocks; /* [sequences + 1] blocks of rows before each sequence */
    float *scratch;
    size_t scratch_size; /* of each thread */
} mixing;

static void transform_columns(void *argument, size_t member, size_t first, size_t last) {
    const mixing *m = argument;
    (void)member;
    m->on->kernels->product_f32(&(product_f32){.a = m->x + first * m->x_stride,
                                               .a_stride = m->x_stride,
                                               .b = m->shared->columns,
                                               .c = tensor_row(m->half, first),
                                               .c_stride = m->half.stride,
                                               .rows = last - first,
                                               .columns = m->shared->width,
                                               .depth = m->shared->width});
}

/* The parts of a thread's scratch. */
typedef struct fourier_room {
    float *waves; /* [longest]: cosines, or sines, of all places of a text */
    float *table; /* [ROWS, longest] */
    float *p, *q; /* [ROWS, d] */
    block_room block;
} fourier_room;

static size_t lay_out(fourier_room *room, float *from, size_t longest, size_t width) {
    const size_t block = round_up(ROWS * longest, 16), sums = round_up(ROWS * width, 16), waves = round_up(longest, 16);
    *room = (fourier_room){from, from + waves, from + waves + block, from + waves + block + sums, {0}};
    room->block.packed = from + waves + block + 2 * sums;
    return waves + block + 2 * sums + round_up(packed_size(width, longest), 16);
}

/* out [ROWS, columns] = rows [first, end) of C_n (or S_n) times the columns at `from` of the sequence's rows. */
static void transform_rows(const mixing *m, const fourier_room *room, bool sines, size_t start, size_t length,
                           size_t first, size_t end, size_t column, size_t columns, float *out) {
    for (size_t i = 0; i < length; i++) {
        const double angle = TURN * (double)i / (double)length;
        room->waves[i] = (float)(sines ? sin(angle) : cos(angle));
    }
    for (size_t j = first; j < end; j++)
        for (size_t i = 0, at = 0; i < length; i++) {
            room->table[(j - first) * length + i] = room->waves[at];
            at += j;
            if (at >= length) at -= length;
        }
    memset(out, 0, (end - first) * m->shared->width * sizeof *out);
    block_accumulate(m->on, out, m->shared->width, room->table, length, tensor_row(m->half, start) + column,
                     m->half.stride, end - first, columns, length, &room->block);
}

/* Adds a row of p - q, and p + q in the mirrored columns; or the other way round. */
static void add_row(const mixing *m, float *out, const float *p, const float *q, float sign) {
    const size_t width = m->shared->width, cosines = m->shared->cosines;
    for (size_t k = 0; k < cosines; k++) {
        const bool wave = k > 0 && k - 1 < width - cosines;
        const float along = wave ? sign * q[k - 1] : 0;
        out[k] += p[k] - along;
        if (wave) out[width - k] += p[k] + along;
    }
}

static void mix_some(void *argument, size_t member, size_t first, size_t last) {
    const mixing *m = argument;
    const size_t width = m->shared->width, cosines = m->shared->cosines;
    for (size_t unit = first, s = 0; unit < last; unit++) {
        while (m->blocks[s + 1] <= unit) s++;
        const size_t start = m->sequences.start[s], length = batch_length(&m->sequences, s);
        const size_t top = (unit - m->blocks[s]) * ROWS, end = size_min(top + ROWS, length / 2 + 1);
        fourier_room room;
        lay_out(&room, m->scratch + member * m->scratch_size, length, width);
        transform_rows(m, &room, false, start, length, top, end, 0, cosines, room.p);
        transform_rows(m, &room, true, start, length, top, end, cosines, width - cosines, room.q);
        for (size_t j = top; j < end; j++) {
            const float *p = room.p + (j - top) * width, *q = room.q + (j - top) * width;
            add_row(m, m->out + (start + j) * m->out_stride, p, q, 1);
            if (j > 0 && j < length - j) add_row(m, m->out + (start + length - j) * m->out_stride, p, q, -1);
        }
    }
}

static void transform(const run *on, const fourier_shared *shared, const batch *sequences, const float *x,
                      size_t x_stride, float *out, size_t out_stride) {
    const run plain = {.kernels = on->kernels, .memory = on->memory, .status = on->status}; /* nothing is recorded */
    fourier_room room;
    size_t longest = 0;
    const arena_mark mark = arena_save(on->memory);
    mixing m = {.on = on,
                .shared = shared,
                .sequences = *sequences,
                .x = x,
                .out = out,
                .x_stride = x_stride,
                .out_stride = out_stride,
                .half = run_tensor(&plain, sequences->rows, shared->width)};
    m.blocks = run_take(on, sequences->sequences + 1, sizeof *m.blocks);
    for (size_t i = 0; m.blocks && i <= sequences->sequences; i++) {
        m.blocks[i] = 0;
        if (i == 0) continue;
        const size_t length = batch_length(sequences, i - 1);
        m.blocks[i] = m.blocks[i - 1] + (length ? divide_up(length / 2 + 1, ROWS) : 0);
        longest = size_max(longest, length);
    }
    m.scratch_size = lay_out(&room, NULL, longest, shared->width);
    m.scratch = run_take(on, team_size(on->crew) * m.scratch_size, sizeof *m.scratch);
    if (run_failed(on)) return;
    run_parallel(on, sequences->rows, ROWS, transform_columns, &m);
    run_parallel(on, m.blocks[sequences->sequences], 1, mix_some, &m);
    arena_rewind(on->memory, mark);
}

typedef struct saved_mixing {
    const fourier_shared *shared;
    batch sequences;
    tensor out, x, residual;
} saved_mixing;

static void mix_backward(const run *on, void *saved) {
    const saved_mixing *s = saved;
    for (size_t row = 0; row < s->out.rows; row++)
        on->kernels->gradient->add(tensor_grad(s->residual, row), tensor_grad(s->out, row), s->out.columns);
    transform(on, s->shared, &s->sequences, s->out.grad, s->out.stride, s->x.grad, s->x.stride);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const fourier_weights *self = weights;
    const double begin = run_begin(on);
    if (run_failed(on)) return;
    for (size_t row = 0; row < out.rows; row++)
        memcpy(tensor_row(out, row), tensor_row(in->residual, row), out.columns * sizeof *out.data);
    transform(on, self->shared, &in->sequences, in->x.data, in->x.stride, out.data, out.stride);
    run_end(on, PART_HEADS, begin);
    run_show(on, &(sight){.what = WATCH_ATTENTION,
                          .layer = in->layer + 1,
                          .rows = out,
                          .packed = &in->queries,
                          .alive = in->query_origin,
                          .heads = in->heads});
    saved_mixing *saved = on->tape ? tape_push(on, mix_backward, sizeof *saved) : NULL;
    if (saved) *saved = (saved_mixing){self->shared, in->sequences, out, in->x, in->residual};
}

/* ---- Costs ---- */

static double products(double rows, double length, double width) {
    return rows * width * (2 * width + length);
}

static operations count(const void *setting, const part_extent *of) {
    (void)setting;
    const double rows = (double)of->rows.entering;
    return (operations){.queries = products(rows, rows, (double)of->hidden)};
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const fourier_weights *self = weights;
    const double width = (double)self->shared->width, rows = (double)(sequences * length);
    (void)kernels;
    return (attending_demand){.flops = products(rows, (double)length, width),
                              .activation_bytes = 12 * rows * width,
                              .products = PRECISION_F32,
                              .rate = 1};
}

const attending attending_fourier = {.part = {.name = "fourier", .told = true},
                                     .make_shared = make_shared,
                                     .load = load,
                                     .forward = forward,
                                     .visit = visit,
                                     .count = count,
                                     .demand = demand};
