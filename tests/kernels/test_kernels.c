/* Every kernel of every instruction set of this machine against the scalar variant, and the scalar variant against
 * double: odd sizes, none at all, ends that are not aligned, bytes around the output that must stay, infinities, NaN
 * and denormals.
 *
 *     test_kernels [--seed=N] [--bench]      --bench times each variant instead */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "isas.h"

static unsigned long long seed = 1;

static uint64_t next_random(void) {
    seed += 0x9e3779b97f4a7c15u;
    uint64_t x = seed;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static size_t random_below(size_t limit) {
    return (size_t)(next_random() % limit);
}

static float random_float(void) {
    return (float)((double)(next_random() >> 11) / 4503599627370496.0 - 1.0);
}

static const float specials[] = {0.0f,    -0.0f,    1e-42f,    -1e-42f, 1e-30f,  88.0f,    -88.0f, 104.0f,
                                 -104.0f, INFINITY, -INFINITY, NAN,     3.4e38f, -3.4e38f, 12.0f,  -12.0f};
enum { SPECIAL_COUNT = sizeof specials / sizeof specials[0] };

/* ---- Guarded buffers: the last element is the last byte before the guard ---- */

enum { GUARD = 64 };

typedef struct guarded {
    unsigned char *block;
    float *data;
    size_t bytes;
} guarded;

static guarded guarded_create(size_t count) {
    guarded g = {NULL, NULL, count * sizeof(float)};
    size_t shift = 4 * random_below(16); /* any alignment of a float */
    g.block = malloc(g.bytes + 2 * GUARD + 64);
    memset(g.block, 0xa5, g.bytes + 2 * GUARD + 64);
    g.data = (float *)(void *)(g.block + GUARD + shift);
    for (size_t i = 0; i < count; i++) g.data[i] = random_float() * 3;
    return g;
}

static void guarded_free(guarded g) {
    const unsigned char *data = (const unsigned char *)g.data;
    for (const unsigned char *p = g.block; p < data; p++) assert_int_equal(*p, 0xa5);
    for (const unsigned char *p = data + g.bytes; p < data + g.bytes + GUARD; p++) assert_int_equal(*p, 0xa5);
    free(g.block);
}

/* Equal, or both NaN, or within the tolerance. */
static bool near(double got, double want, double tolerance) {
    if (isnan(want)) return isnan(got);
    if (isinf(want)) return got == want;
    return fabs(got - want) <= tolerance;
}

static void expect(const char *kernel, const char *isa, size_t size, size_t at, double got, double want,
                   double tolerance) {
    if (!near(got, want, tolerance))
        fail_msg("%s %s, size %zu, element %zu: %.9g, should be %.9g within %.3g (--seed=%llu)", kernel, isa, size, at,
                 got, want, tolerance, seed);
}

/* ---- Activations ---- */

static double softplus(double x) {
    return x > 40 ? x : log1p(exp(x));
}

static double activation_double(double x, activation act) {
    double y;
    switch (act) {
    case ACTIVATION_GELU: return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case ACTIVATION_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACTIVATION_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case ACTIVATION_RELU: return x < 0 ? 0 : x;
    case ACTIVATION_SILU: return x / (1 + exp(-x));
    case ACTIVATION_TANH: return tanh(x);
    case ACTIVATION_SIGMOID: return 1 / (1 + exp(-x));
    case ACTIVATION_LEAKY_RELU: return x < 0 ? x / 100 : x;
    case ACTIVATION_RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case ACTIVATION_RELU_SQUARED: return x < 0 ? 0 : (double)(float)(x * x); /* too large: infinite */
    case ACTIVATION_HARD_SWISH: return x < -3 ? 0 : x > 3 ? x : x * (x + 3) / 6;
    case ACTIVATION_MISH: return x * tanh(softplus(x));
    case ACTIVATION_ROOT_SOFTPLUS: return sqrt(softplus(x));
    case ACTIVATION_LAPLACE: return 0.5 * (1 + erf((x - 0.707107) / (0.282095 * sqrt(2))));
    case ACTIVATION_GELU_CLIPPED: y = 0.5 * x * (1 + erf(x * M_SQRT1_2)); return y > 10 ? 10 : y;
    default: return x;
    }
}

static void test_activations(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (int act = 0; table && act < ACTIVATION_COUNT; act++)
            for (size_t size = 0; size < 70; size++) {
                guarded x = guarded_create(size);
                float in[70];
                for (size_t j = 0; j < size; j++) {
                    if (random_below(4) == 0) x.data[j] = specials[random_below(SPECIAL_COUNT)];
                    if (isinf(x.data[j])) x.data[j] = 30; /* -inf times 0 is not defined by the formulas */
                    in[j] = x.data[j];
                }
                table->activate_f32(x.data, size, (activation)act);
                for (size_t j = 0; j < size; j++) {
                    double want = activation_double((double)in[j], (activation)act);
                    expect("activate", table->name, size, j, (double)x.data[j], want,
                           1e-6 * fmax(1, fmax(fabs((double)in[j]), fabs(want))));
                }
                guarded_free(x);
            }
    }
}

