/* The norm of gradients, and AdamW. */
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"

/* CHUNK: the floats that a thread takes at a time; their squares are summed separately. LANES: the interleaved sums of
 * the kernel. */
enum { CHUNK = 1 << 15, LANES = 16 };

typedef struct work {
    parameters *self;
    const kernel_table *kernels;
    adam_step steps[MOST_GROUPS];
} work;

static bool is_frozen(const parameters *self, const parameter *p) {
    return self->groups[p->group].frozen;
}

/* Whether a norm or a step of the optimiser leaves it out. */
static bool is_left_out(const parameters *self, const parameter *p) {
    return is_frozen(self, p) || p->measured;
}

/* ---- Norm ---- */

static bool is_sparse(const parameter *p) {
    return p->rows && p->rows->learn->touched_count < p->rows->rows;
}

static double squared(float x) {
    return (double)x * (double)x;
}

/* Sums the squares of the touched rows of a table. *sums receives one sum for each chunk with touched rows; the result
 * is the number of these chunks. Zeros do not change a sum, so these are equal to the kernel's sums of whole chunks.
 * The kernel interleaves LANES sums over the largest multiple of LANES floats of a chunk and adds the rest to the
 * first. */
static size_t sum_rows(const parameter *p, double *sums) {
    const table_learning *learn = p->rows->learn;
    size_t width = p->rows->width, chunk = SIZE_MAX, count = 0, whole = 0;
    double lanes[LANES] = {0};
    for (size_t i = 0; i < learn->touched_count; i++) {
        size_t at = learn->touched[i] * width, end = at + width;
        while (at < end) {
            if (at / CHUNK != chunk) {
                chunk = at / CHUNK;
                whole = chunk * CHUNK + size_min(CHUNK, p->count - chunk * CHUNK) / LANES * LANES;
                memset(lanes, 0, sizeof lanes);
                sums[count++] = 0;
            }
            size_t last = size_min(end, (chunk + 1) * CHUNK);
            for (; at % LANES == 0 && at + LANES <= size_min(last, whole); at += LANES)
                for (size_t j = 0; j < LANES; j++) lanes[j] += squared(p->gradient[at + j]);
            for (; at < last; at++) lanes[at < whole ? at % LANES : 0] += squared(p->gradient[at]);
            double sum = 0;
            for (size_t j = 0; j < LANES; j++) sum += lanes[j];
            sums[count - 1] = sum;
        }
    }
    return count;
}

static void sum_some(void *argument, size_t member, size_t members) {
    const work *all = argument;
    const parameters *self = all->self;
    size_t number = 0;
    for (size_t i = 0; i < self->count; i++) {
        parameter *p = &self->items[i];
        if (is_left_out(self, p)) continue;
        if (is_sparse(p)) {
            if (number++ % members == member) p->sum_count = sum_rows(p, self->sums + p->first_sum);
            continue;
        }
        for (size_t first = 0; first < p->count; first += CHUNK, number++)
            if (number % members == member)
                self->sums[p->first_sum + first / CHUNK] =
                    all->kernels->gradient->squares(p->gradient + first, size_min(CHUNK, p->count - first));
    }
}

/* Assigns a place to the sum of every chunk. */
static rubato_status make_sums(parameters *self, rubato_error *error) {
    size_t chunks = 0;
    for (size_t i = 0; i < self->count; i++) {
        self->items[i].first_sum = chunks;
        self->items[i].sum_count = divide_up(self->items[i].count, CHUNK);
        chunks += self->items[i].sum_count;
    }
    if (chunks == self->chunks) return RUBATO_OK;
    self->sums = arena_take_array(&self->memory, chunks, sizeof *self->sums);
    self->chunks = chunks;
    return self->sums ? RUBATO_OK : fail_memory(error);
}

rubato_status parameters_norms(parameters *self, gradient_norms *out, team *crew, const kernel_table *kernels,
                               rubato_error *error) {
    *out = (gradient_norms){0};
    TRY(make_sums(self, error));
    work all = {.self = self, .kernels = kernels};
    team_run(crew, sum_some, &all);
    for (size_t i = 0; i < self->count; i++) {
        const parameter *p = &self->items[i];
        double *sum = self->groups[p->group].clip > 0 ? &out->own[p->group] : &out->whole;
        for (size_t j = 0; j < p->sum_count && !is_left_out(self, p); j++) *sum += self->sums[p->first_sum + j];
    }
    out->finite = isfinite(out->whole);
    out->whole = sqrt(out->whole);
    for (size_t i = 0; i < self->group_count; i++) {
        out->finite = out->finite && isfinite(out->own[i]);
        out->own[i] = sqrt(out->own[i]);
    }
    return RUBATO_OK;
}

/* ---- Step ---- */

static void adam(const work *all, const parameter *p, size_t first, size_t count) {
    adam_step step = all->steps[p->group];
    if (!p->decays) step.decay = 0;
    all->kernels->gradient->adam(p->value + first, p->gradient + first, p->m + first, p->v + first, count, &step);
}

static bool decays(const work *all, const parameter *p) {
    return p->decays && all->steps[p->group].decay > 0;
}

static bool is_lazy(const work *all, const parameter *p) {
    return all->self->groups[p->group].lazy;
}

