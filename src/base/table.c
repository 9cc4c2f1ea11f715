/* Tables as text. */
#include "base/table.h"

#include <stdint.h>

char *table_cut(char *at, char *end, bool csv, char **fields, size_t *count, size_t *lines) {
    *count = 0;
    *lines = 1;
    for (;;) {
        if (*count == TABLE_COLUMNS) {
            *count = SIZE_MAX;
            return end;
        }
        char *out = at;
        fields[(*count)++] = out;
        if (csv && at < end && *at == '"') {
            for (at++;; at++) {
                if (at >= end) {
                    *count = SIZE_MAX;
                    return end;
                }
                if (*at == '"') {
                    if (at + 1 < end && at[1] == '"')
                        at++;
                    else
                        break;
                }
                *lines += *at == '\n';
                *out++ = *at;
            }
            at++;
        }
        char separator = csv ? ',' : '\t';
        while (at < end && *at != separator && *at != '\n') *out++ = *at++;
        bool more = at < end && *at == separator;
        char *next = at < end ? at + 1 : end;
        if (!more && out > fields[*count - 1] && out[-1] == '\r') out--;
        *out = 0;
        if (!more) return next;
        at = next;
    }
}
