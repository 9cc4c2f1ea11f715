/* The 8-bit product, AVX2. */
#include "kernels/parts_int8_avx2.h"
#include "kernels/product_parts_avx2.h"

/* q + 128 in 8 bits becomes q in 16. */
static void widen_row(uint32_t *out, const uint32_t *a, size_t words) {
    for (size_t k = 0; k < words; k += 8) {
        __m256i x = bytes_of_a(load_some(a + k, words - k)), even = part_of(x, 0), odd = part_of(x, 1);
        __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
        store_some(out + 2 * k, 2 * (words - k), _mm256_permute2x128_si256(low, high, 0x20));
        if (words - k > 4) store_some(out + 2 * k + 8, 2 * (words - k) - 8, _mm256_permute2x128_si256(low, high, 0x31));
    }
}

void product_int8_avx2(const product_low *p) {
    product_widened(p, widen_row);
}
