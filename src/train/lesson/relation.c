/* Relations of a sequence's rows in one layer against those in one of the teacher's. Of queries and keys these are the
 * scores of attention, compared by squares in TinyBERT (Jiao et al. 2020) and by the divergence of their softmax in
 * MiniLM (Wang et al. 2020), which has the relations of values too; MiniLMv2 (Wang et al. 2021) compares queries, keys
 * and values each with themselves, over any number of heads.
 *
 * A unit of work is one head of one sequence. With S = scale A B^T of the model and G the gradient of S:
 *   A' += scale G B      B' += scale G^T A */
#include <math.h>
#include <string.h>

#include "attention/block.h"
#include "base/checked.h"
#include "train/trainer.h"

typedef struct relating {
    const run *on;
    const relation_setting *setting;
    const batch *packed;
    size_t heads;
    tensor own[2], full[2]; /* first and second */
    double scale;           /* of the gradients of a sequence's mean */
    size_t square, packing, scratch_size;
    float *scratch;
    double *sums; /* [sequences * heads] */
} relating;

static size_t largest(const float *x, size_t count) {
    size_t at = 0;
    for (size_t i = 1; i < count; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

/* KL(softmax(full) || softmax(own)), with the logarithms of the sums of exponentials from the largest values. own
 * becomes the gradient of its values; full is overwritten. */
static double row_divergence(const run *on, float *own, float *full, size_t count, float *room) {
    const size_t top = largest(own, count), top_full = largest(full, count);
    const double value = (double)own[top], value_full = (double)full[top_full];
    double sum = 0;
    memcpy(room, full, count * sizeof *room);
    on->kernels->softmax_f32(full, count);
    for (size_t j = 0; j < count; j++) sum += (double)full[j] * ((double)room[j] - (double)own[j]);
    on->kernels->softmax_f32(own, count);
    sum += value - log((double)own[top]) - value_full + log((double)full[top_full]);
    for (size_t j = 0; j < count; j++) own[j] -= full[j];
    return sum;
}

static double row_squares(float *own, const float *full, size_t count) {
    double sum = 0;
    for (size_t j = 0; j < count; j++) {
        const double off = (double)own[j] - (double)full[j];
        sum += off * off;
        own[j] = (float)(2 * off);
    }
    return sum;
}

static void relate(const relating *w, const tensor of[2], size_t start, size_t count, size_t part, float *out,
                   size_t stride, const block_room *room) {
    const size_t size = of[0].columns / w->heads, column = part * size;
    block_outer(w->on, out, stride, tensor_row(of[0], start) + column, of[0].stride, count,
                tensor_row(of[1], start) + column, of[1].stride, count, size, 1 / sqrtf((float)size), room);
}

static double one_unit(const relating *w, size_t sequence, size_t part, float *scratch) {
    const run *on = w->on;
    const size_t start = w->packed->start[sequence], n = batch_length(w->packed, sequence);
    const size_t stride = round_up(n, PANEL) + 16, size = w->own[0].columns / w->heads, column = part * size;
    float *own = scratch, *full = own + w->square, *turned = full + w->square, *packed = turned + w->square;
    const block_room room = {.packed = packed};
    double sum = 0;
    if (n == 0) return 0;
    relate(w, w->own, start, n, part, own, stride, &room);
    relate(w, w->full, start, n, part, full, stride, &room);
    const double parts = (double)(w->setting->squares ? n * n * w->heads : n * w->heads);
    const float slope = (float)(w->scale / (parts * sqrt((double)size)));
    for (size_t i = 0; i < n; i++) {
        float *row = own + i * stride;
        sum += w->setting->squares ? row_squares(row, full + i * stride, n)
                                   : row_divergence(on, row, full + i * stride, n, turned);
        for (size_t j = 0; j < n; j++) row[j] *= slope;
    }
    const tensor *a = &w->own[0], *b = &w->own[1];
    block_accumulate(on, tensor_grad(*a, start) + column, a->stride, own, stride, tensor_row(*b, start) + column,
                     b->stride, n, size, n, &room);
    on->kernels->gradient->transpose(turned, stride, own, stride, n, n);
    block_accumulate(on, tensor_grad(*b, start) + column, b->stride, turned, stride, tensor_row(*a, start) + column,
                     a->stride, n, size, n, &room);
    return sum / parts;
}

static void some_units(void *argument, size_t member, size_t first, size_t last) {
    const relating *w = argument;
    for (size_t unit = first; unit < last; unit++)
        w->sums[unit] = one_unit(w, unit / w->heads, unit % w->heads, w->scratch + member * w->scratch_size);
}

static bool find_pair(const observed *in, const relation_setting *setting, size_t number, tensor out[2]) {
    const observation *first = observed_at(in, setting->first, number),
                      *second = observed_at(in, setting->second, number);
    if (!first || !second) return false;
    out[0] = first->rows;
    out[1] = second->rows;
    return true;
}

static double relation_loss(const lesson *self, passing *now) {
    const relation_setting *setting = self->setting;
    const run *on = now->on;
    const portion *part = now->part;
    const observation *of = observed_at(&now->seen, setting->first, setting->own);
    if (run_failed(on) || !of) return 0;
    /* the mean of sequences counts in proportion to the portion's share of the step's items */
    const double each = self->weight * (double)part->items / (double)size_max(part->packed.sequences, 1);
    relating w = {.on = on,
                  .setting = setting,
                  .packed = &part->packed,
                  .heads = setting->heads ? setting->heads : of->heads,
                  .scale = each * now->scale};
    if (!find_pair(&now->seen, setting, setting->own, w.own) ||
        !find_pair(now->taught, setting, setting->of_teacher, w.full))
        return 0;
    const size_t n = batch_longest(w.packed), size = size_max(w.own[0].columns, w.full[0].columns) / w.heads;
    const size_t units = w.packed->sequences * w.heads;
    w.square = round_up(n * (round_up(n, PANEL) + 16), 16);
    w.packing = round_up(size_max(packed_size(n, size), packed_size(size, n)), 16);
    w.scratch_size = 3 * w.square + w.packing;
    w.scratch = run_take(on, team_size(on->crew) * w.scratch_size, sizeof *w.scratch);
    w.sums = run_take(on, units, sizeof *w.sums);
    if (run_failed(on)) return 0;
    run_parallel(on, units, 1, some_units, &w);
    double sum = 0;
    for (size_t i = 0; i < units; i++) sum += w.sums[i];
    return each * sum;
}

const lesson_kind lesson_relation = {.name = "relation",
                                     .observes = WATCH_QUERIES | WATCH_KEYS | WATCH_VALUES,
                                     .compares = WATCH_QUERIES | WATCH_KEYS | WATCH_VALUES,
                                     .loss = relation_loss};
