/* Scores that depend on the distance of query and key through the query itself. */
#include <string.h>

#include "attention/softmax.h"
#include "base/checked.h"

size_t attention_relative_room(const attention *in, size_t rows, size_t longest) {
    return rows * (in->head_size + round_up(2 * longest + PANEL, PANEL) + 16);
}

static size_t original_row(const attention *in, size_t query) {
    if (in->queries) return in->query_origin ? in->query_origin[query] : query;
    return in->origin ? in->origin[query] : query;
}

void attention_add_relative(const kernel_table *kernels, const attention *in, size_t head, float *scores, size_t stride,
                            size_t start, size_t query, size_t rows, size_t length, const float *packed, float *room) {
    const relative_terms *terms = in->relative;
    const size_t size = in->head_size, column = head * size;
    const size_t *origin = in->origin ? in->origin + start : NULL;
    size_t first_row = origin ? origin[0] : start, last = origin ? origin[length - 1] - first_row : length - 1;
    size_t low = original_row(in, query) - first_row, high = original_row(in, query + rows - 1) - first_row;
    /* the distances that occur, from a whole panel on */
    size_t begin = (terms->reach - high) / PANEL * PANEL, columns = terms->reach + last - low + 1 - begin;
    float *asking = room, *by_distance = room + rows * size;
    const size_t width = round_up(columns, PANEL) + 16;
    for (size_t i = 0; i < rows; i++) {
        const float *q = tensor_row(in->query, query + i) + column;
        for (size_t j = 0; j < size; j++) asking[i * size + j] = q[j] + terms->position[column + j];
    }
    product_f32 product = {.a = asking,
                           .a_stride = size,
                           .b = packed + begin * size,
                           .c = by_distance,
                           .c_stride = width,
                           .rows = rows,
                           .columns = columns,
                           .depth = size,
                           .scale = in->scale};
    kernels->product_f32(&product);
    const float *other = terms->segments + column, *same = other + in->heads * size;
    for (size_t i = 0; i < rows; i++) {
        size_t mine = original_row(in, query + i), place = mine - first_row;
        if (terms->first_apart && place == 0) continue;
        const float *q = tensor_row(in->query, query + i) + column;
        float segment[2] = {0, 0};
        for (size_t j = 0; j < size; j++) {
            float asks = q[j] + terms->segment[column + j];
            segment[0] += asks * other[j];
            segment[1] += asks * same[j];
        }
        const float *at = by_distance + i * width + terms->reach - begin - place;
        const int32_t type = terms->types[mine];
        for (size_t k = terms->first_apart; k < length; k++) {
            size_t key = origin ? origin[k] : start + k;
            int32_t its = terms->types[key];
            bool together = its == type || its == terms->all || type == terms->all;
            scores[i * stride + k] += at[key - first_row] + in->scale * segment[together];
        }
    }
}
