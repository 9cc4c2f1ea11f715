/* Element types on disk, and conversion to floats. */
#ifndef RUBATO_TENSOR_DTYPE_H
#define RUBATO_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

/* name, bits of one element */
/* clang-format off */
#define DTYPE_MAP(X)                                                                                                   \
    X(BOOL, 8) X(U8, 8) X(I8, 8) X(F8_E5M2, 8) X(F8_E4M3, 8) X(F8_E8M0, 8) X(F8_E4M3FNUZ, 8) X(F8_E5M2FNUZ, 8)         \
    X(I16, 16) X(U16, 16) X(F16, 16) X(BF16, 16) X(I32, 32) X(U32, 32) X(F32, 32) X(I64, 64) X(U64, 64) X(F64, 64)     \
    X(C64, 64) X(F4, 4) X(F6_E2M3, 6) X(F6_E3M2, 6)
/* clang-format on */

typedef enum dtype {
#define DTYPE_ENUM(name, bits) DTYPE_##name,
    DTYPE_MAP(DTYPE_ENUM)
#undef DTYPE_ENUM
        DTYPE_COUNT
} dtype;

const char *dtype_name(dtype type);
size_t dtype_bits(dtype type);

/* The type of that name; false when there is none. */
bool dtype_find(dtype *type, const char *name);

/* F32, F16, BF16 and F64: numbers that need no scale. */
bool dtype_is_real(dtype type);

/* Converts `count` elements of a real type or I8 from element `first` on. data may have any alignment. */
void dtype_read(float *out, dtype type, const unsigned char *data, size_t first, size_t count);

/* Whether all values are finite. */
bool all_finite(const float *x, size_t count);

#endif
