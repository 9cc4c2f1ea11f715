/* The functions that all models share. */
#include "text/token_model.h"

#include <stdlib.h>

bool token_spans_add(token_spans *list, int32_t id, size_t begin, size_t end, bool surface) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        token_span *items = realloc(list->items, capacity * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (token_span){id, (uint32_t)begin, (uint32_t)end, surface};
    return true;
}

void *model_scratch_take(model_scratch *scratch, size_t bytes) {
    if (bytes > scratch->size) {
        void *grown = realloc(scratch->bytes, bytes + bytes / 2);
        if (!grown) return NULL;
        scratch->bytes = grown;
        scratch->size = bytes + bytes / 2;
    }
    return scratch->bytes;
}

bool word_level_tokenize(const token_model *model, const characters *pool, size_t begin, size_t end, token_spans *out,
                         model_scratch *scratch) {
    (void)scratch;
    uint32_t node = 0;
    for (size_t i = begin; i < end; i++)
        if ((node = trie_step(&model->vocabulary, node, pool->items[i].code)) == TRIE_NONE) break;
    int32_t id = node != TRIE_NONE ? model->vocabulary.values[node] : -1;
    if (id < 0) id = model->unknown;
    return id < 0 || token_spans_add(out, id, begin, end, false);
}
