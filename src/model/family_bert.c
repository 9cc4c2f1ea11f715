/* BERT (Devlin et al. 2018), and models with its layout: MiniLM, KLUE-BERT, KoBERT, BGE, E5. */
#include "model/family.h"

const family family_bert = {
    .name = "bert",
    .causal_class = "LMHeadModel",
    .model_types = {"bert"},
    .class_names = {"Bert"},
    .prefixes = {"bert."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 30522,
                 .positions = 512,
                 .types = 2,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU},
    .keys = {BERT_KEYS, .types = BERT_TYPES},
    .names = {BERT_EMBEDDINGS, .type = BERT_TYPE_TABLE, BERT_ATTENTION, BERT_FEED_FORWARD},
    .heads = {BERT_HEADS},
};
