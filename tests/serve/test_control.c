/* Deadline control and the queue on a model that exists on paper only; and the numbers that answers are written with.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "cmocka_compat.h"
#include "serve/exchange.h"
#include "serve/control.h"
#include "serve/json_text.h"

enum { LEVELS = 4, MOST = 100 };

/* A text of n tokens takes n/10 ms at full cost, and in proportion at the cheaper levels. */
static const double costs[LEVELS] = {0.2, 0.4, 0.6, 1};

typedef struct paper {
    hosted model;
    level levels[LEVELS];
    double times[LEVELS][MOST + 1], starts[LEVELS][MOST + 1];
    rubato_info info;
    exchange owner;
} paper;

static void make_paper(paper *p) {
    *p = (paper){.info = {.max_length = MOST}};
    p->model =
        (hosted){.info = &p->info, .levels = p->levels, .level_count = LEVELS, .timed = true, .correction = {1, 1}};
    for (size_t i = 0; i < LEVELS; i++) {
        for (size_t n = 0; n <= MOST; n++) p->times[i][n] = 0.1 * (double)n * costs[i];
        p->levels[i].flops_ratio = costs[i];
        p->levels[i].quality = (double)i;
        p->levels[i].best = i;
        p->levels[i].each = p->times[i];
        p->levels[i].start = p->starts[i];
    }
    p->owner.model = &p->model;
}

static item *make_items(paper *p, size_t count, size_t tokens, double deadline_ms) {
    item *items = calloc(count, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < count; i++) {
        items[i] = (item){.owner = &p->owner, .tokens = tokens, .cap = LEVELS - 1, .deadline_ms = deadline_ms};
    }
    return items;
}

/* The level for items that wait, as the dispatcher asks for it. */
static size_t level_of(control *rule, const hosted *model, item *items, size_t count, double slo_ms, double now) {
    item **waiting = calloc(count, sizeof *waiting);
    assert_non_null(waiting);
    for (size_t i = 0; i < count; i++) waiting[i] = &items[i];
    control_sustain(rule, model, slo_ms, now);
    outlook at = control_look(rule, model, slo_ms);
    size_t found = control_level(&at, model, waiting, count, now);
    free(waiting);
    return found;
}

static void arrive(control *rule, const hosted *model, item *one, double slo_ms, double now) {
    arrival work;
    outlook at = control_look(rule, model, slo_ms);
    control_weigh(&work, &at, model, one, 1, slo_ms);
    control_arrive(rule, model, &work, slo_ms, now);
}

static size_t level_for(paper *p, size_t count, double deadline_ms) {
    control rule = {0};
    double margin = control_margin_ms(&rule, 0);
    item *items = make_items(p, count, 50, deadline_ms + margin); /* 5 ms each at full cost */
    size_t at = level_of(&rule, &p->model, items, count, 0, 0);
    free(items);
    return at;
}

static void test_what_waits(void **state) {
    (void)state;
    paper p;
    make_paper(&p);
    assert_int_equal(level_for(&p, 1, INFINITY), LEVELS - 1);
    assert_int_equal(level_for(&p, 10, 50), LEVELS - 1); /* exactly in time */
    assert_int_equal(level_for(&p, 10, 49), 2);
    assert_int_equal(level_for(&p, 10, 20), 1);
    assert_int_equal(level_for(&p, 10, 5), 0); /* late at any: the cheapest */
    p.model.correction = (run_time){2, 2};     /* the machine is slower than it was */
    assert_int_equal(level_for(&p, 10, 50), 1);
}

/* A run that begins with reading weights is worth less the shorter it is. */
static void test_starts(void **state) {
    (void)state;
    paper p;
    make_paper(&p);
    for (size_t i = 0; i < LEVELS; i++)
        for (size_t n = 0; n <= MOST; n++) p.starts[i][n] = 4;
    assert_int_equal(level_for(&p, 1, 9), LEVELS - 1);   /* 4 + 5 ms */
    assert_int_equal(level_for(&p, 1, 8), 2);            /* 4 + 3 */
    assert_int_equal(level_for(&p, 10, 58), LEVELS - 1); /* two runs of at most 40 ms */
    assert_int_equal(level_for(&p, 10, 57), 2);
    assert_true(fabs(hosted_share_ms(&p.model, p.model.correction, LEVELS - 1, 50, 40) - (5 * 40 / 36.0)) < 1e-9);
    assert_true(fabs(hosted_share_ms(&p.model, p.model.correction, LEVELS - 1, 50, 5) - 9) <
                1e-9); /* such runs hold one text */
    assert_true(fabs(hosted_share_ms(&p.model, p.model.correction, LEVELS - 1, 50, 3) - 9) < 1e-9);
}

