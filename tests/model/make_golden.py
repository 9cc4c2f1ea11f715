#!/usr/bin/env python3
"""Writes tests/golden/FAMILY: a small model of each family with random weights, and what `transformers` makes of some
texts: hidden states of every layer and the output of every head. Needs torch, transformers, safetensors, numpy; the
tests that read these files need none of them.

    tests/model/make_golden.py tests/golden [FAMILY ...]
"""
import json, os, sys
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

out = sys.argv[1]
only = sys.argv[2:]
torch.manual_seed(7)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = dict(vocab_size=61, num_labels=3)
BERT = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40, max_position_embeddings=19)
FAMILIES = {
    "bert": ("bert", "Bert", BERT, "cls"),
    "distilbert": ("distilbert", "DistilBert", dict(dim=24, n_layers=3, n_heads=3, hidden_dim=40, max_position_embeddings=19), "cls"),
    "electra": ("electra", "Electra", dict(BERT, embedding_size=16), "cls"),
    "roberta": ("roberta", "Roberta", dict(BERT, max_position_embeddings=21, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5), "s"),
    "xlm-roberta": ("xlm-roberta", "XLMRoberta", dict(BERT, max_position_embeddings=21, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5), "s"),
    "albert": ("albert", "Albert", dict(BERT, embedding_size=16, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2), "cls"),
    "mpnet": ("mpnet", "MPNet", dict(BERT, max_position_embeddings=21, pad_token_id=1, layer_norm_eps=1e-5), "s"),
    "longformer": ("longformer", "Longformer", dict(BERT, max_position_embeddings=21, pad_token_id=1, sep_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5, attention_window=4), "s"),
    "bigbird": ("big_bird", "BigBird", dict(BERT, max_position_embeddings=20, attention_type="block_sparse", block_size=2, num_random_blocks=1, hidden_act="gelu_new", sep_token_id=3), "cls"),
    "modernbert": ("modernbert", "ModernBert", dict(BERT, num_hidden_layers=4, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=4, classifier_pooling="mean"), "cls"),
    "modernbert-cls": ("modernbert", "ModernBert", dict(BERT, num_hidden_layers=3, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=6, attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True, layer_types=["sliding_attention", "sliding_attention", "full_attention"]), "cls"),
    "xlnet": ("xlnet", "XLNet", dict(d_model=24, n_layer=3, n_head=3, d_inner=40, pad_token_id=0), "xlnet"),
    "fnet": ("fnet", "FNet", dict({k: v for k, v in BERT.items() if k != "num_attention_heads"}, type_vocab_size=4, pad_token_id=0, bos_token_id=2, eos_token_id=3), "cls"),
    "nystromformer": ("nystromformer", "Nystromformer", dict(BERT, max_position_embeddings=19, num_landmarks=5, segment_means_seq_len=15, conv_kernel_size=5, pad_token_id=1, bos_token_id=0, eos_token_id=2, hidden_act="gelu_new"), "s"),
    "mobilebert": ("mobilebert", "MobileBert", dict(BERT, embedding_size=12, intra_bottleneck_size=18, num_feedforward_networks=3, classifier_activation=False), "cls"),
    "mobilebert-tiny": ("mobilebert", "MobileBert", dict(BERT, embedding_size=12, intra_bottleneck_size=18, num_feedforward_networks=2, use_bottleneck_attention=True, normalization_type="layer_norm", hidden_act="gelu"), "cls"),
    "mobilebert-plain": ("mobilebert", "MobileBert", dict(BERT, embedding_size=12, intra_bottleneck_size=24, num_feedforward_networks=1, key_query_shared_bottleneck=False, trigram_input=False), "cls"),
    "funnel": ("funnel", "Funnel", dict(block_sizes=[2, 1, 2], block_repeats=[1, 2, 1], num_decoder_layers=2, d_model=24, n_head=3, d_head=8, d_inner=40, type_vocab_size=3), "funnel"),
    "funnel-plain": ("funnel", "Funnel", dict(block_sizes=[1, 1, 1], num_decoder_layers=1, d_model=24, n_head=3, d_head=8, d_inner=40, type_vocab_size=3, separate_cls=False, pooling_type="max", attention_type="factorized"), "funnel"),
    "funnel-whole": ("funnel", "Funnel", dict(block_sizes=[1, 1, 1], num_decoder_layers=1, d_model=24, n_head=3, d_head=8, d_inner=40, type_vocab_size=3, truncate_seq=False), "funnel"),
}
TEXTS = [("a bc d", None), ("hello world foo", "bar qu"), ("zzz", None), ("a b c d e f g h i j k l m n o p q", None)]
LONGER = [("a b c d e f g", None), ("hello world foo", "bar qu wx"), ("a bc d e f g h i j k l m n", None), ("a b c d e f g h i j k l m n o p q", None)]
HEADS = ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM", "ForNextSentencePrediction"]


