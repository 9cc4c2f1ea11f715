/* The family of a folder's model. */
#include "task/load_family.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "task/load.h"

const char *model_architecture(const json_t *config) {
    return json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
}

static bool has_tensor(const checkpoint *weights, const char *prefix, const char *pattern, bool bare) {
    char first[LOADER_NAME], name[LOADER_NAME + 16];
    loader_name(first, sizeof first, prefix, pattern, 0, 0);
    snprintf(name, sizeof name, bare ? "%s" : "%s.weight", first);
    return checkpoint_find(weights, name) != NULL;
}

/* Whether there is a first layer under the family's names. */
static bool has_layers(const family *kind, const checkpoint *weights) {
    bool found = false;
    for (size_t i = 0; i <= 4 && !found; i++) {
        const char *prefix = i < 4 ? kind->prefixes[i] : "";
        const tensor_names *names = &kind->names;
        found = prefix && has_tensor(weights, prefix, names->output_norm, false) &&
                (has_tensor(weights, prefix, names->query ? names->query : names->attention_norm, names->bare) ||
                 (names->query_key && has_tensor(weights, prefix, names->query_key, false)));
    }
    return found;
}

/* The only family that has such tensors, or whose last norm has the longest name: MobileBERT has those of BERT too.
 * NULL: none has, or several have. */
static rubato_status find_by_tensors(const family **out, const char *folder, file_reading how, rubato_error *error) {
    checkpoint weights;
    size_t count = 0, longest = 0;
    *out = NULL;
    TRY(checkpoint_open(&weights, folder, how, error));
    for (size_t i = 0; family_at(i); i++)
        if (!family_at(i)->disguised && has_layers(family_at(i), &weights)) {
            const size_t length = strlen(family_at(i)->names.output_norm);
            if (length > longest) count = 0;
            if (length < longest) continue;
            longest = length;
            *out = family_at(i);
            count++;
        }
    checkpoint_close(&weights);
    if (count > 1) *out = NULL;
    return RUBATO_OK;
}

static rubato_status fail_unknown(const char *type, rubato_error *error) {
    char known[256];
    family_list(known, sizeof known);
    if (type) return fail(error, RUBATO_UNSUPPORTED, "model_type \"%.60s\" is not known; known are %s", type, known);
    return fail(error, RUBATO_UNSUPPORTED,
                "config.json has no model_type, and neither its architectures nor the names of the tensors tell the "
                "family; add \"model_type\", one of %s",
                known);
}

static rubato_status find_family(rubato_model *self, const json_t *config, file_reading how, rubato_error *error) {
    const char *type, *class = model_architecture(config), *class_type = NULL;
    TRY(json_get_text(&type, config, "model_type", NULL, error));
    bool own_code = json_truth(json_object_get(config, "auto_map"));
    const family *by_class = class ? family_of_class(class, &class_type) : NULL;
    self->kind = type ? family_find(type) : NULL;
    if (self->kind) {
        if (by_class && by_class != self->kind)
            TRY(model_warn(self, "config.json's architecture is %.60s, but its model_type counts", class, error));
        if (own_code)
            TRY(model_warn(self, "the code that config.json's auto_map names does not run; the model is taken for %s",
                           self->kind->name, error));
        return RUBATO_OK;
    }
    /* a type that nobody knows may be code of its own under a known class's name */
    if (type && (own_code || !by_class)) return fail_unknown(type, error);
    self->kind = by_class;
    self->model_type = class_type;
    if (!class) {
        TRY(find_by_tensors(&self->kind, self->base, how, error));
        if (self->kind) self->model_type = self->kind->model_types[0];
    }
    if (!self->kind) return fail_unknown(NULL, error);
    return model_warn(self,
                      type    ? "config.json's model_type is not known; by its architecture it is %s"
                      : class ? "config.json has no model_type; by its architecture it is %s"
                              : "config.json has no model_type; by the names of its tensors it is %s",
                      self->model_type, error);
}

rubato_status model_find_family(rubato_model *self, const json_t *config, file_reading how, rubato_error *error) {
    TRY(find_family(self, config, how, error));
    self->kind = family_told(self->kind, config);
    return RUBATO_OK;
}
