/* Every allocation of the server's life of a request fails once, without a socket: reading, queue, running, answer. The
 * request is answered with 503, or as it is otherwise; nothing stays in the queue, and the next one is served. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "failures/failing.h"
#include "serve/server.h"

enum { MODELS = 5 };

static server *make_server(void) {
    static const char *const architectures[MODELS] = {"BertModel", "BertForSequenceClassification",
                                                      "BertForTokenClassification", "BertForQuestionAnswering",
                                                      "BertForMaskedLM"};
    static server self;
    self.options = (serve_options){.max_queue = 64,
                                   .max_client_batch = 8,
                                   .max_batch_tokens = 512,
                                   .max_body = 1 << 20,
                                   .threads = 1,
                                   .isa = "scalar"};
    pthread_mutex_init(&self.models_lock, NULL);
    queue_create(&self.queue);
    metrics_create(&self.metrics);
    assert_int_equal(dispatcher_create(&self, NULL), RUBATO_OK);
    self.queue.closed = true; /* the dispatcher ends when the queue is empty */
    for (size_t i = 0; i < MODELS; i++) {
        const char *folder = failing_folder();
        rubato_error error;
        make_model(folder, "bert", architectures[i], i == 1 || i == 2 ? 3 : 0);
        if (i == 1) name_inference_labels(folder);
        if (hosted_load(&self.models[i], folder, &self.options, false, NULL, &error) != RUBATO_OK)
            fail_msg("%s", error.message);
        self.model_count++;
    }
    return &self;
}

typedef struct request {
    server *owner;
    const route *route;
    const char *body;
} request;

static rubato_status serve_once(void *user, digest *out, rubato_error *error) {
    const request *r = user;
    server *owner = r->owner;
    exchange *e = exchange_create(owner, "POST", r->route->path);
    if (!e) return fail_memory(error);
    e->route = r->route;
    e->dialect = r->route->dialect;
    text_add(&e->body, r->body, strlen(r->body));
    if (e->body.failed) { /* http.c ends the connection then */
        exchange_destroy(e);
        return fail_memory(error);
    }
    exchange_read(e);
    dispatcher_run(owner);
    exchange_write(e);
    assert_true(e->ready);
    assert_int_equal(owner->queue.count, 0);
    assert_int_equal(atomic_load(&owner->accepted), 0);
    rubato_status status = e->status == 503 ? fail_memory(error) : RUBATO_OK;
    digest_add(out, &e->status, sizeof e->status);
    if (e->status == 200) digest_add(out, e->answer.data, e->answer.length);
    exchange_destroy(e);
    return status;
}

static void test_requests(void **state) {
    static const struct {
        const char *path, *body;
    } requests[] = {
        {"/embed", "{\"inputs\": [\"a\", \"b c\", [2, 5, 3]], \"truncate\": true}"},
        {"/embed_all", "{\"inputs\": [\"a\", \"b\"]}"},
        {"/similarity", "{\"inputs\": {\"source_sentence\": \"a\", \"sentences\": [\"b\", \"c\"]}}"},
        {"/predict", "{\"inputs\": [[\"a\", \"b\"], [\"c\"]], \"raw_scores\": true}"},
        {"/rerank", "{\"query\": \"a\", \"texts\": [\"b\", \"c\"], \"return_text\": true}"},
        {"/tokenize", "{\"inputs\": [\"h\\u00e9\", \"b\"], \"add_special_tokens\": false}"},
        {"/decode", "{\"ids\": [[5, 6], [7]]}"},
        {"/v1/embeddings", "{\"input\": [\"a\"], \"encoding_format\": \"base64\", \"dimensions\": 3}"},
        {"/v1/embeddings", "{\"input\": [\"a\", \"b\"]}"},
        {"/v1/rerank", "{\"query\": \"a\", \"documents\": [\"b\"], \"return_documents\": true}"},
        {"/tag", "{\"inputs\": \"a long text of words that is windowed because it is long\"}"},
        {"/tag", "{\"inputs\": \"a b\", \"parameters\": {\"aggregation_strategy\": \"none\"}}"},
        {"/tag", "{\"inputs\": \"a b-c\", \"parameters\": {\"aggregation_strategy\": \"first\", \"ignore_labels\": "
                 "[\"O\", \"X\"]}}"},
        {"/answer", "{\"inputs\": {\"question\": \"a\", \"context\": \"b c d e f g\"}}"},
        {"/fill", "{\"inputs\": \"a [MASK] b [MASK]\", \"parameters\": {\"top_k\": 2}}"},
        {"/fill", "{\"inputs\": \"a [MASK]\", \"parameters\": {\"targets\": [\"b\", \"bcd\"]}}"},
        {"/zero-shot", "{\"inputs\": [\"a\", \"b\"], \"parameters\": {\"candidate_labels\": \"c, d\"}}"},
        {"/predict", "{\"inputs\": \"a\", \"parameters\": {\"candidate_labels\": [\"c\"]}}"},
        {"/v1/trace", "{\"inputs\": \"hello\"}"},
        {"/embed", "{\"inputs\": 1.5}"},
        {"/embed", "{\"inputs\": "},
    };
    (void)state;
    server *owner = make_server();
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        request r = {.owner = owner, .body = requests[i].body};
        for (const route *one = routes; one->path; one++)
            if (one->is_json && strcmp(one->path, requests[i].path) == 0) r.route = one;
        if (!r.route) fail_msg("%s: no such route", requests[i].path);
        fail_allocations(&(attempt){.name = requests[i].path, .call = serve_once, .user = &r, .exhaustive = 300});
    }
    for (size_t i = 0; i < MODELS; i++) hosted_release(owner->models[i]);
    dispatcher_destroy(owner);
}

typedef struct hosting {
    const char *folder;
    serve_options options;
} hosting;

static rubato_status host_once(void *user, digest *out, rubato_error *error) {
    const hosting *h = user;
    hosted *made;
    TRY(hosted_load(&made, h->folder, &h->options, false, NULL, error));
    digest_text(out, made->name);
    digest_add(out, &made->level_count, sizeof made->level_count);
    hosted_release(made);
    return RUBATO_OK;
}

static void test_hosting(void **state) {
    (void)state;
    hosting h = {GOLDEN "/bert", {.threads = 1, .isa = "scalar"}};
    fail_allocations(&(attempt){.name = "hosted_load", .call = host_once, .user = &h, .exhaustive = 10});
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_hosting)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
