/* Reformer's attention (Kitaev et al. 2020), as an encoder. Queries and keys have one projection; a key is the unit
 * vector of its query. In each of `rounds` rounds the tokens are sorted by buckets of a hash and cut into chunks; a
 * token sees its chunk and its neighbours, and itself only where it sees nobody else. Rounds are weighted by the sums
 * of their exponentials. A text of one chunk is not sorted.
 *
 * As in transformers, the list of chunks goes on from round to round and closes to a ring. Its pads are no part of a
 * text here, so a round's last chunk may be shorter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/block.h"
#include "attention/gathered.h"
#include "attention/listed.h"
#include "attention/planned.h"
#include "attention/reformer_attention.h"
#include "attention/reformer_hash.h"
#include "base/checked.h"

_Static_assert(sizeof(reformer_setting) <= SETTING_BYTES, "a setting fits");

/* ---- Setting ---- */

enum { CHUNK = 64, WIDEST = 1 << 16, MOST_ROUNDS = 16, MOST_BUCKETS = 1 << 12, MOST_NEIGHBOURS = 6 };
static const float ITSELF = -1e5f; /* the score of a token with itself */

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    reformer_setting *self = setting;
    size_t seed, before, after;
    TRY(json_get_size(&self->chunk, json, "chunk", CHUNK, error));
    TRY(json_get_size(&self->rounds, json, "rounds", 1, error));
    TRY(json_get_size(&self->buckets, json, "buckets", 0, error));
    TRY(json_get_size(&before, json, "before", 1, error));
    TRY(json_get_size(&after, json, "after", 0, error));
    TRY(json_get_size(&seed, json, "seed", 0, error));
    self->seed = seed;
    self->before = (uint8_t)size_min(before, UINT8_MAX);
    self->after = (uint8_t)size_min(after, UINT8_MAX);
    return reformer_check(self, error);
}

