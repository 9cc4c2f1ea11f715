/* The named tensors of a pass: each is what the ones before it make of it in plain double precision, losses reach the
 * parameters through them, and copies outlive the pass. For every mechanism. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>

#include "attention/attending.h"
#include "made_model.h"
#include "model/encoder.h"
#include "tensor/watch.h"
#include "train/observed.h"

enum { ALL = WATCH_STATE | WATCH_QUERIES | WATCH_KEYS | WATCH_VALUES | WATCH_ATTENTION };

static words text;
static made_model of; /* the model's weights */

static void near(double got, double want, const char *what, size_t row, size_t column) {
    if (!(fabs(got - want) < 2e-4 * fmax(1, fabs(want))))
        fail_msg("%s [%zu, %zu] is %.8g, should be %.8g", what, row, column, got, want);
}

/* to = from W^T + b of a layer, plus `more` where it is not NULL. */
static void check_linear(const char *format, size_t layer_of, tensor to, tensor from, const tensor *more) {
    char name[96];
    snprintf(name, sizeof name, "encoder.layer.%%zu.attention.%s.weight", format);
    const float *w = stored_named(&of, name, layer_of);
    snprintf(name, sizeof name, "encoder.layer.%%zu.attention.%s.bias", format);
    const float *bias = stored_named(&of, name, layer_of);
    assert_int_equal(to.rows, MOST_ROWS);
    assert_int_equal(to.columns, HIDDEN);
    for (size_t r = 0; r < to.rows; r++)
        for (size_t o = 0; o < HIDDEN; o++) {
            double sum = (double)bias[o] + (more ? (double)tensor_row(*more, r)[o] : 0);
            for (size_t i = 0; i < HIDDEN; i++) sum += (double)w[o * HIDDEN + i] * (double)tensor_row(from, r)[i];
            near((double)tensor_row(to, r)[o], sum, format, r, o);
        }
}

/* Its rows are the original ones, of all sequences. */
static tensor seen_rows(const observed *seen, watch_kind what, size_t number) {
    for (size_t i = 0; i < seen->count; i++) {
        const observation *one = &seen->at[i];
        if (one->what != what || one->number != number) continue;
        assert_memory_equal(one->packed.start, text.start, sizeof text.start);
        assert_null(one->alive);
        if (what != WATCH_STATE) assert_int_equal(one->heads, HEADS);
        return one->rows;
    }
    fail_msg("nothing of kind %d, layer %zu", (int)what, number);
    return (tensor){0};
}

static void open_model(const char *parts) {
    uint64_t seed = 21;
    of = make_model(parts);
    draw_words(&text, &seed);
}

/* ---- Values ---- */

/* The scores of one head, as rows of its sequence; its probabilities make the mixed values of its features. */
typedef struct scores_seen {
    size_t head, sequence, blocks;
    double values[LONGEST][LONGEST];
    bool there[LONGEST];
} scores_seen;

static void see_scores(void *user, const run *on, const sight *what) {
    scores_seen *self = user;
    (void)on;
    assert_int_equal(what->what, WATCH_SCORES);
    if (what->layer != 1 || what->sequence != self->sequence || what->head != self->head) return;
    assert_int_equal(what->rows.columns, lengths[self->sequence]);
    self->blocks++;
    for (size_t r = 0; r < what->rows.rows; r++) {
        assert_false(self->there[what->first + r]);
        self->there[what->first + r] = true;
        for (size_t k = 0; k < what->rows.columns; k++)
            self->values[what->first + r][k] = (double)tensor_row(what->rows, r)[k];
    }
}

static void check_scores(bed *b, const observed *seen) {
    tensor q = seen_rows(seen, WATCH_QUERIES, 1), k = seen_rows(seen, WATCH_KEYS, 1);
    for (size_t sequence = 0; sequence < SEQUENCES; sequence++) {
        static scores_seen scores;
        const size_t column = 2 * SIZE, first = text.start[sequence];
        scores = (scores_seen){.head = 2, .sequence = sequence};
        const watcher watch = {WATCH_SCORES, see_scores, &scores};
        run on = run_of(b, false);
        encoded out;
        on.crew = NULL; /* scores are seen by the threads that make them */
        on.watch = &watch;
        assert_int_equal(encoder_forward(&b->model->body, &on, &text.packed, NULL, &out), RUBATO_OK);
        assert_true(scores.blocks > 0);
        for (size_t r = 0; r < lengths[sequence]; r++) {
            assert_true(scores.there[r]);
            for (size_t c = 0; c < lengths[sequence]; c++) {
                double sum = 0;
                for (size_t j = column; j < column + SIZE; j++)
                    sum += (double)tensor_row(q, first + r)[j] * (double)tensor_row(k, first + c)[j];
                near(scores.values[r][c], sum / sqrt(SIZE), "score", r, c);
            }
        }
    }
}