/* ---- Softmax ---- */

static void test_softmax(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t size = 0; table && size < 140; size++)
            for (int kind = 0; kind < 5; kind++) {
                guarded x = guarded_create(size);
                float in[140];
                for (size_t j = 0; j < size; j++) {
                    if (kind == 1) x.data[j] *= 30;
                    if (kind == 2 && j % 3 == 0 && j + 1 < size) x.data[j] = -INFINITY;
                    if (kind == 3) x.data[j] = -1e30f + 0 * (float)j;
                    if (kind == 4 && j == size / 2) x.data[j] = NAN;
                    in[j] = x.data[j];
                }
                double max = -INFINITY, sum = 0;
                bool none = false;
                for (size_t j = 0; j < size; j++) {
                    max = fmax(max, (double)in[j]);
                    none = none || isnan(in[j]);
                }
                for (size_t j = 0; j < size; j++) sum += exp((double)in[j] - max);
                table->softmax_f32(x.data, size);
                for (size_t j = 0; j < size; j++) {
                    double want = none ? NAN : exp((double)in[j] - max) / sum;
                    expect("softmax", table->name, size, j, (double)x.data[j], want, 2e-6 * want + 1e-10);
                }
                guarded_free(x);
            }
    }
}

static void test_exp(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t size = 0; table && size < 70; size++) {
            static const float special[] = {0, -INFINITY, INFINITY, NAN, -87, 88, -200, 200, 1e-30f};
            guarded x = guarded_create(size);
            float in[70];
            for (size_t j = 0; j < size; j++) in[j] = x.data[j] = j % 5 == 4 ? special[j / 5 % 9] : 20 * x.data[j];
            table->exp_f32(x.data, size);
            for (size_t j = 0; j < size; j++) {
                const double want = (double)(float)exp((double)in[j]); /* overflows as a float does */
                expect("exp", table->name, size, j, (double)x.data[j], want, 1e-6 * want + 1e-37);
            }
            guarded_free(x);
        }
    }
}

/* ---- Layer normalisation ---- */

static void test_layer_norm(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t size = 0; table && size < 150; size += 1 + size / 40)
            for (int kind = 0; kind < 3; kind++) {
                guarded x = guarded_create(size), gamma = guarded_create(size), beta = guarded_create(size);
                guarded out = guarded_create(size);
                for (size_t j = 0; j < size; j++) x.data[j] += kind == 1 ? 1000.0f : 0.0f; /* far from zero */
                double mean = 0, variance = 0;
                for (size_t j = 0; j < size; j++) mean += (double)x.data[j] / (double)size;
                for (size_t j = 0; j < size; j++)
                    variance += ((double)x.data[j] - mean) * ((double)x.data[j] - mean) / (double)size;
                table->layer_norm_f32(kind == 2 ? x.data : out.data, x.data, gamma.data, kind == 1 ? NULL : beta.data,
                                      1e-5f, size);
                for (size_t j = 0; j < size && kind != 2; j++) {
                    double normal = ((double)x.data[j] - mean) / sqrt(variance + 1e-5);
                    double want = normal * (double)gamma.data[j] + (kind == 1 ? 0 : (double)beta.data[j]);
                    double tolerance = 1e-5 * (fabs((double)gamma.data[j] * normal) + 1);
                    if (kind == 1) tolerance += 1e-3; /* the mean itself carries 1000 * 2^-24 */
                    expect("layer_norm", table->name, size, j, (double)out.data[j], want, tolerance);
                }
                guarded_free(x);
                guarded_free(gamma);
                guarded_free(beta);
                guarded_free(out);
            }
    }
}

