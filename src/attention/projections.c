/* Projections to queries, keys and values, and back. */
#include "attention/projections.h"

#include "attention/rotary.h"

#include "tensor/operations.h"
#include "tensor/watch.h"

rubato_status projections_load_some(projections *self, const part_source *from, unsigned parts) {
    const char *const patterns[] = {from->names->query, from->names->key, from->names->value};
    char names[3][LOADER_NAME];
    const char *some[3] = {names[0], names[1], names[2]};
    size_t width = from->heads * from->head_size, count = 0;
    *self = (projections){.heads = from->heads, .head_size = from->head_size, .parts = parts, .turn = from->rotary};
    for (size_t i = 0; i < 3; i++)
        if (parts & 1u << i) part_name(names[count++], from, patterns[i]);
    const weight_form bare = {.bare = true, .turned = true, .parts = from->heads};
    if (from->names->bare) from->load->form = bare;
    rubato_status status = loader_linear(from->load, &self->stacked, some, count, width, from->hidden);
    from->load->form.turned = false;
    part_name(names[0], from, from->names->attention_out);
    if (status == RUBATO_OK) status = loader_linear(from->load, &self->out, some, 1, from->hidden, width);
    from->load->form = (weight_form){0};
    return status;
}

rubato_status projections_load(projections *self, const part_source *from) {
    return projections_load_some(self, from, ALL_THREE);
}

rubato_status projections_allow_narrow(void *weights, arena *memory, rubato_error *error) {
    projections *self = weights;
    if (self->stacked.in % PANEL || self->out.in % PANEL || self->head_size % 4)
        return fail(error, RUBATO_UNSUPPORTED,
                    "narrower layers need a hidden size and heads that together have multiples of %d features, each a "
                    "multiple of 4; these have %zu, and %zu heads %zu",
                    PANEL, self->stacked.in, self->heads, self->head_size);
    if (self->out.precision == PRECISION_INT8 && self->head_size % PREFIX_STEP)
        return fail(error, RUBATO_UNSUPPORTED, "narrower layers in int8 need heads of multiples of %d, not %zu",
                    PREFIX_STEP, self->head_size);
    return linear_make_prefixes(&self->out, memory, error);
}

void projections_visit(void *weights, linear_visitor *visit, void *user) {
#define STACKED(text, count)                                                                                           \
    { .name = text, .part = PART_QKV, .outputs = AXIS_HEADS, .inputs = AXIS_HIDDEN, .stacked = count }
    static const linear_role stacked[] = {[VALUES] = STACKED("value", 1),
                                          [QUERIES | VALUES] = STACKED("query, value", 2),
                                          [ALL_THREE] = STACKED("query, key, value", 3)};
#undef STACKED
    static const linear_role out = {.name = "attention output",
                                    .part = PART_ATTENTION_OUT,
                                    .outputs = AXIS_HIDDEN,
                                    .inputs = AXIS_HEADS,
                                    .stacked = 1,
                                    .residual = true};
    projections *self = weights;
    visit(user, &self->stacked, &stacked[self->parts & ALL_THREE]);
    visit(user, &self->out, &out);
}

static tensor made_by(const run *on, const linear *layer, size_t rows, bool half) {
    return half && run_gives_half(on, layer, ACTIVATION_NONE) ? run_tensor_half(on, rows, layer->out)
                                                              : run_tensor(on, rows, layer->out);
}

