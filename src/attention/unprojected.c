/* Queries with rows that are not projected. Rows are read once, in chunks, whatever the number of heads. */
#include "attention/unprojected.h"

#include <string.h>

#include "attention/block.h"
#include "base/checked.h"
#include "tensor/tape.h"

enum { CHUNK = 256 }; /* rows; sums of chunks are added in order, whatever the threads */

/* One query's head is a probe: a vector to multiply rows by, the scores of all rows, and the mean of the rows. */
typedef struct pass {
    const run *on;
    unprojected in;
    tensor out;
    uint64_t mask; /* dropout's key; 0: none */
    size_t longest;
    size_t features, probes; /* of a query: its heads */
    size_t *chunk_sequence, *chunk_first, chunks;
    size_t *score_start, *sum_start; /* [queries]: where the scores of a query's probes begin; and the sums of chunks */
    float *vectors, *scores, *sums;
    size_t score_count, sum_count;
    float *used; /* the scores, which become probabilities, after dropout */
} pass;

static size_t chunks_of(const pass *p, size_t sequence) {
    return divide_up(batch_length(p->in.sequences, sequence), CHUNK);
}

/* The packed rows of input `k` for the outputs of a panel. */
static const float *panel_row(const linear *of, size_t panel, size_t k) {
    return of->packed + (panel * of->in + k) * PANEL;
}

/* The part of a head's vector whose outputs are in the panel; zeros elsewhere. first: the head's first output. */
static void spread(float *to, const float *from, size_t first, size_t size, size_t panel, float by) {
    for (size_t j = 0; j < PANEL; j++) {
        const size_t output = panel * PANEL + j;
        to[j] = output >= first && output < first + size ? by * from[output - first] : 0;
    }
}

/* to [features] = W^T v, times a factor, for the outputs from `first` on. */
static void turn_back(const pass *p, size_t first, const float *v, float by, float *to) {
    float own[PANEL];
    memset(to, 0, p->features * sizeof *to);
    for (size_t panel = first / PANEL; panel * PANEL < first + p->in.head_size; panel++) {
        spread(own, v, first, p->in.head_size, panel, by);
        for (size_t k = 0; k < p->features; k++)
            to[k] += p->on->kernels->dot_f32(own, panel_row(p->in.stacked, panel, k), PANEL);
    }
}

/* to [head_size] += W x, times a factor, for the outputs from `first` on. */
static void go_through(const pass *p, size_t first, const float *x, float by, float *to) {
    float made[PANEL];
    for (size_t panel = first / PANEL; panel * PANEL < first + p->in.head_size; panel++) {
        memset(made, 0, sizeof made);
        for (size_t k = 0; k < p->features; k++)
            p->on->kernels->gradient->add_scaled(made, panel_row(p->in.stacked, panel, k), x[k], PANEL);
        for (size_t j = 0; j < PANEL; j++) {
            const size_t output = panel * PANEL + j;
            if (output >= first && output < first + p->in.head_size) to[output - first] += by * made[j];
        }
    }
}

static float *vector_of(const pass *p, size_t query, size_t head) {
    return p->vectors + (query * p->probes + head) * p->features;
}

/* The place of a probe's scores. */
static size_t place_of(const pass *p, size_t sequence, size_t query, size_t head) {
    return p->score_start[query] + head * batch_length(p->in.sequences, sequence);
}

static float *scores_of(const pass *p, size_t sequence, size_t query, size_t head) {
    return p->scores + place_of(p, sequence, query, head);
}

static void drop(const pass *p, size_t query, size_t head, float *x, size_t rows) {
    block_dropout(p->on, p->mask, x, rows, 1, rows, block_place(head, query, p->in.queries->rows, p->longest),
                  p->longest);
}

static void make_vectors(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t i = first; i < last; i++) {
        const size_t query = i / p->probes, column = i % p->probes * p->in.head_size;
        turn_back(p, column, tensor_row(p->in.query, query) + column, p->in.scale, vector_of(p, query, i % p->probes));
    }
}

static void score_chunks(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t chunk = first; chunk < last; chunk++) {
        const size_t sequence = p->chunk_sequence[chunk], begin = p->chunk_first[chunk];
        const size_t start = p->in.sequences->start[sequence];
        const size_t end = size_min(begin + CHUNK, batch_length(p->in.sequences, sequence));
        for (size_t row = begin; row < end; row++)
            for (size_t query = p->in.queries->start[sequence]; query < p->in.queries->start[sequence + 1]; query++)
                for (size_t head = 0; head < p->probes; head++)
                    scores_of(p, sequence, query, head)[row] = p->on->kernels->dot_f32(
                        tensor_row(p->in.x, start + row), vector_of(p, query, head), p->features);
    }
}

