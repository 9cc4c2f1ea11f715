/* The parameters of a model that learns. */
#include "train/parameters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "task/memory_use.h"

enum { BLOCK = 32 << 20 };

/* A memory's values: each is touched seldom, so their rate is high and constant (Lample et al. 2019, the authors'
 * code). */
static const double MEMORY_RATE = 1e-3, MEMORY_CLIP = 5;

double rate_linear(size_t step, size_t steps, double warm_up) {
    double warm = warm_up * (double)steps, at = (double)step;
    double share = at < warm ? (at + 1) / fmax(warm, 1) : ((double)steps - at) / fmax((double)steps - warm, 1);
    return fmin(share, 1);
}

double rate_constant(size_t step, size_t steps, double warm_up) {
    (void)step, (void)steps, (void)warm_up;
    return 1;
}

static float *zeros(parameters *self, size_t count) {
    float *made = arena_take_array(&self->memory, count, sizeof *made);
    if (made) memset(made, 0, count * sizeof *made);
    return made;
}

/* Adds an array: `value` is used in place, and the backward pass adds to the gradient. */
static rubato_status add(parameters *self, size_t group, float *value, float **gradient, size_t count, bool decays,
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
                      .group = group,
                      .decays = decays};
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

/* int8 is for the encoder's layers, which are in int8 after quantising. */
static precision precision_of(const parameters *self, const linear *layer_of) {
    finding inside = {layer_of, false};
    if (self->products != PRECISION_INT8) return self->products;
    encoder_visit(self->body, compare_linear, &inside);
    return inside.found ? PRECISION_INT8 : PRECISION_BF16;
}

/* Prepares a layer for the backward pass; its values do not change. */
static rubato_status prepare_linear(parameters *self, linear *layer_of, rubato_error *error) {
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
    precision own = layer_of->exact ? PRECISION_F32 : precision_of(self, layer_of);
    if (own != PRECISION_F32) {
        layer_of->low = (uint32_t *)(void *)zeros(self, packed_size(layer_of->out, precision_words(own, layer_of->in)));
        learn->low_transposed = (uint32_t *)(void *)zeros(self, packed_size(layer_of->in, words_bf16(layer_of->out)));
        if (!layer_of->low || !learn->low_transposed) return fail_memory(error);
        layer_of->precision = own;
    }
    if (own == PRECISION_INT8) {
        layer_of->scale = zeros(self, layer_of->out);
        layer_of->offset = (int32_t *)(void *)zeros(self, layer_of->out);
        if (!layer_of->scale || !layer_of->offset) return fail_memory(error);
    }
    layer_of->learn = learn;
    self->linears[self->linear_count++] = layer_of;
    return RUBATO_OK;
}

static rubato_status add_bias(parameters *self, linear *layer_of, size_t group, rubato_error *error) {
    float **gradient = &layer_of->learn->bias;
    if (!layer_of->bias) return RUBATO_OK;
    if (!layer_of->biased) return add(self, group, layer_of->bias, gradient, layer_of->out, false, error);
    TRY(add(self, group, layer_of->bias, gradient, layer_of->biased, false, error));
    *gradient = zeros(self, layer_of->out); /* the backward pass adds to all */
    self->items[self->count - 1].gradient = *gradient;
    return *gradient ? RUBATO_OK : fail_memory(error);
}

rubato_status parameters_add_linear(parameters *self, linear *layer_of, size_t group, rubato_error *error) {
    if (!layer_of->packed || layer_of->learn) return RUBATO_OK;
    TRY(prepare_linear(self, layer_of, error));
    TRY(add(self, group, layer_of->packed, &layer_of->learn->weight, packed_size(layer_of->out, layer_of->in), true,
            error));
    return add_bias(self, layer_of, group, error);
}

static rubato_status prepare_norm(parameters *self, norm *layer_of, rubato_error *error) {
    layer_of->learn = arena_take(&self->memory, sizeof *layer_of->learn);
    if (!layer_of->learn) return fail_memory(error);
    *layer_of->learn = (norm_learning){0};
    return RUBATO_OK;
}

static rubato_status add_norm(parameters *self, norm *layer_of, size_t group, rubato_error *error) {
    if (!layer_of->gamma || layer_of->learn) return RUBATO_OK;
    TRY(prepare_norm(self, layer_of, error));
    if (layer_of->measured) {
        TRY(add(self, group, layer_of->gamma, &layer_of->learn->gamma, layer_of->width + 1, false, error));
        self->items[self->count - 1].measured = true;
        TRY(add(self, group, layer_of->beta, &layer_of->learn->beta, layer_of->width + 1, false, error));
        self->items[self->count - 1].measured = true;
        return RUBATO_OK;
    }
    TRY(add(self, group, layer_of->gamma, &layer_of->learn->gamma, layer_of->width, false, error));
    if (!layer_of->beta) return RUBATO_OK;
    return add(self, group, layer_of->beta, &layer_of->learn->beta, layer_of->width, false, error);
}

