/* Running exits on one batch, and deciding which subjects leave. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "model/exits.h"
#include "model/pooling.h"

static void *zeros(const run *on, size_t count, size_t each) {
    void *made = run_take(on, count, each);
    if (made) memset(made, 0, count * each);
    return made;
}

void exit_session_begin(exit_session *self, const exits *from, const head *final, const exit_setting *rule,
                        const run *on, const batch *input) {
    size_t subjects = from->by_row ? input->rows : input->sequences;
    *self = (exit_session){.exits = from, .final = final, .rule = *rule, .input = input, .subjects = subjects};
    self->left_after = zeros(on, input->sequences, sizeof *self->left_after);
    self->logits = zeros(on, subjects * from->classes, sizeof *self->logits);
    self->before = zeros(on, subjects * from->classes, sizeof *self->before);
    self->memories = zeros(on, subjects, sizeof *self->memories);
    self->asked = zeros(on, subjects, sizeof *self->asked);
    self->answered = zeros(on, subjects, sizeof *self->answered);
    if (rule->by_token) self->ran = zeros(on, from->depth * input->sequences, sizeof *self->ran);
}

void exit_session_record(exit_session *self, const run *on) {
    self->seen = zeros(on, self->exits->depth * self->subjects * self->exits->classes, sizeof *self->seen);
}

/* Finds the subjects of this layer. */
static void gather_subjects(const exit_session *self, const run *on, const batch *packed, const size_t *alive,
                            exit_subjects *out) {
    size_t most = self->exits->by_row ? packed->rows : packed->sequences;
    size_t *rows = run_take(on, most, sizeof *rows);
    size_t *which = run_take(on, most, sizeof *which);
    if (run_failed(on)) return;
    out->rows = rows;
    out->which = which;
    for (size_t i = 0; i < packed->sequences; i++)
        for (size_t row = packed->start[i]; row < packed->start[i + 1]; row++) {
            size_t subject = !self->exits->by_row ? i : alive ? alive[row] : row;
            if (self->answered[subject]) continue; /* a token that has left */
            rows[out->count] = self->exits->reads_last && !self->exits->by_row ? packed->start[i + 1] - 1 : row;
            which[out->count++] = subject;
            if (!self->exits->by_row) break;
        }
}

/* Stores the states of the layer's subjects at their places among all subjects. */
static void remember(exit_session *self, const run *on, size_t number, const exit_subjects *who) {
    size_t before = self->memory.count;
    exits_remember(self->exits, self->final, on, number, who, &self->memory);
    if (self->memory.count == before) return;
    tensor *parts[2] = {&self->memory.states[before], &self->memory.signals[before]};
    for (size_t i = 0; i < 2; i++) {
        if (!parts[i]->data) continue;
        tensor whole = run_tensor(on, self->subjects, parts[i]->columns);
        if (run_failed(on)) return;
        for (size_t j = 0; j < who->count; j++)
            memcpy(tensor_row(whole, who->which[j]), tensor_row(*parts[i], j), whole.columns * sizeof(float));
        *parts[i] = whole;
    }
}

/* Makes the exit's logits those of its subjects, after moving theirs to `before`. */
static void answer(exit_session *self, const run *on, size_t number, const exit_subjects *who) {
    size_t classes = self->exits->classes;
    arena_mark mark = arena_save(on->memory);
    tensor made = exits_forward(self->exits, self->final, on, number, who, &self->memory);
    if (run_failed(on)) return;
    float inverse = 1 / self->exits->heads[number].temperature;
    for (size_t j = 0; j < who->count; j++) {
        float *now = self->logits + who->which[j] * classes;
        memcpy(self->before + who->which[j] * classes, now, classes * sizeof *now);
        for (size_t k = 0; k < classes; k++) now[k] = tensor_row(made, j)[k] * inverse;
    }
    arena_rewind(on->memory, mark);
}

static bool wants_to_leave(exit_session *self, size_t subject) {
    const exit_memory *memory = &self->memory;
    size_t classes = self->exits->classes;
    bool halts = self->exits->kind == EXIT_HALTING;
    exit_view view = {.logits = self->logits + subject * classes,
                      .before = self->asked[subject] ? self->before + subject * classes : NULL,
                      .classes = classes,
                      .memory = &self->memories[subject]};
    if (halts) view.signal = 1 / (1 + expf(-tensor_row(memory->signals[memory->count - 1], subject)[0]));
    self->asked[subject] = 1;
    return self->rule.rule->leaves(&self->rule, &view);
}

/* Tokens leave one by one, when they and their neighbours are ready; tokens that have left count as ready. The first
 * and the last row of a sequence, special tokens, leave with the last of the other rows. */
