/* Extractive question answering: the best span of the context over all windows. A span's score in its window is the
 * product of the probabilities of its start and end, taken over the window's context tokens and [CLS]; across windows
 * spans compete by their logits, as in the SQuAD script of Devlin et al. 2018. */
#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/job.h"
#include "task/token_scores.h"

enum { LONGEST_ANSWER = 30 };

typedef struct span {
    size_t first, last;
    float logit;
} span;

/* Best start <= end < start + LONGEST_ANSWER among the context's tokens. */
static span best_span(const rubato_window *window, const float *scores) {
    span best = {0, 0, -INFINITY};
    for (size_t i = 0; i < window->length; i++) {
        if (window->sequences[i] != 1) continue;
        for (size_t j = i; j < size_min(i + LONGEST_ANSWER, window->length) && window->sequences[j] == 1; j++) {
            float logit = scores[2 * i] + scores[2 * j + 1];
            if (logit > best.logit) best = (span){i, j, logit};
        }
    }
    return best;
}

/* log of the sum of exponentials of one column over the tokens that may be chosen, [CLS] among them. */
static float log_total(const rubato_window *window, const float *scores, size_t column) {
    float top = scores[column];
    for (size_t i = 1; i < window->length; i++)
        if (window->sequences[i] == 1) top = fmaxf(top, scores[2 * i + column]);
    double sum = exp((double)(scores[column] - top));
    for (size_t i = 1; i < window->length; i++)
        if (window->sequences[i] == 1) sum += exp((double)(scores[2 * i + column] - top));
    return top + (float)log(sum);
}

static rubato_answer_span answer_one(const rubato_encoding *encoding, float *const *windows) {
    rubato_answer_span out = {0, 0, 0, 1};
    float best_logit = -INFINITY;
    for (size_t w = 0; w < encoding->count; w++) {
        const rubato_window *window = &encoding->windows[w];
        if (window->length == 0) continue;
        float total = log_total(window, windows[w], 0) + log_total(window, windows[w], 1);
        out.null_score = fminf(out.null_score, expf(windows[w][0] + windows[w][1] - total));
        span best = best_span(window, windows[w]);
        if (best.logit <= best_logit) continue;
        best_logit = best.logit;
        out.start = window->offsets[best.first][0];
        out.end = window->offsets[best.last][1];
        out.score = expf(best.logit - total);
    }
    return out;
}

rubato_status rubato_answer(rubato_context *context, rubato_answer_span *out, const rubato_input *inputs, size_t count,
                            const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    rubato_options own;
    rubato_text_options text;
    if (costs) *costs = NULL;
    TRY(engine_options(context->model, RUBATO_FOR_ANSWERS, options, &own, &text, error));
    TRY(engine_check_inputs(inputs, count, error));
    for (size_t i = 0; i < count; i++)
        if (!inputs[i].pair) return fail_line(error, RUBATO_BAD_ARGUMENT, i + 1, "a question needs a context");
    token_scores scores;
    rubato_status status = token_scores_run(&scores, context, HEAD_QA, inputs, count, &own, &text, costs, error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const rubato_encoding *encoding = scores.work.encodings[i];
        for (size_t w = 0; w < encoding->count && status == RUBATO_OK; w++)
            status = engine_check(scores.windows[i][w], encoding->windows[w].length * 2, error);
        if (status == RUBATO_OK) out[i] = answer_one(encoding, scores.windows[i]);
    }
    token_scores_free(&scores);
    return costs_end(costs, status);
}
