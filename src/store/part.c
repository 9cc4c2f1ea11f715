/* Exchangeable parts of a layer in configurations. */
#include "store/part.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"

const part_kind *part_find(const part_table *all, const char *name) {
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->kinds[i]->name, name) == 0) return all->kinds[i];
    return NULL;
}

void part_choose(part_choice *out, const part_kind *kind, const void *setting, size_t bytes) {
    *out = (part_choice){.kind = kind, .implied = true};
    if (bytes) memcpy(out->setting, setting, size_min(bytes, sizeof out->setting));
}

rubato_status part_unknown(const part_table *all, const char *where, const char *name, rubato_error *error) {
    text_buffer known = {0};
    for (size_t i = 0; i < all->count; i++) text_add_format(&known, "%s%s", i ? ", " : "", all->kinds[i]->name);
    fail(error, RUBATO_UNSUPPORTED, "%s \"%.40s\"; known are %s", where, name, known.data ? known.data : "none");
    text_free(&known);
    return RUBATO_UNSUPPORTED;
}

rubato_status part_configure(part_choice *choice, const part_table *all, const json_t *config, rubato_error *error) {
    const json_t *wanted;
    const char *name;
    TRY(json_get_object(&wanted, config, all->key, error));
    if (!choice->kind) choice->kind = all->kinds[0];
    if (!wanted) return RUBATO_OK;
    TRY(json_get_text(&name, wanted, "mechanism", "", error));
    const part_kind *kind = part_find(all, name);
    if (!kind) {
        char where[64];
        snprintf(where, sizeof where, "config.json's \"%s\" is", all->key);
        return part_unknown(all, where, name, error);
    }
    if (kind != choice->kind) *choice = (part_choice){.kind = kind};
    choice->implied = false;
    return kind->configure ? kind->configure(choice->setting, wanted, error) : RUBATO_OK;
}

rubato_status part_note(const part_choice *choice, const part_table *all, json_t *config, rubato_error *error) {
    if (!part_is_foreign(choice)) return RUBATO_OK;
    json_t *object = json_pack("{s:s}", "mechanism", choice->kind->name);
    if (!object) return fail_memory(error);
    rubato_status status = choice->kind->note ? choice->kind->note(choice->setting, object, error) : RUBATO_OK;
    if (status == RUBATO_OK) return json_set(config, all->key, object, error);
    json_decref(object);
    return status;
}

void part_describe(const part_choice *choice, char *out, size_t bytes) {
    char detail[128] = "";
    if (choice->kind->describe) choice->kind->describe(choice->setting, detail, sizeof detail);
    snprintf(out, bytes, detail[0] ? "%s (%s)" : "%s", choice->kind->name, detail);
}

void part_name(char *out, const part_source *from, const char *name) {
    loader_name(out, LOADER_NAME, from->load->prefix, name, from->first, from->second);
}

void part_name_in_layer(char *out, const part_source *from, const char *name) {
    char pattern[LOADER_NAME];
    const char *known = from->names->output_norm, *last = strrchr(known, '%');
    const size_t lead = last ? (size_t)(last - known) + strcspn(last, ".") : strlen(known);
    snprintf(pattern, sizeof pattern, "%.*s.%s", (int)lead, known, name);
    part_name(out, from, pattern);
}

void part_name_beside(char *out, const part_source *from, const char *beside, const char *name) {
    part_name(out, from, beside);
    char *last = strrchr(out, '.');
    size_t lead = last ? (size_t)(last - out) + 1 : 0;
    snprintf(out + lead, LOADER_NAME - lead, "%s", name);
}
