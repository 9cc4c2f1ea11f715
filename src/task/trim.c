/* rubato_trim: fewer layers, heads, neurons, word pieces and positions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/options.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "store/dataset.h"
#include "task/cut_empty.h"
#include "task/depth.h"
#include "task/folder.h"
#include "task/load.h"
#include "task/output_folder.h"
#include "task/save.h"
#include "task/word_factors.h"

enum { MAX_JSON = 256 << 20, GONE = -1 };

typedef struct trimming {
    const rubato_trim_options *options;
    rubato_model *model;
    int32_t *new_ids; /* [old vocabulary]; GONE for removed tokens; NULL: all stay */
    size_t old_vocabulary, new_vocabulary;
    float *words, *positions, *narrow; /* tables that replace the model's */
    double *frequency;                 /* [old vocabulary] of each token in the data; NULL: no data */
    staged_files staged;
    double covered;
    cut_counts cut;
} trimming;

/* ---- Which word pieces stay ---- */

typedef struct counted {
    uint64_t count;
    int32_t id;
} counted;

static int by_count(const void *a, const void *b) {
    const counted *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Special tokens and single characters, alone and within a word. With these every text can be tokenised. */
static bool must_stay(const tokenizer *text, int32_t id) {
    const char *name = text->tokens[id];
    if (!name) return false;
    for (size_t i = 0; i < text->added_count; i++)
        if (text->added[i].id == id) return true;
    size_t bytes = text->token_bytes[id];
    if (bytes > 2 && strncmp(name, "##", 2) == 0) {
        name += 2;
        bytes -= 2;
    }
    return utf8_count(name, bytes) == 1;
}

static rubato_status count_tokens(const trimming *t, counted *counts, rubato_error *error) {
    dataset data;
    TRY(dataset_read(&data, t->options->data, DATASET_TEXTS, t->options->columns, error));
    rubato_text_options whole = {.size = sizeof whole, .whole = 1};
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < data.count && status == RUBATO_OK; i++) {
        rubato_input input = {.text = data.items[i].text, .pair = data.items[i].pair};
        rubato_encoding *encoding;
        status = rubato_encode(t->model, &input, &whole, &encoding, error);
        if (status != RUBATO_OK) break;
        for (size_t j = 0; j < encoding->windows[0].length; j++) counts[encoding->windows[0].ids[j]].count++;
        rubato_encoding_destroy(encoding);
    }
    dataset_free(&data);
    return status;
}

static rubato_status keep_frequencies(trimming *t, const counted *counts, rubato_error *error) {
    t->frequency = malloc(t->old_vocabulary * sizeof *t->frequency);
    if (!t->frequency) return fail_memory(error);
    for (size_t i = 0; i < t->old_vocabulary; i++) t->frequency[i] = (double)counts[i].count;
    return RUBATO_OK;
}

