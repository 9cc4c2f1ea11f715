/* Files of torch.save: the tensors of real ones (tests/store/make_torch_files.py), and files that lie. */
#include <cmocka_compat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "store/safetensors.h"
#include "store/torch_file.h"

/* ---- Real files ---- */

static void open_golden(tensor_file *file, const char *name, tensor_parser *parse) {
    char path[512];
    rubato_error error;
    snprintf(path, sizeof path, GOLDEN "/torch/%s", name);
    if (tensor_file_open(file, path, parse, NULL, &error) != RUBATO_OK) fail_msg("%s", error.message);
}

static void test_values(void **state) {
    (void)state;
    static const char *const names[] = {"zip", "zip-protocol-4", "legacy", "legacy-protocol-5"};
    tensor_file want, got;
    open_golden(&want, "every.safetensors", safetensors_parse);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "every.%s.bin", names[i]);
        open_golden(&got, name, torch_file_parse);
        assert_int_equal(got.count, want.count);
        for (size_t t = 0; t < want.count; t++) {
            const stored_tensor *a = &want.tensors[t], *b = tensor_file_find(&got, a->name);
            if (!b || a->type != b->type || a->rank != b->rank || a->bytes != b->bytes ||
                memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) != 0 || memcmp(a->data, b->data, a->bytes) != 0)
                fail_msg("%s: tensor \"%s\"", name, a->name);
        }
        assert_ptr_equal(tensor_file_find(&got, "table")->data, tensor_file_find(&got, "tied")->data);
        const unsigned char *turned = tensor_file_find(&got, "turned")->data;
        assert_true(turned >= got.made.data && turned < got.made.data + got.made.size);
        assert_true(got.made.size < 256); /* the others stay in the file */
        /* the pages of what was made may go; its bytes may not */
        file_release(got.made.data, 4096);
        assert_memory_equal(turned, tensor_file_find(&want, "turned")->data, 48);
        tensor_file_close(&got);
    }
    tensor_file_close(&want);
}

/* ---- Files that lie ---- */

static void expect(const void *data, size_t size, const char *part) {
    tensor_file file;
    rubato_error error = {0};
    rubato_status status = torch_file_parse(&file, data, size, "x", &error);
    if (status == RUBATO_OK || !strstr(error.message, part)) fail_msg("\"%s\": %s", part, error.message);
    assert_null(file.tensors);
    assert_null(file.made.data);
}

/* Golden files: cut anywhere, and with every byte changed. */
static void damage(const char *name) {
    char path[512], *data;
    size_t size, whole = 0;
    tensor_file file;
    rubato_error error;
    snprintf(path, sizeof path, GOLDEN "/torch/%s", name);
    assert_int_equal(file_read(&data, &size, path, 1 << 20, NULL), RUBATO_OK);
    for (size_t cut = 0; cut < size; cut += 1 + cut / 64) {
        unsigned char *copy = malloc(cut + 1);
        memcpy(copy, data, cut);
        assert_int_not_equal(torch_file_parse(&file, copy, cut, "x", &error), RUBATO_OK);
        free(copy);
    }
    for (size_t at = 0; at < size; at++)
        for (int flip = 0; flip < 2; flip++) {
            char kept = data[at];
            data[at] = (char)(flip ? 0xff : kept ^ 0x11);
            if (torch_file_parse(&file, (unsigned char *)data, size, "x", &error) == RUBATO_OK) {
                unsigned sum = 0;
                for (size_t i = 0; i < file.count; i++)
                    for (size_t j = 0; j < file.tensors[i].bytes; j++) sum += file.tensors[i].data[j];
                whole += sum != 1;
                tensor_file_close(&file);
            }
            data[at] = kept;
        }
    assert_true(whole > 0); /* values and padding may be anything */
    free(data);
}

static void test_damage(void **state) {
    (void)state;
    damage("every.zip.bin");
    damage("every.legacy-protocol-5.bin");
}

/* A legacy file: three pickles of its head, the object, the keys, the storages. */
static const unsigned char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                                    "\x80\x02M\xe9\x03."
                                    "\x80\x02}X\x0d\0\0\0little_endian\x88s.";

typedef struct made_file {
    unsigned char bytes[1 << 14];
    size_t size;
} made_file;

