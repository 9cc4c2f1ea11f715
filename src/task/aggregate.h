/* Entities of labelled tokens, by the aggregation strategies of the token classification in `transformers`. */
#ifndef RUBATO_TASK_AGGREGATE_H
#define RUBATO_TASK_AGGREGATE_H

#include "task/model.h"

/* AGGREGATE_ENTITIES is Rubato's own rule (tag.c), the others are those of `transformers`: every token; or neighbours
 * with one label, where the label of a word is that of each token, of its first token, of the mean of its tokens, or of
 * the token that is most certain. */
typedef enum aggregation {
    AGGREGATE_ENTITIES,
    AGGREGATE_NONE,
    AGGREGATE_SIMPLE,
    AGGREGATE_FIRST,
    AGGREGATE_AVERAGE,
    AGGREGATE_MAX,
    AGGREGATIONS
} aggregation;

/* Fails: BAD_ARGUMENT. NULL is AGGREGATE_ENTITIES. */
rubato_status aggregation_find(aggregation *out, const char *name, rubato_error *error);

/* A token of a text. */
typedef struct placed_token {
    size_t start, end; /* code points */
    int32_t id;
    size_t index;        /* in its sequence, special tokens included */
    const float *scores; /* probabilities of the labels */
} placed_token;

/* A text, and where its code points begin. */
typedef struct pointed_text {
    const char *text;
    size_t *bytes; /* [points + 1] */
    size_t points;
} pointed_text;

/* bytes is NULL when memory is short, else the caller's to free. */
pointed_text pointed_text_create(const rubato_input *input);

typedef struct entity_list {
    struct found_entity {
        rubato_entity entity;
        char *word;
        size_t index; /* AGGREGATE_NONE: the token's */
    } * items;
    size_t count, capacity;
} entity_list;

void entity_list_free(entity_list *list);

/* Adds the entities of the tokens whose label is not in `ignored` ("O,MISC"). */
rubato_status aggregate(const rubato_model *model, aggregation how, const char *ignored, const pointed_text *text,
                        const placed_token *placed, size_t count, entity_list *out, rubato_error *error);

/* Of entities that overlap, because windows do, the longer one stays, or the more certain one. */
void entity_list_resolve(entity_list *list);

#endif