static rubato_status choose_words(trimming *t, rubato_error *error) {
    const tokenizer *text = t->model->text;
    t->old_vocabulary = t->model->body.config.vocabulary;
    t->covered = 1;
    if (t->options->vocabulary && !t->options->data)
        return fail(error, RUBATO_BAD_ARGUMENT, "to trim the vocabulary, give --data to count words in");
    if (t->options->vocabulary == 0 && !(t->options->embedding && t->options->data)) return RUBATO_OK;
    if (t->options->vocabulary && text->model.kind != MODEL_WORDPIECE)
        return fail(error, RUBATO_UNSUPPORTED, "only the vocabulary of a WordPiece tokenizer can be trimmed");
    if (text->vocabulary > t->old_vocabulary)
        return fail(error, RUBATO_BAD_MODEL, "the tokenizer knows more tokens than the model");
    counted *counts = calloc(t->old_vocabulary, sizeof *counts);
    if (t->options->vocabulary) t->new_ids = malloc(t->old_vocabulary * sizeof *t->new_ids);
    rubato_status status = counts && (t->new_ids || !t->options->vocabulary) ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; status == RUBATO_OK && i < t->old_vocabulary; i++) {
        counts[i].id = (int32_t)i;
        if (t->new_ids) t->new_ids[i] = GONE;
    }
    if (status == RUBATO_OK) status = count_tokens(t, counts, error);
    if (status == RUBATO_OK) status = keep_frequencies(t, counts, error);
    if (status == RUBATO_OK && t->options->vocabulary) {
        size_t kept = 0;
        uint64_t all = 0, same = 0;
        for (size_t i = 0; i < text->vocabulary; i++)
            if (must_stay(text, (int32_t)i)) {
                t->new_ids[i] = 0;
                kept++;
            }
        qsort(counts, t->old_vocabulary, sizeof *counts, by_count);
        for (size_t i = 0; i < t->old_vocabulary; i++) {
            int32_t id = counts[i].id;
            bool known = (size_t)id < text->vocabulary && text->tokens[id];
            if (known && t->new_ids[id] == GONE && kept < t->options->vocabulary && counts[i].count > 0) {
                t->new_ids[id] = 0;
                kept++;
            }
            all += counts[i].count;
            if (t->new_ids[id] != GONE) same += counts[i].count;
        }
        t->covered = all ? (double)same / (double)all : 1;
        /* in the old order, so that a block of unused tokens is removed and the others keep their neighbours */
        for (size_t i = 0; i < t->old_vocabulary; i++)
            if (t->new_ids[i] != GONE) t->new_ids[i] = (int32_t)t->new_vocabulary++;
    }
    free(counts);
    return status;
}

/* ---- Tables ---- */

/* The rows of the table that new_ids selects, or its first `rows`. */
static rubato_status cut_table(trimming *t, table *rows_of, const int32_t *new_ids, size_t rows, float **out,
                               rubato_error *error) {
    float *made = malloc(rows * rows_of->width * sizeof *made); /* fewer than in the table */
    if (!made) return fail_memory(error);
    for (size_t i = 0, at = 0; i < rows_of->rows && at < rows; i++) {
        if (new_ids && new_ids[i] == GONE) continue;
        table_copy(rows_of, i, made + at++ * rows_of->width);
    }
    bindings_replace_table(&t->model->bound, rows_of, made, rows);
    *out = made;
    return RUBATO_OK;
}

static rubato_status cut_tables(trimming *t, rubato_error *error) {
    encoder *body = &t->model->body;
    size_t positions = t->options->positions + body->config.first_position;
    if (t->new_ids) {
        if (t->model->heads[HEAD_MLM].present)
            return fail(error, RUBATO_UNSUPPORTED, "the vocabulary of a masked language model is its head too");
        TRY(cut_table(t, &body->tables.word, t->new_ids, t->new_vocabulary, &t->words, error));
        body->config.vocabulary = t->new_vocabulary;
    }
    if (t->options->positions && positions < body->config.positions && body->tables.position.data) {
        TRY(config_check_length(&body->config, t->options->model, error));
        TRY(cut_table(t, &body->tables.position, NULL, positions, &t->positions, error));
        body->config.positions = positions;
    }
    return RUBATO_OK;
}

/* ---- Narrow word embeddings ---- */

static rubato_status check_narrow(const trimming *t, rubato_error *error) {
    const encoder_config *config = &t->model->body.config;
    if (config->words || t->model->kind->names.projection || t->model->heads[HEAD_MLM].present)
        return fail(error, RUBATO_UNSUPPORTED, "%s",
                    t->model->heads[HEAD_MLM].present
                        ? "the word embeddings of a masked language model are its head too"
                        : "the word embeddings have a projection already");
    if (t->options->embedding >= config->hidden)
        return fail(error, RUBATO_BAD_ARGUMENT, "--embedding %zu is not below the hidden size, %zu",
                    t->options->embedding, config->hidden);
    return RUBATO_OK;
}

/* Tokens that the data do not have count a little, so that they do not lose everything. */
static void weigh_tokens(const trimming *t, double *weights) {
    for (size_t i = 0, at = 0; i < t->old_vocabulary; i++)
        if (!t->new_ids || t->new_ids[i] != GONE) weights[at++] = t->frequency ? t->frequency[i] + 0.5 : 1;
}

