/* All axes at once: one model whose rows retire or merge, whose layers are left out or have reduced width, and whose
 * sequences leave early. Each step runs the full model, the smallest one and some random ones (the sandwich rule of Yu
 * and Huang 2019, over all axes). All learn from a teacher's answers and hidden states; without another teacher, the
 * starting model is the teacher. Every pass also trains the exits of the layers that it ran. */
#include "train/recipe/draw.h"
#include "train/rewire.h"

static size_t sandwich(const trainer *self, uint64_t *state, pass *out) {
    width_list widths = widths_of(self);
    drops most = drops_of(self);
    /* A tag depends on its own row: axes that take rows away are drawn less often, and never together with reduced
     * widths. */
    bool tags = engine_main_head(self->model) == HEAD_TOKEN;
    size_t count = draw_pass_count(self->options), heads = self->model->body.config.heads;
    for (size_t i = 0; i < count; i++) {
        point *at = &out[i].at;
        out[i] = (pass){.at = point_full(self->model->body.depth), .follows = i > 0};
        if (i == 0) continue;
        /* random passes are small along one axis or two, seldom along all, because good points are there */
        bool narrow = widths.count > 1 && (i == 1 || random_below(state, 2) == 0);
        bool thin = i == 1 || !narrow || random_below(state, 2) == 0;
        if (tags && widths.count > 1) {
            narrow = random_below(state, 4) > 0;
            thin = !narrow;
        }
        if (i > 1) draw_layers(most.layer, state, at);
        /* rows merge or retire; the smallest pass merges where merging is allowed */
        bool merges = most.merges > 0 && (i == 1 || random_below(state, 2) == 0);
        if (thin && merges) draw_merges(most.merges, i == 1, state, at);
        if (thin && !merges) draw_lengths(most.length, i == 1, state, at);
        if (i == 1 && narrow) set_width(widths.parts[widths.count - 1], at);
        if (i > 1 && narrow) draw_widths(&widths, tags && random_below(state, 2) == 0, heads, state, at);
    }
    return count;
}

static rubato_status anytime(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    width_list widths;
    TRY(widths_parse(&widths, options->widths, error));
    if (widths.count > 1) {
        TRY(encoder_allow_narrow(&self->model->body, &self->model->packed, error));
        if (self->params.products == PRECISION_INT8)
            return fail(error, RUBATO_UNSUPPORTED, "narrower layers are trained in f32 or bf16");
        if (!options->refine) TRY(rewire(self, error)); /* points are for the present order of heads and neurons */
        TRY(note_widths(self, &widths, error));
    }
    exits_setting each = {.from_model = true};
    for (size_t i = 0; i < self->model->body.depth; i++) each.weights[i] = 0.5;
    point also[JUDGED_POINTS];
    size_t depth = self->model->body.depth, count = 0;
    const bool leaves = self->model->exits.kind != EXIT_NONE;
    also[count] = point_full(depth);
    drops most = drops_of(self);
    if (most.merges > 0)
        draw_merges(most.merges, true, NULL, &also[count++]);
    else
        draw_lengths(most.length, true, NULL, &also[count++]);
    if (widths.count > 1) {
        also[count] = point_full(depth);
        set_width(widths.parts[widths.count / 2], &also[count++]);
    }
    if (leaves) {
        also[count] = point_full(depth);
        also[count++].exit = (exit_setting){.rule = &exit_fixed, .first = (uint32_t)depth / 2};
    }
    const lesson lessons[] = {{&lesson_answers, 1, &(answers_setting){.from_full = true}},
                              {&lesson_exits, leaves ? 1 : 0, &each},
                              {&lesson_states, match_states(self), NULL}};
    phase all = {.name = self->method->name,
                 .epochs = trainer_epochs(self),
                 .passes = sandwich,
                 .lessons = lessons,
                 .lesson_count = 3,
                 .also = also,
                 .also_count = count};
    if (options->refine) TRY(refine_points(self, &all, also, error));
    TRY(note_drops(self, error));
    if (options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &all, error);
}

const recipe recipe_anytime = {
    .name = "anytime",
    .run = anytime,
    .epochs = 3,
    .rate = 4e-5,
    .length_drop = 0.3,
    .layer_drop = 0.1,
    .merges = 0.5,
    .matches = true,
    .match_states = 1,
    .reads = "length_drop layer_drop merges widths sandwiches no_distillation divergence",
    .refines = true,
    .exits = {.kind = EXIT_STUDENT, .optional = true, .rule = {.rule = &exit_entropy, .threshold = 0.3f}}};
