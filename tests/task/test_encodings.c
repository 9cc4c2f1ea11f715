/* Encodings in place of texts: the same bits, from every running function; and what is refused. */
#include <cmocka_compat.h>
#include <stdlib.h>
#include <string.h>

#include "task/load.h"

enum { TEXTS = 40 };

static char texts[TEXTS][64];

typedef struct fixture {
    rubato_model *model;
    rubato_context *context;
    const rubato_info *info;
    rubato_input plain[TEXTS], encoded[TEXTS];
    rubato_encoding *encodings[TEXTS];
} fixture;

/* learn NULL: the checkpoint as it is, which has no head. */
static void open_fixture(fixture *f, const char *name, const learning *learn) {
    char path[256];
    rubato_error error;
    rubato_context_options options = {.size = sizeof options, .threads = 2, .batch_tokens = 64};
    *f = (fixture){0};
    snprintf(path, sizeof path, GOLDEN "/%s", name);
    if (model_load(&f->model, path, NULL, learn, &error) != RUBATO_OK) fail_msg("%s", error.message);
    if (rubato_context_create(&f->context, f->model, &options, &error) != RUBATO_OK) fail_msg("%s", error.message);
    f->info = rubato_model_info(f->model);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t at = 0;
        for (size_t w = 0; w < 1 + i % 20; w++)
            at += (size_t)snprintf(texts[i] + at, sizeof texts[i] - at, "%c ", (int)('a' + (i * w) % 26));
        f->plain[i] = f->encoded[i] = (rubato_input){.text = texts[i]};
    }
}

static void encode(fixture *f, rubato_purpose purpose, const rubato_options *options) {
    rubato_error error;
    for (size_t i = 0; i < TEXTS; i++) {
        rubato_encoding_destroy(f->encodings[i]);
        if (rubato_encode_for(f->model, purpose, &f->plain[i], options, &f->encodings[i], &error) != RUBATO_OK)
            fail_msg("%s", error.message);
        f->encoded[i] = f->plain[i];
        f->encoded[i].encoding = f->encodings[i];
    }
}

static void close_fixture(fixture *f) {
    for (size_t i = 0; i < TEXTS; i++) rubato_encoding_destroy(f->encodings[i]);
    rubato_context_destroy(f->context);
    rubato_model_destroy(f->model);
}

/* The texts of the encoded inputs are replaced by another one, so that nothing can be tokenised twice unnoticed. */
static void hide_texts(fixture *f) {
    for (size_t i = 0; i < TEXTS; i++) f->encoded[i].text = "zzz";
}

static void test_vectors(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "bert", NULL);
    rubato_text_options text = {.size = sizeof text, .max_length = 12};
    rubato_options options = {.size = sizeof options, .text = &text, .prompt = "b a "};
    float *a = malloc(TEXTS * f.info->width * sizeof *a), *b = malloc(TEXTS * f.info->width * sizeof *b);
    rubato_costs *costs[2];
    encode(&f, RUBATO_FOR_EMBEDDINGS, &options);
    hide_texts(&f);
    assert_int_equal(rubato_embed(f.context, a, f.plain, TEXTS, &options, &costs[0], NULL), RUBATO_OK);
    assert_int_equal(rubato_embed(f.context, b, f.encoded, TEXTS, &options, &costs[1], NULL), RUBATO_OK);
    assert_memory_equal(a, b, TEXTS * f.info->width * sizeof *a);
    size_t cut = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        const rubato_cost *x = rubato_costs_at(costs[0], i), *y = rubato_costs_at(costs[1], i);
        assert_int_equal(x->cut, y->cut);
        assert_int_equal(x->layers, f.info->layers);
        assert_memory_equal(x->rows, y->rows, x->layers * sizeof *x->rows);
        assert_int_equal(f.encodings[i]->tokens, x->tokens + x->cut);
        cut += x->cut;
    }
    assert_true(cut > 0); /* some are too long */
    rubato_free(costs[0]);
    rubato_free(costs[1]);
    float *states[2];
    size_t length[2];
    encode(&f, RUBATO_FOR_SCORES, NULL);
    hide_texts(&f);
    assert_int_equal(rubato_hidden_states(f.context, &states[0], &length[0], &f.plain[7], NULL, NULL), RUBATO_OK);
    assert_int_equal(rubato_hidden_states(f.context, &states[1], &length[1], &f.encoded[7], NULL, NULL), RUBATO_OK);
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(states[0], states[1], (f.info->layers + 1) * length[0] * f.info->hidden * sizeof(float));
    rubato_trace *trace;
    assert_int_equal(rubato_trace_text(f.context, &f.encoded[7], NULL, &trace, NULL), RUBATO_OK);
    assert_ptr_equal(trace->window, f.encodings[7]->windows);
    rubato_trace_destroy(trace);
    rubato_free(states[0]);
    rubato_free(states[1]);
    free(a);
    free(b);
    close_fixture(&f);
}

