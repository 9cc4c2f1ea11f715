/* Element types on disk. */
#include "tensor/dtype.h"

#include <stdint.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bits;
} types[DTYPE_COUNT] = {
#define DTYPE_ROW(name, bits) {#name, bits},
    DTYPE_MAP(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *dtype_name(dtype type) {
    return types[type].name;
}

size_t dtype_bits(dtype type) {
    return types[type].bits;
}

bool dtype_find(dtype *type, const char *name) {
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(types[i].name, name) == 0) {
            *type = (dtype)i;
            return true;
        }
    return false;
}

bool dtype_is_real(dtype type) {
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16 || type == DTYPE_F64;
}

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
    if (exponent == 31) return from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) { /* subnormal: mantissa * 2^-24 */
        float value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

void dtype_read(float *out, dtype type, const unsigned char *data, size_t first, size_t count) {
    if (count == 0) return;
    switch (type) {
    case DTYPE_F32: memcpy(out, data + first * 4, count * 4); break;
    case DTYPE_F64:
        for (size_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, data + (first + i) * 8, 8);
            out[i] = (float)value;
        }
        break;
    case DTYPE_I8:
        for (size_t i = 0; i < count; i++) out[i] = (float)(int8_t)data[first + i];
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, data + (first + i) * 2, 2);
            out[i] = type == DTYPE_BF16 ? from_bits((uint32_t)half << 16) : from_half(half);
        }
    }
}

bool all_finite(const float *x, size_t count) {
    unsigned bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}
