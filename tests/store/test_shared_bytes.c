/* Two tensors of a file in memory that share bytes: the memory of one is given back when the other is gone too. */
#include <cmocka_compat.h>
#include <string.h>
#include <unistd.h>

#include "store/checkpoint.h"

enum { PAGES = 4 };

static void test_release(void **state) {
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = PAGES * page;
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        char names[][2] = {"a", "b", "c"};
        unsigned char *bytes;
        tensor_file file = {0};
        rubato_error error;
        FILE *written = fopen("/tmp/rubato-shared-bytes", "wb");
        assert_non_null(written);
        for (size_t i = 0; i < size; i++) fputc('x', written);
        fclose(written);
        file_reading how = {.in_memory = in_memory};
        assert_int_equal(file_open(&file.file, "/tmp/rubato-shared-bytes", &how, &error), RUBATO_OK);
        bytes = (unsigned char *)(uintptr_t)file.file.data;
        stored_tensor tensors[] = {{.name = names[0], .data = bytes, .bytes = 2 * page},
                                   {.name = names[1], .data = bytes + page, .bytes = 2 * page},
                                   {.name = names[2], .data = bytes + 3 * page, .bytes = page}};
        file.tensors = tensors;
        file.count = 3;
        checkpoint weights = {.shards = &file, .shard_count = 1, .how = how};
        checkpoint_hash(&weights);
        assert_true(weights.hash != 0);
        checkpoint_release(&weights, "a");
        assert_int_equal(bytes[0], 'x');
        assert_int_equal(bytes[page], 'x');
        assert_int_equal(tensors[0].data == NULL, in_memory);
        checkpoint_release(&weights, "b");
        assert_int_equal(bytes[page], in_memory ? 0 : 'x');
        assert_int_equal(bytes[2 * page], in_memory ? 0 : 'x');
        assert_int_equal(bytes[3 * page], 'x'); /* of another tensor */
        checkpoint_release(&weights, "c");
        assert_int_equal(bytes[3 * page], in_memory ? 0 : 'x');
        file_unmap(&file.file);
        unlink("/tmp/rubato-shared-bytes");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_release)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
