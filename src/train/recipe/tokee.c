/* TOKEE (Li et al. 2021, "Accelerating BERT Inference for Sequence Labeling via Early-Exit"): a linear exit of each
 * layer for each token, later ones with more weight, then training with simulated exits (its section 3.3). A token that
 * leaves keeps its state after the layer's normalisation. */
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "train/recipe/draw.h"
#include "train/recipe/early_exits.h"

/* ---- The halts that will happen ---- */

static const float thresholds[] = {0.01f, 0.03f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f};
static const size_t windows[] = {7, 6, 5, 4, 3, 2}; /* neighbours on each side */
enum {
    THRESHOLDS = sizeof thresholds / sizeof thresholds[0],
    WINDOWS = sizeof windows / sizeof windows[0],
    NEVER = 255
};

/* Records the uncertainties at all exits. */
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
    exit_subjects all = exits_all_subjects(from, self->on, rows, what->packed);
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
    last--; /* special tokens do not leave */
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

/* Draws a window and a threshold for each sequence and simulates the exits of `by` on it: for a fifth of the sequences
 * the earliest setting, for two fifths no exits, for the others any setting between. Returns left_after [rows], in the
 * run's arena: the layer, from 1, after which a row leaves, or NEVER. NULL when memory is short. */
static const uint8_t *sample_halts(const rubato_model *by, const run *on, const batch *packed, uint64_t key) {
    looking seen = {.by = by, .on = on, .rows = packed->rows};
    size_t cells = by->body.depth * packed->rows;
    uint8_t *left_after = run_take(on, size_max(packed->rows, 1), 1);
    seen.uncertain = run_take(on, size_max(cells, 1), sizeof *seen.uncertain);
    if (!left_after || !seen.uncertain) return NULL;
    for (size_t i = 0; i < cells; i++) seen.uncertain[i] = 2;
    memset(left_after, NEVER, packed->rows);
    encoded out;
    const watcher watch = {WATCH_STATE, look, &seen};
    run watching = *on;
    watching.watch = &watch;
    if (encoder_forward(&by->body, &watching, packed, NULL, &out) != RUBATO_OK) return NULL;
    for (size_t i = 0; i < packed->sequences; i++) {
        uint64_t state = random_hash(key + random_hash(i));
        double kind = random_real(&state);
        if (kind < 0.2)
            simulate(&seen, packed, i, windows[WINDOWS - 1], thresholds[THRESHOLDS - 1], left_after);
        else if (kind >= 0.6)
            simulate(&seen, packed, i, windows[random_below(&state, WINDOWS)],
                     thresholds[random_below(&state, THRESHOLDS)], left_after);
    }
    return left_after;
}

/* A departure_function for rows; its user is left_after. */
static void apply_halts(void *user, const run *on, size_t number, bool last, tensor rows, const batch *packed,
                        const size_t *alive, bool *leaves) {
    const uint8_t *left_after = user;
    (void)on;
    (void)rows;
    for (size_t row = 0; row < packed->rows && !last; row++)
        leaves[row] = left_after[alive ? alive[row] : row] == number + 1;
}

static rubato_status halt_rows(void *user, passing *now, rubato_error *error) {
    const rubato_model *by = user;
    now->left_after = sample_halts(by, now->plain, &now->part->packed, now->key);
    if (!now->left_after) return fail_memory(error);
    now->thin.depart = apply_halts;
    now->thin.depart_user = (void *)(uintptr_t)now->left_after;
    now->thin.depart_rows = true;
    return RUBATO_OK;
}

/* ---- The recipe ---- */

/* The second phase; the model of the first one simulates the exits. */
static rubato_status self_sampling(trainer *self, phase *leave, rubato_error *error) {
    rubato_model *sampler;
    TRY(rubato_model_load(&sampler, self->options->out, error));
    leave->name = "self-sampling";
    leave->before_pass = halt_rows;
    leave->user = sampler;
    rubato_status status = trainer_run(self, leave, error);
    rubato_model_destroy(sampler);
    return status;
}

static rubato_status tokee(trainer *self, rubato_error *error) {
    if (!self->model->exits.by_row) return fail(error, RUBATO_WRONG_TASK, "recipe tokee is for tagging");
    exits_setting each = {0};
    const double final = weigh_exits(self, &each);
    const lesson lessons[] = {{&lesson_answers, final, NULL}, {&lesson_exits, 1, &each}};
    point also[JUDGED_EXITS];
    phase leave = {.name = self->method->name,
                   .epochs = trainer_epochs(self),
                   .passes = draw_full,
                   .lessons = lessons,
                   .lesson_count = 2,
                   .also = also,
                   .also_count = judged_exits(self, also)};
    if (self->options->resume) TRY(trainer_resume(self, error));
    TRY(trainer_run_first(self, &leave, error));
    for (size_t i = 0; i < leave.also_count; i++) { /* late, earlier, very early: the kept weights are good at all */
        also[i].exit = self->model->exits.rule;
        also[i].exit.threshold *= (float)(1 << i);
    }
    return self_sampling(self, &leave, error);
}

const recipe recipe_tokee = {
    .name = "tokee",
    .run = tokee,
    .warm_up = 0.1,
    .epochs = 5,
    .rate = 5e-5,
    .exits = {.kind = EXIT_LINEAR,
              .rule = {.rule = &exit_entropy, .threshold = 0.15f, .by_token = true, .window = 2},
              .rising = true}};
