/* One layer. */
#include "model/layer.h"

#include <stdio.h>

/* The first layer of a model with norms before attention may read the embeddings, which have a norm already. */
static bool is_bare(const part_source *from) {
    char name[LOADER_NAME], weight[LOADER_NAME + 16];
    if (!from->pre_norm || from->first > 0) return false;
    part_name(name, from, from->names->attention_norm);
    snprintf(weight, sizeof weight, "%s.weight", name);
    return from->load->new_all || !checkpoint_find(from->load->weights, weight);
}

rubato_status layer_load(layer *self, const part_choice *attention, const part_choice *feed_forward, float epsilon,
                         const part_source *from) {
    char name[LOADER_NAME];
    part_source part = *from;
    *self = (layer){.attending = attending_of(attention),
                    .feeding = feeding_of(feed_forward),
                    .pre_norm = from->pre_norm,
                    .two_streams = from->two_streams,
                    .hidden = from->hidden,
                    .heads = from->heads,
                    .head_size = from->head_size,
                    .inner = from->inner};
    part.setting = attention->setting;
    self->between =
        self->attending->between ? self->attending->between(attention->setting, from->hidden) : from->hidden;
    if (self->two_streams) self->between *= 2;
    TRY(self->attending->load(&self->attention, &part));
    if (from->names->attention_norm && !is_bare(from)) {
        part_name(name, from, from->names->attention_norm);
        TRY(loader_norm(from->load, &self->attention_norm, name, from->hidden, epsilon));
    }
    part.setting = feed_forward->setting;
    part.shared = NULL;
    TRY(self->feeding->load(&self->feed_forward, &part));
    part_name(name, from, from->names->output_norm);
    TRY(loader_norm(from->load, &self->output_norm, name, from->hidden, epsilon));
    self->output_norm.plain = from->plain;
    part.setting = attention->setting;
    part.shared = from->shared;
    return self->attending->load_terms ? self->attending->load_terms(self->attention, &part) : RUBATO_OK;
}

static tensor normalised(const run *on, tensor x, const norm *by) {
    const double begin = run_begin(on);
    tensor out = run_normalised(on, x, by);
    run_end(on, PART_NORMS, begin);
    return out;
}

/* One of two streams; else all. */
static tensor stream_of(const layer *self, tensor x, size_t which) {
    return self->two_streams ? tensor_columns(x, which * self->hidden, self->hidden) : x;
}

/* A stream of x goes on as it is. */
static void pass_stream(const layer *self, const run *on, tensor out, tensor x, size_t which) {
    if (self->two_streams) run_scatter(on, stream_of(self, out, which), NULL, stream_of(self, x, which), NULL, x.rows);
}

tensor layer_attend(const layer *self, const run *on, const attending_input *in) {
    attending_input own = *in;
    own.residual = stream_of(self, in->query_rows, 0);
    if (self->pre_norm && self->attention_norm.gamma) {
        own.x = normalised(on, stream_of(self, in->x, 1), &self->attention_norm);
        own.query_rows = in->query_rows.data == in->x.data
                             ? own.x
                             : normalised(on, stream_of(self, in->query_rows, 1), &self->attention_norm);
    }
    tensor sum = run_tensor(on, in->query_rows.rows, self->between);
    pass_stream(self, on, sum, in->query_rows, 1);
    self->attending->forward(self->attention, on, &own, stream_of(self, sum, 0));
    if (!self->attention_norm.gamma || self->pre_norm) return sum;
    tensor y = run_over(on, sum, sum.rows);
    double begin = run_begin(on);
    run_layer_norm(on, y, sum, &self->attention_norm);
    run_end(on, PART_NORMS, begin);
    return y;
}

tensor layer_feed(const layer *self, const run *on, const feeding_input *in, tensor room) {
    const size_t rows = in->x.rows;
    tensor out = room.data ? run_over(on, room, rows) : run_tensor(on, rows, in->x.columns);
    feeding_input own = *in;
    own.residual = stream_of(self, in->x, 1);
    if (self->pre_norm) own.x = normalised(on, stream_of(self, in->x, 0), &self->output_norm);
    tensor normal = self->pre_norm ? out : run_over(on, out, out.rows);
    pass_stream(self, on, out, in->x, 0);
    self->feeding->forward(self->feed_forward, on, &own, stream_of(self, out, 1));
    if (!self->pre_norm) {
        double begin = run_begin(on);
        run_layer_norm(on, normal, out, &self->output_norm);
        run_end(on, PART_NORMS, begin);
    }
    if (!self->feeding->after) return normal;
    feeding_input behind = *in;
    behind.x = normal;
    return self->feeding->after(self->feed_forward, on, &behind);
}

void layer_visit(const layer *self, linear_visitor *visit, void *user) {
    self->attending->visit(self->attention, visit, user);
    self->feeding->visit(self->feed_forward, visit, user);
}

typedef struct seen_precision {
    precision precision;
    bool both;
} seen_precision;

/* The last linear layer decides; all of a layer are in one precision. */
static void see_precision(void *user, linear *of, const linear_role *role) {
    (void)role;
    *(seen_precision *)user = (seen_precision){of->precision, of->low && of->packed && !of->learn};
}

precision layer_precision(const layer *self, bool *both) {
    seen_precision seen = {.precision = PRECISION_F32};
    layer_visit(self, see_precision, &seen);
    if (both) *both = seen.both;
    return seen.precision;
}
