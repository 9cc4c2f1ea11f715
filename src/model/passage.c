/* Rows between the layers of a forward pass. */
#include "model/passage.h"

#include <string.h>

#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/tape.h"

/* ---- Before a layer ---- */

void passage_begin(passage *self) {
    size_t count = self->input->rows;
    self->restored = run_tensor(self->on, count, config_width(&self->self->config));
    self->holder = run_take(self->on, count, sizeof *self->holder);
    for (size_t i = 0; self->holder && i < count; i++) self->holder[i] = i;
}

static layer_rows rows_of(const passage *self, size_t sequence) {
    return point_rows(self->thin ? self->thin->point : NULL, &self->self->shape, self->layer,
                      batch_length(self->input, sequence), batch_length(&self->now.packed, sequence));
}

static void plan_merging(passage *self) {
    const batch *now = &self->now.packed, *next = &self->next.packed;
    self->query_origin = self->next.origin;
    self->queries = *next;
    for (size_t i = 0; i < now->sequences; i++) {
        size_t length = batch_length(now, i), first;
        for (size_t j = 0; j < batch_length(next, i); j++) {
            merged_from(&self->self->shape.merging, length, j, &first);
            size_t row = now->start[i] + (length == batch_length(next, i) ? j : first);
            self->next.origin[next->start[i] + j] = self->now.origin ? self->now.origin[row] : row;
        }
    }
}

void passage_plan(passage *self) {
    size_t sequences = self->input->sequences, rows = 0;
    self->next = self->now;
    self->merges = false;
    for (size_t i = 0; i < sequences; i++) {
        layer_rows all = rows_of(self, i);
        rows += all.leaving;
        self->merges = self->merges || all.queries < all.entering;
    }
    if (rows == self->now.packed.rows) return;
    size_t *start = run_take(self->on, sequences + 1, sizeof *start);
    self->next.origin = run_take(self->on, rows, sizeof *self->next.origin);
    if (run_failed(self->on)) return;
    start[0] = 0;
    for (size_t i = 0; i < sequences; i++) start[i + 1] = start[i] + rows_of(self, i).leaving;
    self->next.packed = (batch){.sequences = sequences, .rows = rows, .start = start};
    if (self->merges) plan_merging(self);
    if (!self->merges || !self->holder || self->detail.data) return;
    self->detail = run_tensor(self->on, self->input->rows, config_width(&self->self->config));
    for (size_t row = 0; self->detail.data && row < self->detail.rows; row++)
        memset(tensor_row(self->detail, row), 0, self->detail.columns * sizeof(float));
}

/* ---- Merging ---- */

typedef struct saved_merge {
    tensor out, x;
    const size_t *from; /* [out rows] the first row of x from which each is made; it is made of one or two rows */
    const uint8_t *count;
    bool largest;
} saved_merge;

static void merge_backward(const run *on, void *saved) {
    const saved_merge *s = saved;
    (void)on;
    for (size_t row = 0; row < s->out.rows; row++) {
        const float *grad = s->out.grad + row * s->out.stride, *x = tensor_row(s->x, s->from[row]);
        float *to = s->x.grad + s->from[row] * s->x.stride;
        const bool two = s->count[row] == 2;
        const size_t stride = s->x.stride;
        for (size_t j = 0; j < s->x.columns; j++) {
            if (!two) {
                to[j] += grad[j];
            } else if (s->largest) {
                to[j + (x[j] < x[stride + j] ? stride : 0)] += grad[j];
            } else {
                to[j] += grad[j] / 2;
                to[stride + j] += grad[j] / 2;
            }
        }
    }
}

/* detail' = detail + x[before] - y[after], for the original rows that x still holds. */
typedef struct saved_detail {
    tensor out, x, y, earlier;
    const size_t *before, *after;
} saved_detail;

static void detail_backward(const run *on, void *saved) {
    const saved_detail *s = saved;
    const gradient_kernels *g = on->kernels->gradient;
    for (size_t row = 0; row < s->out.rows; row++) {
        const float *grad = s->out.grad + row * s->out.stride;
        g->add(s->earlier.grad + row * s->earlier.stride, grad, s->out.columns);
        if (s->before[row] == NO_ROW) continue;
        g->add(s->x.grad + s->before[row] * s->x.stride, grad, s->out.columns);
        float *y = s->y.grad + s->after[row] * s->y.stride;
        for (size_t j = 0; j < s->out.columns; j++) y[j] -= grad[j];
    }
}

