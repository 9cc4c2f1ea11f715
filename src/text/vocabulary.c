#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/merges_training.h"
#include "text/tokenizer_build.h"
#include "text/unigram_training.h"

static const char *const bert_specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL};
static const char *const roberta_specials[] = {"<s>", "<pad>", "</s>", "<unk>", "<mask>", NULL};

const vocabulary_form vocabulary_forms[] = {
    [VOCABULARY_WORDPIECE] = {"wordpiece", bert_specials, "##", false},
    [VOCABULARY_BPE] = {"bpe", roberta_specials, NULL, true},
    [VOCABULARY_UNIGRAM] = {"unigram", roberta_specials, NULL, false},
};
enum { FORMS = sizeof vocabulary_forms / sizeof vocabulary_forms[0] };

bool vocabulary_kind_find(vocabulary_kind *out, const char *name) {
    for (size_t i = 0; i < FORMS; i++)
        if (strcmp(vocabulary_forms[i].name, name) == 0) {
            *out = (vocabulary_kind)i;
            return true;
        }
    return false;
}

/* ---- The files ---- */

static json_t *added_tokens(vocabulary_kind kind) {
    json_t *list = json_array();
    const char *const *specials = vocabulary_forms[kind].specials;
    for (int i = 0; specials[i]; i++) {
        /* a blank before <mask> belongs to it, as in RoBERTa's tokenizers */
        bool takes_blank = strcmp(specials[i], "<mask>") == 0;
        json_add(&list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", i, "content", specials[i], "single_word",
                                  0, "lstrip", takes_blank, "rstrip", 0, "normalized", 0, "special", 1));
    }
    return list;
}

static json_t *vocabulary_object(vocabulary_kind kind, const trained_vocabulary *learnt) {
    json_t *vocab = json_object();
    const char *const *specials = vocabulary_forms[kind].specials;
    for (int i = 0; !learnt && specials[i]; i++) json_put(&vocab, specials[i], json_integer(i));
    for (size_t i = 0, size; learnt && i < learnt->tokens.count; i++) {
        const char *text = string_table_at(&learnt->tokens, i, &size);
        json_put(&vocab, text, json_integer((json_int_t)i));
    }
    return vocab;
}

static json_t *merges_list(const trained_vocabulary *learnt) {
    json_t *list = json_array();
    for (size_t i = 0; learnt && i < learnt->merge_count; i++) {
        size_t left_size, right_size;
        const char *left = string_table_at(&learnt->tokens, learnt->merges[i][0], &left_size);
        const char *right = string_table_at(&learnt->tokens, learnt->merges[i][1], &right_size);
        json_add(&list, json_pack("[s%, s%]", left, left_size, right, right_size));
    }
    return list;
}

static json_t *wordpiece_stages(bool cased) {
    /* [CLS] A [SEP], and [CLS] A [SEP] B [SEP] with types 0 and 1 */
    return json_pack("{s:{s:s, s:b, s:b, s:n, s:b}, s:{s:s}, s:{s:s, s:[s,i], s:[s,i]}, s:{s:s, s:s, s:b}}",
                     "normalizer", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", 1,
                     "strip_accents", "lowercase", !cased, "pre_tokenizer", "type", "BertPreTokenizer",
                     "post_processor", "type", "BertProcessing", "sep", "[SEP]", 3, "cls", "[CLS]", 2, "decoder",
                     "type", "WordPiece", "prefix", "##", "cleanup", 1);
}

static json_t *bpe_stages(void) {
    return json_pack("{s:n, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:[s,i], s:[s,i], s:b, s:b}, s:{s:s, s:b, s:b, s:b}}",
                     "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1,
                     "use_regex", 1, "post_processor", "type", "RobertaProcessing", "sep", "</s>", 2, "cls", "<s>", 0,
                     "trim_offsets", 1, "add_prefix_space", 0, "decoder", "type", "ByteLevel", "add_prefix_space", 1,
                     "trim_offsets", 1, "use_regex", 1);
}