/* Runs of one text are slower than foreseen, full ones are not: it is the start that costs more. */
static void test_corrections(void **state) {
    (void)state;
    paper p;
    make_paper(&p);
    for (size_t i = 0; i < 1000; i++) {
        run_time one = {4, 5}, full = {4, 30};
        hosted_learn(&p.model, one, 8 + 5);
        hosted_learn(&p.model, full, 8 + 30);
    }
    assert_true(fabs(p.model.correction.start - 2) < 0.05 && fabs(p.model.correction.texts - 1) < 0.05);
    for (size_t i = 0; i < 1000; i++) hosted_learn(&p.model, (run_time){4, 5}, 1e9);
    assert_true(p.model.correction.start <= 5 && p.model.correction.texts <= 5);
    hosted_learn(&p.model, (run_time){0}, 1);
    assert_true(isfinite(p.model.correction.start));
}

/* Late answers widen the margin until few are late; timely ones narrow it; it stays in its bounds. */
static void test_margin(void **state) {
    (void)state;
    control rule = {0};
    uint64_t seed = 5;
    double before = control_margin_ms(&rule, 50);
    size_t late = 0;
    control_answer(&rule, INFINITY, 50, 1000);
    control_answer(&rule, 10, 0, 1000); /* nothing was promised */
    assert_true(fabs(control_margin_ms(&rule, 50) - before) < 1e-9);
    for (size_t i = 0; i < 20000; i++) {
        /* done at 40 to 60 ms, less what the margin holds back */
        double done = 40 + 20 * random_real(&seed) - (control_margin_ms(&rule, 50) - before);
        late += i >= 10000 && done > 47;
        control_answer(&rule, 50, 50, done);
    }
    assert_in_range(late, 20, 200); /* of 10000: 80 are aimed at */
    for (size_t i = 0; i < 100; i++) control_answer(&rule, 0, 50, 1000);
    assert_true(control_margin_ms(&rule, 50) <= 25.01);
    for (size_t i = 0; i < 100000; i++) control_answer(&rule, 1000, 50, 0);
    assert_true(fabs(control_margin_ms(&rule, 50) - before) < 1e-9);
}

static void test_limits(void **state) {
    (void)state;
    paper p;
    make_paper(&p);
    item one = {.owner = &p.owner, .tokens = 10, .cap = 1};
    assert_int_equal(control_item_level(&p.model, &one, 3), 1);
    assert_int_equal(control_item_level(&p.model, &one, 0), 0);
    one.pinned = true;
    assert_int_equal(control_item_level(&p.model, &one, 0), 1);
    /* a cheaper level that is better is taken */
    p.levels[2].best = 1;
    one = (item){.owner = &p.owner, .tokens = 10, .cap = 3};
    assert_int_equal(control_item_level(&p.model, &one, 2), 1);
}

/* Steady random arrivals at `load` times what the machine does at full cost; returns the changes of the level in the
 * second half, and the level that it ends at. */
static size_t steady(double load, size_t *last) {
    paper p;
    control rule = {0};
    uint64_t seed = 3;
    make_paper(&p);
    item one = {.owner = &p.owner, .tokens = 50, .cap = LEVELS - 1, .deadline_ms = INFINITY};
    size_t changes = 0;
    double now = 0;
    *last = LEVELS - 1;
    for (size_t i = 0; i < 4000; i++) {
        now += -log(1 - random_real(&seed)) * 5 / load;
        arrive(&rule, &p.model, &one, 50, now);
        size_t at = level_of(&rule, &p.model, &one, 1, 0, now);
        changes += i > 2000 && at != *last;
        *last = at;
    }
    return changes;
}

static void test_what_keeps_coming(void **state) {
    (void)state;
    size_t last;
    assert_true(steady(0.4, &last) == 0 && last == 3);
    assert_true(steady(1.2, &last) <= 4 && last == 2);
    assert_true(steady(1.9, &last) <= 4 && last == 1);
    assert_true(steady(6, &last) == 0 && last == 0);
}

