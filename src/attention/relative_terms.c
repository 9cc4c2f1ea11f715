/* Relative terms of the scores, and their derivative. */
#include <string.h>

#include "attention/block.h"
#include "attention/relative.h"
#include "base/checked.h"

/* The original positions of the queries and keys of one call. */
typedef struct places {
    const size_t *origin;  /* of the keys; NULL: consecutive from `first` on */
    size_t first;          /* the sequence's first row */
    size_t begin, columns; /* rows of far from the lowest distance, rounded down to a whole panel, to the highest */
    size_t width;          /* length of a row of scores by distance */
} places;

static places places_of(const relative_terms *terms, const attention *in, const score_block *at) {
    places p = {.origin = in->origin ? in->origin + at->start : NULL};
    p.first = p.origin ? p.origin[0] : at->start;
    size_t last = p.origin ? p.origin[at->length - 1] - p.first : at->length - 1;
    size_t low = attention_original(in, at->query) - p.first;
    size_t high = attention_original(in, at->query + at->rows - 1) - p.first;
    p.begin = (terms->reach - high) / PANEL * PANEL;
    p.columns = terms->reach + last - low + 1 - p.begin;
    p.width = round_up(p.columns, PANEL) + 16;
    return p;
}

static size_t key_row(const places *p, size_t k) {
    return p->origin ? p->origin[k] : p->first + k;
}

/* The vector of `segments` for a query and a key. */
static bool segment_row(const relative_terms *terms, size_t a, size_t b) {
    enum { EVERY_SEGMENT = 2 };
    const int32_t one = terms->types[a], other = terms->types[b];
    const bool all = !terms->form.same_first && (one == EVERY_SEGMENT || other == EVERY_SEGMENT);
    return (one == other || all) != terms->form.same_first;
}

/* q - u + v for the columns of a head. */
static void query_with(float *out, const float *query, const relative_terms *terms, const relative_vector *with,
                       size_t column, size_t size) {
    for (size_t j = 0; j < size; j++) out[j] = query[j] - terms->u.values[column + j] + with->values[column + j];
}

/* The columns of far for every head as second operands, [heads][packed_size(far.rows, head_size)]. */
static void *pack_far(const void *values, const run *on, const attention *in) {
    const tensor far = ((const relative_terms *)values)->far;
    size_t each = packed_size(far.rows, in->head_size);
    float *packed = run_take(on, in->heads * each, sizeof *packed);
    for (size_t head = 0; packed && head < in->heads; head++)
        on->kernels->pack_transposed_f32(packed + head * each, far.data + head * in->head_size, far.stride, far.rows,
                                         in->head_size);
    return packed;
}

static size_t room(const void *values, const attention *in, size_t queries, bool backward) {
    size_t longest = ((const relative_terms *)values)->reach + 1; /* rows of the longest sequence before any merging */
    size_t width = round_up(2 * longest + PANEL, PANEL) + 16, forward = queries * (in->head_size + width);
    if (!backward) return forward;
    size_t turned = round_up(queries, PANEL) + 16;
    size_t packed = size_max(packed_size(in->head_size, width), packed_size(in->head_size, turned));
    return forward + width * turned + packed + width + 16;
}

static void add_relative(const void *values, const void *prepared, const kernel_table *kernels, const attention *in,
                         const score_block *to, float *scratch) {
    const relative_terms *terms = values;
    const size_t size = in->head_size, column = to->head * size;
    const places p = places_of(terms, in, to);
    const float *packed = (const float *)prepared + to->head * packed_size(terms->far.rows, size);
    float *shifted = scratch, *by_distance = scratch + to->rows * size;
    for (size_t i = 0; i < to->rows; i++)
        query_with(shifted + i * size, tensor_row(in->query, to->query + i) + column, terms, &terms->v, column, size);
    product_f32 product = {.a = shifted,
                           .a_stride = size,
                           .b = packed + p.begin * size,
                           .c = by_distance,
                           .c_stride = p.width,
                           .rows = to->rows,
                           .columns = p.columns,
                           .depth = size,
                           .scale = in->scale};
    kernels->product_f32(&product);
    for (size_t i = 0; i < to->rows; i++) {
        size_t mine = attention_original(in, to->query + i), place = mine - p.first;
        if (terms->form.first_apart && place == 0) continue;
        const float *at = by_distance + i * p.width + terms->reach - p.begin - place;
        if (!terms->segments.values) {
            for (size_t k = 0; k < to->length; k++) to->scores[i * to->stride + k] += at[key_row(&p, k) - p.first];
            continue;
        }
        const float *segments = terms->segments.values + column;
        query_with(shifted, tensor_row(in->query, to->query + i) + column, terms, &terms->w, column, size);
        const float segment[2] = {in->scale * kernels->dot_f32(shifted, segments, size),
                                  in->scale * kernels->dot_f32(shifted, segments + in->heads * size, size)};
        for (size_t k = terms->form.first_apart; k < to->length; k++)
            to->scores[i * to->stride + k] +=
                at[key_row(&p, k) - p.first] + segment[segment_row(terms, key_row(&p, k), mine)];
    }
}

