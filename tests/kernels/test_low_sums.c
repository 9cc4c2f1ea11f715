/* The low-precision products of every instruction set of this machine, to the bit: int8 always, and bf16 on small
 * integers, whose sums are exact in any order. What stands behind the words that are multiplied is NaN, or the end of
 * the memory. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "isas.h"

static uint64_t state = 5;

static size_t below(size_t limit) {
    return random_below(&state, limit);
}

static int within(int most) {
    return (int)below(2 * (size_t)most + 1) - most;
}

static void *room(size_t count, size_t size) {
    void *block = aligned_alloc(64, round_up(size_max(count * size, 1), 64));
    assert_non_null(block);
    return block;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* A product of integers, with its memory. */
typedef struct example {
    product_low p;
    bool bytes;
    size_t depth;
    int *x, *y; /* a [rows][depth], b [columns][depth] */
    uint32_t *a, *b;
    float *scales, *column_scales, *bias, *residual, *before, *c;
    int32_t *offset;
} example;

/* Element `at` along the depth of a row of words that are `pitch` words apart. */
static void put(const example *e, uint32_t *words, size_t pitch, size_t at, int value, int zero) {
    if (e->bytes) {
        ((uint8_t *)(words + at / 4 * pitch))[at % 4] = (uint8_t)(value + zero);
    } else {
        const uint16_t half = (uint16_t)(bits_of((float)value) >> 16);
        memcpy((char *)(words + at / 2 * pitch) + at % 2 * 2, &half, sizeof half);
    }
}

static void fill(float *out, size_t count, int most) {
    for (size_t i = 0; i < count; i++) out[i] = (float)within(most);
}

static example create(bool bytes, size_t rows, size_t columns, size_t depth) {
    const size_t words = bytes ? words_int8(depth) : words_bf16(depth), stride = low_stride(words);
    const size_t more = below(3) ? 0 : 1 + below(20), wide = columns + below(3), parts = bytes ? 4 : 2;
    const int most =
        bytes ? 127 : 7; /* bf16: integers of 8 bits are exact, and so are sums of a few thousand products */
    example e = {.bytes = bytes, .depth = depth};
    e.x = room(rows * depth, sizeof *e.x), e.y = room(columns * depth, sizeof *e.y);
    for (size_t k = 0; k < rows * depth; k++) e.x[k] = below(8) ? within(most) : most;
    for (size_t k = 0; k < columns * depth; k++) e.y[k] = below(8) ? within(most) : most;
    e.a = room(low_room(rows) * stride, 4), e.b = room(packed_size(columns, words + more), 4);
    memset(e.a, 0xff, low_room(rows) * stride * 4);
    memset(e.b, 0xff, packed_size(columns, words + more) * 4);
    e.offset = room(columns, sizeof *e.offset);
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < parts * words; k++)
            put(&e, e.a + i * stride, 1, k, k < depth ? e.x[i * depth + k] : 0, 128);
        low_end_row(e.a + i * stride, words);
    }
    for (size_t j = 0; j < round_up(columns, PANEL); j++) {
        uint32_t *column = e.b + j / PANEL * PANEL * (words + more) + j % PANEL;
        int sum = 0;
        for (size_t k = 0; k < parts * words; k++) {
            const int value = j < columns && k < depth ? e.y[j * depth + k] : 0;
            put(&e, column, PANEL, k, value, 0);
            sum += value;
        }
        if (j < columns) e.offset[j] = 128 * sum;
    }
    e.scales = room(rows, 4), e.column_scales = room(columns, 4), e.bias = room(columns, 4);
    e.residual = room(rows * wide, 4), e.before = room(rows * wide, 4), e.c = room(rows * wide, 4);
    for (size_t i = 0; i < rows; i++) e.scales[i] = (float)random_real(&state);
    for (size_t j = 0; j < columns; j++) e.column_scales[j] = (float)random_real(&state);
    fill(e.bias, columns, 100);
    fill(e.residual, rows * wide, 1000);
    fill(e.before, rows * wide, 1000);
    e.p = (product_low){.a = e.a,
                        .b = e.b,
                        .row_scale = bytes ? e.scales : NULL,
                        .column_scale = bytes ? e.column_scales : NULL,
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
                        .b_words = more ? words + more : 0,
                        .act = below(2) ? ACTIVATION_RELU : ACTIVATION_NONE,
                        .add = !bytes && below(3) == 0};
    return e;
}

