/* The server: models behind HTTP, in the dialects that clients of text-embeddings-inference, OpenAI, Cohere and Jina
 * speak, with answers that keep their deadline.
 *
 *   connection ──► exchange ───► items ─────────► queue ────► run ────────────► answer ────────► connection
 *   http.c         exchange.c    dialect_*.c      queue.c     dispatcher.c      dialect_*.c      http.c
 *                                                             control.c: the operating point
 *                                                             results.c: the call of the library
 *
 * One dispatcher runs every model, because the machine's cores are one resource and a context's threads use all of
 * them. */
#ifndef RUBATO_SERVE_SERVE_H
#define RUBATO_SERVE_SERVE_H

#include <stdbool.h>

#include "rubato.h"

/* A member that is 0 or NULL has its default. */
typedef struct serve_options {
    const char *const *models; /* folders, names or hub ids; "NAME=MODEL" serves a model under another name */
    size_t model_count;
    const char *host;               /* "127.0.0.1" */
    unsigned port;                  /* 3000 */
    size_t threads, context_tokens; /* as rubato_context_options */
    const char *isa;                /* as rubato_context_options */
    const char *precision;          /* "f32" (default), "bf16", "int8" */
    size_t max_batch_tokens;        /* the most tokens of one run; 16384 */
    size_t max_queue;               /* the most texts that are accepted and not answered yet; 512 */
    size_t max_client_batch;        /* the most texts of one request; 32 */
    size_t max_body;                /* the most bytes of one body; 2000000 */
    size_t max_connections;         /* 4096 */
    double client_ms;    /* the time of a client for a request's head, for its body (and more, for its size at 16 kB/s),
                            and between requests; 60000 */
    const char *api_key; /* NULL: requests need no key */
    double slo_ms;       /* the promised time of an answer; 0: no promise */
    const char *budget;  /* of requests that name none; NULL: full */
    const char *tls_cert, *tls_key;    /* PEM files */
    const char *cors;                  /* the origin that browsers may call from; NULL: any */
    bool refuse_long;                  /* a text that is too long is an error unless the request says otherwise */
    bool json_logs, log_texts, silent; /* silent: no line for each request */
} serve_options;

/* Serves until SIGTERM or SIGINT, then answers the accepted requests and returns; the second of these signals gives up
 * those that are not answered yet. SIGHUP loads the models again, while requests go on. Says on standard error when the
 * server is ready. A process may call it only once at a time, because it owns those signals. */
rubato_status serve_run(const serve_options *options, rubato_error *error);

/* The version of libmicrohttpd. */
const char *serve_http_version(void);

#endif
