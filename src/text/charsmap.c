/* SentencePiece's precompiled character map. */
#include "text/charsmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

rubato_status charsmap_load(charsmap *map, const char *base64, size_t length, rubato_error *error) {
    *map = (charsmap){0};
    while (length > 0 && base64[length - 1] == '=') length--;
    unsigned char *bytes = malloc(length / 4 * 3 + 4);
    if (!bytes) return fail_memory(error);
    size_t size = 0;
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < length; i++) {
        int value = base64_value(base64[i]);
        if (value < 0) {
            free(bytes);
            return fail(error, RUBATO_BAD_MODEL, "precompiled_charsmap: not base64 at character %zu", i);
        }
        bits = bits << 6 | (unsigned)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[size++] = (unsigned char)(bits >> held & 0xff);
        }
    }
    rubato_status status = RUBATO_OK;
    uint32_t trie_bytes = 0;
    if (size >= 4) memcpy(&trie_bytes, bytes, 4);
    if (size < 4 || trie_bytes % 4 != 0 || trie_bytes > size - 4) {
        status = fail(error, RUBATO_BAD_MODEL, "precompiled_charsmap: trie of %u bytes in %zu", trie_bytes, size);
        goto done;
    }
    map->unit_count = trie_bytes / 4;
    map->text_bytes = size - 4 - trie_bytes;
    map->units = malloc(trie_bytes + 4);
    map->texts = calloc(map->text_bytes + 1, 1);
    if (!map->units || !map->texts) {
        status = fail_memory(error);
        goto done;
    }
    memcpy(map->units, bytes + 4, trie_bytes);
    memcpy(map->texts, bytes + 4 + trie_bytes, map->text_bytes);
    if (utf8_check(map->texts, map->text_bytes) != map->text_bytes)
        status = fail(error, RUBATO_BAD_MODEL, "precompiled_charsmap: replacements are not UTF-8");
done:
    free(bytes);
    if (status != RUBATO_OK) charsmap_free(map);
    return status;
}

void charsmap_free(charsmap *map) {
    free(map->units);
    free(map->texts);
    *map = (charsmap){0};
}

static uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

const char *charsmap_find(const charsmap *map, const char *bytes, size_t size) {
    if (map->unit_count == 0) return NULL;
    size_t node = offset_of(map->units[0]);
    for (size_t i = 0; i < size && bytes[i] != 0; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        node ^= byte;
        if (node >= map->unit_count) return NULL;
        uint32_t unit = map->units[node];
        if ((unit & 0x800000ffu) != byte) return NULL;
        node ^= offset_of(unit);
        if (unit >> 8 & 1) {
            if (node >= map->unit_count) return NULL;
            size_t at = map->units[node] & 0x7fffffffu;
            /* text at a position inside a character could not be decoded */
            if (at > map->text_bytes || ((unsigned char)map->texts[at] & 0xc0) == 0x80) return NULL;
            return map->texts + at;
        }
    }
    return NULL;
}
