/* A trie over code points in one hash table: an edge is (node, code point) -> node, and a node has a value. It serves
 * vocabularies (longest match, all prefixes) and added tokens. */
#ifndef RUBATO_TEXT_TRIE_H
#define RUBATO_TEXT_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct trie {
    uint64_t *keys;     /* node << 21 | code; TRIE_EMPTY in a free slot */
    uint32_t *children; /* of the same slots as keys */
    size_t mask;        /* slots - 1 */
    size_t edges;
    int32_t *values; /* [nodes], -1 where no key ends */
    size_t nodes, node_capacity;
} trie;

#define TRIE_EMPTY UINT64_MAX
enum { TRIE_NONE = 0 }; /* no node: the root is never a child */

/* Creates the roots 0 to `roots` - 1, so that several tries can share one table. */
bool trie_create(trie *self, size_t roots, size_t expected_edges);
void trie_free(trie *self);

/* Adds a key of code points below `root`. Of equal keys the first one counts. */
bool trie_add(trie *self, uint32_t root, const uint32_t *codes, size_t count, int32_t value);

/* The same for UTF-8, but of equal keys the last one counts, as in the reference's vocabularies. */
bool trie_add_text(trie *self, uint32_t root, const char *bytes, size_t size, int32_t value);

static inline uint64_t trie_key(uint32_t node, uint32_t code) {
    return (uint64_t)node << 21 | code;
}

static inline size_t trie_slot(uint64_t key, size_t mask) {
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32) & mask;
}

/* The child of a node, or TRIE_NONE. */
static inline uint32_t trie_step(const trie *t, uint32_t node, uint32_t code) {
    uint64_t key = trie_key(node, code);
    for (size_t slot = trie_slot(key, t->mask);; slot = (slot + 1) & t->mask) {
        if (t->keys[slot] == key) return t->children[slot];
        if (t->keys[slot] == TRIE_EMPTY) return TRIE_NONE;
    }
}

#endif