static projected project(const projections *self, const run *on, const attending_input *in, bool half) {
    size_t whole = self->heads * self->head_size, width = in->heads * self->head_size, at = 0;
    bool itself = in->query_rows.data == in->x.data || !(self->parts & QUERIES);
    bool parts_fit = whole % PANEL == 0; /* a view begins at a whole panel */
    tensor made[3] = {{0}, {0}, {0}};
    if (in->heads == self->heads && (itself || !parts_fit)) {
        tensor all = made_by(on, &self->stacked, in->x.rows, half), of_queries = all;
        if (!itself) of_queries = made_by(on, &self->stacked, in->query_rows.rows, half);
        run_linear(on, all, in->x, &self->stacked, ACTIVATION_NONE, NULL);
        if (!itself) run_linear(on, of_queries, in->query_rows, &self->stacked, ACTIVATION_NONE, NULL);
        for (size_t i = 0; i < 3; i++)
            if (self->parts & 1u << i) made[i] = tensor_columns(i ? all : of_queries, at++ * width, width);
        if (self->parts & KEYS_LIKE_QUERIES) made[1] = tensor_columns(all, 0, width);
        return (projected){made[0], made[1], made[2]};
    }
    for (size_t i = 0; i < 3; i++) { /* the first heads of query, key and value, which are stacked */
        tensor from = i == 0 ? in->query_rows : in->x;
        if (!(self->parts & 1u << i)) continue;
        const linear *part = linear_part(&self->stacked, at++ * whole, width, self->stacked.in, on->memory);
        if (!part) {
            run_fail(on, RUBATO_OUT_OF_MEMORY);
            return (projected){0};
        }
        made[i] = made_by(on, part, from.rows, half);
        run_linear(on, made[i], from, part, ACTIVATION_NONE, NULL);
        if (i || !(self->parts & KEYS_LIKE_QUERIES)) continue;
        made[1] = itself ? made[0] : made_by(on, part, in->x.rows, half);
        if (!itself) run_linear(on, made[1], in->x, part, ACTIVATION_NONE, NULL);
    }
    return (projected){made[0], made[1], made[2]};
}

static void show(const run *on, const attending_input *in, watch_kind what, tensor rows) {
    bool of_queries = what == WATCH_QUERIES || what == WATCH_ATTENTION;
    run_show(on, &(sight){.what = what,
                          .layer = in->layer + 1,
                          .rows = rows,
                          .packed = of_queries ? &in->queries : &in->sequences,
                          .alive = of_queries ? in->query_origin : in->origin,
                          .heads = in->heads});
}

/* Queries that are the keys turn once. */
static void turn(const projections *self, const run *on, const attending_input *in, const projected *made) {
    const size_t *keys = rotary_places(on, in, false);
    const size_t *queries = in->query_rows.data == in->x.data ? keys : rotary_places(on, in, true);
    if (made->query.data) run_rotary(on, self->turn, made->query, self->head_size, queries);
    if (made->key.data && made->key.data != made->query.data)
        run_rotary(on, self->turn, made->key, self->head_size, keys);
}

projected projections_read(const projections *self, const run *on, const attending_input *in, bool half) {
    const bool watched = run_watches(on, WATCH_QUERIES) || run_watches(on, WATCH_KEYS) || run_watches(on, WATCH_VALUES);
    double begin = run_begin(on);
    projected made = project(self, on, in, half && !watched && !self->turn);
    run_end(on, PART_QKV, begin);
    if (self->turn && !run_failed(on)) turn(self, on, in, &made);
    if (self->parts & QUERIES) show(on, in, WATCH_QUERIES, made.query);
    if (self->parts & (KEYS | KEYS_LIKE_QUERIES)) show(on, in, WATCH_KEYS, made.key);
    if (self->parts & VALUES) show(on, in, WATCH_VALUES, made.value);
    return made;
}

void projections_write(const projections *self, const run *on, const attending_input *in, tensor mixed, tensor out) {
    const linear *to = linear_part(&self->out, 0, self->out.out, mixed.columns, on->memory);
    if (!to) run_fail(on, RUBATO_OUT_OF_MEMORY);
    double begin = run_begin(on);
    run_linear(on, out, mixed, to, ACTIVATION_NONE, &in->residual);
    run_end(on, PART_ATTENTION_OUT, begin);
    show(on, in, WATCH_ATTENTION, out);
}

operations projections_count_some(const part_extent *of, unsigned parts) {
    const double one = 2 * (double)of->hidden * (double)(of->units * of->unit_size);
    const bool both = parts & KEYS_LIKE_QUERIES && of->rows.queries < of->rows.entering;
    const double keys = (parts & KEYS || both ? one : 0) + (parts & VALUES ? one : 0);
    return (operations){.keys = (double)of->rows.entering * keys,
                        .queries = (double)of->rows.queries * (one + (parts & QUERIES ? one : 0))};
}

operations projections_count(const part_extent *of) {
    return projections_count_some(of, ALL_THREE);
}

attending_demand projections_demand(const projections *self, double flops, size_t sequences, size_t length) {
    return (attending_demand){.flops = flops,
                              .activation_bytes =
                                  16 * (double)(sequences * length) * (double)(self->heads * self->head_size),
                              .products = PRECISION_F32,
                              .rate = 1};
}
