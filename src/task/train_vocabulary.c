/* rubato_train_vocabulary: a tokenizer from running text. */
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "store/text_lines.h"
#include "task/output_folder.h"
#include "task/folder.h"
#include "text/vocabulary.h"

enum { EACH_LINES = 256 }; /* between two looks at the progress */

typedef struct vocabulary_training {
    const rubato_vocabulary_options *options;
    vocabulary_kind kind;
    word_counts counts;
    trained_vocabulary learnt;
    size_t lines;
} vocabulary_training;

static bool cancelled(const vocabulary_training *v, const char *stage, double share) {
    return v->options->progress && v->options->progress(v->options->progress_user, stage, share);
}

static rubato_status count_lines(vocabulary_training *v, text_lines *from, const tokenizer *cutter,
                                 tokenizer_scratch *scratch, rubato_error *error) {
    for (;;) {
        const char *line;
        size_t bytes;
        TRY(text_lines_next(from, &line, &bytes, error));
        if (!line) return RUBATO_OK;
        TRY(vocabulary_count(&v->counts, cutter, line, bytes, scratch, error));
        if (v->lines++ % EACH_LINES == 0 && cancelled(v, "counting words", text_lines_share(from)))
            return fail(error, RUBATO_CANCELLED, "cancelled");
    }
}

static rubato_status count_words(vocabulary_training *v, rubato_error *error) {
    tokenizer *cutter = NULL;
    tokenizer_scratch scratch = {0};
    text_lines from;
    rubato_status status = text_lines_open(&from, v->options->texts, v->options->text_count, error);
    if (status == RUBATO_OK) status = vocabulary_cutter(&cutter, v->kind, v->options->cased, error);
    if (status == RUBATO_OK) status = count_lines(v, &from, cutter, &scratch, error);
    text_lines_close(&from);
    tokenizer_scratch_free(&scratch);
    tokenizer_destroy(cutter);
    TRY(status);
    if (v->counts.words.count == 0) return fail(error, RUBATO_BAD_DATA, "the text has no words");
    return RUBATO_OK;
}

static int show_learning(void *user, size_t done, size_t all) {
    const vocabulary_training *v = user;
    const bool merges = v->kind != VOCABULARY_UNIGRAM; /* each of which is a short step */
    return (!merges || done % EACH_LINES == 0) &&
           cancelled(v, merges ? "merging" : "choosing pieces", (double)done / (double)all);
}

static rubato_status learn(vocabulary_training *v, rubato_error *error) {
    const bool bytes = vocabulary_forms[v->kind].bytes;
    const size_t tokens = v->options->tokens ? v->options->tokens : bytes ? 50000 : 30000;
    const token_options how = {.tokens = tokens,
                               .least_count = v->options->min_count ? v->options->min_count : 2,
                               .alphabet = bytes                  ? SIZE_MAX
                                           : v->options->alphabet ? v->options->alphabet
                                                                  : tokens / 3,
                               .progress = show_learning,
                               .progress_user = v};
    return vocabulary_learn(&v->learnt, v->kind, &v->counts, &how, error);
}

/* ---- Writing ---- */

static rubato_status write_list(const vocabulary_training *v, const char *folder, rubato_error *error) {
    char path[4200];
    new_file file;
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    TRY(new_file_open(&file, path, error));
    for (size_t i = 0, size; i < v->learnt.tokens.count; i++) {
        const char *text = string_table_at(&v->learnt.tokens, i, &size);
        fwrite(text, 1, size, file.stream);
        fputc('\n', file.stream);
    }
    return new_file_commit(&file, error);
}

static rubato_status write_json(json_t *value, const char *folder, const char *name, rubato_error *error) {
    if (!value) return fail_memory(error);
    rubato_status status = model_write_json(value, folder, name, error);
    json_decref(value);
    return status;
}

static rubato_status write_files(const vocabulary_training *v, const char *folder, rubato_error *error) {
    const rubato_vocabulary_options *options = v->options;
    TRY(write_json(vocabulary_tokenizer(v->kind, options->cased, &v->learnt), folder, "tokenizer.json", error));
    TRY(write_json(vocabulary_config(v->kind, options->cased, options->max_length ? options->max_length : 512), folder,
                   "tokenizer_config.json", error));
    return v->kind == VOCABULARY_WORDPIECE ? write_list(v, folder, error) : RUBATO_OK;
}

static rubato_status write_folder(const vocabulary_training *v, rubato_error *error) {
    staged_files staged;
    TRY(staged_open(&staged, v->options->out, error));
    rubato_status status = write_files(v, staged.path, error);
    if (status == RUBATO_OK) return output_commit_alone(&staged, error);
    staged_abandon(&staged);
    return status;
}

static rubato_status run_training(vocabulary_training *v, rubato_error *error) {
    const rubato_vocabulary_options *options = v->options;
    const char *kind = options->kind ? options->kind : "wordpiece";
    if (!options->out) return fail(error, RUBATO_BAD_ARGUMENT, "an output folder is needed");
    if (!vocabulary_kind_find(&v->kind, kind))
        return fail(error, RUBATO_BAD_ARGUMENT, "kind \"%.40s\": unknown; wordpiece, bpe or unigram", kind);
    if (vocabulary_forms[v->kind].bytes && (options->alphabet || options->cased))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "the options alphabet and cased belong to wordpiece and unigram; bpe knows all bytes");
    if (v->kind == VOCABULARY_UNIGRAM && options->min_count)
        return fail(error, RUBATO_BAD_ARGUMENT, "the option min_count belongs to wordpiece and bpe");
    TRY(output_check(options->out, NULL, options->overwrite, error));
    TRY(count_words(v, error));
    TRY(learn(v, error));
    return write_folder(v, error);
}

rubato_status rubato_train_vocabulary(const rubato_vocabulary_options *options, rubato_vocabulary_result **result,
                                      rubato_error *error) {
    rubato_vocabulary_options own;
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_vocabulary_options, options, error));
    vocabulary_training v = {.options = &own};
    rubato_vocabulary_result *made = calloc(1, sizeof *made);
    rubato_status status = made ? run_training(&v, error) : fail_memory(error);
    if (status == RUBATO_OK) {
        *made = (rubato_vocabulary_result){
            .tokens = v.learnt.tokens.count, .lines = v.lines, .words = v.counts.words.count};
        made->characters = v.learnt.characters;
        for (size_t i = 0; i < v.counts.words.count; i++) made->counted += (double)v.counts.counts[i];
        *result = made;
    } else {
        free(made);
    }
    word_counts_free(&v.counts);
    trained_vocabulary_free(&v.learnt);
    return status;
}
