/* Kernels with emulated tiles, so that layers run as with tiles on any processor. */
#ifndef RUBATO_TESTS_TABLE_EMULATED_H
#define RUBATO_TESTS_TABLE_EMULATED_H

#include "kernels/table.h"

kernel_table kernel_table_emulated(void);

#endif
