/* Writing NumPy's .npy, format version 1.0: magic, header length, a Python dictionary, the numbers. */
#include <string.h>

#include "base/file.h"

rubato_status rubato_npy_write(const char *path, const float *data, size_t rows, size_t columns, rubato_error *error) {
    new_file file;
    char header[128];
    TRY(new_file_open(&file, path, error));
    int text = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows,
                        columns);
    /* the numbers begin at a multiple of 64; a newline ends the header */
    size_t length = 118;
    memset(header + text, ' ', length - (size_t)text);
    header[length - 1] = '\n';
    const unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)length, 0};
    fwrite(start, 1, sizeof start, file.stream);
    fwrite(header, 1, length, file.stream);
    if (rows && columns) fwrite(data, sizeof *data, rows * columns, file.stream);
    return new_file_commit(&file, error);
}
