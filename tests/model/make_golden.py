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
from transformers.models.reformer.modeling_reformer import LSHSelfAttention
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

out = sys.argv[1]
only = sys.argv[2:]
torch.manual_seed(7)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = dict(vocab_size=61, num_labels=3)
BERT = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40, max_position_embeddings=19)
REFORMER = dict(hidden_size=24, num_attention_heads=3, attention_head_size=10, feed_forward_size=40, axial_pos_embds_dim=[10, 14], axial_pos_shape=[4, 8], max_position_embeddings=32, is_decoder=False, pad_token_id=0)
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
    "nomic": ("nomic_bert", "NomicBert", BERT, "cls"),
    "nomic-first": ("nomic_bert", "NomicBert", BERT, "cls"),
    "gte": ("gte", "Gte", dict(BERT, pad_token_id=1), "s"),
    "gte-first": ("gte", "Gte", dict(BERT, pad_token_id=1, rope_parameters={"rope_theta": 500.0, "rope_type": "default"}), "s"),
    "jina-v3": ("jina_embeddings_v3", "JinaEmbeddingsV3", dict(BERT, pad_token_id=1), "s"),
    "jina-bert": ("bert", "Bert", BERT, "cls"),
    "reformer": ("reformer", "Reformer", dict(REFORMER, attn_layers=["local", "lsh", "lsh", "local"], num_hashes=2, num_buckets=4, hash_seed=3, lsh_attn_chunk_length=4, local_attn_chunk_length=4), "cls"),
    "reformer-factors": ("reformer", "Reformer", dict(REFORMER, attn_layers=["lsh", "local", "lsh"], num_hashes=1, num_buckets=[2, 4], hash_seed=11, lsh_attn_chunk_length=4, local_attn_chunk_length=2, local_num_chunks_after=1, axial_pos_embds=False, max_position_embeddings=32), "cls"),
    "reformer-lsh": ("reformer", "Reformer", dict(REFORMER, attn_layers=["lsh", "lsh"], num_hashes=3, num_buckets=None, hash_seed=0, lsh_attn_chunk_length=3, lsh_num_chunks_after=1), "cls"),
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


# ---- Checkpoints under their authors' names and keys ----

def renamed(weights, *names):
    """The weights under other names. A list of names stands in one tensor."""
    parts = {}
    for key, value in weights.items():
        place = 0
        for old, new in names:
            for i, one in enumerate(old if isinstance(old, list) else [old]):
                if one in key: key, place = key.replace(one, new), i
        parts.setdefault(key, {})[place] = value
    return {key: torch.cat([p for _, p in sorted(found.items())]) for key, found in parts.items()}


QKV = [f"self_attn.{x}_proj" for x in "qkv"]
RENAMED = {
    "jina-bert": lambda w: renamed(w, *((f"output.{x}", f"mlp.{x}") for x in ("gated_layers", "wo", "layernorm"))),
    "nomic-first": lambda w: renamed(w, ("nomic_bert.", "bert."), ("layers.", "encoder.layers."), ("embeddings.LayerNorm", "emb_ln"), (QKV, "attn.Wqkv"), ("self_attn.o_proj", "attn.out_proj"), ("up_proj", "fc11"), ("gate_proj", "fc12"),
                                     ("down_proj", "fc2"), ("post_attention_layernorm", "norm1"), ("post_mlp_layernorm", "norm2")),
    "gte-first": lambda w: renamed(w, ("gte.", "new."), ("layers.", "encoder.layer."), (QKV, "attention.qkv_proj"), ("self_attn.o_proj", "attention.o_proj"), (["mlp.up_proj", "mlp.gate_proj"], "mlp.up_gate_proj"), ("post_attention_layernorm", "attn_ln"),
                                   ("post_mlp_layernorm", "mlp_ln"), ("lm_head.layer_norm", "lm_head.norm")),
}
KEYS = {"nomic-first": lambda c: {"model_type": "nomic_bert", "n_embd": 24, "n_layer": 3, "n_head": 3, "n_inner": 40, "n_positions": 64, "max_trained_positions": 19, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "activation_function": "swiglu", "prenorm": False,
                                  "layer_norm_epsilon": 1e-12, "vocab_size": 61, "type_vocab_size": 2, "pad_token_id": 0, "qkv_proj_bias": False, "id2label": c["id2label"], "label2id": c["label2id"]},
        "gte-first": lambda c: {**{k: v for k, v in c.items() if k != "rope_parameters"}, "model_type": "new", "position_embedding_type": "rope", "rope_theta": 500.0, "rope_scaling": {"type": "ntk", "factor": 2.0}, "pack_qkv": True, "layer_norm_type": "layer_norm"},
        "jina-bert": lambda c: {**c, "position_embedding_type": "alibi", "feed_forward_type": "geglu"}}


