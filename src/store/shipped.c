/* An installation may be moved, so its models are looked for beside the running file first. */
#define _GNU_SOURCE
#include "store/shipped.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Cuts the file's name off; false where there is no folder before it. */
static bool cut_name(char *path) {
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return slash;
}

static bool program_folder(char out[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (length <= 0) return false;
    out[length] = 0;
    return cut_name(out);
}

static bool library_folder(char out[PATH_MAX]) {
    static const char within = 0; /* its address belongs to the library, or to a program that contains this file */
    Dl_info of;
    if (!dladdr(&within, &of) || !of.dli_fname) return false;
    return snprintf(out, PATH_MAX, "%s", of.dli_fname) < PATH_MAX && cut_name(out);
}

bool shipped_folder(char *out, size_t bytes, size_t place, const char *name) {
    static const struct {
        bool (*from)(char out[PATH_MAX]); /* NULL: the path is whole */
        const char *path;
    } places[SHIPPED_PLACES] = {{NULL, "models"},
                                {program_folder, RUBATO_DATA_FROM_PROGRAM "/models"},
                                {library_folder, RUBATO_DATA_FROM_LIBRARY "/models"},
                                {program_folder, "../models"},
                                {NULL, RUBATO_DATA_FOLDER "/models"}};
    char folder[PATH_MAX] = "";
    if (places[place].from && !places[place].from(folder)) return false;
    int length = snprintf(out, bytes, "%s%s%s/%s", folder, *folder ? "/" : "", places[place].path, name);
    return length >= 0 && (size_t)length < bytes;
}
