/* Files. */
#define _DEFAULT_SOURCE
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text_buffer.h"

static rubato_status fail_open(rubato_error *error, const char *path) {
    if (errno == ENOMEM) return fail_memory(error);
    return fail(error, errno == ENOENT || errno == ENOTDIR ? RUBATO_NOT_FOUND : RUBATO_IO, "%s: %s", path,
                strerror(errno));
}

/* Opens a regular file. */
static rubato_status open_regular(int *descriptor, struct stat *status, const char *path, rubato_error *error) {
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* else the opening of a pipe waits for its writer */
    if (*descriptor < 0) return fail_open(error, path);
    rubato_status result = RUBATO_OK;
    if (fstat(*descriptor, status) != 0)
        result = fail_open(error, path);
    else if (!S_ISREG(status->st_mode))
        result = fail(error, RUBATO_IO, "%s: not a regular file, but a folder, pipe or device", path);
    if (result != RUBATO_OK) close(*descriptor);
    return result;
}

rubato_status file_check_regular(const char *path, rubato_error *error) {
    int descriptor;
    struct stat status;
    TRY(open_regular(&descriptor, &status, path, error));
    close(descriptor);
    return RUBATO_OK;
}

rubato_status file_check(const file_reading *how, rubato_error *error) {
    return how && how->cancelled && how->cancelled(how->user) ? fail(error, RUBATO_CANCELLED, "cancelled") : RUBATO_OK;
}

/* Reads a whole file that had this status when it was opened. */
static rubato_status read_whole(unsigned char *out, int descriptor, const struct stat *before, const char *path,
                                const file_reading *how, rubato_error *error) {
    enum { CHUNK = 8 << 20 };
    struct stat after;
    size_t size = (size_t)before->st_size;
    for (size_t at = 0; at < size;) {
        TRY(file_check(how, error));
        ssize_t got = read(descriptor, out + at, size - at < CHUNK ? size - at : CHUNK);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_open(error, path);
        if (got == 0) break;
        at += (size_t)got;
    }
    if (fstat(descriptor, &after) != 0) return fail_open(error, path);
    if (after.st_size != before->st_size || after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
        return fail(error, RUBATO_IO, "%s: changed while it was read; try again when it is whole", path);
    return RUBATO_OK;
}

rubato_status file_open(mapped_file *file, const char *path, const file_reading *how, rubato_error *error) {
    *file = (mapped_file){0};
    bool own = how && how->in_memory;
    int descriptor;
    struct stat status;
    TRY(open_regular(&descriptor, &status, path, error));
    rubato_status result = RUBATO_OK;
    if (status.st_size > 0) {
        void *data =
            own ? mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                : mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED)
            result = fail_open(error, path);
        else
            *file = (mapped_file){data, (size_t)status.st_size};
        if (own && result == RUBATO_OK) result = read_whole(data, descriptor, &status, path, how, error);
    }
    close(descriptor);
    if (result != RUBATO_OK) file_unmap(file);
    return result;
}

rubato_status file_map(mapped_file *file, const char *path, rubato_error *error) {
    return file_open(file, path, NULL, error);
}

/* A shared mapping keeps its bytes when its pages are released. */
rubato_status file_map_memory(mapped_file *file, unsigned char **bytes, size_t size, rubato_error *error) {
    *file = (mapped_file){0};
    *bytes = NULL;
    if (size == 0) return RUBATO_OK;
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return fail_memory(error);
    *bytes = data;
    *file = (mapped_file){data, size};
    return RUBATO_OK;
}

void file_unmap(mapped_file *file) {
    if (file->data) munmap((void *)(uintptr_t)file->data, file->size);
    *file = (mapped_file){0};
}

void file_release(const void *data, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)data + page - 1) / page * page, last = ((uintptr_t)data + size) / page * page;
    if (last > first) madvise((void *)first, last - first, MADV_DONTNEED);
}

void file_expect_random(const void *data, size_t size) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)data + page - 1) / page * page, last = ((uintptr_t)data + size) / page * page;
    if (last > first) madvise((void *)first, last - first, MADV_RANDOM);
}

