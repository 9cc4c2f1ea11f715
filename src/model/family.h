/* The description of a checkpoint family: the names of its configuration keys and tensors, its defaults, its heads.
 * There is one file for each family; a new family needs such a table and a line in families.c. */
#ifndef RUBATO_MODEL_FAMILY_H
#define RUBATO_MODEL_FAMILY_H

#include "base/foreign.h"
#include "base/json.h"
#include "elastic/merge.h"
#include "model/activation_names.h"
#include "store/part.h"

enum { MOST_BLOCKS = 16, MOST_UNEVEN = 64 };

/* The heads and the inner width of one layer. */
typedef struct layer_widths {
    uint32_t heads, inner;
} layer_widths;

typedef struct encoder_config {
    const char *family;
    size_t layers, hidden, heads, inner, vocabulary, positions, types;
    size_t embedding; /* width of the embedding tables; 0: hidden */
    size_t words;     /* width of the word embeddings alone, which are projected to `embedding`; 0: that */
    size_t narrow;    /* MobileBERT: width of attention and feed-forward parts within a layer; 0: hidden */
    bool trigrams;    /* the embeddings of the next and the previous token stand beside a token's own */
    bool late_places; /* positions and types are added behind the projection, and have its width */
    bool plain_norms; /* norms of embeddings and layers have no statistics */
    bool no_pooler;   /* heads for sequences read the first row as it is */
    struct {
        size_t rows, width;
    } axes[2];             /* tables of axial positions; rows 0: there are none */
    size_t first_position; /* position of the first token, after the pad's row (RoBERTa, MPNet) */
    size_t uncounted;      /* rows of positions that config.json does not count (Nyströmformer) */
    bool count_pads;       /* pad tokens in a text have no position of their own (RoBERTa) */
    int32_t pad;
    float epsilon;
    float embedding_epsilon;     /* of the embeddings' norm; 0: epsilon */
    bool untied;                 /* a masked-LM decoder has weights of its own */
    activation act, head_act;    /* head_act: of heads; ACTIVATION_NONE: act */
    size_t groups, inner_layers; /* ALBERT: layers that share weights; 0: every layer has its own */
    /* Funnel-Transformer: layers form blocks, and rows merge between blocks; 0 blocks: no merging. */
    size_t blocks, block_size[MOST_BLOCKS], block_repeats[MOST_BLOCKS]; /* layers of each, and runs of each layer */
    size_t decoder_layers; /* layers after the last block, which see all rows again */
    /* Layers that differ, as those of a pruned model do; `heads` and `inner` are then those of a whole layer. */
    bool uneven;
    layer_widths widths[MOST_UNEVEN];        /* [layers] */
    float hidden_dropout, attention_dropout; /* in training */
    bool causal;                             /* no row sees later ones: a language model */
    merging merging;                         /* how rows merge, where they do */
    bool no_bias;                            /* new layers and norms have none */
    size_t attended;                         /* width of all heads of a layer together; 0: that of its rows */
    bool two_streams;   /* a row is two: attention reads the second and adds to the first, the feed-forward part the
                           other way around (reversible layers) */
    bool pre_norm;      /* norms stand before attention and feed-forward parts, and one behind all layers */
    bool first_norm;    /* with that, the first layer has a norm before attention too */
    bool mean_head;     /* heads for sequences read the mean of all rows */
    bool last_head;     /* heads for sequences read the last row (XLNet) */
    bool attended_head; /* heads for sequences read a learned row that sees all rows (pooling_attention.h) */
    double theta[2];    /* of rotary positions, in layers with `attention` and with `other_attention`; 0: none */
    double slower;      /* all of them turn so much slower; 0: 1 */
    part_choice attention, feeding; /* the mechanisms of all layers and their settings */
    part_choice other_attention; /* of the layers of other_attention_layers (bit i: layer i), instead of `attention` */
    uint64_t other_attention_layers;
    part_choice other_feeding; /* that of the layers of other_layers (bit i: layer i), instead of `feeding` */
    uint64_t other_layers;
} encoder_config;

/* Of the word embeddings alone, of models that Rubato made narrower. */
#define WORDS_KEY "word_embedding_size"
/* What heads for sequences read instead of what the family's do: "attention". */
#define HEAD_POOLING_KEY "head_pooling"
#define WORDS_PROJECTION "embeddings.word_projection"

/* transformers takes these names too, and before a family's own. */
#define SECOND_LAYERS "num_hidden_layers"
#define SECOND_HIDDEN "hidden_size"
#define SECOND_HEADS "num_attention_heads"

/* Keys of config.json, NULL where the family has none. */
typedef struct config_keys {
    const char *layers, *hidden, *heads, *inner, *positions, *types, *embedding, *epsilon, *act;
    const char *hidden_dropout, *attention_dropout; /* NULL: hidden_dropout_prob, attention_probs_dropout_prob */
    bool undropped;                                 /* both rates are 0 where config.json has none; else 0.1 */
} config_keys;

