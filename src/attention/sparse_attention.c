/* Sparse Transformer (Child et al. 2019), as an encoder. Strided: one half of the heads sees the tokens that are less
 * than `stride` away, the other half those a multiple of `stride` away. Fixed: a token sees its block of `stride`
 * tokens, and the last `summary` tokens of every block, in one softmax. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/planned.h"
#include "base/checked.h"

typedef struct sparse_setting {
    size_t stride, summary; /* summary 0: strided */
} sparse_setting;
_Static_assert(sizeof(sparse_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { STRIDE = 128, SUMMARY = 8, WIDEST = 1 << 16, QUERY_BLOCK = PANEL };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    sparse_setting *self = setting;
    const char *pattern;
    TRY(json_get_text(&pattern, json, "pattern", "strided", error));
    const bool fixed = strcmp(pattern, "fixed") == 0;
    if (!fixed && strcmp(pattern, "strided") != 0)
        return fail(error, RUBATO_BAD_MODEL, "pattern \"%.40s\" of sparse attention: strided and fixed are known",
                    pattern);
    TRY(json_get_size(&self->stride, json, "stride", STRIDE, error));
    if (fixed) TRY(json_get_size(&self->summary, json, "summary", SUMMARY, error));
    if (self->stride == 0 || self->stride > WIDEST || self->summary > self->stride || (fixed && !self->summary))
        return fail(error, RUBATO_BAD_MODEL, "sparse attention with a stride of %zu and %zu tokens as a summary",
                    self->stride, self->summary);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const sparse_setting *self = setting;
    TRY(json_set(json, "pattern", json_string(self->summary ? "fixed" : "strided"), error));
    if (self->summary) TRY(json_set(json, "summary", json_integer((json_int_t)self->summary), error));
    return json_set(json, "stride", json_integer((json_int_t)self->stride), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const sparse_setting *self = setting;
    if (self->summary)
        snprintf(out, bytes, "blocks of %zu, of which the last %zu tokens are seen by all", self->stride,
                 self->summary);
    else
        snprintf(out, bytes, "neighbours and strides of %zu, half of the heads each", self->stride);
}

/* ---- Strided ---- */

static bool is_strided(const planned_pass *of, size_t head) {
    (void)of;
    return head % 2;
}

static size_t residue(const planned_pass *of, size_t place) {
    const sparse_setting *self = of->setting;
    return place % self->stride;
}

/* Of strided heads: the queries of one residue. Of others: queries that stand together, with all that they see. */
static bool strided_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const sparse_setting *self = pass->setting;
    const size_t begin = number * QUERY_BLOCK, end = begin + QUERY_BLOCK, reach = self->stride - 1;
    if (is_strided(pass, head)) return planned_group_block(pass, sequence, number, out);
    if (begin >= planned_length(pass, sequence)) return false;
    planned_ask(out, planned_queries(pass, sequence, begin, end));
    planned_see(out, planned_keys(pass, sequence, begin > reach ? begin - reach : 0, end + reach), 0);
    return true;
}

static stretch strided_seen(const void *of, size_t sequence, size_t head, size_t query, stretch keys) {
    const planned_pass *pass = of;
    const sparse_setting *self = pass->setting;
    if (is_strided(pass, head)) return keys;
    const size_t place = planned_place(pass, sequence, query), reach = self->stride - 1;
    return planned_keys(pass, sequence, place > reach ? place - reach : 0, place + reach + 1);
}

/* ---- Fixed ---- */

/* Summaries come first. */
static size_t is_rest(const planned_pass *of, size_t place) {
    const sparse_setting *self = of->setting;
    return place % self->stride < self->stride - self->summary;
}

/* Each block of tokens is two blocks of queries: the summary tokens, and the other tokens. */
static bool fixed_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *pass = of;
    const sparse_setting *self = pass->setting;
    const size_t length = planned_length(pass, sequence), begin = number / 2 * self->stride;
    (void)head;
    if (begin >= length) return false;
    planned_ask(out, planned_group_queries(pass, sequence, number % 2, begin, begin + self->stride));
    planned_see(out, planned_group_keys(pass, sequence, 0, 0, length), 0);
    planned_see(out, planned_group_keys(pass, sequence, 1, begin, begin + self->stride), 0);
    return true;
}

/* ---- Running ---- */

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    static const planned_form strided = {
        .block = strided_block, .seen = strided_seen, .group = residue, .has_groups = is_strided};
    static const planned_form fixed = {.block = fixed_block, .group = is_rest};
    const sparse_setting *self = ((const planned_weights *)weights)->setting;
    planned_forward(weights, on, in, out, self->summary ? &fixed : &strided, self->summary ? 2 : self->stride);
}

/* ---- Costs ---- */

/* In the mean of the heads. */
static double pairs(const void *setting, double keys, double queries) {
    const sparse_setting *self = setting;
    const double stride = (double)self->stride, summary = (double)self->summary;
    if (summary > 0) return queries * fmin(keys, stride - summary + summary * keys / stride);
    return queries * (fmin(keys, 2 * stride - 1) + fmax(keys / stride, 1)) / 2;
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_sparse = {
    .part = {.name = "sparse", .foreign = true, .configure = configure, .note = note, .describe = describe},
    PLANNED,
    .decodes = true,
    .forward = forward,
    .count = count,
    .demand = demand};
