/* Scores that depend on the distance of query and key through the query itself, and their derivative. */
#include <string.h>

#include "attention/softmax.h"
#include "base/checked.h"

size_t attention_relative_room(const attention *in, size_t rows, size_t longest) {
    return rows * (in->head_size + round_up(2 * longest + PANEL, PANEL) + 16);
}

/* Where the queries and keys of one call stood. */
typedef struct places {
    const size_t *origin;  /* of the keys; NULL: one after the other from `first` on */
    size_t first;          /* the sequence's first row */
    size_t begin, columns; /* rows of far from the lowest distance, at a whole panel, to the highest */
    size_t width;          /* a row of scores by distance */
} places;

static places places_of(const attention *in, size_t start, size_t query, size_t rows, size_t length) {
    places p = {.origin = in->origin ? in->origin + start : NULL};
    p.first = p.origin ? p.origin[0] : start;
    size_t last = p.origin ? p.origin[length - 1] - p.first : length - 1;
    size_t low = attention_original(in, query) - p.first, high = attention_original(in, query + rows - 1) - p.first;
    p.begin = (in->relative->reach - high) / PANEL * PANEL;
    p.columns = in->relative->reach + last - low + 1 - p.begin;
    p.width = round_up(p.columns, PANEL) + 16;
    return p;
}

static size_t key_row(const places *p, size_t k) {
    return p->origin ? p->origin[k] : p->first + k;
}

static bool same_segment(const relative_terms *terms, size_t a, size_t b) {
    int32_t one = terms->types[a], other = terms->types[b];
    return one == other || one == terms->all || other == terms->all;
}

/* q - u + v of a head's columns. */
static void ask_with(float *out, const float *query, const relative_terms *terms, const term *with, size_t column,
                     size_t size) {
    for (size_t j = 0; j < size; j++) out[j] = query[j] - terms->u.values[column + j] + with->values[column + j];
}

void attention_add_relative(const kernel_table *kernels, const attention *in, size_t head, float *scores, size_t stride,
                            size_t start, size_t query, size_t rows, size_t length, const float *packed, float *room) {
    const relative_terms *terms = in->relative;
    const size_t size = in->head_size, column = head * size;
    const places p = places_of(in, start, query, rows, length);
    float *asking = room, *by_distance = room + rows * size;
    for (size_t i = 0; i < rows; i++)
        ask_with(asking + i * size, tensor_row(in->query, query + i) + column, terms, &terms->v, column, size);
    product_f32 product = {.a = asking,
                           .a_stride = size,
                           .b = packed + p.begin * size,
                           .c = by_distance,
                           .c_stride = p.width,
                           .rows = rows,
                           .columns = p.columns,
                           .depth = size,
                           .scale = in->scale};
    kernels->product_f32(&product);
    const float *segments = terms->segments.values + column;
    for (size_t i = 0; i < rows; i++) {
        size_t mine = attention_original(in, query + i), place = mine - p.first;
        if (terms->first_apart && place == 0) continue;
        ask_with(asking, tensor_row(in->query, query + i) + column, terms, &terms->w, column, size);
        const float segment[2] = {in->scale * kernels->dot_f32(asking, segments, size),
                                  in->scale * kernels->dot_f32(asking, segments + in->heads * size, size)};
        const float *at = by_distance + i * p.width + terms->reach - p.begin - place;
        for (size_t k = terms->first_apart; k < length; k++)
            scores[i * stride + k] += at[key_row(&p, k) - p.first] + segment[same_segment(terms, key_row(&p, k), mine)];
    }
}

size_t attention_relative_backward_room(const attention *in, size_t rows, size_t longest) {
    size_t width = round_up(2 * longest + PANEL, PANEL) + 16, turned = round_up(rows, PANEL) + 16;
    return rows * (in->head_size + width) + width * turned +
           size_max(packed_size(in->head_size, width), packed_size(in->head_size, turned)) + width + 16;
}

/* With S' the gradient of the scores, in which their scale is, and G the same by distance:
 *   Q' += G F     F' += G^T (Q - u + v)     v' += the sum of G F over queries     u' -= the same */
void attention_relative_backward(const run *on, const attention *in, size_t head, const float *grads, size_t stride,
                                 size_t start, size_t query, size_t rows, size_t length, float *room) {
    const relative_terms *terms = in->relative;
    const gradient_kernels *g = on->kernels->gradient;
    const size_t size = in->head_size, column = head * size;
    const places p = places_of(in, start, query, rows, length);
    const size_t turned_stride = round_up(rows, PANEL) + 16;
    float *asking = room, *by_distance = asking + rows * size, *turned = by_distance + rows * p.width;
    float *sums = turned + p.width * turned_stride, *packed = sums + p.width;
    memset(by_distance, 0, rows * p.width * sizeof *by_distance);
    memset(sums, 0, p.width * sizeof *sums);
    for (size_t i = 0; i < rows; i++) {
        const float *scores = grads + i * stride;
        size_t mine = attention_original(in, query + i), place = mine - p.first;
        if (terms->first_apart && place == 0) continue;
        float *at = by_distance + i * p.width + terms->reach - p.begin - place, segment[2] = {0, 0};
        for (size_t k = terms->first_apart; k < length; k++) {
            at[key_row(&p, k) - p.first] += scores[k];
            segment[same_segment(terms, key_row(&p, k), mine)] += scores[k];
        }
        g->add(sums, by_distance + i * p.width, p.columns);
        float *query_grad = in->query.grad + (query + i) * in->query.stride + column;
        ask_with(asking, tensor_row(in->query, query + i) + column, terms, &terms->w, column, size);
        for (size_t s = 0; s < 2; s++) {
            size_t of = s * in->heads * size + column;
            for (size_t j = 0; j < size; j++) {
                float through = segment[s] * terms->segments.values[of + j];
                query_grad[j] += through;
                terms->w.grad[column + j] += through;
                terms->u.grad[column + j] -= through;
                terms->segments.grad[of + j] += segment[s] * asking[j];
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
    attention_accumulate(on, in->query.grad + query * in->query.stride + column, in->query.stride, by_distance, p.width,
                         far, terms->far.stride, rows, size, p.columns, packed);
    for (size_t i = 0; i < rows; i++)
        ask_with(asking + i * size, tensor_row(in->query, query + i) + column, terms, &terms->v, column, size);
    g->transpose(turned, turned_stride, by_distance, p.width, rows, p.columns);
    attention_accumulate(on, terms->far.grad + p.begin * terms->far.stride + column, terms->far.stride, turned,
                         turned_stride, asking, size, p.columns, size, rows, packed);
}
