/* WordPiece: takes the longest piece from the left, repeatedly. A word that the pieces do not cover is unknown as a
 * whole. Schuster and Nakajima 2012; greedy matching as in BERT. */
#include "text/token_model.h"

bool wordpiece_tokenize(const token_model *model, const characters *pool, size_t begin, size_t end, token_spans *out,
                        model_scratch *scratch) {
    (void)scratch;
    const trie *vocabulary = &model->vocabulary;
    size_t before = out->count;
    if (end - begin > model->max_characters) return token_spans_add(out, model->unknown, begin, end, false);
    for (size_t at = begin; at < end;) {
        uint32_t node = at == begin ? 0 : 1;
        int32_t best = -1;
        size_t best_end = at;
        for (size_t i = at; i < end; i++) {
            node = trie_step(vocabulary, node, pool->items[i].code);
            if (node == TRIE_NONE) break;
            if (vocabulary->values[node] >= 0) {
                best = vocabulary->values[node];
                best_end = i + 1;
            }
        }
        if (best < 0) {
            out->count = before;
            return token_spans_add(out, model->unknown, begin, end, false);
        }
        if (!token_spans_add(out, best, at, best_end, false)) return false;
        at = best_end;
    }
    return true;
}
