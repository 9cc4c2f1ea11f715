#include "attention/slots.h"

#include <string.h>

#include "tensor/operations.h"

slots slots_find(const run *on, const attending_input *in, size_t ratio) {
    const batch *rows = &in->sequences;
    slots made = {.ratio = ratio, .of = run_take(on, 3 * rows->rows + rows->sequences + 2, sizeof *made.of)};
    if (!made.of) return made;
    made.part = made.of + rows->rows;
    made.last = made.part + rows->rows;
    size_t *start = made.last + rows->rows, count = 0;
    for (size_t i = 0; i < rows->sequences; i++) {
        size_t last = SIZE_MAX;
        start[i] = count;
        for (size_t row = rows->start[i]; row < rows->start[i + 1]; row++) {
            const size_t place = attending_place(in, i, in->origin, row), slot = place / ratio;
            count += slot != last;
            last = slot;
            made.of[row] = count - 1;
            made.part[row] = place % ratio;
            made.last[count - 1] = (slot + 1) * ratio - 1;
        }
    }
    start[rows->sequences] = count;
    made.packed = (batch){.sequences = rows->sequences, .rows = count, .start = start};
    return made;
}

/* [slots, ratio * columns]: the rows of a slot side by side. */
static tensor fold(const run *on, tensor x, const slots *of) {
    tensor made = run_tensor(on, of->packed.rows, of->ratio * x.columns);
    size_t *to = run_take(on, 2 * x.rows + of->ratio + 2, sizeof *to), *from = to + x.rows, *first = from + x.rows;
    if (run_failed(on)) return made;
    for (size_t i = 0; i < made.rows; i++) memset(tensor_row(made, i), 0, made.columns * sizeof(float));
    memset(first, 0, (of->ratio + 2) * sizeof *first);
    for (size_t row = 0; row < x.rows; row++) first[of->part[row] + 2]++;
    for (size_t part = 0; part < of->ratio; part++) first[part + 2] += first[part + 1];
    for (size_t row = 0; row < x.rows; row++) { /* sorted by their parts */
        const size_t at = first[of->part[row] + 1]++;
        to[at] = of->of[row];
        from[at] = row;
    }
    for (size_t part = 0; part < of->ratio; part++)
        run_scatter(on, tensor_columns(made, part * x.columns, x.columns), to + first[part], x, from + first[part],
                    first[part + 1] - first[part]);
    return made;
}

tensor slots_through(const run *on, tensor x, const slots *of, const linear *by) {
    tensor folded = fold(on, x, of), out = run_tensor(on, folded.rows, by->out);
    run_linear(on, out, folded, by, ACTIVATION_NONE, NULL);
    return out;
}
