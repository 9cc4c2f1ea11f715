/* Heads. */
#include "model/head.h"

#include "base/checked.h"
#include "model/pooling.h"
#include "tensor/operations.h"
#include "tensor/tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 512 };
static const double NEW_DEVIATION = 0.02;

static const head_form *find_form(const family *kind, head_kind wanted) {
    for (const head_form *form = kind->heads; form->out; form++)
        if (form->kind == wanted) return form;
    return NULL;
}

const char *head_out_name(const family *of, head_kind kind) {
    const head_form *form = find_form(of, kind);
    return form ? form->out : NULL;
}

/* A decoder whose first columns are the word embeddings and whose others have a tensor of their own. */
static rubato_status load_wide(head *self, loader *load, const encoder *body, const head_form *form,
                               const char *bias_name, const source *bias) {
    const table *words = &body->tables.word;
    const size_t rows = words->rows, width = body->config.hidden;
    char full[NAME_BYTES];
    source rest = {.rows = width - size_min(width, words->width)};
    snprintf(full, sizeof full, "%s.weight", form->wide);
    if (rest.rows == 0) return fail(load->error, RUBATO_UNSUPPORTED, "embedding_size is not below hidden_size");
    const size_t own_columns = rest.rows;
    if (!load->new_all) TRY(loader_find(load, &rest, full, own_columns, rows, !load->fresh));
    rest.rows = own_columns;
    float *all = malloc(rows * width * sizeof *all), *column = malloc(rows * sizeof *column);
    rubato_status status = all && column ? RUBATO_OK : fail_memory(load->error);
    for (size_t i = 0; i < rows && status == RUBATO_OK; i++) table_copy(words, i, all + i * width);
    for (size_t k = 0; k < rest.rows && status == RUBATO_OK; k++) {
        for (size_t i = 0; !rest.data && i < rows; i++) column[i] = (float)(NEW_DEVIATION * random_normal(load->fresh));
        if (rest.data) dtype_read(column, rest.type, rest.data, k * rows, rows);
        for (size_t i = 0; rest.scale && i < rows; i++) column[i] *= rest.scale[k];
        for (size_t i = 0; i < rows; i++) all[i * width + words->width + k] = column[i];
    }
    const source whole = {form->wide, DTYPE_F32, (const unsigned char *)all, rows, width, NULL, false};
    if (status == RUBATO_OK) status = linear_load(&self->out, &whole, bias, 1, &load->with, load->error);
    free(all);
    free(column);
    TRY(status);
    if (load->new_all) TRY(linear_add_bias(&self->out, load->with.memory, load->error));
    self->tied = true;
    TRY(loader_bind_decoder(load, &self->out, form->out, bias_name, true));
    const binding own = {.kind = BOUND_WEIGHT,
                         .linear = &self->out,
                         .rows = rows,
                         .columns = width - words->width,
                         .turned = true,
                         .first_input = words->width};
    return loader_bind(load, own, full);
}

/* The weight of a masked-LM decoder is usually tied to the word embeddings, and then not in the file; the bias has its
 * own name. */
static rubato_status load_decoder(head *self, loader *load, const encoder *body, const head_form *form) {
    char full[NAME_BYTES];
    const table *words = &body->tables.word;
    source weight, bias = {0};
    if (body->config.words)
        return fail(load->error, RUBATO_UNSUPPORTED, "word embeddings that were made narrower predict no words");
    snprintf(full, sizeof full, "%s.weight", form->out);
    TRY(loader_find(load, &weight, full, body->config.vocabulary, 0, body->config.untied));
    self->tied = !weight.data;
    if (self->tied)
        weight = (source){"word embeddings", words->type, words->data, words->rows, words->width, words->scale, false};
    snprintf(full, sizeof full, "%s.bias", form->out);
    TRY(loader_find(load, &bias, full, 1, weight.rows, false));
    /* the same numbers under two names, unless the decoder was untied: then the decoder's own count */
    const char *bias_name = form->out_bias;
    if (form->out_bias) {
        source own;
        TRY(loader_find(load, &own, form->out_bias, 1, weight.rows, false));
        bool untied =
            own.data && bias.data &&
            (own.type != bias.type || memcmp(own.data, bias.data, weight.rows * dtype_bits(own.type) / 8) != 0);
        if (untied) bias_name = NULL;
        if (own.data && !untied) bias = own;
    }
    if (form->wide) return load_wide(self, load, body, form, bias_name, &bias);
    TRY(linear_load(&self->out, &weight, &bias, 1, &load->with, load->error));
    if (load->new_all) TRY(linear_add_bias(&self->out, load->with.memory, load->error));
    if (!self->tied) checkpoint_release(load->weights, weight.name);
    return loader_bind_decoder(load, &self->out, form->out, bias_name, self->tied);
}