rubato_status file_read(char **data, size_t *size, const char *path, size_t limit, rubato_error *error) {
    *data = NULL;
    *size = 0;
    int descriptor;
    struct stat status;
    TRY(open_regular(&descriptor, &status, path, error));
    rubato_status result = RUBATO_OK;
    size_t bytes = (size_t)status.st_size;
    char *made = NULL;
    if (bytes > limit)
        result = fail(error, RUBATO_BAD_DATA, "%s: %zu bytes, more than the %zu that such a file may have", path, bytes,
                      limit);
    else if (!(made = malloc(bytes + 1)))
        result = fail_memory(error);
    else
        result = read_whole((unsigned char *)made, descriptor, &status, path, NULL, error);
    close(descriptor);
    if (result != RUBATO_OK) {
        free(made);
        return result;
    }
    made[bytes] = 0;
    *data = made;
    *size = bytes;
    return RUBATO_OK;
}

bool file_exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

size_t file_size(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 && S_ISREG(found.st_mode) ? (size_t)found.st_size : 0;
}

bool path_exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

bool folder_exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

rubato_status folder_create(const char *path, rubato_error *error) {
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) return fail(error, RUBATO_BAD_ARGUMENT, "%s: path too long", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return fail(error, RUBATO_IO, "%s: cannot create folder: %s", part, strerror(errno));
    }
    if (!folder_exists(path)) return fail(error, RUBATO_IO, "%s: exists and is not a folder", path);
    return RUBATO_OK;
}

/* The folder itself is locked, so that no file of a lock can stay behind. */
rubato_status folder_lock(int *lock, const char *path, rubato_error *error) {
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0 || flock(*lock, LOCK_EX | LOCK_NB) == 0) return RUBATO_OK;
    bool taken = errno == EWOULDBLOCK;
    close(*lock);
    *lock = -1;
    if (!taken) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "%s: another rubato is writing this folder; wait, or name another folder",
                path);
}

void folder_unlock(int lock) {
    if (lock >= 0) close(lock);
}

static rubato_status fail_write(rubato_error *error, const char *path, int reason) {
    if (reason == ENOMEM) return fail_memory(error);
    return fail(error, RUBATO_IO, "%s: cannot write: %s", path, strerror(reason));
}

rubato_status new_file_open(new_file *file, const char *path, rubato_error *error) {
    struct stat there;
    bool exists = stat(path, &there) == 0;
    *file = (new_file){.direct = exists && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode)};
    if (exists && S_ISDIR(there.st_mode)) return fail_write(error, path, EISDIR);
    char target[PATH_MAX]; /* a symbolic link stays one: its target is replaced */
    bool follow = exists && !file->direct;
    if (follow && !realpath(path, target)) return fail_write(error, path, errno);
    if ((size_t)snprintf(file->path, sizeof file->path, "%s", follow ? target : path) >= sizeof file->path - 32)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", path);
    snprintf(file->temporary, sizeof file->temporary, "%.4000s.%ld.part", file->path, (long)getpid());
    file->stream = fopen(file->direct ? file->path : file->temporary, "wb");
    return file->stream ? RUBATO_OK : fail_write(error, path, errno);
}

rubato_status new_file_commit(new_file *file, rubato_error *error) {
    errno = 0;
    int bad = fflush(file->stream) != 0 || ferror(file->stream) || (!file->direct && fsync(fileno(file->stream)) != 0);
    int reason = errno;
    if (fclose(file->stream) != 0 && !bad) {
        bad = 1;
        reason = errno;
    }
    file->stream = NULL;
    if (!bad && !file->direct && rename(file->temporary, file->path) != 0) {
        bad = 1;
        reason = errno;
    }
    if (!bad) return RUBATO_OK;
    if (!file->direct) unlink(file->temporary);
    return fail(error, RUBATO_IO, "%s: cannot write: %s", file->path, strerror(reason ? reason : EIO));
}

void new_file_abandon(new_file *file) {
    if (!file->stream) return;
    fclose(file->stream);
    file->stream = NULL;
    if (!file->direct) unlink(file->temporary);
}

/* ---- Staged files ---- */

enum { STAGED_BYTES = 4096 + 1024 };

static rubato_status fail_memory_or(rubato_error *error, const char *path) {
    return errno == ENOMEM ? fail_memory(error) : fail(error, RUBATO_IO, "%s: %s", path, strerror(errno));
}

/* With all that is in it. */
static void remove_folder(const char *path) {
    char inner[STAGED_BYTES];
    DIR *listing = opendir(path);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(inner, sizeof inner, "%.4500s/%s", path, entry->d_name);
        if (folder_exists(inner))
            remove_folder(inner);
        else
            unlink(inner);
    }
    if (listing) closedir(listing);
    rmdir(path);
}

