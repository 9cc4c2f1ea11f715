/* The product by tiles, with emulated tiles: int8 is the scalar product to the bit; bf16 is, to the bit, the sum that
 * the tile unit's order gives, in whatever blocks and parts it runs; and it is near the scalar product. Buffers end
 * where the contract says, so that the address sanitizer sees reads and writes beyond. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "kernels/product_emulated.h"
#include "kernels/table.h"
#include "kernels/tile_arithmetic.h"

static uint64_t state = 11;

static size_t below(size_t limit) {
    return random_below(&state, limit);
}

static void *room(size_t count, size_t size) {
    void *block = aligned_alloc(64, round_up(size_max(count * size, 1), 64));
    assert_non_null(block);
    return block;
}

/* A product with its memory. */
typedef struct example {
    product_low p;
    size_t depth, b_words;
    uint32_t *a, *b;
    float *row_scale, *column_scale, *bias, *residual, *c;
    int32_t *offset;
} example;

static void fill(float *out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = (float)random_normal(&state);
}

static example create(bool bytes, size_t rows, size_t columns, size_t depth, size_t b_depth, size_t spare) {
    const low_kernels *low = &kernel_table_named("scalar")->low;
    example e = {.depth = depth, .b_words = bytes ? words_int8(b_depth) : words_bf16(b_depth)};
    const size_t words = bytes ? words_int8(depth) : words_bf16(depth), stride = low_stride(words),
                 wide = columns + spare;
    e.a = room(low_room(rows) * stride, 4);
    memset(e.a, 0xff, low_room(rows) * stride * 4); /* NaN, where no row is */
    e.b = room(packed_size(columns, e.b_words), 4);
    e.row_scale = room(rows, 4), e.column_scale = room(round_up(columns, PANEL), 4), e.bias = room(columns, 4);
    e.residual = room(rows * wide, 4), e.c = room(rows * wide, 4), e.offset = room(round_up(columns, PANEL), 4);
    float *x = room(depth, 4), *weights = room(columns * b_depth, 4), *panel = room(PANEL * b_depth, 4);
    fill(weights, columns * b_depth);
    fill(e.bias, columns);
    fill(e.residual, rows * wide);
    fill(e.c, rows * wide);
    for (size_t row = 0; row < rows; row++) {
        fill(x, depth);
        if (bytes)
            e.row_scale[row] = low->quantize_int8(e.a + row * stride, x, NULL, depth);
        else
            low->round_bf16(e.a + row * stride, x, depth);
        low_end_row(e.a + row * stride, words);
    }
    for (size_t j = 0; bytes && j < columns; j += PANEL) {
        size_t width = size_min(columns - j, PANEL);
        pack_transposed_f32_scalar(panel, weights + j * b_depth, b_depth, width, b_depth);
        quantize_panel_int8(e.b + j * e.b_words, e.column_scale + j, e.offset + j, panel, width, b_depth);
    }
    for (size_t j = 0; bytes && j < columns; j++) { /* the product uses a part of b: its offsets */
        e.offset[j] = 0;
        for (size_t k = 0; k < 4 * words; k++)
            e.offset[j] += 128 * (int8_t)(e.b[(j / PANEL * e.b_words + k / 4) * PANEL + j % PANEL] >> 8 * (k % 4));
    }
    if (!bytes) pack_bf16(e.b, weights, b_depth, columns, b_depth);
    free(x), free(weights), free(panel);
    e.p = (product_low){.a = e.a,
                        .b = e.b,
                        .row_scale = bytes ? e.row_scale : NULL,
                        .column_scale = bytes ? e.column_scale : NULL,
                        .column_offset = bytes ? e.offset : NULL,
                        .bias = below(2) ? e.bias : NULL,
                        .residual = below(2) ? e.residual : NULL,
                        .c = e.c,
                        .a_stride = stride,
                        .c_stride = wide,
                        .residual_stride = wide,
                        .rows = rows,
                        .columns = columns,
                        .words = words,
                        .b_words = e.b_words,
                        .act = (activation)below(ACTIVATION_RARE),
                        .add = !bytes && below(3) == 0};
    if (e.p.add) e.p.act = ACTIVATION_NONE;
    return e;
}

