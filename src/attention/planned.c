#include "attention/planned.h"

#include "base/checked.h"

rubato_status planned_load(void **out, const part_source *from) {
    planned_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (planned_weights){.setting = from->setting};
    *out = self;
    return projections_load(&self->with, from);
}

/* ---- Rows and places ---- */

size_t planned_length(const planned_pass *of, size_t sequence) {
    const attending_input *in = &of->in;
    if (batch_length(&in->sequences, sequence) == 0) return 0;
    const size_t row = in->sequences.start[sequence];
    return in->input.start[sequence + 1] - (in->origin ? in->origin[row] : row);
}

size_t planned_place(const planned_pass *of, size_t sequence, size_t query) {
    return attending_place(&of->in, sequence, of->in.query_origin, of->in.queries.start[sequence] + query);
}

stretch planned_keys(const planned_pass *of, size_t sequence, size_t first, size_t end) {
    const attending_input *in = &of->in;
    return (stretch){attending_row_at(in, sequence, &in->sequences, in->origin, first),
                     attending_row_at(in, sequence, &in->sequences, in->origin, end)};
}

stretch planned_queries(const planned_pass *of, size_t sequence, size_t first, size_t end) {
    const attending_input *in = &of->in;
    return (stretch){attending_row_at(in, sequence, &in->queries, in->query_origin, first),
                     attending_row_at(in, sequence, &in->queries, in->query_origin, end)};
}

void planned_ask(query_block *block, stretch queries) {
    block->first = queries.first;
    block->count = queries.end - queries.first;
}

void planned_see(query_block *block, stretch keys, float bonus) {
    if (keys.first >= keys.end) return;
    block->bonus[block->stretches] = bonus;
    block->keys[block->stretches++] = keys;
}

/* ---- Groups ---- */

/* Rows of one sequence, keys or queries, with their order and groups. */
typedef struct grouped_rows {
    const planned_pass *of;
    size_t sequence, count;
    const batch *rows;
    const size_t *origin, *order, *groups;
} grouped_rows;

static grouped_rows grouped(const planned_pass *of, size_t sequence, bool queries) {
    const attending_input *in = &of->in;
    grouped_rows made = {.of = of,
                         .sequence = sequence,
                         .rows = queries ? &in->queries : &in->sequences,
                         .origin = queries ? in->query_origin : in->origin};
    made.count = batch_length(made.rows, sequence);
    made.order = (queries ? of->query_order : of->key_order) + made.rows->start[sequence];
    made.groups = (queries ? of->query_groups : of->key_groups) + sequence * (of->groups + 1);
    return made;
}

static size_t place_of(const grouped_rows *self, size_t row) {
    return attending_place(&self->of->in, self->sequence, self->origin, self->rows->start[self->sequence] + row);
}

