/* The whole encoder with rows retiring and merging, forward and backward, against PyTorch's automatic differentiation
 * (golden file by make_thinned_golden.py), and what must hold exactly: keeping all is the plain model, and company
 * changes nothing.
 */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "task/job.h"
#include "task/load.h"
#include "bound.h"
#include "isas.h"
#include "train/loss.h"
#include "train/parameters.h"

static json_t *golden;

typedef struct fixture {
    rubato_model *model;
    rubato_context *context;
    parameters params;
    arena memory;
    rubato_encoding *encodings[8];
    size_t count, start[9], *starts;
    int32_t ids[256], types[256];
    batch packed;
} fixture;

static fixture open_case(const json_t *one, const char *isa, size_t threads) {
    fixture f = {0};
    rubato_error error = {0};
    bool tags = strcmp(json_string_value(json_object_get(one, "task")), "tagging") == 0;
    const char *labels[] = {"A", "B", "C"};
    learning learn = {
        .task = tags ? RUBATO_TASK_TAGGING : RUBATO_TASK_CLASSIFICATION, .labels = labels, .label_count = 3, .seed = 1};
    if (model_load(&f.model, GOLDEN "/bert", NULL, &learn, &error) != RUBATO_OK) fail_msg("%s", error.message);
    rubato_context_options options = {.size = sizeof options, .threads = threads, .isa = isa};
    assert_int_equal(rubato_context_create(&f.context, f.model, &options, &error), RUBATO_OK);
    assert_int_equal(parameters_create(&f.params, f.model, PRECISION_F32, f.context->crew, f.context->kernels, &error),
                     RUBATO_OK);
    arena_create(&f.memory, 1 << 26, 1 << 22);
    const json_t *texts = json_object_get(golden, "texts");
    f.count = json_array_size(texts);
    for (size_t i = 0; i < f.count; i++) {
        rubato_input input = {.text = json_string_value(json_array_get(texts, i))};
        assert_int_equal(rubato_encode(f.model, &input, NULL, &f.encodings[i], &error), RUBATO_OK);
        const rubato_window *window = &f.encodings[i]->windows[0];
        memcpy(f.ids + f.start[i], window->ids, window->length * sizeof *f.ids);
        f.start[i + 1] = f.start[i] + window->length;
    }
    return f;
}

static void close_case(fixture *f) {
    for (size_t i = 0; i < f->count; i++) rubato_encoding_destroy(f->encodings[i]);
    parameters_destroy(&f->params);
    arena_destroy(&f->memory);
    rubato_context_destroy(f->context);
    rubato_model_destroy(f->model);
}

static point point_of(const json_t *one) {
    const json_t *keep = json_object_get(one, "keep");
    point at = point_full(json_array_size(keep));
    for (size_t i = 0; i < at.layers; i++) {
        at.skip[i] = json_is_null(json_array_get(keep, i));
        if (!at.skip[i]) at.keep[i] = (float)json_number_value(json_array_get(keep, i));
    }
    const json_t *merges = json_object_get(one, "merge");
    for (size_t i = 0; i < json_array_size(merges); i++)
        at.merge[json_integer_value(json_array_get(merges, i)) - 1] = true;
    return at;
}

static thinning thinning_of(const fixture *f, const json_t *one, const point *at) {
    bool others = strcmp(json_string_value(json_object_get(one, "significance")), "others") == 0;
    bool tags = f->model->heads[HEAD_TOKEN].present;
    thinning how = engine_thinning(f->model, tags ? HEAD_TOKEN : HEAD_SEQUENCE, at);
    how.by = others ? SIGNIFICANCE_OTHERS : SIGNIFICANCE_RECEIVED;
    return how;
}

static tensor logits_of(const fixture *f, const run *on, const batch *packed, const thinning *how) {
    encoded out;
    assert_int_equal(encoder_forward(&f->model->body, on, packed, how, &out), RUBATO_OK);
    bool tags = f->model->heads[HEAD_TOKEN].present;
    const head *top = &f->model->heads[tags ? HEAD_TOKEN : HEAD_SEQUENCE];
    return head_forward(top, on, out.rows, tags ? NULL : out.packed.start, packed->sequences);
}

static size_t compare_gradients(const fixture *f, const json_t *want) {
    size_t compared = 0;
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)want, name, values) {
        const binding *found = NULL;
        for (size_t i = 0; i < f->model->bound.count; i++) {
            const binding *b = &f->model->bound.items[i];
            char full[256];
            snprintf(full, sizeof full, "%s%s", b->place == IN_BODY ? f->model->prefix : "", b->name);
            if (strcmp(full, name) == 0) found = b;
        }
        if (!found) fail_msg("no parameter %s", name);
        size_t count = (found->rows ? found->rows : 1) * found->columns, step = count / 7 ? count / 7 : 1;
        double sum = 0, total = json_number_value(json_array_get(values, 0));
        for (size_t i = 0; i < count; i++) sum += fabs((double)bound_gradient(found, i));
        if (fabs(sum - total) > 1e-4 * total + 1e-6)
            fail_msg("%s: sum of |gradient| %g, should be %g", name, sum, total);
        for (size_t i = 1; i < json_array_size(values); i++) {
            double got = (double)bound_gradient(found, (i - 1) * step),
                   value = json_number_value(json_array_get(values, i));
            if (fabs(got - value) > 1e-5 + 1e-3 * fabs(value))
                fail_msg("%s: gradient %g, should be %g", name, got, value);
            compared++;
        }
    }
    return compared;
}

