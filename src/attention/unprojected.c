/* Queries with rows that are not projected. Rows are read once, in chunks, whatever the number of heads. */
#include "attention/unprojected.h"

#include <string.h>

#include "base/checked.h"

enum { CHUNK = 256 }; /* rows; sums of chunks are added in order, whatever the threads */

/* One query's head is a probe: a vector to multiply rows by, the scores of all rows, and the mean of the rows. */
typedef struct pass {
    const run *on;
    const unprojected *in;
    tensor out;
    size_t features, probes; /* of a query: its heads */
    size_t *chunk_sequence, *chunk_first, chunks;
    size_t *score_start, *sum_start; /* [queries]: where the scores of a query's probes begin; and the sums of chunks */
    float *vectors, *scores, *sums;
} pass;

static size_t chunks_of(const pass *p, size_t sequence) {
    return divide_up(batch_length(p->in->sequences, sequence), CHUNK);
}

/* The packed rows of input `k` for the outputs of a panel. */
static const float *panel_row(const linear *of, size_t panel, size_t k) {
    return of->packed + (panel * of->in + k) * PANEL;
}

/* W_k^T q of one head, times the scale. */
static void make_vector(const pass *p, size_t query, size_t head, float *to) {
    const unprojected *in = p->in;
    const float *q = tensor_row(in->query, query) + head * in->head_size;
    const size_t first = head * in->head_size, end = first + in->head_size;
    float own[PANEL];
    memset(to, 0, p->features * sizeof *to);
    for (size_t panel = first / PANEL; panel * PANEL < end; panel++) {
        for (size_t j = 0; j < PANEL; j++) {
            const size_t output = panel * PANEL + j;
            own[j] = output >= first && output < end ? in->scale * q[output - first] : 0;
        }
        for (size_t k = 0; k < p->features; k++)
            to[k] += p->on->kernels->dot_f32(own, panel_row(in->stacked, panel, k), PANEL);
    }
}

static float *vector_of(const pass *p, size_t query, size_t head) {
    return p->vectors + (query * p->probes + head) * p->features;
}

static float *scores_of(const pass *p, size_t sequence, size_t query, size_t head) {
    return p->scores + p->score_start[query] + head * batch_length(p->in->sequences, sequence);
}

static void make_vectors(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t i = first; i < last; i++)
        make_vector(p, i / p->probes, i % p->probes, vector_of(p, i / p->probes, i % p->probes));
}

static void score_chunks(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t chunk = first; chunk < last; chunk++) {
        const size_t sequence = p->chunk_sequence[chunk], begin = p->chunk_first[chunk];
        const size_t start = p->in->sequences->start[sequence];
        const size_t end = size_min(begin + CHUNK, batch_length(p->in->sequences, sequence));
        for (size_t row = begin; row < end; row++)
            for (size_t query = p->in->queries->start[sequence]; query < p->in->queries->start[sequence + 1]; query++)
                for (size_t head = 0; head < p->probes; head++)
                    scores_of(p, sequence, query, head)[row] = p->on->kernels->dot_f32(
                        tensor_row(p->in->x, start + row), vector_of(p, query, head), p->features);
    }
}

/* The sums of p x over the rows of a chunk. */
static void sum_chunks(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    (void)member;
    for (size_t chunk = first; chunk < last; chunk++) {
        const size_t sequence = p->chunk_sequence[chunk], begin = p->chunk_first[chunk];
        const size_t start = p->in->sequences->start[sequence], each = p->probes * p->features;
        const size_t end = size_min(begin + CHUNK, batch_length(p->in->sequences, sequence));
        for (size_t query = p->in->queries->start[sequence]; query < p->in->queries->start[sequence + 1]; query++) {
            float *sums = p->sums + p->sum_start[query] + begin / CHUNK * each;
            memset(sums, 0, each * sizeof *sums);
            for (size_t row = begin; row < end; row++)
                for (size_t head = 0; head < p->probes; head++)
                    p->on->kernels->gradient->add_scaled(sums + head * p->features, tensor_row(p->in->x, start + row),
                                                         scores_of(p, sequence, query, head)[row], p->features);
        }
    }
}

/* W_v m + b_v of one head: m is the sum of a query's chunks. */
static void finish_head(const pass *p, size_t sequence, size_t query, size_t head) {
    const unprojected *in = p->in;
    const size_t each = p->probes * p->features;
    const size_t first = in->whole + head * in->head_size, end = first + in->head_size;
    float *mean = p->sums + p->sum_start[query] + head * p->features, made[PANEL];
    float *out = tensor_row(p->out, query) + head * in->head_size;
    for (size_t chunk = 1; chunk < chunks_of(p, sequence); chunk++)
        p->on->kernels->gradient->add(mean, mean + chunk * each, p->features);
    for (size_t panel = first / PANEL; panel * PANEL < end; panel++) {
        memset(made, 0, sizeof made);
        for (size_t k = 0; k < p->features; k++)
            p->on->kernels->gradient->add_scaled(made, panel_row(in->stacked, panel, k), mean[k], PANEL);
        for (size_t j = 0; j < PANEL; j++) {
            const size_t output = panel * PANEL + j;
            if (output >= first && output < end)
                out[output - first] = made[j] + (in->stacked->bias ? in->stacked->bias[output] : 0);
        }
    }
}

/* The softmax of a sequence's probes, and what its rows receive. */
static void weigh_sequences(void *argument, size_t member, size_t first, size_t last) {
    const pass *p = argument;
    const unprojected *in = p->in;
    (void)member;
    for (size_t sequence = first; sequence < last; sequence++) {
        const size_t start = in->sequences->start[sequence], rows = batch_length(in->sequences, sequence);
        if (in->received) memset(in->received + start, 0, rows * sizeof *in->received);
        for (size_t query = in->queries->start[sequence]; query < in->queries->start[sequence + 1]; query++)
            for (size_t head = 0; head < p->probes; head++) {
                float *scores = scores_of(p, sequence, query, head);
                p->on->kernels->softmax_f32(scores, rows);
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
        for (size_t query = p->in->queries->start[sequence]; query < p->in->queries->start[sequence + 1]; query++)
            for (size_t head = 0; head < p->probes; head++) finish_head(p, sequence, query, head);
}

/* Where everything stands. False on a failed run. */
static bool lay_out(pass *p) {
    const unprojected *in = p->in;
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
    p->sums = run_take(p->on, sums + 1, sizeof *p->sums);
    return !run_failed(p->on);
}

void attention_unprojected(const run *self, tensor out, const unprojected *in) {
    pass p = {.on = self, .in = in, .out = out, .features = in->x.columns, .probes = in->heads};
    if (run_failed(self)) return;
    const arena_mark mark = arena_save(self->memory);
    if (lay_out(&p)) {
        run_parallel(self, in->queries->rows * p.probes, 1, make_vectors, &p);
        run_parallel(self, p.chunks, 1, score_chunks, &p);
        run_parallel(self, in->sequences->sequences, 1, weigh_sequences, &p);
        run_parallel(self, p.chunks, 1, sum_chunks, &p);
        run_parallel(self, in->sequences->sequences, 1, finish_sequences, &p);
    }
    arena_rewind(self->memory, mark);
}
