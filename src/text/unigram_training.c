#include "text/unigram_training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/substrings.h"
#include "text/trie.h"

enum {
    UNKNOWN = 0, /* the piece of characters that no piece covers alone; it has no text */
    MOST_SEEDS = 1000000,
    EM_STEPS = 2,        /* between two prunings */
    EACH_WORDS = 1 << 14 /* between two looks at the progress */
};
static const double SHRINK = 0.75, UNKNOWN_PENALTY = 10, LEAST_EXPECTED = 0.5;
static const double GONE = 1; /* the score of a piece that was removed; logarithms of probabilities are at most 0 */

/* A piece in its place in a word. */
typedef struct place {
    uint32_t id, begin, end; /* [begin, end) in the word */
} place;

typedef struct counted_word {
    uint32_t begin; /* in the codes */
    uint64_t times;
} counted_word;

typedef struct training {
    const token_options *options;
    trained_vocabulary *out;
    alphabet letters;
    uint32_t *codes; /* of all words, with a 0 behind each */
    size_t code_count;
    counted_word *words; /* [word_count] */
    size_t word_count, word_capacity;
    /* Pieces keep their numbers. `order` lists the pieces that were not removed, the unknown one first. */
    uint32_t *at, *length; /* [piece_count] an occurrence in codes */
    double *score, *expected;
    uint32_t *order;
    size_t piece_count, order_count;
    trie pieces;
    double least_score;
    size_t goal; /* pieces at which pruning ends */
    /* of one word */
    place *places;
    size_t place_count, place_capacity;
    double *alpha, *beta; /* [longest word + 1] */
    uint32_t *last;       /* [longest word + 1] place of the best piece that ends there */
    size_t done, all;     /* passes over words, for the progress */
} training;

/* ---- Words and seeds ---- */

/* A word of the codes from `from` on. */
static bool add_word(training *t, size_t from, uint64_t times) {
    counted_word *words = list_grown(t->words, t->word_count, &t->word_capacity, sizeof *words);
    if (!words) return false;
    t->words = words;
    words[t->word_count++] = (counted_word){(uint32_t)from, times};
    t->codes[t->code_count++] = 0;
    return true;
}

/* Words as characters of the alphabet. U+0000 ends a word, too. */
static rubato_status spell_words(training *t, const word_counts *words, rubato_error *error) {
    const size_t most = words->words.bytes_used + words->words.count + 1;
    if (most >= UINT32_MAX) return fail(error, RUBATO_BAD_ARGUMENT, "the words have more than 2^32 characters");
    bool *known = calloc(0x110000, sizeof *known);
    t->codes = malloc(most * sizeof *t->codes);
    bool good = known && t->codes;
    for (size_t i = 0; good && i < t->letters.count; i++)
        known[t->letters.items[i].code] = t->letters.items[i].code > 0;
    for (size_t i = 0; good && i < words->words.count; i++) {
        size_t size, from = t->code_count;
        const char *text = string_table_at(&words->words, i, &size);
        for (size_t j = 0; good && j < size;) {
            uint32_t code;
            j += utf8_next((const unsigned char *)text + j, &code);
            if (known[code])
                t->codes[t->code_count++] = code;
            else if (t->code_count > from)
                good = add_word(t, from, words->counts[i]);
            if (!known[code]) from = t->code_count;
        }
        if (good && t->code_count > from) good = add_word(t, from, words->counts[i]);
    }
    free(known);
    return good ? RUBATO_OK : fail_memory(error);
}

static size_t word_length(const training *t, size_t word) {
    return (word + 1 < t->word_count ? t->words[word + 1].begin : t->code_count) - t->words[word].begin - 1;
}

/* By falling counts, then by falling code points. */
static int by_frequency(const void *a, const void *b) {
    const letter *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->code > y->code ? -1 : x->code < y->code;
}

static bool add_piece(training *t, uint32_t at, uint32_t length, double weight) {
    const size_t id = t->piece_count++;
    t->at[id] = at;
    t->length[id] = length;
    t->score[id] = weight;
    t->order[t->order_count++] = (uint32_t)id;
    return trie_add(&t->pieces, 0, t->codes + at, length, (int32_t)id);
}

