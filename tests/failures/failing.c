/* Allocations that fail when they are told to. */
#define _GNU_SOURCE
#include "failures/failing.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <ftw.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"

enum { MOST_ALLOCATIONS = 1 << 20, MOST_STACKS = 1 << 14, LAST = 5, SAMPLE = 10, DEPTH = 20, HASHED = 8 };

/* ---- The allocator ---- */

static atomic_size_t allocations, refused; /* since armed */
static atomic_size_t chosen;               /* the one that fails, from 1; 0: none */
static atomic_bool counts, records;
static atomic_long live; /* blocks that are not freed */
static uint32_t stacks[MOST_ALLOCATIONS];
static void *refused_at[DEPTH];
static int refused_depth;
static const char *volatile running;
static size_t wrongs; /* calls that went wrong, of all functions */

static bool refuse(void) {
    if (!atomic_load(&counts)) return false;
    size_t number = atomic_fetch_add(&allocations, 1) + 1;
    if (atomic_load(&records) && number <= MOST_ALLOCATIONS) {
        void *frames[DEPTH];
        int depth = backtrace(frames, DEPTH);
        uint32_t hash = 2166136261u;
        for (int i = 1; i < depth && i < HASHED; i++) hash = (hash ^ (uint32_t)(uintptr_t)frames[i]) * 16777619u;
        stacks[number - 1] = hash;
    }
    if (number != atomic_load(&chosen)) return false;
    atomic_fetch_add(&refused, 1);
    refused_depth = backtrace(refused_at, DEPTH);
    errno = ENOMEM;
    return true;
}

static void *counted(void *made) {
    if (made) atomic_fetch_add(&live, 1);
    return made;
}

/* NOLINTBEGIN: names that the linker makes */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void *__real_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
FILE *__real_fopen(const char *path, const char *mode);
DIR *__real_opendir(const char *path);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *block);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset);
FILE *__wrap_fopen(const char *path, const char *mode);
DIR *__wrap_opendir(const char *path);
int __wrap_fsync(int file);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument);

void *__wrap_malloc(size_t size) {
    return refuse() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return refuse() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size) {
    if (refuse()) return NULL;
    void *made = __real_realloc(old, size);
    return old ? made : counted(made);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return refuse() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *block) {
    if (block) atomic_fetch_sub(&live, 1);
    __real_free(block);
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return refuse() ? MAP_FAILED : __real_mmap(address, length, protection, flags, file, offset);
}

FILE *__wrap_fopen(const char *path, const char *mode) {
    return refuse() ? NULL : __real_fopen(path, mode);
}

DIR *__wrap_opendir(const char *path) {
    return refuse() ? NULL : __real_opendir(path);
}

/* Files need not outlast the machine here, and waiting for the disk takes most of the time. */
int __wrap_fsync(int file) {
    (void)file;
    return 0;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument) {
    return refuse() ? EAGAIN : __real_pthread_create(thread, how, start, argument);
}
/* NOLINTEND */

/* jansson's parser does not look whether the buffer of the token that it reads could grow, and then reads on beyond its
 * end. Nothing here can mend that, so these requests are granted: powers of two, from 32 bytes on. */
static void *jansson_malloc(size_t size) {
    bool grows = size >= 32 && (size & (size - 1)) == 0;
    return grows ? counted(__real_malloc(size)) : __wrap_malloc(size);
}

/* ---- Digests ---- */

void digest_add(digest *self, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint64_t value = self->value ^ (0x9e3779b97f4a7c15u + size);
    for (size_t i = 0; i < size; i++) value = (value ^ at[i]) * 0x100000001b3u;
    self->value = value;
}

void digest_text(digest *self, const char *text) {
    digest_add(self, text ? text : "\xff", text ? strlen(text) + 1 : 1);
}

/* ---- One call after the other ---- */

typedef struct outcome {
    rubato_status status;
    rubato_error error;
    digest result;
    const char *files;
    long left;
} outcome;