/* Removes what a process that was killed has left. */
static void remove_stale(const char *folder) {
    char path[STAGED_BYTES];
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        long process = 0;
        int end = 0;
        if (sscanf(entry->d_name, "staged.%ld.part%n", &process, &end) != 1 || !end || entry->d_name[end]) continue;
        if (process <= 0 || kill((pid_t)process, 0) == 0 || errno != ESRCH) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        remove_folder(path);
    }
    if (listing) closedir(listing);
}

rubato_status staged_open(staged_files *self, const char *folder, rubato_error *error) {
    if ((size_t)snprintf(self->folder, sizeof self->folder, "%s", folder) >= sizeof self->folder - 64)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", folder);
    snprintf(self->path, sizeof self->path, "%.4000s/staged.%ld.part", folder, (long)getpid());
    self->made = !folder_exists(folder);
    if (!self->made) remove_stale(folder);
    rubato_status status = folder_create(self->path, error);
    if (status != RUBATO_OK && self->made) rmdir(folder);
    return status;
}

/* Adds the names of what is in a folder of the staged ones, with what is in those: files, and folders with a slash
 * behind. */
static rubato_status list_staged(const staged_files *self, const char *inner, text_buffer *names, rubato_error *error) {
    char path[STAGED_BYTES], name[512];
    snprintf(path, sizeof path, "%s/%s", self->path, inner);
    DIR *listing = opendir(path);
    if (!listing) return fail_memory_or(error, path);
    rubato_status status = RUBATO_OK;
    for (struct dirent *entry; status == RUBATO_OK && (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%.200s%.255s", inner, entry->d_name);
        snprintf(path, sizeof path, "%s/%s", self->path, name);
        bool within = folder_exists(path);
        if (within) strcat(name, "/");
        text_add(names, name, strlen(name) + 1);
        if (within) status = list_staged(self, name, names, error);
    }
    closedir(listing);
    if (status == RUBATO_OK && names->failed) status = fail_memory(error);
    return status;
}

/* Moves one file, or makes the folder. */
static rubato_status put_in_place(const staged_files *self, const char *name, rubato_error *error) {
    char from[STAGED_BYTES], to[STAGED_BYTES];
    snprintf(from, sizeof from, "%s/%s", self->path, name);
    snprintf(to, sizeof to, "%s/%s", self->folder, name);
    bool folder = text_ends_with(to, "/");
    int failed = folder ? mkdir(to, 0777) != 0 && errno != EEXIST : rename(from, to) != 0;
    return failed ? fail(error, RUBATO_IO, "%s: cannot write: %s", to, strerror(errno)) : RUBATO_OK;
}

/* A folder where a file goes would stop the moves half-way. */
static rubato_status check_place(const staged_files *self, const char *name, rubato_error *error) {
    char to[STAGED_BYTES];
    snprintf(to, sizeof to, "%s/%s", self->folder, name);
    if (text_ends_with(to, "/") || !folder_exists(to)) return RUBATO_OK;
    return fail(error, RUBATO_IO, "%s: cannot write: %s", to, strerror(EISDIR));
}

/* Everything that can fail before the first file moves comes first: memory, and a folder in a file's place. */
rubato_status staged_commit(staged_files *self, rubato_error *error) {
    text_buffer names = {0};
    rubato_status status = list_staged(self, "", &names, error);
    for (size_t at = 0; at < names.length && status == RUBATO_OK; at += strlen(names.data + at) + 1)
        status = check_place(self, names.data + at, error);
    for (size_t at = 0; at < names.length && status == RUBATO_OK; at += strlen(names.data + at) + 1)
        status = put_in_place(self, names.data + at, error);
    char folder[STAGED_BYTES];
    for (size_t at = 0; at < names.length && status == RUBATO_OK; at += strlen(names.data + at) + 1) {
        snprintf(folder, sizeof folder, "%s/%s", self->path, names.data + at);
        if (text_ends_with(folder, "/")) rmdir(folder); /* empty now */
    }
    text_free(&names);
    if (status != RUBATO_OK)
        staged_abandon(self);
    else if (rmdir(self->path) != 0)
        remove_folder(self->path);
    return status;
}

void staged_abandon(staged_files *self) {
    remove_folder(self->path);
    if (self->made) rmdir(self->folder);
}
