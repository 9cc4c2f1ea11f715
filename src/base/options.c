/* Reading options structs of any version. */
#include "base/options.h"

#include <string.h>

enum { MOST_BYTES = 1 << 16 };

rubato_status options_copy(void *out, size_t size, const void *given, const char *name, rubato_error *error) {
    size_t has = size;
    memset(out, 0, size);
    if (given) memcpy(&has, given, sizeof has);
    if (has < sizeof has || has % sizeof has != 0 || has > MOST_BYTES)
        return fail(error, RUBATO_BAD_ARGUMENT, "a %s with a size of %zu: set its first member to sizeof(%s)", name,
                    has, name);
    for (size_t i = size; i < has; i++)
        if (((const unsigned char *)given)[i])
            return fail(error, RUBATO_UNSUPPORTED,
                        "a %s of %zu bytes sets what this library, which knows %zu, does not have; it is older than "
                        "the header",
                        name, has, size);
    if (given) memcpy(out, given, has < size ? has : size);
    memcpy(out, &size, sizeof size);
    return RUBATO_OK;
}
