/* Embeddings. */
#include "model/embeddings.h"

#include <stdio.h>

#include "tensor/tape.h"

rubato_status embeddings_load(embeddings *self, loader *load, const tensor_names *names, const encoder_config *config) {
    char full[LOADER_NAME], weight[LOADER_NAME + 16];
    const char *one[1] = {full};
    TRY(loader_table(load, &self->word, names->word, config->vocabulary, config->embedding));
    TRY(loader_table(load, &self->position, names->position, config->positions, config->embedding));
    if (config->types) TRY(loader_table(load, &self->type, names->type, config->types, config->embedding));
    snprintf(full, sizeof full, "%s%s", load->prefix, names->embedding_norm);
    TRY(loader_norm(load, &self->norm, full, config->embedding, config->epsilon));
    if (!names->projection) return RUBATO_OK;
    snprintf(full, sizeof full, "%s%s", load->prefix, names->projection);
    snprintf(weight, sizeof weight, "%s.weight", full);
    if (config->embedding == config->hidden && !checkpoint_find(load->weights, weight)) return RUBATO_OK;
    return loader_linear(load, &self->projection, one, 1, config->hidden, config->embedding);
}

typedef struct embedding {
    const embeddings *tables;
    const batch *input;
    const uint32_t *positions;
    tensor out;
} embedding;

static void embed_rows(void *argument, size_t member, size_t first, size_t last) {
    const embedding *work = argument;
    const embeddings *self = work->tables;
    (void)member;
    for (size_t row = first; row < last; row++) {
        float *out = tensor_row(work->out, row);
        table_copy(&self->word, (size_t)work->input->ids[row], out);
        if (self->type.data) table_add(&self->type, (size_t)work->input->types[row], out);
        if (self->position.data) table_add(&self->position, work->positions[row], out);
    }
}

/* Positions count from the first position. Where pads have no position of their own, a pad in the text gets the pad's
 * row. */
static void count_positions(const encoder_config *config, const batch *input, uint32_t *positions) {
    for (size_t s = 0; s < input->sequences; s++) {
        uint32_t next = (uint32_t)config->first_position;
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

/* Divided by columns, so that a token that occurs twice has its gradients added in order. */
static void embedding_columns(void *argument, size_t member, size_t first, size_t last) {
    const embedding_task *task = argument;
    const embedding *work = task->work;
    const embeddings *self = work->tables;
    const table *tables[3] = {&self->word, &self->type, &self->position};
    (void)member;
    for (size_t row = 0; row < work->input->rows; row++) {
        size_t at[3] = {(size_t)work->input->ids[row], (size_t)work->input->types[row], work->positions[row]};
        const float *grad = tensor_grad(work->out, row);
        for (size_t i = 0; i < 3; i++) {
            table_learning *learn = tables[i]->learn;
            if (!tables[i]->data || !learn || !learn->rows) continue;
            task->on->kernels->gradient->add(learn->rows + at[i] * tables[i]->width + first, grad + first,
                                             last - first);
            if (first == 0) table_touch(learn, at[i]);
        }
    }
}

static void embedding_backward(const run *on, void *saved) {
    embedding_task task = {on, saved};
    run_parallel(on, task.work->out.columns, 16, embedding_columns, &task);
}

tensor embeddings_forward(const embeddings *self, const run *on, const encoder_config *config, const batch *input) {
    bool projects = self->projection.out > 0;
    tensor out = run_tensor(on, input->rows, config->hidden);
    tensor sum = projects ? run_tensor(on, input->rows, config->embedding) : out;
    uint32_t *positions = run_take(on, input->rows, sizeof *positions);
    if (run_failed(on)) return out;
    count_positions(config, input, positions);
    embedding work = {self, input, positions, sum};
    run_parallel(on, input->rows, 16, embed_rows, &work);
    if (on->tape) {
        embedding *saved = tape_push(on, embedding_backward, sizeof *saved);
        if (saved) *saved = work;
    }
    tensor normal = run_over(on, sum, sum.rows);
    run_layer_norm(on, normal, sum, &self->norm);
    if (on->tape) run_dropout(on, normal, on->tape->hidden_rate);
    if (!projects) return normal;
    run_linear(on, out, normal, &self->projection, ACTIVATION_NONE, NULL);
    return out;
}
