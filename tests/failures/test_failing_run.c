/* Every allocation of what a context runs fails once: encodings, each task, evaluation. */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failures/failing.h"
#include "task/calibration.h"

enum { TEXTS = 9, MOST_VALUES = 1024 };

typedef struct fixture fixture;
typedef rubato_status running(const fixture *f, rubato_context *context, digest *out, rubato_error *error);

struct fixture {
    const char *folder;
    rubato_model *model;
    const rubato_info *info;
    running *run;
    rubato_context_options options;
    rubato_options how;
    const char *data, *task;
    uint64_t expected;
};

static char texts[TEXTS][64];

static void make_texts(rubato_input *inputs, bool pairs) {
    for (size_t i = 0; i < TEXTS; i++) {
        size_t at = 0;
        for (size_t w = 0; w < 1 + 3 * i; w++)
            at += (size_t)snprintf(texts[i] + at, sizeof texts[i] - at, "%c ", (int)('a' + (i * w) % 26));
        inputs[i] = (rubato_input){.text = texts[i]};
    }
    for (size_t i = 0; pairs && i < TEXTS; i++) inputs[i].pair = texts[TEXTS - 1 - i];
}

/* ---- Without a context ---- */

static void digest_encoding(digest *out, const rubato_encoding *encoding) {
    digest_add(out, &encoding->tokens, sizeof encoding->tokens);
    for (size_t i = 0; i < encoding->count; i++) {
        const rubato_window *window = &encoding->windows[i];
        digest_add(out, window->ids, window->length * sizeof *window->ids);
        digest_add(out, window->offsets, window->length * sizeof *window->offsets);
        for (size_t j = 0; window->surfaces && j < window->length; j++) digest_text(out, window->surfaces[j]);
    }
}

static rubato_status run_encode(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_input input = {.text = "ab Zürich [MASK] \xef\xac\x81 c d e f g h i j k l m n", .pair = "o pq"};
    rubato_encoding *encoding;
    (void)context;
    const rubato_text_options whole = {.size = sizeof whole, .max_length = 12, .windows = 1, .stride = 2};
    TRY(rubato_encode(f->model, &input, &whole, &encoding, error));
    digest_encoding(out, encoding);
    rubato_encoding_destroy(encoding);
    const rubato_options options = {.size = sizeof options, .prompt = "query: "};
    TRY(rubato_encode_for(f->model, RUBATO_FOR_EMBEDDINGS, &input, &options, &encoding, error));
    digest_encoding(out, encoding);
    char *text;
    rubato_status status =
        rubato_decode(f->model, encoding->windows[0].ids, encoding->windows[0].length, 1, &text, error);
    rubato_encoding_destroy(encoding);
    TRY(status);
    digest_text(out, text);
    rubato_free(text);
    const rubato_input masked = {.text = "a [MASK] b [MASK]"};
    TRY(rubato_fill_text(f->model, &masked, 1, 7, &text, error));
    digest_text(out, text);
    rubato_free(text);
    return RUBATO_OK;
}

static rubato_status run_tokens(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_input input = {.text = "Hello, world! ab Z\xc3\xbcrich \xef\xac\x81 <mask> 123 c d e f g"};
    rubato_encoding *encoding;
    rubato_model *model;
    (void)context;
    TRY(rubato_model_describe(&model, f->folder, error));
    const rubato_text_options whole = {.size = sizeof whole, .whole = 1};
    rubato_status status = rubato_encode(model, &input, &whole, &encoding, error);
    if (status == RUBATO_OK) {
        digest_encoding(out, encoding);
        rubato_encoding_destroy(encoding);
    }
    rubato_model_destroy(model);
    return status;
}

/* ---- Tasks ---- */

static void digest_costs(digest *out, rubato_costs *costs, size_t layers) {
    for (size_t i = 0; i < TEXTS; i++) {
        const rubato_cost *cost = rubato_costs_at(costs, i);
        digest_text(out, cost->point);
        digest_add(out, &cost->flops, sizeof cost->flops);
        digest_add(out, &cost->layers, sizeof cost->layers);
        digest_add(out, cost->rows, layers * sizeof *cost->rows);
        digest_add(out, &cost->tokens, sizeof cost->tokens);
    }
    rubato_free(costs);
}

