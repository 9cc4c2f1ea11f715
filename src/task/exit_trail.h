/* The outputs of every exit, and of the model's head, for each text of a data set at one point. Exits change nothing
 * for other texts. So the answers of any exit setting, and the texts that run in each layer, follow from the trail
 * without another pass: a search or a calibration runs the model once instead of once for each threshold. */
#ifndef RUBATO_TASK_EXIT_TRAIL_H
#define RUBATO_TASK_EXIT_TRAIL_H

#include "store/dataset.h"
#include "task/job.h"

struct exit_trail {
    size_t count, classes, layers;         /* texts; the model's layers */
    size_t places, place_of[POINT_LAYERS]; /* exits, and the layers (from 0) after which they are */
    float *seen;                           /* [count][places][classes] their logits */
    float *last;                           /* [count][classes] the head's */
    size_t *tokens;                        /* [count] of the texts */
    size_t ran_at[POINT_LAYERS], depth;    /* the number of layers that run up to each place, and of all that run */
};

/* Whether a trail is enough for these exits: they are for whole sequences, and each has an answer of its own. */
bool exit_trail_suits(const exits *from);

/* Runs the data at a point; the point's own exit setting is ignored. Fails as rubato_classify; the trail is then
 * empty. */
rubato_status exit_trail_run(exit_trail *self, rubato_context *context, const point *at, const dataset *data,
                             size_t max_length, rubato_error *error);
void exit_trail_free(exit_trail *self);

/* The logits [count][classes] under a setting (rule NULL: no text leaves). ran [count], if not NULL, receives the
 * number of layers that run for each text. */
void exit_trail_replay(const exit_trail *self, const exit_setting *setting, float *logits, size_t *ran);

/* For the engine: stores the outputs of one batch's exits. Called from several threads, each text once. */
void exit_trail_take(exit_trail *self, const exit_session *from, const unit *units, size_t count);

#endif
