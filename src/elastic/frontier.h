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

typedef struct budget {
    budget_kind kind;
    double value; /* a part of the full model's operations at the input's length; or milliseconds */
    const point *named;
} budget;

/* Parses "full", "0.4x", "8ms", "@name" or "drop:0.5" (the cheapest point that loses at most half a point of quality,
 * in hundredths). NULL is full. Fails: BAD_ARGUMENT for any other text, for a ratio or time below every point, for an
 * unknown name (the error lists the names), or for milliseconds without a cost model. */
rubato_status budget_parse(budget *out, const char *text, const frontier *points, const cost_model *times,
                           rubato_error *error);

/* The best point within the budget for a sequence of this length; NULL for the full model. For a short text even the
 * cheapest point may exceed the budget; then the cheapest is returned. A pure function: the same text gets the same
 * point in any batch. */
const point *budget_choose(const budget *self, const frontier *points, const cost_model *times,
                           const encoder_shape *shape, size_t length);

#endif
