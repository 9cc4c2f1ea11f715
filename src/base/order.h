/* Sorting numbers, and finding the largest. */
#ifndef RUBATO_BASE_ORDER_H
#define RUBATO_BASE_ORDER_H

#include <stdlib.h>

static inline int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static inline void sort_doubles(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare_doubles);
}

/* The index of the largest value, the first of equal ones. count > 0. */
static inline size_t index_of_largest(const float *values, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

/* The median, the upper of two for an even count. Sorts the values. count > 0. */
static inline double median(double *values, size_t count) {
    sort_doubles(values, count);
    return values[count / 2];
}

#endif
