/* A tokenizer from vocab.txt, as BertTokenizer and its relatives read it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/tokenizer_build.h"

/* One token in each line, whose number is the id. */
rubato_status tokenizer_read_vocabulary(tokenizer **out, const char *folder, const json_t *config,
                                        rubato_error *error) {
    char *data = NULL, path[4096];
    size_t size;
    tokenizer *self = NULL;
    rubato_status status;
    const tokenizer_class *class;
    snprintf(path, sizeof path, "%.4000s/vocab.txt", folder);
    bool named;
    TRY(tokenizer_class_find(&class, &named, folder, config, error));
    if (!class && named)
        return fail(error, RUBATO_UNSUPPORTED,
                    "%s: vocab.txt, and a tokenizer_class (%.60s) that cuts words otherwise; save the folder with a "
                    "tokenizer.json",
                    folder,
                    config && json_object_get(config, "tokenizer_class")
                        ? json_string_value(json_object_get(config, "tokenizer_class"))
                        : "in config.json");
    if (!class) class = tokenizer_class_default();
    TRY_DONE(file_read(&data, &size, path, TOKENIZER_FILE_BYTES, error));
    size_t bad = utf8_check(data, size);
    if (bad < size) {
        status = fail(error, RUBATO_BAD_MODEL, "%s: not valid UTF-8 at byte %zu", path, bad);
        goto done;
    }
    TRY_DONE(tokenizer_create(&self, error));
    long long id = 0;
    for (char *line = data; line < data + size; id++) {
        char *end = memchr(line, '\n', (size_t)(data + size - line));
        if (!end) end = data + size;
        size_t length = (size_t)(end - line);
        if (length && line[length - 1] == '\r') length--;
        TRY_DONE(tokenizer_add_token(self, line, length, id, error));
        line = end + 1;
    }
    normalizer_step *step = calloc(1, sizeof *step);
    pre_tokenizer_step *cut = calloc(1, sizeof *cut);
    self->normalizer.steps = step;
    self->pre_tokenizer.steps = cut;
    if (!step || !cut) {
        status = fail_memory(error);
        goto done;
    }
    self->normalizer.count = self->pre_tokenizer.count = 1;
    step->kind = NORMALIZE_BERT;
    step->clean = true;
    self->model.kind = MODEL_WORDPIECE;
    self->model.max_characters = 100;
    TRY_DONE(tokenizer_add_continuations(self, "##", error));
    static const char *const keys[] = {"unk_token", "cls_token", "sep_token", "pad_token", "mask_token"};
    int32_t ids[5];
    for (size_t i = 0; i < 5; i++) {
        const json_t *value = json_object_get(config, keys[i]);
        const char *name = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
        if (!name) name = class->tokens[i];
        ids[i] = tokenizer_id(self, name);
        if (ids[i] < 0 && i < 3) {
            status = fail(error, RUBATO_BAD_MODEL, "%s: the special token \"%.60s\" is missing", path, name);
            goto done;
        }
        added_token special = {.special = true, .left_strip = class->roberta && i == 4};
        if (ids[i] >= 0) TRY_DONE(tokenizer_add_added(self, &special, name, strlen(name), ids[i], error));
    }
    self->model.unknown = ids[0];
    self->pad = ids[3];
    self->mask = ids[4];
    TRY_DONE(tokenizer_set_template(self, ids[1], ids[2], class->roberta, error));
    self->single.items[0].type = self->pair.items[0].type = class->cls_type;
    TRY_DONE(tokenizer_configure(self, class, folder, config, error));
    TRY_DONE(tokenizer_finish(self, error));
    *out = self;
done:
    free(data);
    if (status != RUBATO_OK) tokenizer_destroy(self);
    return status;
}
