/* Rotary positions. */
#include "attention/rotary.h"

#include <math.h>

#include "base/checked.h"
#include "tensor/tape.h"

/* In f32 as transformers does: far places have large angles, where a rounding of the speed is seen. */
rubato_status rotary_make(rotary *out, double theta, double slower, size_t head_size, size_t places, arena *memory,
                          rubato_error *error) {
    const size_t half = head_size / 2;
    size_t count;
    if (head_size % 2)
        return fail(error, RUBATO_UNSUPPORTED, "rotary positions need heads of an even size, not %zu", head_size);
    if (!checked_multiply(places, 2 * half, &count)) return fail_memory(error);
    float *turns = arena_take_array(memory, count, sizeof *turns);
    if (!turns) return fail_memory(error);
    for (size_t j = 0; j < half; j++) {
        const float speed = 1.0f / powf((float)theta, (float)(2 * j) / (float)head_size) / (float)slower;
        for (size_t place = 0; place < places; place++) {
            const float angle = (float)place * speed;
            turns[place * 2 * half + j] = cosf(angle);
            turns[place * 2 * half + half + j] = sinf(angle);
        }
    }
    *out = (rotary){half, places, turns};
    return RUBATO_OK;
}

const size_t *rotary_places(const run *on, const attending_input *in, bool queries) {
    const batch *rows = queries ? &in->queries : &in->sequences;
    const size_t *origin = queries ? in->query_origin : in->origin;
    size_t *places = run_take(on, rows->rows + 1, sizeof *places);
    for (size_t i = 0; places && i < rows->sequences; i++)
        for (size_t row = rows->start[i]; row < rows->start[i + 1]; row++)
            places[row] = attending_place(in, i, origin, row);
    return places;
}

typedef struct turning {
    rotary by;
    tensor x;
    size_t head_size;
    const size_t *places;
    bool back; /* the gradient, by the opposite angle */
} turning;

static void turn_rows(void *argument, size_t member, size_t first, size_t last) {
    const turning *work = argument;
    const size_t half = work->by.half;
    const float sign = work->back ? -1 : 1;
    (void)member;
    for (size_t row = first; row < last; row++) {
        const float *cosine = work->by.turns + work->places[row] * 2 * half, *sine = cosine + half;
        float *values = work->back ? tensor_grad(work->x, row) : tensor_row(work->x, row);
        for (size_t head = 0; head < work->x.columns; head += work->head_size) {
            float *a = values + head, *b = a + half;
            for (size_t j = 0; j < half; j++) {
                const float x = a[j], y = b[j], s = sign * sine[j];
                a[j] = x * cosine[j] - y * s;
                b[j] = y * cosine[j] + x * s;
            }
        }
    }
}

static void turn_back(const run *on, void *saved) {
    run_parallel(on, ((turning *)saved)->x.rows, 16, turn_rows, saved);
}

void run_rotary(const run *on, const rotary *by, tensor x, size_t head_size, const size_t *places) {
    turning work = {*by, x, head_size, places, false};
    if (run_failed(on)) return;
    run_parallel(on, x.rows, 16, turn_rows, &work);
    turning *saved = on->tape ? tape_push(on, turn_back, sizeof *saved) : NULL;
    if (!saved) return;
    *saved = work;
    saved->back = true;
}
