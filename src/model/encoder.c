/* The encoder's forward pass over packed rows. */
#include "model/encoder.h"

#include "elastic/walk.h"
#include "model/passage.h"
#include "tensor/state.h"

size_t encoder_max_length(const encoder_config *config) {
    return config->positions - config->first_position;
}

rubato_status encoder_allow_narrow(encoder *self, arena *memory, rubato_error *error) {
    for (size_t i = 0; i < self->unique; i++) {
        const layer *one = &self->layers[i];
        if (!one->attending->narrows || !one->feeding->narrows)
            return fail(error, RUBATO_UNSUPPORTED,
                        "layers of %s attention and %s feed-forward parts cannot be narrower",
                        one->attending->part.name, one->feeding->part.name);
        TRY(one->attending->allow_narrow(one->attention, memory, error));
        TRY(one->feeding->allow_narrow(one->feed_forward, memory, error));
    }
    return RUBATO_OK;
}

rubato_status encoder_check(const encoder *self, const thinning *thin, rubato_error *error) {
    const point *at = thin ? thin->point : NULL;
    bool retires = thin && thin->soft, fewer = self->shape.merges || (thin && thin->depart_rows);
    for (size_t i = 0; at && i < at->layers; i++) {
        retires = retires || (!at->skip[i] && at->keep[i] < 1);
        fewer = fewer || at->merge[i] || at->exit.by_token;
    }
    bool attentive = retires && (thin->by == SIGNIFICANCE_RECEIVED || thin->by == SIGNIFICANCE_OTHERS);
    bool narrow = at && point_is_narrow(at);
    if (self->config.causal && (retires || fewer))
        return fail(error, RUBATO_UNSUPPORTED,
                    "rows of a causal model cannot leave: later rows would decide which ones");
    for (size_t i = 0; i < self->unique; i++) {
        const attending *attention = self->layers[i].attending;
        const feeding *feed_forward = self->layers[i].feeding;
        const char *lacks = attentive && !attention->yields_received ? "tell which rows received attention"
                            : fewer && !attention->fewer_queries     ? "have fewer queries than keys"
                            : narrow && !attention->narrows          ? "run some of its heads alone"
                                                                     : NULL;
        if (lacks) return fail(error, RUBATO_UNSUPPORTED, "%s attention cannot %s", attention->part.name, lacks);
        if (narrow && !feed_forward->narrows)
            return fail(error, RUBATO_UNSUPPORTED, "%s feed-forward parts cannot run some of their neurons alone",
                        feed_forward->part.name);
    }
    return RUBATO_OK;
}

const attending *encoder_untelling(const encoder *self) {
    for (size_t i = 0; i < self->unique; i++)
        if (!self->layers[i].attending->yields_received) return self->layers[i].attending;
    return NULL;
}

bool encoder_continues(const encoder *self) {
    bool all = self->config.causal && self->config.theta[0] == 0;
    for (size_t i = 0; i < self->unique; i++) all = all && self->layers[i].attending->continues;
    return all;
}

rubato_status encoder_result(const encoder *self, const run *on, const thinning *thin, rubato_error *error) {
    return *on->status == RUBATO_UNSUPPORTED ? encoder_check(self, thin, error) : run_result(on, error);
}

double encoder_flops(const encoder *self, const point *at, size_t length) {
    const encoder_config *config = &self->config;
    double d = (double)config->hidden, n = (double)length;
    double embedding = 2 * n * (double)self->tables.projection.in * d;
    return embedding + point_flops(at, &self->shape, length, NULL);
}

void encoder_visit(const encoder *self, linear_visitor *visit, void *user) {
    for (size_t i = 0; i < self->unique; i++) layer_visit(&self->layers[i], visit, user);
}

void encoder_collect(encoder *self) {
    for (int i = 0; i < 2; i++) {
        const attending *mechanism = attending_of(config_mechanism(&self->config, i));
        if (self->shared[i] && mechanism->collect) mechanism->collect(self->shared[i]);
    }
}

void encoder_refresh(encoder *self) {
    for (int i = 0; i < 2; i++) {
        const attending *mechanism = attending_of(config_mechanism(&self->config, i));
        if (self->shared[i] && mechanism->refresh) mechanism->refresh(self->shared[i]);
    }
}

