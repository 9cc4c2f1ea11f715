/* Files: read whole into memory, mapped, and written whole or not at all. */
#ifndef RUBATO_BASE_FILE_H
#define RUBATO_BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

typedef struct mapped_file {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;
} mapped_file;

/* How a large file is read. Who overwrites a mapped file changes its bytes here too, and who shortens it ends the
 * process (SIGBUS). A file in memory costs its size, and nothing that happens to it later reaches the process. */
typedef struct file_reading {
    bool in_memory;               /* else mapped */
    int (*cancelled)(void *user); /* asked every few milliseconds; non-zero: CANCELLED. NULL for none */
    void *user;
} file_reading;

/* Opens a regular file for reading. `how` NULL: mapped. Fails: NOT_FOUND, IO (also where the file changed while it was
 * read into memory), OUT_OF_MEMORY, CANCELLED. */
rubato_status file_open(mapped_file *file, const char *path, const file_reading *how, rubato_error *error);
rubato_status file_map(mapped_file *file, const char *path, rubato_error *error);
void file_unmap(mapped_file *file);

/* Fails where the path is not a regular file that can be read: NOT_FOUND, IO. */
rubato_status file_check_regular(const char *path, rubato_error *error);

/* CANCELLED where the caller wants to stop. */
rubato_status file_check(const file_reading *how, rubato_error *error);

/* Memory of that size, all zero, as a mapping that is written through *bytes: for what a file could hold and does not.
 * file_release keeps its bytes. */
rubato_status file_map_memory(mapped_file *file, unsigned char **bytes, size_t size, rubato_error *error);

/* Gives back the memory of bytes of an open file. Those of a mapped file can be read again, those of one in memory are
 * lost. */
void file_release(const void *data, size_t size);

/* Tells the system that bytes of an open file are read here and there, so that it reads no more than is asked for. */
void file_expect_random(const void *data, size_t size);

/* Reads a file of at most `limit` bytes; *data is NUL-ended and the caller's to free. */
rubato_status file_read(char **data, size_t *size, const char *path, size_t limit, rubato_error *error);

/* A regular file, or a link to one. */
bool file_exists(const char *path);

/* The bytes of a regular file; 0 where there is none. */
size_t file_size(const char *path);

/* Anything, even a link to nothing. */
bool path_exists(const char *path);

bool folder_exists(const char *path);

/* Makes a folder and its parents. */
rubato_status folder_create(const char *path, rubato_error *error);

/* Keeps a folder for this process until folder_unlock or the process's end. *lock is -1 where the file system has no
 * locks. Fails: BAD_ARGUMENT where another process has the folder. */
rubato_status folder_lock(int *lock, const char *path, rubato_error *error);

/* Accepts -1. */
void folder_unlock(int lock);

/* A file that is written under a temporary name beside its final path. Commit renames it, abandon removes it. Where the
 * path is a link to a file, that file is replaced and the link stays. A pipe or a device is written directly. */
typedef struct new_file {
    FILE *stream;
    bool direct;
    char path[4096], temporary[4096];
} new_file;

rubato_status new_file_open(new_file *file, const char *path, rubato_error *error);
rubato_status new_file_commit(new_file *file, rubato_error *error);
void new_file_abandon(new_file *file);

/* Files that appear in a folder together. They are written in FOLDER/staged.PID.part, `path`; commit moves them to
 * their places in the folder, replacing what is there, and abandon removes them. The folder is made where it is not
 * there, and abandon removes it again. */
typedef struct staged_files {
    char path[4096], folder[4096];
    bool made; /* the folder */
} staged_files;

rubato_status staged_open(staged_files *self, const char *folder, rubato_error *error);
rubato_status staged_commit(staged_files *self, rubato_error *error);
void staged_abandon(staged_files *self);

#endif