/* Copies a table from its file to memory of its own. */
static rubato_status add_table(parameters *self, table *rows, size_t group, rubato_error *error) {
    if (rows->learn) return RUBATO_OK;
    size_t count = rows->rows * rows->width;
    float *values = arena_take_array(&self->memory, count, sizeof *values);
    table_learning *learn = arena_take(&self->memory, sizeof *learn);
    uint32_t *moving = arena_take_array(&self->memory, rows->rows, sizeof *moving);
    if (!values || !learn || !moving) return fail_memory(error);
    table_read(rows, 0, rows->rows, values);
    if (!all_finite(values, count)) return fail(error, RUBATO_BAD_MODEL, "an embedding table holds NaN or infinity");
    *learn = (table_learning){.touched = arena_take_array(&self->memory, rows->rows, sizeof *learn->touched),
                              .marks = arena_take(&self->memory, rows->rows)};
    if (!learn->touched || !learn->marks) return fail_memory(error);
    memset(learn->marks, 0, rows->rows);
    rows->type = DTYPE_F32;
    rows->data = (const unsigned char *)values;
    rows->scale = NULL;
    rows->learn = learn;
    TRY(add(self, group, values, &learn->rows, count, true, error));
    self->items[self->count - 1].rows = rows;
    self->items[self->count - 1].moving = moving;
    return RUBATO_OK;
}

/* Ties the decoder to the word embeddings: its gradient is added to theirs, and its values are copied from theirs. */
static rubato_status tie(parameters *self, rubato_model *model, rubato_error *error) {
    head *mlm = &model->heads[HEAD_MLM];
    if (!mlm->present || !mlm->tied) return RUBATO_OK;
    self->tied = &model->body.tables.word;
    self->decoder = &mlm->out;
    /* the columns beyond the embeddings' are the decoder's own */
    if (mlm->out.in > self->tied->width) return parameters_add_linear(self, &mlm->out, GROUP_HEAD, error);
    TRY(prepare_linear(self, &mlm->out, error));
    mlm->out.learn->weight = zeros(self, packed_size(mlm->out.out, mlm->out.in));
    if (!mlm->out.learn->weight) return fail_memory(error);
    return add_bias(self, &mlm->out, GROUP_HEAD, error);
}

static bool is_embedding(const rubato_model *model, const binding *b) {
    const embeddings *tables = &model->body.tables;
    switch (b->kind) {
    case BOUND_TABLE: return b->table == &tables->word || b->table == &tables->position || b->table == &tables->type;
    case BOUND_GAMMA:
    case BOUND_BETA: return b->norm == &tables->norm;
    case BOUND_WEIGHT:
    case BOUND_BIAS: return b->linear == &tables->projection;
    case BOUND_BUFFER: break;
    }
    return false;
}

/* BERT's pooler is stored with the body and belongs to the head. */
static bool is_of_head(const rubato_model *model, const binding *b) {
    bool found = false;
    for (size_t i = 0; i < HEAD_COUNT && (b->kind == BOUND_WEIGHT || b->kind == BOUND_BIAS); i++)
        found = found || b->linear == &model->heads[i].dense || b->linear == &model->heads[i].down;
    return found;
}

rubato_status parameters_add_model(parameters *self, rubato_model *model, rubato_error *error) {
    static const size_t group_of[] = {[IN_BODY] = GROUP_BODY, [IN_HEAD] = GROUP_HEAD, [IN_EXITS] = GROUP_EXITS};
    TRY(tie(self, model, error));
    for (size_t i = 0; i < model->bound.count; i++) {
        binding *b = &model->bound.items[i];
        size_t group = is_embedding(model, b) ? GROUP_EMBEDDINGS
                       : is_of_head(model, b) ? GROUP_HEAD
                                              : group_of[b->place];
        if (b->kind == BOUND_WEIGHT) TRY(parameters_add_linear(self, b->linear, group, error));
        if (b->kind == BOUND_GAMMA) TRY(add_norm(self, b->norm, group, error));
        if (b->kind == BOUND_TABLE) TRY(add_table(self, b->table, b->table->slots ? GROUP_MEMORY : group, error));
    }
    return RUBATO_OK;
}

