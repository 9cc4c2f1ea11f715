/* The folder that a command writes its model into. */
#define _DEFAULT_SOURCE
#include "task/output_folder.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 + 320 };

/* Every file whose presence changes how a model's folder is read, or that tells of its training and search. */
static const char *const files[] = {"config.json",
                                    "model.safetensors",
                                    "model.safetensors.index.json",
                                    "pytorch_model.bin",
                                    "pytorch_model.bin.index.json",
                                    "exits/model.safetensors",
                                    "rubato.json",
                                    "frontier.svg",
                                    "search.jsonl",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.txt",
                                    "vocab.json",
                                    "merges.txt",
                                    "spiece.model",
                                    "sentencepiece.bpe.model",
                                    "modules.json",
                                    "config_sentence_transformers.json",
                                    "sentence_bert_config.json",
                                    "adapter_config.json"};
enum { FILES = sizeof files / sizeof files[0] };

static bool has(const char *folder, const char *name) {
    char path[PATH_BYTES];
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path && path_exists(path);
}

bool output_is_taken(const char *folder) {
    for (size_t i = 0; i < FILES; i++)
        if (has(folder, files[i])) return true;
    return has(folder, "training.safetensors"); /* the state of a run of training */
}

rubato_status output_check(const char *folder, const rubato_model *origin, bool overwrite, rubato_error *error) {
    char a[PATH_MAX], b[PATH_MAX];
    if (!*folder) return fail(error, RUBATO_BAD_ARGUMENT, "the name of the output folder is empty");
    if (path_exists(folder) && !folder_exists(folder))
        return fail(error, RUBATO_BAD_ARGUMENT, "%s is there and is no folder; give another one", folder);
    if (origin && realpath(folder, a) && realpath(origin->path, b) && strcmp(a, b) == 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "%s is the model itself; give another folder", folder);
    if (overwrite || !output_is_taken(folder)) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "%s holds a model already; --overwrite replaces it", folder);
}

static void remove_stale(const staged_files *made, const char *name) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", made->folder, name);
    unlink(path);
}

rubato_status output_commit(staged_files *made, bool traces, rubato_error *error) {
    bool stays[FILES];
    for (size_t i = 0; i < FILES; i++) stays[i] = has(made->path, files[i]);
    TRY(staged_commit(made, error));
    for (size_t i = 0; i < FILES; i++)
        if (!stays[i]) remove_stale(made, files[i]);
    static const char *const left[] = {"training.json", "training.safetensors", "metrics.jsonl"};
    for (size_t i = 0; traces && i < sizeof left / sizeof left[0]; i++) remove_stale(made, left[i]);
    return RUBATO_OK;
}

rubato_status output_commit_alone(staged_files *made, rubato_error *error) {
    int lock;
    rubato_status status = folder_lock(&lock, made->folder, error);
    if (status != RUBATO_OK) {
        staged_abandon(made);
        return status;
    }
    status = output_commit(made, true, error);
    folder_unlock(lock);
    return status;
}
