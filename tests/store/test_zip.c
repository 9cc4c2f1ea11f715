/* Zip archives: both forms of their numbers, and lists that lie. */
#include <cmocka_compat.h>
#include <stdlib.h>
#include <string.h>

#include "store/zip.h"

typedef struct made_file {
    unsigned char bytes[2048];
    size_t size;
} made_file;

static void number(made_file *file, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++, value >>= 8) file->bytes[file->size++] = (unsigned char)(value & 0xff);
}

static void text(made_file *file, const char *bytes, size_t count) {
    memcpy(file->bytes + file->size, bytes, count);
    file->size += count;
}

/* What a test changes of an archive with the entries "f/a" (4 bytes) and "f/b" (no bytes). */
typedef struct how {
    bool wide;            /* numbers of 64 bits */
    uint64_t bytes;       /* of the first entry; 0: 4 */
    uint64_t second;      /* where the second entry begins; 0: behind the first */
    uint64_t count, list; /* of the entries; where their list begins; 0: as it is */
    unsigned method, flags;
    const char *local; /* the first entry's name before its data; NULL: the same */
    const char *other; /* the second entry's name; NULL: "f/b" */
    size_t extra;      /* bytes that the extra field of a wide entry lacks */
} how;

static void add_local(made_file *file, const char *name, const char *data, size_t bytes) {
    text(file, "PK\3\4", 4);
    for (size_t i = 0; i < 22; i++) number(file, 0, 1);
    number(file, 3, 2);
    number(file, 5, 2); /* padding, as torch has it */
    text(file, name, 3);
    text(file, "FB\1\0Z", 5);
    text(file, data, bytes);
}

static void add_entry(made_file *file, const how *as, const char *name, uint64_t bytes, uint64_t begin) {
    text(file, "PK\1\2", 4);
    number(file, 0, 4);
    number(file, as->flags, 2);
    number(file, as->method, 2);
    number(file, 0, 8);
    number(file, as->wide ? UINT32_MAX : bytes, 4);
    number(file, as->wide ? UINT32_MAX : bytes, 4);
    number(file, 3, 2);
    number(file, as->wide ? 5 + 28 - as->extra : 0, 2);
    number(file, 0, 10);
    number(file, as->wide ? UINT32_MAX : begin, 4);
    text(file, name, 3);
    if (!as->wide) return;
    text(file, "FB\1\0Z", 5);
    number(file, 1, 2);
    number(file, 24 - as->extra, 2);
    number(file, bytes, 8);
    number(file, bytes, 8);
    number(file, begin, 8 - as->extra);
}

static void make(made_file *file, const how *as) {
    file->size = 0;
    const char *other = as->other ? as->other : "f/b";
    add_local(file, as->local ? as->local : "f/a", "data", 4);
    size_t second = file->size;
    add_local(file, other, "", 0);
    size_t list = file->size;
    add_entry(file, as, "f/a", as->bytes ? as->bytes : 4, 0);
    add_entry(file, as, other, 0, as->second ? as->second : second);
    uint64_t end = file->size, list_bytes = end - list, said = as->list ? as->list : list;
    uint64_t count = as->count ? as->count : 2;
    if (as->wide) {
        text(file, "PK\6\6", 4);
        number(file, 44, 8);
        number(file, 0, 12);
        number(file, count, 8);
        number(file, count, 8);
        number(file, list_bytes, 8);
        number(file, said, 8);
        text(file, "PK\6\7", 4);
        number(file, 0, 4);
        number(file, end, 8);
        number(file, 1, 4);
    }
    text(file, "PK\5\6", 4);
    number(file, 0, 4);
    number(file, as->wide ? UINT16_MAX : count, 2);
    number(file, as->wide ? UINT16_MAX : count, 2);
    number(file, as->wide ? UINT32_MAX : list_bytes, 4);
    number(file, as->wide ? UINT32_MAX : said, 4);
    number(file, 0, 2);
}

static void test_both_forms(void **state) {
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        made_file file;
        zip_archive archive;
        rubato_error error = {0};
        make(&file, &(how){.wide = wide});
        if (zip_open(&archive, file.bytes, file.size, "x", &error) != RUBATO_OK) fail_msg("%s", error.message);
        assert_int_equal(archive.count, 2);
        const zip_entry *entry = zip_find(&archive, "f/a", 3);
        assert_int_equal(entry->bytes, 4);
        assert_memory_equal(entry->data, "data", 4);
        assert_int_equal(zip_find(&archive, "f/b", 3)->bytes, 0);
        assert_null(zip_find(&archive, "f/", 2));
        assert_null(zip_find(&archive, "f/ab", 4));
        zip_close(&archive);
        for (size_t cut = 0; cut < file.size; cut++) {
            unsigned char *copy = malloc(cut + 1);
            memcpy(copy, file.bytes, cut);
            assert_int_equal(zip_open(&archive, copy, cut, "x", &error), RUBATO_BAD_MODEL);
            free(copy);
        }
    }
}

static void test_lies(void **state) {
    static const struct {
        how as;
        const char *part;
    } cases[] = {{{.bytes = 5}, "overlap"},
                 {{.bytes = 4000}, "cut short"},
                 {{.wide = true, .bytes = UINT64_MAX}, "cut short"},
                 {{.wide = true, .bytes = UINT64_MAX - 40}, "cut short"},
                 {{.second = 1}, "list of the archive's entries is damaged"},
                 {{.wide = true, .second = UINT64_MAX}, "list of the archive's entries is damaged"},
                 {{.wide = true, .extra = 1}, "list of the archive's entries is damaged"},
                 {{.count = 3}, "no list of its entries"},
                 {{.wide = true, .count = UINT64_MAX}, "no list of its entries"},
                 {{.list = 5000}, "no list of its entries"},
                 {{.wide = true, .list = UINT64_MAX}, "no list of its entries"},
                 {{.list = 1}, "list of the archive's entries is damaged"},
                 {{.method = 8}, "compressed"},
                 {{.flags = 1}, "encrypted"},
                 {{.local = "f/x"}, "two names"},
                 {{.other = "f/a"}, "have one name"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made_file file;
        zip_archive archive;
        rubato_error error = {0};
        make(&file, &cases[i].as);
        rubato_status status = zip_open(&archive, file.bytes, file.size, "x", &error);
        if (status == RUBATO_OK || !strstr(error.message, cases[i].part))
            fail_msg("case %zu, \"%s\": %s", i, cases[i].part, error.message);
        assert_null(archive.entries);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_forms), cmocka_unit_test(test_lies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
