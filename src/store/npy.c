/* Writing NumPy's .npy. */
#include "base/npy.h"

#include "base/file.h"

rubato_status rubato_npy_write(const char *path, const float *data, size_t rows, size_t columns, rubato_error *error) {
    new_file file;
    unsigned char header[NPY_HEADER];
    TRY(new_file_open(&file, path, error));
    npy_header(header, rows, columns);
    fwrite(header, 1, sizeof header, file.stream);
    if (rows && columns) fwrite(data, sizeof *data, rows * columns, file.stream);
    return new_file_commit(&file, error);
}
