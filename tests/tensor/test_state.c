/* What layers keep from one segment to the next. */
#include <cmocka_compat.h>
#include <string.h>

#include "tensor/state.h"

enum { ROWS = 5, COLUMNS = 3, SEQUENCES = 3 };

static const size_t starts[SEQUENCES + 1] = {0, 2, 2, 5};

typedef struct bed {
    arena memory;
    rubato_status status;
    run on;
} bed;

static void open_bed(bed *b, run_state *state) {
    *b = (bed){0};
    arena_create(&b->memory, 0, 1 << 12);
    b->on = (run){.memory = &b->memory, .status = &b->status, .state = state};
}

static tensor numbers(const run *on, size_t rows, float first) {
    tensor whole = run_tensor(on, rows, COLUMNS + 2), part = tensor_columns(whole, 1, COLUMNS); /* with a stride */
    for (size_t i = 0; i < rows * whole.stride; i++) whole.data[i] = first + (float)i;
    return part;
}

/* Rows that were made by numbers(., rows, first). */
static void check_kept(kept_rows kept, size_t rows, float first) {
    assert_int_equal(kept.rows.rows, rows);
    assert_int_equal(kept.rows.columns, COLUMNS);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < COLUMNS; j++)
            assert_true(tensor_row(kept.rows, r)[j] == first + (float)(r * (COLUMNS + 2) + 1 + j));
}

static void test_segments(void **unused) {
    run_state *state;
    bed b;
    size_t gone[SEQUENCES + 1];
    (void)unused;
    assert_int_equal(run_state_create(&state, 2, NULL), RUBATO_OK);
    /* the first segment finds nothing; what it keeps outlives its memory and its offsets */
    open_bed(&b, state);
    assert_null(run_kept(&b.on, 0).rows.data);
    memcpy(gone, starts, sizeof gone);
    run_keep(&b.on, 0, numbers(&b.on, ROWS, 100), gone, SEQUENCES);
    memset(gone, 0xff, sizeof gone);
    arena_destroy(&b.memory);
    open_bed(&b, state);
    check_kept(run_kept(&b.on, 0), ROWS, 100);
    assert_int_equal(run_kept(&b.on, 0).sequences, SEQUENCES);
    assert_memory_equal(run_kept(&b.on, 0).start, starts, sizeof starts);
    assert_null(run_kept(&b.on, 1).rows.data); /* each layer has its own */
    /* a later one takes the place of it, even where it is a part of it */
    const size_t one[] = {0, 2};
    kept_rows before = run_kept(&b.on, 0);
    before.rows.rows = 2;
    run_keep(&b.on, 0, before.rows, one, 1);
    check_kept(run_kept(&b.on, 0), 2, 100);
    assert_int_equal(run_kept(&b.on, 0).sequences, 1);
    assert_memory_equal(run_kept(&b.on, 0).start, one, sizeof one);
    /* nothing at all is something else than rows of no sequence */
    const size_t none[] = {0};
    run_keep(&b.on, 1, numbers(&b.on, 0, 0), none, 0);
    assert_non_null(run_kept(&b.on, 1).rows.data);
    assert_int_equal(run_kept(&b.on, 1).rows.rows, 0);
    run_state_clear(state);
    assert_null(run_kept(&b.on, 0).rows.data);
    assert_null(run_kept(&b.on, 1).rows.data);
    arena_destroy(&b.memory);
    run_state_destroy(state);
}

static void test_nothing_is_kept(void **unused) {
    run_state *state;
    bed b;
    (void)unused;
    assert_int_equal(run_state_create(&state, 1, NULL), RUBATO_OK);
    open_bed(&b, NULL);
    run_keep(&b.on, 0, numbers(&b.on, ROWS, 1), starts, SEQUENCES); /* without a state */
    assert_null(run_kept(&b.on, 0).rows.data);
    b.on.state = state;
    run_keep(&b.on, 1, numbers(&b.on, ROWS, 1), starts, SEQUENCES); /* of a layer beyond */
    assert_null(run_kept(&b.on, 1).rows.data);
    assert_int_equal(b.status, RUBATO_OK);
    /* a failed run leaves the segment before as it was */
    run_keep(&b.on, 0, numbers(&b.on, ROWS, 1), starts, SEQUENCES);
    tensor late = numbers(&b.on, 2, 50);
    run_fail(&b.on, RUBATO_UNSUPPORTED);
    run_keep(&b.on, 0, late, starts, SEQUENCES);
    check_kept(run_kept(&b.on, 0), ROWS, 1);
    arena_destroy(&b.memory);
    run_state_destroy(state);
    run_state_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_segments), cmocka_unit_test(test_nothing_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
