/* Encoders against PyTorch: a folder below GOLDEN with a model, and expected.safetensors, which has the ids and lengths
 * of some texts, their types where these are not all 0, the rows of the encoder ("plain", and "trained" where learning
 * runs otherwise), weights of the rows, and the gradients of their weighted sum by all parameters ("grad.NAME"). */
#ifndef RUBATO_TESTS_GOLDEN_ENCODER_H
#define RUBATO_TESTS_GOLDEN_ENCODER_H

#include <math.h>
#include <stdlib.h>

#include "made_model.h"
#include "store/safetensors.h"

static inline const float *expected(const tensor_file *file, const char *name, size_t *count) {
    const stored_tensor *found = tensor_file_find(file, name);
    if (!found) fail_msg("expected.safetensors has no %s", name);
    if (count) *count = found->elements;
    return (const float *)(const void *)found->data;
}

static inline void compare(const char *what, const float *got, const float *want, size_t count, double tolerance) {
    double largest = 1;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)want[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * largest))
            fail_msg("%s: [%zu] is %.8g, should be %.8g (largest %.3g)", what, i, (double)got[i], (double)want[i],
                     largest);
}

static inline void compare_rows(const char *what, tensor got, const float *want, double tolerance) {
    for (size_t i = 0; i < got.rows; i++)
        compare(what, tensor_row(got, i), want + i * got.columns, got.columns, tolerance);
}

/* [rows, columns] becomes [columns, rows]. */
static inline void turn(float **values, size_t rows, size_t columns) {
    float *out = malloc(rows * columns * sizeof *out);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) out[j * rows + i] = (*values)[i * columns + j];
    free(*values);
    *values = out;
}

/* The gradient of a bound parameter under its name, in the form of the file. */
static inline void compare_gradient(const binding *b, const tensor_file *file) {
    char name[300];
    size_t count;
    if (b->kind == BOUND_TABLE && strstr(b->name, "token_type")) return; /* a row of it is never read */
    snprintf(name, sizeof name, "grad.%s", b->name);
    float *got = NULL;
    if (b->kind == BOUND_WEIGHT) {
        linear gradient = *b->linear;
        gradient.packed = b->linear->learn->weight;
        got = malloc(b->rows * b->columns * sizeof *got);
        linear_unpack(&gradient, b->first, b->rows, got);
        if (b->turned) turn(&got, b->rows, b->columns);
    }
    if ((b->kind == BOUND_GAMMA || b->kind == BOUND_BETA) && b->norm->measured) return;
    const float *from = got                      ? got
                        : b->kind == BOUND_BIAS  ? b->linear->learn->bias + b->first
                        : b->kind == BOUND_GAMMA ? b->norm->learn->gamma
                        : b->kind == BOUND_BETA  ? b->norm->learn->beta
                                                 : b->table->learn->rows;
    const float *want = expected(file, name, &count);
    const size_t own = (b->rows ? b->rows : 1) * b->columns;
    if (count > own) want += b->first * (b->rows ? b->columns : 1); /* layers that are stacked in one tensor */
    assert_true(count == own || count >= (b->first + b->rows) * (b->rows ? b->columns : 1));
    compare(name, from, want, own, 1e-4);
    free(got);
}

typedef struct golden_encoder {
    const char *name;
    rubato_task task; /* of classification the results are the scores of texts, else rows */
    tensor_file file;
    bed b;
    size_t start[8];
    int32_t *types;
    batch input;
} golden_encoder;

static inline void golden_open_for(golden_encoder *self, const char *name, const char *isa, rubato_task task) {
    char path[256], folder[200];
    size_t rows, texts;
    *self = (golden_encoder){.name = name, .task = task};
    snprintf(folder, sizeof folder, GOLDEN "/%s", name);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    assert_int_equal(tensor_file_open(&self->file, path, safetensors_parse, NULL, NULL), RUBATO_OK);
    const int32_t *ids = (const int32_t *)(const void *)expected(&self->file, "ids", &rows);
    const int32_t *counts = (const int32_t *)(const void *)expected(&self->file, "lengths", &texts);
    for (size_t i = 0; i < texts; i++) self->start[i + 1] = self->start[i] + (size_t)counts[i];
    self->types = calloc(rows, sizeof *self->types);
    if (tensor_file_find(&self->file, "types"))
        memcpy(self->types, expected(&self->file, "types", NULL), rows * sizeof *self->types);
    self->input = (batch){texts, rows, self->start, ids, self->types};
    open_bed_for(&self->b, folder, isa, 2, &(const learning){.task = task, .seed = 1, .as_stored = true});
}

static inline void golden_open(golden_encoder *self, const char *name, const char *isa) {
    golden_open_for(self, name, isa, RUBATO_TASK_EMBEDDING);
}

/* What the file has the values of. */
static inline tensor golden_results(const golden_encoder *self, const run *on, const encoded *made) {
    if (self->task == RUBATO_TASK_EMBEDDING) return made->rows;
    return head_of_sequences(&self->b.model->heads[HEAD_SEQUENCE], on, made->rows, &made->packed);
}

/* Rows within 1e-5, gradients within 1e-4 of the largest; the last text alone has the bits that it has in company. */
static inline void golden_check(golden_encoder *self) {
    const encoder *body = &self->b.model->body;
    const size_t last = self->input.sequences - 1, first = self->start[last], count = self->start[last + 1] - first;
    const size_t only[] = {0, count};
    const batch one = {1, count, only, self->input.ids + first, self->types + first};
    const bool texts = self->task != RUBATO_TASK_EMBEDDING;
    encoded out, alone;
    run plain = run_of(&self->b, false);
    assert_int_equal(encoder_forward(body, &plain, &self->input, NULL, &out), RUBATO_OK);
    const tensor all = golden_results(self, &plain, &out);
    compare_rows(self->name, all, expected(&self->file, "plain", NULL), 1e-5);
    assert_int_equal(encoder_forward(body, &plain, &one, NULL, &alone), RUBATO_OK);
    const tensor own = golden_results(self, &plain, &alone);
    for (size_t i = 0; i < (texts ? 1 : count); i++)
        assert_memory_equal(tensor_row(own, i), tensor_row(all, (texts ? last : first) + i), all.columns * 4);
    run records = run_of(&self->b, true);
    assert_int_equal(encoder_forward(body, &records, &self->input, NULL, &out), RUBATO_OK);
    const tensor learned = golden_results(self, &records, &out);
    compare_rows(self->name, learned,
                 expected(&self->file, tensor_file_find(&self->file, "trained") ? "trained" : "plain", NULL), 1e-5);
    weigh(learned, expected(&self->file, "weights", NULL));
    tape_backward(&records);
    for (size_t i = 0; i < self->b.model->bound.count; i++)
        compare_gradient(&self->b.model->bound.items[i], &self->file);
}

static inline void golden_close(golden_encoder *self) {
    close_bed(&self->b);
    tensor_file_close(&self->file);
    free(self->types);
}

#endif
