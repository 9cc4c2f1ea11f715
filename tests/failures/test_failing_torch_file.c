/* Every allocation of reading a file of torch.save fails once. */
#include <stdio.h>

#include "failures/failing.h"
#include "store/torch_file.h"

static rubato_status read_once(void *user, digest *out, rubato_error *error) {
    tensor_file file;
    rubato_status status = tensor_file_open(&file, user, torch_file_parse, NULL, error);
    if (status != RUBATO_OK) return status;
    for (size_t i = 0; i < file.count; i++) {
        digest_text(out, file.tensors[i].name);
        digest_add(out, file.tensors[i].data, file.tensors[i].bytes);
    }
    tensor_file_close(&file);
    return RUBATO_OK;
}

static void test_forms(void **state) {
    static const char *const names[] = {"every.zip.bin", "every.legacy.bin", "model.tensorflow.bin"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, GOLDEN "/torch/%s", names[i]);
        fail_allocations(&(attempt){.name = names[i], .call = read_once, .user = path, .exhaustive = 300});
    }
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
