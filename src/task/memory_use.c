/* Counting the use of memories, and its figures. */
#include "task/memory_use.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feeding/memory.h"

static const double PARTS = 4294967296.0; /* of a weight of 1 */

bool encoder_remembers(const encoder *body) {
    for (size_t i = 0; i < body->depth; i++)
        if (body->sizes[i].remembers) return true;
    return false;
}

static void see(void *user, const run *on, const sight *what) {
    memory_use *self = user;
    const memory_choice *choice = what->memory;
    (void)on;
    pthread_mutex_lock(&self->lock);
    for (size_t m = 0; m < self->count; m++) {
        memory_counts *to = &self->memories[m];
        if (to->layer + 1 != what->layer || choice->side * choice->side != to->slots) continue;
        if (m == 0) self->rows += choice->rows;
        for (size_t i = 0; i < choice->rows * choice->heads * choice->selected; i++) {
            to->mass[choice->slots[i]] += (uint64_t)((double)choice->weights[i] * PARTS);
            to->first[choice->slots[i]] += i % choice->selected == 0;
        }
    }
    pthread_mutex_unlock(&self->lock);
}

rubato_status memory_use_create(memory_use *self, const encoder *body, rubato_error *error) {
    *self = (memory_use){.watch = {.wanted = WATCH_MEMORY, .see = see, .user = self}};
    pthread_mutex_init(&self->lock, NULL);
    self->memories = calloc(body->depth + 1, sizeof *self->memories);
    if (!self->memories) return fail_memory(error);
    for (size_t i = 0; i < body->depth; i++) {
        if (!body->sizes[i].remembers) continue;
        const memory_setting *setting = body->sizes[i].feeding_setting;
        memory_counts *made = &self->memories[self->count++];
        *made = (memory_counts){.layer = i, .slots = (size_t)setting->side * setting->side};
        made->mass = calloc(made->slots, sizeof *made->mass);
        made->first = calloc(made->slots, sizeof *made->first);
        if (!made->mass || !made->first) return fail_memory(error);
    }
    return RUBATO_OK;
}

void memory_use_destroy(memory_use *self) {
    for (size_t i = 0; i < self->count; i++) {
        free(self->memories[i].mass);
        free(self->memories[i].first);
    }
    if (self->watch.see) pthread_mutex_destroy(&self->lock);
    free(self->memories);
    *self = (memory_use){0};
}

void memory_use_clear(memory_use *self) {
    for (size_t i = 0; i < self->count; i++) {
        memset(self->memories[i].mass, 0, self->memories[i].slots * sizeof *self->memories[i].mass);
        memset(self->memories[i].first, 0, self->memories[i].slots * sizeof *self->memories[i].first);
    }
    self->rows = 0;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* KL(p || uniform) in nats of values that are not normalised; NaN where all are zero. */
static double divergence(const double *values, size_t count) {
    double sum = 0, kl = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    for (size_t i = 0; i < count; i++)
        if (values[i] > 0) kl += values[i] / sum * log(values[i] / sum);
    return sum > 0 ? fmax(log((double)count) + kl, 0) : NAN;
}

/* The least number of slots with that part of the mass; values rise. */
static size_t slots_of(const double *values, size_t count, double sum, double part) {
    double mass = 0;
    size_t slots = 0;
    while (slots < count && mass < part * sum * (1 - 1e-12)) mass += values[count - ++slots];
    return slots;
}

rubato_status memory_use_measure(const memory_use *self, size_t index, rubato_memory_use *out, rubato_error *error) {
    const memory_counts *of = &self->memories[index];
    const size_t slots = of->slots;
    double *values = malloc(slots * sizeof *values), sum = 0, below = 0, gini = 0;
    if (!values) return fail_memory(error);
    *out = (rubato_memory_use){.layer = of->layer, .slots = slots};
    for (size_t i = 0; i < slots; i++) {
        values[i] = of->first[i];
        out->used_first += of->first[i] > 0;
        out->used += of->mass[i] > 0;
    }
    out->used /= (double)slots;
    out->used_first /= (double)slots;
    out->kl_first = divergence(values, slots);
    for (size_t i = 0; i < slots; i++) sum += values[i] = (double)of->mass[i] / PARTS;
    out->kl = divergence(values, slots);
    qsort(values, slots, sizeof *values, by_size);
    for (size_t i = 0; i < slots; i++) gini += below += values[i];
    out->gini = sum > 0 ? 1 - 2 * gini / sum / (double)slots : NAN;
    out->slots_50 = slots_of(values, slots, sum, 0.5);
    out->slots_90 = slots_of(values, slots, sum, 0.9);
    out->slots_99 = slots_of(values, slots, sum, 0.99);
    free(values);
    return RUBATO_OK;
}
