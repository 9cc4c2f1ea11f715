/* Connections, bodies, routes, headers. */
#define _GNU_SOURCE
#include "serve/http.h"

#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"

enum {
    HEADER_BYTES = 32 << 10, /* the largest head of a request, and the connection's buffer */
    INLINE_BODY = 64 << 10,  /* larger bodies are read by separate threads, because a connection's thread serves many
                                connections and must not spend long on one */
    READERS = 2,
    SEND_MS = 300,       /* when stopping: the time for the last answers to be sent */
    BODY_BYTES_A_MS = 16 /* the least speed of a body, in addition to the client's time */
};

/* A connection, for the thread that watches for slow clients. */
typedef struct visitor {
    int socket;
    double until_ms; /* the current activity must end by then; INFINITY: no limit */
    struct visitor *next, *previous;
} visitor;

struct http {
    server *owner;
    struct MHD_Daemon *daemon;
    atomic_size_t whole; /* exchanges whose request has arrived and whose answer is not sent yet */
    atomic_uint_least64_t numbers;
    uint64_t salt;

    pthread_mutex_t visitors_lock;
    visitor *visitors;
    pthread_t watch;
    bool watching;

    pthread_mutex_t bodies_lock;
    pthread_cond_t bodies_more;
    exchange *bodies[1024]; /* exchanges that wait for a reader: a ring */
    size_t bodies_first, bodies_count;
    bool closed;
    pthread_t readers[READERS];
    size_t reader_count;
    char *cert, *key;
};

/* ---- Visitors ---- */

static void visitor_expect(http *self, struct MHD_Connection *connection, double within_ms) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    visitor *one = info ? info->socket_context : NULL;
    if (!one) return;
    pthread_mutex_lock(&self->visitors_lock);
    one->until_ms = clock_ms() + within_ms;
    pthread_mutex_unlock(&self->visitors_lock);
}

static void connection_changed(void *user, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode what) {
    http *self = user;
    visitor *one = *context;
    pthread_mutex_lock(&self->visitors_lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        one = calloc(1, sizeof *one);
        if (one) {
            const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
            *one = (visitor){.socket = info ? info->connect_fd : -1,
                             .until_ms = clock_ms() + self->owner->options.client_ms,
                             .next = self->visitors};
            if (one->next) one->next->previous = one;
            self->visitors = one;
        }
        *context = one;
    } else if (one) {
        *(one->previous ? &one->previous->next : &self->visitors) = one->next;
        if (one->next) one->next->previous = one->previous;
        free(one);
        *context = NULL;
    }
    pthread_mutex_unlock(&self->visitors_lock);
}

static void *watch_visitors(void *user) {
    http *self = user;
    pthread_mutex_lock(&self->visitors_lock);
    while (self->watching) {
        double now = clock_ms();
        for (visitor *one = self->visitors; one; one = one->next)
            if (now > one->until_ms && one->socket >= 0) {
                shutdown(one->socket, SHUT_RDWR);
                one->until_ms = INFINITY;
            }
        pthread_mutex_unlock(&self->visitors_lock);
        usleep(200000);
        pthread_mutex_lock(&self->visitors_lock);
    }
    pthread_mutex_unlock(&self->visitors_lock);
    return NULL;
}

/* ---- From a body to a dialect ---- */

static bool equal_in_constant_time(const char *a, const char *b) {
    size_t length = strlen(b);
    unsigned different = strlen(a) != length;
    for (size_t i = 0; i < length; i++) different |= (unsigned char)(a[different ? 0 : i] ^ b[i]);
    return different == 0;
}

static bool is_authorised(const exchange *e) {
    const char *key = e->server->options.api_key, *given;
    if (!key || e->route->open) return true;
    given = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "Authorization");
    return given && strncasecmp(given, "Bearer ", 7) == 0 && equal_in_constant_time(given + 7, key);
}

/* The route of a path; *other receives whether the path exists with another verb. */
static const route *find_route(const char *verb, const char *path, bool *other) {
    *other = false;
    if (strcmp(verb, "HEAD") == 0) verb = "GET";
    for (const route *one = routes; one->path; one++) {
        if (strcmp(one->path, path) != 0) continue;
        if (strcmp(one->verb, verb) == 0) return one;
        *other = true;
    }
    return NULL;
}

