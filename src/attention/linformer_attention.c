/* Linformer (Wang et al. 2020): a table [longest text, slots] sums the keys of all tokens into `slots` keys,
 * k'_j = sum over tokens of table[place][j] k, and another table the values. The heads of a layer share its tables, and
 * queries see all slots. */
#include <stdio.h>
#include <string.h>

#include "attention/block.h"
#include "attention/gathered.h"
#include "base/checked.h"

typedef struct linformer_setting {
    size_t slots;
    bool shared; /* keys and values have one table */
} linformer_setting;
_Static_assert(sizeof(linformer_setting) <= SETTING_BYTES, "a setting fits");

typedef struct linformer_weights {
    projections with; /* first, as projections.h has it */
    const linformer_setting *setting;
    table *keys, *values; /* one table where they share it */
} linformer_weights;

/* ---- Setting ---- */

enum { SLOTS = 128, MOST_SLOTS = 1 << 14 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    linformer_setting *self = setting;
    TRY(json_get_size(&self->slots, json, "slots", SLOTS, error));
    TRY(json_get_bool(&self->shared, json, "shared", false, error));
    if (self->slots == 0 || self->slots > MOST_SLOTS)
        return fail(error, RUBATO_BAD_MODEL, "Linformer's attention with %zu slots", self->slots);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const linformer_setting *self = setting;
    TRY(json_set(json, "slots", json_integer((json_int_t)self->slots), error));
    return json_set(json, "shared", json_boolean(self->shared), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const linformer_setting *self = setting;
    snprintf(out, bytes, "%zu slots", self->slots);
}

/* ---- Loading ---- */

static rubato_status load(void **out, const part_source *from) {
    linformer_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (linformer_weights){.setting = from->setting};
    table *tables = arena_take_array(from->load->with.memory, 2, sizeof *tables);
    if (!tables) return fail_memory(from->load->error);
    self->keys = &tables[0];
    self->values = self->setting->shared ? self->keys : &tables[1];
    *out = self;
    return projections_load(&self->with, from);
}

static rubato_status load_table(table *out, const part_source *from, const char *name) {
    const linformer_setting *setting = from->setting;
    char full[LOADER_NAME];
    part_name_beside(full, from, from->names->query, name);
    return loader_stored(from->load, out, BOUND_TABLE, full, from->longest, setting->slots);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    linformer_weights *self = weights;
    TRY(load_table(self->keys, from, "project_key.weight"));
    return self->setting->shared ? RUBATO_OK : load_table(self->values, from, "project_value.weight");
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const linformer_setting *self = setting;
    out[0] = (added_tensor){"project_key", LIKE_SEGMENTS, self->slots};
    out[1] = (added_tensor){"project_value", LIKE_SEGMENTS, self->slots};
    return self->shared ? 1 : 2;
}

/* ---- Sums by a table ---- */

enum { ROWS = 256, COLUMNS = 96 }; /* that run together */

typedef struct mixing {
    const run *on;
    attending_input in;
    tensor out, x; /* [sequences * slots, width]; [rows, width] */
    table *by;
    size_t slots;
    float *scratch;
    size_t scratch_size;
} mixing;

/* Floats of a member's scratch: rows of the table, the same transposed, and room for products. */
static size_t mixing_room(const mixing *m) {
    return round_up(ROWS * m->slots, 16) + round_up(m->slots * (ROWS + 16), 16) +
           round_up(size_max(packed_size(m->x.columns, size_max(ROWS, m->slots)), packed_size(m->slots, m->x.columns)),
                    16);
}

static size_t place_of(const mixing *m, size_t sequence, size_t row) {
    return attending_place(&m->in, sequence, m->in.origin, row);
}

/* out [count, slots] = the table's rows of rows [first, first + count). */
static void read_rows(const mixing *m, size_t sequence, size_t first, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) table_read(m->by, place_of(m, sequence, first + i), 1, out + i * m->slots);
}

static void mix_some(void *argument, size_t member, size_t first, size_t last) {
    const mixing *m = argument;
    const size_t blocks = divide_up(m->x.columns, COLUMNS);
    float *rows = m->scratch + member * m->scratch_size, *turned = rows + round_up(ROWS * m->slots, 16);
    const block_room room = {.packed = turned + round_up(m->slots * (ROWS + 16), 16)};
    for (size_t unit = first; unit < last; unit++) {
        const size_t sequence = unit / blocks, column = unit % blocks * COLUMNS;
        const size_t columns = size_min(COLUMNS, m->x.columns - column), end = m->in.sequences.start[sequence + 1];
        float *to = tensor_row(m->out, sequence * m->slots) + column;
        for (size_t i = 0; i < m->slots; i++) memset(to + i * m->out.stride, 0, columns * sizeof *to);
        for (size_t row = m->in.sequences.start[sequence]; row < end; row += ROWS) {
            const size_t count = size_min(ROWS, end - row);
            read_rows(m, sequence, row, count, rows);
            m->on->kernels->gradient->transpose(turned, ROWS + 16, rows, m->slots, count, m->slots);
            block_accumulate(m->on, to, m->out.stride, turned, ROWS + 16, tensor_row(m->x, row) + column, m->x.stride,
                             m->slots, columns, count, &room);
        }
    }
}

