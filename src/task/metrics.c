/* Metrics. */
#include "task/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/unicode.h"

double metric_accuracy(const size_t *gold, const size_t *predicted, size_t count) {
    size_t equal = 0;
    for (size_t i = 0; i < count; i++) equal += gold[i] == predicted[i];
    return count ? (double)equal / (double)count : 0;
}

double metric_macro_f1(const size_t *gold, const size_t *predicted, size_t count, size_t labels) {
    double sum = 0;
    size_t present = 0;
    for (size_t label = 0; label < labels; label++) {
        size_t both = 0, in_gold = 0, in_predicted = 0;
        for (size_t i = 0; i < count; i++) {
            in_gold += gold[i] == label;
            in_predicted += predicted[i] == label;
            both += gold[i] == label && predicted[i] == label;
        }
        if (in_gold + in_predicted == 0) continue;
        present++;
        sum += 2.0 * (double)both / (double)(in_gold + in_predicted);
    }
    return present ? sum / (double)present : 0;
}

double metric_matthews(const size_t *gold, const size_t *predicted, size_t count, size_t labels) {
    double correct = 0, n = (double)count, dot = 0, gold_squares = 0, predicted_squares = 0;
    for (size_t i = 0; i < count; i++) correct += gold[i] == predicted[i];
    for (size_t label = 0; label < labels; label++) {
        double g = 0, p = 0;
        for (size_t i = 0; i < count; i++) {
            g += gold[i] == label;
            p += predicted[i] == label;
        }
        dot += g * p;
        gold_squares += g * g;
        predicted_squares += p * p;
    }
    double below = sqrt(n * n - gold_squares) * sqrt(n * n - predicted_squares);
    return below > 0 ? (correct * n - dot) / below : 0;
}

static double f1_of(double right, double given, double gold) {
    return given + gold > 0 ? 2 * right / (given + gold) : 0;
}

label_counts metric_count_labels(const unsigned char *gold, const float *scores, size_t count, size_t labels) {
    double right = 0, given = 0, all = 0, macro = 0;
    size_t exact = 0;
    for (size_t j = 0; j < labels; j++) {
        double own[3] = {0};
        for (size_t i = 0; i < count; i++) {
            bool has = gold[i * labels + j], says = scores[i * labels + j] >= 0.5f;
            own[0] += has && says;
            own[1] += says;
            own[2] += has;
        }
        right += own[0];
        given += own[1];
        all += own[2];
        macro += f1_of(own[0], own[1], own[2]) / (double)labels;
    }
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        for (size_t j = 0; j < labels; j++) same += gold[i * labels + j] == (scores[i * labels + j] >= 0.5f);
        exact += same == labels;
    }
    return (label_counts){.precision = given > 0 ? right / given : 0,
                          .recall = all > 0 ? right / all : 0,
                          .micro_f1 = f1_of(right, given, all),
                          .macro_f1 = macro,
                          .exact = (double)exact / (double)count};
}