/* ---- Dot ---- */

static void test_dot(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t size = 0; table && size < 100; size++) {
            guarded a = guarded_create(size), b = guarded_create(size);
            double want = 0, scale = 0;
            for (size_t j = 0; j < size; j++) {
                want += (double)a.data[j] * (double)b.data[j];
                scale += fabs((double)a.data[j] * (double)b.data[j]);
            }
            float got = table->dot_f32(a.data, b.data, size);
            expect("dot", table->name, size, 0, (double)got, want, ((double)size + 1) * 1.2e-7 * scale);
            guarded_free(a);
            guarded_free(b);
        }
    }
}

/* ---- Packing and the product ---- */

static void test_packing(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (int round = 0; table && round < 60; round++) {
            size_t columns = 1 + random_below(70), depth = 1 + random_below(40), stride = depth + random_below(9);
            guarded in = guarded_create((columns - 1) * stride + depth),
                    out = guarded_create(packed_size(columns, depth));
            table->pack_transposed_f32(out.data, in.data, stride, columns, depth);
            for (size_t c = 0; c < (columns + PANEL - 1) / PANEL * PANEL; c++)
                for (size_t k = 0; k < depth; k++) {
                    float want = c < columns ? in.data[c * stride + k] : 0;
                    assert_true(out.data[c / PANEL * PANEL * depth + k * PANEL + c % PANEL] == want);
                }
            guarded_free(in);
            guarded_free(out);
        }
    }
}

static void one_product(const kernel_table *table, size_t rows, size_t columns, size_t depth, bool fused) {
    size_t a_stride = depth + random_below(5), c_stride = columns + random_below(5),
           r_stride = columns + random_below(5);
    guarded a = guarded_create(rows ? (rows - 1) * a_stride + depth : 0), w = guarded_create(columns * depth);
    guarded b = guarded_create(packed_size(columns, depth)), bias = guarded_create(columns);
    guarded c = guarded_create(rows ? (rows - 1) * c_stride + columns : 0);
    guarded residual = guarded_create(rows ? (rows - 1) * r_stride + columns : 0);
    pack_transposed_f32_scalar(b.data, w.data, depth, columns, depth);
    float *before = malloc(c.bytes + 4);
    memcpy(before, c.data, c.bytes);
    product_f32 p = {.a = a.data,
                     .b = b.data,
                     .c = c.data,
                     .a_stride = a_stride,
                     .c_stride = c_stride,
                     .rows = rows,
                     .columns = columns,
                     .depth = depth};
    p.add = !fused && random_below(2);
    if (fused) {
        p.bias = bias.data;
        p.residual = random_below(2) ? residual.data : NULL;
        p.residual_stride = r_stride;
        p.act = (activation)random_below(ACTIVATION_RARE);
        p.scale = random_below(2) ? 0.25f : 0;
    }
    table->product_f32(&p);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            double want = 0, scale = 0;
            for (size_t k = 0; k < depth; k++) {
                want += (double)a.data[r * a_stride + k] * (double)w.data[j * depth + k];
                scale += fabs((double)a.data[r * a_stride + k] * (double)w.data[j * depth + k]);
            }
            double tolerance = ((double)depth + 8) * 1.2e-7 * scale + 4e-6;
            if (p.scale != 0) want *= (double)p.scale;
            if (p.add) want += (double)before[r * c_stride + j];
            if (p.bias) want += (double)bias.data[j];
            want = activation_double(want, p.act);
            if (p.act != ACTIVATION_NONE) tolerance = tolerance * 2 + 2e-6 * fmax(1, fabs(want));
            if (p.residual) want += (double)residual.data[r * r_stride + j];
            expect("product", table->name, rows * 1000000 + columns * 1000 + depth, r * columns + j,
                   (double)c.data[r * c_stride + j], want, tolerance);
        }
    /* between the rows nothing is written */
    for (size_t r = 0; r + 1 < rows; r++)
        for (size_t j = columns; j < c_stride; j++) assert_true(c.data[r * c_stride + j] == before[r * c_stride + j]);
    free(before);
    guarded_free(a);
    guarded_free(w);
    guarded_free(b);
    guarded_free(bias);
    guarded_free(c);
    guarded_free(residual);
}