rubato_status parameters_create(parameters *self, rubato_model *model, precision products, team *crew,
                                const kernel_table *kernels, rubato_error *error) {
    *self = (parameters){.products = products,
                         .groups = {{.name = "body"},
                                    {.name = "head"},
                                    {.name = "exits"},
                                    {.name = "embeddings"},
                                    {.name = "memory",
                                     .lazy = true,
                                     .rate = MEMORY_RATE,
                                     .decay = -1,
                                     .clip = MEMORY_CLIP,
                                     .schedule = rate_constant}},
                         .group_count = OWN_GROUPS};
    arena_create(&self->memory, 0, BLOCK);
    self->body = &model->body;
    TRY(parameters_add_model(self, model, error));
    for (size_t i = 0; i < model->pool.stage_count; i++) { /* gradients pass through these layers, which do not learn */
        linear *dense = &model->pool.stages[i].dense;
        norm *scaled = &model->pool.stages[i].norm;
        if (dense->packed && !dense->learn) TRY(prepare_linear(self, dense, error));
        if (scaled->gamma && !scaled->learn) TRY(prepare_norm(self, scaled, error));
    }
    parameters_refresh(self, crew, kernels);
    return RUBATO_OK;
}

typedef struct opening {
    parameters *self;
    const kernel_table *kernels;
    rubato_status status;
    rubato_error *error;
} opening;

static void open_linear(void *user, linear *of, const linear_role *role) {
    opening *o = user;
    parameters *self = o->self;
    (void)role;
    if (o->status != RUBATO_OK || of->learn) return;
    if (!of->packed) {
        o->status = fail(o->error, RUBATO_UNSUPPORTED, "the teacher's layers are in low precision alone");
        return;
    }
    o->status = prepare_linear(self, of, o->error);
    if (o->status != RUBATO_OK) return;
    self->linear_count--; /* its values never change */
    linear_refresh(of, o->kernels, 0, divide_up(of->out, PANEL));
}

rubato_status parameters_pass_through(parameters *self, const encoder *layers, const kernel_table *kernels,
                                      rubato_error *error) {
    opening o = {self, kernels, RUBATO_OK, error};
    if (encoder_remembers(layers))
        return fail(error, RUBATO_UNSUPPORTED, "the teacher has memories, and gradients do not pass through them");
    encoder_visit(layers, open_linear, &o);
    for (size_t i = 0; i < layers->unique; i++) {
        layer *of = &layers->layers[i];
        if (!of->attention_norm.gamma)
            return fail(error, RUBATO_UNSUPPORTED, "the teacher's layers have norms that nobody can prepare");
        if (!of->attention_norm.learn) TRY(prepare_norm(self, &of->attention_norm, error));
        if (!of->output_norm.learn) TRY(prepare_norm(self, &of->output_norm, error));
    }
    return o.status;
}

void parameters_destroy(parameters *self) {
    arena_destroy(&self->memory);
    free(self->items);
    free(self->linears);
    *self = (parameters){0};
}

rubato_status parameters_add_group(parameters *self, const parameter_group *group, size_t *index, rubato_error *error) {
    if (self->group_count == MOST_GROUPS)
        return fail(error, RUBATO_UNSUPPORTED, "more than %d groups of parameters", MOST_GROUPS);
    *index = self->group_count;
    self->groups[self->group_count++] = *group;
    return RUBATO_OK;
}

rubato_status parameters_add(parameters *self, size_t count, size_t group, size_t *index, rubato_error *error) {
    float *value = zeros(self, count), *gradient;
    if (!value) return fail_memory(error);
    *index = self->count;
    return add(self, group, value, &gradient, count, false, error);
}

/* ---- Gradients ---- */

/* Adds the gradients of derived forms to those of their sources: of a tied decoder and of the relative bias, to
 * tables. */
static void derive_gradients(parameters *self) {
    encoder_collect(self->body);
    if (!self->tied) return;
    linear *decoder = self->decoder;
    size_t in = decoder->in;
    for (size_t row = 0; row < decoder->out; row++) {
        float *from = decoder->learn->weight + row / PANEL * PANEL * in + row % PANEL;
        float *to = self->tied->learn->rows + row * self->tied->width, any = 0;
        for (size_t k = 0; k < self->tied->width; k++) {
            to[k] += from[k * PANEL];
            any += fabsf(from[k * PANEL]);
            from[k * PANEL] = 0;
        }
        if (any > 0) table_touch(self->tied->learn, row);
    }
}