rubato_status head_load(head *self, loader *load, const family *of, const encoder *body, head_kind kind,
                        size_t labels) {
    *self = (head){.kind = kind,
                   .mean = kind == HEAD_SEQUENCE && body->config.mean_head,
                   .last = kind == HEAD_SEQUENCE && body->config.last_head};
    const head_form *form = find_form(of, kind);
    if (!form) return fail(load->error, RUBATO_UNSUPPORTED, "family \"%s\" has no such head", of->name);
    size_t width = config_width(&body->config);
    char full[NAME_BYTES];
    const char *one[1] = {full};
    if (kind == HEAD_SEQUENCE && body->config.attended_head)
        TRY(pooling_attention_load(&self->attended, load, width, body->config.heads, body->config.epsilon));
    load->with.no_bias = form->no_bias;
    if (form->dense && !(form->prefixed && body->config.no_pooler)) {
        size_t dense = kind == HEAD_MLM && !form->wide ? body->config.embedding
                       : form->down                    ? body->config.inner
                                                       : body->config.hidden;
        loader_name(full, sizeof full, form->prefixed ? load->prefix : "", form->dense, 0, 0);
        load->place = form->prefixed ? IN_BODY : IN_HEAD;
        TRY(loader_linear(load, &self->dense, one, 1, load->fresh ? dense : 0, width));
        load->place = IN_HEAD;
        self->act = form->act != ACTIVATION_NONE               ? form->act
                    : body->config.head_act != ACTIVATION_NONE ? body->config.head_act
                                                               : body->config.act;
        width = self->dense.out;
    }
    if (form->down) {
        snprintf(full, sizeof full, "%s", form->down);
        TRY(loader_linear(load, &self->down, one, 1, config_width(&body->config), width));
        width = self->down.out;
    }
    if (form->norm) {
        snprintf(full, sizeof full, "%s", form->norm);
        TRY(loader_norm(load, &self->norm, full, width, body->config.epsilon));
    }
    load->with.no_bias = false;
    if (kind == HEAD_MLM) {
        TRY(load_decoder(self, load, body, form));
    } else {
        size_t rows = kind == HEAD_QA || kind == HEAD_NSP ? 2 : kind == HEAD_REPLACED ? 1 : labels;
        snprintf(full, sizeof full, "%s", form->out);
        if (load->new_head)
            TRY(loader_new_linear(load, &self->out, full, rows, width));
        else
            TRY(loader_linear(load, &self->out, one, 1, rows, load->fresh ? width : 0));
    }
    if (self->out.in != width)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s.weight\" has %zu columns, %zu are needed", form->out,
                    self->out.in, width);
    self->present = true;
    return RUBATO_OK;
}

tensor head_states(const head *self, const run *on, tensor x) {
    const tensor rows = x;
    if (self->dense.out) {
        x = run_tensor(on, rows.rows, self->dense.out);
        run_linear(on, x, rows, &self->dense, self->act, NULL);
    }
    if (self->down.out) {
        tensor sum = run_tensor(on, rows.rows, self->down.out);
        run_linear(on, sum, x, &self->down, ACTIVATION_NONE, &rows);
        x = sum;
    }
    if (self->norm.gamma) {
        tensor normal = run_over(on, x, x.rows);
        run_layer_norm(on, normal, x, &self->norm);
        x = normal;
    }
    return x;
}

tensor head_forward(const head *self, const run *on, tensor x, const size_t *rows, size_t count) {
    if (rows) x = run_gather(on, x, rows, count);
    x = head_states(self, on, x);
    if (on->tape && self->kind != HEAD_MLM && self->kind != HEAD_REPLACED) run_dropout(on, x, on->tape->hidden_rate);
    tensor out = run_tensor(on, x.rows, self->out.out);
    run_linear(on, out, x, &self->out, ACTIVATION_NONE, NULL);
    return out;
}

bool head_pools(const head *self) {
    return self->mean || self->attended.seed.data;
}

tensor head_pooled(const head *self, const run *on, tensor x, const batch *packed) {
    return self->attended.seed.data ? pooling_attention_forward(&self->attended, on, x, packed)
                                    : pooling_mean(on, x, packed);
}

tensor head_of_sequences(const head *self, const run *on, tensor x, const batch *packed) {
    if (head_pools(self)) return head_forward(self, on, head_pooled(self, on, x, packed), NULL, 0);
    const size_t *rows = pooling_ends(on, packed, self->last);
    return rows ? head_forward(self, on, x, rows, packed->sequences) : (tensor){0};
}

double head_flops(const head *self, size_t rows, size_t length) {
    double each = 2.0 * (double)self->out.in * (double)self->out.out;
    each += 2.0 * (double)self->dense.in * (double)self->dense.out;
    each += 2.0 * (double)self->down.in * (double)self->down.out;
    return each * (double)rows + pooling_attention_flops(&self->attended, length);
}
