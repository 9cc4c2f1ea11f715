/* Tables as text: records of fields, separated by tabs, or by commas with quotes. */
#ifndef RUBATO_BASE_TABLE_H
#define RUBATO_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_COLUMNS = 1024 };

/* Cuts the record that begins at `at` into fields in place, each ended by NUL.
 *   csv     commas separate fields, and a field may stand in double quotes; else tabs, and there are no quotes
 *   fields  [TABLE_COLUMNS] receives them; *count: their number, SIZE_MAX for too many or a quote that does not end
 *   lines   the number of lines of the record
 * Returns the start of the next record. *end must be writable. */
char *table_cut(char *at, char *end, bool csv, char **fields, size_t *count, size_t *lines);

#endif
