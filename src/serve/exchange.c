/* The life of a request between its dialect and the dispatcher. */
#define _GNU_SOURCE
#include "serve/exchange.h"

#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "serve/json_text.h"
#include "serve/server.h"

exchange *exchange_create(server *owner, const char *method, const char *path) {
    exchange *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->server = owner;
    self->socket = -1;
    self->text.size = sizeof self->text;
    self->options.size = sizeof self->options;
    self->options.text = &self->text;
    self->method = method;
    snprintf(self->path, sizeof self->path, "%s", path);
    self->type = "application/json";
    self->deadline_ms = INFINITY;
    self->arrived_ms = clock_ms();
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

void exchange_destroy(exchange *self) {
    for (size_t i = 0; i < self->count; i++) {
        free(self->items[i].own_text);
        rubato_encoding_destroy(self->items[i].encoding);
        text_free(&self->items[i].result);
    }
    free(self->items);
    free(self->values);
    free(self->wish.targets);
    free((void *)self->wish.labels);
    text_free(&self->wish.ignored);
    json_decref(self->request);
    hosted_release(self->model);
    text_free(&self->query);
    text_free(&self->body);
    text_free(&self->answer);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* ---- Errors ---- */

static const char *failure_of(int status, const char *type) {
    if (status == 429) return "overloaded";
    if (status == 504) return "deadline";
    if (strcmp(type, "Tokenizer") == 0) return "tokenization";
    return strcmp(type, "Backend") == 0 || status == 503 ? "inference" : "validation";
}

void exchange_fail(exchange *self, int status, const char *type, const char *format, ...) {
    char message[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&self->lock);
    if (self->status == 0) {
        self->status = status;
        self->type = "application/json";
        if (!self->failure) self->failure = failure_of(status, type);
        text_buffer *out = &self->answer;
        text_clear(out);
        text_add_string(out, self->dialect == DIALECT_OPENAI ? "{\"message\":" : "{\"error\":");
        text_add_json(out, message, strlen(message));
        if (self->dialect == DIALECT_OPENAI) {
            /* flat as in text-embeddings-inference, and nested as in OpenAI's API */
            text_add_format(out, ",\"code\":%d,\"type\":\"%s\",\"error\":{\"message\":", status, type);
            text_add_json(out, message, strlen(message));
            text_add_format(out, ",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                            status >= 500 ? "server_error" : "invalid_request_error");
        } else {
            text_add_format(out, ",\"error_type\":\"%s\"}", type);
        }
    }
    pthread_mutex_unlock(&self->lock);
}

void exchange_fail_plainly(exchange *self, int status, const char *text) {
    self->status = status;
    self->type = "text/plain; charset=utf-8";
    self->failure = "validation";
    text_clear(&self->answer);
    text_add_string(&self->answer, text);
}

void exchange_read(exchange *self) {
    json_error_t where;
    const char *bytes = self->body.data ? self->body.data : "";
    if (self->status == 0) {
        rubato_status status =
            json_parse(&self->request, bytes, self->body.length, JSON_ALLOW_NUL | JSON_DECODE_ANY, &where);
        if (status == RUBATO_OUT_OF_MEMORY) {
            exchange_fail(self, 503, "Unhealthy", "out of memory");
        } else if (status != RUBATO_OK) {
            char text[256];
            snprintf(text, sizeof text, "Failed to parse the request body as JSON: line %d, column %d: %s", where.line,
                     where.column, where.text);
            exchange_fail_plainly(self, 400, text);
        } else if (!json_is_object(self->request)) {
            exchange_fail_plainly(self, 422,
                                  "Failed to deserialize the JSON body into the target type: an object is expected");
        }
    }
    if (self->status == 0)
        self->route->read(self);
    else
        exchange_complete(self);
}

bool exchange_failed(const exchange *self) {
    exchange *mine = (exchange *)(uintptr_t)self; /* const does not apply to the lock */
    pthread_mutex_lock(&mine->lock);
    bool failed = self->status >= 400;
    pthread_mutex_unlock(&mine->lock);
    return failed;
}

/* Copies a message. The model has its served name in it in place of its folder, which is the server's alone. */
static void name_model(const exchange *self, const char *message, char *out, size_t bytes) {
    const char *folder = self->model ? self->model->info->path : "";
    size_t length = strlen(folder);
    const char *at = length ? strstr(message, folder) : NULL;
    while (at && ((at != message && at[-1] != ' ') || !strchr(":/", at[length]))) at = strstr(at + 1, folder);
    if (at)
        snprintf(out, bytes, "%.*s%s%s", (int)(at - message), message, self->model->name, at + length);
    else
        snprintf(out, bytes, "%s", message);
}

void exchange_fail_with(exchange *self, rubato_status status, const rubato_error *error) {
    char message[sizeof error->message];
    name_model(self, error->message, message, sizeof message);
    switch (status) {
    case RUBATO_BAD_TEXT: exchange_fail(self, 422, "Tokenizer", "tokenizer error %s", message); break;
    case RUBATO_BAD_ARGUMENT: exchange_fail(self, 422, "Validation", "Input validation error: %s", message); break;
    case RUBATO_OUT_OF_MEMORY: exchange_fail(self, 503, "Unhealthy", "out of memory"); break;
    case RUBATO_CANCELLED: exchange_give_up(self); break;
    default: exchange_fail(self, 424, "Backend", "Backend error: %s", message);
    }
}

void exchange_give_up(exchange *self) {
    pthread_mutex_lock(&self->lock);
    if (!self->failure) self->failure = "dropped";
    if (self->status == 0) self->retry_after_s = 1;
    pthread_mutex_unlock(&self->lock);
    exchange_fail(self, 503, "Unhealthy", "the server is stopping");
}

bool exchange_fail_empty(exchange *self, const item *one) {
    char name[ITEM_NAME];
    exchange_fail(self, 400, "Empty", "`%s` cannot be empty", item_name(one, name));
    return false;
}

/* ---- Items ---- */

const char *item_name(const item *self, char out[static ITEM_NAME]) {
    if (self->index == WHOLE_FIELD)
        snprintf(out, ITEM_NAME, "%s", self->field);
    else
        snprintf(out, ITEM_NAME, "%s[%zu]", self->field, self->index);
    return out;
}

bool exchange_make_items(exchange *self, size_t count, size_t width) {
    size_t size;
    self->items = calloc(count, sizeof *self->items);
    if (checked_multiply(count, width, &size)) self->values = calloc(size_max(size, 1), sizeof *self->values);
    if (!self->items || !self->values) {
        exchange_fail(self, 503, "Unhealthy", "out of memory");
        return false;
    }
    self->count = count;
    self->width = width;
    for (size_t i = 0; i < count; i++) {
        self->items[i].owner = self;
        self->items[i].values = self->values + i * width;
        self->items[i].input.text = "";
        self->items[i].field = "inputs";
        self->items[i].index = i;
        self->items[i].cost.point = "";
    }
    return true;
}

/* Finds the dearest level within the budget, for a text of this length. */
static bool find_cap(exchange *self, item *one) {
    const hosted *model = self->model;
    const char *text = self->budget;
    rubato_error error;
    one->cap = model->level_count - 1;
    if (!text) return true;
    one->pinned = text[0] == '@' || strcmp(text, "full") == 0;
    rubato_status status = rubato_choose_point(model->context, text, one->tokens, &one->cap, &error);
    if (status != RUBATO_OK) exchange_fail_with(self, status, &error);
    return status == RUBATO_OK;
}

static rubato_purpose purpose_of(work_kind kind) {
    switch (kind) {
    case WORK_EMBED:
    case WORK_TOKEN_VECTORS: return RUBATO_FOR_EMBEDDINGS;
    case WORK_TAG: return RUBATO_FOR_TAGS;
    case WORK_ANSWER: return RUBATO_FOR_ANSWERS;
    default: return RUBATO_FOR_SCORES;
    }
}

/* Tokenises a text, for the checks here and for the run. */
static bool read_item(exchange *self, item *one) {
    rubato_error error = {0};
    bool windows = self->kind == WORK_TAG || self->kind == WORK_ANSWER;
    size_t most = self->text.max_length ? self->text.max_length : self->model->info->max_length;
    char name[ITEM_NAME];
    item_name(one, name);
    if (!one->own_text && one->input.text_bytes == 0 && one->input.pair_bytes == 0)
        return exchange_fail_empty(self, one);
    rubato_status status = rubato_encode_for(self->model->model, purpose_of(self->kind), &one->input, &self->options,
                                             &one->encoding, &error);
    if (status != RUBATO_OK) {
        if (one->index != WHOLE_FIELD && status != RUBATO_OUT_OF_MEMORY) fail_within(&error, status, name);
        exchange_fail_with(self, status, &error);
        return false;
    }
    one->input.encoding = one->encoding;
    one->tokens = windows ? one->encoding->tokens : one->encoding->windows[0].length;
    one->cut = one->encoding->cut;
    if (self->text.whole && !windows && one->tokens > most) {
        exchange_fail(self, 422, "Validation",
                      "Input validation error: `%s` must have less than %zu tokens. Given: %zu", name, most,
                      one->tokens);
        return false;
    }
    one->deadline_ms = self->deadline_ms;
    return find_cap(self, one);
}

/* The predictions of the control of the exchange's model. */
static outlook look(exchange *self) {
    server *owner = self->server;
    control *rule = &owner->controls[self->model->slot];
    pthread_mutex_lock(&owner->queue.lock);
    outlook at = control_look(rule, self->model, owner->options.slo_ms);
    pthread_mutex_unlock(&owner->queue.lock);
    return at;
}

/* Admits all items or none; with the queue's lock held. */
static bool admit(exchange *self, const arrival *work, double now) {
    server *owner = self->server;
    queue *waiting = &owner->queue;
    size_t others = atomic_load(&owner->accepted);
    if (atomic_load(&owner->giving_up)) {
        exchange_give_up(self);
        return false;
    }
    if (others + self->count > owner->options.max_queue) {
        self->retry_after_s = 1;
        exchange_fail(self, 429, "Overloaded", "Model is overloaded");
        return false;
    }
    control *rule = &owner->controls[self->model->slot];
    double done = fmax(owner->busy_until_ms, now) + rule->learned_ms + waiting->least_ms + work->least_ms;
    if (isfinite(self->deadline_ms) && done > self->deadline_ms) {
        self->retry_after_s = (unsigned)fmin(60, ceil(fmax(done - self->deadline_ms, 1) / 1e3));
        exchange_fail(self, 429, "Overloaded",
                      "Model is overloaded: even its cheapest operating point would miss the deadline");
        return false;
    }
    control_arrive(rule, self->model, work, owner->options.slo_ms, now);
    double place = waiting->virtual_time;
    for (size_t i = 0; i < self->count; i++) {
        item *one = &self->items[i];
        one->arrived_ms = now;
        one->place = place += (double)one->tokens;
        queue_insert(waiting, one);
    }
    atomic_fetch_add(&owner->accepted, self->count);
    return true;
}

void exchange_submit(exchange *self) {
    self->read_ms = clock_ms();
    for (size_t i = 0; i < self->count; i++)
        if (!read_item(self, &self->items[i])) {
            exchange_complete(self);
            return;
        }
    self->queued_ms = clock_ms();
    self->tokenizing_ms = (self->queued_ms - self->read_ms) / (double)size_max(self->count, 1);
    if (self->count == 0) {
        exchange_complete(self);
        return;
    }
    atomic_store(&self->pending, self->count);
    arrival work;
    const outlook at = look(self);
    control_weigh(&work, &at, self->model, self->items, self->count, self->server->options.slo_ms);
    queue *waiting = &self->server->queue;
    pthread_mutex_lock(&waiting->lock);
    bool in = admit(self, &work, self->queued_ms);
    if (in) pthread_cond_signal(&waiting->more);
    pthread_mutex_unlock(&waiting->lock);
    if (!in) exchange_complete(self);
}

void exchange_submit_if(exchange *self, bool good) {
    if (good)
        exchange_submit(self);
    else
        exchange_complete(self);
}

void exchange_item_done(exchange *self) {
    atomic_fetch_sub(&self->server->accepted, 1);
    if (atomic_fetch_sub(&self->pending, 1) != 1) return;
    self->done_ms = clock_ms();
    for (size_t i = 0; i < self->count; i++) {
        self->waited_ms += (self->items[i].begun_ms - self->items[i].arrived_ms) / (double)self->count;
        self->running_ms += self->items[i].cost.ms / (double)self->count;
    }
    exchange_complete(self);
}

void exchange_complete(exchange *self) {
    if (self->done_ms == 0) self->done_ms = clock_ms();
    self->ready = true;
    if (!self->suspended) return;
    atomic_size_t *suspended = &self->server->suspended;
    MHD_resume_connection(self->connection); /* the exchange may be gone from here on */
    atomic_fetch_sub(suspended, 1);
}

void exchange_write(exchange *self) {
    if (self->status == 0 && self->finish) self->finish(self);
    if (self->answer.failed) {
        text_free(&self->answer);
        self->answer = (text_buffer){0};
        self->status = 503;
    }
    if (self->status == 0) self->status = 200;
}

bool exchange_is_gone(const exchange *self) {
    char byte;
    if (self->socket < 0) return false;
    ssize_t got = recv(self->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}
