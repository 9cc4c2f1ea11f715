/* Every allocation of loading a model with an adapter fails once. */
#include <stdio.h>

#include "failures/failing.h"

static rubato_status load_once(void *user, digest *out, rubato_error *error) {
    rubato_model *model;
    rubato_status status = rubato_model_load(&model, user, error);
    if (status != RUBATO_OK) return status;
    const rubato_info *info = rubato_model_info(model);
    digest_add(out, &info->parameters, sizeof info->parameters);
    for (size_t i = 0; i < info->label_count; i++) digest_text(out, info->labels[i]);
    rubato_model_destroy(model);
    return RUBATO_OK;
}

static void test_adapters(void **state) {
    static const char *const names[] = {"classifier", "tagger", "embedder"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, GOLDEN "/adapters/%s", names[i]);
        fail_allocations(&(attempt){.name = names[i], .call = load_once, .user = path, .exhaustive = i ? 5 : 300});
    }
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adapters)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
