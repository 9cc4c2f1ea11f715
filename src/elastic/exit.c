/* The list of exit rules, and the functions that they share. */
#include "elastic/exit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const exit_rule *const rules[] = {&exit_entropy,    &exit_confidence, &exit_patience, &exit_patient_entropy,
                                         &exit_divergence, &exit_halting,    &exit_fixed};
enum { RULE_COUNT = sizeof rules / sizeof rules[0] };

const exit_rule *exit_rule_find(const char *name) {
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (strcmp(rules[i]->name, name) == 0) return rules[i];
    return NULL;
}

void exit_rule_list(char *out, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; i < RULE_COUNT && at < bytes; i++)
        at += (size_t)snprintf(out + at, bytes - at, "%s%s", i ? ", " : "", rules[i]->name);
}

bool exit_equal(const exit_setting *a, const exit_setting *b) {
    if (a->rule != b->rule) return false;
    return !a->rule || (a->threshold == b->threshold && a->patience == b->patience && a->first == b->first &&
                        a->by_token == b->by_token && a->window == b->window);
}

float exit_uncertainty(const float *logits, size_t classes) {
    if (classes < 2) return 1;
    float top = logits[0], sum = 0, weighted = 0;
    for (size_t j = 1; j < classes; j++) top = fmaxf(top, logits[j]);
    for (size_t j = 0; j < classes; j++) {
        float z = logits[j] - top, e = expf(z);
        sum += e;
        weighted += e > 0 ? e * z : 0;
    }
    return (logf(sum) - weighted / sum) / logf((float)classes);
}

size_t exit_best(const float *logits, size_t classes, float *probability) {
    size_t best = 0;
    float sum = 0;
    for (size_t j = 1; j < classes; j++)
        if (logits[j] > logits[best]) best = j;
    for (size_t j = 0; j < classes; j++) sum += expf(logits[j] - logits[best]);
    *probability = 1 / sum;
    return best;
}