/* Every character, at one of its places. */
static bool add_letters(training *t) {
    const letter *letters = t->letters.items;
    uint32_t *first = malloc(0x110000 * sizeof *first);
    if (!first) return false;
    for (size_t i = t->code_count; i-- > 0;) first[t->codes[i]] = (uint32_t)i;
    bool good = true;
    for (size_t i = 0; good && i < t->letters.count; i++)
        good = letters[i].code == 0 || add_piece(t, first[letters[i].code], 1, (double)letters[i].count);
    free(first);
    return good;
}

/* The characters by their counts in the words, and repeated substrings by their numbers of places and their lengths. */
static rubato_status find_seeds(training *t, rubato_error *error) {
    substrings found;
    rubato_status status = substrings_find(&found, t->codes, t->code_count, error);
    const size_t most = t->letters.count + found.count + 1;
    t->at = malloc(most * sizeof *t->at);
    t->length = malloc(most * sizeof *t->length);
    t->score = malloc(most * sizeof *t->score);
    t->expected = malloc(most * sizeof *t->expected);
    t->order = malloc(most * sizeof *t->order);
    bool good = t->at && t->length && t->score && t->expected && t->order && trie_create(&t->pieces, 1, most);
    if (good) {
        t->length[UNKNOWN] = t->at[UNKNOWN] = 0;
        t->order[0] = UNKNOWN;
        t->order_count = t->piece_count = 1;
        qsort(t->letters.items, t->letters.count, sizeof *t->letters.items, by_frequency);
        good = add_letters(t);
        for (size_t i = 0; good && i < found.count && (i == 0 || t->piece_count <= MOST_SEEDS); i++)
            good = add_piece(t, found.items[i].at, found.items[i].length,
                             (double)(found.items[i].count * found.items[i].length));
    }
    substrings_free(&found);
    if (status == RUBATO_OK && !good) status = fail_memory(error);
    TRY(status);
    double sum = 0;
    for (size_t i = 1; i < t->piece_count; i++) sum += t->score[i];
    for (size_t i = 1; i < t->piece_count; i++) t->score[i] = log(t->score[i]) - log(sum);
    return RUBATO_OK;
}

/* ---- Segmentations of a word ---- */

/* An unknown character has a lower score than every piece. */
static void find_least(training *t) {
    t->least_score = 0;
    for (size_t i = 1; i < t->order_count; i++) t->least_score = fmin(t->least_score, t->score[t->order[i]]);
    t->score[UNKNOWN] = t->least_score - UNKNOWN_PENALTY;
}

static bool add_place(training *t, uint32_t id, size_t begin, size_t end) {
    place *places = list_grown(t->places, t->place_count, &t->place_capacity, sizeof *places);
    if (!places) return false;
    t->places = places;
    places[t->place_count++] = (place){id, (uint32_t)begin, (uint32_t)end};
    return true;
}

/* Lists the pieces in a word by their beginnings, then by their lengths. A piece of `without` characters, which is the
 * word itself, is left out; 0: none is. */
static bool find_places(training *t, const uint32_t *codes, size_t count, size_t without) {
    t->place_count = 0;
    for (size_t begin = 0; begin < count; begin++) {
        bool single = false;
        uint32_t node = 0;
        for (size_t i = begin; i < count; i++) {
            node = trie_step(&t->pieces, node, codes[i]);
            if (node == TRIE_NONE) break;
            const int32_t id = t->pieces.values[node];
            if (id < 0 || t->score[id] == GONE || i + 1 - begin == without) continue;
            if (!add_place(t, (uint32_t)id, begin, i + 1)) return false;
            single = single || i == begin;
        }
        if (!single && !add_place(t, UNKNOWN, begin, begin + 1)) return false;
    }
    return true;
}

/* log(exp(a) + exp(b)), in which the smaller term is left out where it is below exp(-50) of the larger one. */
static double log_add(double a, double b) {
    const double most = fmax(a, b), least = fmin(a, b);
    return most > least + 50 ? most : most + log(exp(least - most) + 1);
}