static void keep_details(passage *self, tensor x, tensor y, const size_t *before) {
    const run *on = self->on;
    size_t count = self->input->rows;
    tensor out = on->tape ? run_tensor(on, count, x.columns) : self->detail;
    size_t *after = run_take(on, count, sizeof *after);
    if (run_failed(on)) return;
    memcpy(after, self->holder, count * sizeof *after);
    for (size_t row = 0; row < count; row++) {
        float *to = tensor_row(out, row);
        if (on->tape) memcpy(to, tensor_row(self->detail, row), x.columns * sizeof *to);
        if (before[row] == NO_ROW) continue;
        const float *a = tensor_row(x, before[row]), *b = tensor_row(y, after[row]);
        for (size_t j = 0; j < x.columns; j++) to[j] += a[j] - b[j];
    }
    if (on->tape) {
        saved_detail *saved = tape_push(on, detail_backward, sizeof *saved);
        if (saved) *saved = (saved_detail){out, x, y, self->detail, before, after};
    }
    self->detail = out;
}

static tensor merge(passage *self, tensor x) {
    const run *on = self->on;
    const batch *now = &self->now.packed, *next = &self->next.packed;
    const merging *rule = &self->self->shape.merging;
    tensor out = run_tensor(on, next->rows, x.columns);
    size_t *from = run_take(on, next->rows, sizeof *from);
    uint8_t *count = run_take(on, next->rows, sizeof *count);
    size_t *becomes = run_take(on, now->rows, sizeof *becomes);
    if (run_failed(on)) return out;
    for (size_t row = 0; row < now->rows; row++) becomes[row] = NO_ROW;
    for (size_t i = 0; i < now->sequences; i++) {
        size_t length = batch_length(now, i), made = batch_length(next, i);
        for (size_t j = 0; j < made; j++) {
            size_t first = j, rows = made == length ? 1 : merged_from(rule, length, j, &first);
            size_t row = next->start[i] + j;
            from[row] = now->start[i] + first;
            count[row] = (uint8_t)rows;
            for (size_t k = 0; k < rows; k++) becomes[from[row] + k] = row;
            const float *a = tensor_row(x, from[row]), *b = a + (rows == 2 ? x.stride : 0);
            float *y = tensor_row(out, row);
            for (size_t c = 0; c < x.columns; c++)
                y[c] = rule->largest ? (a[c] < b[c] ? b[c] : a[c]) : (a[c] + b[c]) * 0.5f;
        }
    }
    size_t *before = NULL;
    if (self->holder) {
        size_t rows = self->input->rows;
        before = run_take(on, rows, sizeof *before);
        if (run_failed(on)) return out;
        memcpy(before, self->holder, rows * sizeof *before);
        for (size_t i = 0; i < rows; i++)
            if (before[i] != NO_ROW) self->holder[i] = becomes[before[i]];
    }
    if (on->tape) {
        saved_merge *saved = tape_push(on, merge_backward, sizeof *saved);
        if (saved) *saved = (saved_merge){out, x, from, count, rule->largest};
    }
    if (before) keep_details(self, x, out, before);
    return out;
}

tensor passage_queries(passage *self, tensor x) {
    if (self->merges) return merge(self, x);
    return self->halted ? run_gather(self->on, x, self->active, self->queries.rows) : x;
}

/* ---- Retirement ---- */

void passage_score_places(const passage *p, float *scores) {
    for (size_t i = 0; i < p->input->sequences; i++)
        for (size_t row = p->now.packed.start[i]; row < p->now.packed.start[i + 1]; row++) {
            size_t place = (p->now.origin ? p->now.origin[row] : row) - p->input->start[i];
            uint64_t x = (place + 1) * 0x9e3779b97f4a7c15u ^ p->thin->seed ^ (uint64_t)p->layer << 40 ^
                         (uint64_t)batch_length(p->input, i) << 48;
            x = (x ^ x >> 31) * 0xd6e8feb86659fd93u;
            scores[row] = p->thin->by == SIGNIFICANCE_FIRST ? -(float)place : (float)(x >> 40);
        }
}

/* Restores the original rows whose holders are removed, from x, and updates the holders of the others. becomes NULL:
 * all are removed. */