static void read_deadline(exchange *e) {
    const char *text = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "X-Deadline-Ms");
    if (e->server->options.slo_ms > 0) e->deadline_ms = e->arrived_ms + e->server->options.slo_ms;
    if (!text) return;
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0) || !isfinite(value))
        exchange_fail(e, 422, "Validation", "Input validation error: X-Deadline-Ms: \"%.40s\" is not a number of ms",
                      text);
    else
        e->deadline_ms = e->arrived_ms + value;
}

/* A whole request has arrived: passes it to its dialect, which completes it now or later. */
static void read_request(exchange *e) {
    read_deadline(e);
    const char *budget = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "X-Rubato-Budget");
    if (!budget) budget = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "X-Budget");
    e->budget = budget ? budget : e->server->options.budget;
    exchange_read(e);
}

static void *read_bodies(void *user) {
    http *self = user;
    pthread_mutex_lock(&self->bodies_lock);
    for (;;) {
        while (self->bodies_count == 0 && !self->closed) pthread_cond_wait(&self->bodies_more, &self->bodies_lock);
        if (self->bodies_count == 0) break;
        exchange *e = self->bodies[self->bodies_first];
        self->bodies_first = (self->bodies_first + 1) % (sizeof self->bodies / sizeof *self->bodies);
        self->bodies_count--;
        pthread_mutex_unlock(&self->bodies_lock);
        read_request(e);
        pthread_mutex_lock(&self->bodies_lock);
    }
    pthread_mutex_unlock(&self->bodies_lock);
    return NULL;
}

static bool give_to_reader(http *self, exchange *e) {
    size_t most = sizeof self->bodies / sizeof *self->bodies;
    pthread_mutex_lock(&self->bodies_lock);
    bool room = self->bodies_count < most && !self->closed;
    if (room) {
        self->bodies[(self->bodies_first + self->bodies_count++) % most] = e;
        pthread_cond_signal(&self->bodies_more);
    }
    pthread_mutex_unlock(&self->bodies_lock);
    return room;
}

/* ---- Responses ---- */

static void add_number(struct MHD_Response *response, const char *name, double value) {
    char text[40];
    snprintf(text, sizeof text, "%.0f", value);
    MHD_add_response_header(response, name, text);
}

/* Adds the costs, in text-embeddings-inference's headers and in Rubato's own. */
static void add_costs(const exchange *e, struct MHD_Response *response) {
    double flops = 0, full = 0, tokens = 0, characters = 0, cut = 0;
    bool one_point = true;
    for (size_t i = 0; i < e->count; i++) {
        const item *one = &e->items[i];
        flops += one->cost.flops;
        full += one->cost.full_flops;
        tokens += (double)one->tokens;
        characters += (double)(one->input.text_bytes + one->input.pair_bytes);
        cut += one->cut > 0;
        one_point = one_point && strcmp(one->cost.point, e->items[0].cost.point) == 0;
    }
    char text[80];
    MHD_add_response_header(response, "x-compute-type", "cpu");
    add_number(response, "x-compute-time", e->done_ms - e->received_ms);
    add_number(response, "x-compute-characters", characters);
    add_number(response, "x-compute-tokens", tokens);
    add_number(response, "x-total-time", clock_ms() - e->arrived_ms);
    add_number(response, "x-tokenization-time", e->tokenizing_ms);
    add_number(response, "x-queue-time", e->waited_ms);
    add_number(response, "x-inference-time", e->running_ms);
    if (cut > 0) add_number(response, "x-truncated", cut);
    if (e->wish.replaced) add_number(response, "x-rubato-replaced-targets", (double)e->wish.replaced);
    MHD_add_response_header(response, "x-rubato-point", one_point ? e->items[0].cost.point : "mixed");
    snprintf(text, sizeof text, "%.4f", full > 0 ? flops / full : 1.0);
    MHD_add_response_header(response, "x-rubato-flops-ratio", text);
    double layers = 0;
    for (size_t i = 0; i < e->count; i++) layers += (double)e->items[i].cost.layers / (double)e->count;
    snprintf(text, sizeof text, "%.4g", layers);
    MHD_add_response_header(response, "x-rubato-layers", text);
    snprintf(text, sizeof text, "%.3f", e->waited_ms);
    MHD_add_response_header(response, "x-rubato-queue-ms", text);
    snprintf(text, sizeof text, "%.3f", e->running_ms);
    MHD_add_response_header(response, "x-rubato-compute-ms", text);
}

