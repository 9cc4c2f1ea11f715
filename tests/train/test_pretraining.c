/* Running text: its sentences and documents, the sequences that are drawn from it, and the tokens that are masked. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "task/context.h"
#include "text/sentences.h"
#include "train/trainer.h"

typedef struct bed {
    char folder[64], data[80], out[80];
    rubato_train_options options;
    trainer by;
} bed;

static void open_bed(bed *b, const char *text, const char *objective, int whole_words, size_t longest) {
    rubato_error error = {0};
    snprintf(b->folder, sizeof b->folder, "/tmp/rubato-pretraining-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->data, sizeof b->data, "%s/data.txt", b->folder);
    snprintf(b->out, sizeof b->out, "%s/out", b->folder);
    FILE *file = fopen(b->data, "w");
    fputs(text, file);
    fclose(file);
    b->options = (rubato_train_options){.size = sizeof b->options,
                                        .model = GOLDEN "/bert",
                                        .task = "mlm",
                                        .data = b->data,
                                        .out = b->out,
                                        .objective = objective,
                                        .whole_words = whole_words,
                                        .max_length = longest,
                                        .threads = 1};
    if (trainer_open(&b->by, &b->options, &error) != RUBATO_OK) fail_msg("%s", error.message);
}

static void close_bed(bed *b) {
    char command[96];
    trainer_close(&b->by);
    snprintf(command, sizeof command, "rm -r %s", b->folder);
    assert_int_equal(system(command), 0);
}

/* ---- Sentences ---- */

