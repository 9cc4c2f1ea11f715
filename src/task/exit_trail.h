/* What every exit, and the model's head, say of each text of a data set at one point. Exits change nothing of what runs
 * beside them, so that from it follow, without another pass, the answers of any exit setting and who runs in which
 * layer: a search or a calibration asks the model once instead of once a threshold. */
#ifndef RUBATO_TASK_EXIT_TRAIL_H
#define RUBATO_TASK_EXIT_TRAIL_H

#include "store/dataset.h"
#include "task/job.h"

struct exit_trail {
    size_t count, classes, layers;         /* texts; the model's layers */
    size_t places, place_of[POINT_LAYERS]; /* exits, and the layers (from 0) after which they are */
    float *seen;                           /* [count][places][classes] their logits */
    float *last;                           /* [count][classes] the head's */
};

/* Whether exits are such that a trail tells everything: of whole sequences, each with an answer of its own. */
bool exit_trail_suits(const exits *from);

/* Runs the data at a point, whose own exit setting does not count. Fails as rubato_classify; the trail is empty
 * then. */
rubato_status exit_trail_run(exit_trail *self, rubato_context *context, const point *at, const dataset *data,
                             size_t max_length, rubato_error *error);
void exit_trail_free(exit_trail *self);

/* logits [count][classes] under a setting (its rule NULL: nobody leaves); alive [layers], not NULL: the part of the
 * texts that get as far as each layer, 1 for the first. */
void exit_trail_replay(const exit_trail *self, const exit_setting *setting, float *logits, float *alive);

/* For the engine: what one batch's exits said. Called from several threads, each text once. */
void exit_trail_take(exit_trail *self, const exit_session *from, const unit *units, size_t count);

#endif
