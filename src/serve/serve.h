/* The server: models behind HTTP, in the dialects that clients of text-embeddings-inference, OpenAI, Cohere and Jina
 * speak, with answers that keep their deadline.
 *
 *   connection ──► exchange ──► dialect reads it ──► items ──► queue ──► dispatcher ──► dialect writes it ──►
 * connection http.c         exchange.c   dialect_*.c                    queue.c   dispatcher.c http.c control.c: at
 * which point?
 *
 * One dispatcher runs every model: the machine's cores are one resource, and a context's threads use all of them. */
#ifndef RUBATO_SERVE_SERVE_H
#define RUBATO_SERVE_SERVE_H

#include <stdbool.h>

#include "rubato.h"

/* Zero is the default everywhere. */
typedef struct serve_options {
    const char *const *models; /* folders, names or hub ids; "NAME=MODEL" serves it under another name */
    size_t model_count;
    const char *host;               /* "0.0.0.0" */
    unsigned port;                  /* 3000 */
    size_t threads, context_tokens; /* as rubato_context_options */
    const char *isa;                /* same */
    const char *precision;          /* "f32" (default), "bf16", "int8" */
    size_t max_batch_tokens;        /* of one run, 16384 */
    size_t max_queue;               /* texts accepted and not answered yet, 512 */
    size_t max_client_batch;        /* texts of one request, 32 */
    size_t max_body;                /* bytes, 2000000 */
    size_t max_connections;         /* 4096 */
    double client_ms; /* what a client may take for a request's head, its body (beside its size at 16 kB/s), and between
                         requests; 60000 */
    const char *api_key;               /* NULL: open */
    double slo_ms;                     /* milliseconds in which to answer; 0: no promise */
    const char *budget;                /* of requests that name none; NULL: full */
    const char *tls_cert, *tls_key;    /* PEM files */
    const char *cors;                  /* the origin allowed; NULL: any */
    bool refuse_long;                  /* a text that is too long is an error unless the request says otherwise */
    bool json_logs, log_texts, silent; /* silent: no line a request */
} serve_options;

/* Serves until SIGTERM or SIGINT, then finishes what it accepted. SIGHUP loads the models again; requests go on.
 * Prints one line to standard error once it answers. Not more than once a process at a time: it owns those signals. */
rubato_status serve_run(const serve_options *options, rubato_error *error);

/* The version of libmicrohttpd. */
const char *serve_http_version(void);

#endif
