/* Tagged words as one text. */
#ifndef RUBATO_TASK_WORDS_H
#define RUBATO_TASK_WORDS_H

#include "base/text_buffer.h"
#include "store/dataset.h"

/* Joins the words of a sentence by spaces. Sentences of single characters, with spaces among them, are joined without.
 * starts [word_count] receives the code point at which each word begins. False when memory is short. */
bool words_join(const example *item, text_buffer *text, size_t *starts);

#endif