static void test_product(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        if (!table) continue;
        for (size_t rows = 0; rows < 45; rows++)
            one_product(table, rows, 1 + random_below(80), 1 + random_below(50), true);
        for (int round = 0; round < 80; round++)
            one_product(table, random_below(60), 1 + random_below(100), 1 + random_below(200), round % 2);
        one_product(table, 17, 33, 2500, true); /* several passes over the depth */
        one_product(table, 3, 70, 0, true);     /* no depth at all: bias and residual alone */
    }
}

/* A row's result is the same to the bit in any company. */
static void test_rows_are_independent(void **state) {
    (void)state;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        if (!table) continue;
        enum { ROWS = 61, COLUMNS = 75, DEPTH = 1300 };
        guarded a = guarded_create(ROWS * DEPTH), b = guarded_create(packed_size(COLUMNS, DEPTH));
        guarded all = guarded_create(ROWS * COLUMNS), one = guarded_create(COLUMNS);
        product_f32 p = {.a = a.data,
                         .b = b.data,
                         .c = all.data,
                         .a_stride = DEPTH,
                         .c_stride = COLUMNS,
                         .rows = ROWS,
                         .columns = COLUMNS,
                         .depth = DEPTH,
                         .act = ACTIVATION_GELU};
        table->product_f32(&p);
        for (size_t r = 0; r < ROWS; r++) {
            product_f32 single = p;
            single.a += r * DEPTH;
            single.c = one.data;
            single.rows = 1;
            table->product_f32(&single);
            assert_memory_equal(one.data, all.data + r * COLUMNS, COLUMNS * sizeof(float));
        }
        guarded_free(a);
        guarded_free(b);
        guarded_free(all);
        guarded_free(one);
    }
}

/* ---- Low precision ---- */

static void test_rows_made_ready(void **state) {
    (void)state;
    const low_kernels *want = &kernel_table_named("scalar")->low;
    for (size_t i = 1; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t round = 0; table && round < 600; round++) {
            size_t depth = 1 + random_below(round % 3 ? 70 : 700), words = words_bf16(depth);
            guarded x = guarded_create(depth), a = guarded_create(words), b = guarded_create(words);
            if (round % 4 == 0) x.data[random_below(depth)] = specials[random_below(SPECIAL_COUNT)];
            if (round % 50 == 0) memset(x.data, 0, x.bytes);
            table->low.round_bf16((uint32_t *)(void *)a.data, x.data, depth);
            want->round_bf16((uint32_t *)(void *)b.data, x.data, depth);
            assert_memory_equal(a.data, b.data, words * 4);
            guarded_free(a);
            guarded_free(b);
            words = words_int8(depth);
            a = guarded_create(words);
            b = guarded_create(words);
            guarded f = guarded_create(depth);
            for (size_t k = 0; k < depth; k++) f.data[k] = 0.5f + fabsf(f.data[k]);
            float got = table->low.quantize_int8((uint32_t *)(void *)a.data, x.data, f.data, depth);
            float scale = want->quantize_int8((uint32_t *)(void *)b.data, x.data, f.data, depth);
            assert_memory_equal(a.data, b.data, words * 4);
            assert_true(got == scale || (isnan(got) && isnan(scale)));
            guarded_free(f);
            got = table->low.quantize_int8((uint32_t *)(void *)a.data, x.data, NULL, depth);
            scale = want->quantize_int8((uint32_t *)(void *)b.data, x.data, NULL, depth);
            assert_memory_equal(a.data, b.data, words * 4);
            assert_true(got == scale || (isnan(got) && isnan(scale)));
            /* and what comes back is within half a step */
            const uint8_t *q = (const uint8_t *)(const void *)b.data;
            for (size_t k = 0; k < depth && scale > 1e-30f; k++)
                assert_true(fabsf((float)(q[k] - 128) * scale - x.data[k]) <= 0.501f * scale);
            guarded_free(x);
            guarded_free(a);
            guarded_free(b);
        }
    }
}