rubato_status reformer_check(const reformer_setting *self, rubato_error *error) {
    if (self->chunk == 0 || self->chunk > WIDEST || self->rounds == 0 || self->rounds > MOST_ROUNDS)
        return fail(error, RUBATO_BAD_MODEL, "Reformer's attention with a chunk of %zu tokens in %zu rounds",
                    self->chunk, self->rounds);
    if (self->buckets % 2 || self->second % 2 || self->buckets > MOST_BUCKETS || self->second > MOST_BUCKETS)
        return fail(error, RUBATO_BAD_MODEL, "Reformer's attention with %zu buckets: an even number up to %d is needed",
                    self->buckets, MOST_BUCKETS);
    if (self->before > MOST_NEIGHBOURS || self->after > MOST_NEIGHBOURS)
        return fail(error, RUBATO_BAD_MODEL, "Reformer's attention to more than %d chunks before or after",
                    MOST_NEIGHBOURS);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const reformer_setting *self = setting;
    TRY(json_set(json, "chunk", json_integer((json_int_t)self->chunk), error));
    TRY(json_set(json, "rounds", json_integer((json_int_t)self->rounds), error));
    TRY(json_set(json, "buckets", json_integer((json_int_t)self->buckets), error));
    TRY(json_set(json, "before", json_integer((json_int_t)self->before), error));
    TRY(json_set(json, "after", json_integer((json_int_t)self->after), error));
    return json_set(json, "seed", json_integer((json_int_t)self->seed), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const reformer_setting *self = setting;
    snprintf(out, bytes, "chunks of %zu, %zu round%s, %d before, %d after", self->chunk, self->rounds,
             self->rounds == 1 ? "" : "s", self->before, self->after);
}

/* ---- Loading ---- */

static const unsigned parts = QUERIES | VALUES | KEYS_LIKE_QUERIES;

static rubato_status load(void **out, const part_source *from) {
    planned_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (planned_weights){.setting = from->setting};
    *out = self;
    tensor_names names = *from->names;
    part_source own = *from;
    own.names = &names;
    if (names.query_key) names.query = names.query_key;
    return projections_load_some(&self->with, &own, parts);
}

static unsigned drops(const void *setting) {
    (void)setting;
    return KEYS;
}

/* ---- One pass ---- */

/* The lists of all rounds: a copy of each row for each round. Arrays of copies are [heads][copies]. */
typedef struct lists {
    attending_input in;
    const reformer_setting *setting;
    size_t heads, head_size;
    size_t whole;                      /* the layer's heads, those among them that do not run */
    tensor query, key, value;          /* projected; keys are unit vectors */
    tensor mixed_list, sums, mixed;    /* what queries' copies see, and all rounds together */
    batch queries, keys;               /* of copies */
    size_t *query_row, *key_row;       /* the row of a copy */
    uint32_t *query_place, *key_place; /* its token's place */
    size_t *chunk_start;               /* [sequences + 1]: before each sequence, chunks */
    size_t *bounds;                    /* [heads][chunks + sequences]: where a chunk's queries begin in a list */
} lists;

static size_t padded(const reformer_setting *setting, size_t length) {
    return padded_length(length, setting->multiple, setting->shortest);
}

static size_t length_of(const lists *s, size_t sequence) {
    return padded(s->setting, batch_length(&s->in.sequences, sequence));
}

static size_t rounds_of(const lists *s, size_t sequence) {
    return length_of(s, sequence) <= s->setting->chunk ? 1 : s->setting->rounds;
}

static size_t chunks_of_round(const lists *s, size_t sequence) {
    return divide_up(length_of(s, sequence), s->setting->chunk);
}

/* The buckets of a text of that many tokens. */
static bucket_factors factors_of(const reformer_setting *setting, size_t length) {
    if (setting->buckets) return (bucket_factors){setting->buckets, setting->second ? setting->second : 1};
    return reformer_bucket_count(padded(setting, length), setting->chunk, setting->most);
}

static size_t *bounds_of(const lists *s, size_t sequence, size_t head) {
    const size_t count = s->in.sequences.sequences;
    return s->bounds + head * (s->chunk_start[count] + count) + s->chunk_start[sequence] + sequence;
}

/* ---- Unit vectors ---- */

typedef struct unit_task {
    const run *on;
    const lists *s;
    tensor from; /* queries of all rows */
} unit_task;

static float inverse_size(const float *row, size_t size) {
    float square = 0;
    for (size_t j = 0; j < size; j++) square += row[j] * row[j];
    return 1 / sqrtf((square / (float)size + 1e-6f) * (float)size);
}

static void unit_rows(void *argument, size_t member, size_t first, size_t last) {
    const unit_task *t = argument;
    const size_t size = t->s->head_size;
    (void)member;
    for (size_t row = first; row < last; row++)
        for (size_t column = 0; column < t->from.columns; column += size) {
            const float *from = tensor_row(t->from, row) + column;
            float *to = tensor_row(t->s->key, row) + column, by = inverse_size(from, size);
            for (size_t j = 0; j < size; j++) to[j] = from[j] * by;
        }
}

/* With k = q s, s = (|q|^2 + size 1e-6)^(-1/2): dq = s (dk - k (dk k)). */
static void unit_rows_backward(void *argument, size_t member, size_t first, size_t last) {
    const unit_task *t = argument;
    const size_t size = t->s->head_size;
    (void)member;
    for (size_t row = first; row < last; row++)
        for (size_t column = 0; column < t->from.columns; column += size) {
            const float *key = tensor_row(t->s->key, row) + column, *d = tensor_grad(t->s->key, row) + column;
            const float by = inverse_size(tensor_row(t->from, row) + column, size);
            float *to = tensor_grad(t->from, row) + column, along = 0;
            for (size_t j = 0; j < size; j++) along += d[j] * key[j];
            for (size_t j = 0; j < size; j++) to[j] += by * (d[j] - key[j] * along);
        }
}

static void units_backward(const run *on, void *saved) {
    unit_task t = *(const unit_task *)saved;
    t.on = on;
    run_parallel(on, t.from.rows, 16, unit_rows_backward, &t);
}

static void make_units(const run *on, lists *s, tensor from) {
    unit_task t = {on, s, from};
    s->key = run_tensor(on, from.rows, from.columns);
    if (run_failed(on)) return;
    run_parallel(on, from.rows, 16, unit_rows, &t);
    unit_task *saved = on->tape ? tape_push(on, units_backward, sizeof *saved) : NULL;
    if (saved) *saved = t;
}

/* ---- Hashing and sorting ---- */

enum { ROWS = 64 }; /* whose products run together */

typedef struct sorting {
    const run *on;
    lists *s;
    unsigned char *scratch; /* of all members */
    size_t scratch_size, most, directions, buckets;
} sorting;

/* A member's scratch. */
typedef struct sorting_room {
    float *directions, *products;
    uint32_t *of_keys, *of_queries;
    size_t *counts;
    float *drawn; /* numbers of PyTorch */
    block_room room;
} sorting_room;

static size_t lay_out(const sorting *w, unsigned char *base, sorting_room *out) {
    enum { ARRAYS = 7 };
    const size_t size = w->s->head_size, many = w->directions;
    const size_t drawn = w->s->setting->torch ? w->s->whole * size * w->s->setting->rounds * many + 16 : 0;
    const size_t bytes[ARRAYS] = {many * size * sizeof(float),
                                  ROWS * (many + 16) * sizeof(float),
                                  w->most * sizeof(uint32_t),
                                  w->most * sizeof(uint32_t),
                                  (w->buckets + 1) * sizeof(size_t),
                                  drawn * sizeof(float),
                                  packed_size(many, size) * sizeof(float)};
    unsigned char *at[ARRAYS];
    size_t sum = 0;
    for (size_t i = 0; i < ARRAYS; i++) {
        at[i] = base ? base + sum : NULL;
        sum += round_up(bytes[i], 64);
    }
    *out = (sorting_room){
        (float *)(void *)at[0],  (float *)(void *)at[1], (uint32_t *)(void *)at[2],         (uint32_t *)(void *)at[3],
        (size_t *)(void *)at[4], (float *)(void *)at[5], {.packed = (float *)(void *)at[6]}};
    return sum;
}

static void find_buckets(const sorting *w, const sorting_room *room, tensor x, size_t first, size_t count,
                         size_t column, bucket_factors factors, uint32_t *of) {
    const size_t directions = directions_of(factors);
    for (size_t done = 0; done < count; done += ROWS) {
        const size_t rows = size_min(ROWS, count - done), stride = directions + 16;
        block_outer(w->on, room->products, stride, tensor_row(x, first + done) + column, x.stride, rows,
                    room->directions, w->s->head_size, directions, w->s->head_size, 1, &room->room);
        reformer_buckets(room->products, stride, rows, factors, of + done);
    }
}

/* Copies `round` of the rows of a sequence into a head's list, sorted. rows, places: of the list's part. */
static void write_list(const lists *s, size_t sequence, bool queries, const uint32_t *of, size_t buckets,
                       size_t *counts, size_t *rows, uint32_t *places) {
    const batch *all = queries ? &s->in.queries : &s->in.sequences;
    const size_t *origin = queries ? s->in.query_origin : s->in.origin;
    const size_t count = batch_length(all, sequence), first = all->start[sequence];
    reformer_sort(of, count, buckets, rows, counts);
    for (size_t i = 0; i < count; i++) {
        rows[i] += first;
        places[i] = (uint32_t)attending_place(&s->in, sequence, origin, rows[i]);
    }
}

/* Whether a row of keys comes before a row of queries in the sorted list. */
static bool is_before(uint32_t bucket, uint32_t place, uint32_t other_bucket, uint32_t other_place) {
    return bucket < other_bucket || (bucket == other_bucket && place < other_place);
}

static void draw_directions(const lists *s, size_t head, size_t round, size_t count, const sorting_room *room) {
    const reformer_setting *setting = s->setting;
    const torch_directions all = {setting->seed, s->whole, s->head_size, setting->rounds, count};
    if (setting->torch)
        reformer_torch_directions(&all, head, round, room->drawn, room->directions);
    else
        reformer_directions(setting->seed, head, round, count, s->head_size, room->directions);
}

static void sort_head(const sorting *w, size_t sequence, size_t head, const sorting_room *room) {
    lists *s = w->s;
    const size_t keys = batch_length(&s->in.sequences, sequence), queries = batch_length(&s->in.queries, sequence);
    const size_t rounds = rounds_of(s, sequence), chunks = chunks_of_round(s, sequence), chunk = s->setting->chunk;
    const bucket_factors factors = factors_of(s->setting, keys);
    const size_t buckets = buckets_of(factors);
    const size_t first_key = s->in.sequences.start[sequence], first_query = s->in.queries.start[sequence];
    const size_t column = head * s->head_size;
    size_t *bounds = bounds_of(s, sequence, head);
    for (size_t round = 0; round < rounds; round++) {
        size_t *key_row = s->key_row + head * s->keys.rows + s->keys.start[sequence] + round * keys;
        size_t *query_row = s->query_row + head * s->queries.rows + s->queries.start[sequence] + round * queries;
        uint32_t *key_place = s->key_place + head * s->keys.rows + s->keys.start[sequence] + round * keys;
        uint32_t *query_place = s->query_place + head * s->queries.rows + s->queries.start[sequence] + round * queries;
        memset(room->of_keys, 0, keys * sizeof *room->of_keys);
        memset(room->of_queries, 0, queries * sizeof *room->of_queries);
        if (chunks > 1) {
            draw_directions(s, head, round, directions_of(factors), room);
            find_buckets(w, room, s->key, first_key, keys, column, factors, room->of_keys);
            find_buckets(w, room, s->query, first_query, queries, column, factors, room->of_queries);
        }
        write_list(s, sequence, false, room->of_keys, buckets, room->counts, key_row, key_place);
        write_list(s, sequence, true, room->of_queries, buckets, room->counts, query_row, query_place);
        for (size_t c = 0, at = 0; c < chunks; c++) {
            const size_t begin = c * chunk;
            if (begin >= keys) at = queries; /* of pads alone */
            while (c && at < queries &&
                   is_before(room->of_queries[query_row[at] - first_query], query_place[at],
                             room->of_keys[key_row[begin] - first_key], key_place[begin]))
                at++;
            bounds[round * chunks + c] = round * queries + at;
        }
    }
    bounds[rounds * chunks] = rounds * queries;
}

static void sort_heads(void *argument, size_t member, size_t first, size_t last) {
    const sorting *w = argument;
    sorting_room room;
    lay_out(w, w->scratch + member * w->scratch_size, &room);
    for (size_t unit = first; unit < last; unit++)
        if (batch_length(&w->s->in.sequences, unit / w->s->heads))
            sort_head(w, unit / w->s->heads, unit % w->s->heads, &room);
}

static void sort_all(const run *on, lists *s) {
    const size_t longest = size_max(batch_longest(&s->in.sequences), batch_longest(&s->in.queries));
    sorting w = {.on = on, .s = s, .most = longest};
    sorting_room unused;
    arena_mark mark = arena_save(on->memory);
    w.directions = directions_of(factors_of(s->setting, longest));
    w.buckets = buckets_of(factors_of(s->setting, longest));
    w.scratch_size = lay_out(&w, NULL, &unused);
    w.scratch = run_take(on, team_size(on->crew) * w.scratch_size, 1);
    if (run_failed(on)) return;
    run_parallel(on, s->in.sequences.sequences * s->heads, 1, sort_heads, &w);
    arena_rewind(on->memory, mark);
}

/* ---- Rounds together ---- */

typedef struct joining {
    const run *on;
    const lists *s;
    const size_t *copy; /* [heads][copies]: of a sequence's queries in each round, their copies */
    bool backward;
} joining;

static void join_row(const joining *j, size_t sequence, size_t head, size_t query) {
    const lists *s = j->s;
    const size_t count = batch_length(&s->in.queries, sequence), rounds = rounds_of(s, sequence), size = s->head_size;
    const size_t *copy = j->copy + head * s->queries.rows + s->queries.start[sequence] + query;
    const size_t row = s->in.queries.start[sequence] + query, column = head * size;
    float weight[MOST_ROUNDS], d[MOST_ROUNDS], mean = 0, *out = tensor_row(s->mixed, row) + column;
    for (size_t r = 0; r < rounds; r++) weight[r] = tensor_row(s->sums, copy[r * count])[head];
    float largest = weight[0], sum = 0;
    for (size_t r = 1; r < rounds; r++) largest = fmaxf(largest, weight[r]);
    for (size_t r = 0; r < rounds; r++) sum += weight[r] = expf(weight[r] - largest);
    for (size_t r = 0; r < rounds; r++) weight[r] /= sum;
    if (!j->backward) {
        memset(out, 0, size * sizeof *out);
        for (size_t r = 0; r < rounds; r++)
            j->on->kernels->gradient->add_scaled(out, tensor_row(s->mixed_list, copy[r * count]) + column, weight[r],
                                                 size);
        return;
    }
    const float *grad = tensor_grad(s->mixed, row) + column;
    for (size_t r = 0; r < rounds; r++) {
        d[r] = j->on->kernels->dot_f32(grad, tensor_row(s->mixed_list, copy[r * count]) + column, size);
        mean += weight[r] * d[r];
        j->on->kernels->gradient->add_scaled(tensor_grad(s->mixed_list, copy[r * count]) + column, grad, weight[r],
                                             size);
    }
    for (size_t r = 0; r < rounds; r++) tensor_grad(s->sums, copy[r * count])[head] += weight[r] * (d[r] - mean);
}

static void join_heads(void *argument, size_t member, size_t first, size_t last) {
    const joining *j = argument;
    (void)member;
    for (size_t unit = first; unit < last; unit++)
        for (size_t q = 0; q < batch_length(&j->s->in.queries, unit / j->s->heads); q++)
            join_row(j, unit / j->s->heads, unit % j->s->heads, q);
}

static void joining_backward(const run *on, void *saved) {
    joining j = *(const joining *)saved;
    j.on = on;
    j.backward = true;
    run_parallel(on, j.s->in.sequences.sequences * j.s->heads, 1, join_heads, &j);
}

static void join_rounds(const run *on, const lists *s) {
    const size_t copies = s->queries.rows;
    size_t *copy = run_take(on, s->heads * copies + 1, sizeof *copy);
    if (run_failed(on)) return;
    for (size_t head = 0; head < s->heads; head++)
        for (size_t i = 0; i < s->in.sequences.sequences; i++) {
            const size_t count = batch_length(&s->in.queries, i), begin = s->queries.start[i];
            for (size_t at = 0; at < batch_length(&s->queries, i); at++) {
                const size_t row = s->query_row[head * copies + begin + at] - s->in.queries.start[i];
                copy[head * copies + begin + at / count * count + row] = begin + at;
            }
        }
    joining j = {.on = on, .s = s, .copy = copy};
    run_parallel(on, s->in.sequences.sequences * s->heads, 1, join_heads, &j);
    joining *saved = on->tape ? tape_push(on, joining_backward, sizeof *saved) : NULL;
    if (saved) *saved = j;
}

/* ---- Running ---- */

/* A chunk of a list, with its neighbours in the ring of chunks. */
static bool chunk_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const lists *s = of;
    const size_t chunks = chunks_of_round(s, sequence), all = chunks * rounds_of(s, sequence);
    const size_t keys = batch_length(&s->in.sequences, sequence), chunk = s->setting->chunk;
    if (number >= all) return false;
    const size_t *bounds = bounds_of(s, sequence, head) + number;
    planned_ask(out, (stretch){bounds[0], bounds[1]});
    const size_t before = size_min(s->setting->before, all - 1);
    const size_t after = size_min(s->setting->after, all - 1 - before);
    for (size_t i = 0; i <= before + after; i++) {
        const size_t at = (number + all - before + i) % all, round = at / chunks, first = at % chunks * chunk;
        planned_see(out, (stretch){round * keys + size_min(first, keys), round * keys + size_min(first + chunk, keys)},
                    0);
    }
    return true;
}