static rubato_status put_factors(trimming *t, const float *wide, double *weights, float *projection,
                                 rubato_error *error) {
    encoder *body = &t->model->body;
    table *words = &body->tables.word;
    linear *back = &body->tables.projection;
    const size_t rows = words->rows, width = words->width, rank = t->options->embedding;
    weigh_tokens(t, weights);
    TRY(word_factors(wide, rows, width, weights, rank, t->narrow, projection, error));
    bindings_replace_table(&t->model->bound, words, t->narrow, rows);
    words->width = rank;
    for (size_t i = 0; i < t->model->bound.count; i++)
        if (t->model->bound.items[i].kind == BOUND_TABLE && t->model->bound.items[i].table == words)
            t->model->bound.items[i].columns = rank;
    *back = (linear){.in = rank, .out = width};
    back->packed = arena_take_array(&t->model->packed, packed_size(width, rank), sizeof *back->packed);
    if (!back->packed) return fail_memory(error);
    kernel_table_named("untiled")->pack_transposed_f32(back->packed, projection, rank, width, rank);
    body->config.words = rank;
    loader into = {.bound = &t->model->bound, .prefix = t->model->prefix, .error = error, .place = IN_BODY};
    return loader_bind(&into, (binding){.kind = BOUND_WEIGHT, .linear = back, .rows = width, .columns = rank},
                       WORDS_PROJECTION ".weight");
}

static rubato_status narrow_words(trimming *t, rubato_error *error) {
    if (!t->options->embedding) return RUBATO_OK;
    TRY(check_narrow(t, error));
    const table *words = &t->model->body.tables.word;
    const size_t rows = words->rows, width = words->width, rank = t->options->embedding;
    float *wide = malloc(rows * width * sizeof *wide), *projection = malloc(width * rank * sizeof *projection);
    double *weights = malloc(rows * sizeof *weights);
    t->narrow = malloc(rows * rank * sizeof *t->narrow);
    rubato_status status = wide && projection && weights && t->narrow ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; status == RUBATO_OK && i < rows; i++) table_copy(words, i, wide + i * width);
    if (status == RUBATO_OK) status = put_factors(t, wide, weights, projection, error);
    free(wide);
    free(projection);
    free(weights);
    return status;
}

/* ---- Tokenizer files ---- */

static json_int_t moved(const trimming *t, const json_t *id) {
    json_int_t old = json_integer_value(id);
    return old >= 0 && (size_t)old < t->old_vocabulary ? t->new_ids[old] : GONE;
}

static rubato_status set_item(json_t *array, size_t at, json_int_t value, rubato_error *error) {
    return json_array_set_new(array, at, json_integer(value)) == 0 ? RUBATO_OK : fail_memory(error);
}

static rubato_status trim_tokenizer_json(const trimming *t, json_t *root, rubato_error *error) {
    json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab"), *item, *value;
    const char *key;
    size_t i;
    json_t *kept = json_object();
    json_object_foreach(vocab, key, value) {
        if (moved(t, value) != GONE) json_put(&kept, key, json_integer(moved(t, value)));
    }
    TRY(json_set(model, "vocab", kept, error));
    json_array_foreach(json_object_get(root, "added_tokens"), i, item) {
        TRY(json_set(item, "id", json_integer(moved(t, json_object_get(item, "id"))), error));
    }
    json_t *after = json_object_get(root, "post_processor");
    json_object_foreach(json_object_get(after, "special_tokens"), key, value) {
        json_t *ids = json_object_get(value, "ids");
        json_array_foreach(ids, i, item) TRY(set_item(ids, i, moved(t, item), error));
    }
    static const char *const pairs[] = {"cls", "sep"};
    for (i = 0; i < 2; i++) {
        json_t *pair = json_object_get(after, pairs[i]);
        if (json_array_size(pair) == 2) TRY(set_item(pair, 1, moved(t, json_array_get(pair, 1)), error));
    }
    return RUBATO_OK;
}