/* Within half a step of the scale, the largest at 127; offsets are 128 times the sums; what is not there is zero. */
static void test_quantize_panel(void **state) {
    (void)state;
    for (size_t round = 0; round < 50; round++) {
        size_t columns = 1 + random_below(PANEL), depth = 1 + random_below(70), words = words_int8(depth);
        float *panel = calloc(PANEL * depth, sizeof *panel), scale[PANEL];
        uint32_t *out = malloc(words * PANEL * sizeof *out);
        int32_t offset[PANEL];
        for (size_t k = 0; k < depth; k++)
            for (size_t j = 0; j < columns; j++) panel[k * PANEL + j] = j == 3 ? 0 : random_float();
        quantize_panel_int8(out, scale, offset, panel, columns, depth);
        for (size_t j = 0; j < PANEL; j++) {
            int32_t sum = 0, most = 0;
            for (size_t k = 0; k < 4 * words; k++) {
                int q = (int8_t)(out[k / 4 * PANEL + j] >> 8 * (k % 4));
                sum += q;
                if (abs(q) > most) most = abs(q);
                if (k >= depth || j >= columns)
                    assert_int_equal(q, 0);
                else
                    assert_true(fabsf((float)q * scale[j] - panel[k * PANEL + j]) <= 0.5001f * scale[j]);
            }
            if (j >= columns) continue;
            assert_int_equal(offset[j], 128 * sum);
            assert_int_equal(most, j == 3 ? 0 : 127);
            assert_true(j != 3 || scale[j] == 0);
        }
        free(panel);
        free(out);
    }
}

/* A weight's panels in 8 bits; a part of the words is zero. */
static void random_words(uint32_t *b, size_t columns, size_t words, double filled) {
    memset(b, 0, packed_size(columns, words) * sizeof *b);
    for (size_t j = 0; j < columns; j++)
        for (size_t k = 0; k < words; k++)
            if (random_below(1000) < (size_t)(1000 * filled))
                for (size_t i = 0; i < 4; i++)
                    b[j / PANEL * PANEL * words + k * PANEL + j % PANEL] |=
                        (uint32_t)(uint8_t)(int8_t)((int)random_below(255) - 127) << 8 * i;
}

/* The sparse product gives the bits of the dense one: for any shape, share of zeros and part of the columns. */
static void test_sparse_products(void **state) {
    (void)state;
    static const double shares[] = {0, 0.02, 0.2, 0.5, 1};
    for (size_t i = 1; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t round = 0; table && table->low.sparse && round < 150; round++) {
            size_t rows = 1 + random_below(round % 5 ? 40 : 200), columns = 1 + random_below(150);
            size_t words = 1 + random_below(round % 4 ? 60 : 400), stride = low_stride(words);
            size_t first = random_below(columns) / PANEL * PANEL;
            uint32_t *b = aligned_alloc(64, packed_size(columns, words) * 4),
                     *a = aligned_alloc(64, low_room(rows) * stride * 4);
            int32_t *offset = malloc(columns * sizeof *offset);
            random_words(b, columns, words, shares[round % 5]);
            for (size_t j = 0; j < columns; j++) offset[j] = (int32_t)random_below(1000) - 500;
            for (size_t k = 0; k < low_room(rows) * stride; k++) a[k] = (uint32_t)random_below(1u << 31) * 2 + 1;
            guarded scales = guarded_create(rows), column_scales = guarded_create(columns),
                    bias = guarded_create(columns), residual = guarded_create(rows * columns),
                    c = guarded_create(rows * columns), reference = guarded_create(rows * columns);
            size_t count = sparse_count(b, columns, words);
            sparse_words sparse = {malloc(sparse_parts(words) * (columns + 1) * 4), malloc(count + 1),
                                   malloc((count + 1) * 4), 0};
            sparse_fill(&sparse, b, columns, words);
            assert_int_equal(sparse.begin[sparse_parts(words) * (columns + 1) - 1], count);
            product_low p = {.a = a,
                             .b = b + first * words,
                             .row_scale = scales.data,
                             .column_scale = column_scales.data + first,
                             .column_offset = offset + first,
                             .bias = random_below(2) ? bias.data + first : NULL,
                             .residual = random_below(2) ? residual.data + first : NULL,
                             .c = reference.data + first,
                             .a_stride = stride,
                             .c_stride = columns,
                             .residual_stride = columns,
                             .rows = rows,
                             .columns = columns - first,
                             .words = words,
                             .act = (activation)random_below(ACTIVATION_RARE)};
            memcpy(reference.data, c.data, rows * columns * sizeof(float));
            table->low.product_int8(&p);
            p.b = NULL;
            p.c = c.data + first;
            uint32_t *scratch = aligned_alloc(64, sparse_scratch(columns - first) * 4);
            table->low.sparse->product(&(product_sparse){p, &sparse, first, scratch});
            assert_memory_equal(reference.data, c.data, rows * columns * sizeof(float));
            guarded_free(scales);
            guarded_free(column_scales);
            guarded_free(bias);
            guarded_free(residual);
            guarded_free(c);
            guarded_free(reference);
            free(sparse.begin);
            free(sparse.at);
            free(sparse.words);
            free(scratch);
            free(offset);
            free(b);
            free(a);
        }
    }
}

