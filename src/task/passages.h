/* Cutting a long text into passages: as many whole sentences as have room. */
#ifndef RUBATO_TASK_PASSAGES_H
#define RUBATO_TASK_PASSAGES_H

#include "task/text_tokens.h"

/* The passages of a text, in order, without their vectors. */
typedef struct passage_list {
    rubato_passage *items;
    size_t *ends; /* [count] the number of the token behind each */
    size_t count;
} passage_list;

void passage_list_free(passage_list *self);

/* Cuts the tokens of a text into passages of at most `most` (>= 1) tokens each. A passage ends behind the last sentence
 * that has room in it; where no sentence ends in its last three quarters, at an empty line or behind a word; and within
 * a word that is too long. A sentence ends with . ! ? or their like before white space, or with an ideographic full
 * stop. The full stop of a single letter or of a title such as "Dr." ends none, and a mark that a small letter follows
 * is taken only where no better place is. Bytes of one character stay together. tokens: all tokens of the text, in its
 * order. Release with passage_list_free, also after a failure. */
rubato_status passage_list_create(passage_list *self, const pointed_text *text, const text_token *tokens, size_t count,
                                  size_t most, rubato_error *error);

#endif