double metric_pearson(const double *a, const double *b, size_t count) {
    double mean_a = 0, mean_b = 0, ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        mean_a += a[i] / (double)count;
        mean_b += b[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

typedef struct ranked {
    double value;
    size_t index;
} ranked;

static int by_value(const void *x, const void *y) {
    double a = ((const ranked *)x)->value, b = ((const ranked *)y)->value;
    return a < b ? -1 : a > b;
}

static bool ranks_of(const double *values, size_t count, double *ranks) {
    ranked *order = malloc((count + 1) * sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < count; i++) order[i] = (ranked){values[i], i};
    qsort(order, count, sizeof *order, by_value);
    for (size_t i = 0; i < count;) {
        size_t j = i;
        while (j < count && order[j].value == order[i].value) j++;
        for (size_t k = i; k < j; k++) ranks[order[k].index] = (double)(i + j - 1) / 2;
        i = j;
    }
    free(order);
    return true;
}

double metric_spearman(const double *a, const double *b, size_t count) {
    double *ranks = malloc((2 * count + 1) * sizeof *ranks), result = NAN;
    if (ranks && ranks_of(a, count, ranks) && ranks_of(b, count, ranks + count))
        result = metric_pearson(ranks, ranks + count, count);
    free(ranks);
    return result;
}

/* ---- SQuAD ---- */

/* Makes lower case, removes ASCII punctuation and the words a, an, the, and puts one space between words. */
static bool normalize_answer(const char *answer, text_buffer *out) {
    text_buffer plain = {0};
    for (size_t i = 0, size = strlen(answer); i < size;) {
        uint32_t code, lower[3];
        char bytes[4];
        i += utf8_next((const unsigned char *)answer + i, &code);
        if (code < 0x80 && character_flags(code) & CHARACTER_PUNCTUATION) continue;
        if (character_flags(code) & CHARACTER_SPACE) code = ' ';
        size_t count = character_lower(code, lower);
        for (size_t j = 0; j < count; j++) text_add(&plain, bytes, utf8_put(bytes, lower[j]));
    }
    for (char *word = plain.data; word && *word;) {
        size_t length = strcspn(word, " ");
        bool article = (length == 1 && word[0] == 'a') || (length == 2 && strncmp(word, "an", 2) == 0) ||
                       (length == 3 && strncmp(word, "the", 3) == 0);
        if (length && !article) {
            if (out->length) text_add(out, " ", 1);
            text_add(out, word, length);
        }
        word += length;
        if (*word) word++;
    }
    text_add(out, "", 0);
    bool good = !plain.failed && !out->failed;
    text_free(&plain);
    return good;
}

double metric_squad_exact(const char *answer, const char *gold) {
    text_buffer a = {0}, b = {0};
    bool good = normalize_answer(answer, &a) && normalize_answer(gold, &b);
    double equal = good ? strcmp(a.data, b.data) == 0 : NAN;
    text_free(&a);
    text_free(&b);
    return equal;
}

static size_t count_words(const char *text) {
    size_t count = *text != 0;
    for (; *text; text++) count += *text == ' ';
    return count;
}

double metric_squad_f1(const char *answer, const char *gold) {
    text_buffer a = {0}, b = {0};
    bool good = normalize_answer(answer, &a) && normalize_answer(gold, &b);
    double f1 = good ? 0 : NAN;
    if (good) {
        size_t words_a = count_words(a.data), words_b = count_words(b.data), same = 0;
        /* each word of one answer matches at most one of the other: matched words are blanked */
        for (char *word = a.data; *word;) {
            size_t length = strcspn(word, " ");
            for (char *other = b.data; *other;) {
                size_t other_length = strcspn(other, " ");
                if (other_length == length && strncmp(word, other, length) == 0) {
                    memset(other, 1, length);
                    same++;
                    break;
                }
                other += other_length;
                if (*other) other++;
            }
            word += length;
            if (*word) word++;
        }
        if (!words_a || !words_b)
            f1 = words_a == words_b;
        else if (same)
            f1 = 2.0 * (double)same / (double)(words_a + words_b);
    }
    text_free(&a);
    text_free(&b);
    return f1;
}

/* ---- Entities ---- */

typedef struct chunk {
    size_t begin, end;
    const char *type;
} chunk;

static void split_tag(const char *tag, char *scheme, const char **type) {
    *scheme = tag[0];
    *type = tag[0] && tag[1] == '-' ? tag + 2 : tag[0] == 'O' ? "" : tag;
}

/* The next entity from *at on, as in conlleval and seqeval. */
static bool next_chunk(const char *const *tags, size_t count, size_t *at, chunk *out) {
    char scheme, next;
    const char *type, *next_type;
    while (*at < count && (split_tag(tags[*at], &scheme, &type), scheme == 'O' || !scheme)) ++*at;
    if (*at >= count) return false;
    *out = (chunk){*at, *at + 1, type};
    bool ended = scheme == 'S' || scheme == 'E';
    while (!ended && out->end < count) {
        split_tag(tags[out->end], &next, &next_type);
        if (next == 'O' || next == 'B' || next == 'S' || strcmp(next_type, out->type) != 0) break;
        out->end++;
        ended = next == 'E';
    }
    *at = out->end;
    return true;
}

void metric_count_entities(entity_counts *counts, const char *const *gold, const char *const *predicted, size_t count) {
    chunk a = {0}, b = {0};
    size_t at_a = 0, at_b = 0;
    bool has_a = next_chunk(gold, count, &at_a, &a), has_b = next_chunk(predicted, count, &at_b, &b);
    while (has_a || has_b) {
        bool equal = has_a && has_b && a.begin == b.begin && a.end == b.end && strcmp(a.type, b.type) == 0;
        bool take_a = has_a && (!has_b || a.begin <= b.begin), take_b = has_b && (!has_a || b.begin <= a.begin);
        counts->correct += equal;
        if (take_a) {
            counts->gold++;
            has_a = next_chunk(gold, count, &at_a, &a);
        }
        if (take_b) {
            counts->predicted++;
            has_b = next_chunk(predicted, count, &at_b, &b);
        }
    }
}

double metric_entity_f1(entity_counts counts) {
    size_t total = counts.gold + counts.predicted;
    return total ? 2.0 * (double)counts.correct / (double)total : 0;
}