static void restore_gone(passage *self, tensor x, const size_t *becomes) {
    size_t count = self->input->rows, gone = 0;
    if (!self->holder || run_failed(self->on)) return;
    size_t *from = run_take(self->on, count, sizeof *from);
    size_t *to = run_take(self->on, count, sizeof *to);
    if (run_failed(self->on)) return;
    for (size_t i = 0; i < count; i++) {
        if (self->holder[i] == NO_ROW) continue;
        size_t row = self->holder[i];
        self->holder[i] = becomes ? becomes[row] : NO_ROW;
        if (self->holder[i] != NO_ROW) continue;
        from[gone] = row;
        to[gone++] = i;
    }
    if (self->detail.data && gone > 0) { /* as they would be without merging */
        size_t *all = run_take(self->on, gone, sizeof *all);
        x = run_gather(self->on, x, from, gone);
        tensor details = run_gather(self->on, self->detail, to, gone);
        if (run_failed(self->on)) return;
        run_add(self->on, x, details);
        for (size_t i = 0; i < gone; i++) all[i] = i;
        from = all;
    }
    run_scatter(self->on, self->restored, to, x, from, gone);
}

tensor passage_retire(passage *p, tensor x, tensor y, const float *scores) {
    const batch *now = &p->now.packed, *next = &p->next.packed;
    size_t *kept = run_take(p->on, next->rows, sizeof *kept);
    size_t *becomes = run_take(p->on, now->rows, sizeof *becomes);
    uint64_t *scratch = run_take(p->on, now->rows, sizeof *scratch);
    if (run_failed(p->on)) return y;
    for (size_t row = 0; row < now->rows; row++) becomes[row] = NO_ROW;
    for (size_t i = 0; i < now->sequences; i++) {
        size_t first = now->start[i], length = batch_length(now, i), keep = batch_length(next, i);
        size_t *mine = kept + next->start[i];
        const size_t protected = p->thin->protect_first ? 0 : p->thin->protect_last ? length - 1 : NO_ROW;
        if (keep > 0) retire_choose(scores + first, length, keep, protected, mine, scratch);
        for (size_t k = 0; k < keep; k++) {
            mine[k] += first;
            becomes[mine[k]] = next->start[i] + k;
            p->next.origin[next->start[i] + k] = p->now.origin ? p->now.origin[mine[k]] : mine[k];
        }
    }
    restore_gone(p, x, becomes);
    return run_gather(p->on, y, kept, next->rows);
}

/* ---- Departure ---- */

tensor passage_put_back(const passage *p, tensor x, tensor asked) {
    const run *on = p->on;
    tensor whole = on->tape ? run_tensor(on, x.rows, x.columns) : x;
    size_t *from = run_take(on, asked.rows, sizeof *from), count = 0;
    size_t *still = run_take(on, x.rows, sizeof *still);
    if (run_failed(on)) return whole;
    for (size_t i = 0; i < asked.rows; i++) from[i] = i;
    for (size_t row = 0; row < x.rows; row++)
        if (p->halted[row]) still[count++] = row;
    if (on->tape) run_scatter(on, whole, still, x, still, count);
    run_scatter(on, whole, p->active, asked, from, asked.rows);
    return whole;
}

/* Removes all rows of the sequences that leave; in place. */
static void remove_sequences(passage *p, const bool *leaves, tensor *x) {
    const batch *now = &p->now.packed;
    size_t *start = run_take(p->on, now->sequences + 1, sizeof *start);
    size_t *origin = run_take(p->on, now->rows, sizeof *origin), at = 0;
    size_t *becomes = run_take(p->on, now->rows, sizeof *becomes);
    if (run_failed(p->on)) return;
    for (size_t i = 0; i < now->sequences; i++)
        for (size_t row = now->start[i]; row < now->start[i + 1]; row++) becomes[row] = leaves[i] ? NO_ROW : at++;
    restore_gone(p, *x, becomes);
    if (run_failed(p->on)) return;
    for (size_t i = 0; i < now->sequences; i++) start[i + 1] = leaves[i] ? 0 : batch_length(now, i);
    start[0] = 0;
    for (size_t i = 0; i < now->sequences; i++) start[i + 1] += start[i];
    for (size_t row = 0; row < now->rows; row++) {
        if (becomes[row] == NO_ROW) continue;
        if (becomes[row] != row) memcpy(tensor_row(*x, becomes[row]), tensor_row(*x, row), x->columns * sizeof(float));
        origin[becomes[row]] = p->now.origin ? p->now.origin[row] : row;
    }
    x->rows = at;
    p->now = (alive){.packed = {.sequences = now->sequences, .rows = at, .start = start}, .origin = origin};
}