/* <s> A </s>, and <s> A </s> </s> B </s>, all of type 0 */
static json_t *unigram_template(void) {
    static const char *const single[] = {"<s>", "A", "</s>", NULL};
    static const char *const pair[] = {"<s>", "A", "</s>", "</s>", "B", "</s>", NULL};
    const char *const *const orders[] = {single, pair};
    json_t *root = json_pack("{s:s, s:{s:{s:s, s:[i], s:[s]}, s:{s:s, s:[i], s:[s]}}}", "type", "TemplateProcessing",
                             "special_tokens", "<s>", "id", "<s>", "ids", 0, "tokens", "<s>", "</s>", "id", "</s>",
                             "ids", 2, "tokens", "</s>");
    for (int i = 0; i < 2; i++) {
        json_t *list = json_array();
        for (int j = 0; orders[i][j]; j++)
            json_add(&list, json_pack("{s:{s:s, s:i}}", orders[i][j][0] == '<' ? "SpecialToken" : "Sequence", "id",
                                      orders[i][j], "type_id", 0));
        json_put(&root, i == 0 ? "single" : "pair", list);
    }
    return root;
}

static json_t *unigram_stages(bool cased) {
    json_t *steps = json_pack("[{s:s}, {s:s}]", "type", "Nmt", "type", "NFKC");
    if (!cased) json_add(&steps, json_pack("{s:s}", "type", "Lowercase"));
    json_add(&steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "Regex", " {2,}", "content", " "));
    json_t *sequence = json_pack("{s:s}", "type", "Sequence"), *stages = json_object();
    json_put(&sequence, "normalizers", steps);
    json_put(&stages, "normalizer", sequence);
    json_put(&stages, "post_processor", unigram_template());
    static const char *const blanks[] = {"pre_tokenizer", "decoder"};
    for (int i = 0; i < 2; i++)
        json_put(&stages, blanks[i],
                 json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", "\u2581", "prepend_scheme",
                           "always", "split", 1));
    return stages;
}

/* [piece, score] by ids */
static json_t *scored_pieces(const trained_vocabulary *learnt) {
    json_t *list = json_array();
    for (int i = 0; !learnt && roberta_specials[i]; i++) json_add(&list, json_pack("[s, f]", roberta_specials[i], 0.0));
    for (size_t i = 0, size; learnt && i < learnt->tokens.count; i++) {
        const char *text = string_table_at(&learnt->tokens, i, &size);
        json_add(&list, json_pack("[s%, f]", text, size, learnt->scores[i]));
    }
    return list;
}

static json_t *stages_of(vocabulary_kind kind, bool cased) {
    switch (kind) {
    case VOCABULARY_WORDPIECE: return wordpiece_stages(cased);
    case VOCABULARY_BPE: return bpe_stages();
    case VOCABULARY_UNIGRAM: return unigram_stages(cased);
    }
    return NULL;
}

static json_t *model_of(vocabulary_kind kind, const trained_vocabulary *learnt) {
    json_t *model = NULL;
    switch (kind) {
    case VOCABULARY_WORDPIECE:
        model = json_pack("{s:s, s:s, s:s, s:i}", "type", "WordPiece", "unk_token", "[UNK]",
                          "continuing_subword_prefix", "##", "max_input_chars_per_word", 100);
        json_put(&model, "vocab", vocabulary_object(kind, learnt));
        break;
    case VOCABULARY_BPE:
        model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b}", "type", "BPE", "dropout", "unk_token",
                          "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                          "ignore_merges", 0);
        json_put(&model, "vocab", vocabulary_object(kind, learnt));
        json_put(&model, "merges", merges_list(learnt));
        break;
    case VOCABULARY_UNIGRAM:
        model = json_pack("{s:s, s:i, s:b}", "type", "Unigram", "unk_id", 3, "byte_fallback", 0);
        json_put(&model, "vocab", scored_pieces(learnt));
        break;
    }
    return model;
}

