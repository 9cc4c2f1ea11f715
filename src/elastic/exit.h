/* Leaving early: a classifier after a layer decides that the answer is good enough, and a sequence or a token runs no
 * further.
 *
 * A rule is one file, exit_NAME.c, with a function that looks at the output of one exit for one subject; exit.c lists
 * the rules. A setting is a rule with its numbers, and a part of an operating point. A subject is a sequence or, for
 * taggers, a token. */
#ifndef RUBATO_ELASTIC_EXIT_H
#define RUBATO_ELASTIC_EXIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct exit_rule exit_rule;

typedef struct exit_setting {
    const exit_rule *rule; /* NULL: nothing leaves */
    float threshold;       /* in the rule's own unit */
    uint32_t patience;     /* of rules that count: the number of exits in a row */
    uint32_t first;        /* the first layer, from 1, after which a subject may leave; 0 means 1 */
    bool by_token;         /* tokens leave one by one and stay as keys and values; else whole sequences leave */
    uint32_t window;       /* with by_token: the neighbours on each side that must be ready as well */
} exit_setting;

/* The output of an exit for one subject. */
typedef struct exit_view {
    const float *logits; /* [classes]; with one class, a value */
    const float *before; /* the same of the previous exit; NULL: this is the first */
    size_t classes;
    float signal;  /* the probability to halt; for exits that have one */
    float *memory; /* memory of the rule for this subject, 0 at first */
} exit_view;

struct exit_rule {
    const char *name;
    const char *threshold; /* its meaning, for users; NULL: the rule has none */
    bool counts;           /* the rule has a patience */
    bool (*leaves)(const exit_setting *self, const exit_view *view);
};

extern const exit_rule exit_entropy, exit_confidence, exit_patience, exit_patient_entropy, exit_divergence,
    exit_halting, exit_fixed;

/* The rule of that name, or NULL. */
const exit_rule *exit_rule_find(const char *name);
void exit_rule_list(char *out, size_t bytes);

bool exit_equal(const exit_setting *a, const exit_setting *b);

/* Entropy of softmax(logits) divided by the logarithm of the number of classes: 0 is certain, 1 is no information. It
 * is computed from the logits, so that a probability of zero does not give NaN. For one class: 1. */
float exit_uncertainty(const float *logits, size_t classes);

/* The class of the largest logit, and its probability. */
size_t exit_best(const float *logits, size_t classes, float *probability);

#endif
