/* The names of activations in a model's folder. */
#ifndef RUBATO_MODEL_ACTIVATION_NAMES_H
#define RUBATO_MODEL_ACTIVATION_NAMES_H

#include <stdbool.h>

#include "base/error.h"
#include "kernels/activation.h"

/* The activation that config.json names, such as "gelu_new". `key` is for the message. Fails: UNSUPPORTED. */
rubato_status activation_find(activation *act, const char *key, const char *name, rubato_error *error);

/* The activation of a class of PyTorch, such as "torch.nn.modules.activation.GELU". Fails: UNSUPPORTED. */
rubato_status activation_find_class(activation *act, const char *key, const char *name, rubato_error *error);

#endif