/* The sums of p x over the rows of a chunk. */
static void sum_chunks(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t chunk = first; chunk < last; chunk++) {
        const size_t sequence = p->chunk_sequence[chunk], begin = p->chunk_first[chunk];
        const size_t start = p->in.sequences->start[sequence], each = p->probes * p->features;
        const size_t end = size_min(begin + CHUNK, batch_length(p->in.sequences, sequence));
        for (size_t query = p->in.queries->start[sequence]; query < p->in.queries->start[sequence + 1]; query++) {
            float *sums = p->sums + p->sum_start[query] + begin / CHUNK * each;
            memset(sums, 0, each * sizeof *sums);
            for (size_t row = begin; row < end; row++)
                for (size_t head = 0; head < p->probes; head++)
                    p->on->kernels->gradient->add_scaled(sums + head * p->features, tensor_row(p->in.x, start + row),
                                                         p->used[place_of(p, sequence, query, head) + row],
                                                         p->features);
        }
    }
}

/* W_v m + b_v of one head: m is the sum of a query's chunks. */
static void finish_head(const pass *p, size_t sequence, size_t query, size_t head) {
    const size_t each = p->probes * p->features, size = p->in.head_size, first = p->in.whole + head * size;
    float *mean = p->sums + p->sum_start[query] + head * p->features;
    float *out = tensor_row(p->out, query) + head * size;
    for (size_t chunk = 1; chunk < chunks_of(p, sequence); chunk++)
        p->on->kernels->gradient->add(mean, mean + chunk * each, p->features);
    memset(out, 0, size * sizeof *out);
    if (p->in.stacked->bias) memcpy(out, p->in.stacked->bias + first, size * sizeof *out);
    go_through(p, first, mean, 1, out);
}

/* The softmax of a sequence's probes, and what its rows receive. */
static void weigh_sequences(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    const unprojected *in = &p->in;
    (void)member;
    for (size_t sequence = first; sequence < last; sequence++) {
        const size_t start = in->sequences->start[sequence], rows = batch_length(in->sequences, sequence);
        if (in->received) memset(in->received + start, 0, rows * sizeof *in->received);
        for (size_t query = in->queries->start[sequence]; query < in->queries->start[sequence + 1]; query++)
            for (size_t head = 0; head < p->probes; head++) {
                float *scores = scores_of(p, sequence, query, head);
                p->on->kernels->softmax_f32(scores, rows);
                if (p->mask) {
                    float *used = p->used + place_of(p, sequence, query, head);
                    memcpy(used, scores, rows * sizeof *used);
                    drop(p, query, head, used, rows);
                }
                if (!in->received) continue;
                p->on->kernels->gradient->add(in->received + start, scores, rows);
                if (in->own_row) in->received[in->own_row[query]] -= scores[in->own_row[query] - start];
            }
    }
}

static void finish_sequences(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t sequence = first; sequence < last; sequence++)
        for (size_t query = p->in.queries->start[sequence]; query < p->in.queries->start[sequence + 1]; query++)
            for (size_t head = 0; head < p->probes; head++) finish_head(p, sequence, query, head);
}

/* Where everything stands. False on a failed run. */
static bool lay_out(pass *p) {
    const unprojected *in = &p->in;
    const size_t queries = in->queries->rows;
    size_t scores = 0, sums = 0;
    for (size_t i = 0; i < in->sequences->sequences; i++) p->chunks += chunks_of(p, i);
    p->chunk_sequence = run_take(p->on, 2 * p->chunks + 2 * queries + 1, sizeof *p->chunk_sequence);
    if (run_failed(p->on)) return false;
    p->chunk_first = p->chunk_sequence + p->chunks;
    p->score_start = p->chunk_first + p->chunks;
    p->sum_start = p->score_start + queries;
    for (size_t i = 0, at = 0; i < in->sequences->sequences; i++) {
        for (size_t chunk = 0; chunk < chunks_of(p, i); chunk++, at++) {
            p->chunk_sequence[at] = i;
            p->chunk_first[at] = chunk * CHUNK;
        }
        for (size_t query = in->queries->start[i]; query < in->queries->start[i + 1]; query++) {
            p->score_start[query] = scores;
            p->sum_start[query] = sums;
            scores += p->probes * batch_length(in->sequences, i);
            sums += p->probes * p->features * chunks_of(p, i);
        }
    }
    p->vectors = run_take(p->on, queries * p->probes * p->features, sizeof *p->vectors);
    p->scores = run_take(p->on, scores + 1, sizeof *p->scores);
    p->used = p->mask ? run_take(p->on, scores + 1, sizeof *p->used) : p->scores;
    p->sums = run_take(p->on, sums + 1, sizeof *p->sums);
    p->score_count = scores;
    p->sum_count = sums;
    return !run_failed(p->on);
}

