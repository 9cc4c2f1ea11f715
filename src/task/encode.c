/* From texts to tokens. */
#include "task/encode.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/input.h"
#include "base/options.h"
#include "base/utf8.h"
#include "text/unicode.h"

enum { ANSWER_STRIDE = 128 };

rubato_status engine_options(const rubato_model *model, rubato_purpose purpose, const rubato_options *options,
                             rubato_options *own, rubato_text_options *out, rubato_error *error) {
    TRY(OPTIONS_COPY(own, rubato_options, options, error));
    TRY(OPTIONS_COPY(out, rubato_text_options, own->text, error));
    size_t most = encoder_max_length(&model->body.config);
    if (!out->whole && out->max_length == 0) out->max_length = model->info.max_length;
    if (!out->whole && out->max_length > most)
        return fail(error, RUBATO_BAD_ARGUMENT, "a maximum length of %zu tokens; this model takes %zu", out->max_length,
                    most);
    const bool always = purpose == RUBATO_FOR_TAGS || purpose == RUBATO_FOR_ANSWERS || purpose == RUBATO_FOR_PASSAGES;
    out->windows = always || (out->windows && purpose != RUBATO_FOR_TOKENS);
    if (out->windows && !always && out->max_length <= tokenizer_specials(model->text, false))
        return fail(error, RUBATO_BAD_ARGUMENT, "a maximum length of %zu leaves no room for text in a window",
                    out->max_length);
    if (purpose == RUBATO_FOR_ANSWERS) out->truncation = RUBATO_ONLY_SECOND;
    if (always && out->stride == 0) {
        out->stride_fits = 1;
        out->stride =
            purpose == RUBATO_FOR_ANSWERS ? size_min(ANSWER_STRIDE, out->max_length / 3) : out->max_length / 4;
    }
    return RUBATO_OK;
}

rubato_status rubato_prompt(const rubato_model *model, const char *name, const char **text, rubato_error *error) {
    const rubato_info *info = &model->info;
    *text = NULL;
    for (size_t i = 0; i < info->prompt_count; i++)
        if (strcmp(info->prompt_names[i], name) == 0) {
            *text = info->prompts[i];
            return RUBATO_OK;
        }
    text_buffer known = {0};
    for (size_t i = 0; i < info->prompt_count; i++)
        text_add_format(&known, "%s\"%.60s\"", i ? ", " : "", info->prompt_names[i]);
    rubato_status status = fail(error, RUBATO_BAD_ARGUMENT, "no prompt \"%.60s\"; this model has %s", name,
                                known.data && !known.failed ? known.data : "none");
    text_free(&known);
    return status;
}

const char *engine_prompt(const rubato_model *model, const rubato_options *own) {
    return own->prompt ? own->prompt : model->default_prompt;
}

rubato_status engine_prompt_tokens(const rubato_model *model, const char *prompt, size_t *tokens, rubato_error *error) {
    *tokens = 0;
    if (!prompt || !model->pool.skip_prompt) return RUBATO_OK;
    rubato_encoding *encoding;
    const rubato_text_options whole = {.size = sizeof whole, .whole = 1};
    const rubato_input input = {.text = prompt};
    TRY(rubato_encode(model, &input, &whole, &encoding, error));
    *tokens = encoding->windows[0].length ? encoding->windows[0].length - 1 : 0;
    rubato_encoding_destroy(encoding);
    return RUBATO_OK;
}

bool engine_prepares(const rubato_model *model, const char *prompt) {
    return prompt || model->sentence;
}

bool engine_is_space(uint32_t code) {
    return character_flags(code) & CHARACTER_SPACE || (code >= 0x1c && code <= 0x1f);
}

bool engine_prepare_text(const rubato_model *model, const char *prompt, const rubato_input *from, text_buffer *out) {
    size_t size = input_size(from->text, from->text_bytes);
    text_clear(out);
    if (prompt) text_add_string(out, prompt);
    text_add(out, from->text, size);
    if (out->failed || utf8_check(out->data, out->length) != out->length) return !out->failed; /* reported later */
    size_t first = 0, last = 0;
    text_buffer lower = {0};
    for (size_t i = 0; i < out->length;) {
        uint32_t code, parts[3];
        char bytes[4];
        size_t length = utf8_next((const unsigned char *)out->data + i, &code);
        bool space = engine_is_space(code);
        i += length;
        size_t at = model->lowercase ? lower.length : i - length;
        if (model->lowercase) {
            size_t count = character_lower(code, parts);
            for (size_t j = 0; j < count; j++) text_add(&lower, bytes, utf8_put(bytes, parts[j]));
        }
        if (space && last == 0) first = model->lowercase ? lower.length : i;
        if (!space) last = model->lowercase ? lower.length : at + length;
    }
    if (last == 0) first = 0;
    if (model->lowercase) {
        text_free(out);
        *out = lower;
    }
    if (!out->data) return !out->failed;
    memmove(out->data, out->data + first, last - first);
    out->length = last - first;
    out->data[out->length] = 0;
    return !out->failed;
}

rubato_status prepared_inputs_create(prepared_inputs *self, const rubato_model *model, const char *prompt,
                                     const rubato_input *inputs, size_t count, rubato_error *error) {
    *self = (prepared_inputs){.use = inputs, .count = count};
    if (!engine_prepares(model, prompt)) return RUBATO_OK;
    self->use = self->made = calloc(count + 1, sizeof *self->made);
    self->own = calloc(count + 1, sizeof *self->own);
    if (!self->made || !self->own) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        self->made[i] = inputs[i];
        if (inputs[i].encoding) continue;
        if (!engine_prepare_text(model, prompt, &inputs[i], &self->own[i])) return fail_memory(error);
        self->made[i].text = self->own[i].data ? self->own[i].data : "";
        self->made[i].text_bytes = input_bytes(self->own[i].length);
    }
    return RUBATO_OK;
}

