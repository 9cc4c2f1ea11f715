/* Parameters and AdamW. */
#include "train/parameters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { CHUNK = 1 << 15, BLOCK = 32 << 20 };

static float *zeros(parameters *self, size_t count) {
    float *made = arena_take_array(&self->memory, count, sizeof *made);
    if (made) memset(made, 0, count * sizeof *made);
    return made;
}

/* Takes over `value`; the gradient is what backward adds to. */
static rubato_status add(parameters *self, float *value, float **gradient, size_t count, bool decays, const table *rows,
                         rubato_error *error) {
    if (self->count == self->capacity) {
        size_t capacity = self->capacity * 2 + 64;
        parameter *grown = realloc(self->items, capacity * sizeof *grown);
        if (!grown) return fail_memory(error);
        self->items = grown;
        self->capacity = capacity;
    }
    parameter made = {.value = value,
                      .gradient = zeros(self, count),
                      .m = zeros(self, count),
                      .v = zeros(self, count),
                      .count = count,
                      .decays = decays,
                      .exit = self->exits,
                      .rows = rows};
    if (!made.gradient || !made.m || !made.v) return fail_memory(error);
    *gradient = made.gradient;
    self->items[self->count++] = made;
    return RUBATO_OK;
}

typedef struct finding {
    const linear *wanted;
    bool found;
} finding;

static void compare_linear(void *user, linear *of, const linear_role *role) {
    finding *mine = user;
    (void)role;
    mine->found = mine->found || of == mine->wanted;
}

/* int8 is for what is in int8 in the end: the encoder's layers. */
static precision precision_of(const parameters *self, const linear *layer_of) {
    finding inside = {layer_of, false};
    encoder_visit(self->body, compare_linear, &inside);
    return self->how == PRECISION_INT8 && !inside.found ? PRECISION_BF16 : self->how;
}

static rubato_status add_linear(parameters *self, linear *layer_of, bool learns, rubato_error *error) {
    if (!layer_of->packed || layer_of->learn) return RUBATO_OK;
    if (self->linear_count == self->linear_capacity) {
        size_t capacity = self->linear_capacity * 2 + 64;
        linear **grown = realloc(self->linears, capacity * sizeof *grown);
        if (!grown) return fail_memory(error);
        self->linears = grown;
        self->linear_capacity = capacity;
    }
    linear_learning *learn = arena_take(&self->memory, sizeof *learn);
    if (!learn) return fail_memory(error);
    *learn = (linear_learning){.transposed = zeros(self, packed_size(layer_of->in, layer_of->out))};
    if (!learn->transposed) return fail_memory(error);
    precision how = precision_of(self, layer_of);
    if (how != PRECISION_F32) {
        layer_of->low = (uint32_t *)(void *)zeros(self, packed_size(layer_of->out, precision_words(how, layer_of->in)));
        learn->low_transposed = (uint32_t *)(void *)zeros(self, packed_size(layer_of->in, words_bf16(layer_of->out)));
        if (!layer_of->low || !learn->low_transposed) return fail_memory(error);
        layer_of->precision = how;
    }
    if (how == PRECISION_INT8) {
        layer_of->scale = zeros(self, layer_of->out);
        layer_of->offset = (int32_t *)(void *)zeros(self, layer_of->out);
        if (!layer_of->scale || !layer_of->offset) return fail_memory(error);
    }
    layer_of->learn = learn;
    self->linears[self->linear_count++] = layer_of;
    if (!learns) return RUBATO_OK;
    TRY(add(self, layer_of->packed, &learn->weight, packed_size(layer_of->out, layer_of->in), true, NULL, error));
    if (!layer_of->bias) return RUBATO_OK;
    return add(self, layer_of->bias, &learn->bias, layer_of->out, false, NULL, error);
}

static rubato_status add_norm(parameters *self, norm *layer_of, bool learns, rubato_error *error) {
    if (!layer_of->gamma || layer_of->learn) return RUBATO_OK;
    layer_of->learn = arena_take(&self->memory, sizeof *layer_of->learn);
    if (!layer_of->learn) return fail_memory(error);
    *layer_of->learn = (norm_learning){0};
    if (!learns) return RUBATO_OK;
    TRY(add(self, layer_of->gamma, &layer_of->learn->gamma, layer_of->width, false, NULL, error));
    if (!layer_of->beta) return RUBATO_OK;
    return add(self, layer_of->beta, &layer_of->learn->beta, layer_of->width, false, NULL, error);
}