static rubato_status run_embed(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_input inputs[TEXTS];
    rubato_costs *costs;
    float vectors[MOST_VALUES];
    make_texts(inputs, false);
    TRY(rubato_embed(context, vectors, inputs, TEXTS, &f->how, &costs, error));
    digest_add(out, vectors, TEXTS * f->info->width * sizeof *vectors);
    digest_costs(out, costs, f->info->layers);
    return RUBATO_OK;
}

static rubato_status run_classify(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_input inputs[TEXTS];
    rubato_costs *costs;
    float scores[MOST_VALUES];
    make_texts(inputs, false);
    TRY(rubato_classify(context, scores, inputs, TEXTS, &f->how, &costs, error));
    digest_add(out, scores, TEXTS * f->info->label_count * sizeof *scores);
    digest_costs(out, costs, f->info->layers);
    return RUBATO_OK;
}

static rubato_status run_tag(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_input inputs[TEXTS];
    rubato_costs *costs;
    rubato_tags *tags;
    make_texts(inputs, false);
    TRY(rubato_tag(context, &tags, inputs, TEXTS, &f->how, &costs, error));
    for (size_t i = 0; i < TEXTS; i++) {
        for (size_t j = 0; j < tags[i].entity_count; j++) {
            digest_text(out, tags[i].entities[j].label);
            digest_add(out, &tags[i].entities[j].score, sizeof tags[i].entities[j].score);
        }
        for (size_t j = 0; j < tags[i].token_count; j++)
            digest_add(out, &tags[i].tokens[j].score, sizeof tags[i].tokens[j].score);
    }
    rubato_tags_destroy(tags);
    digest_costs(out, costs, f->info->layers);
    return RUBATO_OK;
}

static rubato_status run_answer(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_input inputs[TEXTS];
    rubato_answer_span spans[TEXTS];
    make_texts(inputs, true);
    for (size_t i = 0; i < TEXTS; i++) inputs[i].text = "a b";
    TRY(rubato_answer(context, spans, inputs, TEXTS, &f->how, NULL, error));
    for (size_t i = 0; i < TEXTS; i++) {
        digest_add(out, &spans[i].start, sizeof spans[i].start);
        digest_add(out, &spans[i].score, sizeof spans[i].score);
    }
    return RUBATO_OK;
}

static rubato_status run_rerank(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_input inputs[TEXTS];
    float scores[TEXTS];
    make_texts(inputs, false);
    TRY(rubato_rerank(context, scores, "c d", inputs, TEXTS, &f->how, NULL, error));
    digest_add(out, scores, sizeof scores);
    return RUBATO_OK;
}

static rubato_status run_fill(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_input input = {.text = "a [MASK] b [MASK] c"};
    rubato_candidate *candidates;
    size_t masks;
    TRY(rubato_fill(context, &candidates, &masks, &input, 3, &f->how, NULL, error));
    digest_add(out, candidates, masks * 3 * sizeof *candidates);
    rubato_free(candidates);
    return RUBATO_OK;
}

static rubato_status run_states(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_input input = {.text = "a b c d e"};
    float *states;
    size_t length;
    TRY(rubato_hidden_states(context, &states, &length, &input, &f->how, error));
    digest_add(out, states, (f->info->layers + 1) * length * f->info->hidden * sizeof *states);
    rubato_free(states);
    return RUBATO_OK;
}

static rubato_status run_token_logits(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_input input = {.text = "a b c d e"};
    float *scores;
    size_t length, columns;
    TRY(rubato_token_logits(context, &scores, &length, &columns, &input, &f->how, error));
    digest_add(out, scores, length * columns * sizeof *scores);
    rubato_free(scores);
    return RUBATO_OK;
}