static void hide_itself(const void *of, size_t sequence, size_t head, size_t query, stretch keys, float *row) {
    const lists *s = of;
    const uint32_t own = s->query_place[head * s->queries.rows + s->queries.start[sequence] + query];
    const uint32_t *places = s->key_place + head * s->keys.rows + s->keys.start[sequence];
    for (size_t k = keys.first; k < keys.end; k++)
        row[k - keys.first] = places[k] == own ? ITSELF : row[k - keys.first];
}

/* Room for the lists; NULL on a failed run. All of it lives as long as the tape. */
static lists *begin_lists(const run *on, const planned_weights *self, const attending_input *in,
                          const projected *rows) {
    const size_t count = in->sequences.sequences;
    lists *s = run_take(on, 1, sizeof *s);
    size_t *start = run_take(on, 3 * (count + 1), sizeof *start), *query_start = start + count + 1;
    if (run_failed(on)) return NULL;
    *s = (lists){.in = *in,
                 .setting = self->setting,
                 .heads = in->heads,
                 .head_size = self->with.head_size,
                 .whole = self->with.heads,
                 .query = rows->query,
                 .value = rows->value,
                 .chunk_start = query_start + count + 1};
    size_t keys = 0, queries = 0, chunks = 0;
    for (size_t i = 0; i <= count; i++) {
        start[i] = keys;
        query_start[i] = queries;
        s->chunk_start[i] = chunks;
        if (i == count) break;
        keys += rounds_of(s, i) * batch_length(&in->sequences, i);
        queries += rounds_of(s, i) * batch_length(&in->queries, i);
        chunks += rounds_of(s, i) * chunks_of_round(s, i);
    }
    s->keys = (batch){.sequences = count, .rows = keys, .start = start};
    s->queries = (batch){.sequences = count, .rows = queries, .start = query_start};
    s->key_row = run_take(on, s->heads * (keys + queries + chunks + count) + 1, sizeof *s->key_row);
    s->key_place = run_take(on, s->heads * (keys + queries) + 1, sizeof *s->key_place);
    if (run_failed(on)) return NULL;
    s->query_row = s->key_row + s->heads * keys;
    s->bounds = s->query_row + s->heads * queries;
    s->query_place = s->key_place + s->heads * keys;
    return s;
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const planned_weights *self = weights;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size);
    const double begin = run_begin(on);
    lists *s = begin_lists(on, self, in, &rows);
    if (s) {
        s->mixed = mixed;
        make_units(on, s, rows.key);
        if (!run_failed(on)) sort_all(on, s);
        const head_lists of_queries = {s->heads, s->head_size, s->queries.rows, s->query_row};
        const head_lists of_keys = {s->heads, s->head_size, s->keys.rows, s->key_row};
        const projected copies = {listed_rows(on, s->query, of_queries), listed_rows(on, s->key, of_keys),
                                  listed_rows(on, s->value, of_keys)};
        s->mixed_list = run_tensor(on, s->queries.rows, mixed.columns);
        s->sums = run_tensor(on, s->queries.rows, s->heads);
        gathered heads = gathered_heads(&self->with, in, &copies);
        heads.sequences = &s->keys;
        heads.queries = &s->queries;
        heads.scale = 1;
        heads.sums = s->sums;
        heads.plan = (gather_plan){.of = s, .block = chunk_block, .adjust = hide_itself};
        attention_gathered(on, s->mixed_list, &heads);
        if (!run_failed(on)) join_rounds(on, s);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Pairs of one head, and the products with directions, which are half of a pair. */
static double pairs(const void *setting, double keys, double queries) {
    const reformer_setting *self = setting;
    const double chunk = (double)self->chunk, seen = 1 + (double)(self->before + self->after);
    if (keys <= chunk) return queries * keys;
    const double directions = (double)directions_of(factors_of(self, (size_t)keys));
    return (double)self->rounds * (queries * fmin(seen * chunk, keys) + (keys + queries) * directions / 2);
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count_some(of, parts);
    sum.queries +=
        4 * pairs(setting, (double)of->rows.entering, (double)of->rows.queries) * (double)(of->units * of->unit_size);
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    (void)kernels;
    return planned_demand(weights, sequences, length, pairs);
}

const attending attending_reformer = {
    .part = {.name = "reformer", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .fewer_queries = true,
    .narrows = true,
    .load = load,
    .drops = drops,
    .allow_narrow = projections_allow_narrow,
    .visit = projections_visit,
    .forward = forward,
    .count = count,
    .demand = demand};
