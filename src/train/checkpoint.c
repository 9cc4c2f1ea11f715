/* The state of a run on disk: values, moments and progress, as one safetensors file. Shuffles and masks are functions
 * of the seed and the step, so the number of the step is enough for them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/safetensors.h"
#include "store/safetensors_write.h"
#include "task/context.h"
#include "train/trainer.h"

/* An array is written in rows of ROW floats and a tail, so that writing needs no copy of a whole table. */
enum { ROW = 4096, ARRAYS = 3 };

typedef struct stretch {
    char name[32];
    float *data;
    size_t rows, columns; /* rows 0: a tail */
} stretch;

static void read_stretch(const void *user, size_t first, size_t count, float *out) {
    const stretch *from = user;
    memcpy(out, from->data + first * from->columns, count * from->columns * sizeof *out);
}

/* The parts of all arrays; the caller frees the list. */
static stretch *describe(const parameters *params, size_t *count) {
    static const char parts[ARRAYS] = {'p', 'm', 'v'};
    stretch *all = calloc(params->count * ARRAYS * 2 + 1, sizeof *all);
    *count = 0;
    for (size_t i = 0; all && i < params->count; i++) {
        const parameter *p = &params->items[i];
        float *arrays[ARRAYS] = {p->value, p->m, p->v};
        size_t rows = p->count / ROW, tail = p->count % ROW;
        for (size_t j = 0; j < ARRAYS; j++) {
            stretch whole = {.data = arrays[j], .rows = rows, .columns = ROW};
            stretch rest = {.data = arrays[j] + rows * ROW, .columns = tail};
            snprintf(whole.name, sizeof whole.name, "%c%zu", parts[j], i);
            snprintf(rest.name, sizeof rest.name, "%c%zu.tail", parts[j], i);
            if (rows) all[(*count)++] = whole;
            if (tail) all[(*count)++] = rest;
        }
    }
    return all;
}

static void file_path(const trainer *self, char *out, size_t bytes) {
    snprintf(out, bytes, "%s/training.safetensors", self->options->out);
}

rubato_status trainer_checkpoint(const trainer *self, rubato_error *error) {
    char path[4200], phase_text[24], step[24], best[40], best_step[24];
    size_t count;
    stretch *all = describe(&self->params, &count);
    tensor_source *tensors = calloc(count + 1, sizeof *tensors);
    rubato_status status = all && tensors ? RUBATO_OK : fail_memory(error);
    snprintf(phase_text, sizeof phase_text, "%zu", self->phase_number);
    snprintf(step, sizeof step, "%zu", self->step);
    snprintf(best, sizeof best, "%.17g", self->best);
    snprintf(best_step, sizeof best_step, "%zu", self->best_step);
    const char *notes[] = {"recipe", self->method->name, "phase",   phase_text, "step", step, "best",
                           best,     "best_step",        best_step, NULL};
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        tensors[i] = (tensor_source){.name = all[i].name,
                                     .type = DTYPE_F32,
                                     .rows = all[i].rows,
                                     .columns = all[i].columns,
                                     .read = read_stretch,
                                     .user = &all[i]};
    file_path(self, path, sizeof path);
    if (status == RUBATO_OK) status = safetensors_write(path, tensors, count, notes, error);
    free(all);
    free(tensors);
    return status;
}

static rubato_status read_numbers(trainer *self, const tensor_file *file, const char *path, rubato_error *error) {
    const char *method = tensor_file_note(file, "recipe"), *phase_text = tensor_file_note(file, "phase");
    const char *step = tensor_file_note(file, "step"), *best = tensor_file_note(file, "best");
    const char *best_step = tensor_file_note(file, "best_step");
    if (!method || !phase_text || !step || !best || !best_step)
        return fail(error, RUBATO_BAD_DATA, "%s: not a checkpoint of training", path);
    if (strcmp(method, self->method->name) != 0)
        return fail(error, RUBATO_BAD_ARGUMENT, "%s: of recipe %.40s, not %s", path, method, self->method->name);
    self->phase_number = self->first_phase = (size_t)strtoul(phase_text, NULL, 10);
    self->resumed_step = (size_t)strtoul(step, NULL, 10);
    self->best = strtod(best, NULL);
    self->best_step = (size_t)strtoul(best_step, NULL, 10);
    return RUBATO_OK;
}

rubato_status trainer_resume(trainer *self, rubato_error *error) {
    char path[4200];
    tensor_file file;
    size_t count;
    file_path(self, path, sizeof path);
    if (!path_exists(path)) return RUBATO_OK; /* stopped before the first checkpoint: start over */
    TRY(tensor_file_open(&file, path, safetensors_parse, NULL, error));
    stretch *all = describe(&self->params, &count);
    rubato_status status = all ? read_numbers(self, &file, path, error) : fail_memory(error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const stored_tensor *stored = tensor_file_find(&file, all[i].name);
        size_t wanted = (all[i].rows ? all[i].rows : 1) * all[i].columns;
        if (!stored || stored->type != DTYPE_F32 || stored->elements != wanted)
            status = fail(error, RUBATO_BAD_DATA, "%s: of another model than this one", path);
        else
            dtype_read(all[i].data, stored->type, stored->data, 0, wanted);
    }
    free(all);
    tensor_file_close(&file);
    parameters_find_moving(&self->params);
    parameters_refresh(&self->params, self->context->crew, self->context->kernels);
    return status;
}