static rubato_status run_trace(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_input input = {.text = "a b c d e f g h"};
    rubato_trace *trace;
    TRY(rubato_trace_text(context, &input, &f->how, &trace, error));
    digest_text(out, trace->point);
    digest_add(out, trace->alive, trace->layers * trace->window->length);
    digest_add(out, &trace->left_after, sizeof trace->left_after);
    rubato_trace_destroy(trace);
    return RUBATO_OK;
}

static rubato_status run_evaluate(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_eval_options options = {
        .task = f->task, .data = f->data, .run = &f->how, .seed = 5, .size = sizeof options};
    rubato_evaluation *made;
    TRY(rubato_evaluate(context, &options, &made, error));
    for (size_t i = 0; i < made->metric_count; i++) {
        digest_text(out, made->metrics[i].name);
        digest_add(out, &made->metrics[i].value, sizeof made->metrics[i].value);
    }
    digest_add(out, &made->flops_ratio_p95, sizeof made->flops_ratio_p95);
    digest_add(out, made->rows, made->layers * sizeof *made->rows);
    rubato_free(made);
    return RUBATO_OK;
}

/* ---- Measuring: times are never the same ---- */

static rubato_status run_bench(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_bench_row *row;
    TRY(rubato_bench_at(context, f->how.budget, 2, 8, &row, error));
    digest_text(out, row->point);
    rubato_free(row);
    return RUBATO_OK;
}

static int stop(void *user, size_t done, size_t total) {
    (void)user, (void)total;
    return done > 1;
}

/* The first measurements: all of them take a second. */
static rubato_status run_calibrate(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    const rubato_calibrate_options options = {.size = sizeof options, .progress = stop};
    (void)f, (void)out;
    rubato_status status = rubato_calibrate(context, &options, NULL, error);
    return status == RUBATO_CANCELLED ? RUBATO_OK : status;
}

/* Read, written again, and given to the context. */
static rubato_status run_calibration(const fixture *f, rubato_context *context, digest *out, rubato_error *error) {
    rubato_calibration *made;
    (void)f;
    TRY(rubato_calibration_load(context, &made, error));
    rubato_status status = calibration_write(made, error);
    if (status == RUBATO_OK) status = rubato_context_set_calibration(context, made, error);
    rubato_calibration_destroy(made);
    TRY(status);
    size_t index;
    TRY(rubato_choose_point(context, "1000ms", 8, &index, error));
    digest_add(out, &index, sizeof index);
    return rubato_context_set_calibration(context, NULL, error);
}

/* ---- All of them ---- */

/* A new context, in which the call is made; after a failure it is made once more in the same context. */
static rubato_status in_context(void *user, digest *out, rubato_error *error) {
    fixture *f = user;
    rubato_context *context = NULL;
    rubato_status status = rubato_context_create(&context, f->model, &f->options, error);
    if (status != RUBATO_OK) {
        assert_null(context);
        return status;
    }
    status = f->run(f, context, out, error);
    if (status != RUBATO_OK && f->expected) {
        digest again = {0};
        rubato_status then = f->run(f, context, &again, NULL);
        if (then != RUBATO_OK || again.value != f->expected)
            status =
                fail(error, RUBATO_BAD_ARGUMENT, "the context then gives %s", then ? "an error" : "something else");
    }
    rubato_context_destroy(context);
    return status;
}

static void open_model(fixture *f) {
    rubato_error error;
    if (rubato_model_load(&f->model, f->folder, &error) != RUBATO_OK) fail_msg("%s", error.message);
    f->info = rubato_model_info(f->model);
    f->options.size = sizeof f->options;
    f->how.size = sizeof f->how;
    if (!f->options.threads) f->options.threads = 1;
}

static void fail_running(fixture *f, running *function, const char *name) {
    digest whole = {0};
    rubato_error error;
    f->run = function;
    f->expected = 0;
    if (in_context(f, &whole, &error) != RUBATO_OK) fail_msg("%s: %s", name, error.message);
    f->expected = whole.value;
    fail_allocations(&(attempt){.name = name, .call = in_context, .user = f, .exhaustive = 300});
}

