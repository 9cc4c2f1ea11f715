/* The Routing Transformer's attention (Roy et al. 2020), as an encoder: every head has `clusters` centroids. A centroid
 * takes the queries that are nearest to it, and as many keys as the text has divided by the clusters, and these queries
 * see these keys. A query of several clusters gets the mean of what it sees, and one of none gets zeros.
 *
 * Nearness is the product with the row after a normalisation to mean 0 and deviation 1; the scores are of the rows as
 * they are. Centroids learn by the gradient of the squared distance to the rows that they took, times `pull`, in place
 * of running means, and rows are not drawn to centroids. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/gathered.h"
#include "attention/listed.h"
#include "attention/planned.h"
#include "base/checked.h"
#include "tensor/tape.h"

typedef struct routing_setting {
    size_t clusters;
    double pull;
} routing_setting;
_Static_assert(sizeof(routing_setting) <= SETTING_BYTES, "a setting fits");

typedef struct routing_weights {
    projections with; /* first, as projections.h has it */
    const routing_setting *setting;
    table *centroids; /* [clusters, heads * head_size] */
} routing_weights;

/* ---- Setting ---- */

enum { CLUSTERS = 16, MOST_CLUSTERS = 1 << 12 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    routing_setting *self = setting;
    TRY(json_get_size(&self->clusters, json, "clusters", CLUSTERS, error));
    TRY(json_get_real(&self->pull, json, "pull", 1, error));
    if (self->clusters == 0 || self->clusters > MOST_CLUSTERS || !(self->pull >= 0 && self->pull <= 1e6))
        return fail(error, RUBATO_BAD_MODEL, "routing attention with %zu clusters and a pull of %g", self->clusters,
                    self->pull);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const routing_setting *self = setting;
    TRY(json_set(json, "clusters", json_integer((json_int_t)self->clusters), error));
    return json_set(json, "pull", json_real(self->pull), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const routing_setting *self = setting;
    snprintf(out, bytes, "%zu clusters", self->clusters);
}

/* ---- Loading ---- */

static rubato_status load(void **out, const part_source *from) {
    routing_weights *self = arena_take(from->load->with.memory, sizeof *self);
    table *centroids = arena_take(from->load->with.memory, sizeof *centroids);
    if (!self || !centroids) return fail_memory(from->load->error);
    *self = (routing_weights){.setting = from->setting, .centroids = centroids};
    *out = self;
    return projections_load(&self->with, from);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    routing_weights *self = weights;
    char name[LOADER_NAME];
    part_name_beside(name, from, from->names->query, "centroids.weight");
    return loader_spread(from->load, self->centroids, name, self->setting->clusters, from->heads * from->head_size, 1);
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const routing_setting *self = setting;
    out[0] = (added_tensor){"centroids", DRAWN_ROWS, self->clusters};
    return 1;
}

/* Centroids have the heads' columns, which sorting would have to move too. */
static bool sortable(const void *setting) {
    (void)setting;
    return false;
}

/* ---- One pass ---- */

/* The rows of clusters, one after the other: a list for each head. */
typedef struct routing {
    attending_input in;
    const routing_weights *with;
    size_t heads, head_size;
    tensor query, key;
    batch queries, keys;         /* of lists */
    size_t *query_row, *key_row; /* [heads][rows of lists] */
    float *weight;               /* [heads][rows of the queries' lists]: 1 / the number of a query's clusters */
} routing;

/* Rows that a cluster takes of so many. */
static size_t taken(const routing *r, size_t rows) {
    return divide_up(rows, r->with->setting->clusters);
}

/* ---- Taking rows ---- */

/* The count-th largest of x [n], which is put into another order (Hoare 1961). */
static float find_largest(float *x, size_t n, size_t count) {
    size_t low = 0, high = n - 1;
    const size_t wanted = count - 1;
    while (low < high) {
        const float pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        while (i <= j) {
            while (x[i] > pivot) i++;
            while (x[j] < pivot) j--;
            if (i > j) break;
            const float other = x[i];
            x[i++] = x[j];
            x[j] = other;
            if (j == 0) break;
            j--;
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return x[wanted];
}

typedef struct taking {
    const run *on;
    routing *r;
    float *scratch;
    size_t scratch_size, longest;
} taking;

static void standardize(float *out, const float *x, size_t size) {
    float mean = 0, square = 0;
    for (size_t i = 0; i < size; i++) mean += x[i] / (float)size;
    for (size_t i = 0; i < size; i++) square += (x[i] - mean) * (x[i] - mean) / (float)size;
    const float by = 1 / sqrtf(square + 1e-5f);
    for (size_t i = 0; i < size; i++) out[i] = (x[i] - mean) * by;
}

/* normal [rows, size]: of a head's columns of rows [first, first + rows). */
static void standardize_rows(tensor x, size_t first, size_t rows, size_t column, size_t size, float *normal) {
    for (size_t i = 0; i < rows; i++) standardize(normal + i * size, tensor_row(x, first + i) + column, size);
}

static void take_rows(const taking *t, tensor x, size_t first, size_t rows, size_t column, float *normal,
                      float *nearness, float *centroid, size_t *out) {
    const size_t size = t->r->head_size, count = taken(t->r, rows);
    float *ordered = nearness + t->longest;
    standardize_rows(x, first, rows, column, size, normal);
    for (size_t c = 0; c < t->r->with->setting->clusters; c++) {
        table_copy(t->r->with->centroids, c, centroid);
        for (size_t i = 0; i < rows; i++) {
            const float near = t->on->kernels->dot_f32(normal + i * size, centroid + column, size);
            ordered[i] = nearness[i] = isnan(near) ? -INFINITY : near;
        }
        const float least = count ? find_largest(ordered, rows, count) : 0;
        size_t above = 0, at = 0;
        for (size_t i = 0; i < rows; i++) above += nearness[i] > least;
        for (size_t i = 0, equal = above; i < rows; i++) {
            if (nearness[i] < least || (nearness[i] == least && equal++ >= count)) continue;
            out[c * count + at++] = first + i;
        }
    }
}

static void take_heads(void *argument, size_t member, size_t first, size_t last) {
    const taking *t = argument;
    routing *r = t->r;
    float *normal = t->scratch + member * t->scratch_size;
    float *nearness = normal + round_up(t->longest * r->head_size, 16);
    float *centroid = nearness + round_up(2 * t->longest, 16);
    for (size_t unit = first; unit < last; unit++) {
        const size_t sequence = unit / r->heads, head = unit % r->heads, column = head * r->head_size;
        const batch *queries = &r->in.queries, *keys = &r->in.sequences;
        const size_t start = queries->start[sequence], count = batch_length(queries, sequence);
        size_t *rows = r->query_row + head * r->queries.rows + r->queries.start[sequence];
        float *weight = r->weight + head * r->queries.rows + r->queries.start[sequence];
        take_rows(t, r->query, start, count, column, normal, nearness, centroid, rows);
        take_rows(t, r->key, keys->start[sequence], batch_length(keys, sequence), column, normal, nearness, centroid,
                  r->key_row + head * r->keys.rows + r->keys.start[sequence]);
        uint32_t *clusters = (uint32_t *)(void *)normal;
        memset(clusters, 0, count * sizeof *clusters);
        for (size_t i = 0; i < batch_length(&r->queries, sequence); i++) clusters[rows[i] - start]++;
        for (size_t i = 0; i < batch_length(&r->queries, sequence); i++)
            weight[i] = 1 / (float)clusters[rows[i] - start];
    }
}

static void take_all(const run *on, routing *r) {
    taking t = {.on = on, .r = r, .longest = size_max(batch_longest(&r->in.sequences), batch_longest(&r->in.queries))};
    arena_mark mark = arena_save(on->memory);
    t.scratch_size =
        round_up(t.longest * r->head_size, 16) + round_up(2 * t.longest, 16) + round_up(r->with->centroids->width, 16);
    t.scratch = run_take(on, team_size(on->crew) * t.scratch_size, sizeof *t.scratch);
    if (run_failed(on)) return;
    run_parallel(on, r->in.sequences.sequences * r->heads, 1, take_heads, &t);
    arena_rewind(on->memory, mark);
}

/* ---- Learning centroids ---- */

typedef struct pulling {
    const run *on;
    const routing *r;
    float *scratch; /* of all members */
} pulling;

/* Of the rows that a cluster took: d centroid += pull (centroid - row) / rows of all sequences. */
static void pull_heads(void *argument, size_t member, size_t first, size_t last) {
    const pulling *p = argument;
    const routing *r = p->r;
    const table *by = r->with->centroids;
    const size_t size = r->head_size;
    float *centroid = p->scratch + member * 2 * size, *normal = centroid + size;
    for (size_t head = first; head < last; head++)
        for (size_t which = 0; which < 2; which++) {
            const batch *lists = which ? &r->keys : &r->queries;
            const size_t *rows = (which ? r->key_row : r->query_row) + head * lists->rows;
            for (size_t i = 0; i < lists->sequences; i++) {
                const size_t count = batch_length(lists, i) / r->with->setting->clusters;
                for (size_t j = 0; j < batch_length(lists, i); j++) {
                    const size_t cluster = j / count, column = head * size;
                    const tensor x = which ? r->key : r->query;
                    float *d = by->learn->rows + cluster * by->width + column;
                    const float share = (float)r->with->setting->pull / (float)lists->rows;
                    dtype_read(centroid, by->type, by->data, cluster * by->width + column, size);
                    standardize(normal, tensor_row(x, rows[lists->start[i] + j]) + column, size);
                    for (size_t k = 0; k < size; k++) d[k] += share * (centroid[k] - normal[k]);
                }
            }
        }
}

static void pull_centroids(const run *on, void *saved) {
    pulling p = {on, *(const routing *const *)saved, NULL};
    const table *by = p.r->with->centroids;
    if (!by->learn || !by->learn->rows || p.r->with->setting->pull == 0) return;
    p.scratch = run_take(on, team_size(on->crew) * 2 * p.r->head_size, sizeof *p.scratch);
    if (run_failed(on)) return;
    for (size_t i = 0; i < by->rows; i++) table_touch(by->learn, i);
    run_parallel(on, p.r->heads, 1, pull_heads, &p);
}

/* ---- Running ---- */

/* A cluster's queries and keys. */
static bool cluster_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const routing *r = of;
    const size_t queries = taken(r, batch_length(&r->in.queries, sequence));
    const size_t keys = taken(r, batch_length(&r->in.sequences, sequence));
    (void)head;
    if (number >= r->with->setting->clusters) return false;
    planned_ask(out, (stretch){number * queries, (number + 1) * queries});
    planned_see(out, (stretch){number * keys, (number + 1) * keys}, 0);
    return true;
}

/* Room for lists; NULL on a failed run. All of it lives as long as the tape. */
static routing *begin_routing(const run *on, const routing_weights *self, const attending_input *in,
                              const projected *rows) {
    const size_t count = in->sequences.sequences, clusters = self->setting->clusters;
    routing *r = run_take(on, 1, sizeof *r);
    size_t *start = run_take(on, 2 * (count + 1), sizeof *start), *query_start = start + count + 1;
    if (run_failed(on)) return NULL;
    *r = (routing){.in = *in,
                   .with = self,
                   .heads = in->heads,
                   .head_size = self->with.head_size,
                   .query = rows->query,
                   .key = rows->key};
    size_t keys = 0, queries = 0;
    for (size_t i = 0; i <= count; i++) {
        start[i] = keys;
        query_start[i] = queries;
        if (i == count) break;
        keys += clusters * taken(r, batch_length(&in->sequences, i));
        queries += clusters * taken(r, batch_length(&in->queries, i));
    }
    r->keys = (batch){.sequences = count, .rows = keys, .start = start};
    r->queries = (batch){.sequences = count, .rows = queries, .start = query_start};
    r->key_row = run_take(on, r->heads * (keys + queries) + 1, sizeof *r->key_row);
    r->weight = run_take(on, r->heads * queries + 1, sizeof *r->weight);
    if (run_failed(on)) return NULL;
    r->query_row = r->key_row + r->heads * keys;
    return r;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const routing_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    const double begin = run_begin(on);
    routing *r = begin_routing(on, self, in, &rows);
    if (r) {
        take_all(on, r);
        const routing **saved = on->tape && !run_failed(on) ? tape_push(on, pull_centroids, sizeof *saved) : NULL;
        if (saved) *saved = r;
        const head_lists of_queries = {r->heads, r->head_size, r->queries.rows, r->query_row};
        const head_lists of_keys = {r->heads, r->head_size, r->keys.rows, r->key_row};
        const projected lists = {listed_rows(on, rows.query, of_queries), listed_rows(on, rows.key, of_keys),
                                 listed_rows(on, rows.value, of_keys)};
        tensor seen = run_tensor(on, r->queries.rows, mixed.columns);
        gathered heads = gathered_heads(&self->with, in, &lists);
        heads.sequences = &r->keys;
        heads.queries = &r->queries;
        heads.plan = (gather_plan){.of = r, .block = cluster_block};
        attention_gathered(on, seen, &heads);
        listed_sum(on, mixed, seen, of_queries, r->weight);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Pairs of one head; products with centroids are half of a pair. */
static double pairs(const void *setting, double keys, double queries) {
    const routing_setting *self = setting;
    const double clusters = (double)self->clusters;
    return clusters * ceil(keys / clusters) * ceil(queries / clusters) + (keys + queries) * clusters / 2;
}

static operations count(const void *setting, const part_extent *of) {
    return planned_count(setting, of, pairs);
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const routing_weights *self = weights;
    (void)kernels;
    return planned_heads_demand(&self->with, self->setting, sequences, length, pairs);
}

const attending attending_routing = {
    .part = {.name = "routing", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .fewer_queries = true,
    .narrows = true,
    .load = load,
    .load_terms = load_terms,
    .added_tensors = added_tensors,
    .allow_narrow = projections_allow_narrow,
    .sortable = sortable,
    .visit = projections_visit,
    .forward = forward,
    .count = count,
    .demand = demand};
