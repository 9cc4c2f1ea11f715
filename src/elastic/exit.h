/* Leaving early: a classifier after a layer says enough, and a sequence, or a token, runs no further.
 *
 * A rule is one file, exit_NAME.c, with a function that looks at what one exit says of one subject; exit.c lists them.
 * A setting is a rule with its numbers and a part of an operating point. */
#ifndef RUBATO_ELASTIC_EXIT_H
#define RUBATO_ELASTIC_EXIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct exit_rule exit_rule;

typedef struct exit_setting {
    const exit_rule *rule; /* NULL: nothing leaves */
    float threshold;       /* as the rule has it */
    uint32_t patience;     /* of rules that count: how many exits in a row */
    uint32_t first;        /* the first layer, from 1, after which anything leaves; 0 is 1 */
    bool by_token;         /* tokens leave one by one, and are still attended to; else whole sequences */
    uint32_t window;       /* of tokens: this many neighbours on each side must be ready as well */
} exit_setting;

/* What an exit says of one subject. */
typedef struct exit_view {
    const float *logits; /* [classes]; one class: a value */
    const float *before; /* the same of the exit below; NULL: this is the first */
    size_t classes;
    float signal;  /* the probability to halt, of exits that have one */
    float *memory; /* the rule's own about this subject, 0 at first */
} exit_view;

struct exit_rule {
    const char *name;
    const char *threshold; /* what it is, for people; NULL: there is none */
    bool counts;           /* has a patience */
    bool (*leaves)(const exit_setting *self, const exit_view *view);
};

extern const exit_rule exit_entropy, exit_confidence, exit_patience, exit_patient_entropy, exit_divergence,
    exit_halting, exit_fixed;

/* NULL for another name. */
const exit_rule *exit_rule_find(const char *name);
void exit_rule_list(char *out, size_t bytes);

bool exit_equal(const exit_setting *a, const exit_setting *b);

/* Entropy of softmax(logits) over the logarithm of the classes: 0 is certain, 1 knows nothing. From the logits, so that
 * a probability of zero is no NaN. One class: 1. */
float exit_uncertainty(const float *logits, size_t classes);

/* The class of the largest logit, and its probability. */
size_t exit_best(const float *logits, size_t classes, float *probability);

#endif
