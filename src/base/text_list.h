/* Lists that a user writes in one text: "a, b". */
#ifndef RUBATO_BASE_TEXT_LIST_H
#define RUBATO_BASE_TEXT_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* The parts between commas, without white space at their ends; empty parts are left out. One block for free(); NULL
 * when memory is short. */
char **text_list_split(const char *text, size_t *count);

/* Whether a list has that part. */
bool text_list_has(const char *list, const char *part);

#endif