/* int8 to the bit, bf16 within rounding, for any shape; a row's result is the same alone and among others. */
static void test_low_products(void **state) {
    (void)state;
    const low_kernels *want = &kernel_table_named("scalar")->low;
    for (size_t i = 1; i < ISA_COUNT; i++) {
        const kernel_table *table = isa_kernels(i);
        for (size_t round = 0; table && round < 150; round++) {
            bool bytes = round % 2;
            size_t rows = 1 + random_below(round % 5 ? 20 : 200), columns = 1 + random_below(100);
            size_t depth = 1 + random_below(round % 7 ? 90 : 9000),
                   words = bytes ? words_int8(depth) : words_bf16(depth), stride = low_stride(words);
            activation act = (activation)random_below(ACTIVATION_RARE);
            float *weights = malloc(columns * depth * sizeof *weights), *x = malloc(depth * sizeof *x);
            float *panel = malloc(PANEL * depth * sizeof *panel);
            int32_t *offset = malloc(columns * sizeof *offset);
            uint32_t *b = aligned_alloc(64, packed_size(columns, words) * 4),
                     *a = aligned_alloc(64, low_room(rows) * stride * 4);
            guarded scales = guarded_create(rows), column_scales = guarded_create(columns),
                    bias = guarded_create(columns), residual = guarded_create(rows * columns),
                    c = guarded_create(rows * columns), reference = guarded_create(rows * columns);
            for (size_t k = 0; k < columns * depth; k++) {
                weights[k] = random_float();
            }
            for (size_t j = 0; bytes && j < columns; j += PANEL) {
                size_t width = columns - j < PANEL ? columns - j : PANEL;
                pack_transposed_f32_scalar(panel, weights + j * depth, depth, width, depth);
                quantize_panel_int8(b + j * words, column_scales.data + j, offset + j, panel, width, depth);
            }
            if (!bytes) pack_bf16(b, weights, depth, columns, depth);
            for (size_t row = 0; row < rows; row++) {
                for (size_t k = 0; k < depth; k++) x[k] = random_float();
                if (bytes)
                    scales.data[row] = want->quantize_int8(a + row * stride, x, NULL, depth);
                else
                    want->round_bf16(a + row * stride, x, depth);
                low_end_row(a + row * stride, words);
            }
            product_low p = {.a = a,
                             .b = b,
                             .row_scale = scales.data,
                             .column_scale = column_scales.data,
                             .column_offset = offset,
                             .bias = random_below(2) ? bias.data : NULL,
                             .residual = random_below(2) ? residual.data : NULL,
                             .c = reference.data,
                             .a_stride = stride,
                             .c_stride = columns,
                             .residual_stride = columns,
                             .rows = rows,
                             .columns = columns,
                             .words = words,
                             .act = act};
            (bytes ? want->product_int8 : want->product_bf16)(&p);
            p.c = c.data;
            product_low_function *product = bytes ? table->low.product_int8 : table->low.product_bf16;
            product(&p);
            double tolerance = (bytes ? 2e-6 : 2e-6 + 3e-7 * (double)depth);
            for (size_t k = 0; k < rows * columns; k++)
                expect(bytes ? "product_int8" : "product_bf16", isa_name(i), depth, k, (double)c.data[k],
                       (double)reference.data[k],
                       tolerance * (3 + fabs((double)reference.data[k])) + (act == ACTIVATION_GELU ? 1e-4 : 0));
            size_t row = random_below(rows) / 16 * 16; /* tiles read whole tiles of rows */
            memcpy(reference.data, c.data + row * columns, columns * sizeof(float));
            p.a += row * stride;
            p.row_scale += row;
            p.c += row * columns;
            if (p.residual) p.residual += row * columns;
            p.rows = 1;
            product(&p);
            assert_memory_equal(reference.data, c.data + row * columns, columns * sizeof(float));
            guarded_free(scales);
            guarded_free(column_scales);
            guarded_free(bias);
            guarded_free(residual);
            guarded_free(c);
            guarded_free(reference);
            free(weights);
            free(x);
            free(panel);
            free(offset);
            free(b);
            free(a);
        }
    }
}