/* Adds the expected numbers of the pieces in a word: the forward-backward algorithm. */
static void add_expected(training *t, size_t count, double times) {
    for (size_t i = 0; i <= count; i++) t->alpha[i] = t->beta[i] = NAN;
    t->alpha[0] = t->beta[count] = 0;
    for (size_t i = 0; i < t->place_count; i++) {
        const place *p = &t->places[i];
        const double way = t->score[p->id] + t->alpha[p->begin];
        t->alpha[p->end] = isnan(t->alpha[p->end]) ? way : log_add(t->alpha[p->end], way);
    }
    for (size_t end = t->place_count; end > 0;) {
        size_t first = end;
        while (first > 0 && t->places[first - 1].begin == t->places[end - 1].begin) first--;
        for (size_t i = first; i < end; i++) {
            const place *p = &t->places[i];
            const double way = t->score[p->id] + t->beta[p->end];
            t->beta[p->begin] = isnan(t->beta[p->begin]) ? way : log_add(t->beta[p->begin], way);
        }
        end = first;
    }
    for (size_t i = 0; i < t->place_count; i++) {
        const place *p = &t->places[i];
        t->expected[p->id] += times * exp(t->alpha[p->begin] + t->score[p->id] + t->beta[p->end] - t->alpha[count]);
    }
}

/* The best segmentation; of equally good ones, the one whose last piece is the longest. Returns its score and sets
 * `last`, from which the pieces are read from the end. */
static double best_segmentation(training *t, size_t count) {
    for (size_t i = 0; i <= count; i++) t->alpha[i] = NAN;
    t->alpha[0] = 0;
    for (size_t i = 0; i < t->place_count; i++) {
        const place *p = &t->places[i];
        const double way = t->alpha[p->begin] + t->score[p->id];
        if (!isnan(t->alpha[p->end]) && !(way > t->alpha[p->end])) continue;
        t->alpha[p->end] = way;
        t->last[p->end] = (uint32_t)i;
    }
    return t->alpha[count];
}

/* ---- Expectation and maximisation ---- */

static rubato_status show(training *t, size_t word, rubato_error *error) {
    if (word % EACH_WORDS || !t->options->progress) return RUBATO_OK;
    /* a number of rounds that turns out to be too small only holds the share back */
    const size_t done = t->done * t->word_count + word, all = t->all * t->word_count;
    if (t->options->progress(t->options->progress_user, done < all ? done : all, all))
        return fail(error, RUBATO_CANCELLED, "cancelled");
    return RUBATO_OK;
}

static rubato_status expect(training *t, rubato_error *error) {
    memset(t->expected, 0, t->piece_count * sizeof *t->expected);
    for (size_t i = 0; i < t->word_count; i++) {
        const size_t count = word_length(t, i);
        if (!find_places(t, t->codes + t->words[i].begin, count, 0)) return fail_memory(error);
        add_expected(t, count, (double)t->words[i].times);
        TRY(show(t, i, error));
    }
    t->done++;
    return RUBATO_OK;
}

/* The derivative of the logarithm of the gamma function: its asymptotic series around x - 1/2, for which x is made at
 * least 7 by psi(x) = psi(x + 1) - 1/x. */
static double digamma(double x) {
    double before = 0;
    for (; x < 7; x++) before -= 1 / x;
    const double r = 1 / (x - 0.5), r2 = r * r, r4 = r2 * r2;
    return before + log(x - 0.5) + r2 / 24 - 7 * r4 / 960 + 31 * r4 * r2 / 8064 - 127 * r4 * r4 / 30720;
}

/* Scores by the expected numbers, with digamma in place of the logarithm: the prior of few pieces (Liang and Klein
 * 2007, Structured Bayesian Nonparametric Models with Variational Inference). */