void prepared_inputs_free(prepared_inputs *self) {
    for (size_t i = 0; self->own && i < self->count; i++) text_free(&self->own[i]);
    free(self->own);
    free(self->made);
    *self = (prepared_inputs){0};
}

rubato_status engine_check_inputs(const rubato_input *inputs, size_t count, rubato_error *error) {
    if (count && !inputs) return fail(error, RUBATO_BAD_ARGUMENT, "the inputs are NULL");
    for (size_t i = 0; i < count; i++)
        if (!inputs[i].text)
            return fail_line(error, RUBATO_BAD_ARGUMENT, i + 1,
                             "the text of input %zu is NULL; a text without bytes is \"\"", i);
    return RUBATO_OK;
}

rubato_status engine_check_window(const rubato_model *model, const rubato_window *window, rubato_error *error) {
    size_t most = encoder_max_length(&model->body.config);
    if (window->length > most)
        return fail(error, RUBATO_BAD_ARGUMENT, "%zu tokens; this model takes %zu", window->length, most);
    for (size_t i = 0; i < window->length; i++)
        if ((size_t)window->ids[i] >= model->body.config.vocabulary ||
            (model->body.tables.type.data && (size_t)window->types[i] >= model->body.config.types))
            return fail(error, RUBATO_BAD_MODEL, "token id %d or type %d of the tokenizer is beyond the model's tables",
                        window->ids[i], window->types[i]);
    return RUBATO_OK;
}

/* Whether a caller's encoding can stand in for the text. */
static rubato_status check_encoding(const rubato_model *model, const rubato_encoding *encoding,
                                    const rubato_text_options *text, rubato_error *error) {
    if (encoding_tokenizer(encoding) != model->text)
        return fail(error, RUBATO_BAD_ARGUMENT, "the encoding was made with another model than %s", model->path);
    if (!text->windows && encoding->count != 1)
        return fail(error, RUBATO_BAD_ARGUMENT, "an encoding of %zu windows where one is taken", encoding->count);
    return RUBATO_OK;
}

rubato_status engine_encode(const rubato_model *model, const rubato_input *input, const rubato_text_options *text,
                            tokenizer_scratch *scratch, const rubato_encoding **out, rubato_error *error) {
    rubato_encoding *made = NULL;
    *out = NULL;
    TRY(engine_check_inputs(input, 1, error));
    rubato_status status = input->encoding ? check_encoding(model, input->encoding, text, error)
                                           : tokenizer_encode(model->text, input, text, scratch, &made, error);
    *out = input->encoding ? input->encoding : made;
    for (size_t i = 0; status == RUBATO_OK && i < (*out)->count; i++)
        status = engine_check_window(model, &(*out)->windows[i], error);
    if (status == RUBATO_OK) return RUBATO_OK;
    rubato_encoding_destroy(made);
    *out = NULL;
    return status;
}

void engine_encoding_free(const rubato_input *input, const rubato_encoding *encoding) {
    if (encoding != input->encoding) rubato_encoding_destroy((rubato_encoding *)(uintptr_t)encoding);
}

rubato_status rubato_encode(const rubato_model *model, const rubato_input *input, const rubato_text_options *options,
                            rubato_encoding **encoding, rubato_error *error) {
    tokenizer_scratch scratch = {0};
    rubato_text_options own;
    *encoding = NULL;
    TRY(engine_check_inputs(input, 1, error));
    TRY(OPTIONS_COPY(&own, rubato_text_options, options, error));
    if (!own.whole && own.max_length == 0) own.max_length = model->info.max_length;
    rubato_status status = tokenizer_encode(model->text, input, &own, &scratch, encoding, error);
    tokenizer_scratch_free(&scratch);
    return status;
}

rubato_status rubato_encode_for(const rubato_model *model, rubato_purpose purpose, const rubato_input *input,
                                const rubato_options *options, rubato_encoding **encoding, rubato_error *error) {
    rubato_options own;
    rubato_text_options text;
    text_buffer prepared = {0};
    *encoding = NULL;
    TRY(engine_check_inputs(input, 1, error));
    rubato_input of = *input;
    TRY(engine_options(model, purpose, options, &own, &text, error));
    const char *prompt = engine_prompt(model, &own);
    rubato_status status = RUBATO_OK;
    if (purpose == RUBATO_FOR_EMBEDDINGS) {
        of.pair = NULL;
        if (engine_prepares(model, prompt)) {
            if (!engine_prepare_text(model, prompt, input, &prepared)) status = fail_memory(error);
            of.text = prepared.data ? prepared.data : "";
            of.text_bytes = input_bytes(prepared.length);
        }
    }
    if (status == RUBATO_OK) status = rubato_encode(model, &of, &text, encoding, error);
    text_free(&prepared);
    return status;
}

rubato_status rubato_decode(const rubato_model *model, const int32_t *ids, size_t count, int skip_special, char **text,
                            rubato_error *error) {
    text_buffer out = {0};
    *text = NULL;
    rubato_status status = tokenizer_decode(model->text, ids, count, skip_special, &out, error);
    if (status == RUBATO_OK)
        *text = out.data;
    else
        text_free(&out);
    return status;
}

const char *rubato_token(const rubato_model *model, int32_t id, size_t *bytes) {
    bool known = id >= 0 && (size_t)id < model->text->vocabulary && model->text->tokens[id];
    if (bytes) *bytes = known ? model->text->token_bytes[id] : 0;
    return known ? model->text->tokens[id] : NULL;
}
