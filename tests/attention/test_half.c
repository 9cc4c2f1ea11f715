/* Attention in 16 bits: the kernels against sums made here, and whole attention against f32. Buffers end where
 * their contents do, so that the address sanitizer sees what reads or writes beyond. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/operand.h"
#include "attention/softmax.h"
#include "base/checked.h"
#include "base/random.h"
#include "isas.h"
#include "kernels/table_emulated.h"
#include "tensor/operations.h"
#include "tensor/tape.h"

static uint64_t state = 5;

/* The kernels under test: of each instruction set in turn whose attention they are. */
static const kernel_table *under_test;

static void *exact(size_t count, size_t size) {
    void *block = malloc(size_max(count, 1) * size);
    assert_non_null(block);
    return block;
}

static int part(const uint32_t *words, size_t k) {
    return (int16_t)(words[k / 2] >> 16 * (k % 2));
}

static double bf16_part(const uint32_t *words, size_t k) {
    uint32_t bits = words[k / 2] >> 16 * (k % 2) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static float *values(size_t count) {
    float *x = exact(count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)random_normal(&state);
    return x;
}

/* Rows: within half a unit, zeros to the end of the last word, sizes of which 2^15 holds the sum. */
static void test_rows(void **unused) {
    (void)unused;
    const half_kernels *kernels = under_test->low.half;
    for (size_t round = 0; round < 500; round++) {
        size_t depth = 1 + random_below(&state, round % 3 ? 40 : 300), rows = 1 + random_below(&state, 9);
        size_t stride = depth + random_below(&state, 5), words = words_bf16(depth);
        float *x = values((rows - 1) * stride + depth);
        if (round % 7 == 0)
            for (size_t i = 0; i < (rows - 1) * stride + depth; i++) x[i] = 0;
        uint32_t *out = exact(rows * words, sizeof *out);
        float unit = kernels->unit(x, stride, rows, depth);
        kernels->rows(out, words, x, stride, rows, depth, unit);
        for (size_t row = 0; row < rows; row++) {
            double sizes = 0, whole = 0;
            for (size_t k = 0; k < depth; k++) {
                double value = (double)x[row * stride + k];
                int q = part(out + row * words, k);
                sizes += fabs(value);
                whole += abs(q);
                assert_true(fabs(value - q * (double)unit) <= 0.51 * (double)unit);
            }
            assert_true(sizes <= (double)unit * INT16_MOST);
            assert_true(whole <= INT16_MOST + 0.5 * (double)depth);
            if (depth % 2) assert_true(part(out + row * words, depth) == 0);
        }
        x[random_below(&state, rows) * stride + random_below(&state, depth)] = round % 2 ? NAN : -INFINITY;
        assert_true(isfinite(kernels->unit(x, stride, rows, depth)) == 0);
        free(out);
        free(x);
    }
}

static void test_panels(void **unused) {
    (void)unused;
    const half_kernels *kernels = under_test->low.half;
    for (size_t round = 0; round < 200; round++) {
        size_t depth = 1 + random_below(&state, 70), words = words_bf16(depth);
        float *in = values(depth * PANEL), scale[PANEL];
        for (size_t k = 0; k < depth; k++) in[k * PANEL + 3] = 0;
        in[random_below(&state, depth) * PANEL + 5] = round % 2 ? NAN : INFINITY;
        uint32_t *out = exact(words * PANEL, sizeof *out);
        kernels->panel(out, scale, in, depth, 0.5f);
        for (size_t j = 0; j < PANEL; j++) scale[j] *= 2;
        for (size_t j = 0; j < PANEL; j++) {
            int most = 0;
            for (size_t k = 0; k < 2 * words; k++) {
                int q = (int16_t)(out[k / 2 * PANEL + j] >> 16 * (k % 2));
                if (abs(q) > most) most = abs(q);
                if (k >= depth)
                    assert_true(q == 0);
                else if (j != 5)
                    assert_true(fabs((double)in[k * PANEL + j] - q * (double)scale[j]) <= 0.51 * (double)scale[j]);
            }
            if (j == 3) assert_true(scale[j] == 0 && most == 0);
            if (j == 5) assert_true(isfinite(scale[j]) == 0);
            if (j != 3 && j != 5) assert_true(most == INT16_MOST);
        }
        free(out);
        free(in);
    }
}

/* bfloat16: rows and panels are rounded as everywhere, after the factor; the odd end of a depth is zero. */
static void test_bf16(void **unused) {
    (void)unused;
    const half_kernels *kernels = under_test->low.half;
    for (size_t round = 0; round < 200; round++) {
        size_t depth = 1 + random_below(&state, 70), words = words_bf16(depth);
        float *in = values(depth * PANEL), *x = values(depth);
        in[random_below(&state, depth) * PANEL + 5] = round % 2 ? NAN : INFINITY;
        uint32_t *out = exact(words * PANEL, sizeof *out), *want = exact(words * PANEL, sizeof *want);
        kernels->panel(out, NULL, in, depth, 0.3f);
        for (size_t i = 0; i < depth * PANEL; i++) in[i] *= 0.3f;
        narrow_panel_bf16_scalar(want, in, depth);
        for (size_t i = 0; i < 2 * words * PANEL; i++) {
            double a = bf16_part(out, i), b = bf16_part(want, i);
            assert_true(a == b || (isnan(a) && isnan(b)));
        }
        kernels->rows(out, words, x, depth, 1, depth, 1);
        narrow_bf16_scalar(want, x, depth);
        assert_memory_equal(out, want, words * sizeof *out);
        free(in);
        free(x);
        free(out);
        free(want);
    }
}

/* Sums are exact, also of the largest values and over several passes; a row is the same in any company. */
static void test_product(void **unused) {
    (void)unused;
    const half_kernels *kernels = under_test->low.half;
    for (size_t round = 0; round < 120; round++) {
        size_t depth = 1 + random_below(&state, round % 10 ? 90 : 5000), words = words_bf16(depth);
        size_t rows = 1 + random_below(&state, round % 4 ? 20 : 60), columns = 1 + random_below(&state, 80);
        uint32_t *a = exact(rows * words, sizeof *a);
        uint32_t *b = exact(packed_size(columns, words), sizeof *b);
        float *scale = values(columns), *c = exact(rows * columns, sizeof *c), *one = exact(columns, sizeof *one);
        memset(a, 0, rows * words * sizeof *a);
        for (size_t row = 0; row < rows; row++) {
            int left = INT16_MOST; /* of the sum of sizes */
            for (size_t k = 0; k < depth; k++) {
                int q = (int)random_below(&state, (size_t)(round % 5 ? left / 8 : left) + 1);
                left -= q;
                if (random_below(&state, 2)) q = -q;
                a[row * words + k / 2] |= (uint32_t)(uint16_t)q << 16 * (k % 2);
            }
        }
        for (size_t i = 0; i < packed_size(columns, words); i++) {
            unsigned low = (unsigned)random_below(&state, 2 * INT16_MOST + 1) - INT16_MOST;
            b[i] = (low & 0xffff) | (round % 3 ? 0x7fffu : 0x8001u) << 16;
        }
        product_low p = {.a = a,
                         .b = b,
                         .column_scale = scale,
                         .c = c,
                         .a_stride = words,
                         .c_stride = columns,
                         .rows = rows,
                         .columns = columns,
                         .words = words};
        kernels->product(&p);
        for (size_t row = 0; row < rows; row++)
            for (size_t j = 0; j < columns; j++) {
                const uint32_t *panel = b + j / PANEL * PANEL * words + j % PANEL;
                long long sum = 0;
                for (size_t k = 0; k < 2 * words; k++)
                    sum += part(a + row * words, k) * (int16_t)(panel[k / 2 * PANEL] >> 16 * (k % 2));
                assert_true(c[row * columns + j] == (float)sum * scale[j]);
            }
        size_t row = random_below(&state, rows);
        p.a += row * words;
        p.c = one;
        p.rows = 1;
        kernels->product(&p);
        assert_memory_equal(one, c + row * columns, columns * sizeof *one);
        free(a);
        free(b);
        free(scale);
        free(c);
        free(one);
    }
}

static void test_softmax(void **unused) {
    (void)unused;
    const half_kernels *kernels = under_test->low.half;
    for (size_t count = 1; count < 140; count++)
        for (int kind = 0; kind < 5; kind++) {
            float *x = values(count);
            double *e = exact(count, sizeof *e), sum = 0, most = -INFINITY;
            uint32_t *out = exact(words_bf16(count), sizeof *out);
            for (size_t i = 0; i < count; i++) {
                if (kind == 1) x[i] *= 30;
                if (kind == 2 && i % 3 == 0 && i + 1 < count) x[i] = -INFINITY;
                if (kind == 3 && i == count / 2) x[i] = count % 2 ? NAN : INFINITY;
                if (kind == 4) x[i] = 88;
                most = fmax(most, (double)x[i]);
            }
            for (size_t i = 0; i < count; i++) sum += e[i] = exp((double)x[i] - most);
            const float scale = kernels->integers ? 1 : 0.5f;
            for (size_t i = 0; i < count; i++) x[i] /= scale;
            float total = kernels->softmax(out, x, count, scale);
            assert_true(isnan(total) == (kind == 3));
            for (size_t i = 0; kind != 3 && i < count; i++) {
                const double want = e[i] / sum, kept = (double)x[i] / (double)total;
                const double got =
                    kernels->integers ? (double)part(out, i) / INT16_MOST : bf16_part(out, i) / (double)total;
                if (!(fabs(got - want) <= (kernels->integers ? 1.0 / INT16_MOST : want * 0x1.1p-8 + 1e-30)))
                    fail_msg("softmax of %zu, kind %d: %.6f, should be %.6f", count, kind, got, want);
                assert_true(fabs(kept - want) <= want * 2e-4 + 1e-30);
            }
            if (count % 2) assert_true(part(out, count) == 0);
            free(x);
            free(e);
            free(out);
        }
}

/* Whole attention, of sequences short and long, with significance and without: near f32's; a NaN spoils its sequence's
 * heads and no other. */
static void test_attention(void **unused) {
    (void)unused;
    enum { HEADS = 3, SIZE = 32, ROWS = 700 };
    arena memory;
    arena_create(&memory, 1 << 20, 1 << 20);
    rubato_status status = RUBATO_OK;
    run on = {.kernels = under_test, .memory = &memory, .status = &status};
    size_t start[] = {0, 5, 69, 140, ROWS};
    batch sequences = {.sequences = 4, .rows = ROWS, .start = start};
    float significance[2][ROWS];
    for (int spoilt = 0; spoilt < 2; spoilt++)
        for (int ranked = 0; ranked < 2; ranked++) {
            tensor qkv = run_tensor(&on, ROWS, 3 * HEADS * SIZE), out[2];
            for (size_t i = 0; i < ROWS; i++)
                for (size_t j = 0; j < qkv.columns; j++) tensor_row(qkv, i)[j] = 2 * (float)random_normal(&state);
            if (spoilt) tensor_row(qkv, 75)[HEADS * SIZE + SIZE + 3] = NAN; /* a key of the third sequence, head 1 */
            for (int low = 0; low < 2; low++) {
                attention in = {.query = tensor_columns(qkv, 0, HEADS * SIZE),
                                .key = tensor_columns(qkv, HEADS * SIZE, HEADS * SIZE),
                                .value = tensor_columns(qkv, 2 * HEADS * SIZE, HEADS * SIZE),
                                .heads = HEADS,
                                .head_size = SIZE,
                                .scale = 0.17f,
                                .significance = ranked ? significance[low] : NULL,
                                .low = low};
                out[low] = run_tensor(&on, ROWS, HEADS * SIZE);
                attention_softmax(&on, out[low], &in, &sequences);
                assert_int_equal(status, RUBATO_OK);
            }
            bool differs = false;
            for (size_t i = 0; i < ROWS; i++) {
                if (ranked && !(spoilt && i >= 69 && i < 140))
                    assert_true(fabsf(significance[0][i] - significance[1][i]) <
                                (under_test->low.half->integers ? 0.01f : 0.05f * (2 + significance[0][i])));
                for (size_t j = 0; j < HEADS * SIZE; j++) {
                    float a = tensor_row(out[0], i)[j], b = tensor_row(out[1], i)[j];
                    bool lost = spoilt && i >= 69 && i < 140 && j / SIZE == 1;
                    if (!(lost ? isnan(a) && isnan(b)
                               : fabsf(a - b) < (under_test->low.half->integers ? 1e-2f : 0.15f)))
                        fail_msg("spoilt %d, ranked %d, row %zu, column %zu: %g, f32 %g", spoilt, ranked, i, j,
                                 (double)b, (double)a);
                    differs = differs || a != b;
                }
            }
            assert_true(differs); /* it is another form */
        }
    arena_destroy(&memory);
}

/* Rows of values become pairs, with zeros at an odd end and beyond the columns. */
static void test_pairs(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 100; round++) {
        const size_t depth = 1 + random_below(&state, 20), columns = 2 + 2 * random_below(&state, PANEL / 2);
        const size_t stride = columns / 2 + random_below(&state, 4), words = words_bf16(depth);
        uint32_t *in = exact((depth - 1) * stride + columns / 2, sizeof *in), *out = exact(words * PANEL, sizeof *out);
        for (size_t i = 0; i < (depth - 1) * stride + columns / 2; i++) in[i] = (uint32_t)random_next(&state);
        under_test->low.half->pairs(out, in, stride, columns, depth);
        for (size_t k = 0; k < 2 * words; k++)
            for (size_t j = 0; j < PANEL; j++) {
                uint32_t want = k < depth && j < columns ? in[k * stride + j / 2] >> 16 * (j % 2) & 0xffff : 0;
                assert_int_equal(out[k / 2 * PANEL + j] >> 16 * (k % 2) & 0xffff, want);
            }
        free(in);
        free(out);
    }
}

