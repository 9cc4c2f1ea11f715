/* Where sentences end in running text. */
#ifndef RUBATO_TEXT_SENTENCES_H
#define RUBATO_TEXT_SENTENCES_H

#include <stddef.h>

/* The place behind the sentence that begins at byte `from` of valid UTF-8, with the white space that follows it. A
 * sentence ends with . ! ? or their East Asian forms, with quotes and brackets that close behind them. White space must
 * follow a Latin mark, and no small Latin letter may follow the space: "e.g. this" and "J. Smith" are not divided. */
size_t sentence_end(const char *text, size_t bytes, size_t from);

#endif
