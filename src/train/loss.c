/* Losses. */
#include "train/loss.h"

#include <math.h>
#include <string.h>

/* A distribution, with the position of its logits and their gradient: `step` floats apart. */
typedef struct strand {
    const float *logits;
    float *grad;
    size_t count, step;
} strand;

/* out = softmax of the strand. */
static void distribution(const run *on, const float *logits, size_t count, size_t step, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = logits[i * step];
    on->kernels->softmax_f32(out, count);
}

static double log_of(float p) {
    return log(fmax((double)p, 1e-30));
}

static double cross_entropy(const run *on, strand s, size_t gold, double scale, float *p) {
    distribution(on, s.logits, s.count, s.step, p);
    for (size_t i = 0; i < s.count; i++) s.grad[i * s.step] += (float)scale * (p[i] - (i == gold ? 1.0f : 0.0f));
    return -log_of(p[gold]);
}

/* The softmax of logits divided by a temperature. */
static void softened(const run *on, const float *logits, size_t count, size_t step, float temperature, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = logits[i * step] / temperature;
    on->kernels->softmax_f32(out, count);
}

static double divergence_of(const run *on, strand s, const float *full, size_t full_step, divergence form, double scale,
                            float *p, float *q) {
    const float temperature = form.temperature > 0 ? form.temperature : 1;
    double sum = 0, square = (double)temperature * (double)temperature;
    softened(on, s.logits, s.count, s.step, temperature, p);
    softened(on, full, s.count, full_step, temperature, q);
    for (size_t i = 0; i < s.count; i++)
        sum += (form.from_full ? (double)q[i] * (log_of(q[i]) - log_of(p[i]))
                               : (double)p[i] * (log_of(p[i]) - log_of(q[i])));
    for (size_t i = 0; i < s.count; i++) {
        double slope =
            form.from_full ? (double)p[i] - (double)q[i] : (double)p[i] * (log_of(p[i]) - log_of(q[i]) - sum);
        s.grad[i * s.step] += (float)(scale * slope * (double)temperature);
    }
    return sum * square;
}

static strand row_of(tensor logits, size_t row) {
    return (strand){tensor_row(logits, row), logits.grad + row * logits.stride, logits.columns, 1};
}

static strand column_of(tensor logits, const batch *packed, size_t sequence, size_t column) {
    size_t at = packed->start[sequence] * logits.stride + column;
    return (strand){logits.data + at, logits.grad + at, batch_length(packed, sequence), logits.stride};
}

/* Memory for `distributions` of the given size from the run's arena; NULL fails the run. */
static float *room(const run *on, size_t distributions, size_t count) {
    return run_take(on, distributions * count + 1, sizeof(float));
}