/* Softmax of scaled products, all heads. */
static tensor mix(const run *on, const observed *seen, size_t number) {
    tensor q = seen_rows(seen, WATCH_QUERIES, number), k = seen_rows(seen, WATCH_KEYS, number);
    tensor v = seen_rows(seen, WATCH_VALUES, number), mixed = run_tensor(on, MOST_ROWS, HIDDEN);
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t r = text.start[i]; r < text.start[i + 1]; r++)
            for (size_t column = 0; column < HIDDEN; column += SIZE) {
                double p[LONGEST], sum = 0, out[SIZE] = {0};
                for (size_t c = 0; c < lengths[i]; c++) {
                    p[c] = 0;
                    for (size_t j = column; j < column + SIZE; j++)
                        p[c] += (double)tensor_row(q, r)[j] * (double)tensor_row(k, text.start[i] + c)[j] / sqrt(SIZE);
                    sum += p[c] = exp(p[c]);
                }
                for (size_t c = 0; c < lengths[i]; c++)
                    for (size_t j = 0; j < SIZE; j++)
                        out[j] += p[c] / sum * (double)tensor_row(v, text.start[i] + c)[column + j];
                for (size_t j = 0; j < SIZE; j++) tensor_row(mixed, r)[column + j] = (float)out[j];
            }
    return mixed;
}

static void test_values(void **state) {
    (void)state;
    open_model("");
    for (int records = 0; records < 2; records++) {
        bed b;
        observed seen = {0};
        encoded out;
        open_bed(&b, of.folder, NULL, 2);
        run on = run_of(&b, records);
        observe_forward(&b.model->body, &on, NULL, &text.packed, NULL, ALL, &seen, &out);
        assert_int_equal(b.status, RUBATO_OK);
        assert_int_equal(seen.count, 1 + LAYERS * 5);
        for (size_t i = 0; i < LAYERS; i++) {
            tensor x = seen_rows(&seen, WATCH_STATE, i), mixed = mix(&on, &seen, i + 1);
            check_linear("self.query", i, seen_rows(&seen, WATCH_QUERIES, i + 1), x, NULL);
            check_linear("self.key", i, seen_rows(&seen, WATCH_KEYS, i + 1), x, NULL);
            check_linear("self.value", i, seen_rows(&seen, WATCH_VALUES, i + 1), x, NULL);
            check_linear("output.dense", i, seen_rows(&seen, WATCH_ATTENTION, i + 1), mixed, &x);
        }
        tensor last = seen_rows(&seen, WATCH_STATE, LAYERS);
        for (size_t r = 0; r < MOST_ROWS; r++)
            assert_memory_equal(tensor_row(last, r), tensor_row(out.rows, r), HIDDEN * sizeof(float));
        check_scores(&b, &seen);
        close_bed(&b);
    }
    remove_model(&of);
}

/* ---- Gradients, and copies ---- */

/* The sum of watched tensors of one kind, of all layers, times fixed weights. */
static double evaluate(bed *b, const void *user, bool backward) {
    observed seen = {0};
    encoded out;
    double sum = 0;
    b->recording = (tape){.key = 5, .hidden_rate = 0.1f, .attention_rate = 0.25f};
    run on = run_of(b, true);
    observe_forward(&b->model->body, &on, NULL, &text.packed, NULL, *(const unsigned *)user, &seen, &out);
    assert_int_equal(b->status, RUBATO_OK);
    for (size_t i = 0; i < seen.count; i++) sum += weigh(seen.at[i].rows, text.weights);
    if (backward) tape_backward(&on);
    arena_reset(&b->memory);
    return sum;
}

static void check_gradients(bed *b, const char *mechanism) {
    for (unsigned what = WATCH_STATE; what <= WATCH_ATTENTION; what *= 2) {
        char name[64];
        if (what == WATCH_SCORES) continue;
        snprintf(name, sizeof name, "%s, tensors of kind %u", mechanism, what);
        check_directions(b, evaluate, &what, name);
    }
}

/* The copies of a pass that does not record are what a pass that records has, after all else was overwritten. */
static void check_copies(bed *b) {
    observed recorded = {0}, copied = {0};
    encoded out;
    b->recording = (tape){.key = 5};
    run on = run_of(b, true), plain = run_of(b, false);
    observe_forward(&b->model->body, &on, NULL, &text.packed, NULL, ALL, &recorded, &out);
    observe_forward(&b->model->body, &plain, &on, &text.packed, NULL, ALL, &copied, &out);
    assert_int_equal(b->status, RUBATO_OK);
    assert_int_equal(copied.count, recorded.count);
    for (size_t i = 0; i < copied.count; i++) {
        const observation *one = &copied.at[i], *other = &recorded.at[i];
        assert_int_equal(one->what, other->what);
        assert_int_equal(one->number, other->number);
        assert_non_null(one->rows.grad); /* exits learn from a body that does not */
        for (size_t r = 0; r < one->rows.rows; r++)
            assert_memory_equal(tensor_row(one->rows, r), tensor_row(other->rows, r), HIDDEN * sizeof(float));
    }
    arena_reset(&b->memory);
}

static void test_every_mechanism(void **state) {
    (void)state;
    for (size_t i = 0; i < attending_table.count; i++) {
        char parts[128];
        bed b;
        parts_of(parts, sizeof parts, &attending_table, i);
        open_model(parts);
        open_bed(&b, of.folder, NULL, 2);
        check_gradients(&b, attending_table.kinds[i]->name);
        check_copies(&b);
        close_bed(&b);
        remove_model(&of);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_every_mechanism)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
