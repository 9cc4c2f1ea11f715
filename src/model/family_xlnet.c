/* XLNet (Yang et al. 2019) in its bidirectional form: attention by relative positions and segments as Transformer-XL
 * has it, without absolute positions; the token that heads for sequences read, <cls>, is the last one. The second
 * stream of its pre-training, which predicts a token from the others, is not run: the masked-LM head answers, as that
 * of XLNetLMHeadModel without a mapping of targets, from the states of the tokens themselves. */
#include <string.h>

#include "attention/softmax_attention.h"
#include "model/family.h"

static const json_refusal refused[] = {{"bi_data", "half of the rows would be reversed"},
                                       {"same_length", "all rows would see equally many"},
                                       {NULL, NULL}};

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    const char *type, *summary, *of_head;
    size_t head_size;
    bool projects;
    TRY(json_refuse(json, refused, error));
    if (config->heads == 0) return fail(error, RUBATO_BAD_MODEL, "\"n_head\" is 0");
    TRY(json_get_size(&head_size, json, "d_head", config->hidden / config->heads, error));
    if (head_size == 0 || config->hidden != config->heads * head_size)
        return fail(error, RUBATO_UNSUPPORTED, "d_model %zu with %zu heads of %zu", config->hidden, config->heads,
                    head_size);
    if (config->hidden % 2 != 0) return fail(error, RUBATO_BAD_MODEL, "d_model %zu is odd", config->hidden);
    TRY(json_get_text(&type, json, "attn_type", "bi", error));
    if (strcmp(type, "bi") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "attn_type \"%.40s\": the bidirectional form \"bi\" is run", type);
    const json_t *clamp = json_object_get(json, "clamp_len");
    if (clamp && json_integer_value(clamp) > 0)
        return fail(error, RUBATO_UNSUPPORTED, "clamp_len %lld: distances are not clamped here",
                    (long long)json_integer_value(clamp));
    TRY(json_get_text(&summary, json, "summary_type", "last", error));
    TRY(json_get_bool(&projects, json, "summary_use_proj", true, error));
    TRY(json_get_text(&of_head, json, "summary_activation", "tanh", error));
    const bool last = strcmp(summary, "last") == 0, mean = strcmp(summary, "mean") == 0;
    if (!last && !mean && strcmp(summary, "first") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "summary_type \"%.40s\": last, first and mean are known", summary);
    if (!projects || strcmp(of_head, "tanh") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "%s: the head for sequences is projected, and tanh follows",
                    projects ? "summary_activation" : "summary_use_proj");
    config->last_head = last;
    config->mean_head = mean;
    config->merging.with_first = true;
    softmax_choose(&config->attention, (softmax_setting){.relative = true, .form = {.same_first = true}});
    config->positions = 512; /* the length with which the published models were trained; no weight depends on it */
    return RUBATO_OK;
}

#define ATTENTION "layer.%zu.rel_attn"

const family family_xlnet = {
    .name = "xlnet",
    .qa_class = "ForQuestionAnsweringSimple",
    .mlm_class = "LMHeadModel",
    .model_types = {"xlnet"},
    .class_names = {"XLNet"},
    .prefixes = {"transformer."},
    .defaults = {.layers = 24,
                 .hidden = 1024,
                 .heads = 16,
                 .inner = 4096,
                 .vocabulary = 32000,
                 .positions = 512,
                 .types = 3, /* of the first text, of the second, of <cls> */
                 .pad = 5,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU},
    .keys = {.layers = "n_layer",
             .hidden = "d_model",
             .heads = "n_head",
             .inner = "d_inner",
             .epsilon = "layer_norm_eps",
             .act = "ff_activation",
             .hidden_dropout = "dropout",
             .attention_dropout = "dropout"},
    .names = {.word = "word_embedding",
              .query = ATTENTION ".q",
              .key = ATTENTION ".k",
              .value = ATTENTION ".v",
              .attention_out = ATTENTION ".o",
              .attention_norm = ATTENTION ".layer_norm",
              .relative_terms = ATTENTION,
              .relative_kernel = "r",
              .bare = true,
              .up = "layer.%zu.ff.layer_1",
              .down = "layer.%zu.ff.layer_2",
              .output_norm = "layer.%zu.ff.layer_norm"},
    .heads =
        {{.kind = HEAD_SEQUENCE, .dense = "sequence_summary.summary", .act = ACTIVATION_TANH, .out = "logits_proj"},
         {.kind = HEAD_TOKEN, .out = "classifier"},
         {.kind = HEAD_QA, .out = "qa_outputs"},
         {.kind = HEAD_MLM, .out = "lm_loss"}},
    .configure = configure,
};