/* ---- Which kernels a processor gets, from what it says of itself ---- */

static instruction_set detected(unsigned leaf1_ecx, unsigned leaf7_ebx, unsigned leaf7_ecx, unsigned leaf7_1_eax,
                                unsigned xcr0) {
    return instruction_set_of((cpu_features){.leaf1_ecx = leaf1_ecx,
                                             .leaf7_ebx = leaf7_ebx,
                                             .leaf7_ecx = leaf7_ecx,
                                             .leaf7_1_eax = leaf7_1_eax,
                                             .xcr0 = xcr0});
}

static void test_detection(void **state) {
    (void)state;
    const unsigned avx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29, avx2 = 1u << 5, vnni = 1u << 11, bf16 = 1u << 5;
    const unsigned avx512 = avx2 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    assert_int_equal(detected(0, 0, 0, 0, 0), ISA_SCALAR);
    assert_int_equal(detected(avx, avx2, 0, 0, 7), ISA_AVX2);
    const unsigned avx_vnni = 1u << 4;
    assert_int_equal(detected(avx, avx2, 0, avx_vnni, 7), ISA_AVXVNNI);
    assert_int_equal(detected(avx, avx512, 0, avx_vnni, 0xe7), ISA_AVX512);
    cpu_features zen4 = {avx, avx512, vnni, 0, bf16, 0xe7, false};
    assert_true(instruction_set_runs(zen4, ISA_VNNI) && !instruction_set_runs(zen4, ISA_AVXVNNI));
    zen4.leaf7_1_eax |= avx_vnni;
    assert_true(instruction_set_runs(zen4, ISA_AVXVNNI) && !instruction_set_runs(zen4, ISA_AMX));
    assert_int_equal(detected(avx, avx512, 0, 0, 0xe7), ISA_AVX512);
    assert_int_equal(detected(avx, avx512, vnni, 0, 0xe7), ISA_VNNI);
    assert_int_equal(detected(avx, avx512, vnni, bf16, 0xe7), ISA_BF16);
    assert_int_equal(detected(avx, avx512, 0, bf16, 0xe7), ISA_AVX512);                /* each needs those before it */
    assert_int_equal(detected(avx, avx512, vnni, bf16, 7), ISA_AVX2);                  /* the system saves no zmm */
    assert_int_equal(detected(avx, avx512, vnni, bf16, 3), ISA_SCALAR);                /* nor ymm */
    assert_int_equal(detected(avx & ~(1u << 12), avx512, 0, 0, 0xe7), ISA_SCALAR);     /* no FMA */
    assert_int_equal(detected(avx, avx512 & ~(1u << 31), vnni, bf16, 0xe7), ISA_AVX2); /* no VL */
    cpu_features tiles = {avx, avx512, vnni, 1u << 22 | 1u << 24 | 1u << 25, bf16, 0x600e7, true};
    assert_int_equal(instruction_set_of(tiles), ISA_AMX);
    assert_int_equal(instruction_set_for(tiles, true), ISA_AMX);
    assert_int_equal(instruction_set_for(tiles, false), ISA_VNNI); /* Intel's bf16 instruction is slower than f32's */
    tiles.xcr0 = 0x200e7;
    assert_int_equal(instruction_set_of(tiles), ISA_BF16); /* the system does not save tiles */
    assert_int_equal(instruction_set_for(tiles, true), ISA_VNNI);
    tiles.intel = false;
    assert_int_equal(instruction_set_for(tiles, true), ISA_BF16);
    tiles.xcr0 = 0x600e7;
    tiles.leaf7_edx = 1u << 24 | 1u << 25;
    assert_int_equal(instruction_set_of(tiles), ISA_BF16); /* tiles of integers alone */
    const unsigned long dotprod = 1ul << 20, i8mm = 1ul << 13, bfloat = 1ul << 14;
    assert_int_equal(instruction_set_of_arm(0, i8mm | bfloat), ISA_NEON);
    assert_int_equal(instruction_set_of_arm(dotprod, 0), ISA_DOTPROD);
    assert_int_equal(instruction_set_of_arm(dotprod, i8mm), ISA_DOTPROD);
    assert_int_equal(instruction_set_of_arm(dotprod, bfloat), ISA_DOTPROD);
    assert_int_equal(instruction_set_of_arm(dotprod, i8mm | bfloat), ISA_I8MM);
    assert_int_equal(kernel_table_named("amx") == NULL, *kernel_table_no_tiles() != 0);
    assert_true(kernel_table_named("untiled")->isa < ISA_AMX);
    assert_null(kernel_table_named("sse9"));
    assert_non_null(kernel_table_named("scalar"));
}

