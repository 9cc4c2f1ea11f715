/* Keys of config.json that would change what every family computes, and that no family obeys. */
#include <string.h>

#include "model/family.h"

static const json_refusal refused[] = {
    {"add_cross_attention", "there is no second model whose rows the layers could attend to"},
    {"pruned_heads", "heads are missing in the layers; transformers 5 refuses such weights too"},
    {"per_layer_config", "layers that differ are listed in layer_widths"},
    {"transformers_weights", "rename the file of the weights to model.safetensors"},
    {"configuration_files", "rename the wanted file to config.json"},
    {NULL, NULL}};

rubato_status config_refuse(const json_t *json, rubato_error *error) {
    const json_t *quantization;
    const char *method;
    TRY(json_refuse(json, refused, error));
    TRY(json_get_object(&quantization, json, "quantization_config", error));
    TRY(json_get_text(&method, quantization, "quant_method", quantization ? "" : "rubato", error));
    if (strcmp(method, "rubato") != 0)
        return fail(
            error, RUBATO_UNSUPPORTED,
            "\"quantization_config\" is not supported (quant_method \"%.40s\"): take the weights before they were "
            "quantised, and `rubato quantize`",
            method);
    return RUBATO_OK;
}
