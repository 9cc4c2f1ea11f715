#include "attention/bigbird_attention.h"

#include <math.h>
#include <stdio.h>

#include "attention/planned.h"
#include "base/checked.h"
#include "base/random.h"

_Static_assert(sizeof(bigbird_setting) <= SETTING_BYTES, "a setting fits");
_Static_assert(BIGBIRD_MOST + 3 <= MOST_STRETCHES, "a block's keys fit");

/* ---- Setting ---- */

enum { BLOCK = 64, RANDOM = 3 };

void bigbird_choose(part_choice *out, bigbird_setting setting) {
    part_choose(out, &attending_bigbird.part, &setting, sizeof setting);
}

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    bigbird_setting *self = setting;
    TRY(json_get_size(&self->block, json, "block", BLOCK, error));
    TRY(json_get_size(&self->random, json, "random", RANDOM, error));
    TRY(json_get_bool(&self->drawn, json, "drawn", true, error));
    if (self->block == 0 || self->block > BIGBIRD_LARGEST || self->random > BIGBIRD_MOST)
        return fail(error, RUBATO_BAD_MODEL, "blocks of %zu tokens with %zu random ones; at most %d are possible",
                    self->block, self->random, BIGBIRD_MOST);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const bigbird_setting *self = setting;
    TRY(json_set(json, "block", json_integer((json_int_t)self->block), error));
    TRY(json_set(json, "random", json_integer((json_int_t)self->random), error));
    return json_set(json, "drawn", json_boolean(self->drawn), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const bigbird_setting *self = setting;
    snprintf(out, bytes, "blocks of %zu, %zu %s", self->block, self->random,
             self->drawn ? "random ones" : "times the first one more");
}

/* ---- Running ---- */

size_t bigbird_dense(const bigbird_setting *self) {
    return (5 + 2 * self->random) * self->block;
}

static bool is_near(size_t block, size_t other) {
    return other + 1 >= block && other <= block + 1;
}

void bigbird_draw(const bigbird_setting *self, size_t layer, size_t head, size_t block, size_t blocks, size_t *out) {
    uint64_t state = random_hash(random_hash(random_hash(layer) ^ head) ^ block);
    for (size_t i = 0; i < self->random; i++) {
        bool taken = true;
        while (taken) { /* a text that is not dense has more than twice as many blocks to choose from */
            out[i] = 1 + random_below(&state, blocks - 2);
            taken = is_near(block, out[i]);
            for (size_t j = 0; j < i; j++) taken = taken || out[j] == out[i];
        }
    }
}

static stretch keys_of(const planned_pass *pass, size_t sequence, size_t first, size_t end) {
    const bigbird_setting *self = pass->setting;
    return planned_keys(pass, sequence, first * self->block, end * self->block);
}

static bool find_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const bigbird_setting *self = pass->setting;
    const size_t length = planned_length(pass, sequence), blocks = divide_up(length, self->block);
    const bool dense = length <= bigbird_dense(self);
    if (number >= (dense ? length > 0 : blocks)) return false;
    planned_ask(out,
                planned_queries(pass, sequence, number * self->block, dense ? length : (number + 1) * self->block));
    if (dense || number == 0 || number == blocks - 1) {
        planned_see(out, planned_keys(pass, sequence, 0, length), 0);
        return true;
    }
    planned_see(out, keys_of(pass, sequence, 0, 1), self->drawn ? 0 : logf(1 + (float)self->random));
    planned_see(out, keys_of(pass, sequence, size_max(number - 1, 1), size_min(number + 2, blocks - 1)), 0);
    planned_see(out, keys_of(pass, sequence, blocks - 1, blocks), 0);
    if (self->drawn) {
        size_t drawn[BIGBIRD_MOST];
        bigbird_draw(self, pass->in.layer, head, number, blocks, drawn);
        for (size_t i = 0; i < self->random; i++) planned_see(out, keys_of(pass, sequence, drawn[i], drawn[i] + 1), 0);
    }
    return true;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    static const planned_form form = {.block = find_block};
    planned_forward(weights, on, in, out, &form, 0);
}

/* ---- Costs ---- */

static double pairs(const void *setting, double keys, double queries) {
    const bigbird_setting *self = setting;
    const double block = (double)self->block, seen = (double)(5 + (self->drawn ? self->random : 0)) * block;
    if (keys <= (double)bigbird_dense(self)) return keys * queries;
    return queries * seen + 2 * fmin(block, queries) * (keys - seen);
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_bigbird = {
    .part = {.name = "bigbird", .foreign = true, .configure = configure, .note = note, .describe = describe},
    PLANNED,
    .forward = forward,
    .count = count,
    .demand = demand};
