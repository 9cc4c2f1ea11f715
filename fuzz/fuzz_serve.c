/* Input: any bytes as the body of any request. The answer has a status and JSON or text, and nothing crashes; admitted
 * items are run. The first byte selects the route, the second a budget from the header. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "serve/server.h"

/* Makes a folder with the golden model and another head. */
static void make_folder(const char *folder, const char *architecture) {
    static const char *const files[] = {"model.safetensors", "tokenizer.json"};
    char path[600], source[600];
    json_t *config;
    if (folder_create(folder, NULL) != RUBATO_OK ||
        json_read_file(&config, GOLDEN "/bert/config.json", 1 << 20, NULL) != RUBATO_OK)
        abort();
    json_object_set_new(config, "architectures", json_pack("[s]", architecture));
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_dump_file(config, path, 0);
    json_decref(config);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        snprintf(source, sizeof source, GOLDEN "/bert/%s", files[i]);
        if (symlink(source, path) != 0) abort();
    }
}

static void give_points(const char *folder) {
    char path[600];
    snprintf(path, sizeof path, "%s/rubato.json", folder);
    FILE *out = fopen(path, "w");
    if (!out) abort();
    fputs("{\"significance\": \"received\", \"metric\": \"accuracy\", \"points\": [{\"name\": \"half\", \"quality\": "
          "0.9, "
          "\"flops_ratio\": 0.5, \"ms\": 1, \"keep\": [0.5, 0.4, 0.3]}]}",
          out);
    fclose(out);
}

static server *make_server(void) {
    static const char *const architectures[] = {"BertModel", "BertForSequenceClassification",
                                                "BertForTokenClassification", "BertForQuestionAnswering",
                                                "BertForMaskedLM"};
    enum { COUNT = sizeof architectures / sizeof *architectures };
    static server self;
    char root[] = "/tmp/rubato-fuzz-XXXXXX", command[600];
    if (!mkdtemp(root)) abort();
    self.options = (serve_options){.max_queue = 64,
                                   .max_client_batch = 4,
                                   .max_batch_tokens = 512,
                                   .max_body = 1 << 20,
                                   .threads = 1,
                                   .isa = "scalar"};
    pthread_mutex_init(&self.models_lock, NULL);
    queue_create(&self.queue);
    metrics_create(&self.metrics);
    if (dispatcher_create(&self, NULL) != RUBATO_OK) abort();
    self.queue.closed = true; /* the dispatcher ends when the queue is empty */
    for (size_t i = 0; i < COUNT; i++) {
        char folder[600];
        snprintf(folder, sizeof folder, "%s/%zu", root, i);
        make_folder(folder, architectures[i]);
        if (i == 1) give_points(folder);
        rubato_error error;
        if (hosted_load(&self.models[i], folder, &self.options, false, NULL, &error) != RUBATO_OK) {
            fprintf(stderr, "%s\n", error.message);
            abort();
        }
        self.model_count++;
    }
    snprintf(command, sizeof command, "rm -r %s", root);
    if (system(command) != 0) abort(); /* the models are mapped, so the folder may go */
    return &self;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const budgets[] = {NULL, "full", "0.6x", "@half", "2ms", "x"};
    static server *owner;
    const route *posts[64];
    size_t count = 0;
    if (!owner) owner = make_server();
    if (size < 2) return 0;
    for (const route *one = routes; one->path; one++)
        if (one->is_json) posts[count++] = one;
    const route *which = posts[data[0] % count];
    exchange *e = exchange_create(owner, "POST", which->path);
    if (!e) return 0;
    e->route = which;
    e->dialect = which->dialect;
    e->budget = budgets[data[1] % (sizeof budgets / sizeof *budgets)];
    text_add(&e->body, (const char *)data + 2, size - 2);
    exchange_read(e);
    dispatcher_run(owner);
    exchange_write(e);
    if (!e->ready || e->status < 200 || e->status > 504) abort();
    if (owner->queue.count || atomic_load(&owner->accepted)) abort();
    /* an answer of type JSON must be JSON */
    if (strcmp(e->type, "application/json") == 0 && e->answer.length) {
        json_t *value;
        if (json_read_bytes(&value, e->answer.data, e->answer.length, "answer", NULL) != RUBATO_OK) abort();
        json_decref(value);
    }
    exchange_destroy(e);
    return 0;
}
