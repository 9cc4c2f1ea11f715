/* What a rubato_input says: texts that are NULL, slices with and without bytes. */
#include <cmocka_compat.h>
#include <stdlib.h>
#include <string.h>

#include "task/load.h"

typedef struct fixture {
    rubato_model *model;
    rubato_context *context;
    rubato_error error;
} fixture;

static void open_fixture(fixture *f, const char *name, const learning *learn) {
    char path[256];
    snprintf(path, sizeof path, GOLDEN "/%s", name);
    *f = (fixture){0};
    if (model_load(&f->model, path, NULL, learn, &f->error) != RUBATO_OK) fail_msg("%s", f->error.message);
    if (rubato_context_create(&f->context, f->model, NULL, &f->error) != RUBATO_OK) fail_msg("%s", f->error.message);
}

static void close_fixture(fixture *f) {
    rubato_context_destroy(f->context);
    rubato_model_destroy(f->model);
}

static void check_refused(fixture *f, rubato_status status, size_t line) {
    assert_int_equal(status, RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(f->error.message, "NULL"));
    assert_int_equal(f->error.line, line);
    f->error = (rubato_error){0};
}

/* The third of three is NULL. */
static const rubato_input inputs[] = {{.text = "a"}, {.text = "b"}, {.text = NULL}};
static const rubato_input pairs[] = {{.text = "a", .pair = "b"}, {.text = "b", .pair = "a"}, {.pair = "c"}};

static void test_embedding(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "bert", NULL);
    rubato_error *e = &f.error;
    float *out = calloc(3 * f.model->info.width, sizeof *out), *states;
    size_t length;
    rubato_encoding *encoding;
    rubato_trace *trace;
    rubato_options options = {.size = sizeof options, .prompt = "a "};
    check_refused(&f, rubato_embed(f.context, out, inputs, 3, NULL, NULL, e), 3);
    check_refused(&f, rubato_embed(f.context, out, inputs, 3, &options, NULL, e), 3);
    check_refused(&f, rubato_embed(f.context, out, NULL, 3, NULL, NULL, e), 0);
    assert_int_equal(rubato_embed(f.context, out, NULL, 0, NULL, NULL, e), RUBATO_OK);
    check_refused(&f, rubato_rerank(f.context, out, "a", inputs, 3, NULL, NULL, e), 3);
    check_refused(&f, rubato_rerank(f.context, out, NULL, inputs, 2, NULL, NULL, e), 0);
    check_refused(&f, rubato_encode(f.model, &inputs[2], NULL, &encoding, e), 1);
    assert_null(encoding);
    check_refused(&f, rubato_encode_for(f.model, RUBATO_FOR_EMBEDDINGS, &inputs[2], NULL, &encoding, e), 1);
    check_refused(&f, rubato_hidden_states(f.context, &states, &length, &inputs[2], NULL, e), 1);
    check_refused(&f, rubato_trace_text(f.context, &inputs[2], NULL, &trace, e), 1);
    char *filled;
    check_refused(&f, rubato_fill_text(f.model, &inputs[2], 0, 5, &filled, e), 1);
    /* an encoding does not stand in for the text */
    assert_int_equal(rubato_encode(f.model, &inputs[0], NULL, &encoding, e), RUBATO_OK);
    rubato_input known = {.encoding = encoding};
    check_refused(&f, rubato_embed(f.context, out, &known, 1, NULL, NULL, e), 1);
    rubato_encoding_destroy(encoding);
    free(out);
    close_fixture(&f);
}

static void test_heads(void **state) {
    (void)state;
    static const char *const labels[] = {"entailment", "neutral", "contradiction"};
    const learning classes = {.task = RUBATO_TASK_CLASSIFICATION, .labels = labels, .label_count = 3};
    fixture f;
    float out[16];
    open_fixture(&f, "bert", &classes);
    check_refused(&f, rubato_classify(f.context, out, inputs, 3, NULL, NULL, &f.error), 3);
    check_refused(&f, rubato_logits(f.context, out, inputs, 3, NULL, NULL, &f.error), 3);
    check_refused(&f, rubato_zero_shot(f.context, out, inputs, 3, labels, 2, NULL, NULL, &f.error), 3);
    check_refused(&f, rubato_zero_shot(f.context, out, inputs, 2, NULL, 2, NULL, NULL, &f.error), 0);
    close_fixture(&f);
    const learning tokens = {.task = RUBATO_TASK_TAGGING, .labels = labels, .label_count = 3};
    rubato_tags *tags;
    open_fixture(&f, "bert", &tokens);
    check_refused(&f, rubato_tag(f.context, &tags, inputs, 3, NULL, NULL, &f.error), 3);
    close_fixture(&f);
    const learning answers = {.task = RUBATO_TASK_QA};
    rubato_answer_span spans[3];
    open_fixture(&f, "bert", &answers);
    check_refused(&f, rubato_answer(f.context, spans, pairs, 3, NULL, NULL, &f.error), 3);
    close_fixture(&f);
}

static void check_same(const fixture *f, rubato_input a, rubato_input b) {
    rubato_encoding *x, *y;
    rubato_error error;
    if (rubato_encode(f->model, &a, NULL, &x, &error) != RUBATO_OK) fail_msg("%s", error.message);
    if (rubato_encode(f->model, &b, NULL, &y, &error) != RUBATO_OK) fail_msg("%s", error.message);
    assert_int_equal(x->windows[0].length, y->windows[0].length);
    assert_memory_equal(x->windows[0].ids, y->windows[0].ids, x->windows[0].length * sizeof(int32_t));
    rubato_encoding_destroy(x);
    rubato_encoding_destroy(y);
}

static void test_slices(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "bert", NULL);
    check_same(&f, (rubato_input){.text = "a b"}, (rubato_input){.text = "a b", .text_bytes = 3});
    check_same(&f, (rubato_input){.text = "a b", .text_bytes = 1}, (rubato_input){.text = "a"});
    check_same(&f, (rubato_input){.text = "a b", .text_bytes = RUBATO_EMPTY}, (rubato_input){.text = ""});
    check_same(&f, (rubato_input){.text = "a", .pair = "b c", .pair_bytes = RUBATO_EMPTY},
               (rubato_input){.text = "a", .pair = ""});
    check_same(&f, (rubato_input){.text = "a", .pair = "b c", .pair_bytes = 1},
               (rubato_input){.text = "a", .pair = "b"});
    /* a slice at the end of a block, behind which no byte may be read */
    char *block = malloc(4);
    memcpy(block, "a b!", 4);
    check_same(&f, (rubato_input){.text = block + 4, .text_bytes = RUBATO_EMPTY}, (rubato_input){.text = ""});
    check_same(&f, (rubato_input){.text = block, .text_bytes = 4}, (rubato_input){.text = "a b!"});
    rubato_input inner = {.text = block + 4, .text_bytes = RUBATO_EMPTY};
    rubato_options options = {.size = sizeof options, .prompt = "a "};
    float *vectors[2];
    for (int i = 0; i < 2; i++) {
        vectors[i] = malloc(f.model->info.width * sizeof(float));
        if (i) inner = (rubato_input){.text = ""};
        assert_int_equal(rubato_embed(f.context, vectors[i], &inner, 1, &options, NULL, NULL), RUBATO_OK);
    }
    assert_memory_equal(vectors[0], vectors[1], f.model->info.width * sizeof(float));
    free(vectors[0]);
    free(vectors[1]);
    free(block);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_embedding), cmocka_unit_test(test_heads),
                                       cmocka_unit_test(test_slices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
