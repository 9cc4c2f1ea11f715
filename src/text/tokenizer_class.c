/* The tokenizer classes of transformers: which one reads a folder, and what it decides beside the files. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/foreign.h"
#include "base/json.h"
#include "text/tokenizer_class.h"

static const tokenizer_class classes[] = {
    {.names = {"Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert", "LayoutLM"},
     .files = {"vocab.txt"},
     .model = MODEL_WORDPIECE,
     .tokens = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"}},
    {.names = {"MPNet"},
     .files = {"vocab.txt"},
     .model = MODEL_WORDPIECE,
     .tokens = {"[UNK]", "<s>", "</s>", "<pad>", "<mask>"},
     .arranged = TWO_SEPARATORS,
     .mask_strips = true},
    {.names = {"Funnel"},
     .files = {"vocab.txt"},
     .model = MODEL_WORDPIECE,
     .tokens = {"<unk>", "<cls>", "<sep>", "<pad>", "<mask>"},
     .cls_type = 2},
    {.names = {"Roberta", "Bart", "Longformer", "LED", "Mvp"},
     .files = {"vocab.json", "merges.txt"},
     .model = MODEL_BPE,
     .tokens = {"<unk>", "<s>", "</s>", "<pad>", "<mask>", "<s>", "</s>"},
     .arranged = TWO_SEPARATORS,
     .rebuilds = true},
    {.names = {"Herbert"},
     .files = {"vocab.json", "merges.txt"},
     .model = MODEL_BPE,
     .tokens = {"<unk>", "<s>", "</s>", "<pad>", "<mask>"},
     .suffix = "</w>",
     .rebuilds = true},
    {.names = {"XLMRoberta"},
     .files = {"sentencepiece.bpe.model"},
     .model = MODEL_UNIGRAM,
     .tokens = {"<unk>", "<s>", "</s>", "<pad>", "<mask>", "<s>", "</s>"},
     .head = {BOS_TOKEN, PAD_TOKEN, EOS_TOKEN, UNK_TOKEN},
     .head_count = 4,
     .dropped = 3,
     .mask_last = true,
     .unknown_id = 3,
     .arranged = TWO_SEPARATORS,
     .ends_are_bos_eos = true,
     .rebuilds = true},
    {.names = {"Camembert"},
     .files = {"sentencepiece.bpe.model"},
     .model = MODEL_UNIGRAM,
     .tokens = {"<unk>", "<s>", "</s>", "<pad>", "<mask>", "<s>", "</s>"},
     .head = {NO_TOKEN, PAD_TOKEN, NO_TOKEN, UNK_TOKEN, NO_TOKEN},
     .fillers = {"<s>NOTUSED", NULL, "</s>NOTUSED", NULL, "<unk>NOTUSED"},
     .head_count = 5,
     .dropped = 1,
     .mask_last = true,
     .unknown_id = 3,
     .arranged = TWO_SEPARATORS,
     .ends_are_bos_eos = true,
     .mask_strips = true,
     .rebuilds = true},
    {.names = {"Albert"},
     .files = {"spiece.model"},
     .model = MODEL_UNIGRAM,
     .tokens = {"<unk>", "[CLS]", "[SEP]", "<pad>", "[MASK]", "[CLS]", "[SEP]"},
     .cleans_text = true,
     .rebuilds = true},
    {.names = {"XLNet"},
     .files = {"spiece.model"},
     .model = MODEL_UNIGRAM,
     .tokens = {"<unk>", "<cls>", "<sep>", "<pad>", "<mask>", "<s>", "</s>"},
     .more = {"<eop>", "<eod>"},
     .arranged = CLS_LAST,
     .cleans_text = true,
     .keeps_case = true,
     .rebuilds = true},
};

const char *const special_keys[SPECIAL_TOKENS] = {"unk_token",  "cls_token", "sep_token", "pad_token",
                                                  "mask_token", "bos_token", "eos_token"};

/* With a tokenizer.json or without, these cut words with a program, a dictionary or rules of their own. */
static const char *const unreadable[] = {"BertJapanese", "Phobert", "Bertweet",       "Flaubert", "XLM",
                                         "Bartpho",      "RoCBert", "BertGeneration", "RoFormer", "Esm",
                                         "Tapas",        "BioGpt",  "ProphetNet",     "Canine",   "ByT5"};

