/* The files of a model's folder. */
#include "task/folder.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text_buffer.h"
#include "store/hub.h"

enum { MAX_CONFIG_BYTES = 16 << 20, PATH_BYTES = 4096 + 320 };

rubato_status model_read_optional(json_t **out, const char *folder, const char *name, rubato_error *error) {
    char path[PATH_BYTES];
    *out = NULL;
    if (path_exists(folder) && !folder_exists(folder)) return fail(error, RUBATO_IO, "%s: not a folder", folder);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path || !path_exists(path))
        return RUBATO_OK;
    TRY(json_read_file(out, path, MAX_CONFIG_BYTES, error));
    bool list = strcmp(name, "modules.json") == 0;
    if (list ? json_is_array(*out) : json_is_object(*out)) return RUBATO_OK;
    json_decref(*out);
    *out = NULL;
    return fail(error, RUBATO_BAD_MODEL, "%s: not %s", path, list ? "a list" : "an object");
}

rubato_status model_read_notes(json_t **out, const char *folder, rubato_error *error) {
    TRY(model_read_optional(out, folder, "rubato.json", error));
    if (!*out) *out = json_object();
    return *out ? RUBATO_OK : fail_memory(error);
}

rubato_status model_write_json(const json_t *value, const char *folder, const char *name, rubato_error *error) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return json_write_file(value, path, JSON_INDENT(2) | JSON_REAL_PRECISION(8), error);
}

void model_encoder_folder(char *out, size_t bytes, const char *folder, const json_t *modules) {
    snprintf(out, bytes, "%s", folder);
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *item = json_array_get(modules, i);
        const char *type = json_string_value(json_object_get(item, "type"));
        const char *path = json_string_value(json_object_get(item, "path"));
        if (type && path && *path && text_ends_with(type, ".Transformer") && !strstr(path, "..") && path[0] != '/')
            snprintf(out, bytes, "%s/%s", folder, path);
    }
}

rubato_status model_base_folder(char *out, size_t bytes, const char *folder, const char *name, rubato_error *error) {
    char root[PATH_BYTES], path[2 * PATH_BYTES];
    json_t *modules;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (hub_resolve(root, sizeof root, name, NULL) != RUBATO_OK &&
        hub_resolve(root, sizeof root, path, NULL) != RUBATO_OK)
        return fail(error, RUBATO_NOT_FOUND,
                    "adapter_config.json: its base model \"%.200s\" is neither a model's name or folder nor a folder "
                    "beside the adapter; rubato pull fetches it from the hub",
                    name);
    TRY(model_read_optional(&modules, root, "modules.json", error));
    model_encoder_folder(out, bytes, root, modules);
    json_decref(modules);
    snprintf(path, sizeof path, "%s/adapter_config.json", out);
    if (!path_exists(path)) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED, "adapter_config.json: its base model \"%.200s\" is an adapter too", name);
}

const char *model_tokenizer_folder(const char *folder, const char *base) {
    static const char *const names[] = {"tokenizer.json", "vocab.txt", "vocab.json"};
    char path[PATH_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path && path_exists(path))
            return folder;
    return base;
}