/* The number of rows of a table that a step changes: the touched rows; where the group is not lazy, all rows that were
 * ever touched, because their moments still move them; with decay, all rows. */
static size_t rows_to_step(const work *all, const parameter *p) {
    if (is_lazy(all, p)) return p->rows->learn->touched_count;
    return decays(all, p) ? p->rows->rows : p->moving_count;
}

/* Steps those rows that are within [first, last). */
static void step_rows(const work *all, const parameter *p, size_t first, size_t last) {
    const size_t width = p->rows->width;
    if (is_lazy(all, p) || !decays(all, p)) {
        const uint32_t *rows = is_lazy(all, p) ? p->rows->learn->touched : p->moving;
        for (size_t i = first; i < last; i++) adam(all, p, rows[i] * width, width);
        return;
    }
    size_t low = 0, high = p->moving_count; /* finds the first moving row from `first` on */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->moving[middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    const adam_step *step = &all->steps[p->group];
    const float keep = 1.0f - step->rate * step->decay;
    for (size_t row = first; row < last; row++) {
        if (low < p->moving_count && p->moving[low] == row) {
            adam(all, p, row * width, width);
            low++;
        } else {
            for (size_t j = row * width; j < (row + 1) * width; j++) p->value[j] *= keep;
        }
    }
}

/* Running statistics move a tenth of the way to what this step's passes measured. */
static void move_statistics(const parameter *p) {
    const size_t width = p->count - 1;
    const float rows = p->gradient[width];
    for (size_t i = 0; rows > 0 && i < width; i++) p->value[i] += 0.1f * (p->gradient[i] / rows - p->value[i]);
    memset(p->gradient, 0, p->count * sizeof *p->gradient);
}

static void step_some(void *argument, size_t member, size_t members) {
    const work *all = argument;
    const parameters *self = all->self;
    size_t number = 0;
    for (size_t i = 0; i < self->count; i++) {
        const parameter *p = &self->items[i];
        bool frozen = is_frozen(self, p);
        if (p->rows) {
            size_t count = frozen ? 0 : rows_to_step(all, p), share = size_max(CHUNK / p->rows->width, 1);
            for (size_t first = 0; first < count; first += share, number++)
                if (number % members == member) step_rows(all, p, first, size_min(first + share, count));
            continue;
        }
        if (p->measured && !frozen) {
            if (number++ % members == member) move_statistics(p);
            continue;
        }
        for (size_t first = 0; first < p->count; first += CHUNK, number++) {
            size_t count = size_min(CHUNK, p->count - first);
            if (number % members != member) continue;
            if (frozen)
                memset(p->gradient + first, 0, count * sizeof *p->gradient);
            else
                adam(all, p, first, count);
        }
    }
}

/* Merges the touched rows into the moving rows, from the end of the longer list on. */
static void join_moving(parameter *p) {
    const uint32_t *touched = p->rows->learn->touched;
    size_t from = p->rows->learn->touched_count, old = p->moving_count, count = old;
    for (size_t i = 0, j = 0; i < from; i++) {
        while (j < old && p->moving[j] < touched[i]) j++;
        count += j == old || p->moving[j] != touched[i];
    }
    p->moving_count = count;
    while (count > old) {
        bool both = old > 0 && from > 0 && p->moving[old - 1] == touched[from - 1];
        bool older = old > 0 && (from == 0 || p->moving[old - 1] >= touched[from - 1]);
        p->moving[--count] = older ? p->moving[--old] : touched[--from];
        if (both) from--;
    }
}

void parameters_step(parameters *self, const step_rule *rule, const gradient_norms *norms, size_t number, size_t steps,
                     team *crew, const kernel_table *kernels) {
    double t = (double)(number + 1);
    work all = {.self = self, .kernels = kernels};
    for (size_t i = 0; i < self->group_count; i++) {
        const parameter_group *group = &self->groups[i];
        rate_schedule *schedule = group->schedule ? group->schedule : rule->schedule;
        double highest = group->rate > 0 ? group->rate : rule->rate, clip = group->clip > 0 ? group->clip : rule->clip;
        double length = group->clip > 0 ? norms->own[i] : norms->whole;
        double decay = group->decay > 0 ? group->decay : group->decay < 0 ? 0 : rule->decay;
        all.steps[i] = (adam_step){.rate = (float)(highest * schedule(number, steps, rule->warm_up)),
                                   .decay = (float)decay,
                                   .beta1 = (float)rule->beta1,
                                   .beta2 = (float)rule->beta2,
                                   .epsilon = (float)rule->epsilon,
                                   .correction1 = (float)(1 - pow(rule->beta1, t)),
                                   .correction2 = (float)sqrt(1 - pow(rule->beta2, t)),
                                   .gradient_scale = (float)(clip > 0 && length > clip ? clip / (length + 1e-6) : 1)};
    }
    for (size_t i = 0; i < self->count; i++) {
        parameter *p = &self->items[i];
        if (p->rows && !is_frozen(self, p) && !is_lazy(&all, p)) join_moving(p);
    }
    team_run(crew, step_some, &all);
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].rows) table_clear(self->items[i].rows->learn, self->items[i].rows->width);
    parameters_refresh(self, crew, kernels);
}
