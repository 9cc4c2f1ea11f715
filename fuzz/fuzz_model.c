/* Input: any bytes as the config.json or rubato.json of a whole model, which then answers at its points. The first byte
 * selects the file and the model: a BERT with exits (their weights are in exits/, made by `rubato train --recipe
 * deebert --frozen`), a Funnel-Transformer, or a BERT with a memory. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rubato.h"

enum { MODELS = 3 };

static char folders[MODELS][64];

static void link_file(const char *folder, const char *from, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (symlink(from, path) != 0) abort();
}

static void write_file(const char *folder, const char *name, const void *data, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

static void remove_file(const char *folder, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void tidy(void) {
    static const char *const names[] = {"model.safetensors", "tokenizer.json",          "config.json",
                                        "rubato.json",       "exits/model.safetensors", "exits"};
    for (size_t i = 0; i < MODELS; i++) {
        for (size_t j = 0; j + 1 < sizeof names / sizeof names[0]; j++) remove_file(folders[i], names[j]);
        char path[256];
        snprintf(path, sizeof path, "%s/exits", folders[i]);
        rmdir(path);
        rmdir(folders[i]);
    }
}

static void prepare(void) {
    static const char *const names[] = {"bert", "funnel", "memory/res"};
    for (size_t i = 0; i < MODELS; i++) {
        char from[512];
        snprintf(folders[i], sizeof folders[i], "/tmp/rubato-fuzz-model-%d-%zu", (int)getpid(), i);
        if (mkdir(folders[i], 0700) != 0) abort();
        snprintf(from, sizeof from, GOLDEN "/%s/model.safetensors", names[i]);
        link_file(folders[i], from, "model.safetensors");
        snprintf(from, sizeof from, GOLDEN "/%s/tokenizer.json", names[i]);
        link_file(folders[i], from, "tokenizer.json");
    }
    char path[256];
    snprintf(path, sizeof path, "%s/exits", folders[0]);
    if (mkdir(path, 0700) != 0) abort();
    link_file(path, GOLDEN "/../../fuzz/exits/model.safetensors", "model.safetensors");
    atexit(tidy);
}

/* A config.json that fits the model, for inputs that are the other file. */
static const char *const configs[MODELS] = {
    "{\"model_type\": \"bert\", \"architectures\": [\"BertForSequenceClassification\"], \"hidden_size\": 24, "
    "\"num_hidden_layers\": 3, \"num_attention_heads\": 3, \"intermediate_size\": 40, \"max_position_embeddings\": 19, "
    "\"vocab_size\": 61, \"num_labels\": 3}",
    "{\"model_type\": \"funnel\", \"architectures\": [\"FunnelForSequenceClassification\"], \"block_sizes\": [2, 1, "
    "2], "
    "\"block_repeats\": [1, 2, 1], \"d_model\": 24, \"n_head\": 3, \"d_head\": 8, \"d_inner\": 40, \"vocab_size\": 61, "
    "\"num_labels\": 3}",
    "{\"model_type\": \"bert\", \"hidden_size\": 32, \"num_hidden_layers\": 3, \"num_attention_heads\": 2, "
    "\"intermediate_size\": 48, \"max_position_embeddings\": 20, \"vocab_size\": 61, \"feed_forward\": "
    "{\"mechanism\": \"memory\", \"slots\": 64, \"heads\": 2, \"selected\": 3, \"query\": 8, \"layers\": [1]}}"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rubato_model *model;
    rubato_context *context;
    rubato_error error;
    if (size == 0) return 0;
    if (!folders[0][0]) prepare();
    const size_t which = data[0] & 4 ? 2 : data[0] & 1;
    const char *folder = folders[which];
    bool points = data[0] & 2;
    write_file(folder, "config.json", points ? (const void *)configs[which] : data + 1,
               points ? strlen(configs[which]) : size - 1);
    remove_file(folder, "rubato.json");
    if (points) write_file(folder, "rubato.json", data + 1, size - 1);
    if (rubato_model_load(&model, folder, &error) != RUBATO_OK) return 0;
    rubato_context_options one = {.size = sizeof one, .threads = 1};
    rubato_input inputs[2] = {{.text = "a b c d e f"}, {.text = "x"}};
    size_t labels = rubato_model_info(model)->label_count;
    if (rubato_context_create(&context, model, &one, &error) == RUBATO_OK) {
        float *scores = calloc(2 * (labels + 2), sizeof *scores);
        float *vectors = calloc(2 * rubato_model_info(model)->width + 1, sizeof *vectors);
        for (size_t i = 0; scores && vectors && i <= rubato_point_count(model) && i < 4; i++) {
            char budget[64] = "full";
            if (i > 0) snprintf(budget, sizeof budget, "@%s", rubato_model_point(model, i - 1)->name);
            rubato_options options = {.budget = budget};
            rubato_logits(context, scores, inputs, 2, &options, NULL, &error);
            rubato_embed(context, vectors, inputs, 2, &options, NULL, &error);
        }
        free(scores);
        free(vectors);
        rubato_context_destroy(context);
    }
    rubato_model_destroy(model);
    return 0;
}
