/* The table of recipes. */
#include "train/recipe.h"

#include <stdio.h>
#include <string.h>

#define RECIPES(line)                                                                                                  \
    line(finetune) line(length_adaptive) line(power_bert) line(branchynet) line(deebert) line(right_tool)              \
        line(fastbert) line(pabee) line(act) line(slimmable) line(dynabert) line(anytime) line(tokee) line(distilbert) \
            line(tinybert) line(minilm) line(minilmv2) line(mobilebert) line(theseus) line(magnitude) line(movement)   \
                line(soft_movement) line(importance) line(l0) line(cofi) line(electra)

#define DECLARE(name) extern const recipe recipe_##name;
#define POINT_TO(name) &recipe_##name,

RECIPES(DECLARE)
static const recipe *const recipes[] = {RECIPES(POINT_TO)};
enum { RECIPE_COUNT = sizeof recipes / sizeof recipes[0] };

const recipe *recipe_find(const char *name) {
    for (size_t i = 0; i < RECIPE_COUNT; i++)
        if (strcmp(recipes[i]->name, name) == 0) return recipes[i];
    return NULL;
}

const char *recipe_name(size_t index) {
    return index < RECIPE_COUNT ? recipes[index]->name : NULL;
}

bool recipe_reads(const recipe *self, const char *option) {
    size_t length = strlen(option);
    for (const char *at = self->reads; at && (at = strstr(at, option)); at += length)
        if ((at == self->reads || at[-1] == ' ') && (at[length] == 0 || at[length] == ' ')) return true;
    return false;
}

void recipe_list(char *out, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; i < RECIPE_COUNT && at < bytes; i++)
        at += (size_t)snprintf(out + at, bytes - at, "%s%s", i ? ", " : "", recipes[i]->name);
}
