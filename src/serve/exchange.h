/* One HTTP request and its answer. A connection's thread reads the request and sends the answer. In between the
 * exchange waits in the queue, and its connection is suspended. */
#ifndef RUBATO_SERVE_EXCHANGE_H
#define RUBATO_SERVE_EXCHANGE_H

#include <jansson.h>

#include "serve/queue.h"

typedef struct server server;
typedef struct route route;

/* The work of the model on the items. Items of one kind with equal options run together. */
typedef enum work_kind {
    WORK_EMBED,
    WORK_TOKEN_VECTORS, /* hidden states of every token: JSON */
    WORK_SCORES,        /* logits of a classifier or reranker */
    WORK_TAG,           /* this and the following kinds give JSON */
    WORK_ANSWER,
    WORK_FILL,
    WORK_TRACE,
    WORK_ANY, /* any kind; also the number of kinds */
    /* not kinds of work, but of models: they rank documents by scores of pairs, or by the cosines of vectors; they say
     * whether a sentence follows from a text */
    WORK_RANK_PAIRS,
    WORK_RANK_VECTORS,
    WORK_ENTAIL
} work_kind;

/* The two JSON shapes of an error. */
typedef enum dialect { DIALECT_TEI, DIALECT_OPENAI } dialect;

/* The settings that a dialect keeps between reading a request and writing its answer. */
typedef struct wish {
    bool single; /* one input, not a list with one input */
    bool normalize, raw, return_text, base64;
    size_t dimensions; /* 0: all */
    size_t top;        /* 0: all */
    int32_t *targets;  /* tokens that may fill a mask, owned; NULL: all */
    size_t target_count;
    size_t replaced; /* targets that are no token: their first token counts, or none */
    bool allow_empty;
    const char **labels; /* zero-shot: one block, owned */
    size_t label_count;
    bool multi_label;
    text_buffer ignored; /* options.ignore_labels */
    json_t *documents;   /* borrowed from the request */
    const char *hint;    /* for the person who wrote the request, where it has two meanings; NULL: none */
} wish;

struct exchange {
    server *server;
    struct MHD_Connection *connection;
    int socket;
    const route *route;
    char id[64]; /* X-Request-Id: the client's, or made by the server */
    const char *method;
    char path[96];
    text_buffer body;
    size_t excess; /* bytes beyond the largest allowed body */
    bool suspended, ready, sent;
    bool closes; /* the answer comes before the body, which is not read: it is too large, or its end is not known */
    text_buffer query; /* of a cross-encoder, after its prompt */

    json_t *request;
    hosted *model;
    work_kind kind;
    rubato_text_options text;
    rubato_options options; /* with that text part; without the budget, which belongs to an item */
    const char *budget;     /* as the client wrote it; NULL: no budget */
    double deadline_ms;
    item *items;
    size_t count;
    atomic_size_t pending;
    float *values;
    size_t width; /* of an item's values */
    wish wish;
    void (*finish)(exchange *self); /* writes the answer when all items are done; on the connection's thread */
    pthread_mutex_t lock;           /* protects status and answer while items fail */

    dialect dialect;
    int status; /* 0 until an answer or an error was written */
    text_buffer answer;
    const char *type;       /* the content type of the answer */
    const char *failure;    /* for metrics: "validation", "overloaded", ... */
    unsigned retry_after_s; /* with 429 */

    double arrived_ms, received_ms, read_ms, queued_ms, done_ms, sent_ms;
    double tokenizing_ms, waited_ms, running_ms; /* means, where there are several items */
};

/* One route of the server. */
struct route {
    const char *verb, *path;
    void (*read)(exchange *self); /* reads the request into items and submits them, or answers at once */
    dialect dialect;
    bool open;          /* needs no API key */
    bool is_json;       /* the body is a JSON object */
    const char *metric; /* "embed", "predict" or NULL: the family of text-embeddings-inference's counters */
};

/* Writes an error in the exchange's dialect; the first error stays. `type` is one of text-embeddings-inference's:
 * "Validation", "Empty", "Backend", "Overloaded", "Tokenizer", "Unhealthy". */
void exchange_fail(exchange *self, int status, const char *type, const char *format, ...)
    __attribute__((__format__(__printf__, 4, 5)));

/* The same as plain text, for errors that clients recognise by their status alone. */
void exchange_fail_plainly(exchange *self, int status, const char *text);

/* Reads the whole body as JSON and passes it to the route's dialect, which completes the exchange now or later. An
 * exchange that has failed already is completed. */
void exchange_read(exchange *self);

/* As exchange_fail, for an error that a library function reported. */
void exchange_fail_with(exchange *self, rubato_status status, const rubato_error *error);

/* As exchange_fail, for what is accepted and will not be answered, because the server stops. */
void exchange_give_up(exchange *self);

bool exchange_failed(const exchange *self);

/* Allocates `count` items with `width` numbers each (0: none). False after an error. */
bool exchange_make_items(exchange *self, size_t count, size_t width);

/* Tokenises the items, checks their lengths, and admits or refuses them. Afterwards the exchange belongs to the
 * dispatcher until exchange_done. */
void exchange_submit(exchange *self);

/* The last call of every dialect that has items: submits them where the request was read (`good`), else completes the
 * exchange. */
void exchange_submit_if(exchange *self, bool good);

/* The name of an item's text in its request: "inputs", "inputs[1]". */
enum { ITEM_NAME = 64 };
const char *item_name(const item *self, char out[static ITEM_NAME]);

/* Fails with text-embeddings-inference's error for an empty text; false. */
bool exchange_fail_empty(exchange *self, const item *one);

/* One item is finished or given up. After the last one the exchange is complete. */
void exchange_item_done(exchange *self);

/* Wakes the connection, whose thread writes and sends the answer. */
void exchange_complete(exchange *self);

/* Writes the answer, unless an error was written. */
void exchange_write(exchange *self);

/* Whether the client has closed its side. */
bool exchange_is_gone(const exchange *self);

exchange *exchange_create(server *server, const char *method, const char *path);
void exchange_destroy(exchange *self);

#endif