typedef enum head_kind { HEAD_SEQUENCE, HEAD_TOKEN, HEAD_QA, HEAD_MLM, HEAD_NSP, HEAD_REPLACED, HEAD_COUNT } head_kind;

/* HEAD_REPLACED says of each token whether another model put it there (ELECTRA).
 * rows -> (dense -> act -> down, + rows -> norm) -> out; each of the first stage's parts may be absent. */
typedef struct head_form {
    head_kind kind;
    const char *dense;
    bool prefixed;    /* dense has the model's prefix (BERT's pooler), unlike the rest of the head */
    activation act;   /* ACTIVATION_NONE: the model's own */
    const char *down; /* Big Bird's questions: after dense comes a product back to the states' width, and the states are
                         added; NULL: none */
    const char *norm, *out;
    const char *out_bias; /* a bias with a name of its own; NULL: out.bias */
    bool no_bias;         /* new layers and norms before the last one have none (ModernBERT) */
    const char *wide;     /* MobileBERT's decoder: its columns beyond those of the word embeddings, stored as
                             [columns, vocabulary]; NULL: there are none */
} head_form;

typedef struct family {
    const char *name;
    const char *causal_class; /* the end of the name of transformers' class for causal models; NULL: there is none */
    const char *qa_class, *mlm_class; /* the same of two heads; NULL: "ForQuestionAnswering", "ForMaskedLM" */
    const char *model_types[4];       /* config.json's model_type */
    const tensor_names *decoder;      /* layers after the last block, named by %zu; NULL: there are none */
    const char *class_names[4];       /* beginnings of transformers' class names, for each model type */
    const char *prefixes[4];          /* tried in order; "" is always tried last */
    encoder_config defaults;
    config_keys keys;
    tensor_names names;
    head_form heads[HEAD_COUNT + 1]; /* ended by a NULL out */
    /* A family under another one's model_type: config.json has this key, with this value (NULL: any). */
    const char *told_by, *told_value;
    const char *places; /* a position_embedding_type that it has; NULL: "absolute" alone */
    bool disguised;     /* its tensors have another family's names, so config.json alone tells it */
    /* Further settings; NULL for none. */
    rubato_status (*configure)(encoder_config *config, const json_t *json, rubato_error *error);
} family;

/* Names that most families share with BERT, for use in their tables. */
#define BERT_KEYS                                                                                                      \
    .layers = "num_hidden_layers", .hidden = "hidden_size", .heads = "num_attention_heads",                            \
    .inner = "intermediate_size", .positions = "max_position_embeddings", .epsilon = "layer_norm_eps",                 \
    .act = "hidden_act"
#define BERT_EMBEDDINGS                                                                                                \
    .word = "embeddings.word_embeddings", .position = "embeddings.position_embeddings",                                \
    .embedding_norm = "embeddings.LayerNorm"
#define BERT_ATTENTION                                                                                                 \
    .query = "encoder.layer.%zu.attention.self.query", .key = "encoder.layer.%zu.attention.self.key",                  \
    .value = "encoder.layer.%zu.attention.self.value", .attention_out = "encoder.layer.%zu.attention.output.dense",    \
    .attention_norm = "encoder.layer.%zu.attention.output.LayerNorm"
/* Those that transformers gives encoders with rotary positions (NomicBERT, GTE, Jina). */
#define ROTARY_NAMES                                                                                                   \
    .embedding_norm = "embeddings.LayerNorm", .query = "layers.%zu.self_attn.q_proj",                                  \
    .key = "layers.%zu.self_attn.k_proj", .value = "layers.%zu.self_attn.v_proj",                                      \
    .attention_out = "layers.%zu.self_attn.o_proj", .attention_norm = "layers.%zu.post_attention_layernorm",           \
    .output_norm = "layers.%zu.post_mlp_layernorm"
#define ROTARY_GATED                                                                                                   \
    .up = "layers.%zu.mlp.gate_proj", .gate = "layers.%zu.mlp.up_proj", .down = "layers.%zu.mlp.down_proj"
#define BERT_FEED_FORWARD                                                                                              \
    .up = "encoder.layer.%zu.intermediate.dense", .down = "encoder.layer.%zu.output.dense",                            \
    .output_norm = "encoder.layer.%zu.output.LayerNorm"
#define BERT_MLM_HEAD                                                                                                  \
    .kind = HEAD_MLM, .dense = "cls.predictions.transform.dense", .norm = "cls.predictions.transform.LayerNorm",       \
    .out = "cls.predictions.decoder", .out_bias = "cls.predictions.bias"