/* A table leaves its file for memory of its own. */
static rubato_status add_table(parameters *self, table *rows, rubato_error *error) {
    if (rows->learn) return RUBATO_OK;
    size_t count = rows->rows * rows->width;
    float *values = arena_take_array(&self->memory, count, sizeof *values);
    table_learning *learn = arena_take(&self->memory, sizeof *learn);
    if (!values || !learn) return fail_memory(error);
    table_read(rows, 0, rows->rows, values);
    if (!all_finite(values, count)) return fail(error, RUBATO_BAD_MODEL, "an embedding table holds NaN or infinity");
    *learn = (table_learning){.touched = arena_take(&self->memory, rows->rows)};
    if (!learn->touched) return fail_memory(error);
    memset(learn->touched, 0, rows->rows);
    rows->type = DTYPE_F32;
    rows->data = (const unsigned char *)values;
    rows->scale = NULL;
    rows->learn = learn;
    return add(self, values, &learn->rows, count, true, rows, error);
}

/* The decoder that is the word embeddings: its gradient goes over to theirs, its values come from theirs. */
static rubato_status tie(parameters *self, rubato_model *model, rubato_error *error) {
    head *mlm = &model->heads[HEAD_MLM];
    if (!mlm->present || !mlm->tied) return RUBATO_OK;
    self->tied = &model->body.tables.word;
    self->decoder = &mlm->out;
    TRY(add_linear(self, &mlm->out, false, error));
    mlm->out.learn->weight = zeros(self, packed_size(mlm->out.out, mlm->out.in));
    if (!mlm->out.learn->weight) return fail_memory(error);
    if (!mlm->out.bias) return RUBATO_OK;
    return add(self, mlm->out.bias, &mlm->out.learn->bias, mlm->out.out, false, NULL, error);
}

rubato_status parameters_create(parameters *self, rubato_model *model, precision how, team *crew,
                                const kernel_table *kernels, rubato_error *error) {
    *self = (parameters){.how = how};
    arena_create(&self->memory, 0, BLOCK);
    self->body = &model->body;
    TRY(tie(self, model, error));
    for (size_t i = 0; i < model->bound.count; i++) {
        binding *b = &model->bound.items[i];
        self->exits = b->place == IN_EXITS;
        if (b->kind == BOUND_WEIGHT) TRY(add_linear(self, b->linear, true, error));
        if (b->kind == BOUND_GAMMA) TRY(add_norm(self, b->norm, true, error));
        if (b->kind == BOUND_TABLE) TRY(add_table(self, b->table, error));
    }
    self->exits = false;
    for (size_t i = 0; i < model->pool.stage_count; i++) {
        TRY(add_linear(self, &model->pool.stages[i].dense, false, error));
        TRY(add_norm(self, &model->pool.stages[i].norm, false, error));
    }
    parameters_refresh(self, crew, kernels);
    return RUBATO_OK;
}

void parameters_destroy(parameters *self) {
    arena_destroy(&self->memory);
    free(self->items);
    free(self->linears);
    *self = (parameters){0};
}

size_t parameters_add(parameters *self, size_t count) {
    float *value = zeros(self, count), *gradient;
    if (!value || add(self, value, &gradient, count, false, NULL, NULL) != RUBATO_OK) return SIZE_MAX;
    self->chunks = 0;
    return self->count - 1;
}

/* ---- Work in chunks, dealt out to threads ---- */

typedef struct task {
    parameters *self;
    const kernel_table *kernels;
    adam_step step;
} task;

static void for_chunks(const parameters *self, size_t member, size_t members, const task *work,
                       void (*each)(const task *work, const parameter *p, size_t first, size_t count, size_t number)) {
    size_t number = 0;
    for (size_t i = 0; i < self->count; i++)
        for (size_t first = 0; first < self->items[i].count; first += CHUNK, number++)
            if (number % members == member)
                each(work, &self->items[i], first, size_min(CHUNK, self->items[i].count - first), number);
}

static void sum_chunk(const task *work, const parameter *p, size_t first, size_t count, size_t number) {
    work->self->sums[number] = 0;
    if (work->self->frozen && !p->exit) return;
    work->self->sums[number] = work->kernels->gradient->squares(p->gradient + first, count);
}

static void sum_some(void *argument, size_t member, size_t members) {
    const task *work = argument;
    for_chunks(work->self, member, members, work, sum_chunk);
}