double loss_cross_entropy(const run *on, tensor logits, const int32_t *labels, double scale) {
    float *p = room(on, 1, logits.columns);
    double sum = 0;
    for (size_t row = 0; p && row < logits.rows; row++)
        if (labels[row] >= 0) sum += cross_entropy(on, row_of(logits, row), (size_t)labels[row], scale, p);
    return sum;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* log(1 + e^x) - target * x, without overflow. */
static double binary_cross_entropy(double x, double target) {
    return fmax(x, 0) - x * target + log1p(exp(-fabs(x)));
}

static double add_binary(tensor logits, size_t row, size_t column, double target, double scale) {
    double x = (double)tensor_row(logits, row)[column], each = scale / (double)logits.columns;
    logits.grad[row * logits.stride + column] += (float)(each * (sigmoid(x) - target));
    return binary_cross_entropy(x, target) / (double)logits.columns;
}

double loss_labels(const run *on, tensor logits, const float *const *targets, double scale) {
    double sum = 0;
    (void)on;
    for (size_t row = 0; row < logits.rows; row++)
        for (size_t j = 0; j < logits.columns; j++) sum += add_binary(logits, row, j, (double)targets[row][j], scale);
    return sum;
}

double loss_labels_match(const run *on, tensor logits, const float *full, double scale) {
    double sum = 0;
    (void)on;
    for (size_t row = 0; row < logits.rows; row++)
        for (size_t j = 0; j < logits.columns; j++)
            sum += add_binary(logits, row, j, sigmoid((double)full[row * logits.columns + j]), scale);
    return sum;
}

double loss_spans(const run *on, tensor logits, const batch *packed, const int32_t *starts, const int32_t *ends,
                  double scale) {
    float *p = room(on, 1, logits.rows);
    double sum = 0;
    for (size_t i = 0; p && i < packed->sequences; i++) {
        if (starts[i] < 0) continue;
        sum += 0.5 * cross_entropy(on, column_of(logits, packed, i, 0), (size_t)starts[i], 0.5 * scale, p);
        sum += 0.5 * cross_entropy(on, column_of(logits, packed, i, 1), (size_t)ends[i], 0.5 * scale, p);
    }
    return sum;
}

double loss_squares(const run *on, tensor logits, const float *values, double scale) {
    double sum = 0;
    (void)on;
    for (size_t row = 0; row < logits.rows; row++) {
        double off = (double)*tensor_row(logits, row) - (double)values[row];
        logits.grad[row * logits.stride] += (float)(2 * off * scale);
        sum += off * off;
    }
    return sum;
}

double loss_divergence(const run *on, tensor logits, const float *full, const int32_t *labels, divergence form,
                       double scale) {
    float *p = room(on, 2, logits.columns);
    double sum = 0;
    for (size_t row = 0; p && row < logits.rows; row++)
        if (!labels || labels[row] >= 0)
            sum += divergence_of(on, row_of(logits, row), full + row * logits.columns, 1, form, scale, p,
                                 p + logits.columns);
    return sum;
}

double loss_spans_divergence(const run *on, tensor logits, const batch *packed, const float *full, divergence form,
                             double scale) {
    float *p = room(on, 2, logits.rows);
    double sum = 0;
    for (size_t i = 0; p && i < packed->sequences; i++)
        for (size_t column = 0; column < 2; column++)
            sum += 0.5 * divergence_of(on, column_of(logits, packed, i, column), full + packed->start[i] * 2 + column,
                                       2, form, 0.5 * scale, p, p + logits.rows);
    return sum;
}

double loss_match(const run *on, tensor values, const float *full, size_t stride, const size_t *rows, double scale) {
    double sum = 0;
    (void)on;
    for (size_t row = 0; row < values.rows; row++)
        for (size_t j = 0; j < values.columns; j++) {
            size_t to = rows ? rows[row] : row;
            double off = (double)tensor_row(values, row)[j] - (double)full[to * stride + j];
            values.grad[row * values.stride + j] += (float)(2 * off * scale);
            sum += off * off;
        }
    return sum;
}

static void add_scaled(float *out, const float *x, double factor, size_t count) {
    for (size_t j = 0; j < count; j++) out[j] += (float)factor * x[j];
}

double loss_contrast(const run *on, tensor vectors, double sharpness, double scale) {
    size_t pairs = vectors.rows / 2, width = vectors.columns, stride = vectors.stride;
    float *scores = room(on, 1, pairs);
    double sum = 0;
    for (size_t i = 0; scores && i < pairs; i++) {
        const float *first = tensor_row(vectors, 2 * i);
        for (size_t j = 0; j < pairs; j++)
            scores[j] = (float)sharpness * on->kernels->dot_f32(first, tensor_row(vectors, 2 * j + 1), width);
        on->kernels->softmax_f32(scores, pairs);
        sum -= log_of(scores[i]);
        for (size_t j = 0; j < pairs; j++) {
            double slope = scale * sharpness * ((double)scores[j] - (i == j ? 1 : 0));
            add_scaled(vectors.grad + 2 * i * stride, tensor_row(vectors, 2 * j + 1), slope, width);
            add_scaled(vectors.grad + (2 * j + 1) * stride, first, slope, width);
        }
    }
    return sum;
}

double loss_cosine(const run *on, tensor vectors, const float *values, double scale) {
    size_t width = vectors.columns, stride = vectors.stride;
    double sum = 0;
    for (size_t i = 0; i < vectors.rows / 2; i++) {
        const float *a = tensor_row(vectors, 2 * i), *b = tensor_row(vectors, 2 * i + 1);
        double off = (double)on->kernels->dot_f32(a, b, width) - (double)values[i];
        add_scaled(vectors.grad + 2 * i * stride, b, 2 * off * scale, width);
        add_scaled(vectors.grad + (2 * i + 1) * stride, a, 2 * off * scale, width);
        sum += off * off;
    }
    return sum;
}
