/* Long texts: passages that are read alone or pooled from one pass, and windows whose results are joined. */
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "task/load.h"

enum { TEXTS = 3 };

static const char *const texts[TEXTS] = {
    "a b c d e. f g h i? (j k \"l m.\") n o p q\n\nr s t u v w x y z! a b c d e f g h i j k l m n o p",
    "  \xc3\xa9 \xc3\xa9 b abcdefgh. b\xe3\x80\x82 c d e f  ",
    "   ",
};

typedef struct fixture {
    rubato_model *model;
    rubato_context *context;
    const rubato_info *info;
    rubato_input inputs[TEXTS];
    size_t width;
} fixture;

static rubato_context *new_context(const fixture *f, size_t threads) {
    const rubato_context_options options = {.size = sizeof options, .threads = threads, .batch_tokens = 64};
    rubato_context *context;
    assert_int_equal(rubato_context_create(&context, f->model, &options, NULL), RUBATO_OK);
    return context;
}

static fixture open_fixture(const learning *learn) {
    fixture f = {0};
    rubato_error error;
    if (model_load(&f.model, GOLDEN "/bert", NULL, learn, &error) != RUBATO_OK) fail_msg("%s", error.message);
    f.context = new_context(&f, 2);
    f.info = rubato_model_info(f.model);
    f.width = f.info->width;
    for (size_t i = 0; i < TEXTS; i++) f.inputs[i] = (rubato_input){.text = texts[i]};
    return f;
}

static void close_fixture(fixture *f) {
    rubato_context_destroy(f->context);
    rubato_model_destroy(f->model);
}

static rubato_passages *embed(const fixture *f, const rubato_options *how, size_t tokens, bool late,
                              rubato_costs **costs) {
    const rubato_passage_options options = {.size = sizeof options, .run = how, .tokens = tokens, .late = late};
    rubato_passages *out;
    rubato_error error = {0};
    if (rubato_embed_passages(f->context, &out, f->inputs, TEXTS, &options, costs, &error) != RUBATO_OK)
        fail_msg("%s", error.message);
    return out;
}

static size_t passage_tokens(const rubato_passages *of) {
    size_t sum = 0;
    for (size_t i = 0; i < of->count; i++) sum += of->items[i].tokens;
    return sum;
}

static void assert_near(const float *a, const float *b, size_t count, double within) {
    for (size_t i = 0; i < count; i++)
        if (fabs((double)a[i] - (double)b[i]) > within) fail_msg("%zu: %g, not %g", i, (double)a[i], (double)b[i]);
}

/* A passage's text. */
static rubato_input slice(const char *text, const rubato_passage *of) {
    const size_t first = utf8_byte_of(text, strlen(text), of->start);
    return (rubato_input){.text = text + first, .text_bytes = utf8_byte_of(text, strlen(text), of->end) - first};
}

static void check_ends(const rubato_passages *all, const char *text, const char *const *ends) {
    for (size_t i = 0; i < all->count; i++) {
        const rubato_input part = slice(text, &all->items[i]);
        if (part.text_bytes != strlen(ends[i]) || memcmp(part.text, ends[i], part.text_bytes) != 0)
            fail_msg("passage %zu is \"%.*s\"", i, (int)part.text_bytes, part.text);
    }
    assert_null(ends[all->count]);
}

/* Sentences end with their marks, with quotation marks and brackets behind them, and at empty lines; the words of one
 * that is too long stay whole, unless a word is too long itself. */