class Glu(torch.nn.Module):
    """JinaBERT's feed-forward part, in the place of BERT's second half."""

    def __init__(self):
        super().__init__()
        self.gated_layers, self.wo, self.layernorm = torch.nn.Linear(24, 80, bias=False), torch.nn.Linear(40, 24), torch.nn.LayerNorm(24, eps=1e-12)

    def forward(self, hidden_states, input_tensor):
        active, plain = self.gated_layers(input_tensor).chunk(2, -1)
        return self.layernorm(self.wo(torch.nn.functional.gelu(active) * plain) + input_tensor)


def changed(name, model):
    """The parts of these models that transformers does not have."""
    body = getattr(model, model.base_model_prefix, model)
    if name == "gte-first":  # the factor of 2 makes theta twice as large, and all turns 2^(2 / head size) times slower
        body.rotary_emb.inv_freq = 1 / 1000 ** (torch.arange(0, 8, 2) / 8) / 2 ** (2 / 8)
    if name == "jina-bert":
        body.embeddings.position_embeddings = torch.nn.Embedding(19, 24)
        for layer in body.encoder.layer: layer.intermediate, layer.output = torch.nn.Identity(), Glu()


def biased(length):
    """The biases of ALiBi for three heads: two of the slopes for two heads, and the first of those for four."""
    far = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    return -torch.tensor([2**-4, 2**-8, 2**-2])[:, None, None] * far


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
    wide = {"no_norm": 0.12, "layer_norm": 0.2}.get(getattr(model.config, "normalization_type", ""), 0.2 if model.config.model_type in ("modernbert", "nomic_bert", "gte", "reformer") or any(isinstance(m, Glu) for m in model.modules()) else 0.3)
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
        model = getattr(transformers, class_name)(config)
        changed(name, model)
        model.eval()
        randomize(model)
        if name == "jina-bert": getattr(model, model.base_model_prefix, model).embeddings.position_embeddings.weight.data.zero_()
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
        t.enable_truncation({"funnel": 512, "xlnet": 512, "big_bird": 20, "reformer": 32}.get(kind, 19))
        for text, pair in LONGER if kind in ("funnel", "xlnet", "reformer") else TEXTS + [("a b c d e f g h i j k l m n o", None)] * (kind == "big_bird") + [("a b c d e f g h i j k l m", None), ("a b c d e f", "g h i j k")] * (kind == "nystromformer"):
            e = t.encode(text) if pair is None else t.encode(text, pair)
            if head == "ForNextSentencePrediction" and pair is None: continue
            inputs = dict(input_ids=torch.tensor([e.ids]), attention_mask=torch.ones(1, len(e.ids), dtype=torch.long))
            if name == "jina-bert": inputs["attention_mask"] = biased(len(e.ids))[None]
            if kind == "fnet": del inputs["attention_mask"]
            if kind in ("bert", "electra", "albert", "funnel", "mobilebert", "big_bird", "fnet", "xlnet", "nomic_bert"): inputs["token_type_ids"] = torch.tensor([e.type_ids])
            if kind == "big_bird": getattr(model, "bert", model).set_attention_type("block_sparse")  # a short text makes a model's attention dense for good
            if kind == "reformer":
                for layer in model.modules():  # the first text would decide the number of buckets for all
                    if isinstance(layer, LSHSelfAttention): layer.num_buckets = settings["num_buckets"]
            if kind == "nystromformer" and len(e.ids) != config.segment_means_seq_len: continue
            try:
                with torch.no_grad(): o = model(**inputs, output_hidden_states=True)
            except (AssertionError, RuntimeError) as e:  # transformers' Funnel has no positions for some short texts; Longformer's questions need a pair
                print(class_name, inputs["input_ids"].shape[1], "tokens:", e)
                continue
            if head == "Model" and kind in ("funnel", "reformer"):
                continue  # states of many lengths, or of one stream of two; every head stands on them
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
    drop = [k for k in weights if "position_ids" in k or (k.endswith("decoder.weight") and kind != "reformer") or (k.endswith("decoder.bias") and kind not in ("modernbert", "gte", "reformer")) or k in ("vocab_projector.weight", "generator_lm_head.weight") or (kind == "funnel" and k == "lm_head.weight") or k == "lm_loss.weight" or "token_type_ids" in k]
    weights = {k: v for k, v in weights.items() if k not in drop and not (name == "jina-bert" and "position_embeddings" in k)}
    if name in RENAMED: weights = RENAMED[name](weights)
    save_file({k: v.clone().contiguous() for k, v in weights.items() if k not in drop}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    config.num_labels = labels
    d = config.to_dict()
    if kind == "reformer": d["num_buckets"] = settings["num_buckets"]  # a text has written its own number there
    if name in KEYS: d = KEYS[name](d)
    d["architectures"] = [prefix + "Model"]
    json.dump(d, open(os.path.join(folder, "config.json"), "w"), indent=1, sort_keys=True)
    json.dump(cases, open(os.path.join(folder, "expected.json"), "w"))
    print(name, len(weights), "tensors,", len(cases), "cases", sorted(k for k in weights if k not in drop and not any(s in k for s in ("layer", "embeddings"))))