/* ---- --bench ---- */

static double rate_of(double work, void (*run)(const kernel_table *, float *), const kernel_table *table, float *x) {
    double best = 0;
    for (int round = 0; round < 5; round++) {
        double begin = clock_ms();
        size_t runs = 0;
        for (; clock_ms() - begin < 20; runs++) run(table, x);
        double rate = work * (double)runs / ((clock_ms() - begin) * 1e6);
        if (rate > best) best = rate;
    }
    return best;
}

static float weights[384 * 1536], activations[128 * 1536], results[128 * 1536];

static void bench_product(const kernel_table *t, float *x) {
    product_f32 p = {.a = x,
                     .b = weights,
                     .c = results,
                     .a_stride = 384,
                     .c_stride = 1536,
                     .rows = 128,
                     .columns = 1536,
                     .depth = 384};
    t->product_f32(&p);
}

static void bench_softmax(const kernel_table *t, float *x) {
    for (size_t i = 0; i < 128; i++) t->softmax_f32(x + i * 128, 128);
}

static void bench_norm(const kernel_table *t, float *x) {
    for (size_t i = 0; i < 128; i++) t->layer_norm_f32(results, x + i * 384, weights, weights + 384, 1e-12f, 384);
}

static void bench_gelu(const kernel_table *t, float *x) {
    memcpy(results, x, 1536 * sizeof *x);
    t->activate_f32(results, 1536, ACTIVATION_GELU);
}

static int bench(void) {
    for (size_t i = 0; i < 384 * 1536; i++) weights[i] = random_float();
    for (size_t i = 0; i < 128 * 1536; i++) activations[i] = random_float();
    printf("%-8s %18s %18s %18s %18s\n", "", "product, Gflop/s", "softmax, Gel/s", "layer norm, Gel/s", "gelu, Gel/s");
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const kernel_table *t = isa_kernels(i);
        if (!t) continue;
        printf("%-8s %18.1f %18.2f %18.2f %18.2f\n", t->name,
               rate_of(2.0 * 128 * 384 * 1536, bench_product, t, activations),
               rate_of(128 * 128, bench_softmax, t, activations), rate_of(128 * 384, bench_norm, t, activations),
               rate_of(1536, bench_gelu, t, activations));
    }
    return 0;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0) seed = strtoull(argv[i] + 7, NULL, 10);
        if (strcmp(argv[i], "--bench") == 0) return bench();
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_activations),
                                       cmocka_unit_test(test_exp),
                                       cmocka_unit_test(test_softmax),
                                       cmocka_unit_test(test_layer_norm),
                                       cmocka_unit_test(test_dot),
                                       cmocka_unit_test(test_packing),
                                       cmocka_unit_test(test_product),
                                       cmocka_unit_test(test_rows_are_independent),
                                       cmocka_unit_test(test_rows_made_ready),
                                       cmocka_unit_test(test_quantize_panel),
                                       cmocka_unit_test(test_sparse_products),
                                       cmocka_unit_test(test_low_products),
                                       cmocka_unit_test(test_detection)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