static void destroy(example *e) {
    free(e->a), free(e->b), free(e->row_scale), free(e->column_scale), free(e->bias), free(e->residual), free(e->c);
    free(e->offset);
}

static bool same(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* The sum of an element in the tile unit's order: step by step, the even and the odd elements of each. */
static float in_order(const product_low *p, size_t row, size_t column, float from) {
    const uint32_t *panel = p->b + column / PANEL * PANEL * product_low_pitch(p);
    float sum = from;
    for (size_t k = 0; k < p->words; k += 16) {
        uint16_t a[32] = {0}, b[32] = {0};
        for (size_t i = 0; i < 16 && k + i < p->words; i++) {
            uint32_t x = p->a[row * p->a_stride + k + i], y = panel[(k + i) * PANEL + column % PANEL];
            a[2 * i] = (uint16_t)x, a[2 * i + 1] = (uint16_t)(x >> 16);
            b[2 * i] = (uint16_t)y, b[2 * i + 1] = (uint16_t)(y >> 16);
        }
        sum = bf16_step(sum, a, b, 2);
    }
    return sum;
}

static void check(example *e, bool bytes) {
    const product_low *p = &e->p;
    const size_t size = p->rows * p->c_stride;
    float *before = room(size, 4), *want = room(size, 4);
    memcpy(before, e->c, size * 4);
    memcpy(want, e->c, size * 4);
    product_low scalar = *p;
    scalar.c = want;
    (bytes ? product_int8_scalar : product_bf16_scalar)(&scalar);
    (bytes ? product_int8_emulated : product_bf16_emulated)(p);
    for (size_t row = 0; row < p->rows; row++)
        for (size_t j = 0; j < p->c_stride; j++) {
            float got = e->c[row * p->c_stride + j], near = want[row * p->c_stride + j];
            float was = before[row * p->c_stride + j], exact = near;
            if (j >= p->columns) exact = was; /* what is not of the product stays */
            if (j < p->columns && !bytes) {
                exact = in_order(p, row, j, p->add ? was : 0);
                if (p->bias) exact += p->bias[j];
                activate_f32_scalar(&exact, 1, p->act);
                if (p->residual) exact += p->residual[row * p->residual_stride + j];
                if (!isnan(near) && !(fabsf(got - near) <= (2e-6f + 3e-7f * (float)e->depth) * (30 + fabsf(near))))
                    fail_msg("%zu x %zu x %zu, row %zu, column %zu: %g, scalar %g", p->rows, p->columns, e->depth, row,
                             j, (double)got, (double)near);
            }
            if (!same(got, exact))
                fail_msg("%s, %zu x %zu x %zu, row %zu, column %zu: %.9g, should be %.9g", bytes ? "int8" : "bf16",
                         p->rows, p->columns, e->depth, row, j, (double)got, (double)exact);
        }
    free(before), free(want);
}

static void test_shapes(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 240; round++) {
        bool bytes = round % 2;
        size_t rows = 1 + below(round % 5 ? 40 : 150), columns = 1 + below(round % 3 ? 40 : 130);
        size_t depth = round % 19 ? 1 + below(round % 7 ? 200 : 1500) : 0, spare = below(3) ? 0 : 5;
        example e = create(bytes, rows, columns, depth, depth + (below(2) ? 0 : 4 * below(40)), spare);
        check(&e, bytes);
        destroy(&e);
    }
}

/* Products whose sums are the result: whole blocks go to c itself, the rest beside them does not. */
static void test_straight(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 60; round++) {
        size_t rows = round % 2 ? 16 * (1 + below(7)) : 1 + below(100),
               columns = 32 * (1 + below(3)) + below(2) * below(32);
        size_t depth = 1 + below(round % 5 ? 100 : 700);
        example e = create(false, rows, columns, depth, depth, round_up(columns, 16) - columns + 16 * below(3));
        e.p.bias = e.p.residual = NULL;
        e.p.act = ACTIVATION_NONE;
        check(&e, false);
        destroy(&e);
    }
}

