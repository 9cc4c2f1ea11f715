/* A model's frontier: its operating points on the curve of quality against cost, as rubato.json keeps them; and
 * budgets, which are requests for one. */
#ifndef RUBATO_ELASTIC_FRONTIER_H
#define RUBATO_ELASTIC_FRONTIER_H

#include "base/json.h"
#include "elastic/cost_model.h"
#include "elastic/retire.h"

typedef struct frontier {
    point *points; /* rising cost; the full one is not among them unless search measured it */
    size_t count;
    significance by;
    double full, full_ms; /* quality and time of the full model where search saw it; NaN: unknown */
    char metric[32];      /* what quality is: "accuracy", ... */
    char narrow[8];       /* the precision of narrow points: "int8", "bf16" */
} frontier;

/* "received", "others", "random", "first"; false for another name. */
bool significance_find(significance *out, const char *name);

void frontier_free(frontier *self);

/* The precision of the narrow points that a rubato.json's object has; NULL: it has none. */
const char *frontier_narrow(const json_t *object);

/* Leaves narrow points out, for a model that is loaded in one precision. */
void frontier_widen(frontier *self);

/* Reads and writes the members "significance", "metric" and "points" of rubato.json's object. Reading replaces self.
 * Fails: BAD_MODEL for points that are not of `layers` layers or keep anything but (0, 1]; OUT_OF_MEMORY. */
rubato_status frontier_read(frontier *self, const json_t *object, size_t layers, rubato_error *error);
rubato_status frontier_write(const frontier *self, json_t *object, rubato_error *error);

/* One point as rubato.json has it; `narrow` names the precision of narrow ones. */
rubato_status point_read(point *out, const json_t *object, size_t layers, rubato_error *error);
json_t *point_object(const point *from, const char *narrow);

/* An exit setting as rubato.json has it, within points and as the model's default. Fails: UNSUPPORTED for an unknown
 * rule, BAD_MODEL. */
rubato_status exit_setting_read(exit_setting *out, const json_t *object, rubato_error *error);
json_t *exit_setting_object(const exit_setting *from);

typedef enum budget_kind { BUDGET_FULL, BUDGET_RATIO, BUDGET_MS, BUDGET_NAME } budget_kind;

typedef struct budget {
    budget_kind kind;
    double value; /* of the full model's operations at the input's length; milliseconds */
    const point *named;
} budget;

/* "full", "0.4x", "8ms", "drop:0.5" (the cheapest point that loses at most half a point of quality, in hundredths),
 * "@name"; NULL is full. Fails: BAD_ARGUMENT for anything else, a ratio or time that no point
 * can meet, an unknown name (with the names there are), or milliseconds without a cost model. */
rubato_status budget_parse(budget *out, const char *text, const frontier *points, const cost_model *times,
                           rubato_error *error);

/* The best point that a sequence of this length can afford; NULL for the full model. Where even the cheapest is too
 * dear for so short a text, the cheapest. A pure function: the same text gets the same point in any company. */
const point *budget_choose(const budget *self, const frontier *points, const cost_model *times,
                           const layer_shape *shape, size_t length);

#endif
