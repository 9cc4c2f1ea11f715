/* Zip archives of stored entries. */
#include "store/zip.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/little.h"

enum {
    LOCAL_BYTES = 30,     /* before an entry: signature, sizes, then name and extra fields */
    ENTRY_BYTES = 46,     /* an entry of the list at the end */
    END_BYTES = 22,       /* the last record: where the list is */
    END64_BYTES = 56,     /* the same with numbers of 64 bits */
    LOCATOR_BYTES = 20,   /* where the 64-bit one is; it stands before the last record */
    MAX_COMMENT = 0xffff, /* behind the last record */
    EXTRA_64 = 1          /* the extra field that holds the numbers that do not fit into 32 bits */
};

static const char local_mark[] = "PK\3\4", entry_mark[] = "PK\1\2", end_mark[] = "PK\5\6", end64_mark[] = "PK\6\6",
                  locator_mark[] = "PK\6\7";

static bool marked(const unsigned char *at, const char *mark) {
    return memcmp(at, mark, 4) == 0;
}

bool zip_begins(const unsigned char *data, size_t size) {
    return size >= 4 && marked(data, local_mark);
}

/* The list of entries: its place and the number of its entries. */
typedef struct directory {
    uint64_t begin, bytes, count;
} directory;

static bool read_end64(directory *out, const unsigned char *data, size_t end) {
    if (end < LOCATOR_BYTES || !marked(data + end - LOCATOR_BYTES, locator_mark)) return false;
    uint64_t at = little_number(data + end - LOCATOR_BYTES + 8, 8);
    if (end < LOCATOR_BYTES + END64_BYTES || at > end - LOCATOR_BYTES - END64_BYTES || !marked(data + at, end64_mark))
        return false;
    *out = (directory){little_number(data + at + 48, 8), little_number(data + at + 40, 8),
                       little_number(data + at + 32, 8)};
    return true;
}

static bool read_end(directory *out, const unsigned char *data, size_t size) {
    for (size_t comment = 0; comment <= MAX_COMMENT && comment + END_BYTES <= size; comment++) {
        size_t end = size - END_BYTES - comment;
        const unsigned char *at = data + end;
        if (!marked(at, end_mark) || little_number(at + 20, 2) != comment) continue;
        *out = (directory){little_number(at + 16, 4), little_number(at + 12, 4), little_number(at + 10, 2)};
        bool large = out->begin == UINT32_MAX || out->bytes == UINT32_MAX || out->count == UINT16_MAX;
        return read_end64(out, data, end) || !large;
    }
    return false;
}

