/* The files that a tokenizer had before tokenizer.json, as the contents of a tokenizer.json: vocab.txt, vocab.json with
 * merges.txt, and SentencePiece models. */
#include "text/tokenizer_convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "base/utf8.h"

static rubato_status check_text(const char *name, file_bytes text, rubato_error *error) {
    size_t bad = utf8_check(text.data, text.size);
    if (bad < text.size) return fail(error, RUBATO_BAD_MODEL, "%s: not valid UTF-8 at byte %zu", name, bad);
    if (text.size && memchr(text.data, 0, text.size))
        return fail(error, RUBATO_BAD_MODEL, "%s: a token with the character U+0000", name);
    return RUBATO_OK;
}

/* The next line of a text, without its end. False when there is none. */
static bool next_line(file_bytes *text, file_bytes *line) {
    if (text->size == 0) return false;
    const char *end = memchr(text->data, '\n', text->size);
    size_t length = end ? (size_t)(end - text->data) : text->size, taken = length + (end != NULL);
    *line = (file_bytes){text->data, length};
    if (length && line->data[length - 1] == '\r') line->size--;
    text->data += taken;
    text->size -= taken;
    return true;
}

static json_t *string_of(file_bytes text) {
    return json_stringn(text.size ? text.data : "", text.size);
}

static void put_id(json_t **vocabulary, file_bytes text, json_int_t id) {
    json_t *value = json_integer(id);
    if (*vocabulary && json_object_setn_new(*vocabulary, text.size ? text.data : "", text.size, value) == 0) return;
    if (!*vocabulary) json_decref(value);
    json_decref(*vocabulary);
    *vocabulary = NULL;
}

/* ---- vocab.txt: one token in each line, whose number is the id ---- */

static rubato_status from_lines(json_t **root, const tokenizer_class *class, const json_t *config, file_bytes text,
                                rubato_error *error) {
    TRY(check_text("vocab.txt", text, error));
    json_t *vocabulary = json_object();
    json_int_t id = 0;
    for (file_bytes line; next_line(&text, &line); id++) put_id(&vocabulary, line, id);
    *root = json_pack("{s:{s:s}, s:{s:s}, s:{s:s, s:s, s:o}}", "normalizer", "type", "BertNormalizer", "pre_tokenizer",
                      "type", "BertPreTokenizer", "model", "type", "WordPiece", "unk_token",
                      tokenizer_class_token(class, UNK_TOKEN, config), "vocab", vocabulary);
    return *root ? RUBATO_OK : fail_memory(error);
}

/* ---- vocab.json and merges.txt: ids, and one merge in each line ---- */

static rubato_status from_merges(json_t **root, file_bytes vocabulary, file_bytes text, rubato_error *error) {
    json_t *ids, *merges = json_array();
    rubato_status status = check_text("merges.txt", text, error);
    if (status == RUBATO_OK) status = json_read_bytes(&ids, vocabulary.data, vocabulary.size, "vocab.json", error);
    if (status != RUBATO_OK) {
        json_decref(merges);
        return status;
    }
    for (file_bytes line; next_line(&text, &line);)
        if (line.size < 8 || memcmp(line.data, "#version", 8) != 0) json_add(&merges, string_of(line));
    *root = json_pack("{s:{s:s, s:o, s:o}}", "model", "type", "BPE", "vocab", ids, "merges", merges);
    return *root ? RUBATO_OK : fail_memory(error);
}

/* ---- A SentencePiece model ---- */

static json_t *scored(file_bytes text, double score) {
    json_t *entry = json_array();
    json_add(&entry, string_of(text));
    json_add(&entry, json_real(score));
    return entry;
}

static file_bytes bytes_of(const char *text) {
    return (file_bytes){text, strlen(text)};
}

/* Visits the tokens in the order of their ids: the class's own ones, then the pieces. */
typedef void visit_token(void *user, file_bytes text, double score);

static void visit_tokens(const tokenizer_class *class, const json_t *config, const sentencepiece_model *model,
                         visit_token *visit, void *user) {
    for (size_t i = 0; i < class->head_count; i++) {
        const char *filler = class->fillers[i]; /* the last of Camembert's may never be chosen */
        const char *name = filler ? filler : tokenizer_class_token(class, class->head[i], config);
        visit(user, bytes_of(name), filler && strncmp(filler, "<unk>", 5) == 0 ? -100 : 0);
    }
    for (size_t i = class->dropped; i < model->count; i++)
        visit(user, model->pieces[i].text, (double)model->pieces[i].score);
    if (class->mask_last) visit(user, bytes_of(tokenizer_class_token(class, MASK_TOKEN, config)), 0);
}

