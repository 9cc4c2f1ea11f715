/* Causal models that go on where earlier passes ended: in pieces of any size, texts have the rows that they have in one
 * pass. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>

#include "isas.h"
#include "made_model.h"
#include "tensor/state.h"

/* The next piece of each text: between 0 rows and `most`. */
static void draw_piece(const words *whole, const size_t *done, size_t most, uint64_t *seed, words *part) {
    part->start[0] = 0;
    for (size_t i = 0; i < SEQUENCES; i++) {
        const size_t left = lengths[i] - done[i], drawn = random_below(seed, (uint32_t)most + 1);
        const size_t rows = most == 1 ? left > 0 : drawn < left ? drawn : left;
        for (size_t j = 0; j < rows; j++) {
            part->ids[part->start[i] + j] = whole->ids[whole->start[i] + done[i] + j];
            part->types[part->start[i] + j] = whole->types[whole->start[i] + done[i] + j];
        }
        part->start[i + 1] = part->start[i] + rows;
    }
    part->packed = (batch){SEQUENCES, part->start[SEQUENCES], part->start, part->ids, part->types};
}

static void compare_piece(const char *what, const words *whole, const float *want, const words *part,
                          const size_t *done, tensor rows) {
    for (size_t i = 0; i < SEQUENCES; i++)
        for (size_t row = part->start[i]; row < part->start[i + 1]; row++)
            for (size_t j = 0; j < HIDDEN; j++) {
                const size_t place = whole->start[i] + done[i] + row - part->start[i];
                const double should = (double)want[place * HIDDEN + j], is = (double)tensor_row(rows, row)[j];
                if (!(fabs(is - should) <= 1e-5 * fmax(1, fabs(should))))
                    fail_msg("%s: text %zu, row %zu is %.8g, in one pass %.8g", what, i, done[i] + row - part->start[i],
                             is, should);
            }
}

static void check_pieces(bed *b, const char *what, size_t most, uint64_t *seed) {
    static words whole, part;
    static float want[MOST_ROWS * HIDDEN];
    size_t done[SEQUENCES] = {0}, left = MOST_ROWS;
    run_state *kept;
    encoded out;
    const encoder *body = &b->model->body;
    draw_words(&whole, seed);
    run on = run_of(b, false);
    assert_int_equal(encoder_forward(body, &on, &whole.packed, NULL, &out), RUBATO_OK);
    for (size_t i = 0; i < MOST_ROWS; i++) memcpy(want + i * HIDDEN, tensor_row(out.rows, i), HIDDEN * sizeof *want);
    arena_reset(&b->memory);
    assert_int_equal(run_state_create(&kept, body->depth, NULL), RUBATO_OK);
    on.state = kept;
    for (size_t again = 0; again < 2; again++) {
        for (size_t i = 0; i < SEQUENCES; i++) done[i] = 0;
        for (left = MOST_ROWS; left > 0; left -= part.packed.rows) {
            draw_piece(&whole, done, most, seed, &part);
            assert_int_equal(encoder_forward(body, &on, &part.packed, NULL, &out), RUBATO_OK);
            compare_piece(what, &whole, want, &part, done, out.rows);
            for (size_t i = 0; i < SEQUENCES; i++) done[i] += part.start[i + 1] - part.start[i];
            arena_reset(&b->memory);
        }
        run_state_clear(kept); /* and once more from the beginning */
    }
    run_state_destroy(kept);
}

static void test_pieces(void **unused) {
    (void)unused;
    static const char *const settings[] = {"\"softmax\"",
                                           "\"linear\"",
                                           "\"performer\", \"features\": 24",
                                           "\"performer\", \"features\": 24, \"kernel\": \"relu\"",
                                           "\"transformer-xl\", \"segment\": 16, \"memory\": 24",
                                           "\"transformer-xl\", \"segment\": 20, \"memory\": 0"};
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char parts[160];
        snprintf(parts, sizeof parts, "\"attention\": {\"mechanism\": %s}, ", settings[i]);
        made_model m = make_model(parts);
        for (size_t isa = 0; isa < ISA_COUNT; isa++) {
            bed b;
            if (!isa_kernels(isa)) continue;
            open_bed(&b, m.folder, isa_name(isa), 2);
            assert_false(encoder_continues(&b.model->body));
            b.model->body.config.causal = true;
            assert_true(encoder_continues(&b.model->body));
            check_pieces(&b, settings[i], 1, &seed);
            check_pieces(&b, settings[i], 40, &seed);
            check_pieces(&b, settings[i], LONGEST, &seed);
            close_bed(&b);
        }
        remove_model(&m);
    }
}

/* Other mechanisms say that they do not. */
static void test_others(void **unused) {
    (void)unused;
    made_model m = make_model("\"attention\": {\"mechanism\": \"image\", \"block\": 8}, ");
    bed b;
    open_bed(&b, m.folder, NULL, 1);
    b.model->body.config.causal = true;
    assert_false(encoder_continues(&b.model->body));
    close_bed(&b);
    remove_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