static void test_cuts(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    static const char *const sentences[] = {"a b c d e. f g h i?",
                                            "(j k \"l m.\") n o p q",
                                            "r s t u v w x y z!",
                                            "a b c d e f g h i j k l m",
                                            "n o p",
                                            NULL};
    static const char *const ideographic[] = {"\xc3\xa9 \xc3\xa9 b abcdefgh.", "b\xe3\x80\x82 c d e f", NULL};
    static const struct {
        const char *text;
        size_t most;
        const char *ends[6];
    } others[] = {
        /* titles end no sentence; nor do marks that a small letter follows, where there is a better place */
        {"Ab ab. Cd dd Dr. Ef gh", 12, {"Ab ab.", "Cd dd Dr. Ef gh", NULL}},
        {"Oh! sa em. Nh Mr. Hi", 8, {"Oh! sa em.", "Nh Mr. Hi", NULL}},
        {"oh! sa em. nh em", 7, {"oh!", "sa em.", "nh em", NULL}},
        /* a heading stays with what follows it */
        {"Ab cd.\n\n# Tt\n\nIi ee ff gh.", 8, {"Ab cd.", "# Tt\n\nIi ee", "ff gh.", NULL}},
        /* a mark stays with what it closes */
        {"a b c\xe3\x80\x82 D", 3, {"a b", "c\xe3\x80\x82 D", NULL}},
    };
    rubato_passages *all = embed(&f, NULL, 13, false, NULL);
    check_ends(&all[0], texts[0], sentences);
    check_ends(&all[1], texts[1], ideographic);
    assert_int_equal(all[2].count, 0);
    rubato_free(all);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        f.inputs[0].text = others[i].text;
        all = embed(&f, NULL, others[i].most, true, NULL);
        check_ends(&all[0], others[i].text, others[i].ends);
        rubato_free(all);
    }
    close_fixture(&f);
}

/* A passage that is read alone has the vector of its text. */
static void test_alone(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    const rubato_options how = {.size = sizeof how, .prompt = "b a: "};
    rubato_costs *costs, *one;
    rubato_passages *all = embed(&f, &how, 9, false, &costs);
    float *vector = calloc(f.width, sizeof *vector);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t tokens = 0;
        for (size_t j = 0; j < all[i].count; j++) {
            const rubato_input part = slice(texts[i], &all[i].items[j]);
            assert_int_equal(rubato_embed(f.context, vector, &part, 1, &how, &one, NULL), RUBATO_OK);
            assert_memory_equal(vector, all[i].items[j].vector, f.width * sizeof *vector);
            tokens += rubato_costs_at(one, 0)->tokens;
            rubato_free(one);
        }
        assert_int_equal(tokens, rubato_costs_at(costs, i)->tokens);
    }
    free(vector);
    rubato_free(costs);
    rubato_free(all);
    close_fixture(&f);
}

/* One passage of a whole text has its vector, to the bit. */
static void test_one_passage(void **state) {
    (void)state;
    static const char *const prompts[] = {"", "b a: "};
    fixture f = open_fixture(NULL);
    f.inputs[0].text = "a b. c d e f";
    f.inputs[1].text = "  \xc3\xa9 b ";
    for (size_t i = 0; i < 4; i++) {
        const rubato_options how = {.size = sizeof how, .prompt = prompts[i % 2]};
        float *whole = calloc(TEXTS * f.width, sizeof *whole);
        f.model->pool.skip_prompt = i / 2;
        rubato_passages *all = embed(&f, &how, 0, true, NULL);
        assert_int_equal(rubato_embed(f.context, whole, f.inputs, TEXTS, &how, NULL, NULL), RUBATO_OK);
        for (size_t j = 0; j < TEXTS - 1; j++) {
            assert_int_equal(all[j].count, 1);
            assert_memory_equal(all[j].items[0].vector, whole + j * f.width, f.width * sizeof *whole);
        }
        assert_int_equal(all[0].items[0].start, 0);
        assert_int_equal(all[0].items[0].end, strlen(f.inputs[0].text));
        assert_int_equal(all[1].items[0].start, 2);
        rubato_free(all);
        free(whole);
    }
    close_fixture(&f);
}

/* The mean of the last states of a passage's tokens, without special ones. */
static void mean_of_states(const fixture *f, size_t text, const rubato_passage *of, float *out) {
    rubato_encoding *encoding;
    float *states;
    size_t length, count = 0, hidden = f->info->hidden;
    assert_int_equal(rubato_encode(f->model, &f->inputs[text], NULL, &encoding, NULL), RUBATO_OK);
    assert_int_equal(rubato_hidden_states(f->context, &states, &length, &f->inputs[text], NULL, NULL), RUBATO_OK);
    const rubato_window *window = &encoding->windows[0];
    const float *last = states + f->info->layers * length * hidden;
    memset(out, 0, hidden * sizeof *out);
    for (size_t i = 0; i < length; i++) {
        if (window->sequences[i] != 0 || window->offsets[i][0] < of->start || window->offsets[i][1] > of->end) continue;
        for (size_t j = 0; j < hidden; j++) out[j] += last[i * hidden + j];
        count++;
    }
    assert_int_equal(count, of->tokens);
    for (size_t j = 0; j < hidden; j++) out[j] /= (float)count;
    rubato_encoding_destroy(encoding);
    rubato_free(states);
}

