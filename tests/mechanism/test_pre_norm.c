/* Encoders with norms before their parts, rotary positions, gated feed-forward parts and windows in some layers,
 * against ModernBERT of transformers (make_modernbert_golden.py): rows, and the gradients of all parameters. */
#define _GNU_SOURCE
#include <cmocka_compat.h>

#include "golden_encoder.h"
#include "isas.h"

static void test_against_pytorch(void **unused) {
    (void)unused;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_kernels(isa)) continue;
        golden_encoder g;
        golden_open(&g, "modern", isa_name(isa));
        golden_check(&g);
        golden_close(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
