/* Names and folders of the Hugging Face cache. */
#include "store/hub_cache.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "store/hub.h"
#include "store/shipped.h"

static const char *set(const char *variable) {
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static rubato_status join(char *out, size_t bytes, rubato_error *error, const char *a, const char *b) {
    if ((size_t)snprintf(out, bytes, "%s/%s", a, b) >= bytes)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", a);
    return RUBATO_OK;
}

static rubato_status home_folder(char *out, size_t bytes, rubato_error *error) {
    const char *home = set("HF_HOME"), *cache = set("XDG_CACHE_HOME"), *user = set("HOME");
    if (home) return join(out, bytes, error, home, "");
    if (cache) return join(out, bytes, error, cache, "huggingface/");
    if (user) return join(out, bytes, error, user, ".cache/huggingface/");
    return fail(error, RUBATO_NOT_FOUND, "no cache folder: set HF_HOME or HOME");
}

rubato_status hub_cache_folder(char *out, size_t bytes, rubato_error *error) {
    const char *hub = set("HF_HUB_CACHE");
    if (!hub) hub = set("HUGGINGFACE_HUB_CACHE");
    if (hub) return join(out, bytes, error, hub, "");
    char home[HUB_PATH];
    TRY(home_folder(home, sizeof home, error));
    if ((size_t)snprintf(out, bytes, "%shub/", home) >= bytes)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", home);
    return RUBATO_OK;
}

static bool good_part(const char *part, size_t length) {
    if (length == 0 || length > 96 || part[0] == '.' || part[0] == '-') return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)part[i]) && !strchr("-_.", part[i])) return false;
    return true;
}

static bool is_hub_name(const char *name) {
    const char *slash = strchr(name, '/');
    if (!slash) return good_part(name, strlen(name));
    return good_part(name, (size_t)(slash - name)) && good_part(slash + 1, strlen(slash + 1));
}

rubato_status hub_repository_folder(char *out, size_t bytes, const char *name, rubato_error *error) {
    char hub[HUB_PATH];
    if (!is_hub_name(name))
        return fail(error, RUBATO_BAD_ARGUMENT, "\"%.100s\" is not a hub id such as org/name", name);
    TRY(hub_cache_folder(hub, sizeof hub, error));
    const char *slash = strchr(name, '/');
    int written = slash ? snprintf(out, bytes, "%smodels--%.*s--%s", hub, (int)(slash - name), name, slash + 1)
                        : snprintf(out, bytes, "%smodels--%s", hub, name);
    if ((size_t)written >= bytes) return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", hub);
    return RUBATO_OK;
}

bool hub_snapshot(char *out, size_t bytes, const char *repository, const char *revision) {
    char path[HUB_PATH + 128], *commit = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/refs/%s", repository, revision);
    bool found = false;
    if (file_exists(path) && file_read(&commit, &size, path, 256, NULL) == RUBATO_OK) {
        commit[strcspn(commit, "\r\n ")] = 0;
        if (good_part(commit, strlen(commit)))
            found = (size_t)snprintf(out, bytes, "%s/snapshots/%s", repository, commit) < bytes && folder_exists(out);
    }
    free(commit);
    if (!found && good_part(revision, strlen(revision))) /* the revision is a commit itself */
        found = (size_t)snprintf(out, bytes, "%s/snapshots/%s", repository, revision) < bytes && folder_exists(out);
    return found;
}

void hub_token(char *out, size_t bytes) {
    const char *token = set("HF_TOKEN"), *path = set("HF_TOKEN_PATH");
    if (!token) token = set("HUGGING_FACE_HUB_TOKEN");
    out[0] = 0;
    char *content = NULL, file[HUB_PATH];
    size_t size;
    if (!token) {
        char home[HUB_PATH];
        if (!path && home_folder(home, sizeof home, NULL) == RUBATO_OK &&
            (size_t)snprintf(file, sizeof file, "%stoken", home) < sizeof file)
            path = file;
        if (!path || !file_exists(path) || file_read(&content, &size, path, 4096, NULL) != RUBATO_OK) return;
        token = content;
    }
    size_t length = strcspn(token, "\r\n \t");
    /* the token becomes a part of a header line, so only printable characters are allowed */
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~') length = 0;
    if (length < bytes) snprintf(out, bytes, "%.*s", (int)length, token);
    free(content);
}

bool hub_offline(void) {
    const char *value = set("HF_HUB_OFFLINE");
    if (!value) value = set("TRANSFORMERS_OFFLINE");
    if (!value) return false;
    char lower[8] = "";
    for (size_t i = 0; i + 1 < sizeof lower && value[i]; i++) lower[i] = (char)tolower((unsigned char)value[i]);
    return !strcmp(lower, "1") || !strcmp(lower, "true") || !strcmp(lower, "yes") || !strcmp(lower, "on");
}

static bool is_model(const char *folder) {
    char path[HUB_PATH + 32];
    static const char *const files[] = {"config.json", "modules.json", "adapter_config.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        if (path_exists(path)) return true;
    }
    return false;
}

rubato_status hub_resolve(char *folder, size_t bytes, const char *name, rubato_error *error) {
    if (!name || !*name) return fail(error, RUBATO_BAD_ARGUMENT, "no model named");
    if ((size_t)snprintf(folder, bytes, "%s", name) >= bytes || strlen(name) > 2048)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", name);
    if (is_model(folder)) return RUBATO_OK;
    char training[HUB_PATH + 32];
    snprintf(training, sizeof training, "%s/training.json", folder);
    if (folder_exists(folder) && path_exists(training))
        return fail(error, RUBATO_NOT_FOUND, "%s: a training run is in this folder, and has written no model yet",
                    name);
    if (folder_exists(folder))
        return fail(error, RUBATO_NOT_FOUND,
                    "%s: a folder without config.json; it should be one in Hugging Face layout", name);
    for (size_t i = 0; i < SHIPPED_PLACES && !strchr(name, '/'); i++)
        if (shipped_folder(folder, bytes, i, name) && is_model(folder)) return RUBATO_OK;
    char repository[HUB_PATH];
    bool on_hub = is_hub_name(name);
    if (on_hub) TRY(hub_repository_folder(repository, sizeof repository, name, error));
    if (on_hub && hub_snapshot(folder, bytes, repository, "main") && is_model(folder)) return RUBATO_OK;
    if (file_exists(name))
        return fail(error, RUBATO_NOT_FOUND,
                    "%s: a file, not the folder of a model; in a command the model's folder comes first", name);
    if (!on_hub) return fail(error, RUBATO_NOT_FOUND, "%s: no such folder", name);
    return fail(error, RUBATO_NOT_FOUND,
                "%s: no such folder, no models/%s, and not in the cache (%s); try: rubato pull "
                "%s",
                name, name, repository, name);
}