/* added_tokens_decoder has ids as keys; the longest sequence is that of the position table. */
static rubato_status trim_tokenizer_config(const trimming *t, json_t *root, rubato_error *error) {
    json_t *old = json_object_get(root, "added_tokens_decoder"), *value;
    const char *key;
    if (old && t->new_ids) {
        json_t *made = json_object();
        json_object_foreach(old, key, value) {
            char number[24];
            unsigned long id = strtoul(key, NULL, 10);
            if (id >= t->old_vocabulary || t->new_ids[id] == GONE) continue;
            snprintf(number, sizeof number, "%d", t->new_ids[id]);
            json_put(&made, number, json_incref(value));
        }
        TRY(json_set(root, "added_tokens_decoder", made, error));
    }
    size_t most = encoder_max_length(&t->model->body.config);
    return json_number_value(json_object_get(root, "model_max_length")) > (double)most
               ? json_set(root, "model_max_length", json_integer((json_int_t)most), error)
               : RUBATO_OK;
}

static rubato_status trim_config(const trimming *t, json_t *root, rubato_error *error) {
    static const char *const ids[] = {"pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"};
    for (size_t i = 0; t->new_ids && i < sizeof ids / sizeof ids[0]; i++)
        if (json_is_integer(json_object_get(root, ids[i])))
            TRY(json_set(root, ids[i], json_integer(moved(t, json_object_get(root, ids[i]))), error));
    return RUBATO_OK;
}

static rubato_status rewrite_json(const trimming *t, const char *name, rubato_error *error) {
    char path[4200];
    json_t *root;
    snprintf(path, sizeof path, "%s/%s", t->staged.path, name);
    if (!file_exists(path)) return RUBATO_OK;
    TRY(json_read_file(&root, path, MAX_JSON, error));
    rubato_status status = RUBATO_OK;
    if (strcmp(name, "tokenizer.json") == 0) {
        if (t->new_ids) status = trim_tokenizer_json(t, root, error);
    } else if (strcmp(name, "tokenizer_config.json") == 0) {
        status = trim_tokenizer_config(t, root, error);
    } else {
        status = trim_config(t, root, error);
    }
    if (status == RUBATO_OK) status = model_write_json(root, t->staged.path, name, error);
    json_decref(root);
    return status;
}

static rubato_status rewrite_vocab_txt(const trimming *t, rubato_error *error) {
    char path[4200], *text;
    size_t size, line = 0;
    new_file file;
    snprintf(path, sizeof path, "%s/vocab.txt", t->staged.path);
    if (!t->new_ids || !file_exists(path)) return RUBATO_OK;
    TRY(file_read(&text, &size, path, MAX_JSON, error));
    rubato_status status = new_file_open(&file, path, error);
    for (char *at = text, *next; status == RUBATO_OK && *at; at = next, line++) {
        size_t length = strcspn(at, "\n");
        next = at + length + (at[length] != 0);
        if (line < t->old_vocabulary && t->new_ids[line] != GONE) fprintf(file.stream, "%.*s\n", (int)length, at);
    }
    free(text);
    return status == RUBATO_OK ? new_file_commit(&file, error) : status;
}

/* ---- All together ---- */

rubato_status layers_parse(const char *text, size_t *out, size_t *count, rubato_error *error) {
    *count = 0;
    for (const char *at = text; at && *at;) {
        char *end;
        unsigned long layer_number = strtoul(at, &end, 10);
        if (*count == POINT_LAYERS) return fail(error, RUBATO_BAD_ARGUMENT, "more than %d layers", POINT_LAYERS);
        if (end == at || *at == '-' || (*end && *end != ','))
            return fail(error, RUBATO_BAD_ARGUMENT, "layers \"%.60s\": give numbers from 0 on, as 0,2,5", text);
        out[(*count)++] = layer_number;
        at = *end ? end + 1 : end;
    }
    return text && *count == 0 ? fail(error, RUBATO_BAD_ARGUMENT, "at least one layer must stay") : RUBATO_OK;
}

static rubato_status note_trimming(const trimming *t, json_t **notes, rubato_error *error) {
    json_t *made = json_object();
    const char *taken = t->options->layers ? t->options->layers : t->options->drop ? t->options->drop : "all";
    json_put(&made, "layers", json_string(taken));
    json_put(&made, "vocabulary", json_integer((json_int_t)t->model->body.config.vocabulary));
    *notes = json_object();
    json_put(notes, "trimmed", made);
    return *notes ? RUBATO_OK : fail_memory(error);
}

