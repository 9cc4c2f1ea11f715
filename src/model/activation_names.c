/* The names of activations. */
#include "model/activation_names.h"

#include <string.h>

#include "base/text_buffer.h"

/* In transformers, and as a class of PyTorch without the module; NULL: none. */
static const struct {
    const char *name, *class;
    activation act;
} names[] = {{"gelu", "GELU", ACTIVATION_GELU},
             {"gelu_python", NULL, ACTIVATION_GELU},
             {"gelu_new", NULL, ACTIVATION_GELU_TANH},
             {"gelu_fast", NULL, ACTIVATION_GELU_TANH},
             {"gelu_accurate", NULL, ACTIVATION_GELU_TANH},
             {"gelu_pytorch_tanh", NULL, ACTIVATION_GELU_TANH},
             {"gelu_python_tanh", NULL, ACTIVATION_GELU_TANH},
             {"gelu_10", NULL, ACTIVATION_GELU_CLIPPED},
             {"quick_gelu", NULL, ACTIVATION_QUICK_GELU},
             {"linear", "Identity", ACTIVATION_NONE},
             {"relu", "ReLU", ACTIVATION_RELU},
             {"relu2", NULL, ACTIVATION_RELU_SQUARED},
             {"relu6", "ReLU6", ACTIVATION_RELU6},
             {"leaky_relu", "LeakyReLU", ACTIVATION_LEAKY_RELU},
             {"silu", "SiLU", ACTIVATION_SILU},
             {"swish", NULL, ACTIVATION_SILU},
             {"hardswish", "Hardswish", ACTIVATION_HARD_SWISH},
             {"mish", "Mish", ACTIVATION_MISH},
             {"sigmoid", "Sigmoid", ACTIVATION_SIGMOID},
             {"sqrtsoftplus", NULL, ACTIVATION_ROOT_SOFTPLUS},
             {"tanh", "Tanh", ACTIVATION_TANH},
             {"laplace", NULL, ACTIVATION_LAPLACE}};

enum { NAME_COUNT = sizeof names / sizeof names[0] };

static rubato_status fail_unknown(const char *key, const char *name, bool classes, rubato_error *error) {
    text_buffer known = {0};
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (!classes || names[i].class)
            text_add_format(&known, "%s%s", known.length ? ", " : "", classes ? names[i].class : names[i].name);
    fail(error, RUBATO_UNSUPPORTED, "\"%s\" is \"%.80s\"; known are %s%s", key, name, classes ? "torch.nn's " : "",
         known.data ? known.data : "others");
    text_free(&known);
    return RUBATO_UNSUPPORTED;
}

rubato_status activation_find(activation *act, const char *key, const char *name, rubato_error *error) {
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (strcmp(names[i].name, name) == 0) {
            *act = names[i].act;
            return RUBATO_OK;
        }
    return fail_unknown(key, name, false, error);
}

rubato_status activation_find_class(activation *act, const char *key, const char *name, rubato_error *error) {
    const char *dot = strrchr(name, '.');
    bool torch = strncmp(name, "torch.nn.", strlen("torch.nn.")) == 0;
    for (size_t i = 0; i < NAME_COUNT && torch; i++)
        if (names[i].class && strcmp(names[i].class, dot + 1) == 0) {
            *act = names[i].act;
            return RUBATO_OK;
        }
    return fail_unknown(key, name, true, error);
}
