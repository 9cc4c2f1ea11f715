/* What the running functions make of texts before they run. */
#ifndef RUBATO_TASK_ENCODE_H
#define RUBATO_TASK_ENCODE_H

#include "base/text_buffer.h"
#include "task/model.h"

/* A caller's options, copied, and their text part as the running functions of that purpose have it: the model's maximum
 * length filled in and checked, windows and their stride. */
rubato_status engine_options(const rubato_model *model, rubato_purpose purpose, const rubato_options *options,
                             rubato_options *own, rubato_text_options *text, rubato_error *error);

/* The prompt that embeddings get; NULL for none. */
const char *engine_prompt(const rubato_model *model, const rubato_options *own);

/* The leading tokens that pooling leaves out, where the model's folder says so: those of the prompt and the special
 * token before it. As in sentence-transformers, the prompt's own encoding without its last token. */
rubato_status engine_prompt_tokens(const rubato_model *model, const char *prompt, size_t *tokens, rubato_error *error);

/* Whether embeddings are made of other texts than the caller's: of prepared ones. */
bool engine_prepares(const rubato_model *model, const char *prompt);

/* Texts as embeddings get them: the caller's, or prepared ones behind them. */
typedef struct prepared_inputs {
    const rubato_input *use; /* [count] the caller's, or `made` */
    rubato_input *made;      /* [count]; NULL: nothing is prepared */
    text_buffer *own;        /* [count] the texts of these */
    size_t count;
} prepared_inputs;

/* Prepares the inputs that have no encoding, where the model or the prompt wants it; else the caller's must stay.
 * Release with prepared_inputs_free, also after a failure. */
rubato_status prepared_inputs_create(prepared_inputs *self, const rubato_model *model, const char *prompt,
                                     const rubato_input *inputs, size_t count, rubato_error *error);
void prepared_inputs_free(prepared_inputs *self);

/* White space that preparing takes off both ends, as Python's strip does. */
bool engine_is_space(uint32_t code);

/* As sentence-transformers prepares a text: prompt before it, white space off both ends, lower case where asked. False
 * when memory is short. */
bool engine_prepare_text(const rubato_model *model, const char *prompt, const rubato_input *from, text_buffer *out);

/* Fails: BAD_ARGUMENT for an input without a text, with its index. */
rubato_status engine_check_inputs(const rubato_input *inputs, size_t count, rubato_error *error);

/* Whether a window's ids, types and length are within the model's tables. */
rubato_status engine_check_window(const rubato_model *model, const rubato_window *window, rubato_error *error);

/* An input's tokens: its own encoding, which is checked, or a new one. *out is given back with engine_encoding_free. */
rubato_status engine_encode(const rubato_model *model, const rubato_input *input, const rubato_text_options *text,
                            tokenizer_scratch *scratch, const rubato_encoding **out, rubato_error *error);
void engine_encoding_free(const rubato_input *input, const rubato_encoding *encoding);

#endif