/* The rows of a tensor from one on. */
static tensor rows_from(tensor x, size_t first) {
    if (x.half)
        x.half += first * x.stride;
    else
        x.data += first * x.stride;
    x.rows -= first;
    return x;
}

/* Layers whose results are in bfloat16: a projection, attention that reads it, and two linear layers with a rounded
 * tensor between them. They are near f32's, with fewer queries and significance too, and a sequence alone has the same
 * bits. */
static void test_chain(void **unused) {
    (void)unused;
    enum { HEADS = 2, SIZE = 32, WIDTH = HEADS * SIZE, INNER = 96, ROWS = 117 };
    arena memory;
    arena_create(&memory, 1 << 20, 1 << 20);
    rubato_status status = RUBATO_OK;
    float *weights[3] = {values(3 * WIDTH * WIDTH), values(INNER * WIDTH), values(WIDTH * INNER)};
    const size_t out[3] = {3 * WIDTH, INNER, WIDTH}, in[3] = {WIDTH, WIDTH, INNER};
    linear layers[3];
    for (size_t i = 0; i < 3; i++) {
        layers[i] = (linear){.in = in[i], .out = out[i], .precision = PRECISION_BF16};
        layers[i].bias = values(out[i]);
        layers[i].packed = exact(packed_size(out[i], in[i]), sizeof(float));
        layers[i].low = aligned_alloc(64, packed_size(out[i], words_bf16(in[i])) * sizeof(uint32_t));
        assert_non_null(layers[i].low);
        for (size_t k = 0; k < out[i] * in[i]; k++) weights[i][k] *= 0.15f;
        pack_transposed_f32_scalar(layers[i].packed, weights[i], in[i], out[i], in[i]);
        pack_bf16(layers[i].low, weights[i], in[i], out[i], in[i]);
    }
    size_t start[] = {0, 45, ROWS}, asking_start[] = {0, 20, 50};
    float significance[2][ROWS], *made[3];
    for (int fewer = 0; fewer < 2; fewer++) {
        const size_t rows = fewer ? asking_start[2] : ROWS;
        for (int kind = 0; kind < 3; kind++) { /* f32, bfloat16, bfloat16 of the second sequence alone */
            const size_t first = kind == 2 ? start[1] : 0, asking = kind == 2 && fewer ? asking_start[1] : first;
            run on = {.kernels = under_test, .memory = &memory, .status = &status, .low = kind > 0};
            tensor x = run_tensor(&on, ROWS, WIDTH);
            uint64_t same = 77;
            for (size_t i = 0; i < ROWS * WIDTH; i++) x.data[i] = (float)random_normal(&same);
            size_t alone[] = {0, ROWS - start[1]}, asking_alone[] = {0, asking_start[2] - asking_start[1]};
            batch sequences = {.sequences = 2, .rows = ROWS, .start = start};
            batch queries = {.sequences = 2, .rows = asking_start[2], .start = asking_start};
            if (kind == 2) sequences = (batch){.sequences = 1, .rows = alone[1], .start = alone};
            if (kind == 2) queries = (batch){.sequences = 1, .rows = asking_alone[1], .start = asking_alone};
            const bool half = run_gives_half(&on, &layers[0], ACTIVATION_NONE);
            assert_int_equal(half, kind > 0);
            tensor qkv = half ? run_tensor_half(&on, x.rows, 3 * WIDTH) : run_tensor(&on, x.rows, 3 * WIDTH);
            run_linear(&on, qkv, x, &layers[0], ACTIVATION_NONE, NULL);
            attention heads = {.query = rows_from(tensor_columns(qkv, 0, WIDTH), asking),
                               .key = rows_from(tensor_columns(qkv, WIDTH, WIDTH), first),
                               .value = rows_from(tensor_columns(qkv, 2 * WIDTH, WIDTH), first),
                               .queries = fewer ? &queries : NULL,
                               .heads = HEADS,
                               .head_size = SIZE,
                               .scale = 0.17f,
                               .significance = fewer || kind == 2 ? NULL : significance[kind],
                               .low = kind > 0};
            tensor mixed = run_tensor(&on, fewer ? queries.rows : sequences.rows, WIDTH);
            tensor ended = run_tensor(&on, mixed.rows, WIDTH);
            attention_softmax(&on, mixed, &heads, &sequences);
            tensor inner = run_between(&on, mixed.rows, &layers[1], ACTIVATION_GELU, &layers[2]);
            assert_int_equal(inner.half != NULL, kind > 0);
            run_linear(&on, inner, mixed, &layers[1], ACTIVATION_GELU, NULL);
            run_linear(&on, ended, inner, &layers[2], ACTIVATION_NONE, &mixed);
            assert_int_equal(status, RUBATO_OK);
            made[kind] = exact(ended.rows * WIDTH, sizeof(float));
            for (size_t row = 0; row < ended.rows; row++)
                memcpy(made[kind] + row * WIDTH, tensor_row(ended, row), WIDTH * sizeof(float));
            if (kind == 2) assert_memory_equal(made[2], made[1] + asking * WIDTH, ended.rows * WIDTH * sizeof(float));
        }
        for (size_t i = 0; i < rows * WIDTH; i++)
            if (!(fabsf(made[0][i] - made[1][i]) < 0.06f * (1 + fabsf(made[0][i]))))
                fail_msg("fewer %d, element %zu: %g, f32 %g", fewer, i, (double)made[1][i], (double)made[0][i]);
        for (size_t i = 0; !fewer && i < ROWS; i++)
            assert_true(fabsf(significance[0][i] - significance[1][i]) < 0.05f * (2 + significance[0][i]));
        for (int kind = 0; kind < 3; kind++) free(made[kind]);
    }
    for (size_t i = 0; i < 3; i++) {
        free(weights[i]);
        free(layers[i].bias);
        free(layers[i].packed);
        free(layers[i].low);
    }
    arena_destroy(&memory);
}