static rubato_status fill_result(const trimming *t, rubato_trim_result *out, rubato_error *error) {
    rubato_model *made;
    TRY(rubato_model_load(&made, t->staged.path, error));
    *out = (rubato_trim_result){.layers = made->body.depth,
                                .vocabulary = made->body.config.vocabulary,
                                .parameters = made->info.parameters,
                                .covered = t->covered,
                                .heads = t->cut.heads,
                                .neurons = t->cut.neurons};
    rubato_model_destroy(made);
    return RUBATO_OK;
}

/* The files in the staged folder. */
static rubato_status write_staged(const trimming *t, storage type, const json_t *notes, rubato_error *error) {
    TRY(model_write(t->model, t->staged.path, type, notes, error));
    TRY(rewrite_json(t, "tokenizer.json", error));
    TRY(rewrite_json(t, "tokenizer_config.json", error));
    TRY(rewrite_json(t, "config.json", error));
    return rewrite_vocab_txt(t, error);
}

static rubato_status write_files(trimming *t, storage type, const json_t *notes, rubato_trim_result *result,
                                 rubato_error *error) {
    TRY(staged_open(&t->staged, t->options->out, error));
    rubato_status status = write_staged(t, type, notes, error);
    if (status == RUBATO_OK) status = fill_result(t, result, error);
    if (status == RUBATO_OK) return output_commit_alone(&t->staged, error);
    staged_abandon(&t->staged);
    return status;
}

static rubato_status trim(trimming *t, rubato_trim_result *result, rubato_error *error) {
    size_t layers[POINT_LAYERS], count;
    rubato_model *as_it_is;
    json_t *notes = NULL;
    storage type;
    if (!t->options->model || !t->options->out)
        return fail(error, RUBATO_BAD_ARGUMENT, "a model and an output folder are needed");
    TRY(model_store_type(t->options->store, &type, error));
    TRY(layers_parse(t->options->layers, layers, &count, error));
    if (t->options->layers && t->options->drop)
        return fail(error, RUBATO_BAD_ARGUMENT, "give the layers that stay, or how to drop some, not both");
    TRY(output_check(t->options->out, NULL, t->options->overwrite, error));
    TRY(t->options->drop ? rubato_model_load(&as_it_is, t->options->model, error)
                         : rubato_model_describe(&as_it_is, t->options->model, error));
    rubato_status chosen = output_check(t->options->out, as_it_is, t->options->overwrite, error);
    if (t->options->drop && chosen == RUBATO_OK)
        chosen = depth_choose(as_it_is, t->options->drop, t->options->data, t->options->columns, layers, &count, error);
    learning learn = {
        .task = as_it_is->info.task, .as_stored = true, .layers = count ? layers : NULL, .layer_count = count};
    rubato_model_destroy(as_it_is);
    TRY(chosen);
    TRY(model_load(&t->model, t->options->model, NULL, &learn, error));
    frontier_free(&t->model->points);
    t->model->points.full = t->model->points.full_ms = t->model->points.full_error = NAN;
    if (t->options->empty) TRY(model_cut_empty(t->model, &t->cut, error));
    TRY(choose_words(t, error));
    TRY(cut_tables(t, error));
    TRY(narrow_words(t, error));
    rubato_status status = note_trimming(t, &notes, error);
    if (status == RUBATO_OK) status = write_files(t, type, notes, result, error);
    json_decref(notes);
    return status;
}

rubato_status rubato_trim(const rubato_trim_options *options, rubato_trim_result **result, rubato_error *error) {
    rubato_trim_options own;
    trimming t = {.options = &own};
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_trim_options, options, error));
    rubato_trim_result *made = malloc(sizeof *made);
    rubato_status status = made ? trim(&t, made, error) : fail_memory(error);
    if (status == RUBATO_OK)
        *result = made;
    else
        free(made);
    rubato_model_destroy(t.model);
    free(t.new_ids);
    free(t.words);
    free(t.positions);
    free(t.narrow);
    free(t.frequency);
    return status;
}
