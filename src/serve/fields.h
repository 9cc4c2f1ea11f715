/* Reading a request's JSON: fields with defaults, texts in all the ways that clients send them. Every function writes
 * the error itself and returns false. */
#ifndef RUBATO_SERVE_FIELDS_H
#define RUBATO_SERVE_FIELDS_H

#include "serve/exchange.h"

bool field_bool(exchange *e, const json_t *object, const char *key, bool otherwise, bool *out);
bool field_size(exchange *e, const json_t *object, const char *key, size_t otherwise, size_t *out);

/* NULL where it is missing. */
bool field_text(exchange *e, const json_t *object, const char *key, const char **out);

/* Finds the model: by the request's "model" where that names one, else the first that does this kind of work; sets
 * e->model and e->kind. `what` is text-embeddings-inference's message for a model of the wrong kind. */
bool take_model(exchange *e, work_kind kind, const char *what);

/* The fields that most routes share: truncate, truncation_direction, prompt_name, budget. */
bool take_options(exchange *e, const json_t *object);

/* A string, or token ids, as an item's text. A prompt is put before ids, which are decoded. */
bool take_text(exchange *e, item *one, const json_t *value);

/* The text of a list of token ids; release with free(). */
bool decode_ids(exchange *e, const json_t *list, bool skip_special, char **text);

/* A string with "text", or a string, as an item's pair (`second`) or text. */
bool take_string(exchange *e, item *one, const json_t *value, bool second);

/* Makes the items of "a text, a list of ids, or a list of both". `key` stands in messages. */
bool take_texts(exchange *e, const json_t *value, const char *key, size_t width);

/* A list of at least one thing and at most what a client may send. */
bool check_batch(exchange *e, size_t count, const char *key);

#endif
