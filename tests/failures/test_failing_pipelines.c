/* Every allocation of tagging by a strategy, of masks among targets, of zero-shot classification, of passages, of
 * windows that are joined, and of going on with a text fails once. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "failures/failing.h"
#include "task/model.h"

enum { TEXTS = 3, LABELS = 2, CLASSES = 3 };

typedef struct fixture {
    rubato_context *context;
    rubato_model *model;
    rubato_options how;
    size_t late;
} fixture;

static const rubato_input texts[TEXTS] = {
    {.text = "a b-c"}, {.text = "ab \xe6\x97\xa5 c d"}, {.text = "a b c d e f g h i j k l m n o p q r s t"}};

static rubato_status tag(void *user, digest *out, rubato_error *error) {
    const fixture *f = user;
    rubato_tags *tags;
    TRY(rubato_tag(f->context, &tags, texts, TEXTS, &f->how, NULL, error));
    for (size_t i = 0; i < TEXTS; i++)
        for (size_t j = 0; j < tags[i].entity_count; j++) {
            digest_text(out, tags[i].entities[j].label);
            digest_text(out, rubato_entity_word(&tags[i], j));
            digest_add(out, &tags[i].entities[j].score, sizeof tags[i].entities[j].score);
        }
    rubato_tags_destroy(tags);
    return RUBATO_OK;
}

static rubato_status fill(void *user, digest *out, rubato_error *error) {
    const fixture *f = user;
    const rubato_input input = {.text = "a [MASK] b [MASK] c"};
    rubato_candidate *candidates;
    int32_t targets[3] = {8, 0, 8};
    int exact;
    size_t masks, each;
    TRY(rubato_fill_target(f->model, "bcd", &targets[1], &exact, error));
    TRY(rubato_fill_among(f->context, &candidates, &masks, &each, &input, targets, 3, 5, &f->how, NULL, error));
    digest_add(out, candidates, masks * each * sizeof *candidates);
    rubato_free(candidates);
    return RUBATO_OK;
}

static rubato_status zero_shot(void *user, digest *out, rubato_error *error) {
    const fixture *f = user;
    const char *const labels[LABELS] = {"a", "b c"};
    const rubato_zero_shot_options options = {.size = sizeof options, .hypothesis = "{} {{}}", .run = &f->how};
    float scores[TEXTS * LABELS];
    rubato_costs *costs;
    TRY(rubato_zero_shot(f->context, scores, texts, TEXTS, labels, LABELS, &options, &costs, error));
    digest_add(out, scores, sizeof scores);
    for (size_t i = 0; i < TEXTS; i++)
        digest_add(out, &rubato_costs_at(costs, i)->tokens, sizeof rubato_costs_at(costs, i)->tokens);
    rubato_free(costs);
    return RUBATO_OK;
}

static rubato_status passages(void *user, digest *out, rubato_error *error) {
    const fixture *f = user;
    rubato_passages *all;
    rubato_costs *costs;
    const rubato_passage_options options = {.size = sizeof options, .run = &f->how, .tokens = 3, .late = f->late};
    TRY(rubato_embed_passages(f->context, &all, texts, TEXTS, &options, &costs, error));
    for (size_t i = 0; i < TEXTS; i++)
        for (size_t j = 0; j < all[i].count; j++)
            digest_add(out, all[i].items[j].vector, rubato_model_info(f->model)->width * sizeof(float));
    rubato_free(costs);
    rubato_free(all);
    return RUBATO_OK;
}

static rubato_status windows(void *user, digest *out, rubato_error *error) {
    const fixture *f = user;
    const rubato_text_options text = {.size = sizeof text, .max_length = 5, .windows = 1};
    const rubato_options how = {.size = sizeof how, .text = &text};
    float scores[TEXTS * CLASSES];
    TRY(rubato_logits(f->context, scores, texts, TEXTS, &how, NULL, error));
    digest_add(out, scores, sizeof scores);
    return RUBATO_OK;
}

static rubato_status generate(void *user, digest *out, rubato_error *error) {
    const fixture *f = user;
    const rubato_generate_options options = {.size = sizeof options, .run = &f->how, .tokens = 5};
    const rubato_input input = {.text = "a b c"};
    char *text;
    TRY(rubato_generate(f->context, &text, NULL, &input, &options, error));
    digest_text(out, text);
    rubato_free(text);
    return RUBATO_OK;
}

static void open_fixture(fixture *f, const char *architecture, size_t labels, bool inference) {
    const char *folder = failing_folder();
    const rubato_context_options options = {.size = sizeof options, .threads = 1, .isa = "scalar"};
    rubato_error error;
    make_model(folder, "bert", architecture, labels);
    if (inference) name_inference_labels(folder);
    *f = (fixture){.how = {.size = sizeof f->how}};
    if (rubato_model_load(&f->model, folder, &error) != RUBATO_OK ||
        rubato_context_create(&f->context, f->model, &options, &error) != RUBATO_OK)
        fail_msg("%s", error.message);
}

static void close_fixture(fixture *f) {
    rubato_context_destroy(f->context);
    rubato_model_destroy(f->model);
}

static void test_tags(void **state) {
    static const char *const strategies[] = {"none", "simple", "average"};
    (void)state;
    fixture f;
    open_fixture(&f, "BertForTokenClassification", 3, false);
    f.how.ignore_labels = "";
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        f.how.aggregation = strategies[i];
        fail_allocations(&(attempt){.name = strategies[i], .call = tag, .user = &f, .exhaustive = 300});
    }
    close_fixture(&f);
}

static void test_fill(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "BertForMaskedLM", 0, false);
    fail_allocations(&(attempt){.name = "fill_among", .call = fill, .user = &f, .exhaustive = 300});
    close_fixture(&f);
}

static void test_zero_shot(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "BertForSequenceClassification", CLASSES, true);
    fail_allocations(&(attempt){.name = "zero_shot", .call = zero_shot, .user = &f, .exhaustive = 300});
    close_fixture(&f);
}

static void test_passages(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "BertModel", 0, false);
    f.how.prompt = "a: ";
    for (f.late = 0; f.late < 2; f.late++)
        fail_allocations(
            &(attempt){.name = f.late ? "late passages" : "passages", .call = passages, .user = &f, .exhaustive = 300});
    close_fixture(&f);
}

static void test_windows(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "BertForSequenceClassification", CLASSES, false);
    fail_allocations(&(attempt){.name = "windows", .call = windows, .user = &f, .exhaustive = 300});
    close_fixture(&f);
}

static void test_generate(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "BertForMaskedLM", 0, false);
    f.model->body.config.causal = true;
    f.model->info.task = RUBATO_TASK_LM;
    fail_allocations(&(attempt){.name = "generate", .call = generate, .user = &f, .exhaustive = 300});
    close_fixture(&f);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tags),      cmocka_unit_test(test_fill),
                                       cmocka_unit_test(test_zero_shot), cmocka_unit_test(test_passages),
                                       cmocka_unit_test(test_windows),   cmocka_unit_test(test_generate)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