static void ask_tokens(exit_session *self, size_t number, const batch *packed, const size_t *alive, bool *ready,
                       bool *leaves) {
    size_t window = self->rule.window;
    for (size_t row = 0; row < packed->rows; row++) {
        size_t subject = alive ? alive[row] : row;
        ready[row] = self->answered[subject] || wants_to_leave(self, subject);
    }
    for (size_t i = 0; i < packed->sequences; i++) {
        size_t first = packed->start[i], last = packed->start[i + 1];
        if (last - first > 2) {
            first++;
            last--;
        }
        bool all = last > first;
        for (size_t row = first; row < last; row++) {
            bool together = true;
            size_t low = row - first > window ? row - window : first, high = size_min(row + window + 1, last);
            for (size_t j = low; j < high; j++) together = together && ready[j];
            leaves[row] = together;
            all = all && (together || self->answered[alive ? alive[row] : row]);
        }
        for (size_t row = packed->start[i]; row < packed->start[i + 1]; row++) {
            leaves[row] = leaves[row] || all;
            if (leaves[row]) self->answered[alive ? alive[row] : row] = 1;
        }
        if (all) self->left_after[i] = number + 1;
    }
}

void exit_session_decide(void *user, const run *on, size_t number, bool last, tensor rows, const batch *packed,
                         const size_t *alive, bool *leaves) {
    exit_session *self = user;
    const exits *from = self->exits;
    exit_subjects who = {.x = rows, .packed = packed};
    bool halts = from->kind == EXIT_HALTING;
    if (self->ran)
        for (size_t i = 0; i < packed->sequences; i++)
            for (size_t row = packed->start[i]; row < packed->start[i + 1]; row++)
                self->ran[number * packed->sequences + i] += !self->answered[alive ? alive[row] : row];
    gather_subjects(self, on, packed, alive, &who);
    remember(self, on, number, &who);
    if (!from->heads[number].present || (last && !halts)) return;
    if (!halts && number + 1 < self->rule.first) return;
    if (!halts) answer(self, on, number, &who);
    if (run_failed(on)) return;
    if (self->seen) {
        size_t each = self->subjects * from->classes;
        memcpy(self->seen + number * each, self->logits, each * sizeof *self->seen);
        return;
    }
    if (self->rule.by_token) {
        bool *ready = run_take(on, packed->rows, sizeof *ready);
        if (ready) ask_tokens(self, number, packed, alive, ready, leaves);
        return;
    }
    /* A sequence leaves when all of its rows are ready to. With one answer for each row, the first and the last row are
     * special tokens, whose answers are not used. */
    for (size_t i = 0, at = 0; i < packed->sequences; i++) {
        size_t length = batch_length(packed, i), count = from->by_row ? length : length > 0;
        bool all = count > 0;
        for (size_t j = 0; j < count; j++) {
            bool special = from->by_row && length > 2 && (j == 0 || j + 1 == length);
            if (!wants_to_leave(self, who.which[at + j]) && !special) all = false;
        }
        leaves[i] = all && !last;
        for (size_t j = 0; leaves[i] && j < count; j++) self->answered[who.which[at + j]] = 1;
        if (leaves[i]) self->left_after[i] = number + 1;
        at += count;
    }
}

void exit_session_results(const exit_session *self, const run *on, const encoded *out, float *result) {
    size_t classes = self->exits->classes;
    size_t *rows = run_take(on, self->subjects, sizeof *rows);
    size_t *which = run_take(on, self->subjects, sizeof *which), count = 0;
    tensor x = out->rows;
    bool halts = self->exits->kind == EXIT_HALTING;
    double ponder;
    if (halts) x = halting_mean(on, &self->memory, self->rule.threshold, 0, 0, &ponder);
    const bool pools = head_pools(self->final) && !halts;
    if (pools) x = head_pooled(self->final, on, x, &out->packed);
    const size_t *ends = pooling_ends(on, &out->packed, self->final->last);
    if (run_failed(on)) return;
    for (size_t i = 0; i < self->subjects; i++) {
        if (self->answered[i] && !halts) {
            memcpy(result + i * classes, self->logits + i * classes, classes * sizeof *result);
            continue;
        }
        rows[count] = halts || pools || self->exits->by_row ? i : ends[i];
        which[count++] = i;
    }
    if (count == 0) return;
    tensor made = head_forward(self->final, on, x, rows, count);
    for (size_t j = 0; j < count && made.data; j++)
        memcpy(result + which[j] * classes, tensor_row(made, j), classes * sizeof *result);
}
