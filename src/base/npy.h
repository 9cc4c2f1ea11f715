/* The header of NumPy's .npy files, format version 1.0: magic, header length, a Python dictionary. */
#ifndef RUBATO_BASE_NPY_H
#define RUBATO_BASE_NPY_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { NPY_HEADER = 128, NPY_BEFORE = 10 }; /* the numbers begin at a multiple of 64; the dictionary, at NPY_BEFORE */
#define NPY_DICT "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }"

/* out [NPY_HEADER]: the header of [rows, columns] floats, row by row. */
static inline void npy_header(unsigned char *out, size_t rows, size_t columns) {
    static const unsigned char magic[NPY_BEFORE] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, NPY_HEADER - NPY_BEFORE, 0};
    char text[NPY_HEADER];
    int length = snprintf(text, sizeof text, NPY_DICT, rows, columns);
    memset(out, ' ', NPY_HEADER);
    memcpy(out, magic, NPY_BEFORE);
    memcpy(out + NPY_BEFORE, text, (size_t)length);
    out[NPY_HEADER - 1] = '\n';
}

#endif
