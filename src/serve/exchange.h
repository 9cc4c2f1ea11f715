/* One HTTP request and its answer. A connection's thread reads it and sends it; in between it waits in the queue, its
 * connection suspended. */
#ifndef RUBATO_SERVE_EXCHANGE_H
#define RUBATO_SERVE_EXCHANGE_H

#include <jansson.h>

#include "serve/queue.h"

typedef struct server server;
typedef struct route route;

/* What the model is to do with the items. Items of one kind and like options run together. */
typedef enum work_kind {
    WORK_EMBED,
    WORK_TOKEN_VECTORS, /* hidden states of every token: JSON */
    WORK_SCORES,        /* logits of a classifier or reranker */
    WORK_TAG,           /* the rest gives JSON */
    WORK_ANSWER,
    WORK_FILL,
    WORK_TRACE,
    WORK_ANY /* no particular one; how many there are */
} work_kind;

/* Shapes of errors on the wire. */
typedef enum dialect { DIALECT_TEI, DIALECT_OPENAI } dialect;

/* What a dialect remembers between reading a request and writing its answer. */
typedef struct wish {
    bool single; /* one input, not a list of one */
    bool normalize, raw, return_text, base64;
    size_t dimensions; /* 0: all */
    size_t top;        /* 0: all */
    bool allow_empty;
    const char *aggregation;
    json_t *documents; /* borrowed from the request */
} wish;

struct exchange {
    server *server;
    struct MHD_Connection *connection;
    int socket;
    const route *route;
    char id[64]; /* X-Request-Id: the client's or ours */
    const char *method;
    char path[96];
    text_buffer body;
    size_t excess; /* bytes beyond what a body may have */
    bool suspended, ready, sent;

    json_t *request;
    hosted *model;
    work_kind kind;
    rubato_options options; /* without the budget, which is an item's */
    const char *budget;     /* as the client wrote it; NULL: none */
    double deadline_ms;
    item *items;
    size_t count;
    atomic_size_t pending;
    float *values;
    size_t width; /* of an item's values */
    wish wish;
    void (*finish)(exchange *self); /* writes the answer when all items are done; on the connection's thread */
    pthread_mutex_t lock;           /* of status and answer while items fail */

    dialect dialect;
    int status; /* 0 until an answer or an error was written */
    text_buffer answer;
    const char *type;       /* of the answer's content */
    const char *failure;    /* for metrics: "validation", "overloaded", ... */
    unsigned retry_after_s; /* with 429 */

    double arrived_ms, received_ms, read_ms, queued_ms, done_ms;
    double tokenizing_ms, waited_ms, running_ms; /* means over the items where there are several */
};

/* What a route is. */
struct route {
    const char *verb, *path;
    void (*read)(exchange *self); /* fills it with items and submits, or answers at once */
    dialect dialect;
    bool open;          /* without an API key */
    bool is_json;       /* has a JSON object as body */
    const char *metric; /* "embed", "predict" or NULL: family of TEI's counters */
};

/* Writes an error in the exchange's dialect; the first one stays. `type` as TEI has them: "Validation", "Empty",
 * "Backend", "Overloaded", "Tokenizer", "Unhealthy". */
void exchange_fail(exchange *self, int status, const char *type, const char *format, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* The same as plain text, for what clients judge by its status alone. */
void exchange_fail_plainly(exchange *self, int status, const char *text);

/* Reads the body, which is whole, as JSON and gives it to the route's dialect, which completes the exchange now or
 * later; one that has failed already is completed. */
void exchange_read(exchange *self);

/* The same for what a running function reported. */
void exchange_fail_with(exchange *self, rubato_status status, const rubato_error *error);

bool exchange_failed(const exchange *self);

/* Room for `count` items with `width` numbers each (0: none). False after an error. */
bool exchange_make_items(exchange *self, size_t count, size_t width);

/* Tokenises the items, checks their lengths, lets them in or turns them away. Afterwards the exchange belongs to the
 * dispatcher until exchange_done. */
void exchange_submit(exchange *self);

/* The end of every dialect that has items: submits them where the request was read, completes it where that failed. */
void exchange_submit_if(exchange *self, bool good);

/* One item is finished (or given up); after the last one the exchange is complete. */
void exchange_item_done(exchange *self);

/* Wakes the connection, which has the answer written and sends it. */
void exchange_complete(exchange *self);

/* Writes the answer, unless an error was written. */
void exchange_write(exchange *self);

/* The client closed its side. */
bool exchange_is_gone(const exchange *self);

exchange *exchange_create(server *server, const char *method, const char *path);
void exchange_destroy(exchange *self);

#endif