/* ---- The derivative ---- */

/* With d the gradient of a query's output, m the mean of rows, t the vector:
 *   d_m = W_v^T d,  d_p = x . d_m,  d_s through the softmax,  d_x += p d_m + d_s t,  d_t = the sum of d_s x,
 *   d_q += scale W_k d_t,  d_W_v += d m^T,  d_W_k += scale q d_t^T. */
typedef struct slopes {
    const pass *p;
    float *means;  /* d_m, as vectors stand */
    float *scores; /* d_p, then d_s, as scores stand */
    float *sums;   /* d_t, as sums stand */
} slopes;

static void mean_slopes(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    const pass *p = t->p;
    (void)member;
    for (size_t i = first; i < last; i++) {
        const size_t query = i / p->probes, column = i % p->probes * p->in.head_size;
        turn_back(p, p->in.whole + column, tensor_grad(p->out, query) + column, 1, t->means + i * p->features);
    }
}

/* Of the rows of a chunk: d_p, and p d_m; or where d_s is known, d_s t, and the chunk's part of d_t. */
static void chunk_slopes(const slopes *t, size_t chunk, bool known) {
    const pass *p = t->p;
    const gradient_kernels *g = p->on->kernels->gradient;
    const size_t sequence = p->chunk_sequence[chunk], begin = p->chunk_first[chunk], each = p->probes * p->features;
    const size_t start = p->in.sequences->start[sequence];
    const size_t end = size_min(begin + CHUNK, batch_length(p->in.sequences, sequence));
    for (size_t query = p->in.queries->start[sequence]; query < p->in.queries->start[sequence + 1]; query++)
        for (size_t head = 0; head < p->probes; head++) {
            float *scores = t->scores + place_of(p, sequence, query, head);
            const float *used = p->used + place_of(p, sequence, query, head);
            const float *mean = t->means + (query * p->probes + head) * p->features;
            float *sum = t->sums + p->sum_start[query] + begin / CHUNK * each + head * p->features;
            if (known) memset(sum, 0, p->features * sizeof *sum);
            for (size_t row = begin; row < end; row++) {
                const float *x = tensor_row(p->in.x, start + row);
                float *to = tensor_grad(p->in.x, start + row);
                if (known) {
                    g->add_scaled(to, vector_of(p, query, head), scores[row], p->features);
                    g->add_scaled(sum, x, scores[row], p->features);
                } else {
                    g->add_scaled(to, mean, used[row], p->features);
                    scores[row] = p->on->kernels->dot_f32(x, mean, p->features);
                }
            }
        }
}

static void first_slopes(void *argument, size_t member, size_t first, size_t last) {
    (void)member;
    for (size_t chunk = first; chunk < last; chunk++) chunk_slopes(argument, chunk, false);
}

static void last_slopes(void *argument, size_t member, size_t first, size_t last) {
    (void)member;
    for (size_t chunk = first; chunk < last; chunk++) chunk_slopes(argument, chunk, true);
}

static void score_slopes(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    const pass *p = t->p;
    (void)member;
    for (size_t sequence = first; sequence < last; sequence++) {
        const size_t rows = batch_length(p->in.sequences, sequence);
        for (size_t query = p->in.queries->start[sequence]; query < p->in.queries->start[sequence + 1]; query++)
            for (size_t head = 0; head < p->probes; head++) {
                float *scores = t->scores + place_of(p, sequence, query, head);
                if (p->mask) drop(p, query, head, scores, rows);
                p->on->kernels->gradient->softmax_backward(scores, scores_of(p, sequence, query, head), 1, rows);
            }
    }
}

