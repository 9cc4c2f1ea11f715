/* Training with the halts that will happen. */
#include "train/self_sampling.h"

#include <string.h>

#include "base/checked.h"
#include "base/random.h"

static const float thresholds[] = {0.01f, 0.03f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f};
static const size_t windows[] = {7, 6, 5, 4, 3, 2}; /* neighbours on each side */
enum {
    THRESHOLDS = sizeof thresholds / sizeof thresholds[0],
    WINDOWS = sizeof windows / sizeof windows[0],
    NEVER = 255
};

/* Uncertainties at all exits. */
typedef struct looking {
    const rubato_model *by;
    const run *on;
    float *uncertain; /* [depth][rows]; 2 where there is no exit */
    size_t rows;
} looking;

static void look(void *user, const run *on, const sight *what) {
    looking *self = user;
    size_t number = what->layer;
    tensor rows = what->rows;
    const exits *from = &self->by->exits;
    (void)on;
    if (number == 0 || !from->heads[number - 1].present) return;
    arena_mark mark = arena_save(self->on->memory);
    exit_asked all = exits_ask_all(from, self->on, rows, what->packed);
    exit_memory none = {0};
    tensor logits =
        exits_forward(from, &self->by->heads[engine_main_head(self->by)], self->on, number - 1, &all, &none);
    for (size_t i = 0; logits.data && i < rows.rows; i++)
        self->uncertain[(number - 1) * self->rows + i] = exit_uncertainty(tensor_row(logits, i), from->classes);
    arena_rewind(self->on->memory, mark);
}

static void simulate(const looking *seen, const batch *packed, size_t sequence, size_t window, float threshold,
                     uint8_t *left_after) {
    size_t first = packed->start[sequence] + 1, last = packed->start[sequence + 1];
    if (last < first + 2) return;
    last--; /* special tokens stay */
    for (size_t number = 0; number + 1 < seen->by->body.depth; number++) {
        const float *u = seen->uncertain + number * seen->rows;
        for (size_t row = first; row < last; row++) {
            bool ready = left_after[row] == NEVER;
            size_t low = row - first > window ? row - window : first, high = size_min(row + window + 1, last);
            for (size_t j = low; j < high && ready; j++) ready = u[j] < threshold || left_after[j] <= number;
            if (ready) left_after[row] = (uint8_t)(number + 1);
        }
    }
}

bool halts_sample(sampled_halts *self, const rubato_model *by, const run *on, const batch *packed, uint64_t key) {
    looking seen = {.by = by, .on = on, .rows = packed->rows};
    size_t cells = by->body.depth * packed->rows;
    uint8_t *left_after = run_take(on, size_max(packed->rows, 1), 1);
    seen.uncertain = run_take(on, size_max(cells, 1), sizeof *seen.uncertain);
    if (!left_after || !seen.uncertain) return false;
    for (size_t i = 0; i < cells; i++) seen.uncertain[i] = 2;
    memset(left_after, NEVER, packed->rows);
    encoded out;
    const watcher watch = {WATCH_STATE, look, &seen};
    run watched = *on;
    watched.watch = &watch;
    if (encoder_forward(&by->body, &watched, packed, NULL, &out) != RUBATO_OK) return false;
    for (size_t i = 0; i < packed->sequences; i++) {
        uint64_t state = random_hash(key + random_hash(i));
        double kind = random_real(&state);
        if (kind < 0.2)
            simulate(&seen, packed, i, windows[WINDOWS - 1], thresholds[THRESHOLDS - 1], left_after);
        else if (kind >= 0.6)
            simulate(&seen, packed, i, windows[random_below(&state, WINDOWS)],
                     thresholds[random_below(&state, THRESHOLDS)], left_after);
    }
    self->left_after = left_after;
    return true;
}

void halts_apply(void *user, const run *on, size_t number, bool last, tensor rows, const batch *packed,
                 const size_t *alive, bool *leaves) {
    const sampled_halts *self = user;
    (void)on;
    (void)rows;
    for (size_t row = 0; row < packed->rows && !last; row++)
        leaves[row] = self->left_after[alive ? alive[row] : row] == number + 1;
}