/* Replaces the numbers that an extra field holds in 64 bits: those that are all ones, in this order. */
static bool widen(const unsigned char *extra, size_t bytes, uint64_t *const numbers[3]) {
    bool needed = false;
    for (size_t i = 0; i < 3; i++) needed = needed || *numbers[i] == UINT32_MAX;
    while (needed && bytes >= 4) {
        size_t kind = little_number(extra, 2), length = little_number(extra + 2, 2);
        if (length > bytes - 4) return false;
        if (kind == EXTRA_64) {
            const unsigned char *at = extra + 4;
            for (size_t i = 0; i < 3; i++) {
                if (*numbers[i] != UINT32_MAX) continue;
                if (length < 8) return false;
                *numbers[i] = little_number(at, 8);
                at += 8;
                length -= 8;
            }
            return true;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return !needed;
}

/* Reads one entry of the list and moves on. Everything is within the file, and the entry before `end`, where the list
 * begins. */
static rubato_status read_entry(zip_entry *out, const unsigned char **list, size_t *left, const unsigned char *data,
                                size_t end, const char *name, rubato_error *error) {
    const unsigned char *at = *list;
    const char *wrong = "%s: the list of the archive's entries is damaged; is the file cut short?";
    if (*left < ENTRY_BYTES || !marked(at, entry_mark)) return fail(error, RUBATO_BAD_MODEL, wrong, name); /* NOLINT */
    size_t name_bytes = little_number(at + 28, 2), extra_bytes = little_number(at + 30, 2);
    size_t whole = ENTRY_BYTES + name_bytes + extra_bytes + little_number(at + 32, 2);
    uint64_t packed = little_number(at + 20, 4), bytes = little_number(at + 24, 4), begin = little_number(at + 42, 4);
    uint64_t *const numbers[] = {&bytes, &packed, &begin};
    if (whole > *left || !widen(at + ENTRY_BYTES + name_bytes, extra_bytes, numbers) || begin > end ||
        end - begin < LOCAL_BYTES || !marked(data + begin, local_mark))
        return fail(error, RUBATO_BAD_MODEL, wrong, name); /* NOLINT */
    *out = (zip_entry){(const char *)at + ENTRY_BYTES, name_bytes, NULL, (size_t)bytes, (size_t)begin};
    bool encrypted = little_number(at + 8, 2) & 1;
    if (encrypted || little_number(at + 10, 2) != 0 || packed != bytes)
        return fail(error, RUBATO_UNSUPPORTED, "%s: an entry of the archive is %s; torch stores them as they are", name,
                    encrypted ? "encrypted" : "compressed");
    const unsigned char *local = data + begin;
    size_t room = end - (size_t)begin - LOCAL_BYTES,
           before = little_number(local + 26, 2) + little_number(local + 28, 2);
    if (before > room || bytes > room - before)
        return fail(error, RUBATO_BAD_MODEL, "%s: an entry of %llu bytes at byte %llu of %zu; is the file cut short?",
                    name, (unsigned long long)bytes, (unsigned long long)begin, end);
    if (little_number(local + 26, 2) != name_bytes || memcmp(local + LOCAL_BYTES, out->name, name_bytes) != 0)
        return fail(error, RUBATO_BAD_MODEL, "%s: an entry has two names", name);
    out->data = local + LOCAL_BYTES + before;
    *list += whole;
    *left -= whole;
    return RUBATO_OK;
}

static int by_begin(const void *a, const void *b) {
    size_t x = ((const zip_entry *)a)->begin, y = ((const zip_entry *)b)->begin;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b) {
    const zip_entry *x = a, *y = b;
    int order = memcmp(x->name, y->name, size_min(x->name_bytes, y->name_bytes));
    return order ? order : x->name_bytes < y->name_bytes ? -1 : x->name_bytes > y->name_bytes;
}

static rubato_status check_entries(zip_archive *archive, const unsigned char *data, const char *name,
                                   rubato_error *error) {
    zip_entry *all = archive->entries;
    if (archive->count == 0) return RUBATO_OK;
    qsort(all, archive->count, sizeof *all, by_begin);
    for (size_t i = 1; i < archive->count; i++)
        if (data + all[i].begin < all[i - 1].data + all[i - 1].bytes)
            return fail(error, RUBATO_BAD_MODEL, "%s: entries of the archive overlap", name);
    qsort(all, archive->count, sizeof *all, by_name);
    for (size_t i = 1; i < archive->count; i++)
        if (by_name(&all[i - 1], &all[i]) == 0)
            return fail(error, RUBATO_BAD_MODEL, "%s: two entries of the archive have one name", name);
    return RUBATO_OK;
}

rubato_status zip_open(zip_archive *archive, const unsigned char *data, size_t size, const char *name,
                       rubato_error *error) {
    directory list;
    *archive = (zip_archive){0};
    if (!read_end(&list, data, size) || list.begin > size || list.bytes > size - list.begin ||
        list.count > list.bytes / ENTRY_BYTES)
        return fail(error, RUBATO_BAD_MODEL, "%s: the archive has no list of its entries; is the file cut short?",
                    name);
    archive->entries = calloc((size_t)list.count + 1, sizeof *archive->entries);
    if (!archive->entries) return fail_memory(error);
    archive->count = (size_t)list.count;
    const unsigned char *at = data + list.begin;
    size_t left = (size_t)list.bytes;
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < archive->count && status == RUBATO_OK; i++)
        status = read_entry(&archive->entries[i], &at, &left, data, (size_t)list.begin, name, error);
    if (status == RUBATO_OK) status = check_entries(archive, data, name, error);
    if (status != RUBATO_OK) zip_close(archive);
    return status;
}

void zip_close(zip_archive *archive) {
    free(archive->entries);
    *archive = (zip_archive){0};
}

const zip_entry *zip_find(const zip_archive *archive, const char *name, size_t name_bytes) {
    zip_entry key = {.name = name, .name_bytes = name_bytes};
    if (archive->count == 0) return NULL;
    return bsearch(&key, archive->entries, archive->count, sizeof key, by_name);
}