/* Gradients of derived forms go to what they are made from: a tied decoder's and the relative bias's to tables. */
static void untie(parameters *self) {
    encoder_collect(self->body);
    if (!self->tied) return;
    linear *decoder = self->decoder;
    size_t in = decoder->in;
    for (size_t row = 0; row < decoder->out; row++) {
        float *from = decoder->learn->weight + row / PANEL * PANEL * in + row % PANEL;
        float *to = self->tied->learn->rows + row * self->tied->width, any = 0;
        for (size_t k = 0; k < in; k++) {
            to[k] += from[k * PANEL];
            any += fabsf(from[k * PANEL]);
            from[k * PANEL] = 0;
        }
        if (any > 0) self->tied->learn->touched[row] = 1;
    }
}

double parameters_gradient_norm(parameters *self, team *crew, const kernel_table *kernels) {
    untie(self);
    if (self->chunks == 0) {
        for (size_t i = 0; i < self->count; i++) self->chunks += divide_up(self->items[i].count, CHUNK);
        self->sums = arena_take_array(&self->memory, self->chunks, sizeof *self->sums);
        if (!self->sums) return NAN;
    }
    task work = {.self = self, .kernels = kernels};
    team_run(crew, sum_some, &work);
    double sum = 0;
    for (size_t i = 0; i < self->chunks; i++) sum += self->sums[i];
    return sqrt(sum);
}

/* Rows of a table that never had a gradient have zero moments: only decay moves them. */
static void step_table(const task *work, const parameter *p, size_t first, size_t count) {
    size_t width = p->rows->width;
    float keep = 1.0f - work->step.rate * work->step.decay;
    for (size_t at = first; at < first + count;) {
        size_t row = at / width, end = size_min((row + 1) * width, first + count);
        if (p->rows->learn->touched[row])
            work->kernels->gradient->adam(p->value + at, p->gradient + at, p->m + at, p->v + at, end - at, &work->step);
        else if (work->step.decay > 0)
            for (size_t i = at; i < end; i++) p->value[i] *= keep;
        at = end;
    }
}

static void step_chunk(const task *work, const parameter *p, size_t first, size_t count, size_t number) {
    (void)number;
    task own = *work;
    if (work->self->frozen && !p->exit) {
        memset(p->gradient + first, 0, count * sizeof *p->gradient);
        return;
    }
    if (!p->decays) own.step.decay = 0;
    if (p->rows)
        step_table(&own, p, first, count);
    else
        work->kernels->gradient->adam(p->value + first, p->gradient + first, p->m + first, p->v + first, count,
                                      &own.step);
}

static void step_some(void *argument, size_t member, size_t members) {
    const task *work = argument;
    for_chunks(work->self, member, members, work, step_chunk);
}

static void refresh_some(void *argument, size_t member, size_t members) {
    const task *work = argument;
    const parameters *self = work->self;
    size_t number = 0;
    if (self->tied)
        for (size_t panel = member; panel * PANEL < self->decoder->out; panel += members)
            work->kernels->pack_transposed_f32(
                self->decoder->packed + panel * PANEL * self->decoder->in,
                (const float *)(const void *)self->tied->data + panel * PANEL * self->tied->width, self->tied->width,
                size_min(PANEL, self->decoder->out - panel * PANEL), self->decoder->in);
    for (size_t i = 0; i < self->linear_count; i++) {
        size_t panels = divide_up(self->linears[i]->out, PANEL);
        bool whole = self->linears[i] == self->decoder; /* each member has packed panels of its own */
        for (size_t panel = whole ? member : 0; panel < panels; panel += whole ? members : 1, number++)
            if (whole || number % members == member) linear_refresh(self->linears[i], work->kernels, panel, panel + 1);
    }
}

void parameters_refresh(parameters *self, team *crew, const kernel_table *kernels) {
    task work = {.self = self, .kernels = kernels};
    encoder_refresh(self->body);
    team_run(crew, refresh_some, &work);
}

void parameters_forget(parameters *self) {
    for (size_t i = 0; i < self->count; i++) {
        memset(self->items[i].m, 0, self->items[i].count * sizeof(float));
        memset(self->items[i].v, 0, self->items[i].count * sizeof(float));
    }
}

void parameters_step(parameters *self, const step_rule *rule, team *crew, const kernel_table *kernels) {
    double number = (double)rule->number;
    task work = {.self = self, .kernels = kernels};
    work.step = (adam_step){.rate = (float)rule->rate,
                            .decay = (float)rule->decay,
                            .beta1 = (float)rule->beta1,
                            .beta2 = (float)rule->beta2,
                            .epsilon = (float)rule->epsilon,
                            .correction1 = (float)(1 - pow(rule->beta1, number)),
                            .correction2 = (float)sqrt(1 - pow(rule->beta2, number)),
                            .gradient_scale = (float)rule->gradient_scale};
    team_run(crew, step_some, &work);
    parameters_refresh(self, crew, kernels);
}