static void query_slopes(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    const pass *p = t->p;
    const size_t each = p->probes * p->features;
    (void)member;
    for (size_t sequence = first; sequence < last; sequence++)
        for (size_t query = p->in.queries->start[sequence]; query < p->in.queries->start[sequence + 1]; query++)
            for (size_t head = 0; head < p->probes; head++) {
                const size_t column = head * p->in.head_size;
                float *sum = t->sums + p->sum_start[query] + head * p->features;
                for (size_t chunk = 1; chunk < chunks_of(p, sequence); chunk++)
                    p->on->kernels->gradient->add(sum, sum + chunk * each, p->features);
                go_through(p, column, sum, p->in.scale, tensor_grad(p->in.query, query) + column);
            }
}

/* The gradient of W += v x^T, times a factor, for a head's outputs and inputs [first, last). */
static void weight_slopes(const pass *p, size_t output, const float *v, float by, const float *x, size_t first,
                          size_t last) {
    const linear *of = p->in.stacked;
    float own[PANEL];
    for (size_t panel = output / PANEL; panel * PANEL < output + p->in.head_size; panel++) {
        spread(own, v, output, p->in.head_size, panel, by);
        for (size_t k = first; k < last; k++)
            p->on->kernels->gradient->add_scaled(of->learn->weight + (panel * of->in + k) * PANEL, own, x[k], PANEL);
    }
}

/* Divided by inputs, so that no two threads add to one weight. */
static void input_slopes(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    const pass *p = t->p;
    (void)member;
    for (size_t query = 0; query < p->in.queries->rows; query++)
        for (size_t head = 0; head < p->probes; head++) {
            const size_t column = head * p->in.head_size, at = p->sum_start[query] + head * p->features;
            weight_slopes(p, p->in.whole + column, tensor_grad(p->out, query) + column, 1, p->sums + at, first, last);
            weight_slopes(p, column, tensor_row(p->in.query, query) + column, p->in.scale, t->sums + at, first, last);
        }
}

static void backward(const run *on, void *saved) {
    pass own = *(const pass *)saved;
    own.on = on;
    const pass *p = &own;
    const linear *of = p->in.stacked;
    slopes t = {.p = p};
    t.means = run_take(on, p->in.queries->rows * p->probes * p->features, sizeof *t.means);
    t.scores = run_take(on, p->score_count + 1, sizeof *t.scores);
    t.sums = run_take(on, p->sum_count + 1, sizeof *t.sums);
    if (run_failed(on)) return;
    run_parallel(on, p->in.queries->rows * p->probes, 1, mean_slopes, &t);
    run_parallel(on, p->chunks, 1, first_slopes, &t);
    run_parallel(on, p->in.sequences->sequences, 1, score_slopes, &t);
    run_parallel(on, p->chunks, 1, last_slopes, &t);
    run_parallel(on, p->in.sequences->sequences, 1, query_slopes, &t);
    if (!of->learn || !of->learn->weight) return;
    run_parallel(on, p->features, 16, input_slopes, &t);
    /* the keys' bias adds the same to all scores of a query, and has no gradient */
    for (size_t query = 0; of->learn->bias && query < p->in.queries->rows; query++)
        on->kernels->gradient->add(of->learn->bias + p->in.whole, tensor_grad(p->out, query),
                                   p->probes * p->in.head_size);
}

void attention_unprojected(const run *self, tensor out, const unprojected *in) {
    pass p = {.on = self,
              .in = *in,
              .out = out,
              .longest = batch_longest(in->sequences),
              .features = in->x.columns,
              .probes = in->heads};
    if (run_failed(self)) return;
    if (self->tape && self->tape->attention_rate > 0) p.mask = tape_mask(self->tape);
    const arena_mark mark = arena_save(self->memory);
    if (lay_out(&p)) {
        run_parallel(self, in->queries->rows * p.probes, 1, make_vectors, &p);
        run_parallel(self, p.chunks, 1, score_chunks, &p);
        run_parallel(self, in->sequences->sequences, 1, weigh_sequences, &p);
        run_parallel(self, p.chunks, 1, sum_chunks, &p);
        run_parallel(self, in->sequences->sequences, 1, finish_sequences, &p);
    }
    if (!self->tape) {
        arena_rewind(self->memory, mark);
        return;
    }
    pass *saved = run_failed(self) ? NULL : tape_push(self, backward, sizeof *saved);
    if (saved) *saved = p;
}