static void destroy(example *e) {
    free(e->x), free(e->y), free(e->a), free(e->b), free(e->scales), free(e->column_scales), free(e->bias);
    free(e->residual), free(e->before), free(e->c), free(e->offset);
}

static float right(const example *e, size_t row, size_t column) {
    const product_low *p = &e->p;
    const size_t at = row * p->c_stride + column;
    int32_t sum = 0;
    for (size_t k = 0; k < e->depth; k++) sum += e->x[row * e->depth + k] * e->y[column * e->depth + k];
    float y = (float)sum;
    if (e->bytes) y = y * p->row_scale[row] * p->column_scale[column];
    if (p->add) y += e->before[at];
    if (p->bias) y += p->bias[column];
    if (p->act == ACTIVATION_RELU) y = y > 0 ? y : 0;
    return p->residual ? y + p->residual[at] : y;
}

static void run(example *e, const kernel_table *table) {
    memcpy(e->c, e->before, e->p.rows * e->p.c_stride * 4);
    (e->bytes ? table->low.product_int8 : table->low.product_bf16)(&e->p);
}

static void check(bool bytes, size_t rows, size_t columns, size_t depth) {
    example e = create(bytes, rows, columns, depth);
    float *want = room(rows * e.p.c_stride, 4);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < e.p.c_stride; j++) {
            const size_t at = i * e.p.c_stride + j;
            want[at] = j < columns ? right(&e, i, j) : e.before[at];
        }
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *table = isa_kernels(isa);
        if (!table) continue;
        run(&e, table);
        for (size_t at = 0; at < rows * e.p.c_stride; at++)
            if (e.c[at] != want[at]) /* zeros of either sign are equal */
                fail_msg("%s %s, %zu x %zu x %zu, row %zu, column %zu: %.9g, should be %.9g", table->name,
                         bytes ? "int8" : "bf16", rows, columns, depth, at / e.p.c_stride, at % e.p.c_stride,
                         (double)e.c[at], (double)want[at]);
    }
    free(want);
    destroy(&e);
}

static void test_rows(void **unused) {
    (void)unused;
    for (int bytes = 0; bytes < 2; bytes++)
        for (size_t rows = 1; rows < 64; rows++) check(bytes, rows, 1 + below(70), 1 + below(60));
}

static void test_columns(void **unused) {
    (void)unused;
    for (int bytes = 0; bytes < 2; bytes++)
        for (size_t columns = 1; columns < 70; columns++) check(bytes, 1 + below(15), columns, 1 + below(60));
}

static void test_depths(void **unused) {
    (void)unused;
    for (int bytes = 0; bytes < 2; bytes++) {
        for (size_t depth = 0; depth < 70; depth++) check(bytes, 1 + below(15), 1 + below(40), depth);
        /* around the ends of parts of 256 and 1024 words, and rows of several blocks */
        const size_t parts = bytes ? 4 : 2, words[] = {255, 256, 257, 511, 512, 513, 769, 1024, 1027};
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            check(bytes, 1 + below(30), 1 + below(40), parts * words[i] - below(2));
        check(bytes, 700, 9, parts * 255);
    }
}

/* NaN and infinity are in the results of their own row or column, and in no other. */
static void test_company(void **unused) {
    (void)unused;
    for (size_t round = 0; round < 60; round++) {
        const size_t rows = 2 + below(30), columns = 2 + below(40), depth = 1 + below(50), k = below(depth);
        example e = create(false, rows, columns, depth);
        const size_t row = below(rows), column = below(columns);
        const uint16_t value = below(2) ? 0x7fc0 : 0x7f80;
        const bool in_a = below(2);
        uint32_t *b = e.b + column / PANEL * PANEL * product_low_pitch(&e.p) + k / 2 * PANEL + column % PANEL;
        memcpy((char *)(in_a ? e.a + row * e.p.a_stride + k / 2 : b) + k % 2 * 2, &value, sizeof value);
        e.p.act = ACTIVATION_NONE;
        for (size_t isa = 0; isa < ISA_COUNT; isa++) {
            const kernel_table *table = isa_kernels(isa);
            if (!table) continue;
            run(&e, table);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < columns; j++) {
                    const float got = e.c[i * e.p.c_stride + j];
                    if (in_a ? i == row : j == column)
                        assert_true(!isfinite(got));
                    else
                        assert_true(got == right(&e, i, j));
                }
        }
        destroy(&e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_columns),
                                       cmocka_unit_test(test_depths), cmocka_unit_test(test_company)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
