/* SentencePiece's precompiled character map: a double-array trie (Darts-clone units) over UTF-8 bytes. Its values are
 * positions of NUL-ended replacements. */
#ifndef RUBATO_TEXT_CHARSMAP_H
#define RUBATO_TEXT_CHARSMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct charsmap {
    uint32_t *units;
    size_t unit_count;
    char *texts; /* NUL-ended, and one more NUL at the end */
    size_t text_bytes;
} charsmap;

/* Decodes the base64 of tokenizer.json's precompiled_charsmap. */
rubato_status charsmap_load(charsmap *map, const char *base64, size_t length, rubato_error *error);
void charsmap_free(charsmap *map);

/* The replacement for the shortest prefix of bytes that the map holds, or NULL. As in the reference, the replacement is
 * then for all of bytes, however long. */
const char *charsmap_find(const charsmap *map, const char *bytes, size_t size);

#endif