static void test_sentences(void **state) {
    static const char *const cases[][6] = {
        {"One. Two!", "One. ", "Two!"},
        {"He said \"no.\" Then he left", "He said \"no.\" ", "Then he left"},
        {"J. Smith came e.g. by car. Fine", "J. Smith came e.g. by car. ", "Fine"},
        {"3.5 metres... so. 좋다.", "3.5 metres... so. ", "좋다."},
        {"今日は。明日は！", "今日は。", "明日は！"},
        {"end", "end"},
        {"What?!  Yes", "What?!  ", "Yes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t at = 0, bytes = strlen(cases[i][0]);
        for (size_t j = 1; cases[i][j]; j++) {
            size_t end = sentence_end(cases[i][0], bytes, at);
            if (end - at != strlen(cases[i][j]) || memcmp(cases[i][0] + at, cases[i][j], end - at) != 0)
                fail_msg("\"%s\": sentence %zu ends at byte %zu", cases[i][0], j, end);
            at = end;
        }
        assert_int_equal(at, bytes);
    }
}

/* Letters of the golden tokenizer are a token each: "ab" is a, ##b. */
static void test_corpus(void **state) {
    bed b;
    (void)state;
    open_bed(&b, "ab c. D\n\n\ne f\ng\n[SEP] h\n", "mlm", 0, 19);
    const corpus *text = &b.by.data.text;
    assert_int_equal(text->document_count, 2);
    const uint64_t documents[] = {0, 2, 5};
    assert_memory_equal(text->documents, documents, sizeof documents);
    /* the full stop and the brackets are unknown; "[SEP]" is plain text: [, s, ##e, ##p, ] */
    const uint64_t sentences[] = {0, 4, 5, 7, 8, 14};
    assert_int_equal(text->sentence_count, 5);
    assert_memory_equal(text->sentences, sentences, sizeof sentences);
    const int32_t ids[] = {5, 32, 7, 1, 8, 9, 10, 11};
    assert_memory_equal(text->ids, ids, sizeof ids);
    for (size_t i = 0; i < text->tokens; i++) assert_true(text->ids[i] != 3);
    close_bed(&b);
}

/* Documents of sentences "a b c", each with its own letter in front. */
static char *many_documents(size_t documents, size_t sentences) {
    char *text = malloc(documents * (sentences * 12 + 2) + 1), *at = text;
    for (size_t i = 0; i < documents; i++) {
        for (size_t j = 0; j < sentences; j++)
            at += sprintf(at, "%c%c %c\n", (char)('a' + i % 26), (char)('a' + j % 26), (char)('a' + i / 26 % 26));
        *at++ = '\n';
    }
    *at = 0;
    return text;
}

static size_t document_of(const corpus *text, size_t sentence) {
    size_t i = 0;
    while (text->documents[i + 1] <= sentence) i++;
    return i;
}

/* Single texts: every sentence stands in one sequence, in order; all are as long as fits but for the short ones. */
static void test_singles(void **state) {
    bed b;
    char *text = many_documents(40, 60);
    (void)state;
    open_bed(&b, text, "mlm", 0, 19);
    const samples *data = &b.by.data;
    size_t next = 0, full = 0;
    for (size_t i = 0; i < data->drawn.count; i++) {
        const instance *one = &data->drawn.items[i];
        assert_int_equal(one->first, next);
        assert_int_equal(one->second_count, 0);
        assert_int_equal(document_of(&data->text, one->first),
                         document_of(&data->text, one->first + one->first_count - 1u));
        next += one->first_count;
        const sample *of = samples_at(data, i, &b.by.drawn);
        assert_true(of->window->length <= 19);
        assert_int_equal(of->window->ids[0], 2);
        assert_int_equal(of->window->ids[of->window->length - 1], 3);
        assert_int_equal(of->label, -1);
        full += of->window->length >= 17;
    }
    assert_int_equal(next, data->text.sentence_count);
    assert_true((double)full > 0.75 * (double)data->drawn.count);
    free(text);
    close_bed(&b);
}

/* Pairs: labels, where the second text comes from, what is used, truncation. */
static void test_pairs(void **state) {
    bed b;
    char *text = many_documents(200, 40);
    (void)state;
    open_bed(&b, text, "mlm+nsp", 0, 19);
    const samples *data = &b.by.data;
    size_t random = 0, elsewhere = 0, full = 0, firsts = 0;
    for (size_t i = 0; i < data->drawn.count; i++) {
        const instance *one = &data->drawn.items[i];
        arena_reset(&b.by.drawn);
        const sample *of = samples_at(data, i, &b.by.drawn);
        size_t own = document_of(&data->text, one->first);
        assert_true(one->second_count > 0);
        if (one->random) {
            random++;
            elsewhere += document_of(&data->text, one->second) != own;
        } else {
            assert_int_equal(one->second, one->first + one->first_count);
        }
        firsts += one->first_count + (one->random ? 0u : one->second_count);
        assert_int_equal(of->label, one->random);
        const rubato_window *window = of->window;
        assert_true(window->length <= 19);
        full += window->length >= 17;
        size_t marks = 0;
        for (size_t j = 0; j < window->length; j++) {
            if (window->sequences[j] != 255) assert_int_equal(window->types[j], window->sequences[j]);
            marks += window->ids[j] == 3;
        }
        assert_int_equal(marks, 2);
    }
    /* nothing is lost: sentences that a random second text left over begin the next sequence */
    assert_int_equal(firsts, data->text.sentence_count);
    double share = (double)random / (double)data->drawn.count;
    if (share < 0.5 || share > 0.75) fail_msg("%.3f of the second texts are random", share);
    assert_true((double)elsewhere > 0.97 * (double)random);
    assert_true((double)full > 0.6 * (double)data->drawn.count);
    free(text);
    close_bed(&b);
}

static void test_epochs(void **state) {
    bed b;
    rubato_error error;
    char *text = many_documents(30, 30);
    (void)state;
    open_bed(&b, text, "mlm+nsp", 0, 19);
    samples *data = &b.by.data;
    size_t count = data->drawn.count, same = 0;
    instance *first = malloc(count * sizeof *first);
    assert_int_equal(samples_begin_epoch(data, 77, &error), RUBATO_OK);
    memcpy(first, data->drawn.items, size_min(count, data->drawn.count) * sizeof *first);
    size_t kept = data->drawn.count;
    assert_int_equal(samples_begin_epoch(data, 78, &error), RUBATO_OK);
    for (size_t i = 0; i < size_min(size_min(count, kept), data->drawn.count); i++)
        same += memcmp(&first[i], &data->drawn.items[i], sizeof *first) == 0;
    assert_true(same < count / 2);
    assert_int_equal(samples_begin_epoch(data, 77, &error), RUBATO_OK);
    assert_int_equal(data->drawn.count, kept);
    assert_memory_equal(first, data->drawn.items, size_min(count, kept) * sizeof *first);
    free(first);
    free(text);
    close_bed(&b);
}

/* ---- Masks ---- */

typedef struct mask_counts {
    size_t tokens, chosen, masked, kept, other, sequences, cut_words;
} mask_counts;

static void count_masks(bed *b, mask_counts *out) {
    enum { AT_ONCE = 32 };
    const sample *some[AT_ONCE];
    for (size_t first = 0; first + AT_ONCE <= b->by.data.drawn.count; first += AT_ONCE) {
        portion part;
        arena_reset(&b->by.drawn);
        arena_reset(&b->by.memory);
        for (size_t i = 0; i < AT_ONCE; i++) some[i] = samples_at(&b->by.data, first + i, &b->by.drawn);
        assert_true(portion_create(&part, &b->by, some, AT_ONCE, first + 5, &b->by.memory));
        for (size_t i = 0; i < AT_ONCE; i++) {
            const rubato_window *window = some[i]->window;
            size_t chosen = 0;
            for (size_t j = 0; j < window->length; j++) {
                size_t row = part.packed.start[i] + j;
                int32_t label = part.labels[row], now = part.packed.ids[row];
                bool hidden = label >= 0;
                if (!hidden) {
                    assert_int_equal(now, window->ids[j]);
                } else {
                    assert_int_equal(label, window->ids[j]);
                    assert_int_not_equal(window->sequences[j], 255);
                    if (now == 4)
                        out->masked++;
                    else if (now == label)
                        out->kept++;
                    else
                        out->other++;
                }
                /* "##x" goes with the token before it */
                if (j > 1 && label >= 0 && window->ids[j] >= 31 && window->ids[j] <= 56)
                    out->cut_words += part.labels[row - 1] < 0;
                chosen += hidden;
            }
            const double share = b->options.mask_share > 0 ? b->options.mask_share : 0.15;
            size_t most = (size_t)(share * (double)window->length + 0.5);
            assert_true(chosen <= size_max(most, 1));
            if (!b->options.whole_words) assert_int_equal(chosen, size_max(most, 1));
            out->tokens += window->length;
            out->chosen += chosen;
            out->sequences++;
        }
    }
}

static void near(double is, double wanted, double within) {
    if (!(fabs(is - wanted) <= within)) fail_msg("%.4f, not %.4f", is, wanted);
}

static void test_masks(void **state) {
    bed b;
    mask_counts all = {0};
    char *text = many_documents(700, 300);
    (void)state;
    open_bed(&b, text, "mlm", 0, 19);
    count_masks(&b, &all);
    assert_true(all.tokens > 500000);
    mask_counts many = {0};
    b.options.mask_share = 0.4;
    count_masks(&b, &many);
    near((double)many.chosen / (double)many.tokens, 0.4, 0.015); /* whole tokens of short sequences */
    near((double)many.masked / (double)many.chosen, 0.8 + 0.1 / 61, 0.005);
    double chosen = (double)all.chosen;
    near((double)all.masked / chosen, 0.8 + 0.1 / 61, 0.005); /* one of 61 random tokens is the mask */
    near((double)all.kept / chosen, 0.1 + 0.1 / 61, 0.004);
    near((double)all.other / chosen, 0.1 * 59 / 61, 0.004);
    assert_true(all.cut_words > 1000);
    close_bed(&b);
    mask_counts words = {0};
    open_bed(&b, text, "mlm", 1, 19);
    count_masks(&b, &words);
    assert_int_equal(words.cut_words, 0);
    assert_true((double)words.chosen > 0.9 * chosen);
    free(text);
    close_bed(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sentences), cmocka_unit_test(test_corpus),
                                       cmocka_unit_test(test_singles),   cmocka_unit_test(test_pairs),
                                       cmocka_unit_test(test_epochs),    cmocka_unit_test(test_masks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
