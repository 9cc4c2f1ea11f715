/* Embeddings. */
#include "model/embeddings.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/state.h"
#include "tensor/tape.h"

rubato_status embeddings_load(embeddings *self, loader *load, const tensor_names *names, const encoder_config *config) {
    char full[LOADER_NAME], weight[LOADER_NAME + 16];
    const char *one[1] = {full};
    const size_t places = config->late_places ? config->hidden : config->embedding;
    const size_t words = config->trigrams ? 3 * config->embedding : config->embedding;
    TRY(loader_table(load, &self->word, names->word, config->vocabulary,
                     config->words ? config->words : config->embedding));
    TRY(loader_table(load, &self->position, config->axes[0].rows ? NULL : names->position, config->positions, places));
    for (size_t i = 0; i < 2 && config->axes[i].rows; i++) {
        snprintf(full, sizeof full, "%s%s.%zu", load->prefix, names->axes, i);
        TRY(loader_shaped(load, &self->axes[i], full, config->axes[i].rows, config->axes[i].width,
                          i ? BEHIND_ONE : BEFORE_ONE));
    }
    if (config->types) TRY(loader_table(load, &self->type, names->type, config->types, places));
    const float epsilon = config->embedding_epsilon > 0 ? config->embedding_epsilon : config->epsilon;
    if (names->embedding_norm) {
        snprintf(full, sizeof full, "%s%s", load->prefix, names->embedding_norm);
        TRY(loader_norm(load, &self->norm, full, places, epsilon));
        self->norm.plain = config->plain_norms;
    }
    if (config->words) {
        const bool bare = load->with.no_bias;
        snprintf(full, sizeof full, "%s" WORDS_PROJECTION, load->prefix);
        load->with.no_bias = true;
        const rubato_status status = loader_linear(load, &self->projection, one, 1, config->hidden, config->words);
        load->with.no_bias = bare;
        return status;
    }
    if (!names->projection) return RUBATO_OK;
    snprintf(full, sizeof full, "%s%s", load->prefix, names->projection);
    snprintf(weight, sizeof weight, "%s.weight", full);
    if (words == config->hidden && !config->trigrams && !load->new_all && !checkpoint_find(load->weights, weight))
        return RUBATO_OK;
    return loader_linear(load, &self->projection, one, 1, config->hidden, words);
}

/* A part of a row's sum: a table's row for the token, or for one before or behind it, in some of the columns. */
typedef enum lookup_kind { BY_WORD, BY_TYPE, BY_POSITION, BY_LINE, BY_COLUMN } lookup_kind;

typedef struct lookup {
    const table *of;
    lookup_kind kind;
    int offset;    /* of the token */
    size_t column; /* the first */
    bool adds;     /* to what is there; else it is written */
} lookup;

enum { MOST_LOOKUPS = 4, NOWHERE = -1 };

typedef struct embedding {
    lookup lookups[MOST_LOOKUPS];
    size_t count;
    size_t line; /* places of a line of axial positions */
    const batch *input;
    const uint32_t *positions, *sequence_of; /* sequence_of NULL: no lookup has an offset */
    tensor out;
} embedding;

static void look_up(embedding *self, const table *of, lookup_kind kind, int offset, size_t column, bool adds) {
    if (of->data) self->lookups[self->count++] = (lookup){of, kind, offset, column, adds};
}

/* The table's row for a row of the batch; NOWHERE beyond the ends of its sequence. */
static int64_t place_of(const embedding *work, const lookup *by, size_t row) {
    int64_t at = (int64_t)row + by->offset;
    if (by->offset) {
        const size_t sequence = work->sequence_of[row];
        if (at < (int64_t)work->input->start[sequence] || at >= (int64_t)work->input->start[sequence + 1])
            return NOWHERE;
    }
    switch (by->kind) {
    case BY_WORD: return work->input->ids[at];
    case BY_TYPE: return work->input->types[at];
    case BY_LINE: return work->positions[at] / (int64_t)work->line;
    case BY_COLUMN: return work->positions[at] % (int64_t)work->line;
    case BY_POSITION: break;
    }
    return work->positions[at];
}

static void embed_rows(void *argument, size_t member, size_t first, size_t last) {
    const embedding *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++)
        for (size_t i = 0; i < work->count; i++) {
            const lookup *by = &work->lookups[i];
            float *out = tensor_row(work->out, row) + by->column;
            const int64_t at = place_of(work, by, row);
            if (at == NOWHERE)
                memset(out, 0, by->of->width * sizeof *out);
            else if (by->adds)
                table_add(by->of, (size_t)at, out);
            else
                table_copy(by->of, (size_t)at, out);
        }
}

/* Positions count from the first position, or in a causal model from that behind the rows of earlier passes. Where pads
 * have no position of their own, a pad in the text gets the pad's row. */
