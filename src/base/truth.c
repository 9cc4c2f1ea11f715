/* Truth values that a user writes. */
#define _DEFAULT_SOURCE
#include "base/truth.h"

#include <stddef.h>
#include <strings.h>

bool truth_read(bool *out, const char *text) {
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (int value = 0; value < 2; value++)
            if (strcasecmp(words[i][value], text) == 0) {
                *out = value;
                return true;
            }
    return false;
}
