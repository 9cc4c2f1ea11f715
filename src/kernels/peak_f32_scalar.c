/* The peak of the baseline instruction set: a loop of independent multiplies and adds of four floats. */
#include "kernels/table.h"

typedef float four __attribute__((vector_size(16)));

double peak_f32_scalar(size_t iterations) {
    four sum[8], x = {1.0f, 1.0f, 1.0f, 1.0f}, y = {1e-9f, 1e-9f, 1e-9f, 1e-9f};
    for (int i = 0; i < 8; i++) sum[i] = (four){(float)i, 0, 0, 0};
    for (size_t n = 0; n < iterations; n++) {
        __asm__ volatile("" : "+x"(x), "+x"(y));
        for (int i = 0; i < 8; i++) sum[i] = sum[i] * x + y;
    }
    for (int i = 1; i < 8; i++) sum[0] += sum[i];
    __asm__ volatile("" : : "x"(sum[0]));
    return (double)iterations * 8 * 4 * 2;
}