static void maximise(training *t) {
    size_t kept = 1;
    double sum = 0;
    for (size_t i = 1; i < t->order_count; i++) {
        const uint32_t id = t->order[i];
        if (t->expected[id] < LEAST_EXPECTED) {
            t->score[id] = GONE;
            continue;
        }
        sum += t->expected[id];
        t->order[kept++] = id;
    }
    t->order_count = kept;
    for (size_t i = 1; i < kept; i++) t->score[t->order[i]] = digamma(t->expected[t->order[i]]) - digamma(sum);
    find_least(t);
}

/* ---- Pruning ---- */

/* A piece and what it is sorted by. */
typedef struct ranked {
    double value;
    size_t rank; /* among equal values */
    uint32_t id;
} ranked;

static int by_falling_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* How often each piece is in the best segmentations of the words; into t->expected. */
static rubato_status count_best(training *t, rubato_error *error) {
    memset(t->expected, 0, t->piece_count * sizeof *t->expected);
    for (size_t i = 0; i < t->word_count; i++) {
        const size_t count = word_length(t, i);
        if (!find_places(t, t->codes + t->words[i].begin, count, 0)) return fail_memory(error);
        best_segmentation(t, count);
        for (size_t at = count; at > 0; at = t->places[t->last[at]].begin)
            t->expected[t->places[t->last[at]].id] += (double)t->words[i].times;
        TRY(show(t, i, error));
    }
    t->done++;
    return RUBATO_OK;
}

/* The worth of a piece: how much less probable the words become where the best other segmentation of the piece replaces
 * it. The worth is infinite where there is no other segmentation, and minus infinity where no word uses the piece. The
 * sum of all counts then grows by the count of the piece times the number of all pieces, as in the library; by theory
 * it would be the number of the pieces that replace it. */
static rubato_status judge(training *t, uint32_t id, double sum, double words, double *value, rubato_error *error) {
    const uint32_t length = t->length[id];
    const double times = t->expected[id];
    *value = length == 1 ? INFINITY : -INFINITY;
    if (length == 1 || times == 0) return RUBATO_OK;
    if (!find_places(t, t->codes + t->at[id], length, length)) return fail_memory(error);
    *value = INFINITY;
    if (best_segmentation(t, length) > t->score[id]) return RUBATO_OK;
    const double other_sum = log(sum + times * (double)(t->order_count - 1));
    double other = 0;
    for (size_t at = length; at > 0; at = t->places[t->last[at]].begin)
        other += log(t->expected[t->places[t->last[at]].id] + times) - other_sum;
    *value = times / words * (log(times) - log(sum) - other);
    return RUBATO_OK;
}

/* Keeps the pieces that are worth most, in this order. Pieces that no other pieces can replace always stay. */
static rubato_status prune(training *t, rubato_error *error) {
    double sum = 0, words = 0;
    TRY(count_best(t, error));
    for (size_t i = 0; i < t->piece_count; i++) sum += t->expected[i];
    for (size_t i = 0; i < t->word_count; i++) words += (double)t->words[i].times;
    const size_t count = t->order_count, shrunk = (size_t)((double)count * SHRINK);
    const size_t most = shrunk > t->goal ? shrunk : t->goal;
    ranked *losses = malloc(count * sizeof *losses);
    if (!losses) return fail_memory(error);
    rubato_status status = RUBATO_OK;
    for (size_t i = 1; i < count && status == RUBATO_OK; i++) {
        losses[i - 1] = (ranked){0, i, t->order[i]};
        status = judge(t, t->order[i], sum, words, &losses[i - 1].value, error);
    }
    if (status == RUBATO_OK) {
        qsort(losses, count - 1, sizeof *losses, by_falling_value);
        t->order_count = 1;
        for (size_t i = 0; i + 1 < count; i++) {
            if (losses[i].value == INFINITY || (losses[i].value > -INFINITY && t->order_count < most))
                t->order[t->order_count++] = losses[i].id;
            else
                t->score[losses[i].id] = GONE;
        }
        find_least(t);
    }
    free(losses);
    return status;
}