/* The first of the group's rows that stands at the place or behind it. */
static size_t group_row_at(const grouped_rows *self, size_t group, size_t place) {
    size_t low = self->groups[group], high = self->groups[group + 1];
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (place_of(self, self->order[middle]) < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

stretch planned_group_keys(const planned_pass *of, size_t sequence, size_t group, size_t first, size_t end) {
    const grouped_rows rows = grouped(of, sequence, false);
    return (stretch){group_row_at(&rows, group, first), group_row_at(&rows, group, end)};
}

stretch planned_group_queries(const planned_pass *of, size_t sequence, size_t group, size_t first, size_t end) {
    const grouped_rows rows = grouped(of, sequence, true);
    return (stretch){group_row_at(&rows, group, first), group_row_at(&rows, group, end)};
}

bool planned_group_block(const planned_pass *of, size_t sequence, size_t number, query_block *out) {
    if (number >= of->groups || batch_length(&of->in.sequences, sequence) == 0) return false;
    const grouped_rows queries = grouped(of, sequence, true), keys = grouped(of, sequence, false);
    planned_ask(out, (stretch){queries.groups[number], queries.groups[number + 1]});
    planned_see(out, (stretch){keys.groups[number], keys.groups[number + 1]}, 0);
    return true;
}

/* Sorts by counting. */
static void sort_rows(const planned_pass *of, const planned_form *form, size_t sequence, bool queries) {
    const grouped_rows rows = grouped(of, sequence, queries);
    size_t *order = (queries ? of->query_order : of->key_order) + rows.rows->start[sequence];
    size_t *groups = (queries ? of->query_groups : of->key_groups) + sequence * (of->groups + 1);
    for (size_t i = 0; i <= of->groups; i++) groups[i] = 0;
    for (size_t i = 0; i < rows.count; i++) groups[form->group(of, place_of(&rows, i)) + 1]++;
    for (size_t i = 0; i < of->groups; i++) groups[i + 1] += groups[i];
    for (size_t i = 0; i < rows.count; i++) order[groups[form->group(of, place_of(&rows, i))]++] = i;
    for (size_t i = of->groups; i > 0; i--) groups[i] = groups[i - 1]; /* the ends of groups are beginnings again */
    groups[0] = 0;
}

const size_t *planned_order(const planned_pass *of, size_t sequence, bool queries) {
    return grouped(of, sequence, queries).order;
}

bool planned_make_groups(planned_pass *of, const run *on, const planned_form *form, size_t groups) {
    const attending_input *in = &of->in;
    const size_t starts = in->sequences.sequences * (groups + 1);
    of->groups = groups;
    of->key_order = run_take(on, in->sequences.rows + 1, sizeof *of->key_order);
    of->query_order = run_take(on, in->queries.rows + 1, sizeof *of->query_order);
    of->key_groups = run_take(on, starts + 1, sizeof *of->key_groups);
    of->query_groups = run_take(on, starts + 1, sizeof *of->query_groups);
    if (run_failed(on)) return false;
    for (size_t i = 0; i < 2 * in->sequences.sequences; i++) sort_rows(of, form, i / 2, i % 2);
    return true;
}

/* What the gathered engine gets as `of`: the pass first, because a plan's functions read that alone. */
typedef struct planned_run {
    planned_pass pass;
    const planned_form *form;
} planned_run;

static const size_t *order_of(const void *of, size_t sequence, size_t head, bool queries) {
    const planned_run *self = of;
    if (self->form->has_groups && !self->form->has_groups(&self->pass, head)) return NULL;
    return planned_order(&self->pass, sequence, queries);
}

/* ---- Running ---- */

void planned_forward(const void *weights, const run *on, const attending_input *in, tensor out,
                     const planned_form *form, size_t groups) {
    const planned_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    planned_run *plan = run_take(on, 1, sizeof *plan);
    const double begin = run_begin(on);
    if (plan) {
        *plan = (planned_run){{.in = *in, .setting = self->setting}, form};
        if (!groups || planned_make_groups(&plan->pass, on, form, groups)) {
            gathered heads = gathered_heads(&self->with, in, &rows);
            heads.plan = (gather_plan){.of = plan, .block = form->block, .seen = form->seen};
            if (groups) heads.plan.order = order_of;
            attention_gathered(on, mixed, &heads);
        }
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

operations planned_count(const void *setting, const part_extent *of, planned_pairs *pairs) {
    operations sum = projections_count(of);
    sum.queries +=
        4 * (double)(of->units * of->unit_size) * pairs(setting, (double)of->rows.entering, (double)of->rows.queries);
    return sum;
}

attending_demand planned_heads_demand(const projections *with, const void *setting, size_t sequences, size_t length,
                                      planned_pairs *pairs) {
    const double all = (double)sequences * pairs(setting, (double)length, (double)length);
    return projections_demand(with, 4 * all * (double)(with->heads * with->head_size), sequences, length);
}

attending_demand planned_demand(const void *weights, size_t sequences, size_t length, planned_pairs *pairs) {
    const planned_weights *self = weights;
    return planned_heads_demand(&self->with, self->setting, sequences, length, pairs);
}
