/* Counters and histograms for Prometheus. They have text-embeddings-inference's names where it has the same metrics. */
#ifndef RUBATO_SERVE_METRICS_H
#define RUBATO_SERVE_METRICS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text_buffer.h"

enum { METRIC_BUCKETS = 36, METRIC_STATUSES = 600 };

typedef struct histogram {
    uint64_t counts[METRIC_BUCKETS]; /* the last one is +Inf */
    uint64_t total;
    double sum;
} histogram;

typedef enum metric_family { FAMILY_REQUEST, FAMILY_EMBED, FAMILY_PREDICT, METRIC_FAMILIES } metric_family;

typedef enum metric_failure {
    FAILURE_TOKENIZATION,
    FAILURE_VALIDATION,
    FAILURE_BATCH_SIZE,
    FAILURE_MODEL_TYPE,
    FAILURE_OVERLOADED,
    FAILURE_INFERENCE,
    FAILURE_DROPPED,
    FAILURE_DEADLINE,
    METRIC_FAILURES
} metric_failure;

typedef struct metrics {
    pthread_mutex_t lock;
    uint64_t requests[2], successes[2]; /* single, batch */
    uint64_t family_count[METRIC_FAMILIES], family_success[METRIC_FAMILIES];
    uint64_t failures[METRIC_FAILURES];
    histogram duration[METRIC_FAMILIES], tokenization[METRIC_FAMILIES], queueing[METRIC_FAMILIES],
        inference[METRIC_FAMILIES];
    histogram input_length, batch_size, batch_tokens;
    uint64_t answers[METRIC_STATUSES];
    double predicted_s, measured_s; /* of all runs */
} metrics;

void metrics_create(metrics *self);
void metrics_destroy(metrics *self);

/* Counts a run of the model. */
void metrics_run(metrics *self, size_t texts, size_t tokens, double predicted_ms, double measured_ms);

typedef struct metrics_request {
    metric_family family; /* FAMILY_REQUEST: no other family counts it */
    bool batch, success;
    const char *failure; /* NULL: none */
    double duration_ms, tokenization_ms, queue_ms, inference_ms;
} metrics_request;

void metrics_add(metrics *self, const metrics_request *request);

/* Counts an answer by its HTTP status. */
void metrics_status(metrics *self, int status);

/* Counts an answered text of that many tokens. */
void metrics_input(metrics *self, size_t tokens);

/* The two lines before a family's samples. `type` is "counter", "gauge" or "histogram". */
void metrics_head(text_buffer *out, const char *name, const char *type, const char *help);

/* Writes the text that Prometheus reads, without the gauges. */
void metrics_write(metrics *self, text_buffer *out);

#endif