/* Attention that learns in bfloat16: its result and its gradients are near f32's, with the same dropout. */
static void test_derivative(void **unused) {
    (void)unused;
    enum { HEADS = 2, SIZE = 24, WIDTH = HEADS * SIZE, ROWS = 90 };
    arena memory;
    arena_create(&memory, 1 << 20, 1 << 20);
    size_t start[] = {0, 37, ROWS};
    batch sequences = {.sequences = 2, .rows = ROWS, .start = start};
    for (int dropped = 0; dropped < 2; dropped++) {
        tensor qkv[2], out[2];
        for (int low = 0; low < 2; low++) {
            rubato_status status = RUBATO_OK;
            tape record = {.key = 7, .attention_rate = dropped ? 0.3f : 0};
            run on = {.kernels = under_test, .memory = &memory, .status = &status, .tape = &record};
            uint64_t same = 3;
            qkv[low] = run_tensor(&on, ROWS, 3 * WIDTH);
            out[low] = run_tensor(&on, ROWS, WIDTH);
            for (size_t i = 0; i < ROWS * 3 * WIDTH; i++) qkv[low].data[i] = (float)random_normal(&same);
            for (size_t i = 0; i < ROWS * WIDTH; i++) out[low].grad[i] = (float)random_normal(&same);
            attention in = {.query = tensor_columns(qkv[low], 0, WIDTH),
                            .key = tensor_columns(qkv[low], WIDTH, WIDTH),
                            .value = tensor_columns(qkv[low], 2 * WIDTH, WIDTH),
                            .heads = HEADS,
                            .head_size = SIZE,
                            .scale = 0.2f,
                            .low = low};
            attention_softmax(&on, out[low], &in, &sequences);
            tape_backward(&on);
            assert_int_equal(status, RUBATO_OK);
        }
        double apart = 0, size = 0;
        for (size_t i = 0; i < ROWS * 3 * WIDTH; i++) {
            double a = (double)qkv[0].grad[i], b = (double)qkv[1].grad[i];
            apart += (a - b) * (a - b);
            size += a * a;
        }
        assert_true(apart > 0 && apart < 1e-4 * size);
        for (size_t i = 0; i < ROWS * WIDTH; i++) assert_true(fabsf(out[0].data[i] - out[1].data[i]) < 0.05f);
    }
    arena_destroy(&memory);
}

int main(void) {
    const struct CMUnitTest integers[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_panels),
                                          cmocka_unit_test(test_product)},
                            bf16[] = {cmocka_unit_test(test_bf16), cmocka_unit_test(test_pairs),
                                      cmocka_unit_test(test_derivative)},
                            chain[] = {cmocka_unit_test(test_chain)},
                            both[] = {cmocka_unit_test(test_softmax), cmocka_unit_test(test_attention)};
    const kernel_table emulated = kernel_table_emulated();
    int failed = 0;
    for (size_t isa = 0; isa <= ISA_COUNT; isa++) {
        under_test = isa < ISA_COUNT ? isa_kernels(isa) : &emulated;
        if (!under_test || !under_test->low.half) continue;
        const char *name = isa < ISA_COUNT ? isa_name(isa) : "emulated tiles";
        if (under_test->low.half->integers)
            failed += cmocka_run_group_tests_name(name, integers, NULL, NULL);
        else
            failed += cmocka_run_group_tests_name(name, bf16, NULL, NULL);
        failed += cmocka_run_group_tests_name(name, both, NULL, NULL);
        if (under_test->low.halves) failed += cmocka_run_group_tests_name(name, chain, NULL, NULL);
    }
    return failed;
}
