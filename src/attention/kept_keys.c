#include "attention/kept_keys.h"

#include <string.h>

#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/state.h"

/* Keeps the rows from a place of each text on. */
static void keep_from(const run *on, const attending_input *in, first_seen *first, const void *setting,
                      const kept_keys *all, tensor both) {
    const size_t sequences = all->packed.sequences;
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    size_t *rows = run_take(on, all->packed.rows + 1, sizeof *rows);
    if (run_failed(on)) return;
    size_t count = 0;
    for (size_t i = 0; i < sequences; i++) {
        const size_t from = first(setting, run_seen(on, i) + batch_length(&in->sequences, i));
        start[i] = count;
        for (size_t row = all->packed.start[i]; row < all->packed.start[i + 1]; row++)
            if (all->places[row] >= from) rows[count++] = row;
    }
    start[sequences] = count;
    run_keep(on, in->layer, run_gather(on, both, rows, count), start, sequences);
}

bool kept_keys_join(const run *on, const attending_input *in, first_seen *first, const void *setting, projected *rows,
                    kept_keys *out) {
    const kept_rows kept = run_kept(on, in->layer);
    const size_t width = rows->key.columns, sequences = in->sequences.sequences;
    const size_t old = kept.rows.data && kept.sequences == sequences ? kept.rows.rows : 0;
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    tensor both = run_tensor(on, old + in->x.rows, 2 * width);
    out->places = run_take(on, old + in->x.rows + 1, sizeof *out->places);
    if (run_failed(on)) return false;
    size_t at = 0;
    for (size_t i = 0; i < sequences; i++) {
        const size_t mine = old ? kept.start[i + 1] - kept.start[i] : 0;
        start[i] = at;
        for (size_t row = old ? kept.start[i] : 0; row < (old ? kept.start[i] : 0) + mine; row++, at++)
            memcpy(tensor_row(both, at), tensor_row(kept.rows, row), 2 * width * sizeof(float));
        for (size_t row = in->sequences.start[i]; row < in->sequences.start[i + 1]; row++, at++) {
            memcpy(tensor_row(both, at), tensor_row(rows->key, row), width * sizeof(float));
            memcpy(tensor_row(both, at) + width, tensor_row(rows->value, row), width * sizeof(float));
        }
        for (size_t row = start[i]; row < at; row++) out->places[row] = run_seen(on, i) - mine + row - start[i];
    }
    start[sequences] = at;
    out->packed = (batch){.sequences = sequences, .rows = at, .start = start};
    rows->key = tensor_columns(both, 0, width);
    rows->value = tensor_columns(both, width, width);
    if (first)
        keep_from(on, in, first, setting, out, both);
    else
        run_keep(on, in->layer, both, start, sequences);
    return !run_failed(on);
}