static void add(made_file *file, const void *data, size_t size) {
    assert_true(file->size + size <= sizeof file->bytes);
    memcpy(file->bytes + file->size, data, size);
    file->size += size;
}

#define ADD(file, literal) add(file, literal, sizeof(literal) - 1)

/* "a": a tensor of those numbers (opcodes) in a storage of `elements` floats, and the storage with `said` elements */
#define STORAGE(elements)                                                                                              \
    "(X\7\0\0\0storageq\0ctorch\nFloatStorage\nX\1\0\0\0"                                                              \
    "0X\3\0\0\0cpuK" elements "NtQ"
#define TENSOR(offset, shape, strides, elements)                                                                       \
    "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE(elements) offset shape strides "\x89"                               \
                                                                                  "ccollections\nOrderedDict\n)RtR"

static void begin(made_file *file) {
    file->size = 0;
    ADD(file, head);
}

static void end(made_file *file, uint64_t said, size_t bytes) {
    ADD(file, "\x80\x02]X\1\0\0\0"
              "0a.");
    add(file, &said, 8);
    for (size_t i = 0; i < bytes; i++) ADD(file, "\1");
}

#define EXPECT_OBJECT(object, part)                                                                                    \
    do {                                                                                                               \
        begin(&file);                                                                                                  \
        ADD(&file, "\x80\x02" object ".");                                                                             \
        end(&file, 4, 16);                                                                                             \
        expect(file.bytes, file.size, part);                                                                           \
    } while (0)
#define NAMED(tensor) "}X\1\0\0\0a" tensor "s"

