/* Byte-pair encoding: of all neighbouring pairs the pair that was learnt first is merged, of equal ones the leftmost,
 * until no pair is left. Sennrich et al. 2016. For short words a scan finds the best pair; long words keep a heap. */
#include <string.h>

#include "base/utf8.h"
#include "text/token_model.h"

enum { SCAN_LIMIT = 48 };

typedef struct symbol {
    int32_t id;
    uint32_t begin, end;
    uint32_t previous, next; /* indices; NONE at the ends */
    uint32_t rank;           /* of the pair with the next symbol; NONE when it does not merge */
    int32_t merged;
} symbol;

#define NONE UINT32_MAX

static const merge *find_merge(const token_model *model, int32_t left, int32_t right) {
    if (!model->merges || left < 0 || right < 0) return NULL;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t slot = trie_slot(pair, model->merge_mask);; slot = (slot + 1) & model->merge_mask) {
        if (model->merges[slot].pair == pair) return &model->merges[slot];
        if (model->merges[slot].pair == UINT64_MAX) return NULL;
    }
}

static void rank_pair(const token_model *model, symbol *symbols, uint32_t index) {
    symbol *left = &symbols[index];
    left->rank = NONE;
    if (left->next == NONE) return;
    const merge *found = find_merge(model, left->id, symbols[left->next].id);
    if (!found) return;
    left->rank = found->rank;
    left->merged = found->id;
}

static void merge_pair(const token_model *model, symbol *symbols, uint32_t index) {
    symbol *left = &symbols[index], *right = &symbols[left->next];
    left->id = left->merged;
    left->end = right->end;
    left->next = right->next;
    right->rank = NONE;
    right->id = -2; /* merged away */
    if (left->next != NONE) symbols[left->next].previous = index;
    rank_pair(model, symbols, index);
    if (left->previous != NONE) rank_pair(model, symbols, left->previous);
}

static void merge_by_scan(const token_model *model, symbol *symbols) {
    for (;;) {
        uint32_t best = NONE, best_rank = NONE;
        for (uint32_t i = 0; i != NONE; i = symbols[i].next)
            if (symbols[i].rank < best_rank) {
                best_rank = symbols[i].rank;
                best = i;
            }
        if (best == NONE) return;
        merge_pair(model, symbols, best);
    }
}

/* A binary heap of rank << 32 | index. An entry whose symbol has got another rank since is stale, and is skipped. */
static void heap_push(uint64_t *heap, size_t *count, uint64_t entry) {
    size_t at = (*count)++;
    while (at > 0 && heap[(at - 1) / 2] > entry) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = entry;
}

static uint64_t heap_pop(uint64_t *heap, size_t *count) {
    uint64_t top = heap[0], last = heap[--*count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= *count) break;
        if (child + 1 < *count && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static void push_pair(const symbol *symbols, uint32_t index, uint64_t *heap, size_t *count) {
    if (symbols[index].rank != NONE) heap_push(heap, count, (uint64_t)symbols[index].rank << 32 | index);
}

/* Every merge adds at most two entries, so the heap holds at most 3 n. */
static void merge_by_heap(const token_model *model, symbol *symbols, uint32_t count, uint64_t *heap) {
    size_t entries = 0;
    for (uint32_t i = 0; i < count; i++) push_pair(symbols, i, heap, &entries);
    while (entries > 0) {
        uint64_t top = heap_pop(heap, &entries);
        uint32_t index = (uint32_t)top;
        if (symbols[index].id == -2 || symbols[index].rank != (uint32_t)(top >> 32)) continue;
        merge_pair(model, symbols, index);
        push_pair(symbols, index, heap, &entries);
        if (symbols[index].previous != NONE) push_pair(symbols, symbols[index].previous, heap, &entries);
    }
}

bool bpe_tokenize(const token_model *model, const characters *pool, size_t begin, size_t end, token_spans *out,
                  model_scratch *scratch) {
    const trie *vocabulary = &model->vocabulary;
    if (model->ignore_merges) {
        uint32_t node = 0;
        for (size_t i = begin; i < end; i++)
            if ((node = trie_step(vocabulary, node, pool->items[i].code)) == TRIE_NONE) break;
        if (node != TRIE_NONE && vocabulary->values[node] >= 0)
            return token_spans_add(out, vocabulary->values[node], begin, end, false);
    }
    size_t length = end - begin;
    symbol *symbols = model_scratch_take(scratch, length * sizeof *symbols + 3 * length * sizeof(uint64_t));
    if (!symbols) return false;
    uint32_t count = 0;
    bool unknown_open = false;
    for (size_t i = begin; i < end; i++) {
        uint32_t node = trie_step(vocabulary, 0, pool->items[i].code);
        for (size_t at = 0; i + 1 == end && node != TRIE_NONE && at < model->suffix_bytes;) {
            uint32_t code;
            at += utf8_next((const unsigned char *)model->suffix + at, &code);
            node = trie_step(vocabulary, node, code);
        }
        int32_t id = node != TRIE_NONE ? vocabulary->values[node] : -1;
        bool unknown = id < 0;
        if (unknown && model->unknown < 0) continue; /* no unknown token: the character is lost */
        if (unknown && unknown_open && model->fuse_unknown) {
            symbols[count - 1].end = (uint32_t)i + 1;
            continue;
        }
        symbols[count] = (symbol){
            unknown ? model->unknown : id, (uint32_t)i, (uint32_t)i + 1, count ? count - 1 : NONE, count + 1, NONE, 0};
        count++;
        unknown_open = unknown;
    }
    if (count == 0) return true;
    symbols[count - 1].next = NONE;
    for (uint32_t i = 0; i < count; i++) rank_pair(model, symbols, i);
    if (count <= SCAN_LIMIT)
        merge_by_scan(model, symbols);
    else
        merge_by_heap(model, symbols, count, (uint64_t *)(void *)(symbols + length));
    for (uint32_t i = 0; i != NONE; i = symbols[i].next)
        if (!token_spans_add(out, symbols[i].id, symbols[i].begin, symbols[i].end, false)) return false;
    return true;
}