/* x -> LN(x + Attention(x)) -> rows retire -> LN(. + FeedForward(.)); in inference over x's memory. */
static tensor run_layer(passage *p, const layer *weights, tensor x) {
    const run *on = p->on;
    const thinning *thin = p->thin;
    const point *at = thin ? thin->point : NULL;
    bool thins = !p->merges && p->next.packed.rows < p->now.packed.rows, soft = thin && thin->soft;
    bool itself = passage_all_query(p), scored = thins || soft;
    bool attentive = scored && (thin->by == SIGNIFICANCE_RECEIVED || thin->by == SIGNIFICANCE_OTHERS);
    float *scores = scored ? run_take(on, x.rows, sizeof *scores) : NULL;
    attending_input in = {.layer = p->layer,
                          .heads = at ? point_heads(at, p->layer, weights->heads) : weights->heads,
                          .x = x,
                          .query_rows = passage_queries(p, x),
                          .sequences = p->now.packed,
                          .origin = p->now.origin,
                          .queries = itself ? p->now.packed : p->queries,
                          .query_origin = itself ? p->now.origin : p->query_origin,
                          .input = *p->input,
                          .places = p->places,
                          .significance = attentive ? scores : NULL,
                          .others_only = attentive && thin->by == SIGNIFICANCE_OTHERS};
    tensor y = layer_attend(weights, on, &in);
    double begin = run_begin(on);
    if (scored && !attentive && !run_failed(on)) passage_score_places(p, scores);
    if (soft) y = soften(on, y, scores, &p->now.packed, thin->soft, p->layer);
    if (thins) y = passage_retire(p, x, y, scores);
    run_end(on, PART_RETIREMENT, begin);
    const feeding_input rest = {.x = y,
                                .layer = p->layer,
                                .neurons = at ? point_neurons(at, p->layer, weights->inner) : weights->inner,
                                .memory_heads = at ? at->memory[p->layer] : 1,
                                .selected = at ? at->selected[p->layer] : 1};
    tensor out = layer_feed(weights, on, &rest, p->halted ? (tensor){0} : x);
    return p->halted ? passage_put_back(p, x, out) : out;
}

/* The last layer that runs; SIZE_MAX when none does. */
static size_t last_layer(const encoder *self, const point *at) {
    size_t last = self->depth;
    while (last > 0 && at && at->skip[last - 1]) last--;
    return last - 1;
}

static void show_state(const passage *p, size_t number, tensor rows) {
    run_show(p->on, &(sight){.what = WATCH_STATE,
                             .layer = number,
                             .rows = rows,
                             .packed = number ? &p->now.packed : p->input,
                             .alive = p->now.origin});
}

static const size_t *find_places(const run *on, const batch *input) {
    size_t *places = run_take(on, input->rows + 1, sizeof *places);
    for (size_t i = 0; places && i < input->sequences; i++)
        for (size_t row = input->start[i]; row < input->start[i + 1]; row++)
            places[row] = run_seen(on, i) + row - input->start[i];
    return places;
}

rubato_status encoder_forward(const encoder *self, const run *whole, const batch *input, const thinning *thin,
                              encoded *out) {
    const point *at = thin ? thin->point : NULL;
    run own = *whole;
    const run *on = &own;
    own.low = own.low || (at && at->low);
    passage p = {.self = self, .on = on, .input = input, .thin = thin, .now = {.packed = *input}};
    *out = (encoded){.packed = *input};
    if (encoder_check(self, thin, NULL) != RUBATO_OK) run_fail(on, RUBATO_UNSUPPORTED);
    if (self->config.causal) p.places = find_places(on, input);
    double begin = run_begin(on);
    tensor x = embeddings_forward(&self->tables, on, &self->config, input);
    run_end(on, PART_EMBEDDINGS, begin);
    if (thin && thin->restore && ((at && !point_is_full(at)) || thin->depart)) passage_begin(&p);
    show_state(&p, 0, x);
    size_t last = last_layer(self, at);
    /* a watcher of what is within layers keeps its copies in the same arena */
    bool keeps = on->tape || (on->watch && on->watch->wanted & ~(unsigned)WATCH_STATE);
    tensor early = {0};
    for (p.layer = 0; p.layer < self->depth && !run_failed(on); p.layer++) {
        if (p.layer == self->shape.decoder && early.data)
            x = passage_spread(&p, x, early, (size_t)1 << __builtin_popcountll(self->shape.merges));
        if (at && at->skip[p.layer]) continue;
        passage_plan(&p);
        if (self->shape.decoder && !early.data && point_merges(at, &self->shape, p.layer))
            early = on->tape ? x : run_copy(on, x); /* the next layer overwrites x */
        arena_mark mark = arena_save(on->memory);
        x = run_layer(&p, &self->layers[self->order[p.layer]], x);
        if (!keeps) arena_rewind(on->memory, mark);
        p.now = p.next;
        if (p.layer != last || !self->final_norm.gamma)
            show_state(&p, p.layer + 1, x);
        else if (run_watches(on, WATCH_STATE))
            show_state(&p, p.layer + 1, run_normalised(on, x, &self->final_norm));
        if (thin && thin->depart) passage_depart(&p, p.layer == last, &x);
        if (x.rows == 0) break; /* all sequences have left */
    }
    passage_restore(&p, x);
    if (run_failed(on)) return *on->status;
    out->rows = p.now.origin && p.restored.data ? p.restored : x;
    if (self->final_norm.gamma) out->rows = run_normalised(on, out->rows, &self->final_norm);
    run_count_seen(on, input->start, input->sequences);
    if (!p.restored.data) out->packed = p.now.packed;
    return RUBATO_OK;
}
