/* The setting of MobileBERT's feed-forward parts. */
#ifndef RUBATO_FEEDING_STACKED_H
#define RUBATO_FEEDING_STACKED_H

#include "feeding/feeding.h"

typedef struct stacked_setting {
    uint32_t narrow, stack; /* features of the narrow rows; feed-forward parts of a layer */
} stacked_setting;

extern const feeding feeding_stacked;

#endif
