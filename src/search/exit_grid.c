/* The exit settings that the search tries. */
#include "search/exit_grid.h"

/* Normalised entropies. Confidences are made of one minus a level. */
static const float levels[] = {0.002f, 0.005f, 0.01f, 0.02f, 0.04f, 0.07f, 0.1f, 0.15f, 0.2f,
                               0.25f,  0.3f,   0.4f,  0.5f,  0.6f,  0.7f,  0.8f, 0.9f,  0.97f};
static const float distances[] = {0.02f, 0.05f, 0.1f, 0.2f, 0.4f};  /* distances of values, for regression */
static const float gaps[] = {0.01f, 0.05f, 0.1f, 0.3f, 0.5f, 0.7f}; /* the probability that halting may lack to 1 */

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static size_t settings(const exits *from, exit_setting *out) {
    const exit_rule *rule = from->rule.rule;
    size_t count = 0, places = 0;
    for (size_t i = 0; i < from->depth; i++) places += from->heads[i].present;
    exit_setting base = from->rule;
    if (rule == &exit_fixed) return exit_grid_fixed(from, out);
    if (rule == &exit_halting) {
        for (size_t i = 0; i < COUNT(gaps); i++) {
            base.threshold = gaps[i];
            out[count++] = base;
        }
        return count;
    }
    const float *thresholds = rule == &exit_patience ? distances : levels;
    size_t steps = rule != &exit_patience ? COUNT(levels) : from->classes == 1 ? COUNT(distances) : 1;
    size_t patience = !rule->counts ? 1 : places < 8 ? places : 8;
    for (size_t p = patience; p > 0; p--)
        for (size_t i = 0; i < steps && count < MOST_EXIT_SETTINGS; i++) {
            bool exact = !rule->counts || rule == &exit_patience;
            if (!exact && i % 3) continue; /* for rules that have a patience as well, fewer thresholds */
            base.threshold = rule == &exit_confidence ? 1 - levels[i] / 2 : thresholds[i];
            if (rule->counts) base.patience = (uint32_t)p;
            out[count++] = base;
        }
    return count;
}

/* For tokens, also the windows: the trained one, none, and a wide one. */
size_t exit_grid(const exits *from, exit_setting *out) {
    static const uint32_t windows[] = {0, 2, 7};
    exit_setting base[MOST_EXIT_SETTINGS];
    if (!from->rule.by_token) return settings(from, out);
    size_t each = settings(from, base), count = 0;
    for (size_t i = 0; i < each; i++)
        for (size_t j = 0; j < COUNT(windows) && count < MOST_EXIT_SETTINGS; j++) {
            out[count] = base[i];
            out[count++].window = windows[j];
        }
    return count;
}

size_t exit_grid_fixed(const exits *from, exit_setting *out) {
    size_t count = 0;
    if (from->kind == EXIT_HALTING) return 0;
    for (size_t i = from->depth; i-- > 0;)
        if (from->heads[i].present) out[count++] = (exit_setting){.rule = &exit_fixed, .first = (uint32_t)i + 1};
    return count;
}
