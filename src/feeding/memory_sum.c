/* Weighted sums of a memory's values, and the derivative. The values stay where they are: in the bytes of their file,
 * or with the learner. */
#include <string.h>

#include "base/checked.h"
#include "feeding/memory.h"
#include "tensor/tape.h"

typedef struct saved_sum {
    tensor out;
    const table *values;
    memory_choice choice;
    const tensor *first, *second; /* [heads] */
} saved_sum;

typedef struct sum_task {
    const run *on;
    const saved_sum *saved;
} sum_task;

/* Asks for the lines of a row that is read soon: a row stands anywhere in memory, and nothing else foretells it. */
static inline void fetch_row(const unsigned char *row, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at, 0, 2);
}

enum { AHEAD = 4 }; /* rows that are asked for before they are read */

static void sum_rows(void *argument, size_t member, size_t begin, size_t end) {
    const sum_task *task = argument;
    const saved_sum *s = task->saved;
    const table *values = s->values;
    const memory_kernels *kernels = task->on->kernels->memory;
    add_row_function *add = values->type == DTYPE_F32    ? kernels->add_f32
                            : values->type == DTYPE_BF16 ? kernels->add_bf16
                            : values->type == DTYPE_I8   ? kernels->add_int8
                                                         : NULL;
    const size_t each = s->choice.heads * s->choice.selected, bytes = dtype_bits(values->type) / 8 * values->width;
    const size_t last = end * each;
    (void)member;
    for (size_t row = begin; row < end; row++) {
        float *out = tensor_row(s->out, row);
        memset(out, 0, values->width * sizeof *out);
        for (size_t i = row * each; i < (row + 1) * each; i++) {
            const size_t slot = s->choice.slots[i];
            const float weight = s->choice.weights[i];
            if (i + AHEAD < last) fetch_row(values->data + s->choice.slots[i + AHEAD] * bytes, bytes);
            if (add)
                add(out, values->data + slot * bytes, values->scale ? weight * values->scale[slot] : weight,
                    values->width);
            else
                table_add_scaled(values, slot, weight, out);
        }
    }
}

/* The derivatives of the weights, and through the softmax of the scores of half keys. Those that were not selected have
 * none. */
static void score_rows(void *argument, size_t member, size_t begin, size_t end) {
    const sum_task *task = argument;
    const saved_sum *s = task->saved;
    const kernel_table *kernels = task->on->kernels;
    const size_t k = s->choice.selected, width = s->values->width, side = s->choice.side;
    const float *values = (const float *)(const void *)s->values->data;
    float slopes[MOST_SELECTED];
    (void)member;
    for (size_t row = begin; row < end; row++)
        for (size_t head = 0; head < s->choice.heads; head++) {
            const size_t at = (row * s->choice.heads + head) * k;
            const uint32_t *slots = s->choice.slots + at;
            for (size_t i = 0; i < k; i++)
                slopes[i] = kernels->dot_f32(tensor_grad(s->out, row), values + slots[i] * width, width);
            kernels->gradient->softmax_backward(slopes, s->choice.weights + at, 1, k);
            for (size_t i = 0; i < k; i++) {
                tensor_grad(s->first[head], row)[slots[i] / side] += slopes[i];
                tensor_grad(s->second[head], row)[slots[i] % side] += slopes[i];
            }
        }
}

/* ---- The values' gradients: all hits of a slot are added in the order of rows ---- */

typedef struct hit {
    uint32_t slot, place; /* place: of the slot in the choice */
} hit;

/* Sorts by slot, keeping the order of places (radix sort from the lowest digit on). Returns the sorted of the two. */
static hit *sort_hits(hit *from, hit *to, size_t count, size_t slots) {
    enum { DIGIT = 11, VALUES = 1 << DIGIT };
    for (unsigned shift = 0; (slots - 1) >> shift; shift += DIGIT) {
        size_t starts[VALUES + 1] = {0};
        for (size_t i = 0; i < count; i++) starts[(from[i].slot >> shift & (VALUES - 1)) + 1]++;
        for (size_t i = 0; i < VALUES; i++) starts[i + 1] += starts[i];
        for (size_t i = 0; i < count; i++) to[starts[from[i].slot >> shift & (VALUES - 1)]++] = from[i];
        hit *turned = from;
        from = to;
        to = turned;
    }
    return from;
}

typedef struct value_task {
    const run *on;
    const saved_sum *saved;
    const hit *hits;
    const size_t *begins; /* [slots + 1] the first hit of each slot that was hit */
} value_task;

static void add_slots(void *argument, size_t member, size_t begin, size_t end) {
    const value_task *task = argument;
    const saved_sum *s = task->saved;
    const size_t each = s->choice.heads * s->choice.selected, width = s->values->width;
    (void)member;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t i = task->begins[slot]; i < task->begins[slot + 1]; i++) {
            const hit *one = &task->hits[i];
            task->on->kernels->gradient->add_scaled(s->values->learn->rows + one->slot * width,
                                                    tensor_grad(s->out, one->place / each),
                                                    s->choice.weights[one->place], width);
        }
}

static void add_values(const run *on, const saved_sum *s) {
    const size_t count = s->out.rows * s->choice.heads * s->choice.selected;
    hit *all = run_take(on, count, sizeof *all), *room = run_take(on, count, sizeof *room);
    size_t *begins = run_take(on, count + 1, sizeof *begins), slots = 0;
    if (run_failed(on) || count == 0) return;
    for (size_t i = 0; i < count; i++) all[i] = (hit){s->choice.slots[i], (uint32_t)i};
    const hit *sorted = sort_hits(all, room, count, s->values->rows);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || sorted[i].slot != sorted[i - 1].slot) {
            begins[slots++] = i;
            table_touch(s->values->learn, sorted[i].slot);
        }
    begins[slots] = count;
    value_task task = {on, s, sorted, begins};
    run_parallel(on, slots, 1, add_slots, &task);
}

static void sum_backward(const run *on, void *saved) {
    const saved_sum *s = saved;
    sum_task task = {on, s};
    run_parallel(on, s->out.rows, 1, score_rows, &task);
    if (s->values->learn && s->values->learn->rows) add_values(on, s);
}

void memory_sum(const run *on, tensor out, const table *values, const memory_choice *choice, const tensor *first,
                const tensor *second) {
    saved_sum work = {out, values, *choice, first, second};
    sum_task task = {on, &work};
    if (run_failed(on)) return;
    if (on->tape && values->type != DTYPE_F32) { /* a model that learns has its values in f32 */
        run_fail(on, RUBATO_UNSUPPORTED);
        return;
    }
    run_parallel(on, out.rows, 1, sum_rows, &task);
    saved_sum *saved = on->tape ? tape_push(on, sum_backward, sizeof *saved) : NULL;
    if (saved) *saved = work;
}
