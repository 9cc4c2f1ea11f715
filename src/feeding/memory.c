/* A memory as a feed-forward part, or beside one. */
#include "feeding/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "elastic/point.h"
#include "tensor/operations.h"
#include "tensor/tape.h"
#include "tensor/watch.h"

extern const feeding feeding_dense;

static const char *const forms[MEMORY_FORMS] = {[MEMORY_RES] = "res", [MEMORY_PKM] = "pkm", [MEMORY_AFTER] = "after"};

/* ---- Settings ---- */

/* What somebody who opens config.json should know; it is not read. */
#define NOTE_KEY "note"

static rubato_status read_count(uint32_t *out, const json_t *json, const char *key, size_t otherwise, size_t most,
                                rubato_error *error) {
    size_t value;
    TRY(json_get_size(&value, json, key, otherwise, error));
    if (value < 1 || value > most)
        return fail(error, RUBATO_BAD_MODEL, "a memory's \"%s\" is %zu; it is from 1 to %zu", key, value, most);
    *out = (uint32_t)value;
    return RUBATO_OK;
}

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    enum { MOST_HEADS = 64, MOST_QUERY = 4096 };
    memory_setting *self = setting;
    _Static_assert(sizeof *self <= SETTING_BYTES, "the setting fits");
    const char *form;
    size_t slots;
    TRY(json_get_text(&form, json, "form", forms[MEMORY_RES], error));
    self->form = MEMORY_FORMS;
    for (uint8_t i = 0; i < MEMORY_FORMS; i++)
        if (strcmp(form, forms[i]) == 0) self->form = i;
    if (self->form == MEMORY_FORMS)
        return fail(error, RUBATO_UNSUPPORTED, "a memory's form \"%.20s\": known are res, pkm, after", form);
    TRY(json_get_size(&slots, json, "slots", 65536, error));
    const size_t side = (size_t)(sqrt(fmin((double)slots, 1e15)) + 0.5);
    if (side < 1 || side > MOST_SIDE || side * side != slots)
        return fail(error, RUBATO_BAD_MODEL,
                    "a memory has %zu slots; it takes a square number, as 16384, 65536 or 262144, up to %d", slots,
                    MOST_SIDE * MOST_SIDE);
    self->side = (uint32_t)side;
    TRY(read_count(&self->heads, json, "heads", 4, MOST_HEADS, error));
    TRY(read_count(&self->selected, json, "selected", size_min(32, side), size_min(side, MOST_SELECTED), error));
    TRY(read_count(&self->query, json, "query", 256, MOST_QUERY, error));
    if (self->query % 2)
        return fail(error, RUBATO_BAD_MODEL, "a memory's \"query\" is %u; it is an even number", self->query);
    TRY(json_get_bool(&self->normal, json, "normal", true, error));
    TRY(json_get_bool(&self->shared, json, "shared", false, error));
    return json_get_bool(&self->gated, json, "gated", false, error);
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const memory_setting *self = setting;
    TRY(json_set(json, "form", json_string(forms[self->form]), error));
    TRY(json_set(json, NOTE_KEY,
                 json_string(self->form == MEMORY_PKM
                                 ? "transformers has no memories, and the feed-forward parts that they replace are gone"
                                 : "transformers has no memories; rubato convert THIS --memory none --out PLAIN writes "
                                   "the model without them, which loads there"),
                 error));
    TRY(json_set(json, "slots", json_integer((json_int_t)self->side * self->side), error));
    TRY(json_set(json, "heads", json_integer(self->heads), error));
    TRY(json_set(json, "selected", json_integer(self->selected), error));
    TRY(json_set(json, "query", json_integer(self->query), error));
    TRY(json_set(json, "normal", json_boolean(self->normal), error));
    TRY(json_set(json, "shared", json_boolean(self->shared), error));
    return json_set(json, "gated", json_boolean(self->gated), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const memory_setting *self = setting;
    snprintf(out, bytes, "%s, %u slots, %u of them for each of %u heads, queries of %u%s%s%s", forms[self->form],
             self->side * self->side, self->selected, self->heads, self->query, self->normal ? "" : ", not normalised",
             self->shared ? ", shared values" : "", self->gated ? ", gated" : "");
}

