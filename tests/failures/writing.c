/* Looks at folders that were being written. */
#include "failures/writing.h"

#include <string.h>

static void prepare(void *user) {
    writing *w = user;
    folder_clear(w->out);
    if (w->old) folder_copy(w->old, w->out);
    folder_read(&w->before, w->out);
}

static uint64_t find(const folder_state *in, const char *name) {
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->files[i].name, name) == 0) return in->files[i].content;
    return 0;
}

/* Files that have times within. */
static bool is_timed(const writing *w, const char *name) {
    return strstr(name, ".jsonl") || (w->timed && strcmp(name, "rubato.json") == 0);
}

/* The first file that differs, or NULL. */
static const char *differs(const writing *w, const folder_state *a, const folder_state *b) {
    for (size_t i = 0; i < a->count; i++)
        if (!is_timed(w, a->files[i].name) && a->files[i].content != find(b, a->files[i].name)) return a->files[i].name;
    for (size_t i = 0; i < b->count; i++)
        if (!is_timed(w, b->files[i].name) && !find(a, b->files[i].name)) return b->files[i].name;
    return NULL;
}

/* A model that is there can be loaded. One with the files of the last that could be is not loaded again. */
static bool is_whole(writing *w, const folder_state *now) {
    rubato_model *model;
    const char *folder = find(now, "config.json") ? w->out : NULL;
    if (!folder || (!w->timed && w->whole.count && !differs(w, now, &w->whole))) return true;
    if (rubato_model_load(&model, folder, NULL) != RUBATO_OK) return false;
    rubato_model_destroy(model);
    w->whole = *now;
    return true;
}

static const char *look(void *user, rubato_status status) {
    static char why[256];
    writing *w = user;
    folder_state now;
    folder_read(&now, w->out);
    for (size_t i = 0; i < now.count; i++)
        if (strstr(now.files[i].name, ".part")) {
            snprintf(why, sizeof why, "%s is left", now.files[i].name);
            return why;
        }
    if (status == RUBATO_OK && !w->known) {
        w->known = true;
        w->after = now;
        return NULL;
    }
    const char *new = differs(w, &now, &w->after);
    bool good = status == RUBATO_OK ? !new : w->piecewise ? is_whole(w, &now) : !new || !differs(w, &now, &w->before);
    if (good) return NULL;
    snprintf(why, sizeof why, "the folder is neither as before nor as after; %s differs", new ? new : "");
    return why;
}

void fail_writing(writing *w, const char *name, rubato_status (*call)(void *user, digest *result, rubato_error *error),
                  size_t exhaustive) {
    char out[128];
    snprintf(out, sizeof out, "%s/out", failing_folder());
    w->out = out;
    w->known = false;
    fail_allocations(
        &(attempt){.name = name, .call = call, .user = w, .prepare = prepare, .look = look, .exhaustive = exhaustive});
}

const char *write_data(const char *folder, const char *name, const char *text) {
    static char paths[8][160];
    static size_t count;
    char *path = paths[count++ % 8];
    file_write(folder, name, text);
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *old_folder(void) {
    const char *folder = failing_folder();
    file_write(folder, "config.json", "{\"old\": 1}");
    file_write(folder, "model.safetensors", "old");
    return folder;
}
