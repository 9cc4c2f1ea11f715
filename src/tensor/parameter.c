/* Parameters. */
#include "tensor/parameter.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { MOST_STACKED = 3, ALIGNMENT = 64 };

static const char *const precision_names[] = {"f32", "bf16", "int8"};

const char *precision_name(precision of) {
    return precision_names[of];
}

bool precision_named(precision *out, const char *name) {
    for (*out = PRECISION_F32; *out < PRECISION_STORED; ++*out)
        if (strcmp(precision_names[*out], name) == 0) return true;
    return false;
}

/* The data of packing one linear layer, shared by its threads; panels are divided among them. */
typedef struct packing {
    const source *weights;
    size_t count;
    const linear *repacked; /* the source instead of weights, when a layer is packed again */
    linear *target;
    const kernel_table *kernels;
    atomic_bool no_memory;
    _Atomic(const char *) not_finite; /* the name of the weight that is not finite */
} packing;

/* Rows [first, first + count) of a matrix that stands as [columns, rows]. */
static void read_turned(const source *from, size_t first, size_t count, float *out) {
    float chunk[PANEL];
    for (size_t begin = 0; begin < count; begin += PANEL) {
        const size_t take = size_min(PANEL, count - begin);
        for (size_t k = 0; k < from->columns; k++) {
            dtype_read(chunk, from->type, from->data, k * from->rows + first + begin, take);
            for (size_t i = 0; i < take; i++) out[(begin + i) * from->columns + k] = chunk[i];
        }
    }
}

/* Rows [first, first + count) of a matrix. */
static void read_rows(dtype type, const unsigned char *data, const float *scale, size_t first, size_t count,
                      size_t width, float *out) {
    dtype_read(out, type, data, first * width, count * width);
    for (size_t i = 0; scale && i < count; i++)
        for (size_t k = 0; k < width; k++) out[i * width + k] *= scale[first + i];
}

/* Rows [first, first + count) of the stack, as floats. */
static void read_stacked(packing *work, size_t first, size_t count, float *out) {
    size_t base = 0;
    if (work->repacked) linear_unpack(work->repacked, first, count, out);
    for (size_t i = 0; i < work->count && count > 0; i++) {
        const source *from = &work->weights[i];
        if (first < base + from->rows) {
            size_t row = first - base, take = size_min(count, from->rows - row);
            if (from->turned)
                read_turned(from, row, take, out);
            else
                read_rows(from->type, from->data, from->scale, row, take, from->columns, out);
            if (!all_finite(out, take * from->columns)) atomic_store(&work->not_finite, from->name);
            out += take * from->columns;
            first += take;
            count -= take;
        }
        base += from->rows;
    }
}

void quantize_rows(const float *rows, size_t count, size_t width, int8_t *q, float *scale) {
    for (size_t i = 0; i < count; i++) {
        const float *row = rows + i * width;
        float most = 0;
        for (size_t k = 0; k < width; k++) most = fmaxf(most, fabsf(row[k]));
        scale[i] = most / 127;
        float inverse = most > 0 ? 127 / most : 0;
        for (size_t k = 0; k < width; k++) q[i * width + k] = (int8_t)nearbyintf(row[k] * inverse);
    }
}

/* Packs a panel from its rows; `room` holds one packed panel of floats. */
static void pack_panel(const packing *work, size_t panel, size_t count, const float *rows, float *room) {
    const linear *target = work->target;
    size_t first = panel * PANEL, in = target->in;
    switch (target->precision) {
    case PRECISION_F32: work->kernels->pack_transposed_f32(target->packed + first * in, rows, in, count, in); break;
    case PRECISION_BF16: pack_bf16(target->low + first * words_bf16(in), rows, in, count, in); break;
    case PRECISION_INT8:
        work->kernels->pack_transposed_f32(room, rows, in, count, in);
        quantize_panel_int8(target->low + first * words_int8(in), target->scale + first, target->offset + first, room,
                            count, in);
        break;
    case PRECISION_STORED: break; /* was replaced when loading */
    }
}

