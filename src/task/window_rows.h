/* A row of numbers for each window of a text, joined to one row for the text. */
#ifndef RUBATO_TASK_WINDOW_ROWS_H
#define RUBATO_TASK_WINDOW_ROWS_H

#include "task/job.h"

typedef enum window_join {
    JOIN_MEAN,   /* weighted by the tokens of the windows, without special ones */
    JOIN_LARGEST /* of the windows, the row whose first number is the largest (Dai and Callan 2019, MaxP) */
} window_join;

typedef struct window_part {
    size_t windows;
    float *rows;    /* [windows, columns]; NULL for a text of one window, whose row is that of the text */
    float *weights; /* [windows] behind them */
} window_part;

typedef struct window_rows {
    float *out; /* [count, columns] */
    size_t count, columns;
    window_part *parts; /* [count]; NULL where every text has one window */
} window_rows;

/* out [count, columns] receives the rows of texts, and stays the caller's. several: texts may have several windows.
 * Release with window_rows_free, also after a failure. */
rubato_status window_rows_create(window_rows *self, float *out, size_t count, size_t columns, bool several,
                                 rubato_error *error);

/* To be called with each text's encoding, as job.prepare. */
rubato_status window_rows_prepare(window_rows *self, size_t input, const rubato_encoding *encoding,
                                  rubato_error *error);

/* Where the row of that window belongs. */
float *window_rows_at(const window_rows *self, const unit *of);

/* Joins the windows of every text. */
void window_rows_join(const window_rows *self, window_join how);

void window_rows_free(window_rows *self);

#endif