static rubato_status shrink(training *t, rubato_error *error) {
    const double rounds = ceil(log((double)t->goal / (double)t->order_count) / log(SHRINK));
    t->all = (size_t)(rounds > 0 ? rounds : 0) * (EM_STEPS + 1) + EM_STEPS;
    find_least(t);
    for (;;) {
        for (int i = 0; i < EM_STEPS; i++) {
            TRY(expect(t, error));
            maximise(t);
        }
        if (t->order_count <= t->goal) return RUBATO_OK;
        TRY(prune(t, error));
    }
}

/* ---- The result ---- */

/* All characters, of which the ones without a score get lower scores than every piece, a little apart; then the pieces
 * in their order, as many as there is room for. */
static size_t choose_entries(const training *t, ranked *entries, size_t room) {
    size_t count = 0;
    double apart = 0;
    for (size_t i = 1; i < t->piece_count; i++) {
        if (t->length[i] != 1) continue;
        entries[count] = (ranked){t->score[i], count, (uint32_t)i};
        if (t->score[i] == GONE) {
            entries[count].value = t->least_score + apart;
            apart += 0.0001;
        }
        count++;
    }
    for (size_t i = 1; i < t->order_count && count < room; i++) {
        const uint32_t id = t->order[i];
        if (t->length[id] == 1) continue;
        entries[count] = (ranked){t->score[id], count, id};
        count++;
    }
    qsort(entries, count, sizeof *entries, by_falling_value);
    return count;
}

static bool write_entries(training *t, const ranked *entries, size_t count) {
    string_table *tokens = &t->out->tokens;
    double *scores = t->out->scores = calloc(t->options->special_count + count + 1, sizeof *scores);
    if (!scores) return false;
    for (size_t i = 0; i < count; i++) {
        const uint32_t *codes = t->codes + t->at[entries[i].id], length = t->length[entries[i].id];
        char text[4 * SUBSTRING_MOST];
        size_t size = 0, before = tokens->count;
        for (uint32_t j = 0; j < length; j++) size += utf8_put(text + size, codes[j]);
        if (string_table_put(tokens, text, size) == STRING_NONE) return false;
        if (tokens->count > before) scores[before] = entries[i].value; /* else the text is a special token's */
    }
    return true;
}

static rubato_status write_result(training *t, rubato_error *error) {
    ranked *entries = malloc((t->piece_count + 1) * sizeof *entries);
    if (!entries) return fail_memory(error);
    size_t count = choose_entries(t, entries, t->options->tokens - t->options->special_count);
    bool good = write_entries(t, entries, count);
    free(entries);
    return good ? RUBATO_OK : fail_memory(error);
}

static rubato_status train(training *t, const word_counts *words, rubato_error *error) {
    const token_options *options = t->options;
    TRY(vocabulary_begin(t->out, &t->letters, words, options, error));
    if (options->special_count + t->letters.count > options->tokens)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "a vocabulary of %zu tokens cannot hold %zu special tokens and %zu characters", options->tokens,
                    options->special_count, t->letters.count);
    TRY(spell_words(t, words, error));
    size_t longest = 1;
    for (size_t i = 0; i < t->word_count; i++)
        if (word_length(t, i) > longest) longest = word_length(t, i);
    if (longest < SUBSTRING_MOST) longest = SUBSTRING_MOST;
    t->alpha = malloc((longest + 1) * sizeof *t->alpha);
    t->beta = malloc((longest + 1) * sizeof *t->beta);
    t->last = malloc((longest + 1) * sizeof *t->last);
    if (!t->alpha || !t->beta || !t->last) return fail_memory(error);
    TRY(find_seeds(t, error));
    t->goal = options->tokens * 11 / 10;
    TRY(shrink(t, error));
    return write_result(t, error);
}

rubato_status unigram_train(trained_vocabulary *out, const word_counts *words, const token_options *options,
                            rubato_error *error) {
    training t = {.options = options, .out = out};
    *out = (trained_vocabulary){0};
    rubato_status status = train(&t, words, error);
    alphabet_free(&t.letters);
    trie_free(&t.pieces);
    free(t.codes);
    free(t.words);
    free(t.at);
    free(t.length);
    free(t.score);
    free(t.expected);
    free(t.order);
    free(t.places);
    free(t.alpha);
    free(t.beta);
    free(t.last);
    return status;
}