/* ---- Loading ---- */

static rubato_status load_linear(linear *out, const part_source *from, const char *name, size_t rows, size_t columns) {
    char full[LOADER_NAME];
    const char *one[1] = {full};
    part_name_in_layer(full, from, name);
    from->load->with.deviation = 1 / sqrt(3 * (double)columns); /* uniform in +-1 / sqrt(columns), as in PyTorch */
    TRY(loader_linear(from->load, out, one, 1, rows, columns));
    out->exact = true;
    return RUBATO_OK;
}

static rubato_status load_keys(memory *self, const part_source *from) {
    const memory_setting *s = self->setting;
    self->keys = arena_take_array(from->load->with.memory, 2 * s->heads, sizeof *self->keys);
    if (!self->keys) return fail_memory(from->load->error);
    from->load->with.no_bias = true;
    for (size_t i = 0; i < 2 * (size_t)s->heads; i++) {
        char name[64];
        snprintf(name, sizeof name, "memory.keys.%zu.%zu", i / 2, i % 2);
        self->keys[i] = (linear){0};
        TRY(load_linear(&self->keys[i], from, name, s->side, s->query / 2));
        if (self->keys[i].bias) return fail(from->load->error, RUBATO_BAD_MODEL, "the keys of a memory have a bias");
    }
    from->load->with.no_bias = false;
    return RUBATO_OK;
}

static const float BATCH_EPSILON = 1e-5f;

static rubato_status load_norm(batch_norm *out, const part_source *from, size_t width) {
    char full[LOADER_NAME];
    part_name_in_layer(full, from, "memory.norm");
    TRY(loader_norm(from->load, &out->scale, full, width, BATCH_EPSILON));
    if (!out->scale.beta) return fail(from->load->error, RUBATO_BAD_MODEL, "tensor \"%s.bias\" is missing", full);
    return loader_running(from->load, &out->running, full, width);
}

static rubato_status load_values(memory *self, const part_source *from) {
    const memory_setting *s = self->setting;
    char full[LOADER_NAME];
    if (s->shared && from->kept && *from->kept) {
        self->values = *from->kept;
        return RUBATO_OK;
    }
    if (s->shared)
        snprintf(full, sizeof full, "%smemory.values.weight", from->load->prefix);
    else
        part_name_in_layer(full, from, "memory.values.weight");
    self->values = &self->own;
    from->load->with.uniform = false;
    TRY(loader_values(from->load, &self->own, full, (size_t)s->side * s->side, from->hidden));
    from->load->with.uniform = true;
    if (s->shared && from->kept) *from->kept = &self->own;
    return RUBATO_OK;
}

static rubato_status load_memory(memory *self, const part_source *from) {
    const memory_setting *s = self->setting;
    TRY(load_linear(&self->query, from, "memory.query", (size_t)s->heads * s->query, from->hidden));
    if (s->normal) TRY(load_norm(&self->norm, from, (size_t)s->heads * s->query));
    TRY(load_keys(self, from));
    TRY(load_values(self, from));
    if (!s->gated) return RUBATO_OK;
    TRY(load_linear(&self->gate, from, "memory.gate", from->hidden, from->hidden));
    return load_linear(&self->out, from, "memory.output", from->hidden, from->hidden);
}

/* The memory's own products are in f32 in every model: rounding would select other slots. */
static rubato_status load(void **out, const part_source *from) {
    loader *load = from->load;
    memory *self = arena_take(load->with.memory, sizeof *self);
    if (!self) return fail_memory(load->error);
    *self = (memory){.setting = from->setting};
    *out = self;
    if (self->setting->form != MEMORY_PKM) TRY(feeding_dense.load(&self->dense, from));
    const loader before = *load;
    load->with.precision = PRECISION_F32;
    load->with.both = false;
    load->with.uniform = true;
    load->smooth = NULL;
    load->new_all = load->new_all || load->new_memory;
    load->fresh = load->new_memory ? load->new_memory : load->fresh;
    const rubato_status status = load_memory(self, from);
    load->with = before.with;
    load->smooth = before.smooth;
    load->new_all = before.new_all;
    load->fresh = before.fresh;
    return status;
}