/* Marks rows that leave one by one. */
static void halt(passage *p, bool last, tensor *x) {
    const batch *now = &p->now.packed;
    bool *leaves = run_take(p->on, now->rows, sizeof *leaves);
    if (!leaves) return;
    memset(leaves, 0, now->rows * sizeof *leaves);
    p->thin->depart(p->thin->depart_user, p->on, p->layer, last, *x, now, p->now.origin, leaves);
    if (run_failed(p->on)) return;
    bool any = p->halted != NULL;
    for (size_t row = 0; row < now->rows; row++) {
        leaves[row] = leaves[row] || (p->halted && p->halted[row]);
        any = any || leaves[row];
    }
    if (!any || last) return;
    /* sequences without remaining rows are removed */
    bool *empty = run_take(p->on, now->sequences, sizeof *empty), some = false;
    if (!empty) return;
    for (size_t i = 0; i < now->sequences; i++) {
        empty[i] = !p->on->tape && batch_length(now, i) > 0;
        for (size_t row = now->start[i]; row < now->start[i + 1]; row++) empty[i] = empty[i] && leaves[row];
        some = some || empty[i];
    }
    if (some) {
        size_t at = 0;
        for (size_t i = 0; i < now->sequences; i++)
            for (size_t row = now->start[i]; row < now->start[i + 1]; row++)
                if (!empty[i]) leaves[at++] = leaves[row];
        remove_sequences(p, empty, x);
    }
    size_t *start = run_take(p->on, now->sequences + 1, sizeof *start);
    p->active = run_take(p->on, now->rows, sizeof *p->active);
    p->query_origin = run_take(p->on, now->rows, sizeof *p->query_origin);
    if (run_failed(p->on)) return;
    size_t count = 0;
    for (size_t i = 0; i < now->sequences; i++) {
        start[i] = count;
        for (size_t row = now->start[i]; row < now->start[i + 1]; row++) {
            if (leaves[row]) continue;
            p->query_origin[count] = p->now.origin ? p->now.origin[row] : row;
            p->active[count++] = row;
        }
    }
    start[now->sequences] = count;
    p->queries = (batch){.sequences = now->sequences, .rows = count, .start = start};
    p->halted = leaves;
}

void passage_depart(passage *p, bool last, tensor *x) {
    const batch *now = &p->now.packed;
    if (run_failed(p->on)) return;
    if (p->thin->depart_rows) {
        halt(p, last, x);
        return;
    }
    bool *leaves = run_take(p->on, now->sequences, sizeof *leaves), any = false;
    if (!leaves) return;
    memset(leaves, 0, now->sequences * sizeof *leaves);
    p->thin->depart(p->thin->depart_user, p->on, p->layer, last, *x, now, p->now.origin, leaves);
    for (size_t i = 0; i < now->sequences; i++) any = any || leaves[i];
    if (any && !run_failed(p->on)) remove_sequences(p, leaves, x);
}

/* ---- The end ---- */

typedef struct saved_spread {
    tensor out, x, early;
    const size_t *from;
} saved_spread;

static void spread_backward(const run *on, void *saved) {
    const saved_spread *s = saved;
    for (size_t row = 0; row < s->out.rows; row++) {
        const float *grad = s->out.grad + row * s->out.stride;
        on->kernels->gradient->add(s->early.grad + row * s->early.stride, grad, s->out.columns);
        if (s->from[row] != NO_ROW)
            on->kernels->gradient->add(s->x.grad + s->from[row] * s->x.stride, grad, s->out.columns);
    }
}

tensor passage_spread(passage *self, tensor x, tensor early, size_t merged) {
    const run *on = self->on;
    const batch *now = &self->now.packed, *input = self->input;
    size_t first = !self->self->shape.merging.with_first;
    tensor out = run_tensor(on, input->rows, x.columns);
    size_t *from = run_take(on, input->rows, sizeof *from);
    if (run_failed(on)) return out;
    for (size_t i = 0; i < input->sequences; i++)
        for (size_t j = 0; j < batch_length(input, i); j++) {
            size_t row = input->start[i] + j, place = j < first ? j : first + (j - first) / merged;
            from[row] = place < batch_length(now, i) ? now->start[i] + place : NO_ROW;
            float *y = tensor_row(out, row);
            memcpy(y, tensor_row(early, row), x.columns * sizeof *y);
            if (from[row] != NO_ROW) on->kernels->gradient->add(y, tensor_row(x, from[row]), x.columns);
        }
    if (on->tape) {
        saved_spread *saved = tape_push(on, spread_backward, sizeof *saved);
        if (saved) *saved = (saved_spread){out, x, early, from};
    }
    self->now = (alive){.packed = *input};
    return out;
}

void passage_restore(passage *self, tensor x) {
    if (self->now.origin) restore_gone(self, x, NULL);
}