/* A passage in the middle is the mean of its tokens' states in the whole text. */
static void test_late(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    float *wanted = calloc(f.width, sizeof *wanted);
    f.inputs[0].text = "a b c. d e f g. h i j k l";
    rubato_passages *all = embed(&f, NULL, 5, true, NULL);
    assert_int_equal(all[0].count, 3);
    for (size_t i = 1; i + 1 < all[0].count; i++) {
        mean_of_states(&f, 0, &all[0].items[i], wanted);
        assert_near(all[0].items[i].vector, wanted, f.width, 1e-6);
    }
    rubato_free(all);
    free(wanted);
    close_fixture(&f);
}

/* In windows, every token counts once; the number of threads and the other texts change no bit. */
static void test_late_windows(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    const rubato_text_options text = {.size = sizeof text, .max_length = 12};
    const rubato_options how = {.size = sizeof how, .text = &text};
    rubato_costs *costs;
    rubato_passages *all = embed(&f, &how, 9, true, &costs), *whole = embed(&f, NULL, 9, true, NULL), *alone;
    assert_in_range(rubato_costs_at(costs, 0)->windows, 5, 20);
    assert_int_equal(rubato_costs_at(costs, 0)->cut, 0);
    for (size_t i = 0; i < TEXTS; i++) {
        assert_int_equal(all[i].count, whole[i].count);
        assert_int_equal(passage_tokens(&all[i]), passage_tokens(&whole[i]));
    }
    rubato_context *one = new_context(&f, 1);
    const rubato_passage_options options = {.size = sizeof options, .run = &how, .tokens = 9, .late = 1};
    for (size_t i = 0; i < TEXTS; i++) {
        assert_int_equal(rubato_embed_passages(one, &alone, &f.inputs[i], 1, &options, NULL, NULL), RUBATO_OK);
        assert_int_equal(alone[0].count, all[i].count);
        for (size_t j = 0; j < all[i].count; j++)
            assert_memory_equal(alone[0].items[j].vector, all[i].items[j].vector, f.width * sizeof(float));
        rubato_free(alone);
    }
    rubato_context_destroy(one);
    rubato_free(costs);
    rubato_free(all);
    rubato_free(whole);
    close_fixture(&f);
}

/* The places of a text that is prepared in lower case, where one character becomes two. */
static void test_lower_case(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    const rubato_options how = {.size = sizeof how, .prompt = " \xc4\xb0 A: "};
    f.model->sentence = f.model->lowercase = true;
    f.inputs[0].text = "\n\xc4\xb0 B. \xc4\xb0\xc4\xb0 C D. E";
    static const char *const ends[] = {"\xc4\xb0 B.", "\xc4\xb0\xc4\xb0 C", "D. E", NULL};
    rubato_passages *all = embed(&f, &how, 4, true, NULL);
    check_ends(&all[0], f.inputs[0].text, ends);
    rubato_free(all);
    close_fixture(&f);
}

static void test_refused(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    rubato_passages *out;
    rubato_error error = {0};
    const rubato_text_options text = {.size = sizeof text, .max_length = 2};
    const rubato_options how = {.size = sizeof how, .text = &text};
    rubato_passage_options options = {.size = sizeof options, .late = 1};
    f.model->pool.modes.list[0] = POOL_CLS;
    assert_int_equal(rubato_embed_passages(f.context, &out, f.inputs, TEXTS, &options, NULL, &error),
                     RUBATO_UNSUPPORTED);
    assert_null(out);
    assert_non_null(strstr(error.message, "late passages need pooling by mean or max"));
    options = (rubato_passage_options){.size = sizeof options, .run = &how};
    assert_int_equal(rubato_embed_passages(f.context, &out, f.inputs, TEXTS, &options, NULL, &error),
                     RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "leaves no room for a passage"));
    f.inputs[1].text = "\xff";
    for (size_t late = 0; late < 2; late++) {
        f.model->pool.modes.list[0] = POOL_MEAN;
        options = (rubato_passage_options){.size = sizeof options, .late = late};
        assert_int_equal(rubato_embed_passages(f.context, &out, f.inputs, TEXTS, &options, NULL, &error),
                         RUBATO_BAD_TEXT);
        assert_int_equal(error.line, 2);
    }
    close_fixture(&f);
}