static void test_encode(void **state) {
    (void)state;
    static const char *const folders[] = {GOLDEN "/bert", GOLDEN "/xlm-roberta", GOLDEN "/roberta", GOLDEN "/albert"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        fixture f = {.folder = folders[i]};
        open_model(&f);
        fail_running(&f, run_encode, "encode, decode, fill_text");
        rubato_model_destroy(f.model);
    }
}

/* Tokenizers of other kinds than the golden checkpoints'. */
static void test_tokenizers(void **state) {
    static const char *const names[] = {"bpe", "unigram", "wordpiece"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *folder = failing_folder();
        char path[256];
        make_model(folder, "bert", "BertModel", 0);
        snprintf(path, sizeof path, "%s/tokenizer.json", folder);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(i == 0   ? GOLDEN "/../../fuzz/corpus/tokenizer/bpe"
                                 : i == 1 ? GOLDEN "/../../fuzz/corpus/tokenizer/unigram"
                                          : GOLDEN "/../../fuzz/corpus/tokenizer/wordpiece",
                                 path),
                         0);
        fixture f = {.folder = folder};
        open_model(&f);
        fail_running(&f, run_tokens, names[i]);
        rubato_model_destroy(f.model);
    }
}

static void test_embed(void **state) {
    (void)state;
    static const char *const folders[] = {GOLDEN "/bert", GOLDEN "/mpnet", GOLDEN "/funnel"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        fixture f = {.folder = folders[i], .how = {.prompt = "query: "}};
        open_model(&f);
        fail_running(&f, run_embed, "embed");
        fail_running(&f, run_states, "hidden_states");
        fail_running(&f, run_trace, "trace_text");
        if (i == 0) fail_running(&f, run_rerank, "rerank by cosine");
        f.options = (rubato_context_options){.size = sizeof f.options, .threads = 2, .batch_tokens = 16};
        fail_running(&f, run_embed, "embed, two threads");
        rubato_model_destroy(f.model);
    }
}

static const char points[] =
    "{\"significance\": \"received\", \"metric\": \"accuracy\", \"points\": [{\"name\": \"half\", \"quality\": "
    "0.9, \"flops_ratio\": 0.5, \"ms\": 1, \"keep\": [0.5, 0.4, 0.3]}, {\"name\": \"merged\", \"quality\": 0.8, "
    "\"flops_ratio\": 0.4, \"ms\": 1, \"keep\": [1, 1, 1], \"merge\": [2]}]}";

static void test_points(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    file_write(folder, "rubato.json", points);
    fixture f = {.folder = folder, .how = {.budget = "@half"}};
    open_model(&f);
    fail_running(&f, run_classify, "classify at a point");
    fail_running(&f, run_trace, "trace_text at a point");
    f.how.budget = "@merged";
    fail_running(&f, run_classify, "classify with merged rows");
    rubato_model_destroy(f.model);
}

/* The golden checkpoints have heads for three labels, so one for a number is trained. */
static void make_reranker(const char *folder, const char *data) {
    const rubato_train_options options = {.size = sizeof options,
                                          .model = GOLDEN "/bert",
                                          .task = "regression",
                                          .data = data,
                                          .out = folder,
                                          .epochs = 1,
                                          .threads = 1};
    rubato_train_result *result;
    rubato_error error;
    if (rubato_train(&options, &result, &error) != RUBATO_OK) fail_msg("%s", error.message);
    rubato_free(result);
}

static void test_measuring(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    file_write(folder, "rubato.json", points);
    setenv("XDG_CACHE_HOME", failing_folder(), 1);
    fixture f = {.folder = folder, .how = {.budget = "@half"}};
    open_model(&f);
    fail_running(&f, run_bench, "bench");
    fail_running(&f, run_calibrate, "calibrate");
    rubato_context *context;
    assert_int_equal(rubato_context_create(&context, f.model, &f.options, NULL), RUBATO_OK);
    assert_int_equal(rubato_calibrate(context, NULL, NULL, NULL), RUBATO_OK);
    rubato_context_destroy(context);
    fail_running(&f, run_calibration, "calibration_load, set_calibration");
    rubato_model_destroy(f.model);
}

