/* Nyströmformer (Xiong et al. 2021). `transformers` computes it for texts of exactly segment_means_seq_len tokens, to
 * which shorter ones are filled up with padding, whose rows are then parts of the last landmarks; here the segments of
 * a text are as long as its tokens allow. Where num_landmarks is that length, attention is dense there at any length.
 */
#include "attention/nystrom_attention.h"
#include "model/family.h"

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    nystrom_setting setting;
    size_t length;
    TRY(json_get_size(&setting.landmarks, json, "num_landmarks", 64, error));
    TRY(json_get_size(&length, json, "segment_means_seq_len", 64, error));
    const bool bare = json_is_null(json_object_get(json, "conv_kernel_size"));
    TRY(json_get_size(&setting.taps, json, "conv_kernel_size", bare ? 0 : 65, error));
    if (setting.landmarks == 0 || length == 0 || length % setting.landmarks)
        return fail(error, RUBATO_BAD_MODEL, "\"segment_means_seq_len\" %zu is no multiple of \"num_landmarks\" %zu",
                    length, setting.landmarks);
    if (setting.landmarks == length) setting.landmarks = 0;
    part_choose(&config->attention, &attending_nystrom.part, &setting, sizeof setting);
    return nystrom_check(&setting, error);
}

const family family_nystromformer = {
    .name = "nystromformer",
    .model_types = {"nystromformer"},
    .class_names = {"Nystromformer"},
    .prefixes = {"nystromformer."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 30000,
                 .positions = 510,
                 .types = 2,
                 .first_position = 2,
                 .uncounted = 2,
                 .pad = 1,
                 .epsilon = 1e-5f,
                 .act = ACTIVATION_GELU_TANH},
    .keys = {BERT_KEYS, .types = BERT_TYPES},
    .names = {BERT_EMBEDDINGS, .type = BERT_TYPE_TABLE, BERT_ATTENTION, BERT_FEED_FORWARD},
    .heads = {{.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .out = "classifier.out_proj"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA, .out = "qa_outputs"},
              {BERT_MLM_HEAD}},
    .configure = configure,
};
