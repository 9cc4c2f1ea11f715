/* Unigram language model: the segmentation of highest total log probability (Viterbi), Kudo 2018. A character that no
 * piece covers alone is unknown, at the score of the worst piece less 10, and neighbouring unknown characters are one
 * token. As in the reference, scores are added in double from left to right, and of equal segmentations the first
 * stays. */
#include "base/utf8.h"
#include "text/token_model.h"

typedef struct path {
    double score;
    int32_t id;      /* of the piece that ends here */
    uint32_t length; /* its characters; 0: no piece ends here yet */
} path;

static bool add_bytes(const token_model *model, const characters *pool, size_t begin, size_t end, token_spans *out,
                      bool *done) {
    *done = false;
    for (int pass = 0; pass < 2; pass++) /* the first pass checks that all are there */
        for (size_t i = begin; i < end; i++) {
            char bytes[4];
            size_t size = utf8_put(bytes, pool->items[i].code);
            for (size_t j = 0; j < size; j++) {
                int32_t id = model->byte_ids[(unsigned char)bytes[j]];
                if (id < 0) return true;
                if (pass == 1 && !token_spans_add(out, id, begin, end, false)) return false;
            }
        }
    *done = true;
    return true;
}

static bool add_unknown(const token_model *model, const characters *pool, size_t begin, size_t end, token_spans *out) {
    bool done = false;
    if (model->byte_fallback && !add_bytes(model, pool, begin, end, out, &done)) return false;
    return done || model->unknown < 0 || token_spans_add(out, model->unknown, begin, end, true);
}

bool unigram_tokenize(const token_model *model, const characters *pool, size_t begin, size_t end, token_spans *out,
                      model_scratch *scratch) {
    const trie *vocabulary = &model->vocabulary;
    size_t count = end - begin;
    path *best = model_scratch_take(scratch, (count + 1) * sizeof *best);
    if (!best) return false;
    for (size_t i = 0; i <= count; i++) best[i] = (path){0, -1, 0};
    for (size_t at = 0; at < count; at++) {
        double so_far = best[at].score;
        bool single = false;
        uint32_t node = 0;
        for (size_t i = at; i < count; i++) {
            node = trie_step(vocabulary, node, pool->items[begin + i].code);
            if (node == TRIE_NONE) break;
            int32_t id = vocabulary->values[node];
            if (id < 0) continue;
            path *target = &best[i + 1];
            double score = model->scores[id] + so_far;
            if (target->length == 0 || score > target->score) *target = (path){score, id, (uint32_t)(i + 1 - at)};
            single = single || i == at;
        }
        if (!single) {
            path *target = &best[at + 1];
            double score = model->unknown_score + so_far;
            if (target->length == 0 || score > target->score) *target = (path){score, model->unknown, 1};
        }
    }
    /* From the end back to the beginning: turns lengths into links to the next piece. */
    for (size_t at = count, next = 0; at > 0;) {
        size_t from = at - best[at].length;
        best[at].length = (uint32_t)next; /* the end of the next piece; 0 after the last */
        next = at;
        at = from;
        if (at == 0) best[0].length = (uint32_t)next;
    }
    size_t unknown_from = 0;
    bool unknown_open = false;
    for (size_t from = 0, to = best[0].length; to != 0; from = to, to = best[to].length) {
        bool unknown = best[to].id == model->unknown;
        if (unknown) {
            if (!unknown_open) unknown_from = from;
            unknown_open = true;
            continue;
        }
        if (unknown_open && !add_unknown(model, pool, begin + unknown_from, begin + from, out)) return false;
        unknown_open = false;
        if (!token_spans_add(out, best[to].id, begin + from, begin + to, false)) return false;
    }
    return !unknown_open || add_unknown(model, pool, begin + unknown_from, end, out);
}