/* A result in bfloat16 is the f32 one, rounded; nothing beside it is written. */
static void test_halves(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 60; round++) {
        bool bytes = round % 2;
        size_t rows = 1 + below(70), columns = 1 + below(100), depth = 1 + below(200);
        example e = create(bytes, rows, columns, depth, depth, 0);
        e.p.add = false;
        product_low_function *product = bytes ? product_int8_emulated : product_bf16_emulated;
        product(&e.p);
        const size_t words = words_bf16(columns), stride = words + below(3);
        uint32_t *got = room(rows * stride, 4), *want = room(rows * stride, 4);
        memset(got, 0xab, rows * stride * 4);
        memset(want, 0xab, rows * stride * 4);
        for (size_t row = 0; row < rows; row++) narrow_bf16_scalar(want + row * stride, e.c + row * columns, columns);
        e.p.half = got;
        e.p.half_stride = stride;
        e.p.c = NULL;
        product(&e.p);
        assert_memory_equal(got, want, rows * stride * 4);
        free(got), free(want);
        destroy(&e);
    }
}

/* More rows than a block of rows has, which is smaller for a great depth. */
static void test_blocks(void **unused) {
    (void)unused;
    for (int bytes = 0; bytes < 2; bytes++) {
        const size_t shapes[][3] = {{530, 33, 40}, {70, 33, bytes ? 20000 : 10000}, {513, 1, 513}};
        for (size_t i = 0; i < 3; i++) {
            example e = create(bytes, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][2], 0);
            check(&e, bytes);
            destroy(&e);
        }
    }
}

/* NaN, infinities and subnormal numbers spoil their own row or column and nothing else. */
static void test_special(void **unused) {
    (void)unused;
    const uint16_t values[] = {0x7fc0, 0x7f80, 0xff80, 0x0001, 0x8001, 0x7f7f, 0x0080};
    for (size_t round = 0; round < 60; round++) {
        size_t depth = 1 + below(150);
        example e = create(false, 1 + below(40), 1 + below(40), depth, depth, 0);
        for (size_t i = 0; i < 6; i++) {
            uint16_t value = values[below(sizeof values / sizeof *values)];
            size_t k = below(depth);
            uint16_t *words = i % 2 ? (uint16_t *)(void *)(e.a + below(e.p.rows) * e.p.a_stride)
                                    : (uint16_t *)(void *)(e.b + (k / 2) * PANEL + below(size_min(e.p.columns, PANEL)));
            words[i % 2 ? k : k % 2] = value;
        }
        e.p.act = ACTIVATION_NONE;
        const product_low *p = &e.p;
        float *before = room(p->rows * p->columns, 4);
        memcpy(before, e.c, p->rows * p->columns * 4);
        product_bf16_emulated(p);
        for (size_t row = 0; row < p->rows; row++)
            for (size_t j = 0; j < p->columns; j++) {
                float exact = in_order(p, row, j, p->add ? before[row * p->columns + j] : 0);
                if (p->bias) exact += p->bias[j];
                if (p->residual) exact += p->residual[row * p->residual_stride + j];
                assert_true(same(e.c[row * p->columns + j], exact));
            }
        free(before);
        destroy(&e);
    }
}

/* A row's result is the same to the bit alone and among others. */
static void test_company(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 30; round++) {
        bool bytes = round % 2;
        size_t depth = 1 + below(700), columns = 1 + below(70);
        example e = create(bytes, 2 + below(80), columns, depth, depth, 0);
        e.p.add = false;
        product_low_function *product = bytes ? product_int8_emulated : product_bf16_emulated;
        product(&e.p);
        float *alone = room(columns, 4);
        uint32_t *a = room(low_room(1) * e.p.a_stride, 4);
        memset(a, 0, low_room(1) * e.p.a_stride * 4);
        size_t row = below(e.p.rows);
        memcpy(a, e.p.a + row * e.p.a_stride, e.p.a_stride * 4);
        product_low one = e.p;
        one.a = a, one.c = alone, one.rows = 1;
        if (bytes) one.row_scale += row;
        if (one.residual) one.residual += row * one.residual_stride;
        product(&one);
        assert_memory_equal(alone, e.c + row * columns, columns * 4);
        free(alone), free(a);
        destroy(&e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes),  cmocka_unit_test(test_straight),
                                       cmocka_unit_test(test_halves),  cmocka_unit_test(test_blocks),
                                       cmocka_unit_test(test_special), cmocka_unit_test(test_company)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