/* A model with more levels took this one's place while its items waited. */
static void test_reloaded(void **state) {
    (void)state;
    paper p, fresh;
    control rule = {0};
    make_paper(&p);
    make_paper(&fresh);
    p.model.level_count = LEVELS - 2;
    control_create(&rule, &fresh.model, 50);
    item one = {.owner = &p.owner, .tokens = 10, .cap = LEVELS - 3, .deadline_ms = INFINITY};
    assert_int_equal(level_of(&rule, &p.model, &one, 1, 50, 0), LEVELS - 3);
}

static void test_recovers(void **state) {
    (void)state;
    paper p;
    control rule = {0};
    make_paper(&p);
    item one = {.owner = &p.owner, .tokens = 50, .cap = LEVELS - 1, .deadline_ms = INFINITY};
    for (double now = 0; now < 1000; now += 1) arrive(&rule, &p.model, &one, 50, now);
    assert_int_equal(level_of(&rule, &p.model, &one, 1, 0, 1000), 0);
    /* a second later it has begun to rise, and not by leaps */
    size_t before = 0;
    for (double now = 1000; now < 6000; now += 5) {
        size_t at = level_of(&rule, &p.model, &one, 1, 0, now);
        assert_true(at == before || at == before + 1);
        before = at;
    }
    assert_int_equal(before, LEVELS - 1);
}

static void test_queue_is_fair(void **state) {
    (void)state;
    queue q;
    item a[3] = {{.tokens = 100, .place = 100}, {.tokens = 100, .place = 200}, {.tokens = 100, .place = 300}};
    item b = {.tokens = 5, .place = 105, .least_ms = 2};
    queue_create(&q);
    for (size_t i = 0; i < 3; i++) queue_insert(&q, &a[i]);
    queue_insert(&q, &b); /* came later and passes what is left of the long request */
    assert_true(q.first == &a[0] && a[0].next == &b && b.next == &a[1] && q.last == &a[2]);
    assert_int_equal(q.tokens, 305);
    queue_remove(&q, &a[0]);
    queue_remove(&q, &a[2]);
    assert_true(q.first == &b && q.last == &a[1] && q.count == 2 && q.tokens == 105);
    queue_remove(&q, &b);
    queue_remove(&q, &a[1]);
    assert_true(!q.first && !q.last && q.count == 0);
    assert_true(q.least_ms == 0);
    queue_destroy(&q);
}

/* What is written reads back as the same float. */
static void test_floats(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (size_t i = 0; i < 400000; i++) {
        uint32_t bits = (uint32_t)random_next(&seed);
        if (i % 2) bits = (bits & 0x807fffffu) | (uint32_t)(100 + random_below(&seed, 40)) << 23; /* of usual size */
        float value, back;
        memcpy(&value, &bits, 4);
        text_buffer out = {0};
        text_add_float(&out, value);
        if (isfinite(value)) {
            back = strtof(out.data, NULL);
            if (back != value) fail_msg("%.9g became %s", (double)value, out.data);
        } else {
            assert_string_equal(out.data, "null");
        }
        text_free(&out);
    }
    static const float edges[] = {0,     -0.0f,      1,           -1,   9.99999999f,  0.1f,
                                  1e-5f, 9.9999e-6f, 99999992.0f, 1e8f, 3.4028235e38f};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        text_buffer out = {0};
        text_add_float(&out, edges[i]);
        assert_true(strtof(out.data, NULL) == edges[i]);
        text_free(&out);
    }
}

static void test_json_strings(void **state) {
    (void)state;
    text_buffer out = {0};
    text_add_json(&out, "a\"b\\c\n\x01\xc3\xa9", 9);
    assert_string_equal(out.data, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\"");
    text_free(&out);
    float two[2] = {1, -2};
    text_add_floats_base64(&out, two, 2);
    assert_string_equal(out.data, "AACAPwAAAMA=");
    text_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits),    cmocka_unit_test(test_starts),
        cmocka_unit_test(test_margin),        cmocka_unit_test(test_corrections),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_what_keeps_coming),
        cmocka_unit_test(test_reloaded),      cmocka_unit_test(test_recovers),
        cmocka_unit_test(test_queue_is_fair), cmocka_unit_test(test_floats),
        cmocka_unit_test(test_json_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