static void run_case(const json_t *one, const char *isa, size_t threads) {
    fixture f = open_case(one, isa, threads);
    batch packed = {f.count, f.start[f.count], f.start, f.ids, f.types};
    point at = point_of(one);
    thinning how = thinning_of(&f, one, &at);
    bool tags = f.model->heads[HEAD_TOKEN].present;
    int32_t labels[256];
    const json_t *gold = json_object_get(golden, "labels"), *want = json_object_get(one, "logits");
    for (size_t i = 0; i < f.count; i++) {
        int32_t label = (int32_t)json_integer_value(json_array_get(gold, i));
        if (!tags) labels[i] = label;
        for (size_t row = f.start[i]; tags && row < f.start[i + 1]; row++)
            labels[row] = (label + (int32_t)(row - f.start[i])) % 3;
    }
    /* inference and recording give the same logits, and both PyTorch's */
    tape recording = {0};
    rubato_status status = RUBATO_OK;
    for (int pass = 0; pass < 2; pass++) {
        run on = {.kernels = f.context->kernels,
                  .crew = f.context->crew,
                  .memory = &f.memory,
                  .status = &status,
                  .tape = pass ? &recording : NULL};
        tensor logits = logits_of(&f, &on, &packed, &how);
        for (size_t i = 0; i < f.count; i++) {
            const json_t *row = json_array_get(want, i);
            size_t first = tags ? f.start[i] : i;
            for (size_t j = 0; j < json_array_size(row); j++) {
                double got = (double)tensor_row(logits, first + j / 3)[j % 3];
                double value = json_number_value(json_array_get(row, j));
                if (fabs(got - value) > 2e-5) fail_msg("sequence %zu, logit %zu: %g, should be %g", i, j, got, value);
            }
        }
        if (pass == 0) {
            arena_reset(&f.memory);
            continue;
        }
        size_t items = tags ? packed.rows : f.count;
        double loss = loss_cross_entropy(&on, logits, labels, 1.0 / (double)items) / (double)items;
        assert_true(fabs(loss - json_number_value(json_object_get(one, "loss"))) < 1e-5);
        tape_backward(&on);
        assert_int_equal(status, RUBATO_OK);
    }
    assert_true(compare_gradients(&f, json_object_get(one, "gradients")) > 200);
    close_case(&f);
}

static void test_against_reference(void **state) {
    const json_t *cases = json_object_get(golden, "cases");
    (void)state;
    for (size_t i = 0; i < json_array_size(cases); i++)
        for (size_t isa = 0; isa < ISA_COUNT; isa++)
            for (size_t threads = 1; threads < 3; threads++)
                if (isa_kernels_sampled(isa)) run_case(json_array_get(cases, i), isa_name(isa), threads);
}

/* A sequence alone gives what it gives in the batch, to the bit; keeping all gives the plain model, to the bit. */
static void company_and_identity(const char *isa) {
    const json_t *cases = json_object_get(golden, "cases");
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c);
        fixture f = open_case(one, isa, 2);
        bool tags = f.model->heads[HEAD_TOKEN].present;
        batch packed = {f.count, f.start[f.count], f.start, f.ids, f.types};
        point at = point_of(one), all = point_full(at.layers);
        rubato_status status = RUBATO_OK;
        run on = {.kernels = f.context->kernels, .crew = f.context->crew, .memory = &f.memory, .status = &status};
        thinning how = thinning_of(&f, one, &at), nothing = thinning_of(&f, one, &all);
        tensor together = logits_of(&f, &on, &packed, &how);
        for (size_t i = 0; i < f.count; i++) {
            size_t length = f.start[i + 1] - f.start[i], start[2] = {0, length};
            batch alone = {1, length, start, f.ids + f.start[i], f.types};
            tensor mine = logits_of(&f, &on, &alone, &how);
            for (size_t row = 0; row < mine.rows; row++)
                assert_memory_equal(tensor_row(mine, row), tensor_row(together, (tags ? f.start[i] : i) + row), 12);
        }
        tensor plain = logits_of(&f, &on, &packed, NULL), kept = logits_of(&f, &on, &packed, &nothing);
        for (size_t row = 0; row < plain.rows; row++)
            assert_memory_equal(tensor_row(plain, row), tensor_row(kept, row), 12);
        close_case(&f);
    }
}

static void test_company_and_identity(void **state) {
    (void)state;
    for (size_t isa = 0; isa < ISA_COUNT; isa++)
        if (isa_kernels_sampled(isa)) company_and_identity(isa_name(isa));
}

int main(void) {
    rubato_error error = {0};
    if (json_read_file(&golden, GOLDEN "/bert/thinned.json", 1 << 24, &error) != RUBATO_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_reference),
                                       cmocka_unit_test(test_company_and_identity)};
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(golden);
    return status;
}
