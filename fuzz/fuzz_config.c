/* Input: any bytes as config.json, for each family. */
#include "model/encoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const types[] = {"bert",   "distilbert", "electra", "roberta",
                                        "albert", "mpnet",      "funnel",  "mobilebert"};
    json_t *json;
    rubato_error error;
    if (json_read_bytes(&json, (const char *)data, size, "fuzz", &error) != RUBATO_OK) return 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        encoder_config config;
        if (config_parse(&config, family_find(types[i]), json, &error) == RUBATO_OK) encoder_max_length(&config);
    }
    json_decref(json);
    return 0;
}
