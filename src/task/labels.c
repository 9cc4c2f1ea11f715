/* Labels of data sets. */
#define _DEFAULT_SOURCE
#include "task/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/dataset.h"

static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return *text && !*end;
}

bool label_missing(const char *text) {
    return !text || !text[strspn(text, " \t\r")] || strcasecmp(text, "nan") == 0;
}

void labels_write(const char *const *labels, size_t count, char *out, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(labels[i]);
        if (at + length + 16 > bytes) {
            snprintf(out + at, bytes - at, "%s... (%zu)", i ? ", " : "", count);
            return;
        }
        at += (size_t)snprintf(out + at, bytes - at, "%s%s", i ? ", " : "", labels[i]);
    }
}

bool label_known(const rubato_info *info, const char *text, size_t *out) {
    size_t alike = 0;
    bool numbers = false;
    for (size_t i = 0; i < info->label_count; i++) {
        if (strcmp(info->labels[i], text) == 0) {
            *out = i;
            return true;
        }
        numbers = numbers || is_number(info->labels[i]);
        if (strcasecmp(info->labels[i], text) != 0) continue;
        alike++;
        *out = i;
    }
    if (alike > 0) return alike == 1;
    if (numbers || !*text || text[strspn(text, "0123456789")]) return false;
    *out = strtoul(text, NULL, 10);
    return *out < info->label_count;
}

bool labels_named(const rubato_info *info) {
    char name[32];
    for (size_t i = 0; i < info->label_count; i++) {
        snprintf(name, sizeof name, "LABEL_%zu", i);
        if (strcmp(info->labels[i], name) != 0) return true;
    }
    return false;
}

rubato_status label_find(size_t *out, const rubato_info *info, const char *text, const char *file, size_t line,
                         rubato_error *error) {
    char known[160] = "";
    if (text && label_known(info, text, out)) return RUBATO_OK;
    labels_write(info->labels, info->label_count, known, sizeof known);
    if (!text || !*text) return fail_example(error, RUBATO_BAD_DATA, file, line, "no label; the model's are %s", known);
    return fail_example(error, RUBATO_BAD_DATA, file, line, "label \"%.40s\" is none of the model's: %s", text, known);
}
