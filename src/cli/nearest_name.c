/* Names are compared by letters that are added, left out, changed or swapped with their neighbour. */
#include "cli/nearest_name.h"

#include <stdio.h>
#include <string.h>

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t distance(const char *a, size_t rows, const char *b, size_t columns) {
    size_t of[MOST_NAME][MOST_NAME];
    for (size_t i = 0; i <= rows; i++)
        for (size_t j = 0; j <= columns; j++) {
            of[i][j] = i + j;
            if (i == 0 || j == 0) continue;
            of[i][j] = least(least(of[i - 1][j], of[i][j - 1]) + 1, of[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                of[i][j] = least(of[i][j], of[i - 2][j - 2] + 1);
        }
    return of[rows][columns];
}

void nearest_name_try(nearest_name *self, const char *name) {
    size_t length = strlen(self->word), other = strlen(name);
    if (length >= MOST_NAME || other >= MOST_NAME) return;
    size_t found = distance(self->word, length, name, other);
    if (found > 2 || 2 * found >= length || (*self->name && found >= self->distance)) return;
    snprintf(self->name, sizeof self->name, "%s", name);
    self->distance = found;
}
