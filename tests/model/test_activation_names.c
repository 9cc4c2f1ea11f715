/* The activations of transformers by their names, and what they and their derivatives give there, on each instruction
 * set. */
#include <cmocka_compat.h>
#include <math.h>
#include <string.h>

#include "isas.h"
#include "kernels/gradient.h"
#include "model/activation_names.h"
#include "tests/model/activation_values.h"

enum { POINTS = sizeof points / sizeof *points, NAMES = sizeof wanted / sizeof *wanted };

static void expect_near(const char *name, const char *isa, float x, float got, float want) {
    if (fabsf(got - want) <= 2e-6f * fmaxf(1, fabsf(want))) return;
    fail_msg("%s, %s at %g: %g instead of %g", name, isa, (double)x, (double)got, (double)want);
}

static void test_values(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t n = 0; table && n < NAMES; n++) {
            activation act;
            float values[POINTS], slopes[POINTS] = {0}, ones[POINTS];
            for (size_t p = 0; p < POINTS; p++) ones[p] = 1;
            assert_int_equal(activation_find(&act, "hidden_act", wanted[n].name, NULL), RUBATO_OK);
            memcpy(values, points, sizeof values);
            table->activate_f32(values, POINTS, act);
            table->gradient->activate_backward(slopes, ones, points, POINTS, act);
            for (size_t p = 0; p < POINTS; p++) {
                expect_near(wanted[n].name, table->name, points[p], values[p], (float)wanted[n].values[p]);
                expect_near(wanted[n].name, table->name, points[p], slopes[p], (float)wanted[n].slopes[p]);
            }
        }
    }
}

static void test_names(void **state) {
    (void)state;
    static const char *const unknown[] = {"prelu", "xielu", "gelu_11", "GELU", ""};
    static const char *const classes[] = {"torch.nn.modules.activation.PReLU",
                                          "torch.nn.modules.activation.",
                                          "transformers.activations.GELUActivation",
                                          "GELU",
                                          ".GELU",
                                          ""};
    activation act = ACTIVATION_COUNT;
    rubato_error error;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_int_equal(activation_find(&act, "hidden_act", unknown[i], &error), RUBATO_UNSUPPORTED);
        assert_non_null(strstr(error.message, "\"hidden_act\""));
    }
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        assert_int_equal(activation_find_class(&act, "activation_fn", classes[i], &error), RUBATO_UNSUPPORTED);
    assert_int_equal(act, ACTIVATION_COUNT);
    assert_int_equal(activation_find_class(&act, "activation_fn", "torch.nn.modules.activation.GELU", &error),
                     RUBATO_OK);
    assert_int_equal(act, ACTIVATION_GELU);
    assert_int_equal(activation_find_class(&act, "activation_fn", "torch.nn.modules.linear.Identity", &error),
                     RUBATO_OK);
    assert_int_equal(act, ACTIVATION_NONE);
    assert_int_equal(activation_find_class(&act, "activation_fn", "torch.nn.Sigmoid", &error), RUBATO_OK);
    assert_int_equal(act, ACTIVATION_SIGMOID);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