static void add_cors(const exchange *e, struct MHD_Response *response) {
    const char *origin = e->server->options.cors;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", origin ? origin : "*");
    MHD_add_response_header(
        response, "Access-Control-Expose-Headers",
        "x-rubato-point, x-rubato-flops-ratio, x-rubato-layers, x-rubato-queue-ms, x-rubato-compute-ms, "
        "x-rubato-hint, x-rubato-replaced-targets, x-truncated, x-compute-tokens, x-total-time, x-request-id");
    if (strcmp(e->method, "OPTIONS") != 0) return;
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST");
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            "content-type, authorization, x-rubato-budget, x-deadline-ms, x-request-id");
    MHD_add_response_header(response, "Access-Control-Max-Age", "86400");
}

/* Counts an exchange whose answer was written, or whose client went before it was. */
static void count_exchange(exchange *e, bool written) {
    metrics_status(&e->server->metrics, written ? e->status : 499);
    if (!e->route || !e->route->metric || !json_is_object(e->request)) return; /* not a request of a dialect */
    metrics_request one = {.family = strcmp(e->route->metric, "embed") == 0 ? FAMILY_EMBED : FAMILY_PREDICT,
                           .batch = !e->wish.single,
                           .success = written && e->status == 200,
                           .failure = written || e->failure ? e->failure : "dropped",
                           .duration_ms = e->sent_ms - e->arrived_ms,
                           .tokenization_ms = e->tokenizing_ms,
                           .queue_ms = e->waited_ms,
                           .inference_ms = e->running_ms};
    metrics_add(&e->server->metrics, &one);
}

static enum MHD_Result send_answer(exchange *e) {
    exchange_write(e);
    e->sent_ms = clock_ms();
    struct MHD_Response *response = MHD_create_response_from_buffer(
        e->answer.length, e->answer.data, e->answer.data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    e->answer = (text_buffer){0}; /* the response owns the bytes */
    if (e->status != 204) MHD_add_response_header(response, "Content-Type", e->type);
    MHD_add_response_header(response, "X-Request-Id", e->id);
    add_cors(e, response);
    if (e->status == 200 && e->count) add_costs(e, response);
    char text[16];
    if (e->retry_after_s) {
        snprintf(text, sizeof text, "%u", e->retry_after_s);
        MHD_add_response_header(response, "Retry-After", text);
    }
    if (e->status == 405) MHD_add_response_header(response, "Allow", strcmp(e->method, "POST") == 0 ? "GET" : "POST");
    if (e->wish.hint) MHD_add_response_header(response, "x-rubato-hint", e->wish.hint);
    if (e->closes || atomic_load(&e->server->stopping)) MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result result = MHD_queue_response(e->connection, (unsigned)e->status, response);
    MHD_destroy_response(response);
    e->sent = true;
    return result;
}

/* ---- Requests ---- */

static void name_exchange(http *self, exchange *e) {
    const char *given = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "X-Request-Id");
    size_t length = given ? strlen(given) : 0;
    bool good = length > 0 && length < sizeof e->id;
    for (size_t i = 0; i < length && good; i++) good = given[i] > 0x20 && given[i] < 0x7f;
    uint64_t number = atomic_fetch_add(&self->numbers, 1);
    if (good)
        snprintf(e->id, sizeof e->id, "%s", given);
    else
        snprintf(e->id, sizeof e->id, "%016llx", (unsigned long long)random_hash(self->salt ^ random_hash(number)));
}

/* Counts the headers that say where a body ends. */
static enum MHD_Result count_framing(void *user, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    (void)value;
    *(size_t *)user += strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* Whether one header at most says where the body ends. With two of them a proxy may take for a second request what is
 * a part of the first (RFC 9112, 6.3 and 11.2). */
static bool is_framed_once(const exchange *e) {
    size_t count = 0;
    MHD_get_connection_values(e->connection, MHD_HEADER_KIND, count_framing, &count);
    return count <= 1;
}

/* The head of a request has arrived: refuses at once what can be refused. */
static void begin_exchange(http *self, exchange *e) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(e->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info) e->socket = info->connect_fd;
    name_exchange(self, e);
    bool other;
    e->route = find_route(e->method, e->path, &other);
    if (!is_framed_once(e)) {
        exchange_fail_plainly(e, 400, "more than one header Content-Length or Transfer-Encoding");
        e->closes = true;
        return;
    }
    if (strcmp(e->method, "OPTIONS") == 0) {
        e->status = 204;
        return;
    }
    if (!e->route) {
        if (other)
            exchange_fail(e, 405, "Validation", "%s does not take %.16s", e->path, e->method);
        else
            exchange_fail(e, 404, "Validation", "no such path: %s; /docs lists them", e->path);
        return;
    }
    e->dialect = e->route->dialect;
    if (!is_authorised(e)) {
        exchange_fail_plainly(e, 401, "");
        return;
    }
    const char *length = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "Content-Length");
    double bytes = length ? strtod(length, NULL) : 0;
    if (bytes > (double)e->server->options.max_body) {
        exchange_fail_plainly(e, 413, "length limit exceeded");
        e->closes = true;
    }
    const char *type = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "Content-Type");
    if (e->status == 0 && e->route->is_json && (!type || strncasecmp(type, "application/json", 16) != 0))
        exchange_fail_plainly(e, 415, "Expected request with `Content-Type: application/json`");
    visitor_expect(self, e->connection, e->server->options.client_ms + bytes / BODY_BYTES_A_MS);
}

