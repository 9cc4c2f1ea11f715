/* Reading a request's JSON: fields with defaults, and texts in all the forms that clients send. Every function writes
 * the error itself and returns false. */
#ifndef RUBATO_SERVE_FIELDS_H
#define RUBATO_SERVE_FIELDS_H

#include "serve/exchange.h"

/* The object of a task's options: "parameters", else the request itself. */
const json_t *parameters_of(const exchange *e);

bool field_bool(exchange *e, const json_t *object, const char *key, bool otherwise, bool *out);
bool field_size(exchange *e, const json_t *object, const char *key, size_t otherwise, size_t *out);

/* The same for a number from 1 on. */
bool field_count(exchange *e, const json_t *object, const char *key, size_t otherwise, size_t *out);

/* *out is NULL where the field is missing. */
bool field_text(exchange *e, const json_t *object, const char *key, const char **out);

/* A list of strings, or one string; *out is the value, NULL where the field is missing. */
bool field_texts(exchange *e, const json_t *object, const char *key, const json_t **out);

/* Number `index` of the value that field_texts found; NULL after the last. */
const char *field_text_at(const json_t *texts, size_t index);

/* Finds the model: the one that the request's "model" names, else the first that does this kind of work. Sets e->model
 * and e->kind. `what` is text-embeddings-inference's message for a model of the wrong kind. */
bool take_model(exchange *e, work_kind kind, const char *what);

/* The same, but a model that does `first` is preferred where the request names none. */
bool take_model_like(exchange *e, work_kind first, work_kind kind, const char *what);

/* The same for ranking documents: a cross-encoder, or else an embedding model, which ranks by cosine. */
bool take_ranker(exchange *e, const char *what);

/* Reads the fields that most routes share: truncate, truncation_direction, budget; "parameters" must be an object. */
bool take_options(exchange *e, const json_t *object);

/* Reads prompt_name, for routes that have prompts. */
bool take_prompt(exchange *e, const json_t *object);

/* The prompt of the request, else the model's default; NULL: none. */
const char *prompt_of(const exchange *e);

/* Says where an item's text stands in the request, for messages; WHOLE_FIELD: the field is the text. */
void place_item(item *one, const char *field, size_t index);

/* Reads a string or a list of token ids as an item's text. Ids are decoded, and a prompt is put before them. */
bool take_text(exchange *e, item *one, const json_t *value);

/* The text of a list of token ids; release with rubato_free. `name` is the list's, for messages. */
bool decode_ids(exchange *e, const json_t *list, const char *name, bool skip_special, char **text);

/* Reads a string, or an object with "text", as an item's pair (`second`) or text. */
bool take_string(exchange *e, item *one, const json_t *value, bool second);

/* Reads a request's value as an item; take_text is one. */
typedef bool item_reader(exchange *e, item *one, const json_t *value);

/* Makes the items of a value, or of a list of values that `read` takes; a list of integers is one value. `key` is used
 * in messages. */
bool take_each(exchange *e, const json_t *value, const char *key, size_t width, item_reader *read);

/* Makes the items of a text, a list of ids, or a list of both. */
bool take_texts(exchange *e, const json_t *value, const char *key, size_t width);

/* Whether a list has at least one element and at most as many as a client may send; writes the error. */
bool check_batch(exchange *e, size_t count, const char *key);

#endif