static void count_positions(const run *on, const encoder_config *config, const batch *input, uint32_t *positions) {
    for (size_t s = 0; s < input->sequences; s++) {
        uint32_t next = (uint32_t)(config->first_position + (config->causal ? run_seen(on, s) : 0));
        for (size_t row = input->start[s]; row < input->start[s + 1]; row++) {
            bool pad = config->count_pads && input->ids[row] == config->pad;
            positions[row] = pad ? (uint32_t)config->pad : next++;
        }
    }
}

typedef struct embedding_task {
    const run *on;
    const embedding *work;
} embedding_task;

/* Divided by columns of the tables, so that a token that occurs twice has its gradients added in order. */
static void embedding_columns(void *argument, size_t member, size_t first, size_t last) {
    const embedding_task *task = argument;
    const embedding *work = task->work;
    (void)member;
    for (size_t row = 0; row < work->input->rows; row++)
        for (size_t i = 0; i < work->count; i++) {
            const lookup *by = &work->lookups[i];
            table_learning *learn = by->of->learn;
            const int64_t at = place_of(work, by, row);
            const size_t end = size_min(last, by->of->width);
            if (!learn || !learn->rows || at == NOWHERE || first >= end) continue;
            task->on->kernels->gradient->add(learn->rows + (size_t)at * by->of->width + first,
                                             tensor_grad(work->out, row) + by->column + first, end - first);
            if (first == 0) table_touch(learn, (size_t)at);
        }
}

/* The first lookup's table is the widest. */
static void embedding_backward(const run *on, void *saved) {
    embedding_task task = {on, saved};
    run_parallel(on, task.work->lookups[0].of->width, 16, embedding_columns, &task);
}

static void run_lookups(const run *on, const embedding *work) {
    if (run_failed(on) || work->count == 0) return;
    run_parallel(on, work->input->rows, 16, embed_rows, (void *)(uintptr_t)work);
    if (!on->tape) return;
    embedding *saved = tape_push(on, embedding_backward, sizeof *saved);
    if (saved) *saved = *work;
}

static const uint32_t *find_sequences(const run *on, const batch *input) {
    uint32_t *of = run_take(on, input->rows, sizeof *of);
    for (size_t s = 0; of && s < input->sequences; s++)
        for (size_t row = input->start[s]; row < input->start[s + 1]; row++) of[row] = (uint32_t)s;
    return of;
}

static tensor embed(const embeddings *self, const run *on, const encoder_config *config, const batch *input) {
    const bool projects = self->projection.out > 0, late = config->late_places || config->words;
    tensor out = run_tensor(on, input->rows, config->hidden);
    tensor sum = projects ? run_tensor(on, input->rows, self->projection.in) : out;
    uint32_t *positions = run_take(on, input->rows, sizeof *positions);
    if (run_failed(on)) return out;
    count_positions(on, config, input, positions);
    embedding words = {.input = input, .positions = positions, .out = sum}, places = words;
    if (config->trigrams) {
        words.sequence_of = find_sequences(on, input);
        for (int i = 0; i < 3; i++) look_up(&words, &self->word, BY_WORD, 1 - i, (size_t)i * config->embedding, false);
    } else {
        look_up(&words, &self->word, BY_WORD, 0, 0, false);
    }
    embedding *rest = late ? &places : &words;
    look_up(rest, &self->type, BY_TYPE, 0, 0, true);
    look_up(rest, &self->position, BY_POSITION, 0, 0, true);
    look_up(rest, &self->axes[0], BY_LINE, 0, 0, true);
    look_up(rest, &self->axes[1], BY_COLUMN, 0, self->axes[0].width, true);
    rest->line = self->axes[1].rows;
    run_lookups(on, &words);
    if (late) {
        run_linear(on, out, sum, &self->projection, ACTIVATION_NONE, NULL);
        places.out = sum = out;
        run_lookups(on, &places);
    }
    tensor normal = sum;
    if (self->norm.gamma) {
        normal = run_over(on, sum, sum.rows);
        run_layer_norm(on, normal, sum, &self->norm);
    }
    if (on->tape) run_dropout(on, normal, on->tape->hidden_rate);
    if (!projects || late) return normal;
    run_linear(on, out, normal, &self->projection, ACTIVATION_NONE, NULL);
    return out;
}

/* Both streams begin with the embeddings. */
static tensor doubled(const run *on, tensor x) {
    tensor out = run_tensor(on, x.rows, 2 * x.columns);
    for (size_t i = 0; i < 2 && !run_failed(on); i++)
        run_scatter(on, tensor_columns(out, i * x.columns, x.columns), NULL, x, NULL, x.rows);
    return out;
}

tensor embeddings_forward(const embeddings *self, const run *on, const encoder_config *config, const batch *input) {
    const tensor x = embed(self, on, config, input);
    return config->two_streams && !run_failed(on) ? doubled(on, x) : x;
}