static rubato_status allow_narrow(void *weights, arena *memory_of, rubato_error *error) {
    memory *self = weights;
    return self->dense ? feeding_dense.allow_narrow(self->dense, memory_of, error) : RUBATO_OK;
}

/* Only linear layers of all rows: a memory's own ones are not rounded, sorted or pruned. */
static void visit(void *weights, linear_visitor *visitor, void *user) {
    memory *self = weights;
    if (self->dense) feeding_dense.visit(self->dense, visitor, user);
}

/* ---- Running ---- */

/* Rows [first, first + count) of a tensor without a gradient. */
static tensor some_rows(tensor x, size_t first, size_t count) {
    x.data += first * x.stride;
    x.rows = count;
    return x;
}

static void show_choice(const run *on, const memory_choice *choice, size_t layer) {
    run_show(on, &(sight){.what = WATCH_MEMORY, .layer = layer + 1, .memory = choice});
}

/* The rows of one choice: all when recording; else as many as leave the scores in the second-level cache. */
enum { CHOICE_ROWS = 128 };

/* out [rows, hidden] = Memory(x) for some of the rows, from their queries. */
static void recall(const memory *self, const run *on, tensor query, tensor out, const memory_choice *sizes,
                   size_t layer) {
    const memory_setting *s = self->setting;
    const size_t half = s->query / 2, hits = sizes->heads * sizes->selected;
    memory_choice choice = *sizes;
    choice.rows = query.rows;
    choice.slots = run_take(on, query.rows * hits, sizeof *choice.slots);
    choice.weights = run_take(on, query.rows * hits, sizeof *choice.weights);
    tensor *first = run_take(on, sizes->heads, sizeof *first), *second = run_take(on, sizes->heads, sizeof *second);
    for (size_t head = 0; head < sizes->heads && !run_failed(on); head++) {
        const arena_mark mark = arena_save(on->memory);
        first[head] = run_tensor(on, query.rows, s->side);
        second[head] = run_tensor(on, query.rows, s->side);
        run_linear(on, first[head], tensor_columns(query, 2 * head * half, half), &self->keys[2 * head],
                   ACTIVATION_NONE, NULL);
        run_linear(on, second[head], tensor_columns(query, (2 * head + 1) * half, half), &self->keys[2 * head + 1],
                   ACTIVATION_NONE, NULL);
        memory_select(on, first[head], second[head], head, &choice);
        if (!on->tape) arena_rewind(on->memory, mark);
    }
    if (run_failed(on)) return;
    show_choice(on, &choice, layer);
    memory_sum(on, out, self->values, &choice, first, second);
}