static void test_scores(void **state) {
    (void)state;
    fixture f;
    static const char *const labels[] = {"O", "B-X", "I-X"};
    learning learn = {.task = RUBATO_TASK_CLASSIFICATION, .labels = labels, .label_count = 3, .seed = 1};
    float a[TEXTS * 3], b[TEXTS * 3];
    open_fixture(&f, "bert", &learn);
    for (size_t i = 0; i < TEXTS; i++) f.plain[i].pair = texts[TEXTS - 1 - i];
    rubato_text_options text = {.size = sizeof text, .max_length = 16, .truncation = RUBATO_ONLY_SECOND, .cut_left = 1};
    rubato_options options = {.size = sizeof options, .text = &text};
    for (size_t i = 0; i < TEXTS; i++) f.plain[i].text = texts[i % 8]; /* leaves room for the second */
    encode(&f, RUBATO_FOR_SCORES, &options);
    hide_texts(&f);
    assert_int_equal(rubato_logits(f.context, a, f.plain, TEXTS, &options, NULL, NULL), RUBATO_OK);
    assert_int_equal(rubato_logits(f.context, b, f.encoded, TEXTS, &options, NULL, NULL), RUBATO_OK);
    assert_memory_equal(a, b, sizeof a);
    close_fixture(&f);

    learn.task = RUBATO_TASK_TAGGING;
    text = (rubato_text_options){.size = sizeof text, .max_length = 10};
    rubato_tags *x, *y;
    open_fixture(&f, "bert", &learn);
    encode(&f, RUBATO_FOR_TAGS, &options);
    assert_int_equal(rubato_tag(f.context, &x, f.plain, TEXTS, &options, NULL, NULL), RUBATO_OK);
    assert_int_equal(rubato_tag(f.context, &y, f.encoded, TEXTS, &options, NULL, NULL), RUBATO_OK);
    for (size_t i = 0; i < TEXTS; i++) {
        assert_int_equal(x[i].token_count, y[i].token_count);
        for (size_t j = 0; j < x[i].token_count; j++) {
            assert_true(x[i].tokens[j].score == y[i].tokens[j].score);
            assert_int_equal(x[i].tokens[j].label, y[i].tokens[j].label);
        }
    }
    assert_true(f.encodings[19]->count > 1 && f.encodings[19]->tokens > 10);
    rubato_tags_destroy(x);
    rubato_tags_destroy(y);
    close_fixture(&f);

    learn = (learning){.task = RUBATO_TASK_QA, .seed = 1};
    text = (rubato_text_options){.size = sizeof text, .max_length = 19, .stride = 3};
    rubato_answer_span spans[2][TEXTS];
    open_fixture(&f, "bert", &learn);
    for (size_t i = 0; i < TEXTS; i++) {
        f.plain[i].text = texts[i % 8];
        f.plain[i].pair = texts[TEXTS - 1 - i];
    }
    encode(&f, RUBATO_FOR_ANSWERS, &options);
    hide_texts(&f);
    assert_int_equal(rubato_answer(f.context, spans[0], f.plain, TEXTS, &options, NULL, NULL), RUBATO_OK);
    assert_int_equal(rubato_answer(f.context, spans[1], f.encoded, TEXTS, &options, NULL, NULL), RUBATO_OK);
    assert_memory_equal(spans[0], spans[1], sizeof spans[0]);
    close_fixture(&f);
}

/* An encoding of another model, windows where one is taken, and one that is too long. */
static void test_refusals(void **state) {
    (void)state;
    fixture f, other;
    rubato_error error;
    open_fixture(&f, "bert", NULL);
    open_fixture(&other, "roberta", NULL);
    float *out = malloc(TEXTS * f.info->width * sizeof *out);
    encode(&other, RUBATO_FOR_EMBEDDINGS, NULL);
    assert_int_equal(rubato_embed(f.context, out, other.encoded, TEXTS, NULL, NULL, &error), RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "another model"));
    assert_int_equal(error.line, 1);
    rubato_text_options text = {.size = sizeof text, .max_length = 8, .stride = 2};
    rubato_options options = {.size = sizeof options, .text = &text};
    encode(&f, RUBATO_FOR_TAGS, &options);
    assert_int_equal(rubato_embed(f.context, out, f.encoded, TEXTS, NULL, NULL, &error), RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "windows"));
    assert_int_equal(
        f.encodings[error.line - 1]->count > 1 && (error.line < 2 || f.encodings[error.line - 2]->count == 1), 1);
    char *longer = malloc(4001);
    for (size_t i = 0; i < 4000; i++) longer[i] = i % 2 ? ' ' : 'a';
    longer[4000] = 0;
    f.plain[0].text = longer;
    text = (rubato_text_options){.size = sizeof text, .whole = 1};
    encode(&f, RUBATO_FOR_SCORES, &options);
    assert_int_equal(rubato_embed(f.context, out, f.encoded, 1, NULL, NULL, &error), RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "tokens; this model takes"));
    text = (rubato_text_options){.size = sizeof text, .max_length = 100000};
    rubato_encoding *none;
    assert_int_equal(rubato_encode_for(f.model, RUBATO_FOR_SCORES, &f.plain[1], &options, &none, &error),
                     RUBATO_BAD_ARGUMENT);
    assert_null(none);
    /* the context is as good as before */
    f.plain[0].text = texts[0];
    assert_int_equal(rubato_embed(f.context, out, f.plain, TEXTS, NULL, NULL, &error), RUBATO_OK);
    free(longer);
    free(out);
    close_fixture(&f);
    close_fixture(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_scores),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
