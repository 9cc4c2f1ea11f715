/* Longformer's attention. A token that is not global sees the tokens of its window, and the global ones, in one
 * softmax. A global token sees all tokens, with projections of its own. Windows are of places in the text, so a row
 * that has retired leaves a gap. The window of a dilated head has every so manieth token: tokens whose places leave the
 * same rest are a group, in which it is a window again. */
#include "attention/longformer_attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/planned.h"
#include "attention/unprojected.h"
#include "base/checked.h"
#include "tensor/operations.h"

typedef struct longformer_weights {
    projections with; /* first, as projections.h has it */
    const longformer_setting *setting;
    linear query, rest; /* of global tokens: queries; keys and values */
} longformer_weights;

_Static_assert(sizeof(longformer_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { WINDOW = 512, QUERY_BLOCK = PANEL / 2 };

void longformer_choose(part_choice *out, longformer_setting setting) {
    part_choose(out, &attending_longformer.part, &setting, sizeof setting);
}

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    longformer_setting *self = setting;
    size_t separator;
    TRY(json_get_size(&self->window, json, "window", WINDOW, error));
    TRY(json_get_size(&self->globals, json, "globals", 1, error));
    TRY(json_get_size(&separator, json, "separator", INT32_MAX, error));
    self->separator = separator < INT32_MAX ? (int32_t)separator : -1;
    TRY(json_get_size(&self->dilation, json, "dilation", 1, error));
    TRY(json_get_size(&self->dilated, json, "dilated", 0, error));
    if (self->dilation == 0 || self->dilation > LONGFORMER_DILATION)
        return fail(error, RUBATO_BAD_MODEL, "a dilation of %zu; 1 to %d are possible", self->dilation,
                    LONGFORMER_DILATION);
    if (self->dilation > 1 && self->separator >= 0)
        return fail(error, RUBATO_UNSUPPORTED, "a dilation, and questions that are global");
    if (self->window % 2 || self->window > LONGFORMER_WIDEST || self->globals > LONGFORMER_WIDEST)
        return fail(error, RUBATO_BAD_MODEL, "windows of %zu tokens, which must be even, and %zu global tokens",
                    self->window, self->globals);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const longformer_setting *self = setting;
    TRY(json_set(json, "window", json_integer((json_int_t)self->window), error));
    if (self->separator >= 0) TRY(json_set(json, "separator", json_integer(self->separator), error));
    if (self->dilation > 1) TRY(json_set(json, "dilation", json_integer((json_int_t)self->dilation), error));
    if (self->dilated) TRY(json_set(json, "dilated", json_integer((json_int_t)self->dilated), error));
    return json_set(json, "globals", json_integer((json_int_t)self->globals), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const longformer_setting *self = setting;
    const int at = snprintf(out, bytes, "windows of %zu, %zu global token%s%s", self->window, self->globals,
                            self->globals == 1 ? "" : "s", self->separator >= 0 ? " and questions" : "");
    if (self->dilation < 2 || at < 0 || (size_t)at >= bytes) return;
    snprintf(out + at, bytes - (size_t)at, ", dilation %zu", self->dilation);
    const size_t more = strlen(out);
    if (self->dilated) snprintf(out + more, bytes - more, " of %zu heads", self->dilated);
}

/* ---- Loading ---- */

static bool has_globals(const longformer_setting *self) {
    return self->globals || self->separator >= 0 || self->own_weights;
}

static rubato_status load(void **out, const part_source *from) {
    char names[2][LOADER_NAME];
    const char *two[2] = {names[0], names[1]};
    const size_t width = from->heads * from->head_size;
    longformer_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (longformer_weights){.setting = from->setting};
    *out = self;
    TRY(projections_load(&self->with, from));
    if (!has_globals(self->setting)) return RUBATO_OK;
    part_name_beside(names[0], from, from->names->query, "query_global");
    TRY(loader_linear(from->load, &self->query, two, 1, width, from->hidden));
    part_name_beside(names[0], from, from->names->query, "key_global");
    part_name_beside(names[1], from, from->names->query, "value_global");
    return loader_linear(from->load, &self->rest, two, 2, width, from->hidden);
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    if (!has_globals(setting)) return 0;
    out[0] = (added_tensor){"query_global", LIKE_QUERY, 0};
    out[1] = (added_tensor){"key_global", LIKE_KEY, 0};
    out[2] = (added_tensor){"value_global", LIKE_VALUE, 0};
    return 3;
}

static void visit(void *weights, linear_visitor *see, void *user) {
    static const linear_role query = {
        .name = "global query", .part = PART_QKV, .outputs = AXIS_HEADS, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role rest = {
        .name = "global key, value", .part = PART_QKV, .outputs = AXIS_HEADS, .inputs = AXIS_HIDDEN, .stacked = 2};
    longformer_weights *self = weights;
    projections_visit(&self->with, see, user);
    if (!has_globals(self->setting)) return;
    see(user, &self->query, &query);
    see(user, &self->rest, &rest);
}

/* ---- Plans ---- */

/* A pass; places are counted within a sequence. */
typedef struct longformer_pass {
    planned_pass pass; /* with groups where heads are dilated: the global tokens, and the tokens of each rest */
    size_t reach, dilation, heads;
    const size_t *globals; /* [sequences] places below are global */
} longformer_pass;

/* The first row of a sequence, counted from its beginning, that stands at the place or behind it. */
static size_t key_at(const longformer_pass *p, size_t sequence, size_t place) {
    const attending_input *in = &p->pass.in;
    return attending_row_at(in, sequence, &in->sequences, in->origin, place);
}

static size_t query_at(const longformer_pass *p, size_t sequence, size_t place) {
    const attending_input *in = &p->pass.in;
    return attending_row_at(in, sequence, &in->queries, in->query_origin, place);
}

static stretch window_of(const longformer_pass *p, size_t sequence, size_t low, size_t high) {
    const size_t globals = p->globals[sequence], first = low > p->reach ? low - p->reach : 0;
    return planned_keys(&p->pass, sequence, size_max(first, globals), high + p->reach + 1);
}

/* The queries that are not global. Blocks begin at multiples of half a panel, so that the keys of every other one begin
 * at a panel. Larger blocks would see more keys that only some of their queries see. */
static bool local_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const longformer_pass *p = of;
    const size_t count = batch_length(&p->pass.in.queries, sequence),
                 globals = key_at(p, sequence, p->globals[sequence]);
    const size_t begin = query_at(p, sequence, p->globals[sequence]), block = begin / QUERY_BLOCK + number;
    (void)head;
    out->first = size_max(begin, block * QUERY_BLOCK);
    if (out->first >= count) return false;
    out->count = size_min((block + 1) * QUERY_BLOCK, count) - out->first;
    out->stretches = 0;
    if (globals) out->keys[out->stretches++] = (stretch){0, globals};
    const stretch window = window_of(p, sequence, planned_place(&p->pass, sequence, out->first),
                                     planned_place(&p->pass, sequence, out->first + out->count - 1));
    if (window.first < window.end) out->keys[out->stretches++] = window;
    return true;
}

static stretch local_seen(const void *of, size_t sequence, size_t head, size_t query, stretch keys) {
    const longformer_pass *p = of;
    (void)head;
    const size_t place = planned_place(&p->pass, sequence, query);
    if (keys.first < key_at(p, sequence, p->globals[sequence])) return keys;
    return window_of(p, sequence, place, place);
}

/* ---- Dilated heads ---- */

static bool is_dilated(const longformer_pass *p, size_t head) {
    const longformer_setting *setting = p->pass.setting;
    return p->dilation > 1 && (setting->dilated == 0 || head + setting->dilated >= p->heads);
}

static size_t rest_of(const planned_pass *of, size_t place) {
    const longformer_setting *setting = of->setting;
    return place < setting->globals ? 0 : 1 + place % setting->dilation;
}

static const size_t *dilated_order(const void *of, size_t sequence, size_t head, bool queries) {
    const longformer_pass *p = of;
    return is_dilated(p, head) ? planned_order(&p->pass, sequence, queries) : NULL;
}

static stretch dilated_window(const longformer_pass *p, size_t sequence, size_t group, size_t low, size_t high) {
    const size_t reach = p->reach * p->dilation;
    return planned_group_keys(&p->pass, sequence, group, low > reach ? low - reach : 0, high + reach + 1);
}

/* The place of a query that is counted in the order of the groups. */
static size_t dilated_place(const longformer_pass *p, size_t sequence, size_t query) {
    return planned_place(&p->pass, sequence, planned_order(&p->pass, sequence, true)[query]);
}

/* Blocks of each group in turn, behind that of the global tokens. */
static bool dilated_block(const longformer_pass *p, size_t sequence, size_t number, query_block *out) {
    for (size_t group = 1; group < p->pass.groups; group++) {
        const stretch all = planned_group_queries(&p->pass, sequence, group, 0, SIZE_MAX);
        const size_t blocks = divide_up(all.end - all.first, QUERY_BLOCK);
        if (number >= blocks) {
            number -= blocks;
            continue;
        }
        const size_t first = all.first + number * QUERY_BLOCK, end = size_min(first + QUERY_BLOCK, all.end);
        planned_ask(out, (stretch){first, end});
        planned_see(out, planned_group_keys(&p->pass, sequence, 0, 0, SIZE_MAX), 0);
        planned_see(
            out,
            dilated_window(p, sequence, group, dilated_place(p, sequence, first), dilated_place(p, sequence, end - 1)),
            0);
        return true;
    }
    return false;
}

static bool some_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const longformer_pass *p = of;
    if (!is_dilated(p, head)) return local_block(of, sequence, head, number, out);
    return batch_length(&p->pass.in.sequences, sequence) > 0 && dilated_block(p, sequence, number, out);
}

static stretch some_seen(const void *of, size_t sequence, size_t head, size_t query, stretch keys) {
    const longformer_pass *p = of;
    if (!is_dilated(p, head)) return local_seen(of, sequence, head, query, keys);
    if (keys.first < planned_group_keys(&p->pass, sequence, 0, 0, SIZE_MAX).end) return keys;
    const size_t place = dilated_place(p, sequence, query);
    return dilated_window(p, sequence, rest_of(&p->pass, place), place, place);
}

/* ---- Running ---- */

static const size_t *find_globals(const run *on, const longformer_setting *setting, const attending_input *in) {
    size_t *out = run_take(on, in->sequences.sequences + 1, sizeof *out);
    for (size_t i = 0; out && i < in->sequences.sequences; i++) {
        out[i] = setting->globals;
        if (setting->separator < 0 || batch_length(&in->sequences, i) == 0) continue;
        /* places are counted from the first row that is there */
        const size_t row = in->sequences.start[i], first = in->origin ? in->origin[row] : row;
        const size_t length = in->input.start[i + 1] - first;
        size_t place = 0;
        while (place < length && in->input.ids[first + place] != setting->separator) place++;
        if (place < length) out[i] = size_max(out[i], place);
    }
    return out;
}

/* Columns [part * whole, .. + width) of a stacked product. */
static tensor project_part(const run *on, tensor x, const linear *stacked, size_t part, size_t whole, size_t width) {
    const linear *own = linear_part(stacked, part * whole, width, stacked->in, on->memory);
    if (!own) {
        run_fail(on, RUBATO_OUT_OF_MEMORY);
        return (tensor){0};
    }
    tensor out = run_tensor(on, x.rows, width);
    run_linear(on, out, x, own, ACTIVATION_NONE, NULL);
    return out;
}

static projected project_globals(const longformer_weights *self, const run *on, const attending_input *in,
                                 tensor queries) {
    const size_t whole = self->with.heads * self->with.head_size, width = in->heads * self->with.head_size;
    projected made = {.query = project_part(on, queries, &self->query, 0, whole, width)};
    if (whole % PANEL && width == whole) {
        tensor both = project_part(on, in->x, &self->rest, 0, 2 * whole, 2 * whole);
        made.key = tensor_columns(both, 0, width);
        made.value = tensor_columns(both, width, width);
    } else {
        made.key = project_part(on, in->x, &self->rest, 0, whole, width);
        made.value = project_part(on, in->x, &self->rest, 1, whole, width);
    }
    return made;
}

typedef struct chosen {
    size_t *rows, *places; /* of query_rows; 0, 1, ... */
    batch packed;
} chosen;

static chosen list_globals(const run *on, const longformer_pass *p) {
    const batch *queries = &p->pass.in.queries;
    size_t *rows = run_take(on, 2 * queries->rows + queries->sequences + 1, sizeof *rows);
    chosen out = {rows, rows + queries->rows, {.sequences = queries->sequences}};
    if (!rows) return out;
    size_t *start = out.places + queries->rows;
    start[0] = 0;
    for (size_t i = 0; i < queries->sequences; i++) {
        const size_t count = query_at(p, i, p->globals[i]);
        for (size_t j = 0; j < count; j++, out.packed.rows++) {
            out.rows[out.packed.rows] = queries->start[i] + j;
            out.places[out.packed.rows] = out.packed.rows;
        }
        start[i + 1] = out.packed.rows;
    }
    out.packed.start = start;
    return out;
}

/* Few global tokens, the same number in every text, are cheaper without keys and values of all rows. */
static bool globals_are_few(const longformer_setting *self, size_t heads, size_t hidden) {
    return self->globals > 0 && self->separator < 0 && 2 * self->globals * heads <= hidden;
}

static bool leaves_unprojected(const longformer_weights *self, const run *on, const attending_input *in) {
    return !in->places && self->rest.packed && !linear_is_low(&self->rest, on->low) &&
           globals_are_few(self->setting, self->with.heads, in->x.columns);
}

/* The output of global queries, and what rows receive from them, by that way. */
static void see_unprojected(const longformer_weights *self, const run *on, const attending_input *in,
                            const chosen *list, tensor queries, float *received, tensor out) {
    const size_t whole = self->with.heads * self->with.head_size;
    const tensor query = project_part(on, queries, &self->query, 0, whole, out.columns);
    /* the rows of queries count among all rows only where all rows ask */
    const bool apart = in->others_only && in->query_rows.data == in->x.data;
    batch *asking = run_take(on, 2, sizeof *asking); /* live as long as the tape */
    if (run_failed(on)) return;
    asking[0] = in->sequences;
    asking[1] = list->packed;
    attention_unprojected(on, out,
                          &(unprojected){.query = query,
                                         .x = in->x,
                                         .stacked = &self->rest,
                                         .whole = whole,
                                         .sequences = &asking[0],
                                         .queries = &asking[1],
                                         .heads = in->heads,
                                         .head_size = self->with.head_size,
                                         .scale = 1 / sqrtf((float)self->with.head_size),
                                         .received = received,
                                         .own_row = apart ? list->rows : NULL});
}

/* What global queries saw, to their rows; and what rows received. */
static void give_globals(const run *on, const attending_input *in, const chosen *list, const float *received,
                         tensor out, tensor mixed) {
    if (received && !run_failed(on)) on->kernels->gradient->add(in->significance, received, in->x.rows);
    run_scatter(on, mixed, list->rows, out, list->places, list->packed.rows);
}

static void run_globals(const longformer_weights *self, const run *on, const longformer_pass *p, tensor mixed) {
    const attending_input *in = &p->pass.in;
    const chosen list = list_globals(on, p);
    if (run_failed(on) || list.packed.rows == 0) return;
    double begin = run_begin(on);
    tensor queries = run_gather(on, in->query_rows, list.rows, list.packed.rows);
    float *received = in->significance ? run_take(on, in->x.rows, sizeof *received) : NULL;
    tensor out = run_tensor(on, list.packed.rows, mixed.columns);
    if (leaves_unprojected(self, on, in)) {
        see_unprojected(self, on, in, &list, queries, received, out);
        run_end(on, PART_QKV, begin);
        give_globals(on, in, &list, received, out, mixed);
        return;
    }
    projected rows = project_globals(self, on, in, queries);
    run_end(on, PART_QKV, begin);
    gathered heads = gathered_heads(&self->with, in, &rows);
    if (in->places) {
        size_t *places = run_take(on, list.packed.rows, sizeof *places);
        for (size_t i = 0; places && i < list.packed.rows; i++) places[i] = in->places[list.rows[i]];
        heads.query_place = places;
    }
    if (run_failed(on) || !gathered_whole(on, &heads, in->sequences, list.packed)) return;
    heads.significance = received;
    begin = run_begin(on);
    attention_gathered(on, out, &heads);
    give_globals(on, in, &list, received, out, mixed);
    run_end(on, PART_HEADS, begin);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const longformer_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    longformer_pass *p = run_take(on, 1, sizeof *p);
    const size_t *globals = find_globals(on, self->setting, in);
    if (!run_failed(on)) {
        double begin = run_begin(on);
        static const planned_form by_rest = {.group = rest_of};
        *p = (longformer_pass){.pass = {.in = *in, .setting = self->setting},
                               .reach = self->setting->window / 2,
                               .dilation = size_max(self->setting->dilation, 1),
                               .heads = self->with.heads,
                               .globals = globals};
        gathered heads = gathered_heads(&self->with, in, &rows);
        heads.plan = (gather_plan){.of = p, .block = some_block, .seen = some_seen};
        if (p->dilation > 1) heads.plan.order = dilated_order;
        if (p->dilation == 1 || planned_make_groups(&p->pass, on, &by_rest, 1 + p->dilation))
            attention_gathered(on, mixed, &heads);
        run_end(on, PART_HEADS, begin);
        if (has_globals(self->setting)) run_globals(self, on, p, mixed);
    }
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Of the products with keys; questions count as one token. Global queries multiply keys of that width. */
static double products(const longformer_setting *setting, double keys, double queries, double width,
                       double of_globals) {
    const double globals = (double)setting->globals;
    return 4 * (width * queries * fmin(keys, (double)setting->window + 1 + globals) + of_globals * globals * keys);
}

static operations count(const void *setting, const part_extent *of) {
    const longformer_setting *self = setting;
    const double width = (double)(of->units * of->unit_size), hidden = (double)of->hidden;
    operations sum = projections_count(of);
    const bool few = globals_are_few(self, of->units, of->hidden);
    sum.queries += products(self, (double)of->rows.entering, (double)of->rows.queries, width,
                            few ? (double)of->units * hidden : width);
    if (has_globals(self)) {
        sum.keys += few ? 0 : 4 * (double)of->rows.entering * hidden * width;
        sum.queries += (few ? 6 : 2) * (double)self->globals * hidden * width;
    }
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const longformer_weights *self = weights;
    const double width = (double)(self->with.heads * self->with.head_size);
    (void)kernels;
    return projections_demand(&self->with,
                              (double)sequences * products(self->setting, (double)length, (double)length, width, width),
                              sequences, length);
}

const attending attending_longformer = {
    .part = {.name = "longformer", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .yields_received = true,
    .fewer_queries = true,
    .narrows = true,
    .decodes = true,
    .load = load,
    .added_tensors = added_tensors,
    .allow_narrow = projections_allow_narrow,
    .forward = forward,
    .visit = visit,
    .count = count,
    .demand = demand};
