/* The local layers of Reformer as transformers has them (Kitaev et al. 2020): tokens are cut into chunks, and a chunk
 * sees itself and its neighbours in a ring, so that the first chunk sees the last one. A neighbour that is met twice in
 * a short ring counts twice. */
#include <math.h>
#include <stdio.h>

#include "attention/planned.h"
#include "attention/reformer_attention.h"

_Static_assert(sizeof(local_setting) <= SETTING_BYTES, "a setting fits");

static void describe(const void *setting, char *out, size_t bytes) {
    const local_setting *self = setting;
    snprintf(out, bytes, "chunks of %zu, %zu before, %zu after", self->chunk, self->before, self->after);
}

/* How often the chunk looks at another one. */
static size_t looks(const local_setting *self, size_t chunk, size_t other, size_t chunks) {
    size_t count = 0;
    for (size_t i = 0; i <= self->before + self->after; i++)
        count += (chunk + (self->before / chunks + 1) * chunks - self->before + i) % chunks == other;
    return count;
}

static bool find_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const local_setting *self = pass->setting;
    const size_t length = planned_length(pass, sequence);
    const size_t padded = padded_length(length, self->multiple, self->shortest);
    const size_t chunks = padded <= self->chunk ? 1 : (padded + self->chunk - 1) / self->chunk;
    const size_t wide = chunks == 1 ? length : self->chunk, begin = number * wide;
    (void)head;
    if (length == 0 || number >= chunks || begin >= length) return false;
    planned_ask(out, planned_queries(pass, sequence, begin, begin + wide));
    for (size_t other = 0; other < chunks; other++) {
        const size_t times = chunks == 1 ? 1 : looks(self, number, other, chunks);
        if (times) planned_see(out, planned_keys(pass, sequence, other * wide, (other + 1) * wide), logf((float)times));
    }
    return true;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    static const planned_form form = {.block = find_block};
    planned_forward(weights, on, in, out, &form, 0);
}

static double pairs(const void *setting, double keys, double queries) {
    const local_setting *self = setting;
    return queries * fmin(keys, (double)(self->chunk * (1 + self->before + self->after)));
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_local = {
    .part = {.name = "local", .describe = describe}, PLANNED, .forward = forward, .count = count, .demand = demand};