/* "xlm-roberta" is the model_type that goes with XLMRoberta. */
static bool goes_with(const char *known, const char *type) {
    for (; *type; type++) {
        if (*type == '-') continue;
        if (strncasecmp(type, known, 1) != 0) return false;
        known++;
    }
    return *known == 0;
}

static bool is_name(const char *known, const char *name) {
    size_t length = strlen(known);
    return strncmp(known, name, length) == 0 &&
           (strcmp(name + length, "Tokenizer") == 0 || strcmp(name + length, "TokenizerFast") == 0);
}

static bool is_equal(const char *known, const char *name) {
    return strcmp(known, name) == 0;
}

typedef bool same_function(const char *known, const char *name);

static const tokenizer_class *lookup(const char *name, same_function *same) {
    for (size_t i = 0; name && i < sizeof classes / sizeof *classes; i++)
        for (size_t k = 0; classes[i].names[k]; k++)
            if (same(classes[i].names[k], name)) return &classes[i];
    return NULL;
}

rubato_status tokenizer_class_find(const tokenizer_class **out, char *named, size_t room, const char *folder,
                                   const json_t *config, rubato_error *error) {
    char path[4096];
    const char *name, *type = NULL;
    json_t *model = NULL;
    *out = NULL;
    named[0] = 0;
    TRY(json_get_text(&name, config, "tokenizer_class", NULL, error));
    snprintf(path, sizeof path, "%.4000s/config.json", folder);
    if (path_exists(path)) TRY(json_read_file(&model, path, TOKENIZER_FILE_BYTES, error));
    rubato_status status = json_get_text(&type, model, "model_type", NULL, error);
    if (status == RUBATO_OK && !name) status = json_get_text(&name, model, "tokenizer_class", NULL, error);
    if (type && strncmp(type, FOREIGN_PREFIX, strlen(FOREIGN_PREFIX)) == 0) type += strlen(FOREIGN_PREFIX);
    if (status == RUBATO_OK) *out = name ? lookup(name, is_name) : lookup(type, goes_with);
    if (name) snprintf(named, room, "%s", name);
    for (size_t i = 0; status == RUBATO_OK && name && i < sizeof unreadable / sizeof *unreadable; i++)
        if (is_name(unreadable[i], name))
            status = fail(error, RUBATO_UNSUPPORTED,
                          "%s: tokenizer_class \"%.60s\" cuts words in its own way, which Rubato does not have", folder,
                          name);
    json_decref(model);
    return status;
}

const tokenizer_class *tokenizer_class_named(const char *name) {
    return lookup(name, is_equal);
}

const char *tokenizer_class_token(const tokenizer_class *class, special_token which, const json_t *config) {
    const json_t *value = json_object_get(config, special_keys[which]);
    const char *name = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return name ? name : class->tokens[which];
}

void tokenizer_class_ends(const tokenizer_class *class, const json_t *config, const char *ends[2]) {
    ends[0] = tokenizer_class_token(class, class->ends_are_bos_eos ? BOS_TOKEN : CLS_TOKEN, config);
    ends[1] = tokenizer_class_token(class, class->ends_are_bos_eos ? EOS_TOKEN : SEP_TOKEN, config);
}

/* ---- The stages of a class that builds them itself ---- */

static json_t *stage(const char *type) {
    return json_pack("{s:s}", "type", type);
}

static json_t *replace(const char *pattern, const char *content) {
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", pattern, "content", content);
}

/* The character map of a normaliser, or NULL. */
static json_t *find_charsmap(json_t *from) {
    json_t *list = json_object_get(from, "normalizers");
    const char *type = json_string_value(json_object_get(from, "type"));
    if (type && strcmp(type, "Precompiled") == 0 && json_object_get(from, "precompiled_charsmap")) return from;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *found = find_charsmap(json_array_get(list, i));
        if (found) return found;
    }
    return NULL;
}