/* Of a sequence's rows: dx += table dout. */
static void rows_backward(void *argument, size_t member, size_t first, size_t last) {
    const mixing *m = argument;
    float *rows = m->scratch + member * m->scratch_size;
    const block_room room = {.packed = rows + round_up(ROWS * m->slots, 16) + round_up(m->slots * (ROWS + 16), 16)};
    for (size_t sequence = first; sequence < last; sequence++) {
        const size_t end = m->in.sequences.start[sequence + 1];
        for (size_t row = m->in.sequences.start[sequence]; row < end; row += ROWS) {
            const size_t count = size_min(ROWS, end - row);
            read_rows(m, sequence, row, count, rows);
            block_accumulate(m->on, tensor_grad(m->x, row), m->x.stride, rows, m->slots,
                             tensor_grad(m->out, sequence * m->slots), m->out.stride, count, m->x.columns, m->slots,
                             &room);
        }
    }
}

/* Of the table's rows [first, last): dtable += x dout^T, of all sequences in their order. */
static void table_backward(void *argument, size_t member, size_t first, size_t last) {
    const mixing *m = argument;
    const attending_input *in = &m->in;
    float *sums = m->scratch + member * m->scratch_size;
    const block_room room = {.packed = sums + round_up(ROWS * m->slots, 16) + round_up(m->slots * (ROWS + 16), 16)};
    for (size_t sequence = 0; sequence < in->sequences.sequences; sequence++) {
        const size_t start = in->sequences.start[sequence];
        const size_t end = start + attending_row_at(in, sequence, &in->sequences, in->origin, last);
        for (size_t row = start + attending_row_at(in, sequence, &in->sequences, in->origin, first); row < end;
             row += ROWS) {
            const size_t count = size_min(ROWS, end - row);
            block_outer(m->on, sums, m->slots, tensor_row(m->x, row), m->x.stride, count,
                        tensor_grad(m->out, sequence * m->slots), m->out.stride, m->slots, m->x.columns, 1, &room);
            for (size_t i = 0; i < count; i++)
                m->on->kernels->gradient->add(m->by->learn->rows + place_of(m, sequence, row + i) * m->slots,
                                              sums + i * m->slots, m->slots);
        }
    }
}

static void mix_backward(const run *on, void *saved) {
    mixing m = *(const mixing *)saved;
    m.on = on;
    m.scratch = run_take(on, team_size(on->crew) * m.scratch_size, sizeof *m.scratch);
    if (run_failed(on)) return;
    run_parallel(on, m.in.sequences.sequences, 1, rows_backward, &m);
    if (!m.by->learn || !m.by->learn->rows) return;
    size_t longest = 0;
    for (size_t i = 0; i < m.in.sequences.sequences; i++)
        for (size_t row = m.in.sequences.start[i]; row < m.in.sequences.start[i + 1]; row++) {
            table_touch(m.by->learn, place_of(&m, i, row));
            longest = size_max(longest, place_of(&m, i, row) + 1);
        }
    run_parallel(on, longest, PANEL, table_backward, &m);
}

static tensor mix_rows(const run *on, const attending_input *in, tensor x, table *by, size_t slots) {
    mixing m = {.on = on,
                .in = *in,
                .x = x,
                .by = by,
                .slots = slots,
                .out = run_tensor(on, in->sequences.sequences * slots, x.columns)};
    m.scratch_size = mixing_room(&m);
    arena_mark mark = arena_save(on->memory);
    m.scratch = run_take(on, team_size(on->crew) * m.scratch_size, sizeof *m.scratch);
    if (run_failed(on)) return m.out;
    run_parallel(on, in->sequences.sequences * divide_up(x.columns, COLUMNS), 1, mix_some, &m);
    arena_rewind(on->memory, mark);
    if (!on->tape) return m.out;
    mixing *saved = tape_push(on, mix_backward, sizeof *saved);
    if (saved) *saved = m;
    return m.out;
}

/* ---- Running ---- */

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const linformer_weights *self = weights;
    const size_t slots = self->setting->slots;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    const double begin = run_begin(on);
    size_t *start = run_take(on, in->sequences.sequences + 1, sizeof *start);
    if (!run_failed(on)) {
        for (size_t i = 0; i <= in->sequences.sequences; i++) start[i] = i * slots;
        rows.key = mix_rows(on, in, rows.key, self->keys, slots);
        rows.value = mix_rows(on, in, rows.value, self->values, slots);
        gathered heads = gathered_heads(&self->with, in, &rows);
        const batch made = {
            .sequences = in->sequences.sequences, .rows = start[in->sequences.sequences], .start = start};
        if (gathered_whole(on, &heads, made, in->queries)) attention_gathered(on, mixed, &heads);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Sums of keys and values, and the queries' scores and mixing. */
static operations count(const void *setting, const part_extent *of) {
    const linformer_setting *self = setting;
    const double width = (double)(of->units * of->unit_size), slots = (double)self->slots;
    operations sum = projections_count(of);
    sum.keys += 4 * (double)of->rows.entering * slots * width;
    sum.queries += 4 * (double)of->rows.queries * slots * width;
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const linformer_weights *self = weights;
    const double width = (double)(self->with.heads * self->with.head_size), rows = (double)(sequences * length);
    (void)kernels;
    return projections_demand(&self->with, 8 * rows * (double)self->setting->slots * width, sequences, length);
}

const attending attending_linformer = {
    .part = {.name = "linformer", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .fewer_queries = true,
    .narrows = true,
    .by_place = true,
    .load = load,
    .load_terms = load_terms,
    .added_tensors = added_tensors,
    .allow_narrow = projections_allow_narrow,
    .forward = forward,
    .visit = projections_visit,
    .count = count,
    .demand = demand};
