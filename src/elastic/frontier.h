/* A model's frontier: the operating points on its curve of quality against cost, as rubato.json stores them; and
 * budgets, which select a point. */
#ifndef RUBATO_ELASTIC_FRONTIER_H
#define RUBATO_ELASTIC_FRONTIER_H

#include "base/json.h"
#include "elastic/cost_model.h"
#include "elastic/retire.h"

typedef struct frontier {
    point *points; /* by rising cost; without the full point, unless search measured it */
    size_t count;
    significance by;
    double full, full_ms; /* quality and time of the full model, as search measured them; NaN: unknown */
    double full_error;    /* standard error of that quality; NaN: unknown */
    size_t held_out;      /* examples that no point was chosen on, from which the qualities are; 0: the search's own */
    char metric[32];      /* the name of the quality: "accuracy", ... */
    char low[8];          /* the precision of low-precision points: "int8", "bf16" */
} frontier;

/* "received", "others", "random", "first"; false for another name. */
bool significance_find(significance *out, const char *name);

void frontier_free(frontier *self);

/* The precision of the low-precision points in a rubato.json's object; NULL: it has none. */
const char *frontier_low(const json_t *object);

/* Removes low-precision points, for a model that is loaded in one precision. */
void frontier_widen(frontier *self);

/* Reads and writes the members "significance", "metric" and "points" of rubato.json's object. Reading replaces self.
 * Fails: BAD_MODEL for points that do not have `layers` layers or whose parts are outside (0, 1]; OUT_OF_MEMORY. */
rubato_status frontier_read(frontier *self, const json_t *object, size_t layers, rubato_error *error);
rubato_status frontier_write(const frontier *self, json_t *object, rubato_error *error);

/* One point in the form of rubato.json; `low` names the precision of low-precision points. */
rubato_status point_read(point *out, const json_t *object, size_t layers, rubato_error *error);
json_t *point_object(const point *from, const char *low);

/* An exit setting in the form of rubato.json, within points and as the model's default. Fails: UNSUPPORTED for an
 * unknown rule, BAD_MODEL. */
rubato_status exit_setting_read(exit_setting *out, const json_t *object, rubato_error *error);
json_t *exit_setting_object(const exit_setting *from);

typedef enum budget_kind { BUDGET_FULL, BUDGET_RATIO, BUDGET_MS, BUDGET_NAME } budget_kind;

/* The cost of a point (NULL: full) for a sequence of that length: a part of the full model's operations, or
 * milliseconds for BUDGET_MS; with exits the expected cost. */
typedef double price_function(const void *user, budget_kind kind, const point *at, size_t length);

typedef struct budget {
    budget_kind kind;
    double value; /* a part of the full model's operations at the input's length; or milliseconds */
    const point *named;
    bool strict; /* kept by every single text, even one that never leaves early; else on average over texts */
} budget;

/* Parses "full", "0.4x", "8ms", "@name" or "drop:0.5" (the cheapest point that loses at most half a point of quality,
 * in hundredths). NULL is full. Fails: BAD_ARGUMENT for any other text, for a ratio or time below every point, for an
 * unknown name (the error lists the names), or for milliseconds without a cost model. */
rubato_status budget_parse(budget *out, const char *text, const frontier *points, const cost_model *times,
                           rubato_error *error);

/* The best point within the budget for a sequence of this length; *out is NULL for the full model. With exits a budget
 * is kept on average over texts; the standard error of a point's cost counts too. A pure function: the same text gets
 * the same point in any batch. Returns false where no point is cheap enough; *out is then the cheapest. */
bool budget_choose(const point **out, const budget *self, const frontier *points, price_function *price,
                   const void *user, size_t length);

#endif