json_t *vocabulary_tokenizer(vocabulary_kind kind, bool cased, const trained_vocabulary *learnt) {
    json_t *root = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding");
    json_t *stages = stages_of(kind, cased);
    json_put(&root, "added_tokens", added_tokens(kind));
    if (root && (!stages || json_object_update(root, stages) != 0)) {
        json_decref(root);
        root = NULL;
    }
    json_decref(stages);
    json_put(&root, "model", model_of(kind, learnt));
    return root;
}

json_t *vocabulary_config(vocabulary_kind kind, bool cased, size_t max_length) {
    json_t *root =
        kind == VOCABULARY_WORDPIECE
            ? json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:n}", "tokenizer_class", "BertTokenizer",
                        "pad_token", "[PAD]", "unk_token", "[UNK]", "cls_token", "[CLS]", "sep_token", "[SEP]",
                        "mask_token", "[MASK]", "do_lower_case", !cased, "tokenize_chinese_chars", 1, "strip_accents")
            : json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "tokenizer_class",
                        kind == VOCABULARY_BPE ? "RobertaTokenizer" : "PreTrainedTokenizerFast", "bos_token", "<s>",
                        "eos_token", "</s>", "cls_token", "<s>", "sep_token", "</s>", "pad_token", "<pad>", "unk_token",
                        "<unk>", "mask_token", "<mask>");
    if (kind == VOCABULARY_BPE) json_put(&root, "add_prefix_space", json_false());
    json_put(&root, "model_max_length", json_integer((json_int_t)max_length));
    return root;
}

/* ---- Training ---- */

rubato_status vocabulary_cutter(tokenizer **out, vocabulary_kind kind, bool cased, rubato_error *error) {
    *out = NULL;
    json_t *root = vocabulary_tokenizer(kind, cased, NULL);
    if (!root) return fail_memory(error);
    rubato_status status = json_set(root, "added_tokens", json_array(), error);
    if (status == RUBATO_OK) status = json_set(root, "post_processor", json_null(), error);
    char *text = status == RUBATO_OK ? json_dumps(root, 0) : NULL;
    if (status == RUBATO_OK && !text) status = fail_memory(error);
    if (status == RUBATO_OK)
        status = tokenizer_parse(out, text, strlen(text), "tokenizer.json", NULL, NULL, NULL, error);
    free(text);
    json_decref(root);
    return status;
}

rubato_status vocabulary_count(word_counts *counts, const tokenizer *cutter, const char *line, size_t bytes,
                               tokenizer_scratch *scratch, rubato_error *error) {
    TRY(tokenizer_cut(cutter, line, bytes, scratch, error));
    size_t most = 0;
    for (size_t i = 0; i < scratch->list.count; i++) {
        size_t length = scratch->list.items[i].end - scratch->list.items[i].begin;
        if (length > most) most = length;
    }
    char *word = malloc(4 * most + 1);
    bool added = word != NULL;
    for (size_t i = 0; added && i < scratch->list.count; i++) {
        size_t size = 0;
        for (size_t j = scratch->list.items[i].begin; j < scratch->list.items[i].end; j++)
            size += utf8_put(word + size, scratch->pool.items[j].code);
        added = word_counts_add(counts, word, size);
    }
    free(word);
    return added ? RUBATO_OK : fail_memory(error);
}

rubato_status vocabulary_learn(trained_vocabulary *out, vocabulary_kind kind, const word_counts *counts,
                               const token_options *options, rubato_error *error) {
    const vocabulary_form *form = &vocabulary_forms[kind];
    token_options own = *options;
    uint32_t bytes[256];
    own.specials = form->specials;
    for (own.special_count = 0; form->specials[own.special_count];) own.special_count++;
    own.mark = form->mark;
    own.always = bytes;
    own.always_count = form->bytes ? 256 : 0;
    for (size_t i = 0; i < 256; i++) bytes[i] = byte_level_code((unsigned char)i);
    return kind == VOCABULARY_UNIGRAM ? unigram_train(out, counts, &own, error)
                                      : merges_train(out, counts, &own, error);
}
