/* Every allocation of finding out which family a model is of fails once. */
#include <string.h>

#include "base/json.h"
#include "failures/failing.h"
#include "rubato.h"

static rubato_status load_once(void *user, digest *result, rubato_error *error) {
    rubato_model *model;
    rubato_status status = rubato_model_load(&model, user, error);
    if (status == RUBATO_OK) {
        const rubato_info *info = rubato_model_info(model);
        digest_text(result, info->family);
        for (size_t i = 0; i < info->warning_count; i++) digest_text(result, info->warnings[i]);
    } else {
        assert_null(model);
    }
    rubato_model_destroy(model);
    return status;
}

/* A golden model whose config.json lacks some keys and has one more. */
static void fail_without(const char *name, const char *const *lacking, const char *key, json_t *value) {
    char folder[256], path[300];
    json_t *config;
    snprintf(folder, sizeof folder, "%s", failing_folder());
    make_model(folder, "mpnet", "MPNetModel", 0);
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_read_file(&config, path, 1 << 20, NULL), RUBATO_OK);
    for (; *lacking; lacking++) json_object_del(config, *lacking);
    assert_int_equal(json_object_set_new(config, key, value), 0);
    assert_int_equal(json_write_file(config, path, 0, NULL), RUBATO_OK);
    json_decref(config);
    fail_allocations(&(attempt){.name = name, .call = load_once, .user = folder, .exhaustive = 5});
}

static void test_sources(void **state) {
    static const char *const none[] = {NULL}, *const type[] = {"model_type", NULL},
                             *const both[] = {"model_type", "architectures", NULL};
    (void)state;
    fail_without("another class", none, "architectures", json_pack("[s]", "BertModel"));
    fail_without("code of its own", none, "auto_map", json_pack("{s:s}", "AutoModel", "mine.Model"));
    fail_without("by its class", type, "unknown", json_true());
    fail_without("an unknown type", none, "model_type", json_string("mine"));
    fail_without("by its tensors", both, "unknown", json_true());
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sources)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
