/* The largest of many numbers. */
#ifndef RUBATO_TRAIN_LARGEST_H
#define RUBATO_TRAIN_LARGEST_H

#include <stddef.h>

/* marks [count] = 1 for the `most` largest values, and 0 for the others; of equal ones the first count as larger. In
 * time proportional to count. No value is NaN. */
void largest_mark(const float *values, size_t count, size_t most, float *marks);

#endif