static outcome call(const attempt *what, size_t fails) {
    outcome got = {.error = {.code = RUBATO_OK}};
    if (what->prepare) what->prepare(what->user);
    long before = atomic_load(&live);
    atomic_store(&allocations, 0);
    atomic_store(&refused, 0);
    atomic_store(&chosen, fails);
    atomic_store(&counts, true);
    got.status = what->call(what->user, &got.result, &got.error);
    atomic_store(&counts, false);
    got.left = atomic_load(&live) - before;
    if (what->look) got.files = what->look(what->user, got.status);
    return got;
}

/* The stacks of callers that were tried, by all attempts: what a recipe shares with others is tried once. */
static uint32_t seen[MOST_STACKS];
static size_t seen_count;

static bool is_tried(size_t number, size_t all, size_t exhaustive, uint64_t *state) {
    size_t at = 0;
    uint32_t stack = number <= MOST_ALLOCATIONS ? stacks[number - 1] : 0;
    while (at < seen_count && seen[at] != stack) at++;
    bool fresh = at == seen_count && at < MOST_STACKS;
    if (fresh) seen[seen_count++] = stack;
    return fresh || number <= exhaustive || number + LAST > all || random_below(state, all) < SAMPLE;
}

static void say_refused(void) {
    fflush(NULL);
    backtrace_symbols_fd(refused_at, refused_depth, STDERR_FILENO);
}

/* The sanitizer calls it before it ends the program. */
void __asan_on_error(void);  /* NOLINT */
void __asan_on_error(void) { /* NOLINT */
    fprintf(stderr, "in %s, allocation %zu\n", running ? running : "?", atomic_load(&chosen));
    say_refused();
}

static const char *wrong(const outcome *got, const outcome *whole) {
    if (got->files) return got->files;
    if (got->left) return "memory is left";
    if (got->status == RUBATO_OK)
        return got->result.value == whole->result.value ? NULL : "success with another result";
    if (got->status != RUBATO_OUT_OF_MEMORY) return "another status";
    return got->error.code == RUBATO_OUT_OF_MEMORY ? NULL : "the error's code is not the status";
}

void fail_allocations(const attempt *what) {
    double begin = clock_ms();
    running = what->name;
    call(what, 0); /* what is made once is there now */
    atomic_store(&records, true);
    const outcome whole = call(what, 0);
    atomic_store(&records, false);
    size_t all = atomic_load(&allocations), calls = 0, bad = 0, survived = 0, seen_before = seen_count;
    if (whole.status != RUBATO_OK) fail_msg("%s: undisturbed: %s", what->name, whole.error.message);
    if (whole.files) fail_msg("%s: undisturbed: %s", what->name, whole.files);
    if (whole.left) fail_msg("%s: undisturbed: %ld blocks are left", what->name, whole.left);
    const char *only = getenv("FAILING_ALLOCATION");
    uint64_t state = 1;
    for (size_t number = 1; number <= all; number++) {
        if (!is_tried(number, all, what->exhaustive, &state)) continue;
        if (only && number != strtoul(only, NULL, 10)) continue;
        const outcome got = call(what, number);
        calls++;
        if (!atomic_load(&refused)) continue; /* threads may share work in another way */
        survived += got.status == RUBATO_OK;
        const char *why = wrong(&got, &whole);
        if (!why) continue;
        if (bad++ < 12) {
            fprintf(stderr, "%s, allocation %zu of %zu: %s (status %d, %ld blocks: %s)\n", what->name, number, all, why,
                    (int)got.status, got.left, got.status ? got.error.message : "");
            say_refused();
        }
    }
    const outcome after = call(what, 0);
    if (after.result.value != whole.result.value) fail_msg("%s: afterwards it gives something else", what->name);
    printf("%-40s %6zu allocations, %5zu new stacks, %5zu tried, %4zu of them succeeded, %.1f s\n", what->name, all,
           seen_count - seen_before, calls, survived, (clock_ms() - begin) / 1e3);
    fflush(stdout);
    running = NULL;
    if (bad) fprintf(stderr, "%s: %zu of %zu failures went wrong\n", what->name, bad, calls);
    wrongs += bad;
}

/* ---- Folders ---- */

static char root[64];
static size_t folders;

