/* Properties of code points. */
#include "text/unicode.h"

#include <utf8proc.h>

/* The index of the range that contains the code, or count. All three tables begin with {first, last}. */
static size_t find_range(const void *table, size_t count, size_t stride, uint32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const code_range *range = (const code_range *)(const void *)((const char *)table + middle * stride);
        if (code < range->first)
            high = middle;
        else if (code > range->last)
            low = middle + 1;
        else
            return middle;
    }
    return count;
}

static unsigned ascii_flags(uint32_t c) {
    if (c == ' ' || (c >= 9 && c <= 13)) return CHARACTER_SPACE | (c == 11 || c == 12 ? CHARACTER_DROP : 0u);
    if (c < 32 || c == 127) return CHARACTER_DROP;
    if ((c | 32) >= 'a' && (c | 32) <= 'z') return CHARACTER_LETTER | CHARACTER_WORD;
    if (c >= '0' && c <= '9') return CHARACTER_NUMBER | CHARACTER_WORD;
    return c == '_' ? CHARACTER_PUNCTUATION | CHARACTER_WORD : CHARACTER_PUNCTUATION;
}

static bool is_space(uint32_t c) {
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

unsigned character_flags(uint32_t code) {
    if (code < 0x80) return ascii_flags(code);
    /* The exceptions begin at U+0344. No exception is a Hangul syllable or a CJK ideograph. */
    if (code >= 0x344 && !(code >= 0x3400 && code < 0xa000) && !(code >= 0xac00 && code < 0xd7a4)) {
        size_t index =
            find_range(character_exceptions, character_exception_count, sizeof character_exceptions[0], code);
        if (index < character_exception_count) return character_exceptions[index].flags;
    }
    unsigned flags = is_space(code) ? CHARACTER_SPACE : 0;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO: flags |= CHARACTER_DROP; break;
    case UTF8PROC_CATEGORY_MN: flags |= CHARACTER_NONSPACING | CHARACTER_MARK | CHARACTER_WORD; break;
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: flags |= CHARACTER_MARK | CHARACTER_WORD; break;
    case UTF8PROC_CATEGORY_PC: flags |= CHARACTER_PUNCTUATION | CHARACTER_WORD; break;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: flags |= CHARACTER_PUNCTUATION; break;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: flags |= CHARACTER_LETTER | CHARACTER_WORD; break;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: flags |= CHARACTER_NUMBER | CHARACTER_WORD; break;
    case UTF8PROC_CATEGORY_NO: flags |= CHARACTER_NUMBER; break;
    default: break;
    }
    if (code == 0xfffd) flags |= CHARACTER_DROP;
    return flags;
}

bool character_is_cjk(uint32_t c) {
    /* the reference has 2B920 where the block begins at 2B820 */
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

size_t character_lower(uint32_t code, uint32_t out[3]) {
    if (code < 0x80) {
        out[0] = code >= 'A' && code <= 'Z' ? code + 32 : code;
        return 1;
    }
    if (code == 0x130) { /* the only full mapping that is longer than its source */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    size_t index = find_range(lower_exceptions, lower_exception_count, sizeof lower_exceptions[0], code);
    out[0] = index < lower_exception_count ? (uint32_t)((int32_t)code + lower_exceptions[index].delta)
                                           : (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    return 1;
}

size_t character_decompose(uint32_t code, bool compatibility, uint32_t out[MAX_DECOMPOSITION]) {
    out[0] = code;
    if (code < 0xa0 || find_range(undecomposed, undecomposed_count, sizeof undecomposed[0], code) < undecomposed_count)
        return 1;
    int boundary = 0;
    utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_DECOMPOSE | (compatibility ? (int)UTF8PROC_COMPAT : 0));
    utf8proc_int32_t parts[MAX_DECOMPOSITION];
    utf8proc_ssize_t count =
        utf8proc_decompose_char((utf8proc_int32_t)code, parts, MAX_DECOMPOSITION, options, &boundary);
    if (count < 1 || count > MAX_DECOMPOSITION) return 1;
    for (utf8proc_ssize_t i = 0; i < count; i++) out[i] = (uint32_t)parts[i];
    return (size_t)count;
}

unsigned character_combining_class(uint32_t code) {
    if (code < 0x300) return 0;
    unsigned class = (unsigned)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
    /* a mark that is newer than the reference has no class there */
    return class && (character_flags(code) & CHARACTER_MARK) ? class : 0;
}

uint32_t character_compose(uint32_t first, uint32_t second) {
    utf8proc_int32_t pair[3] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second, 0};
    utf8proc_ssize_t length =
        utf8proc_normalize_utf32(pair, 2, (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    return length == 1 ? (uint32_t)pair[0] : 0;
}

bool grapheme_break(uint32_t left, uint32_t right, int32_t *state) {
    if (right >= 0x300 && left != '\n' && left != '\r' &&
        find_range(cluster_extenders, cluster_extender_count, sizeof cluster_extenders[0], right) <
            cluster_extender_count)
        return false;
    return utf8proc_grapheme_break_stateful((utf8proc_int32_t)left, (utf8proc_int32_t)right, state);
}