static void add_scored(void *user, file_bytes text, double score) {
    json_add(user, scored(text, score));
}

typedef struct numbering {
    json_t *ids;
    json_int_t next;
} numbering;

static void add_numbered(void *user, file_bytes text, double score) {
    (void)score;
    numbering *self = user;
    put_id(&self->ids, text, self->next++);
}

/* A merge of BPE: a piece that two other pieces make. */
typedef struct pair {
    file_bytes left, right;
    float score;
    size_t left_length, right_length, number; /* lengths in characters */
    json_int_t left_id, right_id;
} pair;

/* Of better pieces first; of equal ones those with longer parts, then by piece and by the parts' ids. */
static int by_rank(const void *a, const void *b) {
    const pair *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->left_length != y->left_length) return x->left_length > y->left_length ? -1 : 1;
    if (x->right_length != y->right_length) return x->right_length > y->right_length ? -1 : 1;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    if (x->left_id != y->left_id) return x->left_id < y->left_id ? -1 : 1;
    return (x->right_id > y->right_id) - (x->right_id < y->right_id);
}

static bool id_of(const json_t *ids, file_bytes text, json_int_t *id) {
    const json_t *found = json_object_getn(ids, text.data, text.size);
    if (found) *id = json_integer_value(found);
    return found != NULL;
}

typedef struct pairs {
    pair *items;
    size_t count, capacity;
} pairs;

static bool add_pairs(pairs *list, const json_t *ids, const sentencepiece *from, size_t number) {
    size_t length = utf8_count(from->text.data, from->text.size), before = 0;
    for (size_t at = 0; at < from->text.size; before++) {
        pair made = {.left = {from->text.data, at},
                     .right = {from->text.data + at, from->text.size - at},
                     .score = from->score,
                     .left_length = before,
                     .right_length = length - before,
                     .number = number};
        uint32_t code;
        at += utf8_next((const unsigned char *)from->text.data + at, &code);
        if (!before || !id_of(ids, made.left, &made.left_id) || !id_of(ids, made.right, &made.right_id)) continue;
        if (list->count == list->capacity) {
            size_t capacity = list->capacity * 2 + 1024;
            pair *items = realloc(list->items, capacity * sizeof *items);
            if (!items) return false;
            list->items = items;
            list->capacity = capacity;
        }
        list->items[list->count++] = made;
    }
    return true;
}

/* SentencePiece merges by the score of the piece that comes out: its merges in that order. */
static json_t *merges_of(const tokenizer_class *class, const json_t *ids, const sentencepiece_model *model) {
    pairs list = {0};
    json_t *merges = json_array();
    bool fine = merges != NULL;
    for (size_t i = class->dropped; fine && i < model->count; i++) fine = add_pairs(&list, ids, &model->pieces[i], i);
    if (list.count) qsort(list.items, list.count, sizeof *list.items, by_rank);
    for (size_t i = 0; fine && i < list.count; i++) {
        json_t *entry = json_array();
        json_add(&entry, string_of(list.items[i].left));
        json_add(&entry, string_of(list.items[i].right));
        json_add(&merges, entry);
        fine = merges != NULL;
    }
    free(list.items);
    if (fine) return merges;
    json_decref(merges);
    return NULL;
}

/* Pieces that stand for themselves wherever they occur: added tokens, unless tokenizer_config.json has a list of its
 * own. */
static json_t *added_pieces(const tokenizer_class *class, const json_t *config, const sentencepiece_model *model) {
    json_t *list = json_array();
    if (json_array_size(json_object_get(config, "extra_special_tokens")) > 0 ||
        (json_array_size(json_object_get(config, "additional_special_tokens")) > 0 &&
         json_object_size(json_object_get(config, "extra_special_tokens")) == 0))
        return list;
    for (size_t i = class->dropped; i < model->count; i++) {
        const sentencepiece *from = &model->pieces[i];
        if (from->type != PIECE_CONTROL && from->type != PIECE_USER_DEFINED) continue;
        json_add(&list, json_pack("{s:s%, s:I, s:b, s:b}", "content", from->text.size ? from->text.data : "",
                                  from->text.size, "id", (json_int_t)(class->head_count + i - class->dropped),
                                  "normalized", 0, "special", from->type == PIECE_CONTROL));
    }
    return list;
}

