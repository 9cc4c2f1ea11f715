/* Classifies each argument and prints the operations of each answer.
 *     example_classify MODEL TEXT... */
#include <stdio.h>
#include <stdlib.h>

#include <rubato.h>

int main(int argc, char **argv) {
    rubato_model *model;
    rubato_context *context;
    rubato_error error;
    if (argc < 3) {
        fprintf(stderr, "usage: example_classify MODEL TEXT...\n");
        return 2;
    }
    if (rubato_model_load(&model, argv[1], &error) != RUBATO_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const rubato_info *info = rubato_model_info(model);
    size_t count = (size_t)argc - 2, labels = info->label_count;
    rubato_input *inputs = calloc(count, sizeof *inputs);
    rubato_costs *costs = NULL;
    float *scores = calloc(count * (labels ? labels : 1), sizeof *scores);
    for (size_t i = 0; i < count; i++) inputs[i].text = argv[i + 2];
    rubato_status status = rubato_context_create(&context, model, NULL, &error);
    if (status == RUBATO_OK) status = rubato_classify(context, scores, inputs, count, NULL, &costs, &error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        size_t best = 0;
        for (size_t j = 1; j < labels; j++)
            if (scores[i * labels + j] > scores[i * labels + best]) best = j;
        printf("%s (%.3f), %.2f Mflop: %s\n", info->labels[best], (double)scores[i * labels + best],
               rubato_costs_at(costs, i)->flops / 1e6, argv[i + 2]);
    }
    if (status != RUBATO_OK) fprintf(stderr, "%s\n", error.message);
    free(inputs);
    rubato_free(costs);
    free(scores);
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    return status != RUBATO_OK;
}
