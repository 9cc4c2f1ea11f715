/* Reading fields. */
#include "serve/fields.h"

#include <stdlib.h>
#include <string.h>

#include "serve/server.h"

static bool wrong_type(exchange *e, const char *key, const char *wanted) {
    e->failure = "validation";
    exchange_fail(e, 422, "Validation", "Failed to deserialize the JSON body into the target type: `%s` should be %s",
                  key, wanted);
    return false;
}

static const json_t *present(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

const json_t *parameters_of(const exchange *e) {
    const json_t *parameters = json_object_get(e->request, "parameters");
    return json_is_object(parameters) ? parameters : e->request;
}

bool field_bool(exchange *e, const json_t *object, const char *key, bool otherwise, bool *out) {
    const json_t *value = present(object, key);
    *out = value ? json_is_true(value) : otherwise;
    return !value || json_is_boolean(value) || wrong_type(e, key, "true or false");
}

bool field_size(exchange *e, const json_t *object, const char *key, size_t otherwise, size_t *out) {
    const json_t *value = present(object, key);
    *out = otherwise;
    if (!value) return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0) return wrong_type(e, key, "a whole number");
    *out = (size_t)json_integer_value(value);
    return true;
}

bool field_text(exchange *e, const json_t *object, const char *key, const char **out) {
    const json_t *value = present(object, key);
    *out = json_string_value(value);
    return !value || json_is_string(value) || wrong_type(e, key, "a string");
}

bool field_count(exchange *e, const json_t *object, const char *key, size_t otherwise, size_t *out) {
    if (!field_size(e, object, key, otherwise, out)) return false;
    if (*out || !present(object, key)) return true;
    exchange_fail(e, 422, "Validation", "`%s` should be at least 1", key);
    return false;
}

/* Strings that hold NUL are no texts for a library of C. */
static bool is_text(const json_t *value) {
    return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
}

bool field_texts(exchange *e, const json_t *object, const char *key, const json_t **out) {
    const json_t *value = present(object, key);
    bool good = !value || is_text(value) || json_is_array(value);
    for (size_t i = 0; good && i < json_array_size(value); i++) good = is_text(json_array_get(value, i));
    *out = good ? value : NULL;
    return good || wrong_type(e, key, "a string or a list of strings");
}

const char *field_text_at(const json_t *texts, size_t index) {
    if (json_is_array(texts)) return json_string_value(json_array_get(texts, index));
    return index == 0 ? json_string_value(texts) : NULL;
}

/* ---- The model ---- */

/* The model that the request names, if it names one of these; false after an error. */
static bool find_named(exchange *e) {
    const char *name;
    if (!field_text(e, e->request, "model", &name)) return false;
    if (name) e->model = server_model(e->server, name, WORK_ANY);
    if (e->model || !name || e->server->model_count == 1) return true;
    exchange_fail(e, 404, "Validation", "no model \"%.100s\" here; /v1/models lists them", name);
    return false;
}

static bool fail_kind(exchange *e, const char *what) {
    e->failure = "model_type";
    exchange_fail(e, 424, "Backend", "Backend error: %s", what);
    return false;
}

bool take_model(exchange *e, work_kind kind, const char *what) {
    return take_model_like(e, kind, kind, what);
}

bool take_model_like(exchange *e, work_kind first, work_kind kind, const char *what) {
    if (!find_named(e)) return false;
    e->kind = kind;
    if (!e->model) e->model = server_model(e->server, NULL, first);
    if (!e->model) e->model = server_model(e->server, NULL, kind);
    if (!e->model) e->model = server_model(e->server, NULL, WORK_ANY);
    return (e->model && hosted_does(e->model, kind)) || fail_kind(e, what);
}

bool take_ranker(exchange *e, const char *what) {
    if (!find_named(e)) return false;
    if (!e->model) e->model = server_model(e->server, NULL, WORK_RANK_PAIRS);
    if (!e->model) e->model = server_model(e->server, NULL, WORK_RANK_VECTORS);
    if (!e->model) e->model = server_model(e->server, NULL, WORK_ANY);
    bool vectors = e->model && hosted_does(e->model, WORK_RANK_VECTORS);
    e->kind = vectors ? WORK_EMBED : WORK_SCORES;
    return vectors || (e->model && hosted_does(e->model, WORK_RANK_PAIRS)) || fail_kind(e, what);
}

bool take_prompt(exchange *e, const json_t *object) {
    const char *name, *type;
    rubato_error error;
    if (!field_text(e, object, "prompt_name", &name) || !field_text(e, object, "input_type", &type)) return false;
    if (!name) { /* an input_type is no error for a model that has no such prompt */
        if (type) rubato_prompt(e->model->model, type, &e->options.prompt, NULL);
        return true;
    }
    rubato_status status = rubato_prompt(e->model->model, name, &e->options.prompt, &error);
    if (status != RUBATO_OK) exchange_fail_with(e, status, &error);
    return status == RUBATO_OK;
}

const char *prompt_of(const exchange *e) {
    return e->options.prompt ? e->options.prompt : e->model->info->default_prompt;
}

