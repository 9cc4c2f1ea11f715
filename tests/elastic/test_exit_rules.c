/* Exit rules: when each says "enough", and that it says so the earlier the looser it is set. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "elastic/exit.h"

enum { EXITS = 8, CLASSES = 4 };

static uint64_t state = 3;

/* The exit, from 1, at which a subject with these logits leaves; EXITS + 1: never. */
static int leaves_at(const exit_setting *set, float logits[EXITS][CLASSES], size_t classes, float signal) {
    float memory = 0;
    for (int i = 0; i < EXITS; i++) {
        exit_view view = {.logits = logits[i],
                          .before = i ? logits[i - 1] : NULL,
                          .classes = classes,
                          .signal = signal,
                          .memory = &memory};
        if (set->rule->leaves(set, &view)) return i + 1;
    }
    return EXITS + 1;
}

static void test_uncertainty(void **unused) {
    (void)unused;
    const float equal[] = {5, 5, 5}, sure[] = {0, 2000, -2000}, two[] = {1, 0};
    assert_true(fabsf(exit_uncertainty(equal, 3) - 1) < 1e-6f);
    assert_true(exit_uncertainty(sure, 3) == 0);
    float p = 1 / (1 + expf(-1)), h = -(p * logf(p) + (1 - p) * logf(1 - p)) / logf(2);
    assert_true(fabsf(exit_uncertainty(two, 2) - h) < 1e-6f);
    assert_true(exit_uncertainty(two, 1) == 1);
    float probability;
    assert_int_equal(exit_best(sure, 3, &probability), 1);
    assert_true(probability == 1);
}

/* Never at the degenerate setting, at once at the other end, and between them never later for a looser one. */
static void test_monotone(void **unused) {
    (void)unused;
    static const struct {
        const exit_rule *rule;
        float never, always;
        uint32_t patience;
    } cases[] = {{&exit_entropy, 0, 1.1f, 0},
                 {&exit_confidence, 1.1f, 0, 0},
                 {&exit_patient_entropy, 0, 1.1f, 1},
                 {&exit_patient_entropy, 0, 1.1f, 3},
                 {&exit_divergence, 0, 1e9f, 2}};
    for (int round = 0; round < 2000; round++) {
        float logits[EXITS][CLASSES];
        for (int i = 0; i < EXITS; i++)
            for (int j = 0; j < CLASSES; j++) logits[i][j] = (float)(random_normal(&state) * i);
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            exit_setting set = {.rule = cases[c].rule, .threshold = cases[c].never, .patience = cases[c].patience};
            assert_int_equal(leaves_at(&set, logits, CLASSES, 0), EXITS + 1);
            int before = EXITS + 1;
            for (int step = 1; step <= 20; step++) {
                set.threshold = cases[c].never + (cases[c].always - cases[c].never) * (float)step / 20;
                int now = leaves_at(&set, logits, CLASSES, 0);
                assert_true(now <= before);
                before = now;
            }
            int first = cases[c].rule == &exit_divergence ? 2 : 1;
            assert_int_equal(before, first + (set.patience > 1 ? (int)set.patience - 1 : 0));
        }
        int before = 0;
        for (uint32_t patience = 1; patience <= EXITS; patience++) {
            exit_setting set = {.rule = &exit_patience, .patience = patience};
            int now = leaves_at(&set, logits, CLASSES, 0);
            assert_true(now >= before && now > (int)patience);
            before = now;
        }
        assert_int_equal(before, EXITS + 1); /* as patient as there are exits: to the end */
    }
}

static void test_values(void **unused) {
    (void)unused;
    float values[EXITS][CLASSES] = {{1}, {1.4f}, {1.45f}, {1.48f}, {3}, {3}, {3}, {3}};
    exit_setting set = {.rule = &exit_patience, .patience = 2, .threshold = 0.1f};
    assert_int_equal(leaves_at(&set, values, 1, 0), 4);
    set.threshold = 0; /* strict: never */
    assert_int_equal(leaves_at(&set, values, 1, 0), EXITS + 1);
    exit_setting certain[] = {{.rule = &exit_entropy, .threshold = 0.99f},
                              {.rule = &exit_confidence, .threshold = 0.1f}};
    assert_int_equal(leaves_at(&certain[0], values, 1, 0), EXITS + 1); /* a value is never certain */
    assert_int_equal(leaves_at(&certain[1], values, 1, 0), EXITS + 1);
}

static void test_halting(void **unused) {
    (void)unused;
    float logits[EXITS][CLASSES] = {{0}};
    exit_setting set = {.rule = &exit_halting, .threshold = 0.01f};
    assert_int_equal(leaves_at(&set, logits, CLASSES, 0.25f), 4);
    assert_int_equal(leaves_at(&set, logits, CLASSES, 0), EXITS + 1);
    assert_int_equal(leaves_at(&set, logits, CLASSES, 0.99f), 1);
    set.threshold = 0.5f;
    assert_int_equal(leaves_at(&set, logits, CLASSES, 0.25f), 2);
}

static void test_names(void **unused) {
    (void)unused;
    static const char *const names[] = {"entropy",    "confidence", "patience", "patient-entropy",
                                        "divergence", "halting",    "fixed"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(exit_rule_find(names[i])->name, names[i]);
    assert_null(exit_rule_find("whim"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_uncertainty), cmocka_unit_test(test_monotone),
                                       cmocka_unit_test(test_values), cmocka_unit_test(test_halting),
                                       cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
