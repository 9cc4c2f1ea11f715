/* Product-key search: the best pairs of half keys. */
#include <string.h>

#include "base/checked.h"
#include "feeding/memory.h"

typedef struct search_task {
    const run *on;
    tensor first, second;
    size_t head;
    const memory_choice *choice;
    /* for each member of the team: */
    int32_t *order;   /* [side] */
    uint32_t *places; /* [2][selected] */
    uint64_t *best;   /* [selected + 1] */
} search_task;

/* A score and its slot as one number, by which pairs are ordered: the higher score first, then the lower slot. */
static uint64_t rank_of(float score, uint32_t slot) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~slot;
}

static uint32_t slot_of(uint64_t rank) {
    return ~(uint32_t)rank;
}

static float score_of(uint64_t rank) {
    uint32_t bits = (uint32_t)(rank >> 32);
    float score;
    bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* Pairs of two falling lists: before the pair (i, j) come all pairs of not later ones, (i + 1) (j + 1) with itself, so
 * that it can be among the k best only where these are at most k. */
static void best_pairs(const float *first, const uint32_t *a, const float *second, const uint32_t *b, size_t k,
                       size_t side, uint64_t *best) {
    size_t found = 0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k / (i + 1); j++) {
            const uint64_t rank = rank_of(first[a[i]] + second[b[j]], (uint32_t)(a[i] * side + b[j]));
            if (found == k && rank >> 32 < best[k - 1] >> 32) break; /* the next ones are not better */
            size_t at = found < k ? found++ : k;
            for (; at > 0 && best[at - 1] < rank; at--) best[at] = best[at - 1];
            best[at] = rank;
        }
}

static void select_rows(void *argument, size_t member, size_t begin, size_t end) {
    const search_task *task = argument;
    const memory_choice *choice = task->choice;
    const size_t side = choice->side, k = choice->selected;
    const kernel_table *kernels = task->on->kernels;
    int32_t *order = task->order + member * side;
    uint32_t *a = task->places + member * 2 * k, *b = a + k;
    uint64_t *best = task->best + member * (k + 1);
    for (size_t row = begin; row < end; row++) {
        const float *first = tensor_row(task->first, row), *second = tensor_row(task->second, row);
        const size_t at = (row * choice->heads + task->head) * k;
        kernels->memory->largest(a, first, side, k, order);
        kernels->memory->largest(b, second, side, k, order);
        best_pairs(first, a, second, b, k, side, best);
        for (size_t i = 0; i < k; i++) {
            choice->slots[at + i] = slot_of(best[i]);
            choice->weights[at + i] = score_of(best[i]);
        }
        kernels->softmax_f32(choice->weights + at, k);
    }
}

void memory_select(const run *on, tensor first, tensor second, size_t head, const memory_choice *choice) {
    const size_t members = team_size(on->crew);
    search_task task = {.on = on,
                        .first = first,
                        .second = second,
                        .head = head,
                        .choice = choice,
                        .order = run_take(on, members * choice->side, sizeof *task.order),
                        .places = run_take(on, members * 2 * choice->selected, sizeof *task.places),
                        .best = run_take(on, members * (choice->selected + 1), sizeof *task.best)};
    if (!run_failed(on)) run_parallel(on, choice->rows, 1, select_rows, &task);
}
