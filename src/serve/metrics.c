/* Counters, histograms, and the text that Prometheus reads. */
#include "serve/metrics.h"

#include <math.h>
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

static void write_histogram(text_buffer *out, const char *prefix, const char *name, const histogram *one,
                            bound_function *bound, size_t bounds) {
    uint64_t running = 0;
    text_add_format(out, "# TYPE %s%s histogram\n", prefix, name);
    for (size_t i = 0; i < bounds; i++) {
        running += one->counts[i];
        text_add_format(out, "%s%s_bucket{le=\"%.6g\"} %llu\n", prefix, name, bound(i), (unsigned long long)running);
    }
    text_add_format(out, "%s%s_bucket{le=\"+Inf\"} %llu\n%s%s_sum %.9g\n%s%s_count %llu\n", prefix, name,
                    (unsigned long long)one->total, prefix, name, one->sum, prefix, name,
                    (unsigned long long)one->total);
}

void metrics_write(metrics *self, text_buffer *out) {
    pthread_mutex_lock(&self->lock);
    metrics now = *self;
    pthread_mutex_unlock(&self->lock);
    static const char *const methods[] = {"single", "batch"};
    text_add_string(out, "# TYPE te_request_count counter\n");
    for (size_t i = 0; i < 2; i++)
        text_add_format(out, "te_request_count{method=\"%s\"} %llu\n", methods[i], (unsigned long long)now.requests[i]);
    text_add_string(out, "# TYPE te_request_success counter\n");
    for (size_t i = 0; i < 2; i++)
        text_add_format(out, "te_request_success{method=\"%s\"} %llu\n", methods[i],
                        (unsigned long long)now.successes[i]);
    text_add_string(out, "# TYPE te_request_failure counter\n");
    for (size_t i = 0; i < METRIC_FAILURES; i++)
        text_add_format(out, "te_request_failure{err=\"%s\"} %llu\n", failure_names[i],
                        (unsigned long long)now.failures[i]);
    for (size_t i = FAMILY_EMBED; i < METRIC_FAMILIES; i++)
        text_add_format(out, "# TYPE %s_count counter\n%s_count %llu\n# TYPE %s_success counter\n%s_success %llu\n",
                        family_names[i], family_names[i], (unsigned long long)now.family_count[i], family_names[i],
                        family_names[i], (unsigned long long)now.family_success[i]);
    for (size_t i = 0; i < METRIC_FAMILIES; i++) {
        write_histogram(out, family_names[i], "_duration", &now.duration[i], duration_bound, DURATIONS);
        write_histogram(out, family_names[i], "_tokenization_duration", &now.tokenization[i], duration_bound,
                        DURATIONS);
        write_histogram(out, family_names[i], "_queue_duration", &now.queueing[i], duration_bound, DURATIONS);
        write_histogram(out, family_names[i], "_inference_duration", &now.inference[i], duration_bound, DURATIONS);
    }
    write_histogram(out, "te_request", "_input_length", &now.input_length, size_bound, LENGTHS);
    write_histogram(out, "te_batch", "_next_size", &now.batch_size, size_bound, BATCHES);
    write_histogram(out, "te_batch", "_next_tokens", &now.batch_tokens, size_bound, TOKENS);
    text_add_format(out,
                    "# HELP rubato_predicted_seconds Time that the cost model foresaw for all runs.\n"
                    "# TYPE rubato_predicted_seconds counter\nrubato_predicted_seconds %.9g\n"
                    "# HELP rubato_measured_seconds Time that they took.\n"
                    "# TYPE rubato_measured_seconds counter\nrubato_measured_seconds %.9g\n",
                    now.predicted_s, now.measured_s);
}
