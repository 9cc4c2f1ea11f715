/* Information about the server, and its pages. */
#include <math.h>
#include <string.h>

#include "serve/dialects.h"
#include "serve/fields.h"
#include "serve/json_text.h"
#include "serve/page/pages.h"
#include "serve/process.h"
#include "serve/server.h"

static void add_text(text_buffer *out, const char *text) {
    text_add_json(out, text, strlen(text));
}

/* Adds a number that may be unknown. */
static void add_real(text_buffer *out, double value) {
    text_add_float(out, (float)value);
}

/* ---- /info ---- */

static void add_labels(text_buffer *out, const rubato_info *info) {
    text_add_string(out, "{\"id2label\":{");
    for (size_t i = 0; i < info->label_count; i++) {
        text_add_format(out, "%s\"%zu\":", i ? "," : "", i);
        add_text(out, info->labels[i]);
    }
    text_add_string(out, "},\"label2id\":{");
    for (size_t i = 0; i < info->label_count; i++) {
        if (i) text_add(out, ",", 1);
        add_text(out, info->labels[i]);
        text_add_format(out, ":%zu", i);
    }
    text_add_string(out, "}}");
}

static void add_kind(text_buffer *out, const hosted *model) {
    const rubato_info *info = model->info;
    bool scores = hosted_does(model, WORK_SCORES), labels = scores || info->task == RUBATO_TASK_TAGGING;
    if (labels) {
        text_add_string(out, !scores                  ? "{\"token_classifier\":"
                             : info->label_count == 1 ? "{\"reranker\":"
                                                      : "{\"classifier\":");
        add_labels(out, info);
    } else if (info->task == RUBATO_TASK_EMBEDDING) {
        text_add_string(out, "{\"embedding\":{\"pooling\":");
        add_text(out, info->pooling);
        text_add(out, "}", 1);
    } else {
        text_add_format(out, "{\"%s\":{}", info->task == RUBATO_TASK_QA ? "question_answering" : "fill_mask");
    }
    text_add(out, "}", 1);
}

static void add_member(text_buffer *out, const char *name, double value) {
    text_add_format(out, ",\"%s\":", name);
    add_real(out, value);
}

/* Of a model in two precisions, as "f32+int8", the full point is in the first one. */
static const char *full_precision(const rubato_info *info) {
    return strncmp(info->precision, "f32", 3) == 0 ? "f32" : info->precision;
}

static void add_points(text_buffer *out, const hosted *model) {
    text_add(out, "[", 1);
    for (size_t i = 0; i < model->level_count; i++) {
        const level *one = &model->levels[i];
        bool full = i + 1 == model->level_count;
        const rubato_info *info = model->info;
        const rubato_point whole = {.name = one->name,
                                    .flops_ratio = 1,
                                    .quality = info->full_quality,
                                    .quality_error = info->full_quality_error,
                                    .ms = NAN};
        const rubato_point *p = full ? &whole : rubato_model_point(model->model, i);
        text_add_string(out, i ? ",{\"name\":" : "{\"name\":");
        add_text(out, p->name);
        add_member(out, "flops_ratio", p->flops_ratio);
        add_member(out, "flops_error", p->flops_error);
        add_member(out, "quality", p->quality);
        add_member(out, "quality_error", p->quality_error);
        add_member(out, "ms", p->ms);
        text_add_format(out, ",\"exits\":%s,\"precision\":", p->exits ? "true" : "false");
        add_text(out, p->precision ? p->precision : full_precision(info));
        text_add_format(out, ",\"texts\":%llu}", (unsigned long long)atomic_load(&one->texts));
    }
    text_add(out, "]", 1);
}

