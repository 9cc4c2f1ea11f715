/* FNet (Lee-Thorp et al. 2021): BERT whose rows are mixed by a Fourier transform in place of attention, and whose
 * embeddings are projected behind their norm. `transformers` counts the rows of padding as a part of the text; here no
 * text has such rows. */
#include "attention/fourier_attention.h"
#include "model/family.h"

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    (void)json;
    (void)error;
    part_choose(&config->attention, &attending_fourier.part, "", 0);
    return RUBATO_OK;
}

const family family_fnet = {
    .name = "fnet",
    .model_types = {"fnet"},
    .class_names = {"FNet"},
    .prefixes = {"fnet."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 1,
                 .inner = 3072,
                 .vocabulary = 32000,
                 .positions = 512,
                 .types = 4,
                 .pad = 3,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU_TANH},
    .keys = {.layers = "num_hidden_layers",
             .hidden = "hidden_size",
             .inner = "intermediate_size",
             .positions = "max_position_embeddings",
             .epsilon = "layer_norm_eps",
             .act = "hidden_act",
             .types = BERT_TYPES},
    .names = {.type = BERT_TYPE_TABLE,
              BERT_EMBEDDINGS,
              .projection = "embeddings.projection",
              .attention_norm = "encoder.layer.%zu.fourier.output.LayerNorm",
              BERT_FEED_FORWARD},
    .heads = {BERT_HEADS},
    .configure = configure,
};
