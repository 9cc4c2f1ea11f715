/* Counters, histograms, and the text that Prometheus reads. */
#include "serve/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const failure_names[METRIC_FAILURES] = {"tokenization", "validation", "batch_size", "model_type",
                                                           "overloaded",   "inference",  "dropped",    "deadline"};
static const char *const family_names[METRIC_FAMILIES] = {"te_request", "te_embed", "te_predict"};

/* Durations: 35 bounds from 15 microseconds, growing by a half. Sizes: powers of two. */
static double duration_bound(size_t i) {
    return 1.5e-5 * pow(1.5, (double)i);
}

static double size_bound(size_t i) {
    return (double)((uint64_t)1 << i);
}

typedef double bound_function(size_t i);

static void observe(histogram *self, double value, bound_function *bound, size_t bounds) {
    size_t at = 0;
    while (at < bounds && value > bound(at)) at++;
    self->counts[at]++;
    self->total++;
    self->sum += value;
}

enum { DURATIONS = 35, LENGTHS = 15, BATCHES = 13, TOKENS = 21 };

void metrics_create(metrics *self) {
    *self = (metrics){0};
    pthread_mutex_init(&self->lock, NULL);
}

void metrics_destroy(metrics *self) {
    pthread_mutex_destroy(&self->lock);
}

void metrics_run(metrics *self, size_t texts, size_t tokens, double predicted_ms, double measured_ms) {
    pthread_mutex_lock(&self->lock);
    observe(&self->batch_size, (double)texts, size_bound, BATCHES);
    observe(&self->batch_tokens, (double)tokens, size_bound, TOKENS);
    self->predicted_s += predicted_ms / 1e3;
    self->measured_s += measured_ms / 1e3;
    pthread_mutex_unlock(&self->lock);
}

static void add_times(metrics *self, metric_family family, const metrics_request *request) {
    observe(&self->duration[family], request->duration_ms / 1e3, duration_bound, DURATIONS);
    observe(&self->tokenization[family], request->tokenization_ms / 1e3, duration_bound, DURATIONS);
    observe(&self->queueing[family], request->queue_ms / 1e3, duration_bound, DURATIONS);
    observe(&self->inference[family], request->inference_ms / 1e3, duration_bound, DURATIONS);
}

void metrics_status(metrics *self, int status) {
    if (status < 0 || status >= METRIC_STATUSES) return;
    pthread_mutex_lock(&self->lock);
    self->answers[status]++;
    pthread_mutex_unlock(&self->lock);
}

void metrics_input(metrics *self, size_t tokens) {
    pthread_mutex_lock(&self->lock);
    observe(&self->input_length, (double)tokens, size_bound, LENGTHS);
    pthread_mutex_unlock(&self->lock);
}

void metrics_add(metrics *self, const metrics_request *request) {
    pthread_mutex_lock(&self->lock);
    self->requests[request->batch]++;
    if (request->family != FAMILY_REQUEST) self->family_count[request->family]++;
    for (size_t i = 0; i < METRIC_FAILURES && request->failure; i++)
        if (strcmp(failure_names[i], request->failure) == 0) self->failures[i]++;
    if (request->success) {
        self->successes[request->batch]++;
        if (request->family != FAMILY_REQUEST) self->family_success[request->family]++;
        add_times(self, FAMILY_REQUEST, request);
        if (request->family != FAMILY_REQUEST) add_times(self, request->family, request);
    }
    pthread_mutex_unlock(&self->lock);
}

/* ---- Writing ---- */