/* With S' the gradient of the scores, scale included, and G the same by distance:
 *   Q' += G F     F' += G^T (Q - u + v)     v' += the sum of G F over queries     u' -= the same */
static void relative_backward(const void *values, const run *on, const attention *in, const score_block *grads,
                              float *scratch) {
    const relative_terms *terms = values;
    const gradient_kernels *g = on->kernels->gradient;
    const size_t size = in->head_size, column = grads->head * size, query = grads->query, rows = grads->rows;
    const places p = places_of(terms, in, grads);
    const size_t turned_stride = round_up(rows, PANEL) + 16;
    float *shifted = scratch, *by_distance = shifted + rows * size, *turned = by_distance + rows * p.width;
    float *sums = turned + p.width * turned_stride, *packed = sums + p.width;
    memset(by_distance, 0, rows * p.width * sizeof *by_distance);
    memset(sums, 0, p.width * sizeof *sums);
    for (size_t i = 0; i < rows; i++) {
        const float *scores = grads->scores + i * grads->stride;
        size_t mine = attention_original(in, query + i), place = mine - p.first;
        if (terms->form.first_apart && place == 0) continue;
        float *at = by_distance + i * p.width + terms->reach - p.begin - place, segment[2] = {0, 0};
        for (size_t k = terms->form.first_apart; k < grads->length; k++) {
            at[key_row(&p, k) - p.first] += scores[k];
            if (terms->segments.values) segment[segment_row(terms, key_row(&p, k), mine)] += scores[k];
        }
        g->add(sums, by_distance + i * p.width, p.columns);
        if (!terms->segments.values) continue;
        float *query_grad = in->query.grad + (query + i) * in->query.stride + column;
        query_with(shifted, tensor_row(in->query, query + i) + column, terms, &terms->w, column, size);
        for (size_t s = 0; s < 2; s++) {
            size_t of = s * in->heads * size + column;
            for (size_t j = 0; j < size; j++) {
                float through = segment[s] * terms->segments.values[of + j];
                query_grad[j] += through;
                terms->w.grad[column + j] += through;
                terms->u.grad[column + j] -= through;
                terms->segments.grad[of + j] += segment[s] * shifted[j];
            }
        }
    }
    const float *far = tensor_row(terms->far, p.begin) + column;
    for (size_t t = 0; t < p.columns; t++)
        for (size_t j = 0; j < size && sums[t] != 0; j++) {
            float through = sums[t] * far[t * terms->far.stride + j];
            terms->v.grad[column + j] += through;
            terms->u.grad[column + j] -= through;
        }
    block_accumulate(on, in->query.grad + query * in->query.stride + column, in->query.stride, by_distance, p.width,
                     far, terms->far.stride, rows, size, p.columns, &(block_room){.packed = packed});
    for (size_t i = 0; i < rows; i++)
        query_with(shifted + i * size, tensor_row(in->query, query + i) + column, terms, &terms->v, column, size);
    g->transpose(turned, turned_stride, by_distance, p.width, rows, p.columns);
    block_accumulate(on, terms->far.grad + p.begin * terms->far.stride + column, terms->far.stride, turned,
                     turned_stride, shifted, size, p.columns, size, rows, &(block_room){.packed = packed});
}

const score_term_kind score_term_relative = {pack_far, room, add_relative, relative_backward};
