/* Embeds two texts and prints their cosine.
 *     example_embed MODEL */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <rubato.h>

int main(int argc, char **argv) {
    rubato_model *model = NULL;
    rubato_context *context = NULL;
    rubato_error error;
    int status = 1;
    if (argc < 2) {
        fprintf(stderr, "usage: example_embed MODEL\n");
        return 2;
    }
    if (rubato_model_load(&model, argv[1], &error) != RUBATO_OK ||
        rubato_context_create(&context, model, NULL, &error) != RUBATO_OK) {
        fprintf(stderr, "%s\n", error.message);
        goto done;
    }
    size_t width = rubato_model_info(model)->width;
    float *vectors = malloc(2 * width * sizeof *vectors);
    rubato_input texts[] = {{.text = "A cat sits on the mat."}, {.text = "On the rug lies a kitten."}};
    if (vectors && rubato_embed(context, vectors, texts, 2, NULL, NULL, &error) == RUBATO_OK) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < width; i++) {
            double a = vectors[i], b = vectors[width + i];
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        printf("cosine %.4f\n", ab / sqrt(aa * bb));
        status = 0;
    } else {
        fprintf(stderr, "%s\n", error.message);
    }
    free(vectors);
done:
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    return status;
}
