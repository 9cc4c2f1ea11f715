/* Usual names of texts. */
#include "base/columns.h"

#include <stdint.h>
#include <string.h>

/* Pairs first. A name that is a first text alone has no second. */
static const char *const usual[][2] = {{"text", "pair"},           {"text", "text_pair"},
                                       {"sentence1", "sentence2"}, {"premise", "hypothesis"},
                                       {"question1", "question2"}, {"#1 String", "#2 String"},
                                       {"question", "sentence"},   {"question", "context"},
                                       {"query", "document"},      {"text", NULL},
                                       {"sentence", NULL},         {"document", NULL},
                                       {"comments", NULL},         {"query", NULL},
                                       {"question", NULL},         {"sentence1", NULL},
                                       {"premise", NULL},          {"question1", NULL}};
/* Names that only second texts have. */
static const char *const second[] = {"pair", "text_pair", "sentence2", "hypothesis", "question2", "#2 String"};

bool columns_choose(bool (*has)(const void *user, const char *name), const void *user, const char *names[2],
                    const char **clash) {
    names[0] = names[1] = *clash = NULL;
    bool first_is_text = has(user, "text");
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && !names[0]; i++) {
        if (first_is_text && strcmp(usual[i][0], "text") != 0) continue;
        if (!has(user, usual[i][0]) || (usual[i][1] && !has(user, usual[i][1]))) continue;
        names[0] = usual[i][0];
        names[1] = usual[i][1];
    }
    for (size_t i = 0; i < sizeof second / sizeof second[0]; i++)
        if (has(user, second[i]) && !(names[1] && strcmp(names[1], second[i]) == 0)) *clash = second[i];
    return !*clash;
}

bool columns_single(bool (*has)(const void *user, const char *name), const void *user, const char **name,
                    const char **clash) {
    *name = *clash = NULL;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && !*name; i++)
        if (!usual[i][1] && has(user, usual[i][0])) *name = usual[i][0];
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && *name; i++)
        if (usual[i][1] && strcmp(usual[i][0], *name) == 0 && has(user, usual[i][1])) *clash = usual[i][1];
    return !*clash;
}

const char *columns_first(bool (*has)(const void *user, const char *name), const void *user, const char *pair) {
    const char *only = NULL;
    size_t found = 0;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (usual[i][1] && strcmp(usual[i][1], pair) == 0 && has(user, usual[i][0])) return usual[i][0];
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        if (usual[i][1] || strcmp(usual[i][0], pair) == 0 || !has(user, usual[i][0])) continue;
        if (found++ == 0) only = usual[i][0]; /* "text" is the first of them */
    }
    return found == 1 || (only && strcmp(only, "text") == 0) ? only : NULL;
}

bool columns_parse(const char *list, const char *const *roles, size_t count, char out[][COLUMN_NAME]) {
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, ","), equals = strcspn(at, "="), role = 0;
        while (role < count && (strlen(roles[role]) != equals || strncmp(at, roles[role], equals) != 0)) role++;
        if (role == count || length <= equals + 1 || length - equals - 1 >= COLUMN_NAME) return false;
        memcpy(out[role], at + equals + 1, length - equals - 1);
        out[role][length - equals - 1] = 0;
        at += length + (at[length] == ',');
    }
    return true;
}

bool columns_is_number(const char *name) {
    return *name && !name[strspn(name, "0123456789")];
}

size_t columns_find(const column_names *of, const char *name) {
    for (size_t i = 0; i < of->count; i++)
        if (strcmp(of->names[i], name) == 0) return i;
    return SIZE_MAX;
}

bool columns_doubled(const column_names *of, size_t column) {
    for (size_t i = column + 1; i < of->count; i++)
        if (strcmp(of->names[i], of->names[column]) == 0) return true;
    return false;
}
