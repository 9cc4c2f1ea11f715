/* UTF-8 checking. */
#include "base/utf8.h"

#include <string.h>

static bool continuation(unsigned char byte) {
    return (byte & 0xc0) == 0x80;
}

size_t utf8_check(const char *bytes, size_t size) {
    const unsigned char *s = (const unsigned char *)bytes;
    size_t i = 0;
    while (i < size) {
        uint64_t eight;
        while (i + 8 <= size && (memcpy(&eight, s + i, 8), (eight & 0x8080808080808080u) == 0)) i += 8;
        if (i == size) break;
        unsigned char lead = s[i];
        size_t left = size - i, length;
        if (lead < 0x80) {
            length = 1;
        } else if (lead < 0xc2) {
            return i;
        } else if (lead < 0xe0) {
            if (left < 2 || !continuation(s[i + 1])) return i;
            length = 2;
        } else if (lead < 0xf0) {
            if (left < 3 || !continuation(s[i + 1]) || !continuation(s[i + 2])) return i;
            if (lead == 0xe0 && s[i + 1] < 0xa0) return i;
            if (lead == 0xed && s[i + 1] >= 0xa0) return i;
            length = 3;
        } else {
            if (lead > 0xf4 || left < 4 || !continuation(s[i + 1]) || !continuation(s[i + 2]) ||
                !continuation(s[i + 3]))
                return i;
            if (lead == 0xf0 && s[i + 1] < 0x90) return i;
            if (lead == 0xf4 && s[i + 1] >= 0x90) return i;
            length = 4;
        }
        i += length;
    }
    return size;
}

size_t utf8_byte_of(const char *bytes, size_t size, size_t index) {
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)bytes[i] & 0xc0) != 0x80 && index-- == 0) return i;
    return size;
}
