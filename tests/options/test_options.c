/* The table of options: every line fills the field that it says, and every field of a training run has a line. */
#include <string.h>

#include "cmocka_compat.h"
#include "rubato.h"

static const rubato_option *find(rubato_option_group group, const char *name) {
    const rubato_option *line;
    for (size_t i = 0; (line = rubato_option_at(group, i)); i++)
        if (strcmp(line->name, name) == 0) return line;
    fail_msg("no option %s", name);
    return NULL;
}

/* Sets one option of a struct of zeros and says whether that field, and no other byte, has the value. */
#define HITS(group, type, option, text, field, value)                                                                  \
    do {                                                                                                               \
        type made, wanted;                                                                                             \
        memset(&made, 0, sizeof made);                                                                                 \
        memset(&wanted, 0, sizeof wanted);                                                                             \
        const rubato_option *line = find(group, option);                                                               \
        assert_int_equal(rubato_option_set(line, &made, text, NULL), RUBATO_OK);                                       \
        wanted.field = value;                                                                                          \
        if (memcmp(&made, &wanted, sizeof made) != 0) fail_msg("%s does not fill " #field, option);                    \
        checked++;                                                                                                     \
    } while (0)

static void test_training_options(void **state) {
    (void)state;
    static const char text[] = "abc";
    size_t checked = 0, count = 0;
    while (rubato_option_at(RUBATO_OPTIONS_TRAIN, count)) count++;
#define TRAIN(option, text, field, value) HITS(RUBATO_OPTIONS_TRAIN, rubato_train_options, option, text, field, value)
#define TEXT(name) TRAIN(#name, text, name, text)
#define FLAG(name) TRAIN(#name, "true", name, 1)
#define WHOLE(name) TRAIN(#name, "17", name, 17)
#define REAL(name) TRAIN(#name, "0.125", name, 0.125)
    TEXT(task);
    TEXT(data);
    TEXT(dev);
    TEXT(columns);
    TEXT(labels);
    TEXT(out);
    TEXT(store);
    TEXT(recipe);
    TEXT(teacher);
    TEXT(precision);
    TEXT(isa);
    TEXT(widths);
    TEXT(significance);
    TEXT(exit_layers);
    FLAG(keep_order);
    FLAG(resume);
    FLAG(overwrite);
    FLAG(keep_state);
    FLAG(no_distillation);
    FLAG(refine);
    FLAG(frozen);
    FLAG(exit_mean);
    FLAG(new_head);
    WHOLE(limit);
    WHOLE(max_length);
    WHOLE(eval_steps);
    WHOLE(checkpoint_steps);
    WHOLE(micro_tokens);
    WHOLE(threads);
    WHOLE(seed);
    WHOLE(merges);
    WHOLE(sandwiches);
    REAL(epochs);
    REAL(rate);
    REAL(warm_up);
    REAL(decay);
    REAL(clip);
    REAL(dropout);
    REAL(match_states);
    REAL(length_drop);
    REAL(layer_drop);
    REAL(refine_from);
    REAL(refine_to);
    REAL(soft_rate);
    REAL(soft_penalty);
    REAL(ponder);
    TEXT(objective);
    TEXT(tokenizer);
    FLAG(whole_words);
    TEXT(generator);
    REAL(mask_share);
    WHOLE(steps);
    REAL(soft);
    REAL(hard);
    REAL(temperature);
    REAL(layer_epochs);
    WHOLE(relation_heads);
    WHOLE(teacher_layer);
    REAL(replace);
    REAL(replace_to);
    REAL(keep);
    TEXT(unit);
    REAL(score_rate);
    REAL(penalty);
    REAL(memory_rate);
    FLAG(memory_dense);
    FLAG(pool_attention);
    TRAIN("batch_size", "17", batch, 17);
    TRAIN("divergence", "full", divergence_from_full, 1);
    assert_int_equal(checked, count);
}

static size_t field_bytes(const rubato_option *option) {
    switch (option->type) {
    case RUBATO_OPTION_SIZE: return sizeof(size_t);
    case RUBATO_OPTION_SEED: return sizeof(uint64_t);
    case RUBATO_OPTION_REAL: return sizeof(double);
    case RUBATO_OPTION_TEXT: return sizeof(const char *);
    default: return sizeof(int);
    }
}

/* A field that somebody adds to the struct and forgets in the table leaves its bytes uncovered. Half a word may be
 * padding. */
static void test_every_training_field_has_a_line(void **state) {
    (void)state;
    char covered[sizeof(rubato_train_options)] = {0};
    size_t gap = 0;
    const rubato_option *line;
#define COVER(field)                                                                                                   \
    memset(covered + offsetof(rubato_train_options, field), 1, sizeof(((rubato_train_options *)0)->field))
    COVER(size);
    COVER(model);
    COVER(progress);
    COVER(progress_user);
    COVER(data_read);
    COVER(data_user);
    for (size_t i = 0; (line = rubato_option_at(RUBATO_OPTIONS_TRAIN, i)); i++) {
        char *at = covered + line->offset;
        assert_true(line->offset + field_bytes(line) <= sizeof covered);
        assert_int_equal(*at, 0); /* no other line's */
        memset(at, 1, field_bytes(line));
    }
    for (size_t i = 0; i < sizeof covered; i++) {
        gap = covered[i] ? 0 : gap + 1;
        if (gap > sizeof(int)) fail_msg("the field at byte %zu of rubato_train_options has no line", i);
    }
}

static void test_other_groups(void **state) {
    (void)state;
    size_t checked = 0;
    HITS(RUBATO_OPTIONS_SEARCH, rubato_search_options, "depth", "false", depth, -1);
    HITS(RUBATO_OPTIONS_SEARCH, rubato_search_options, "depth", "true", depth, 1);
    HITS(RUBATO_OPTIONS_SEARCH, rubato_search_options, "lowest", "0.25", lowest, 0.25);
    HITS(RUBATO_OPTIONS_TEXT, rubato_text_options, "left", "true", cut_left, 1);
    HITS(RUBATO_OPTIONS_TEXT, rubato_text_options, "truncation", "only_second", truncation, RUBATO_ONLY_SECOND);
    HITS(RUBATO_OPTIONS_CONTEXT, rubato_context_options, "batch_tokens", "64", batch_tokens, 64);
    HITS(RUBATO_OPTIONS_EVAL, rubato_eval_options, "seed", "18446744073709551615", seed, UINT64_MAX);
    assert_int_equal(checked, 7);
}

static void test_lines_are_complete(void **state) {
    (void)state;
    assert_null(rubato_option_at(RUBATO_OPTION_GROUPS, 0));
    for (int group = 0; group < RUBATO_OPTION_GROUPS; group++) {
        assert_non_null(rubato_option_at((rubato_option_group)group, 0));
        const rubato_option *line;
        for (size_t i = 0; (line = rubato_option_at((rubato_option_group)group, i)); i++) {
            bool plain = line->type == RUBATO_OPTION_FLAG || line->type == RUBATO_OPTION_SWITCH;
            assert_int_equal(strspn(line->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(line->name));
            assert_true(*line->section && *line->help && line->help[strlen(line->help) - 1] != '.');
            assert_true(plain == !line->value);
            assert_true(line->type != RUBATO_OPTION_CHOICE || line->choice(0));
            for (size_t j = 0; j < i; j++) {
                const rubato_option *other = rubato_option_at((rubato_option_group)group, j);
                assert_string_not_equal(line->name, other->name);
            }
        }
    }
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *name, *value;
        double stored; /* NaN: an error, and the field is as before */
    } cases[] = {{"rate", "1e-3", 1e-3}, {"rate", "0", -1},  {"rate", "-1", 7},      {"rate", "x", 7},
                 {"rate", "", 7},        {"rate", "nan", 7}, {"rate", "1e-3x", 7},   {"rate", "2e9", 7},
                 {"clip", "0", -1},      {"clip", "inf", 7}, {"ponder", "1e400", 7}, {"ponder", "0.0", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rubato_train_options made = {.rate = 7, .clip = 7, .ponder = 7};
        rubato_error error = {0};
        const rubato_option *line = find(RUBATO_OPTIONS_TRAIN, cases[i].name);
        rubato_status status = rubato_option_set(line, &made, cases[i].value, &error);
        double stored = *(double *)(void *)((char *)&made + line->offset);
        if (stored != cases[i].stored) fail_msg("%s %s gives %g", cases[i].name, cases[i].value, stored);
        assert_int_equal(status, stored == 7 ? RUBATO_BAD_ARGUMENT : RUBATO_OK);
        assert_int_equal(error.message[0] != 0, stored == 7);
    }
    static const char *const wrong[][2] = {
        {"threads", "-1"},      {"threads", "1.5"}, {"threads", ""},    {"threads", "99999999999999999999"},
        {"merges", "x"},        {"merges", "-1"},   {"merges", "1001"}, {"frozen", "maybe"},
        {"divergence", "both"}, {"seed", "-1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rubato_train_options made = {0}, zero = {0};
        rubato_error error = {0};
        if (rubato_option_set(find(RUBATO_OPTIONS_TRAIN, wrong[i][0]), &made, wrong[i][1], &error) == RUBATO_OK)
            fail_msg("%s %s is taken", wrong[i][0], wrong[i][1]);
        assert_memory_equal(&made, &zero, sizeof made);
        assert_true(*wrong[i][1] == 0 || strstr(error.message, wrong[i][1]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_options), cmocka_unit_test(test_every_training_field_has_a_line),
        cmocka_unit_test(test_other_groups),     cmocka_unit_test(test_lines_are_complete),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