/* ---- Windows ---- */

/* Texts of words that are a token each, so that windows can be cut by hand: 8 tokens, and 2 more. */
static const char long_text[] = "a b c d e f g h i j", *const halves[] = {"a b c d e f g h", "i j"};

static void test_windows_of_vectors(void **state) {
    (void)state;
    fixture f = open_fixture(NULL);
    const rubato_text_options text = {.size = sizeof text, .max_length = 10, .windows = 1};
    const rubato_options how = {.size = sizeof how, .text = &text};
    const rubato_input inputs[] = {{.text = long_text}, {.text = halves[0]}, {.text = halves[1]}};
    float *out = calloc(3 * f.width, sizeof *out), *wanted = calloc(f.width, sizeof *wanted);
    for (size_t normal = 0; normal < 2; normal++) {
        f.model->info.normalized = (int)normal;
        assert_int_equal(rubato_embed(f.context, out, inputs, 3, &how, NULL, NULL), RUBATO_OK);
        double square = 0;
        for (size_t j = 0; j < f.width; j++) {
            wanted[j] = 0.8f * out[f.width + j] + 0.2f * out[2 * f.width + j];
            square += (double)(wanted[j] * wanted[j]);
        }
        for (size_t j = 0; normal && j < f.width; j++) wanted[j] /= (float)sqrt(square);
        assert_near(out, wanted, f.width, 1e-6);
    }
    free(out);
    free(wanted);
    close_fixture(&f);
}

static void test_windows_of_scores(void **state) {
    (void)state;
    static const char *const names[] = {"x", "y", "z"};
    const learning learn = {.task = RUBATO_TASK_CLASSIFICATION, .labels = names, .label_count = 3, .seed = 3};
    fixture f = open_fixture(&learn);
    const rubato_text_options text = {.size = sizeof text, .max_length = 10, .windows = 1};
    const rubato_options how = {.size = sizeof how, .text = &text};
    const rubato_input inputs[] = {{.text = long_text}, {.text = halves[0]}, {.text = halves[1]}};
    float out[9];
    assert_int_equal(rubato_logits(f.context, out, inputs, 3, &how, NULL, NULL), RUBATO_OK);
    for (size_t j = 0; j < 3; j++) assert_near(&out[j], &(float){0.8f * out[3 + j] + 0.2f * out[6 + j]}, 1, 1e-5);
    close_fixture(&f);
}

/* A long document is as good as its best window; the query stands in every one. */
static void test_windows_of_documents(void **state) {
    (void)state;
    static const char *const names[] = {"x"};
    const learning learn = {.task = RUBATO_TASK_CLASSIFICATION, .labels = names, .label_count = 1, .seed = 3};
    fixture f = open_fixture(&learn);
    f.model->info.ranks = 1;
    const rubato_text_options text = {.size = sizeof text, .max_length = 13, .windows = 1};
    const rubato_options how = {.size = sizeof how, .text = &text};
    const rubato_input inputs[] = {{.text = long_text}, {.text = halves[0]}, {.text = halves[1]}};
    float out[3];
    assert_int_equal(rubato_rerank(f.context, out, "q r", inputs, 3, &how, NULL, NULL), RUBATO_OK);
    assert_true(out[1] != out[2]);
    assert_near(out, &(float){fmaxf(out[1], out[2])}, 1, 0);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cuts),
                                       cmocka_unit_test(test_alone),
                                       cmocka_unit_test(test_one_passage),
                                       cmocka_unit_test(test_late),
                                       cmocka_unit_test(test_late_windows),
                                       cmocka_unit_test(test_lower_case),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_windows_of_vectors),
                                       cmocka_unit_test(test_windows_of_scores),
                                       cmocka_unit_test(test_windows_of_documents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