static void add_model(text_buffer *out, const server *self, const hosted *model) {
    const rubato_info *info = model->info;
    text_add_string(out, "{\"model_id\":");
    add_text(out, model->name);
    text_add_format(out, ",\"model_sha\":null,\"model_dtype\":\"%s\",\"served_model_name\":",
                    strncmp(info->precision, "f32", 3) == 0 ? "float32"
                    : strcmp(info->precision, "bf16") == 0  ? "bfloat16"
                                                            : "int8");
    add_text(out, model->name);
    text_add_string(out, ",\"model_type\":");
    add_kind(out, model);
    text_add_format(out,
                    ",\"max_concurrent_requests\":%zu,\"max_input_length\":%zu,\"max_batch_tokens\":%zu,"
                    "\"max_batch_requests\":null,\"max_client_batch_size\":%zu,\"auto_truncate\":%s,"
                    "\"tokenization_workers\":%zu,\"version\":\"" RUBATO_VERSION_STRING "\",\"sha\":null,"
                    "\"docker_label\":null",
                    self->options.max_queue, info->max_length, self->options.max_batch_tokens,
                    self->options.max_client_batch, self->options.refuse_long ? "false" : "true",
                    rubato_context_threads(model->context));
    text_add_string(out, ",\"family\":");
    add_text(out, info->family);
    text_add_string(out, ",\"task\":");
    add_text(out, rubato_task_name(info->task));
    text_add_format(out,
                    ",\"zero_shot\":%s,\"layers\":%zu,\"hidden\":%zu,\"heads\":%zu,\"inner\":%zu,\"parameters\":%zu,"
                    "\"width\":%zu,\"precision\":",
                    hosted_does(model, WORK_ENTAIL) ? "true" : "false", info->layers, info->hidden, info->heads,
                    info->inner, info->parameters, info->width);
    add_text(out, info->precision);
    text_add_string(out, ",\"isa\":");
    add_text(out, rubato_context_isa(model->context));
    text_add_string(out, ",\"kernels\":");
    add_text(out, rubato_isa_words(rubato_context_isa(model->context)));
    text_add_string(out, ",\"no_tiles\":");
    add_text(out, rubato_context_no_tiles(model->context));
    text_add_string(out, ",\"slo_ms\":");
    if (self->options.slo_ms > 0)
        add_real(out, self->options.slo_ms);
    else
        text_add_string(out, "null");
    text_add_string(out, ",\"metric\":");
    add_text(out, info->metric);
    text_add_format(out, ",\"held_out\":%zu,\"points\":", info->held_out);
    add_points(out, model);
    text_add(out, "}", 1);
}

/* The first model's description in text-embeddings-inference's form, with the descriptions of all models in
 * "models". */
void status_info(exchange *e) {
    text_buffer *out = &e->answer;
    server *self = e->server;
    pthread_mutex_lock(&self->models_lock);
    add_model(out, self, self->models[0]);
    out->length--; /* removes the closing brace */
    text_add_string(out, ",\"models\":[");
    for (size_t i = 0; i < self->model_count; i++) {
        if (i) text_add(out, ",", 1);
        add_model(out, self, self->models[i]);
    }
    pthread_mutex_unlock(&self->models_lock);
    text_add_string(out, "]}");
}

/* ---- Health ---- */

void status_health(exchange *e) {
    if (atomic_load(&e->server->stopping)) {
        exchange_fail(e, 503, "Unhealthy", "unhealthy");
        e->failure = NULL;
    }
}

void status_live(exchange *e) {
    (void)e;
}

/* ---- /metrics ---- */

static void add_label_value(text_buffer *out, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') text_add(out, "\\", 1);
        text_add(out, *text == '\n' ? " " : text, 1);
    }
}

static void add_level_metric(text_buffer *out, const hosted *model, const char *name, const char *point, double value) {
    text_add_format(out, "%s{model=\"", name);
    add_label_value(out, model->name);
    text_add_string(out, "\",point=\"");
    add_label_value(out, point);
    text_add_format(out, "\"} %.9g\n", value);
}

static void add_queue_metrics(text_buffer *out, server *self) {
    pthread_mutex_lock(&self->queue.lock);
    size_t waiting = self->queue.count, tokens = self->queue.tokens;
    pthread_mutex_unlock(&self->queue.lock);
    metrics_head(out, "te_queue_size", "gauge", "Texts that wait.");
    text_add_format(out, "te_queue_size %zu\n", waiting);
    metrics_head(out, "rubato_queue_tokens", "gauge", "Tokens of the texts that wait.");
    text_add_format(out, "rubato_queue_tokens %zu\n", tokens);
}

