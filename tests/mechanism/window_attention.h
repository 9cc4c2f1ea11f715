/* Attention within a sliding window (Beltagy et al. 2020), as somebody would add it: the setting, for tests that choose
 * it themselves. */
#ifndef RUBATO_TESTS_WINDOW_ATTENTION_H
#define RUBATO_TESTS_WINDOW_ATTENTION_H

#include "attention/attending.h"

typedef struct window_setting {
    size_t reach; /* a row sees so many rows before it and after it */
    bool sloped;  /* scores fall with the distance (Press et al. 2022), by stored slopes of the heads */
} window_setting;

extern const attending attending_window;

#endif
