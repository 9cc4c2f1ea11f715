/* A trie in a hash table. */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static bool allocate(trie *self, size_t slots) {
    self->keys = malloc(slots * sizeof *self->keys);
    self->children = malloc(slots * sizeof *self->children);
    if (!self->keys || !self->children) return false;
    memset(self->keys, 0xff, slots * sizeof *self->keys);
    self->mask = slots - 1;
    return true;
}

static uint32_t add_node(trie *self) {
    if (self->nodes == self->node_capacity) {
        size_t capacity = self->node_capacity * 2 + 64;
        int32_t *values = realloc(self->values, capacity * sizeof *values);
        if (!values) return TRIE_NONE;
        self->values = values;
        self->node_capacity = capacity;
    }
    self->values[self->nodes] = -1;
    return (uint32_t)self->nodes++;
}

bool trie_create(trie *self, size_t roots, size_t expected_edges) {
    *self = (trie){0};
    size_t slots = 64;
    while (slots < expected_edges * 2) slots *= 2;
    if (!allocate(self, slots)) return false;
    self->node_capacity = expected_edges + roots + 1;
    self->values = malloc(self->node_capacity * sizeof *self->values);
    if (!self->values) return false;
    for (size_t i = 0; i < roots; i++) add_node(self);
    return true;
}

void trie_free(trie *self) {
    free(self->keys);
    free(self->children);
    free(self->values);
    *self = (trie){0};
}

static void insert(trie *self, uint64_t key, uint32_t child) {
    size_t slot = trie_slot(key, self->mask);
    while (self->keys[slot] != TRIE_EMPTY) slot = (slot + 1) & self->mask;
    self->keys[slot] = key;
    self->children[slot] = child;
}

static bool grow(trie *self) {
    uint64_t *keys = self->keys;
    uint32_t *children = self->children;
    size_t slots = self->mask + 1;
    if (!allocate(self, slots * 2)) {
        free(self->keys);
        free(self->children);
        self->keys = keys;
        self->children = children;
        self->mask = slots - 1;
        return false;
    }
    for (size_t i = 0; i < slots; i++)
        if (keys[i] != TRIE_EMPTY) insert(self, keys[i], children[i]);
    free(keys);
    free(children);
    return true;
}

static uint32_t step_or_add(trie *self, uint32_t node, uint32_t code) {
    uint32_t child = trie_step(self, node, code);
    if (child != TRIE_NONE) return child;
    if ((self->edges + 1) * 10 > (self->mask + 1) * 7 && !grow(self)) return TRIE_NONE;
    child = add_node(self);
    if (child == TRIE_NONE) return TRIE_NONE;
    insert(self, trie_key(node, code), child);
    self->edges++;
    return child;
}

bool trie_add(trie *self, uint32_t root, const uint32_t *codes, size_t count, int32_t value) {
    uint32_t node = root;
    for (size_t i = 0; i < count; i++)
        if ((node = step_or_add(self, node, codes[i])) == TRIE_NONE) return false;
    if (self->values[node] < 0) self->values[node] = value;
    return true;
}

bool trie_add_text(trie *self, uint32_t root, const char *bytes, size_t size, int32_t value) {
    uint32_t node = root;
    for (size_t i = 0; i < size;) {
        uint32_t code;
        i += utf8_next((const unsigned char *)bytes + i, &code);
        if ((node = step_or_add(self, node, code)) == TRIE_NONE) return false;
    }
    self->values[node] = value;
    return true;
}
