/* The tokens of a text that is cut into windows which overlap. */
#ifndef RUBATO_TASK_TEXT_TOKENS_H
#define RUBATO_TASK_TEXT_TOKENS_H

#include "task/aggregate.h"

typedef struct text_token {
    placed_token at; /* without scores */
    size_t word;
    size_t window, row; /* its place in a window */
    size_t depth;       /* tokens to the nearer end of its window: more means more context */
} text_token;

/* Lists the tokens of the first text in a window; returns their number. out [window->length] */
size_t text_tokens_of_window(const rubato_encoding *encoding, size_t window, text_token *out);

/* Lists every token of the first text once, in the order of the text, from the window in which it is farthest from both
 * ends; returns their number. Where there are several windows, at.index counts from the first one's tokens on.
 * out [tokens of all windows] */
size_t text_tokens_list(const rubato_encoding *encoding, text_token *out);

#endif