const char *failing_folder(void) {
    static char paths[64][96];
    if (!*root) {
        bool in_memory = access("/dev/shm", W_OK) == 0; /* thousands of files are made */
        snprintf(root, sizeof root, "%s/rubato-failures-XXXXXX", in_memory ? "/dev/shm" : "/tmp");
        if (!mkdtemp(root)) fail_msg("no temporary folder");
    }
    char *path = paths[folders % 64];
    snprintf(path, sizeof paths[0], "%s/%zu", root, folders++);
    if (mkdir(path, 0777) != 0) fail_msg("%s: cannot be made", path);
    return path;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

void folder_clear(const char *folder) {
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static folder_state *reading;
static size_t reading_root;

static int read_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)where;
    mapped_file file;
    if (kind != FTW_F) return 0;
    if (reading->count == MOST_FILES) fail_msg("%s: too many files", path);
    digest content = {0};
    if (file_map(&file, path, NULL) != RUBATO_OK) fail_msg("%s: cannot be read", path);
    digest_add(&content, file.data, file.size);
    file_unmap(&file);
    snprintf(reading->files[reading->count].name, sizeof reading->files[0].name, "%s", path + reading_root);
    reading->files[reading->count++].content = content.value;
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b); /* the name stands first */
}

void folder_read(folder_state *out, const char *folder) {
    memset(out, 0, sizeof *out);
    reading = out;
    reading_root = strlen(folder) + 1;
    nftw(folder, read_one, 8, FTW_PHYS);
    qsort(out->files, out->count, sizeof out->files[0], by_name);
}

void folder_copy(const char *from, const char *to) {
    char command[512];
    snprintf(command, sizeof command, "cp -r %s %s", from, to);
    if (system(command) != 0) fail_msg("%s", command);
}

void file_write(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "w");
    if (!out || fputs(text, out) < 0 || fclose(out) != 0) fail_msg("%s: cannot be written", path);
}

void make_model(const char *folder, const char *golden, const char *architecture, size_t labels) {
    static const char *const files[] = {"model.safetensors", "tokenizer.json"};
    char path[600], source[600];
    json_t *config;
    snprintf(source, sizeof source, GOLDEN "/%s/config.json", golden);
    if (json_read_file(&config, source, 1 << 20, NULL) != RUBATO_OK) fail_msg("%s: cannot be read", source);
    json_object_set_new(config, "architectures", json_pack("[s]", architecture));
    if (labels) {
        json_t *names = json_object();
        for (size_t i = 0; i < labels; i++) {
            snprintf(path, sizeof path, "%zu", i);
            json_object_set_new(names, path, json_sprintf(i ? "%s-%zu" : "O", i % 2 ? "B" : "I", i));
        }
        json_object_set_new(config, "id2label", names);
    }
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (json_dump_file(config, path, 0) != 0) fail_msg("%s: cannot be written", path);
    json_decref(config);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        snprintf(source, sizeof source, GOLDEN "/%s/%s", golden, files[i]);
        if (symlink(source, path) != 0) fail_msg("%s: cannot be made", path);
    }
}

void name_inference_labels(const char *folder) {
    char path[600];
    json_t *config;
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (json_read_file(&config, path, 1 << 20, NULL) != RUBATO_OK) fail_msg("%s: cannot be read", path);
    json_object_set_new(config, "id2label",
                        json_pack("{s:s, s:s, s:s}", "0", "contradiction", "1", "neutral", "2", "entailment"));
    json_object_del(config, "label2id");
    if (json_dump_file(config, path, 0) != 0) fail_msg("%s: cannot be written", path);
    json_decref(config);
}

int failing_main(int count, char **arguments, const struct CMUnitTest *tests, size_t test_count) {
    json_set_alloc_funcs(jansson_malloc, __wrap_free);
    if (count > 1) cmocka_set_test_filter(arguments[1]);
    int failed = _cmocka_run_group_tests("failures", tests, test_count, NULL, NULL);
    if (*root) folder_clear(root);
    if (wrongs) fprintf(stderr, "%zu calls went wrong\n", wrongs);
    return failed || wrongs;
}