/* The heads of BERT for sequences and tokens, which other families have too; and all heads of BERT. */
#define BERT_TEXT_HEADS                                                                                                \
    {.kind = HEAD_SEQUENCE, .dense = "pooler.dense", .prefixed = true, .act = ACTIVATION_TANH, .out = "classifier"}, { \
        .kind = HEAD_TOKEN, .out = "classifier"                                                                        \
    }
#define BERT_HEADS                                                                                                     \
    BERT_TEXT_HEADS, {.kind = HEAD_QA, .out = "qa_outputs"}, {BERT_MLM_HEAD}, {                                        \
        .kind = HEAD_NSP, .dense = "pooler.dense", .prefixed = true, .act = ACTIVATION_TANH,                           \
        .out = "cls.seq_relationship"                                                                                  \
    }
#define BERT_TYPES "type_vocab_size"
#define BERT_TYPE_TABLE "embeddings.token_type_embeddings"

/* The heads that some families share with RoBERTa. */
#define ROBERTA_HEADS                                                                                                  \
    {.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .act = ACTIVATION_TANH, .out = "classifier.out_proj"},        \
        {.kind = HEAD_TOKEN, .out = "classifier"}, {.kind = HEAD_QA, .out = "qa_outputs"}, {                           \
        .kind = HEAD_MLM, .dense = "lm_head.dense", .act = ACTIVATION_GELU, .norm = "lm_head.layer_norm",              \
        .out = "lm_head.decoder", .out_bias = "lm_head.bias"                                                           \
    }

/* The width of rows between layers, which heads read. */
static inline size_t config_width(const encoder_config *config) {
    return config->two_streams ? 2 * config->hidden : config->hidden;
}

/* The heads and the inner width of a layer of its own weights. */
static inline layer_widths config_widths(const encoder_config *config, size_t number) {
    layer_widths whole = {(uint32_t)config->heads, (uint32_t)config->inner};
    return config->uneven ? config->widths[number] : whole;
}

/* The first mechanism of attention, or the other one. */
static inline const part_choice *config_mechanism(const encoder_config *config, bool other) {
    return other ? &config->other_attention : &config->attention;
}

/* The mechanism of a layer's attention, by the number of its weights. */
static inline const part_choice *config_attention(const encoder_config *config, size_t number) {
    return config_mechanism(config, number < MOST_UNEVEN && config->other_attention_layers >> number & 1);
}

/* The mechanism of a layer's feed-forward part, by the number of its weights. */
static inline const part_choice *config_feeding(const encoder_config *config, size_t number) {
    const bool other = number < MOST_UNEVEN && config->other_layers >> number & 1;
    return other ? &config->other_feeding : &config->feeding;
}

/* Notes in config.json what `transformers` does not have: mechanisms and their settings, widths of layers; and a
 * model_type that is refused there. Nothing for a family's plain model. */
rubato_status config_note(const encoder_config *config, json_t *json, rubato_error *error);

/* The family of a model_type, or NULL; and the family that config.json tells beside that, where one does. */
const family *family_find(const char *model_type);
const family *family_told(const family *found, const json_t *json);

/* The families in order; NULL behind the last. */
const family *family_at(size_t place);

/* The family of a class of transformers, such as "XLMRobertaForMaskedLM", and its model_type; or NULL. */
const family *family_of_class(const char *class_name, const char **model_type);

/* All model types, for messages: "bert, distilbert, ...". */
void family_list(char *out, size_t bytes);

/* Refuses keys of config.json that would change what every family computes. Fails: UNSUPPORTED. */
rubato_status config_refuse(const json_t *json, rubato_error *error);

/* Fails where the family or its attention has no causal form: UNSUPPORTED. */
rubato_status config_check_causal(const encoder_config *config, const family *kind, rubato_error *error);

/* Chooses dense attention with rotary positions of that theta, and gated feed-forward parts. */
void config_choose_rotary(encoder_config *config, double theta);

/* Reads theta of rotary positions from an object of config.json, {"rope_theta": ..., "rope_type": "default"}, NULL:
 * none is there; *out is what the family has otherwise. Fails: BAD_MODEL, UNSUPPORTED for other types. */
rubato_status config_read_theta(double *out, const json_t *rope, rubato_error *error);

/* Reads the attention of config.json. It is the attention of all layers, or of the layers in its list "layers". Fails:
 * BAD_MODEL, UNSUPPORTED. */
rubato_status config_parse_attention(encoder_config *config, const json_t *json, rubato_error *error);

/* Whether the model's heads can be reordered, and cut away (attending_sorts), of all layers. */
bool config_sorts_heads(const encoder_config *config);

/* As attending_check_length, of all layers. */
rubato_status config_check_length(const encoder_config *config, const char *model, rubato_error *error);

/* Reads the common settings of config.json. Fails: BAD_MODEL, UNSUPPORTED. */
rubato_status config_parse(encoder_config *config, const family *kind, const json_t *json, rubato_error *error);

#endif