static void test_heads(void **state) {
    static const struct {
        const char *name, *architecture, *task, *data;
        running *run;
        size_t labels;
    } heads[] = {
        {"classify", "BertForSequenceClassification", "classification", "text\tlabel\na b\tO\nc d e\tB-1\nf\tB-1\n",
         run_classify, 3},
        {"rerank", "BertForSequenceClassification", "regression",
         "text\tpair\tlabel\na\tb\t0.5\nc d\te\t0.1\nf\tg\t1\n", run_rerank, 1},
        {"tag", "BertForTokenClassification", "tagging", "a O\nb B-1\nc O\n\nd B-1\n", run_tag, 3},
        {"answer", "BertForQuestionAnswering", "qa",
         "{\"data\": [{\"paragraphs\": [{\"context\": \"a b c d\", \"qas\": [{\"question\": \"e f\", \"id\": \"1\", "
         "\"answers\": [{\"text\": \"b c\", \"answer_start\": 2}]}]}]}]}",
         run_answer, 0},
        {"fill", "BertForMaskedLM", "mlm", "text\na b c d e f\ng h i j k l m n o\n", run_fill, 0}};
    static const char *const files[] = {"data.tsv", "data.tsv", "data.conll", "data.json", "data.tsv"};
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char path[256], name[64];
        const char *folder = failing_folder();
        file_write(folder, files[i], heads[i].data);
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        if (heads[i].labels == 1)
            make_reranker(folder, path);
        else
            make_model(folder, "bert", heads[i].architecture, heads[i].labels);
        fixture f = {.folder = folder, .data = path, .task = heads[i].task};
        open_model(&f);
        fail_running(&f, heads[i].run, heads[i].name);
        if (i >= 2) fail_running(&f, run_token_logits, "token_logits");
        snprintf(name, sizeof name, "evaluate %s", f.task);
        fail_running(&f, run_evaluate, name);
        rubato_model_destroy(f.model);
    }
}

static void test_sets(void **state) {
    (void)state;
    char path[256], inner[256];
    const char *folder = failing_folder();
    file_write(folder, "pairs.csv", "text,pair,label\na b,c,1\nd,\"e, f\",3\ng,g h,5\n");
    file_write(folder, "pairs.jsonl",
               "{\"text\": \"a b\", \"pair\": \"c\", \"label\": 1}\n{\"text\": \"d\", \"pair\": "
               "\"e\", \"label\": 2}\n");
    file_write(folder, "corpus.jsonl",
               "{\"_id\": \"1\", \"title\": \"a\", \"text\": \"b c\"}\n"
               "{\"_id\": \"2\", \"text\": \"d e\"}\n");
    file_write(folder, "queries.jsonl", "{\"_id\": \"q\", \"text\": \"b\"}\n");
    snprintf(inner, sizeof inner, "%s/qrels", folder);
    assert_int_equal(folder_create(inner, NULL), RUBATO_OK);
    file_write(inner, "test.tsv", "query-id\tcorpus-id\tscore\nq\t1\t1\n");
    fixture f = {.folder = GOLDEN "/bert", .task = "sts", .data = path};
    open_model(&f);
    snprintf(path, sizeof path, "%s/pairs.csv", folder);
    fail_running(&f, run_evaluate, "evaluate sts, csv");
    snprintf(path, sizeof path, "%s/pairs.jsonl", folder);
    fail_running(&f, run_evaluate, "evaluate sts, jsonl");
    f.task = "retrieval";
    f.data = folder;
    fail_running(&f, run_evaluate, "evaluate retrieval");
    rubato_model_destroy(f.model);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_encode),   cmocka_unit_test(test_embed),
                                       cmocka_unit_test(test_points),   cmocka_unit_test(test_heads),
                                       cmocka_unit_test(test_sets),     cmocka_unit_test(test_tokenizers),
                                       cmocka_unit_test(test_measuring)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