def tokenizer(kind, path):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if kind in ("cls", "funnel") else ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>"] if kind == "xlnet" else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocab = {t: i for i, t in enumerate(names + list(LETTERS) + ["##" + c for c in LETTERS] + list("0123"))}
    assert len(vocab) == 61
    unk = "[UNK]" if kind in ("cls", "funnel") else "<unk>"
    t = Tokenizer(models.WordPiece(vocab, unk_token=unk))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens(names)
    if kind == "cls":
        t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    elif kind == "funnel":
        t.post_processor = processors.TemplateProcessing("[CLS]:2 $A:0 [SEP]:0", "[CLS]:2 $A:0 [SEP]:0 $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    elif kind == "xlnet":
        t.post_processor = processors.TemplateProcessing("$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2", [("<cls>", 2), ("<sep>", 3)])
    else:
        t.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B:0 </s>:0", [("<s>", 0), ("</s>", 2)])
    t.save(path)
    return t


def randomize(model):
    # without norms behind layers, or without statistics in them, values would grow from layer to layer; with the many norms of these, so would rounding
    wide = {"no_norm": 0.12, "layer_norm": 0.2}.get(getattr(model.config, "normalization_type", ""), 0.2 if model.config.model_type == "modernbert" else 0.3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * (wide if p.ndim > 1 else 0.2) + (1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0))


for name, (kind, prefix, settings, special) in FAMILIES.items():
    if only and name not in only: continue
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    t = tokenizer(special, os.path.join(folder, "tokenizer.json"))
    config = AutoConfig.for_model(kind, **SIZES, **settings)
    if kind != "funnel": config._attn_implementation = "eager"
    weights, cases, base = {}, [], None
    labels = 2 if name == "modernbert-cls" else 3  # its questions share their head's name with other tasks
    for head in ["Model"] + [h for h in HEADS if kind != "xlnet" or h != "ForQuestionAnswering"] + ["ForQuestionAnsweringSimple", "LMHeadModel"] * (kind == "xlnet"):
        class_name = prefix + head
        if not hasattr(transformers, class_name): continue
        if name == "modernbert" and head == "ForQuestionAnswering": continue
        config.num_labels = 2 if "QuestionAnswering" in head else labels
        model = getattr(transformers, class_name)(config).eval()
        randomize(model)
        state = model.state_dict()
        if head == "Model":
            key = model.base_model_prefix
            body = {f"{key}.{k}": v for k, v in state.items()}
            weights.update(body)
        # the body, and whatever other heads brought, is shared
        state = {k: weights.get(k, v) for k, v in state.items()}
        if head == "Model": state = {k: weights[f"{key}.{k}"] for k in state}
        model.load_state_dict(state)
        if head != "Model": weights.update({k: v for k, v in state.items() if k not in weights})
        t.enable_truncation({"funnel": 512, "xlnet": 512, "big_bird": 20}.get(kind, 19))
        for text, pair in LONGER if kind in ("funnel", "xlnet") else TEXTS + [("a b c d e f g h i j k l m n o", None)] * (kind == "big_bird") + [("a b c d e f g h i j k l m", None), ("a b c d e f", "g h i j k")] * (kind == "nystromformer"):
            e = t.encode(text) if pair is None else t.encode(text, pair)
            if head == "ForNextSentencePrediction" and pair is None: continue
            inputs = dict(input_ids=torch.tensor([e.ids]), attention_mask=torch.ones(1, len(e.ids), dtype=torch.long))
            if kind == "fnet": del inputs["attention_mask"]
            if kind in ("bert", "electra", "albert", "funnel", "mobilebert", "big_bird", "fnet", "xlnet"): inputs["token_type_ids"] = torch.tensor([e.type_ids])
            if kind == "big_bird": getattr(model, "bert", model).set_attention_type("block_sparse")  # a short text makes a model's attention dense for good
            if kind == "nystromformer" and len(e.ids) != config.segment_means_seq_len: continue
            try:
                with torch.no_grad(): o = model(**inputs, output_hidden_states=True)
            except (AssertionError, RuntimeError) as e:  # transformers' Funnel has no positions for some short texts; Longformer's questions need a pair
                print(class_name, inputs["input_ids"].shape[1], "tokens:", e)
                continue
            if head == "Model" and kind == "funnel":
                continue  # its states are of many lengths; every head stands on them
            elif head == "Model":
                # ALBERT reports a state a group of inner layers; the last one is compared
                values = torch.stack([h[0, :len(e.ids)] for h in o.hidden_states])
            elif kind == "big_bird" and head == "ForQuestionAnswering":
                # the class itself takes 1e6 from the question's logits, which leaves few digits
                with torch.no_grad(): values = model.qa_classifier(model.bert(**inputs).last_hidden_state)[0]
            elif "QuestionAnswering" in head:
                values = torch.stack([o.start_logits[0], o.end_logits[0]], -1)
            else:
                values = o.logits[0]
            cases.append({"architecture": class_name, "text": text, "pair": pair, "shape": list(values.shape), "values": [float(f"{v:.6g}") for v in values.flatten().tolist()]})
    drop = [k for k in weights if "position_ids" in k or k.endswith("decoder.weight") or (k.endswith("decoder.bias") and kind != "modernbert") or k in ("vocab_projector.weight", "generator_lm_head.weight") or (kind == "funnel" and k == "lm_head.weight") or k == "lm_loss.weight" or "token_type_ids" in k]
    save_file({k: v.clone().contiguous() for k, v in weights.items() if k not in drop}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    config.num_labels = labels
    d = config.to_dict()
    d["architectures"] = [prefix + "Model"]
    json.dump(d, open(os.path.join(folder, "config.json"), "w"), indent=1, sort_keys=True)
    json.dump(cases, open(os.path.join(folder, "expected.json"), "w"))
    print(name, len(weights), "tensors,", len(cases), "cases", sorted(k for k in weights if k not in drop and not any(s in k for s in ("layer", "embeddings"))))
