/* Encoders against those of transformers (make_encoder_golden.py): rows, and the gradients of all parameters. "modern",
 * a ModernBERT: norms before their parts, rotary positions, gated feed-forward parts, windows in some layers.
 * "fourier", an FNet with an odd number of columns. "nystrom", a Nyströmformer, which transformers has for one length
 * alone. "permuted", an XLNet. "reversed", a Reformer with the layers that PyTorch reverses.
 * "pooled", a BERT whose head pools by attention, which transformers does not have. */
#define _GNU_SOURCE
#include <cmocka_compat.h>

#include "golden_encoder.h"
#include "isas.h"

static void test_against_pytorch(void **unused) {
    (void)unused;
    static const char *const names[] = {"modern", "fourier", "nystrom", "permuted", "reversed", "pooled"};
    for (size_t isa = 0; isa < ISA_COUNT; isa++)
        for (size_t i = 0; isa_kernels(isa) && i < sizeof names / sizeof *names; i++) {
            golden_encoder g;
            const bool texts = strcmp(names[i], "pooled") == 0;
            golden_open_for(&g, names[i], isa_name(isa), texts ? RUBATO_TASK_CLASSIFICATION : RUBATO_TASK_EMBEDDING);
            golden_check(&g);
            golden_close(&g);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
