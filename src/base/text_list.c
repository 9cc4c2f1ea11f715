/* Lists that a user writes in one text. */
#include "base/text_list.h"

#include <stdlib.h>
#include <string.h>

static const char WHITE[] = " \t\r\n\f\v";

/* The next part from *at on, which moves behind it; NULL at the end. */
static const char *next_part(const char **at, size_t *bytes) {
    while (**at) {
        const char *part = *at + strspn(*at, WHITE);
        size_t size = strcspn(part, ",");
        *at = part[size] ? part + size + 1 : part + size;
        while (size && strchr(WHITE, part[size - 1])) size--;
        *bytes = size;
        if (size) return part;
    }
    return NULL;
}

char **text_list_split(const char *text, size_t *count) {
    size_t most = strlen(text) / 2 + 1, bytes; /* every part has a character and a comma */
    char **parts = malloc(most * sizeof *parts + strlen(text) + 1);
    *count = 0;
    if (!parts) return NULL;
    char *to = (char *)(parts + most);
    for (const char *part; (part = next_part(&text, &bytes)); to += bytes + 1) {
        parts[(*count)++] = to;
        memcpy(to, part, bytes);
        to[bytes] = 0;
    }
    return parts;
}

bool text_list_has(const char *list, const char *part) {
    size_t bytes;
    for (const char *one; (one = next_part(&list, &bytes));)
        if (strncmp(one, part, bytes) == 0 && !part[bytes]) return true;
    return false;
}