void metrics_head(text_buffer *out, const char *name, const char *type, const char *help) {
    text_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_histogram(text_buffer *out, const char *prefix, const char *tail, const char *help,
                            const histogram *one, bound_function *bound, size_t bounds) {
    char name[64];
    uint64_t running = 0;
    snprintf(name, sizeof name, "%s%s", prefix, tail);
    metrics_head(out, name, "histogram", help);
    for (size_t i = 0; i < bounds; i++) {
        running += one->counts[i];
        text_add_format(out, "%s_bucket{le=\"%.6g\"} %llu\n", name, bound(i), (unsigned long long)running);
    }
    text_add_format(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name,
                    (unsigned long long)one->total, name, one->sum, name, (unsigned long long)one->total);
}

/* A counter with one label. */
static void write_counters(text_buffer *out, const char *name, const char *label, const char *const *values,
                           const uint64_t *counts, size_t count, const char *help) {
    metrics_head(out, name, "counter", help);
    for (size_t i = 0; i < count; i++)
        text_add_format(out, "%s{%s=\"%s\"} %llu\n", name, label, values[i], (unsigned long long)counts[i]);
}

static void write_answers(text_buffer *out, const metrics *now) {
    metrics_head(out, "rubato_http_answers", "counter",
                 "Answers by HTTP status, of all paths; 499: the client went before its answer was written.");
    for (size_t i = 0; i < METRIC_STATUSES; i++)
        if (now->answers[i])
            text_add_format(out, "rubato_http_answers{status=\"%zu\"} %llu\n", i, (unsigned long long)now->answers[i]);
}

static void write_families(text_buffer *out, const metrics *now) {
    char name[64];
    for (size_t i = FAMILY_EMBED; i < METRIC_FAMILIES; i++) {
        snprintf(name, sizeof name, "%s_count", family_names[i]);
        metrics_head(out, name, "counter", "Requests of these paths.");
        text_add_format(out, "%s %llu\n", name, (unsigned long long)now->family_count[i]);
        snprintf(name, sizeof name, "%s_success", family_names[i]);
        metrics_head(out, name, "counter", "Requests of these paths that were answered.");
        text_add_format(out, "%s %llu\n", name, (unsigned long long)now->family_success[i]);
    }
    /* times of embed and predict paths alone appear once there is one, as in text-embeddings-inference */
    for (size_t i = 0; i < METRIC_FAMILIES; i++) {
        if (i > 0 && !now->family_success[i]) continue;
        write_histogram(out, family_names[i], "_duration", "Seconds from arrival to answer.", &now->duration[i],
                        duration_bound, DURATIONS);
        write_histogram(out, family_names[i], "_tokenization_duration", "Seconds of tokenising, the mean of a request.",
                        &now->tokenization[i], duration_bound, DURATIONS);
        write_histogram(out, family_names[i], "_queue_duration", "Seconds in the queue, the mean of a request.",
                        &now->queueing[i], duration_bound, DURATIONS);
        write_histogram(out, family_names[i], "_inference_duration", "Seconds of the model, the mean of a request.",
                        &now->inference[i], duration_bound, DURATIONS);
    }
}

void metrics_write(metrics *self, text_buffer *out) {
    static const char *const methods[] = {"single", "batch"};
    pthread_mutex_lock(&self->lock);
    metrics now = *self;
    pthread_mutex_unlock(&self->lock);
    write_counters(out, "te_request_count", "method", methods, now.requests, 2, "Requests that were read.");
    write_counters(out, "te_request_success", "method", methods, now.successes, 2, "Requests that were answered.");
    write_counters(out, "te_request_failure", "err", failure_names, now.failures, METRIC_FAILURES,
                   "Requests that got an error, by its kind.");
    write_answers(out, &now);
    write_families(out, &now);
    write_histogram(out, "te_request", "_input_length", "Tokens of a text.", &now.input_length, size_bound, LENGTHS);
    write_histogram(out, "te_batch", "_next_size", "Texts of a run.", &now.batch_size, size_bound, BATCHES);
    write_histogram(out, "te_batch", "_next_tokens", "Tokens of a run.", &now.batch_tokens, size_bound, TOKENS);
    metrics_head(out, "rubato_predicted_seconds", "counter", "Time that the cost model predicted for all runs.");
    text_add_format(out, "rubato_predicted_seconds %.9g\n", now.predicted_s);
    metrics_head(out, "rubato_measured_seconds", "counter", "Time that all runs took.");
    text_add_format(out, "rubato_measured_seconds %.9g\n", now.measured_s);
}
