/* A set of byte strings, each with a number: 0, 1, ... in the order in which they were added. A struct of zero bytes is
 * valid and empty. */
#ifndef RUBATO_BASE_STRING_TABLE_H
#define RUBATO_BASE_STRING_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct string_table {
    char *bytes; /* of all strings, one after the other, each with a NUL behind it */
    size_t bytes_used, bytes_capacity;
    size_t *begin; /* [count + 1] in bytes */
    size_t count, capacity;
    uint32_t *slots; /* hash table of number + 1; 0: free */
    size_t slot_count;
} string_table;

#define STRING_NONE SIZE_MAX

/* The number of a string, or STRING_NONE. */
size_t string_table_find(const string_table *self, const char *string, size_t size);

/* The number of a string, which is added where it is new; STRING_NONE when memory is short. Numbers are below 2^32 - 1.
 * `string` is not in the table's own memory. */
size_t string_table_put(string_table *self, const char *string, size_t size);

static inline const char *string_table_at(const string_table *self, size_t number, size_t *size) {
    *size = self->begin[number + 1] - self->begin[number] - 1;
    return self->bytes + self->begin[number];
}

void string_table_free(string_table *self);

#endif
