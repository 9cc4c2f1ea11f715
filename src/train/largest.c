#include "train/largest.h"

#include <stdint.h>
#include <string.h>

enum { DIGITS = 4, DIGIT_BITS = 8, DIGIT_COUNT = 1 << DIGIT_BITS };

/* An unsigned number that rises with the value. */
static uint32_t rank(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The rank of number `most` in falling order: digit by digit from the top, each by counting. *above: how many ranks are
 * larger. */
static uint32_t find_rank(const float *values, size_t count, size_t most, size_t *above) {
    uint32_t found = 0;
    *above = 0;
    for (int digit = DIGITS - 1; digit >= 0; digit--) {
        const int shift = digit * DIGIT_BITS;
        size_t counts[DIGIT_COUNT] = {0};
        const uint32_t known = digit == DIGITS - 1 ? 0 : ~(uint32_t)0 << (shift + DIGIT_BITS);
        for (size_t i = 0; i < count; i++) {
            const uint32_t r = rank(values[i]);
            if ((r & known) == found) counts[r >> shift & (DIGIT_COUNT - 1)]++;
        }
        uint32_t value = DIGIT_COUNT - 1;
        for (; value > 0 && *above + counts[value] < most; value--) *above += counts[value];
        found |= value << shift;
    }
    return found;
}

void largest_mark(const float *values, size_t count, size_t most, float *marks) {
    size_t above;
    if (most == 0 || count == 0) {
        memset(marks, 0, count * sizeof *marks);
        return;
    }
    const uint32_t limit = find_rank(values, count, most < count ? most : count, &above);
    size_t equal = most > above ? most - above : 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t r = rank(values[i]);
        const int stays = r > limit || (r == limit && equal > 0);
        if (r == limit && equal > 0) equal--;
        marks[i] = stays ? 1 : 0;
    }
}
