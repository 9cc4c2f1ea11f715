/* Kernels of memories against plain loops. */
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "isas.h"

static uint64_t state = 11;

/* Whether place a comes before place b. */
static bool comes_first(const float *x, size_t a, size_t b) {
    int32_t bits[2];
    memcpy(&bits[0], &x[a], 4);
    memcpy(&bits[1], &x[b], 4);
    for (int i = 0; i < 2; i++)
        if (bits[i] < 0) bits[i] ^= 0x7fffffff;
    return bits[0] > bits[1] || (bits[0] == bits[1] && a < b);
}

static float draw(int kind) {
    static const float specials[] = {0, -0.0f, 1, -1, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 3e38f};
    if (kind == 0) return (float)random_normal(&state);
    if (kind == 1) return (float)random_below(&state, 4) - 1; /* many equal ones */
    if (kind == 2) return 2.5f;
    return specials[random_below(&state, sizeof specials / sizeof *specials)];
}

static void test_largest(void **unused) {
    enum { MOST = 300 };
    float x[MOST];
    uint32_t places[MOST + 1];
    int32_t scratch[MOST];
    (void)unused;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *kernels = isa_kernels(isa);
        for (int trial = 0; kernels && trial < 2000; trial++) {
            const size_t count = 1 + random_below(&state, MOST), k = 1 + random_below(&state, count);
            for (size_t i = 0; i < count; i++) x[i] = draw(trial % 5);
            places[k] = 12345;
            kernels->memory->largest(places, x, count, k, scratch);
            assert_int_equal(places[k], 12345);
            for (size_t i = 0; i < k; i++) {
                size_t before = 0; /* its rank among all */
                assert_true(places[i] < count);
                for (size_t j = 0; j < count; j++) before += comes_first(x, j, places[i]);
                assert_int_equal(before, i);
            }
        }
    }
}

static void test_rows(void **unused) {
    enum { MOST = 100 };
    (void)unused;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *kernels = isa_kernels(isa);
        for (size_t count = 0; kernels && count < MOST; count++)
            for (size_t shift = 0; shift < 3; shift++) {
                /* rows begin anywhere, and end where their memory ends */
                float row[MOST], y[MOST], got[MOST];
                unsigned char *as_f32 = malloc(count * 4 + shift + 1), *as_bf16 = malloc(count * 2 + shift + 1);
                int8_t *bytes = malloc(count + shift + 1);
                const float factor = (float)random_normal(&state);
                for (size_t i = 0; i < count; i++) {
                    row[i] = (float)(int)(random_normal(&state) * 40);
                    y[i] = (float)random_normal(&state);
                    uint32_t bits;
                    memcpy(&bits, &row[i], 4);
                    const uint16_t half = (uint16_t)(bits >> 16);
                    memcpy(as_f32 + shift + 4 * i, &row[i], 4);
                    memcpy(as_bf16 + shift + 2 * i, &half, 2);
                    bytes[shift + i] = (int8_t)fmaxf(fminf(row[i], 127), -128);
                }
                for (int type = 0; type < 3; type++) {
                    memcpy(got, y, sizeof y);
                    const void *from = type == 0   ? (const void *)(as_f32 + shift)
                                       : type == 1 ? (const void *)(as_bf16 + shift)
                                                   : (const void *)(bytes + shift);
                    add_row_function *add = type == 0   ? kernels->memory->add_f32
                                            : type == 1 ? kernels->memory->add_bf16
                                                        : kernels->memory->add_int8;
                    add(got, from, factor, count);
                    for (size_t i = 0; i < count; i++) {
                        const double value = type == 2 ? (double)bytes[shift + i] : (double)row[i];
                        const double want =
                            (double)y[i] + (double)factor * value; /* small integers are exact in bf16 */
                        assert_true(fabs((double)got[i] - want) <= 1e-6 * fmax(1, fabs(want)));
                    }
                }
                free(as_f32);
                free(as_bf16);
                free(bytes);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_largest), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
