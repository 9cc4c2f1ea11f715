/* The files of a model's folder. */
#define _GNU_SOURCE
#include "serve/stamp.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/text_buffer.h"

enum { MOST_FILES = 512, NAME_BYTES = 128 };

typedef struct file_stamp {
    char name[NAME_BYTES]; /* within the folder */
    long long size;
    struct timespec written;
    unsigned long long inode;
} file_stamp;

struct stamp {
    file_stamp files[MOST_FILES];
    size_t count;
};

/* Only such files are read. */
static bool is_read(const char *name) {
    static const char *const ends[] = {".json", ".safetensors", ".bin", ".txt", ".model"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (text_ends_with(name, ends[i])) return true;
    return false;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const file_stamp *)a)->name, ((const file_stamp *)b)->name);
}

/* Adds the files of FOLDER/WITHIN, and of the folders in it where it is the folder itself. */
static void look(stamp *self, const char *folder, const char *within) {
    char path[4096 + 2 * NAME_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, within);
    DIR *all = opendir(path);
    const struct dirent *one;
    while (all && (one = readdir(all)) && self->count < MOST_FILES) {
        char name[sizeof one->d_name + NAME_BYTES];
        struct stat status;
        snprintf(name, sizeof name, "%s%s%s", within, *within ? "/" : "", one->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (one->d_name[0] == '.' || strlen(name) >= NAME_BYTES || stat(path, &status) != 0) continue;
        if (S_ISDIR(status.st_mode) && !*within) look(self, folder, name);
        if (!S_ISREG(status.st_mode) || !is_read(name) || self->count == MOST_FILES) continue;
        file_stamp *out = &self->files[self->count++];
        *out = (file_stamp){.size = status.st_size, .written = status.st_mtim, .inode = status.st_ino};
        snprintf(out->name, sizeof out->name, "%.*s", NAME_BYTES - 1, name);
    }
    if (all) closedir(all);
}

rubato_status stamp_take(stamp **out, const char *folder, rubato_error *error) {
    stamp *self = *out = calloc(1, sizeof *self);
    if (!self) return fail_memory(error);
    look(self, folder, "");
    qsort(self->files, self->count, sizeof *self->files, by_name);
    return RUBATO_OK;
}

void stamp_free(stamp *self) {
    free(self);
}

static bool same(const file_stamp *a, const file_stamp *b) {
    return a->size == b->size && a->inode == b->inode && a->written.tv_sec == b->written.tv_sec &&
           a->written.tv_nsec == b->written.tv_nsec;
}

bool stamp_differs(const stamp *before, const stamp *now, char *name, size_t bytes) {
    for (size_t i = 0, j = 0; i < before->count || j < now->count; i++, j++) {
        const file_stamp *a = i < before->count ? &before->files[i] : NULL, *b = j < now->count ? &now->files[j] : NULL;
        int order = !a ? 1 : !b ? -1 : by_name(a, b);
        if (order == 0 && same(a, b)) continue;
        snprintf(name, bytes, "%s", order > 0 ? b->name : a->name);
        return true;
    }
    return false;
}

static double seconds_of(struct timespec time) {
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

bool stamp_since(const stamp *self, double seconds, char *name, size_t bytes) {
    for (size_t i = 0; i < self->count; i++)
        if (seconds_of(self->files[i].written) > seconds) {
            snprintf(name, bytes, "%s", self->files[i].name);
            return true;
        }
    return false;
}

double stamp_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return seconds_of(now);
}