/* With the models' lock held. */
static void add_model_metrics(text_buffer *out, server *self) {
    metrics_head(out, "rubato_point_texts", "counter", "Texts answered at each operating point.");
    for (size_t i = 0; i < self->model_count; i++)
        for (size_t j = 0; j < self->models[i]->level_count; j++)
            add_level_metric(out, self->models[i], "rubato_point_texts", self->models[i]->levels[j].name,
                             (double)atomic_load(&self->models[i]->levels[j].texts));
    metrics_head(out, "rubato_model_changed", "gauge",
                 "1: files of the model's folder were changed since it was loaded, and a reload reads them.");
    for (size_t i = 0; i < self->model_count; i++) {
        text_add_string(out, "rubato_model_changed{model=\"");
        add_label_value(out, self->models[i]->name);
        text_add_format(out, "\"} %d\n", atomic_load(&self->models[i]->changed));
    }
    metrics_head(out, "rubato_point_in_use", "gauge",
                 "Cost of the most expensive point that load and deadlines allow now.");
    pthread_mutex_lock(&self->queue.lock);
    for (size_t i = 0; i < self->model_count; i++) {
        const hosted *model = self->models[i];
        const control *rule = &self->controls[i];
        size_t at = self->options.slo_ms > 0 && rule->levels ? rule->chosen : model->level_count - 1;
        add_level_metric(out, model, "rubato_point_in_use", model->levels[at].name, model->levels[at].flops_ratio);
    }
    metrics_head(out, "rubato_time_correction", "gauge",
                 "Measured over predicted time, as deadline control applies it.");
    for (size_t i = 0; i < self->model_count; i++) {
        const run_time *by = &self->models[i]->correction;
        for (int start = 0; start < 2; start++) {
            text_add_string(out, "rubato_time_correction{model=\"");
            add_label_value(out, self->models[i]->name);
            text_add_format(out, "\",part=\"%s\"} %.4f\n", start ? "start" : "texts", start ? by->start : by->texts);
        }
    }
    pthread_mutex_unlock(&self->queue.lock);
}

/* A metric of one value, by Prometheus's standard names. */
static void add_value(text_buffer *out, const char *name, const char *type, double value, const char *help) {
    metrics_head(out, name, type, help);
    text_add_format(out, "%s %.15g\n", name, value);
}

static void add_process_metrics(text_buffer *out, const server *self) {
    const process_facts now = process_look();
    char value[160];
    const char *name;
    metrics_head(out, "rubato_build_info", "gauge", "How the program was built; always 1.");
    text_add_string(out, "rubato_build_info{version=\"" RUBATO_VERSION_STRING "\"");
    for (size_t i = 0; (name = rubato_build_fact(i, value, sizeof value)); i++) {
        if (strcmp(name, "commit") != 0 && strcmp(name, "compiler") != 0 && strcmp(name, "build_type") != 0) continue;
        text_add_format(out, ",%s=\"", name);
        add_label_value(out, value);
        text_add(out, "\"", 1);
    }
    text_add_format(out, ",isa=\"%s\",no_tiles=\"%s\"} 1\n", rubato_context_isa(self->models[0]->context),
                    server_no_tiles(self));
    add_value(out, "process_cpu_seconds_total", "counter", now.cpu_seconds, "Seconds of processors, of all threads.");
    add_value(out, "process_resident_memory_bytes", "gauge", (double)now.resident_bytes, "Resident memory.");
    add_value(out, "process_virtual_memory_bytes", "gauge", (double)now.virtual_bytes, "Virtual memory.");
    add_value(out, "process_open_fds", "gauge", (double)now.open_files, "Open file descriptors.");
    if (now.most_files)
        add_value(out, "process_max_fds", "gauge", (double)now.most_files, "Limit of open file descriptors.");
    add_value(out, "process_start_time_seconds", "gauge", self->started, "Start, in seconds since 1970.");
}

void status_metrics(exchange *e) {
    text_buffer *out = &e->answer;
    server *self = e->server;
    metrics_write(&self->metrics, out);
    add_queue_metrics(out, self);
    pthread_mutex_lock(&self->models_lock);
    add_model_metrics(out, self);
    add_process_metrics(out, self);
    pthread_mutex_unlock(&self->models_lock);
    e->type = "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- Pages ---- */

static void answer_page(exchange *e, const unsigned char *bytes, size_t size, const char *type) {
    text_add(&e->answer, (const char *)bytes, size);
    e->type = type;
}

void page_playground(exchange *e) {
    answer_page(e, page_playground_html, page_playground_html_size, "text/html; charset=utf-8");
}

void page_docs(exchange *e) {
    answer_page(e, page_docs_html, page_docs_html_size, "text/html; charset=utf-8");
}

void page_openapi(exchange *e) {
    answer_page(e, page_openapi_json, page_openapi_json_size, "application/json");
}
