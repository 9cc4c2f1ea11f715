/* The mechanisms of attention that config.json can name. Those of one family alone are not among them. */
#include "attention/attending.h"

/* attending_NAME of each, the default one first. */
#define MECHANISMS(EACH)                                                                                               \
    EACH(softmax)                                                                                                      \
    EACH(image)                                                                                                        \
    EACH(longformer)                                                                                                   \
    EACH(sparse)                                                                                                       \
    EACH(axial)                                                                                                        \
    EACH(bigbird)                                                                                                      \
    EACH(linear)                                                                                                       \
    EACH(performer)                                                                                                    \
    EACH(compressed)                                                                                                   \
    EACH(linformer)                                                                                                    \
    EACH(set)                                                                                                          \
    EACH(synthesizer)                                                                                                  \
    EACH(sinkhorn) EACH(reformer) EACH(routing) EACH(transformer_xl) EACH(compressive) EACH(etc) EACH(nystrom)

#define DECLARE(name) extern const attending attending_##name;
#define ENTRY(name) &attending_##name.part,

MECHANISMS(DECLARE)

static const part_kind *const kinds[] = {MECHANISMS(ENTRY)};

const part_table attending_table = {"attention", kinds, sizeof kinds / sizeof kinds[0]};