static void pack_panels(void *argument, size_t member, size_t members) {
    packing *work = argument;
    const linear *target = work->target;
    float *rows = malloc(2 * PANEL * target->in * sizeof *rows); /* sizes of config.json, within bounds */
    if (!rows) {
        atomic_store(&work->no_memory, true);
        return;
    }
    for (size_t panel = member; panel * PANEL < target->out; panel += members) {
        size_t first = panel * PANEL, count = size_min(PANEL, target->out - first);
        read_stacked(work, first, count, rows);
        for (size_t i = 0; target->smooth && i < count; i++)
            for (size_t k = 0; k < target->in; k++) rows[i * target->in + k] /= target->smooth[k];
        pack_panel(work, panel, count, rows, rows + PANEL * target->in);
    }
    free(rows);
}

static rubato_status fail_not_finite(const char *name, rubato_error *error) {
    return fail(error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity; the weights are damaged", name);
}

static rubato_status load_vector(float *out, const source *from, rubato_error *error) {
    dtype_read(out, from->type, from->data, 0, from->rows * from->columns);
    return all_finite(out, from->rows * from->columns) ? RUBATO_OK : fail_not_finite(from->name, error);
}

size_t precision_words(precision of, size_t depth) {
    return of == PRECISION_INT8 ? words_int8(depth) : of == PRECISION_BF16 ? words_bf16(depth) : depth;
}

static rubato_status take_packed(linear *self, const packer *with, rubato_error *error) {
    size_t elements, words = precision_words(self->precision, self->in);
    if (!checked_multiply(round_up(self->out, PANEL), words, &elements)) return fail_memory(error);
    void *packed = arena_take_array(with->memory, elements, sizeof(uint32_t));
    if (!packed) return fail_memory(error);
    if (self->precision == PRECISION_F32)
        self->packed = packed;
    else
        self->low = packed;
    if (self->precision != PRECISION_INT8) return RUBATO_OK;
    self->scale = arena_take_array(with->memory, self->out, sizeof *self->scale);
    self->offset = arena_take_array(with->memory, self->out, sizeof *self->offset);
    return self->scale && self->offset ? RUBATO_OK : fail_memory(error);
}

/* Packs weights, by work->target, and biases. */
static rubato_status pack(packing *work, const packer *with, rubato_error *error) {
    linear *target = work->target;
    if (target->precision == PRECISION_INT8 && with->smooth) {
        target->smooth = arena_take_array(with->memory, target->in, sizeof *target->smooth);
        if (!target->smooth) return fail_memory(error);
        memcpy(target->smooth, with->smooth, target->in * sizeof *target->smooth);
    }
    TRY(take_packed(work->target, with, error));
    team_run(with->crew, pack_panels, work);
    if (atomic_load(&work->no_memory)) return fail_memory(error);
    if (atomic_load(&work->not_finite)) return fail_not_finite((const char *)work->not_finite, error);
    return RUBATO_OK;
}

/* Packs the same weights in f32 besides a layer's low-precision ones. */
static rubato_status pack_both(linear *self, packing work, const packer *with, rubato_error *error) {
    if (!with->both || self->precision == PRECISION_F32) return RUBATO_OK;
    linear wide = {.in = self->in, .out = self->out, .precision = PRECISION_F32};
    work.target = &wide;
    TRY(pack(&work, with, error));
    self->packed = wide.packed;
    return RUBATO_OK;
}

/* The biases of stacked weights of rows[i] rows; self->out is known. */
static rubato_status load_biases(linear *self, const source *biases, const size_t *rows, size_t count,
                                 const packer *with, rubato_error *error) {
    bool any = false;
    for (size_t i = 0; biases && i < count; i++) any = any || biases[i].data;
    if (!any) return RUBATO_OK;
    self->bias = arena_take_array(with->memory, self->out, sizeof *self->bias);
    if (!self->bias) return fail_memory(error);
    memset(self->bias, 0, self->out * sizeof *self->bias);
    for (size_t i = 0, at = 0; i < count; at += rows[i++])
        if (biases[i].data) TRY(load_vector(self->bias + at, &biases[i], error));
    return RUBATO_OK;
}

/* Looks for zeros in an int8 layer. */
static rubato_status find_sparse(linear *self, const packer *with, rubato_error *error) {
    const sparse_kernels *kernels = with->kernels->low.sparse;
    if (!kernels || !self->low || self->precision != PRECISION_INT8) return RUBATO_OK;
    const size_t words = words_int8(self->in), count = sparse_count(self->low, self->out, words);
    if ((double)count > kernels->most_filled * (double)(self->out * words) || count > UINT32_MAX) return RUBATO_OK;
    sparse_words *found = arena_take(with->memory, sizeof *found);
    if (!found) return fail_memory(error);
    found->begin = arena_take_array(with->memory, sparse_parts(words) * (self->out + 1), sizeof *found->begin);
    found->at = arena_take_array(with->memory, count, sizeof *found->at);
    found->words = arena_take_array(with->memory, count, sizeof *found->words);
    if (!found->begin || !found->at || !found->words) return fail_memory(error);
    sparse_fill(found, self->low, self->out, words);
    self->sparse = found;
    return RUBATO_OK;
}

rubato_status linear_load(linear *self, const source *weights, const source *biases, size_t count, const packer *with,
                          rubato_error *error) {
    size_t rows[MOST_STACKED];
    *self = (linear){.in = weights[0].columns,
                     .precision = with->precision == PRECISION_STORED ? PRECISION_F32 : with->precision};
    for (size_t i = 0; i < count; i++) self->out += rows[i] = weights[i].rows;
    packing work = {.weights = weights, .count = count, .target = self, .kernels = with->kernels};
    TRY(pack(&work, with, error));
    TRY(pack_both(self, work, with, error));
    TRY(find_sparse(self, with, error));
    return load_biases(self, biases, rows, count, with, error);
}

/* Uses the packed layer where it is mapped; scales and offsets are small and copied. */
static rubato_status map_packed(linear *self, const packed_source *from, const packer *with, rubato_error *error) {
    *self = (linear){
        .in = from->in, .out = from->out, .precision = from->type == DTYPE_I8 ? PRECISION_INT8 : PRECISION_BF16};
    size_t bytes = round_up(from->out, PANEL) * precision_words(self->precision, from->in) * sizeof *self->low;
    self->low = (uint32_t *)(uintptr_t)from->words; /* only training writes to it, and training has a copy */
    if ((uintptr_t)from->words % ALIGNMENT != 0) {
        self->low = arena_take(with->memory, bytes);
        if (!self->low) return fail_memory(error);
        memcpy(self->low, from->words, bytes);
    }
    if (self->precision != PRECISION_INT8) return RUBATO_OK;
    self->scale = arena_take_array(with->memory, self->out, sizeof *self->scale);
    self->offset = arena_take_array(with->memory, self->out, sizeof *self->offset);
    if (!self->scale || !self->offset) return fail_memory(error);
    memcpy(self->scale, from->scale, self->out * sizeof *self->scale);
    memcpy(self->offset, from->offset, self->out * sizeof *self->offset);
    if (!all_finite(self->scale, self->out)) return fail_not_finite(from->name, error);
    if (from->smooth) {
        self->smooth = arena_take_array(with->memory, self->in, sizeof *self->smooth);
        if (!self->smooth) return fail_memory(error);
        memcpy(self->smooth, from->smooth, self->in * sizeof *self->smooth);
        for (size_t k = 0; k < self->in; k++)
            if (!(self->smooth[k] > 0 && self->smooth[k] < INFINITY))
                return fail(error, RUBATO_BAD_MODEL, "tensor \"%s\": a factor of its inputs is %g", from->name,
                            (double)self->smooth[k]);
    }
    int64_t most = 128 * 128 * (int64_t)from->in;
    for (size_t i = 0; i < self->out; i++)
        if (self->offset[i] > most || self->offset[i] < -most)
            return fail(error, RUBATO_BAD_MODEL, "tensor \"%s\": an offset does not belong to its weights", from->name);
    return RUBATO_OK;
}

rubato_status linear_load_packed(linear *self, const packed_source *from, const source *biases, size_t count,
                                 const packer *with, rubato_error *error) {
    size_t rows[MOST_STACKED];
    linear stored;
    for (size_t i = 0; i < count; i++) rows[i] = from->out / count;
    TRY(map_packed(&stored, from, with, error));
    *self = stored;
    if (with->precision != PRECISION_STORED && with->precision != stored.precision) {
        *self = (linear){.in = from->in, .out = from->out, .precision = with->precision};
        packing work = {.repacked = &stored, .target = self, .kernels = with->kernels};
        TRY(pack(&work, with, error));
    }
    TRY(pack_both(self, (packing){.repacked = &stored, .kernels = with->kernels}, with, error));
    TRY(find_sparse(self, with, error));
    return load_biases(self, biases, rows, count, with, error);
}

rubato_status norm_load(norm *self, const source *gamma, const source *beta, float epsilon, const packer *with,
                        rubato_error *error) {
    size_t width = gamma->rows * gamma->columns;
    bool shifts = beta && beta->data;
    *self = (norm){.width = width, .epsilon = epsilon};
    self->gamma = arena_take_array(with->memory, width, sizeof *self->gamma);
    if (shifts) self->beta = arena_take_array(with->memory, width, sizeof *self->beta);
    if (!self->gamma || (shifts && !self->beta)) return fail_memory(error);
    TRY(load_vector(self->gamma, gamma, error));
    return shifts ? load_vector(self->beta, beta, error) : RUBATO_OK;
}

static float draw(const packer *with, uint64_t *state) {
    const double deviation = with->deviation > 0 ? with->deviation : 0.02;
    if (with->deviation < 0) return 0;
    if (with->uniform) return (float)(sqrt(3) * deviation * (2 * random_real(state) - 1));
    return (float)(deviation * random_normal(state));
}

rubato_status linear_create(linear *self, size_t out, size_t in, uint64_t *state, const packer *with,
                            rubato_error *error) {
    *self = (linear){.in = in, .out = out};
    self->packed = arena_take_array(with->memory, packed_size(out, in), sizeof *self->packed);
    float *rows = malloc(out * in * sizeof *rows); /* sizes of config.json, within bounds */
    if (!self->packed || !rows) {
        free(rows);
        return fail_memory(error);
    }
    for (size_t i = 0; i < out * in; i++) rows[i] = draw(with, state);
    with->kernels->pack_transposed_f32(self->packed, rows, in, out, in);
    free(rows);
    return with->no_bias ? RUBATO_OK : linear_add_bias(self, with->memory, error);
}

rubato_status linear_add_bias(linear *self, arena *memory, rubato_error *error) {
    if (self->bias) return RUBATO_OK;
    self->bias = arena_take_array(memory, self->out, sizeof *self->bias);
    if (!self->bias) return fail_memory(error);
    memset(self->bias, 0, self->out * sizeof *self->bias);
    return RUBATO_OK;
}

rubato_status table_create(table *self, size_t rows, size_t width, uint64_t *state, const packer *with,
                           rubato_error *error) {
    float *values =
        arena_take_array(with->memory, rows * width, sizeof *values); /* sizes of config.json, within bounds */
    if (!values) return fail_memory(error);
    for (size_t i = 0; i < rows * width; i++) values[i] = draw(with, state);
    *self = (table){.type = DTYPE_F32, .data = (const unsigned char *)values, .rows = rows, .width = width};
    return RUBATO_OK;
}

rubato_status norm_create(norm *self, size_t width, float epsilon, const packer *with, rubato_error *error) {
    *self = (norm){.width = width, .epsilon = epsilon};
    self->gamma = arena_take_array(with->memory, width, sizeof *self->gamma);
    if (!with->no_bias) self->beta = arena_take_array(with->memory, width, sizeof *self->beta);
    if (!self->gamma || (!with->no_bias && !self->beta)) return fail_memory(error);
    for (size_t i = 0; i < width; i++) self->gamma[i] = 1;
    if (self->beta) memset(self->beta, 0, width * sizeof *self->beta);
    return RUBATO_OK;
}

void linear_refresh(const linear *self, const kernel_table *kernels, size_t first_panel, size_t last_panel) {
    size_t in = self->in, out = self->out;
    const linear_learning *learn = self->learn;
    for (size_t panel = first_panel; panel < last_panel; panel++) {
        size_t width = size_min(PANEL, out - panel * PANEL);
        const float *weights = self->packed + panel * in * PANEL;
        for (size_t column = 0; column < in; column += PANEL) {
            float *slice = learn->transposed + column * out + panel * PANEL * PANEL;
            kernels->pack_transposed_f32(slice, weights + column * PANEL, PANEL, size_min(PANEL, in - column), width);
            if (learn->low_transposed)
                kernels->low.round_panel_bf16(
                    learn->low_transposed + column * words_bf16(out) + panel * PANEL / 2 * PANEL, slice, width);
        }
        if (self->precision == PRECISION_BF16)
            kernels->low.round_panel_bf16(self->low + panel * words_bf16(in) * PANEL, weights, in);
        if (self->precision == PRECISION_INT8)
            quantize_panel_int8(self->low + panel * words_int8(in) * PANEL, self->scale + panel * PANEL,
                                self->offset + panel * PANEL, weights, width, in);
    }
}

/* W[row][k] of a packed layer. */
static float unpacked(const linear *self, size_t row, size_t k) {
    size_t panel = row / PANEL, column = row % PANEL;
    if (self->packed) return self->packed[(panel * self->in + k) * PANEL + column];
    bool bytes = self->precision == PRECISION_INT8;
    size_t each = bytes ? 4 : 2;
    uint32_t word = self->low[(panel * precision_words(self->precision, self->in) + k / each) * PANEL + column];
    if (bytes) return (float)(int8_t)(word >> (8 * (k % 4))) * self->scale[row] * (self->smooth ? self->smooth[k] : 1);
    uint32_t bits = word >> (16 * (k % 2)) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void linear_unpack(const linear *self, size_t first, size_t rows, float *out) {
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < self->in; k++) out[i * self->in + k] = unpacked(self, first + i, k);
}

const linear *linear_part(const linear *self, size_t first, size_t out, size_t in, arena *memory) {
    if (first == 0 && out == self->out && in == self->in) return self;
    if (first % PANEL) return NULL; /* an error of the caller */
    size_t depth = linear_depth(self), words = precision_words(self->precision, depth);
    linear *part = arena_take(memory, sizeof *part);
    if (!part) return NULL;
    *part = *self;
    part->in = in;
    part->out = out;
    part->sparse = NULL;
    part->whole_in = depth;
    part->whole_out = linear_width(self);
    if (self->packed) part->packed = self->packed + first * depth;
    if (self->low) part->low = self->low + first * words;
    if (self->bias) part->bias = self->bias + first;
    if (self->scale) part->scale = self->scale + first;
    if (self->offset) part->offset = self->offset + first;
    if (in < depth && self->prefixes) part->offset = self->prefixes + (in / PREFIX_STEP - 1) * part->whole_out + first;
    if (!self->learn) return part;
    linear_learning *learn = arena_take(memory, sizeof *learn);
    if (!learn) return NULL;
    *learn = *self->learn;
    if (learn->weight) learn->weight += first * depth;
    if (learn->bias) learn->bias += first;
    learn->transposed += first * PANEL;
    if (learn->low_transposed) learn->low_transposed += first / 2 * PANEL;
    part->learn = learn;
    return part;
}

rubato_status linear_make_prefixes(linear *self, arena *memory, rubato_error *error) {
    if (!self->low || self->precision != PRECISION_INT8 || self->prefixes) return RUBATO_OK;
    size_t steps = self->in / PREFIX_STEP, words = words_int8(self->in);
    self->prefixes = arena_take_array(memory, steps * self->out + 1, sizeof *self->prefixes);
    if (!self->prefixes) return fail_memory(error);
    for (size_t j = 0; j < self->out; j++) {
        const uint32_t *column = self->low + j / PANEL * PANEL * words + j % PANEL;
        int32_t sum = 0;
        for (size_t k = 0; k < steps * PREFIX_STEP; k++) {
            sum += (int8_t)(column[k / 4 * PANEL] >> (8 * (k % 4)));
            if ((k + 1) % PREFIX_STEP == 0) self->prefixes[k / PREFIX_STEP * self->out + j] = 128 * sum;
        }
    }
    return RUBATO_OK;
}

void table_clear(table_learning *self, size_t width) {
    for (size_t i = 0; i < self->touched_count; i++) {
        memset(self->rows + self->touched[i] * width, 0, width * sizeof *self->rows);
        self->marks[self->touched[i]] = 0;
    }
    self->touched_count = 0;
}

void table_load(table *self, const source *from) {
    *self = (table){
        .type = from->type, .data = from->data, .scale = from->scale, .rows = from->rows, .width = from->columns};
}

void table_copy(const table *self, size_t row, float *out) {
    table_read(self, row, 1, out);
}

void table_read(const table *self, size_t first, size_t count, float *out) {
    read_rows(self->type, self->data, self->scale, first, count, self->width, out);
}

void table_add(const table *self, size_t row, float *out) {
    table_add_scaled(self, row, 1, out);
}

void table_add_scaled(const table *self, size_t row, float factor, float *out) {
    enum { CHUNK = 256 };
    float values[CHUNK];
    for (size_t first = 0; first < self->width; first += CHUNK) {
        size_t count = size_min(CHUNK, self->width - first);
        dtype_read(values, self->type, self->data, row * self->width + first, count);
        const float scale = self->scale ? factor * self->scale[row] : factor;
        for (size_t i = 0; i < count; i++) out[first + i] += values[i] * scale;
    }
}
