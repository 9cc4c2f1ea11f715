#include "base/string_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { FIRST_SLOTS = 1024 };

/* The slot of a string, or the free slot where it belongs. */
static size_t slot_of(const string_table *self, const char *string, size_t size) {
    size_t slot = hash_bytes(0, string, size) & (self->slot_count - 1), found_size;
    for (; self->slots[slot]; slot = (slot + 1) & (self->slot_count - 1)) {
        const char *found = string_table_at(self, self->slots[slot] - 1, &found_size);
        if (found_size == size && (size == 0 || memcmp(found, string, size) == 0)) break;
    }
    return slot;
}

size_t string_table_find(const string_table *self, const char *string, size_t size) {
    if (!self->slot_count) return STRING_NONE;
    uint32_t found = self->slots[slot_of(self, string, size)];
    return found ? found - 1 : STRING_NONE;
}

static bool grow_slots(string_table *self) {
    size_t count = self->slot_count ? 2 * self->slot_count : FIRST_SLOTS, size;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots) return false;
    free(self->slots);
    self->slots = slots;
    self->slot_count = count;
    for (size_t i = 0; i < self->count; i++) {
        const char *string = string_table_at(self, i, &size);
        self->slots[slot_of(self, string, size)] = (uint32_t)i + 1;
    }
    return true;
}

static bool grow_items(string_table *self) {
    size_t capacity = self->capacity ? 2 * self->capacity : 256;
    size_t *begin = realloc(self->begin, (capacity + 1) * sizeof *begin);
    if (!begin) return false;
    if (!self->capacity) begin[0] = 0;
    self->begin = begin;
    self->capacity = capacity;
    return true;
}

static bool grow_bytes(string_table *self, size_t more) {
    size_t capacity = self->bytes_capacity ? self->bytes_capacity : 4096;
    while (capacity - self->bytes_used < more) capacity *= 2;
    char *bytes = realloc(self->bytes, capacity);
    if (!bytes) return false;
    self->bytes = bytes;
    self->bytes_capacity = capacity;
    return true;
}

size_t string_table_put(string_table *self, const char *string, size_t size) {
    size_t found = string_table_find(self, string, size);
    if (found != STRING_NONE) return found;
    if (self->count >= UINT32_MAX - 1) return STRING_NONE;
    if (2 * (self->count + 1) > self->slot_count && !grow_slots(self)) return STRING_NONE;
    if (self->count == self->capacity && !grow_items(self)) return STRING_NONE;
    if (self->bytes_capacity - self->bytes_used < size + 1 && !grow_bytes(self, size + 1)) return STRING_NONE;
    size_t slot = slot_of(self, string, size);
    if (size) memcpy(self->bytes + self->bytes_used, string, size);
    self->bytes[self->bytes_used + size] = 0;
    self->bytes_used += size + 1;
    self->begin[self->count + 1] = self->bytes_used;
    self->slots[slot] = (uint32_t)++self->count;
    return self->count - 1;
}

void string_table_free(string_table *self) {
    free(self->bytes);
    free(self->begin);
    free(self->slots);
    *self = (string_table){0};
}