static json_t *charsmap_stage(file_bytes map) {
    text_buffer text = {0};
    text_add_base64(&text, (const unsigned char *)map.data, map.size);
    json_t *stage = text.failed ? NULL
                                : json_pack("{s:s, s:s%}", "type", "Precompiled", "precompiled_charsmap",
                                            text.data ? text.data : "", text.length);
    text_free(&text);
    return stage;
}

static json_t *unigram_of(const tokenizer_class *class, const json_t *config, const sentencepiece_model *model) {
    json_t *vocabulary = json_array();
    visit_tokens(class, config, model, add_scored, &vocabulary);
    return json_pack("{s:s, s:I, s:o}", "type", "Unigram", "unk_id", (json_int_t)model->unknown_id, "vocab",
                     vocabulary);
}

static json_t *bpe_of(const tokenizer_class *class, const json_t *config, const sentencepiece_model *model) {
    numbering all = {.ids = json_object()};
    visit_tokens(class, config, model, add_numbered, &all);
    json_t *merges = all.ids ? merges_of(class, all.ids, model) : NULL;
    return json_pack("{s:s, s:s, s:b, s:o, s:o}", "type", "BPE", "unk_token",
                     tokenizer_class_token(class, UNK_TOKEN, config), "fuse_unk", 1, "vocab", all.ids, "merges",
                     merges);
}

static rubato_status from_sentencepiece(json_t **root, const tokenizer_class *class, const json_t *config,
                                        file_bytes file, rubato_error *error) {
    sentencepiece_model model;
    TRY(sentencepiece_read(&model, file.data, file.size, error));
    rubato_status status = RUBATO_OK;
    json_t *made = json_object();
    if (model.model_type == SENTENCEPIECE_UNIGRAM)
        json_put(&made, "model", unigram_of(class, config, &model));
    else if (model.model_type == SENTENCEPIECE_BPE)
        json_put(&made, "model", bpe_of(class, config, &model));
    else
        status = fail(error, RUBATO_UNSUPPORTED, "model_type %d of a SentencePiece model is neither unigram nor bpe",
                      model.model_type);
    if (model.charsmap.size) json_put(&made, "normalizer", charsmap_stage(model.charsmap));
    json_put(&made, "added_tokens", added_pieces(class, config, &model));
    sentencepiece_free(&model);
    if (status == RUBATO_OK && !made) status = fail_memory(error);
    if (status != RUBATO_OK) json_decref(made);
    *root = status == RUBATO_OK ? made : NULL;
    return status;
}

/* ---- Files ---- */

rubato_status tokenizer_convert(json_t **root, const tokenizer_class *class, const json_t *config,
                                const file_bytes files[2], rubato_error *error) {
    *root = NULL;
    switch (class->model) {
    case MODEL_BPE: return from_merges(root, files[0], files[1], error);
    case MODEL_UNIGRAM: return from_sentencepiece(root, class, config, files[0], error);
    default: return from_lines(root, class, config, files[0], error);
    }
}

static void path_of(char path[4096], const char *folder, const char *name) {
    snprintf(path, 4096, "%.4000s/%s", folder, name);
}

bool tokenizer_files_exist(const tokenizer_class *class, const char *folder) {
    char path[4096];
    for (size_t i = 0; i < 2 && class->files[i]; i++) {
        path_of(path, folder, class->files[i]);
        if (!path_exists(path)) return false;
    }
    return true;
}

rubato_status tokenizer_convert_folder(json_t **root, const tokenizer_class *class, const json_t *config,
                                       const char *folder, rubato_error *error) {
    char path[4096] = "", *data[2] = {NULL};
    file_bytes files[2] = {{0}};
    rubato_status status = RUBATO_OK;
    *root = NULL;
    for (size_t i = 0; i < 2 && class->files[i] && status == RUBATO_OK; i++) {
        path_of(path, folder, class->files[i]);
        status = file_read(&data[i], &files[i].size, path, TOKENIZER_FILE_BYTES, error);
        files[i].data = data[i];
    }
    if (status == RUBATO_OK) {
        status = tokenizer_convert(root, class, config, files, error);
        if (status == RUBATO_BAD_DATA) status = RUBATO_BAD_MODEL;
        if (status != RUBATO_OK && status != RUBATO_OUT_OF_MEMORY) {
            path_of(path, folder, class->files[0]);
            fail_within(error, status, class->files[1] ? folder : path);
        }
    }
    free(data[0]);
    free(data[1]);
    return status;
}