static int by_number(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sorts the touched rows. Where there are many, it goes through the marks instead. */
static void sort_touched(table_learning *learn, size_t rows) {
    if (learn->touched_count < rows / 16) {
        qsort(learn->touched, learn->touched_count, sizeof *learn->touched, by_number);
        return;
    }
    learn->touched_count = 0;
    for (size_t row = 0; row < rows; row++)
        if (learn->marks[row]) learn->touched[learn->touched_count++] = (uint32_t)row;
}

/* Merges the touched rows of all workers. */
static rubato_status join_rows(const table *rows, const gradient_exchange *with, rubato_error *error) {
    table_learning *learn = rows->learn;
    sort_touched(learn, rows->rows);
    if (!with) return RUBATO_OK;
    TRY(with->join(with->user, learn->touched, &learn->touched_count, rows->rows, error));
    for (size_t i = 0; i < learn->touched_count; i++) learn->marks[learn->touched[i]] = 1;
    return RUBATO_OK;
}

static bool learns(const parameters *self, const parameter *p) {
    return !self->groups[p->group].frozen;
}

static rubato_status sum_over_workers(const parameters *self, const gradient_exchange *with, rubato_error *error) {
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->items[i].rows ? self->items[i].rows->learn->touched_count : 1;
    gradient_span *all = malloc(size_max(count, 1) * sizeof *all);
    if (!all) return fail_memory(error);
    count = 0;
    for (size_t i = 0; i < self->count; i++) {
        const parameter *p = &self->items[i];
        if (!learns(self, p)) continue;
        if (!p->rows) all[count++] = (gradient_span){p->gradient, p->count};
        for (size_t j = 0; p->rows && j < p->rows->learn->touched_count; j++)
            all[count++] = (gradient_span){p->gradient + p->rows->learn->touched[j] * p->rows->width, p->rows->width};
    }
    rubato_status status = with->sum(with->user, all, count, error);
    free(all);
    return status;
}

rubato_status parameters_gather(parameters *self, const gradient_exchange *with, rubato_error *error) {
    derive_gradients(self);
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].rows) TRY(join_rows(self->items[i].rows, with, error));
    return with ? sum_over_workers(self, with, error) : RUBATO_OK;
}

void parameters_clear(parameters *self) {
    for (size_t i = 0; i < self->count; i++) {
        const parameter *p = &self->items[i];
        if (!p->rows) memset(p->gradient, 0, p->count * sizeof *p->gradient);
        if (p->rows) table_clear(p->rows->learn, p->rows->width);
    }
}

/* ---- What is derived from values ---- */

typedef struct task {
    const parameters *self;
    const kernel_table *kernels;
} task;

static void refresh_some(void *argument, size_t member, size_t members) {
    const task *work = argument;
    const parameters *self = work->self;
    size_t number = 0;
    if (self->tied)
        for (size_t panel = member; panel * PANEL < self->decoder->out; panel += members)
            work->kernels->pack_transposed_f32(
                self->decoder->packed + panel * PANEL * self->decoder->in,
                (const float *)(const void *)self->tied->data + panel * PANEL * self->tied->width, self->tied->width,
                size_min(PANEL, self->decoder->out - panel * PANEL), self->tied->width);
    for (size_t i = 0; i < self->linear_count; i++) {
        size_t panels = divide_up(self->linears[i]->out, PANEL);
        /* A member refreshes the decoder's panels that it packed. The panels of other layers have numbers, and every
         * member counts all of them. */
        const bool packed = self->tied && self->linears[i] == self->decoder;
        for (size_t panel = 0; panel < panels; panel++)
            if ((packed ? panel : number++) % members == member)
                linear_refresh(self->linears[i], work->kernels, panel, panel + 1);
    }
}

void parameters_refresh(parameters *self, team *crew, const kernel_table *kernels) {
    task work = {self, kernels};
    encoder_refresh(self->body);
    team_run(crew, refresh_some, &work);
}

void parameters_forget(parameters *self) {
    for (size_t i = 0; i < self->count; i++) {
        memset(self->items[i].m, 0, self->items[i].count * sizeof(float));
        memset(self->items[i].v, 0, self->items[i].count * sizeof(float));
        self->items[i].moving_count = 0;
    }
}

void parameters_find_moving(parameters *self) {
    for (size_t i = 0; i < self->count; i++) {
        parameter *p = &self->items[i];
        p->moving_count = 0;
        for (size_t row = 0; p->rows && row < p->rows->rows; row++) {
            bool moves = false;
            for (size_t at = row * p->rows->width; at < (row + 1) * p->rows->width && !moves; at++)
                moves = p->m[at] != 0 || p->v[at] != 0;
            if (moves) p->moving[p->moving_count++] = (uint32_t)row;
        }
    }
}