bool take_options(exchange *e, const json_t *object) {
    const char *direction, *wanted;
    bool truncate;
    if (!field_bool(e, object, "truncate", !e->server->options.refuse_long, &truncate)) return false;
    if (!field_text(e, object, "truncation_direction", &direction)) return false;
    if (!field_text(e, object, "budget", &wanted)) return false;
    if (wanted) e->budget = wanted;
    if (present(e->request, "parameters") && parameters_of(e) == e->request)
        return wrong_type(e, "parameters", "an object");
    e->text.whole = !truncate;
    if (direction && (strcmp(direction, "left") == 0 || strcmp(direction, "Left") == 0))
        e->text.cut_left = 1;
    else if (direction && strcmp(direction, "right") != 0 && strcmp(direction, "Right") != 0)
        return wrong_type(e, "truncation_direction", "\"left\" or \"right\"");
    return true;
}

/* ---- Texts ---- */

static bool fail_empty(exchange *e, const char *key) {
    exchange_fail(e, 400, "Empty", "`%s` cannot be empty", key);
    return false;
}

bool check_batch(exchange *e, size_t count, const char *key) {
    size_t most = e->server->options.max_client_batch;
    if (count == 0) return fail_empty(e, key);
    if (count <= most) return true;
    e->failure = "batch_size";
    exchange_fail(e, 422, "Validation",
                  "batch size %zu > maximum allowed batch size %zu (--max-client-batch-size of the server)", count,
                  most);
    return false;
}

void place_item(item *one, const char *field, size_t index) {
    one->field = field;
    one->index = index;
}

static bool wrong_item(exchange *e, const item *one, const char *wanted) {
    char name[ITEM_NAME];
    return wrong_type(e, item_name(one, name), wanted);
}

/* The bytes of a text that can matter: a text that is far longer than the model's tokens can cover is cut before it is
 * tokenised. */
static size_t useful_bytes(const exchange *e, const char *text, size_t bytes) {
    size_t most = 250 * e->model->info->max_length;
    if (bytes <= most || e->text.whole || e->text.cut_left || e->model->info->cut_left || e->kind == WORK_TAG ||
        e->kind == WORK_ANSWER)
        return bytes;
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80) most--;
    return most;
}

bool take_string(exchange *e, item *one, const json_t *value, bool second) {
    if (json_is_object(value)) value = json_object_get(value, "text");
    if (!json_is_string(value)) return wrong_item(e, one, "a string");
    const char *text = json_string_value(value);
    size_t bytes = useful_bytes(e, text, json_string_length(value));
    if (second) {
        one->input.pair = text;
        one->input.pair_bytes = bytes;
    } else {
        one->input.text = text;
        one->input.text_bytes = bytes;
    }
    return true;
}

/* NULL: no memory, or not a list of ids. */
static int32_t *read_ids(const json_t *list, bool *good) {
    size_t count = json_array_size(list);
    int32_t *ids = malloc((count + 1) * sizeof *ids);
    *good = json_is_array(list);
    for (size_t i = 0; i < count && ids && *good; i++) {
        const json_t *id = json_array_get(list, i);
        json_int_t value = json_integer_value(id);
        *good = json_is_integer(id) && value >= 0 && value <= INT32_MAX;
        ids[i] = *good ? (int32_t)value : 0;
    }
    return ids;
}

bool decode_ids(exchange *e, const json_t *list, const char *name, bool skip_special, char **text) {
    rubato_error error;
    bool good;
    int32_t *ids = read_ids(list, &good);
    if (!ids) {
        exchange_fail(e, 503, "Unhealthy", "out of memory");
        return false;
    }
    if (!good) {
        free(ids);
        return wrong_type(e, name, "a list of token ids");
    }
    rubato_status status = rubato_decode(e->model->model, ids, json_array_size(list), skip_special, text, &error);
    free(ids);
    if (status != RUBATO_OK) fail_within(&error, status, name);
    if (status != RUBATO_OK) exchange_fail_with(e, status, &error);
    return status == RUBATO_OK;
}

/* Ids are decoded and encoded again, as in text-embeddings-inference; they contain the special tokens already. */
static bool take_ids(exchange *e, item *one, const json_t *list) {
    char name[ITEM_NAME];
    bool prompt = prompt_of(e) != NULL;
    if (json_array_size(list) == 0) return exchange_fail_empty(e, one);
    if (!decode_ids(e, list, item_name(one, name), prompt, &one->own_text)) return false;
    one->input.text = one->own_text;
    one->input.text_bytes = strlen(one->own_text);
    e->text.no_special = !prompt;
    return true;
}

bool take_text(exchange *e, item *one, const json_t *value) {
    if (json_is_array(value)) return take_ids(e, one, value);
    return json_is_string(value) ? take_string(e, one, value, false)
                                 : wrong_item(e, one, "a string, or a list of token ids");
}

bool take_each(exchange *e, const json_t *value, const char *key, size_t width, item_reader *read) {
    bool list = json_is_array(value), ids = list && json_is_integer(json_array_get(value, 0)), many = list && !ids;
    size_t count = many ? json_array_size(value) : 1;
    if (!value || json_is_null(value)) return wrong_type(e, key, "a string or a list; it is missing");
    if (!check_batch(e, count, key) || !exchange_make_items(e, count, width)) return false;
    e->wish.single = !many;
    for (size_t i = 0; i < count; i++) {
        place_item(&e->items[i], key, many ? i : WHOLE_FIELD);
        if (!read(e, &e->items[i], many ? json_array_get(value, i) : value)) return false;
    }
    return true;
}

bool take_texts(exchange *e, const json_t *value, const char *key, size_t width) {
    return take_each(e, value, key, width, take_text);
}