static rubato_status set_normalizer(const tokenizer_class *class, json_t *root, const json_t *config,
                                    rubato_error *error) {
    bool lower = false, accents = true;
    if (class->suffix)
        return json_set(root, "normalizer",
                        json_pack("{s:s, s:b, s:b}", "type", "BertNormalizer", "lowercase", 0, "strip_accents", 0),
                        error);
    if (class->cleans_text) {
        TRY(json_get_bool(&lower, config, "do_lower_case", !class->keeps_case, error));
        TRY(json_get_bool(&accents, class->keeps_case ? NULL : config, "keep_accents", false, error));
    }
    json_t *list = json_array(), *map = find_charsmap(json_object_get(root, "normalizer"));
    if (class->cleans_text) {
        json_add(&list, replace("``", "\""));
        json_add(&list, replace("''", "\""));
    }
    if (!accents) {
        json_add(&list, stage("NFKD"));
        json_add(&list, stage("StripAccents"));
    }
    if (lower) json_add(&list, stage("Lowercase"));
    if (map && class->model == MODEL_UNIGRAM) json_add(&list, json_incref(map));
    json_t *made = stage("Sequence");
    json_put(&made, "normalizers", list);
    return json_set(root, "normalizer", made, error);
}

static rubato_status set_pre_tokenizer(const tokenizer_class *class, json_t *root, const json_t *config,
                                       rubato_error *error) {
    bool prefix;
    if (class->suffix) return json_set(root, "pre_tokenizer", stage("BertPreTokenizer"), error);
    TRY(json_get_bool(&prefix, config, "add_prefix_space", class->model == MODEL_UNIGRAM, error));
    if (class->model == MODEL_BPE)
        return json_set(root, "pre_tokenizer",
                        json_pack("{s:s, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix, "use_regex", 1),
                        error);
    return json_set(root, "pre_tokenizer",
                    json_pack("{s:s, s:[{s:s}, {s:s, s:s, s:s, s:b}]}", "type", "Sequence", "pretokenizers", "type",
                              "WhitespaceSplit", "type", "Metaspace", "replacement", "\xe2\x96\x81", "prepend_scheme",
                              prefix ? "always" : "never", "split", 1),
                    error);
}

/* The class's model has no options but those that concern unknown characters and ends of words. */
static rubato_status set_model(const tokenizer_class *class, json_t *model, const json_t *config, rubato_error *error) {
    static const char *const options[] = {"byte_fallback", "fuse_unk", "ignore_merges", "unk_token"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) json_object_del(model, options[i]);
    if (class->suffix) {
        TRY(json_set(model, "end_of_word_suffix", json_string(class->suffix), error));
        return json_set(model, "unk_token", json_string(tokenizer_class_token(class, UNK_TOKEN, config)), error);
    }
    if (!class->unknown_id) return RUBATO_OK;
    return json_set(model, "unk_id", json_integer(class->unknown_id), error);
}

/* A post-processor of tokenizer.json stays where the class does not replace it. */
static bool keeps_template(const tokenizer_class *class) {
    return class->cleans_text && class->arranged != CLS_LAST;
}

rubato_status tokenizer_class_rebuild(const tokenizer_class *class, json_t *root, const json_t *config,
                                      rubato_error *error) {
    TRY(set_normalizer(class, root, config, error));
    TRY(set_pre_tokenizer(class, root, config, error));
    if (!keeps_template(class)) json_object_del(root, "post_processor");
    json_t *model = json_object_get(root, "model");
    return tokenizer_model_kind(model) == class->model ? set_model(class, model, config, error) : RUBATO_OK;
}

rubato_status tokenizer_class_template(tokenizer *self, const tokenizer_class *class, const json_t *config,
                                       rubato_error *error) {
    const char *ends[2];
    tokenizer_class_ends(class, config, ends);
    TRY(tokenizer_set_template(self, tokenizer_id(self, ends[0]), tokenizer_id(self, ends[1]), class->arranged, error));
    if (class->arranged != CLS_LAST) self->single.items[0].type = self->pair.items[0].type = class->cls_type;
    if (class->model != MODEL_BPE || class->suffix) return RUBATO_OK;
    TRY(json_get_bool(&self->trim_offsets, config, "trim_offsets", true, error));
    return json_get_bool(&self->trim_prefix_space, config, "add_prefix_space", false, error);
}