static void test_lies(void **state) {
    (void)state;
    made_file file;
    tensor_file read;
    rubato_error error;
    begin(&file);
    ADD(&file, "\x80\x02" NAMED(TENSOR("K\0", "K\4\x85", "K\1\x85", "\4")) ".");
    size_t object_end = file.size;
    end(&file, 4, 16);
    if (torch_file_parse(&read, file.bytes, file.size, "x", &error) != RUBATO_OK) fail_msg("%s", error.message);
    assert_int_equal(read.count, 1);
    assert_int_equal(read.tensors[0].elements, 4);
    tensor_file_close(&read);
    for (size_t cut = 0; cut < file.size; cut++) expect(file.bytes, cut, "");
    /* the storages behind */
    file.size = object_end;
    end(&file, 5, 16);
    expect(file.bytes, file.size, "another length");
    file.size = object_end;
    end(&file, 4, 15);
    expect(file.bytes, file.size, "beyond the file");
    file.size = object_end;
    ADD(&file, "\x80\x02].");
    expect(file.bytes, file.size, "is not in the file");
    file.size = object_end;
    ADD(&file, "\x80\x02]X\1\0\0\0"
               "7a.");
    expect(file.bytes, file.size, "belongs to no tensor");
    /* names: refused by themselves, and nothing runs */
    EXPECT_OBJECT("cos\nsystem\nX\4\0\0\0true\x85R", "os.system");
    EXPECT_OBJECT("cposix\nsystem\nX\4\0\0\0true\x85R", "posix.system");
    EXPECT_OBJECT("X\2\0\0\0osX\6\0\0\0system\x93X\4\0\0\0true\x85R", "os.system");
    EXPECT_OBJECT("c__builtin__\neval\nX\1\0\0\0"
                  "1\x85R",
                  "__builtin__.eval");
    EXPECT_OBJECT("ctorch._utils\n_rebuild_qtensor\n)R", "torch._utils._rebuild_qtensor");
    EXPECT_OBJECT("c\x1b[2J\nx\n)R", "?[2J.x");
    EXPECT_OBJECT("ctorch.storage\nUntypedStorage\n", "torch.storage.UntypedStorage");
    EXPECT_OBJECT("ios\nsystem\n", "opcode 0x69");
    EXPECT_OBJECT(")\x81", "opcode 0x81");
    EXPECT_OBJECT("ccollections\nOrderedDict\n]\x85R", "with arguments");
    /* shapes, strides, offsets */
    EXPECT_OBJECT(NAMED(TENSOR("K\1", "K\4\x85", "K\1\x85", "\4")), "beyond its storage");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "K\2\x85", "K\4\x85", "\4")), "beyond its storage");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "K\4\x85", "K\1K\1\x86", "\4")), "not described as torch.save");
    EXPECT_OBJECT(NAMED(TENSOR("J\xff\xff\xff\xff", "K\4\x85", "K\1\x85", "\4")), "not described as torch.save");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "J\xff\xff\xff\xff\x85", "K\1\x85", "\4")), "whole numbers");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "\x8a\x09zzzzzzzzz\x85", "K\1\x85", "\4")), "whole numbers");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "\x8a\x08zzzzzzz\x7a\x8a\x08zzzzzzz\x7a\x86", "K\1K\1\x86", "\4")), "overflows");
    EXPECT_OBJECT(NAMED(TENSOR("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\2\x85",
                               "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "\4")),
                  "beyond its storage");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "\4")),
                  "9 dimensions");
    EXPECT_OBJECT(NAMED(TENSOR("K\0", "J\0\0\0\x40\x85", "K\0\x85", "\4")), "too much memory");
    /* storages */
    EXPECT_OBJECT("}(X\1\0\0\0a" TENSOR("K\0", "K\4\x85", "K\1\x85", "\4") "X\1\0\0\0b" TENSOR("K\0", "K\3\x85",
                                                                                               "K\1\x85", "\3") "u",
                  "two types or sizes");
    EXPECT_OBJECT("}(X\1\0\0\0a" TENSOR("K\0", "K\4\x85", "K\1\x85", "\4") "X\1\0\0\0a" TENSOR("K\0", "K\4\x85",
                                                                                               "K\1\x85", "\4") "u",
                  "two tensors are named \"a\"");
    EXPECT_OBJECT("K\1Q", "another kind");
    EXPECT_OBJECT("K\1\x85Q", "describes no storage");
    EXPECT_OBJECT("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                  "0X\3\0\0\0cpu\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fNtQ",
                  "larger than the file");
    EXPECT_OBJECT("}X\1\0\0\0a" STORAGE("\4") "s", "no tensors");
    /* other objects */
    begin(&file);
    ADD(&file, "\x80\x02].\x80\x02].");
    expect(file.bytes, file.size, "no dict of tensors");
    EXPECT_OBJECT("}X\5\0\0\0model" NAMED(TENSOR("K\0", "K\4\x85", "K\1\x85", "\4")) "s", "within another one");
    EXPECT_OBJECT("}X\2\0\0\0\xc3\x28" TENSOR("K\0", "K\4\x85", "K\1\x85", "\4") "s", "no name that is a text");
    EXPECT_OBJECT("}X\2\0\0\0a\0" TENSOR("K\0", "K\4\x85", "K\1\x85", "\4") "s", "no name that is a text");
    /* the machine */
    EXPECT_OBJECT("\x80\x06", "protocol 6");
    EXPECT_OBJECT("K\1K\2", "left over");
    EXPECT_OBJECT("0", "a value is missing");
    EXPECT_OBJECT("(0", "a value is missing");
    EXPECT_OBJECT("t", "a mark is missing");
    EXPECT_OBJECT("h\0", "the memo is empty");
    EXPECT_OBJECT("Nr\xff\xff\xff\xff", "no writer uses");
    EXPECT_OBJECT("X\xff\xff\xff\x7f", "beyond the end");
    EXPECT_OBJECT("\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "beyond the end");
    EXPECT_OBJECT("\x8b\xff\xff\xff\xff", "beyond the end");
    EXPECT_OBJECT("}(K\1u", "a key has no value");
    EXPECT_OBJECT("]]e", "a mark is missing");
    EXPECT_OBJECT("K\1(K\1e", "another kind");
}

/* A pickle that nests or makes more than anybody writes is refused, or read without harm. */
static void test_large(void **state) {
    (void)state;
    enum { MANY = 3 << 20 };
    static const struct {
        const char *repeated, *part;
        size_t times;
    } cases[] = {{"]", "left over", 100000},
                 {"(", "a value is missing", 100000},
                 {"]", "more than", MANY},
                 {"N0", "more than", MANY},
                 {"\x85", "a value is missing", 1}};
    unsigned char *data = malloc(sizeof head + 2 * MANY + 16);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = sizeof head - 1, one = strlen(cases[i].repeated);
        memcpy(data, head, size);
        for (size_t n = 0; n < cases[i].times; n++, size += one) memcpy(data + size, cases[i].repeated, one);
        data[size++] = '.';
        expect(data, size, cases[i].part);
    }
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_lies), cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