/* Memory(x) [rows, hidden], of the point's heads and slots. */
static tensor remember(const memory *self, const run *on, const feeding_input *in) {
    const memory_setting *s = self->setting;
    const tensor x = in->x;
    const memory_choice sizes = {.heads = point_part(in->memory_heads, s->heads, 1),
                                 .selected = point_part(in->selected, s->selected, 1),
                                 .side = s->side};
    tensor out = run_tensor(on, x.rows, self->values->width), gate = {0}, gated = {0};
    const linear *part = linear_part(&self->query, 0, sizes.heads * s->query, x.columns, on->memory);
    if (!part) run_fail(on, RUBATO_OUT_OF_MEMORY);
    tensor query = run_tensor(on, x.rows, sizes.heads * s->query);
    if (run_failed(on)) return out;
    run_linear(on, query, x, part, ACTIVATION_NONE, NULL);
    if (s->normal) {
        tensor normal = run_over(on, query, query.rows);
        run_batch_norm(on, normal, query, &self->norm);
        query = normal;
    }
    const size_t most = on->tape || on->watch ? x.rows : CHOICE_ROWS * team_size(on->crew);
    for (size_t first = 0; first < x.rows && !run_failed(on); first += most) {
        const size_t count = size_min(most, x.rows - first);
        const arena_mark mark = arena_save(on->memory);
        if (count == x.rows) {
            recall(self, on, query, out, &sizes, in->layer);
        } else {
            recall(self, on, some_rows(query, first, count), some_rows(out, first, count), &sizes, in->layer);
            arena_rewind(on->memory, mark);
        }
    }
    if (!s->gated) return out;
    gate = run_tensor(on, x.rows, x.columns);
    run_linear(on, gate, x, &self->gate, ACTIVATION_SILU, NULL);
    gated = run_over(on, gate, gate.rows);
    run_multiply(on, gated, gate, out);
    tensor last = run_tensor(on, x.rows, x.columns);
    run_linear(on, last, gated, &self->out, ACTIVATION_NONE, NULL);
    return last;
}

static tensor remember_timed(const memory *self, const run *on, const feeding_input *in) {
    const double begin = run_begin(on);
    const tensor result = remember(self, on, in);
    run_end(on, PART_MEMORY, begin);
    return result;
}

static void forward(const void *weights, const run *on, const feeding_input *in, tensor out) {
    const memory *self = weights;
    const bool runs = in->memory_heads > 0 && self->setting->form != MEMORY_AFTER;
    if (self->dense) {
        feeding_dense.forward(self->dense, on, in, out);
    } else if (!run_failed(on)) {
        for (size_t row = 0; row < out.rows; row++) memset(tensor_row(out, row), 0, out.columns * sizeof(float));
        run_add(on, out, in->residual);
    }
    if (!runs) return;
    const arena_mark mark = arena_save(on->memory);
    const tensor sum = remember_timed(self, on, in);
    run_add(on, out, sum);
    if (!on->tape && !on->watch) arena_rewind(on->memory, mark);
}

static tensor after(const void *weights, const run *on, const feeding_input *in) {
    const memory *self = weights;
    if (self->setting->form != MEMORY_AFTER || !(in->memory_heads > 0)) return in->x;
    tensor sum = remember_timed(self, on, in);
    if (on->tape) { /* the memory's derivative needs in->x */
        run_add(on, sum, in->x);
        return sum;
    }
    run_add(on, in->x, sum);
    return in->x;
}

/* Queries, scores of half keys, sums of values, gate; and the feed-forward part beside it. Sections 1.5 of the first
 * paper's cost, without the candidates, which are additions. */
static operations count(const void *setting, const part_extent *of) {
    const memory_setting *s = setting;
    const double d = (double)of->hidden,
                 heads = of->memory_heads > 0 ? (double)point_part(of->memory_heads, s->heads, 1) : 0;
    const double each = s->query * (d + s->side) + (double)point_part(of->selected, s->selected, 1) * d;
    double row = 2 * heads * each + (s->gated && heads > 0 ? 4 * d * d : 0);
    if (s->form != MEMORY_PKM) row += 4 * d * (double)of->units;
    return (operations){.queries = (double)of->rows.leaving * row};
}

static feeding_demand demand(const void *weights, double rows) {
    const memory *self = weights;
    const memory_setting *s = self->setting;
    const double d = (double)self->values->width,
                 products = s->heads * s->query * (d + s->side) + (s->gated ? 2 * d * d : 0);
    const double row = (double)dtype_bits(self->values->type) / 8 * d;
    return (feeding_demand){
        .flops = 2 * rows * products, .weight_bytes = 4 * products, .read_bytes = rows * s->heads * s->selected * row};
}

const feeding feeding_memory = {
    .part = {.name = "memory", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .narrows = true,
    .remembers = true,
    .load = load,
    .allow_narrow = allow_narrow,
    .forward = forward,
    .after = after,
    .visit = visit,
    .count = count,
    .demand = demand};