static enum MHD_Result take_body(exchange *e, const char *data, size_t *size) {
    size_t most = e->server->options.max_body;
    if (e->body.length + *size <= most) {
        text_add(&e->body, data, *size);
    } else {
        /* the rest is read and ignored, up to a limit, so that the client comes to read the answer */
        if (e->status == 0) exchange_fail_plainly(e, 413, "length limit exceeded");

        e->excess += *size;
        if (e->excess > 4 * most) return MHD_NO;
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **context) {
    http *self = user;
    exchange *e = *context;
    (void)version;
    if (!e) {
        e = exchange_create(self->owner, method, url);
        if (!e) return MHD_NO;
        *context = e;
        e->connection = connection;
        begin_exchange(self, e);
        return e->closes ? send_answer(e) : MHD_YES;
    }
    if (*size) return take_body(e, data, size);
    if (e->sent) return MHD_YES;
    if (e->ready || e->status) return send_answer(e);
    if (e->body.failed) return MHD_NO;
    e->received_ms = clock_ms();
    atomic_fetch_add(&self->whole, 1);
    visitor_expect(self, connection, INFINITY);
    if (!e->route->is_json) {
        e->route->read(e);
        return send_answer(e);
    }
    e->suspended = true;
    atomic_fetch_add(&self->owner->suspended, 1);
    MHD_suspend_connection(connection);
    if (e->body.length <= INLINE_BODY || !give_to_reader(self, e)) read_request(e);
    return MHD_YES;
}

static void completed(void *user, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code) {
    http *self = user;
    exchange *e = *context;
    visitor_expect(self, connection, self->owner->options.client_ms);
    if (!e) return;
    if (e->sent) {
        bool written = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
        count_exchange(e, written);
        journal_exchange(e, written ? e->status : 499);
    }
    if (e->received_ms > 0) atomic_fetch_sub(&self->whole, 1);
    exchange_destroy(e);
    *context = NULL;
}

static void ignore_log(void *user, const char *format, va_list arguments) {
    (void)user;
    (void)format;
    (void)arguments;
}

/* Paths are compared without decoding: no route needs an escape, and %00 would end a string early. */
static size_t keep_escapes(void *user, struct MHD_Connection *connection, char *text) {
    (void)user;
    (void)connection;
    return strlen(text);
}

/* ---- Starting and stopping ---- */

static rubato_status find_address(const serve_options *options, struct addrinfo **out, rubato_error *error) {
    char port[16];
    snprintf(port, sizeof port, "%u", options->port);
    struct addrinfo wanted = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    int result = getaddrinfo(options->host, port, &wanted, out);
    return result == 0 ? RUBATO_OK
                       : fail(error, RUBATO_BAD_ARGUMENT, "--host %s: %s", options->host, gai_strerror(result));
}

static rubato_status start_daemon(http *self, unsigned *port, rubato_error *error) {
    const serve_options *options = &self->owner->options;
    struct addrinfo *address;
    TRY(find_address(options, &address, error));
    size_t cores = options->threads;
    struct MHD_OptionItem more[4] = {{MHD_OPTION_END, 0, NULL}};
    size_t count = 0;
    if (cores > 4)
        more[count++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)size_min(cores / 4, 8), NULL};
    if (self->cert) {
        more[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, self->cert};
        more[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, self->key};
    }
    more[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (address->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
    if (self->cert) flags |= MHD_USE_TLS;
    errno = 0;
    self->daemon = MHD_start_daemon(
        flags, (uint16_t)options->port, NULL, NULL, handle, self, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_SOCK_ADDR, address->ai_addr,
        MHD_OPTION_NOTIFY_COMPLETED, completed, self, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, self,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEADER_BYTES, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    int reason = errno;
    freeaddrinfo(address);
    if (!self->daemon)
        return fail(error, RUBATO_IO, "cannot listen on %s, port %u: %s", options->host, options->port,
                    reason       ? strerror(reason)
                    : self->cert ? "the TLS certificate or key is not usable"
                                 : "refused");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_BIND_PORT);
    *port = info ? info->port : options->port;
    return RUBATO_OK;
}

static rubato_status read_tls(http *self, rubato_error *error) {
    const serve_options *options = &self->owner->options;
    size_t size;
    if (!options->tls_cert && !options->tls_key) return RUBATO_OK;
    if (!options->tls_cert || !options->tls_key)
        return fail(error, RUBATO_BAD_ARGUMENT, "TLS needs both, --tls-cert and --tls-key");
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return fail(error, RUBATO_UNSUPPORTED, "this libmicrohttpd was built without TLS");
    TRY(file_read(&self->cert, &size, options->tls_cert, 1 << 20, error));
    return file_read(&self->key, &size, options->tls_key, 1 << 20, error);
}

rubato_status http_start(http **out, server *owner, unsigned *port, rubato_error *error) {
    http *self = calloc(1, sizeof *self);
    *out = NULL;
    if (!self) return fail_memory(error);
    self->owner = owner;
    self->salt = (uint64_t)getpid() << 32 ^ (uint64_t)(clock_ms() * 1e6);
    pthread_mutex_init(&self->visitors_lock, NULL);
    pthread_mutex_init(&self->bodies_lock, NULL);
    pthread_cond_init(&self->bodies_more, NULL);
    rubato_status status = read_tls(self, error);
    if (status == RUBATO_OK) {
        self->watching = true; /* the watching thread ends when this is false */
        if (pthread_create(&self->watch, NULL, watch_visitors, self)) {
            self->watching = false;
            status = fail(error, RUBATO_OUT_OF_MEMORY, "cannot start a thread");
        }
    }
    for (; status == RUBATO_OK && self->reader_count < READERS; self->reader_count++)
        if (pthread_create(&self->readers[self->reader_count], NULL, read_bodies, self)) {
            status = fail(error, RUBATO_OUT_OF_MEMORY, "cannot start a thread");
            break;
        }
    if (status == RUBATO_OK) status = start_daemon(self, port, error);
    *out = self;
    if (status != RUBATO_OK) {
        http_stop(self);
        *out = NULL;
    }
    return status;
}

void http_refuse(http *self) {
    MHD_socket listening = MHD_quiesce_daemon(self->daemon);
    if (listening != MHD_INVALID_SOCKET) close(listening);
}

static bool has_visitors(http *self) {
    pthread_mutex_lock(&self->visitors_lock);
    bool any = self->visitors != NULL;
    pthread_mutex_unlock(&self->visitors_lock);
    return any;
}

bool http_is_quiet(http *self, bool with_visitors) {
    return atomic_load(&self->whole) == 0 && !(with_visitors && has_visitors(self));
}

void http_stop(http *self) {
    /* suspended connections cannot be closed, and the dispatcher wakes them all */
    while (atomic_load(&self->owner->suspended) > 0) usleep(1000);
    for (double end = clock_ms() + SEND_MS; !http_is_quiet(self, false) && clock_ms() < end;) usleep(1000);
    pthread_mutex_lock(&self->bodies_lock);
    self->closed = true;
    pthread_cond_broadcast(&self->bodies_more);
    pthread_mutex_unlock(&self->bodies_lock);
    for (size_t i = 0; i < self->reader_count; i++) pthread_join(self->readers[i], NULL);
    if (self->daemon) MHD_stop_daemon(self->daemon);
    pthread_mutex_lock(&self->visitors_lock);
    bool watched = self->watching;
    self->watching = false;
    pthread_mutex_unlock(&self->visitors_lock);
    if (watched) pthread_join(self->watch, NULL);
    pthread_mutex_destroy(&self->visitors_lock);
    pthread_mutex_destroy(&self->bodies_lock);
    pthread_cond_destroy(&self->bodies_more);
    free(self->cert);
    free(self->key);
    free(self);
}

const char *serve_http_version(void) {
    return MHD_get_version();
}
