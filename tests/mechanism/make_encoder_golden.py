#!/usr/bin/env python3
"""Writes tests/golden/modern, fourier, nystrom, permuted, reversed and pooled: a small ModernBERT, FNet, Nystromformer, XLNet, Reformer, and BERT
with a head that pools by attention (PMA of the Set Transformer, written here from its paper), and what `transformers` makes of some texts:
rows, and the gradients of a weighted sum of them. Needs torch, transformers, safetensors and numpy; the test that reads the files needs
none of them.

    tests/mechanism/make_encoder_golden.py tests/golden [FOLDER ...]
"""
import json, pathlib, shutil, sys

import numpy, torch
from safetensors.numpy import save_file
from transformers import BertConfig, BertForSequenceClassification, FNetConfig, FNetModel, ModernBertConfig, ModernBertModel, NystromformerConfig, NystromformerModel, ReformerConfig, ReformerModel, XLNetConfig, XLNetModel

OUT, ONLY = pathlib.Path(sys.argv[1]), sys.argv[2:]
LENGTHS = [4, 19, 11]
SIZES = dict(vocab_size=61, hidden_size=24, num_hidden_layers=4, intermediate_size=40, max_position_embeddings=20, pad_token_id=0, bos_token_id=2, eos_token_id=3)


def modern():
    return ModernBertModel(ModernBertConfig(**SIZES, num_attention_heads=3, cls_token_id=2, sep_token_id=3, local_attention=6, norm_bias=True, attention_bias=True, attn_implementation="eager"))


def fourier(): return FNetModel(FNetConfig(**{**SIZES, "hidden_size": 25, "num_hidden_layers": 3}, hidden_dropout_prob=0.0))  # an odd number of columns


def nystrom(): return NystromformerModel(NystromformerConfig(**SIZES, num_attention_heads=3, num_landmarks=4, segment_means_seq_len=12, conv_kernel_size=5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def permuted(): return XLNetModel(XLNetConfig(vocab_size=61, d_model=24, n_layer=3, n_head=3, d_inner=40, pad_token_id=0, dropout=0.0))


def reversed_streams():
    return ReformerModel(ReformerConfig(vocab_size=61, hidden_size=24, num_attention_heads=3, attention_head_size=10, feed_forward_size=40, attn_layers=["local", "lsh", "lsh"], num_hashes=2, num_buckets=4, hash_seed=3, lsh_attn_chunk_length=4,
                                        local_attn_chunk_length=3, axial_pos_embds_dim=[10, 14], axial_pos_shape=[4, 3], max_position_embeddings=12, pad_token_id=0, hidden_dropout_prob=0.0, lsh_attention_probs_dropout_prob=0.0,
                                        local_attention_probs_dropout_prob=0.0))


class Pooled(BertForSequenceClassification):
    """Its rows are the logits of texts."""

    def __init__(self, config):
        super().__init__(config)
        size, self.wide = config.hidden_size, config.num_attention_heads
        pma = torch.nn.Module()
        pma.seed = torch.nn.Parameter(torch.randn(1, size))
        pma.query, pma.key, pma.value, pma.feed_forward = (torch.nn.Linear(size, size) for _ in range(4))
        pma.attention_norm, pma.output_norm = (torch.nn.LayerNorm(size, eps=config.layer_norm_eps) for _ in range(2))
        self.pooling_attention = pma

    def text(self, ids):
        p, rows = self.pooling_attention, self.bert(input_ids=ids).last_hidden_state[0]
        size = rows.shape[1]
        q, k, v = p.query(p.seed), p.key(rows), p.value(rows)
        q, k, v = (x.view(-1, self.wide, size // self.wide).transpose(0, 1) for x in (q, k, v))
        h = p.attention_norm((q + ((q @ k.transpose(1, 2)) / size**0.5).softmax(-1) @ v).transpose(0, 1).reshape(1, size))
        h = p.output_norm(h + torch.relu(p.feed_forward(h)))
        return self.classifier(torch.tanh(self.bert.pooler.dense(h)))


def pooled(): return Pooled(BertConfig(**{k: v for k, v in SIZES.items() if not k.endswith(("bos_token_id", "eos_token_id"))} | {"num_hidden_layers": 2}, num_attention_heads=3, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def run(model, ids, mask, types):
    if isinstance(model, Pooled): return torch.cat([model.text(ids[i:i + 1, :n]) for i, n in enumerate(mask.sum(1))])
    if types is not None: return torch.cat([model(input_ids=ids[i:i + 1, :n], token_type_ids=types[i:i + 1, :n]).last_hidden_state[0] for i, n in enumerate(mask.sum(1))])
    if model.config.model_type == "modernbert": return model(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
    return torch.cat([model(input_ids=ids[i:i + 1, :n]).last_hidden_state[0] for i, n in enumerate(mask.sum(1))])  # alone: rows of padding and other texts change the others


for name, make, lengths in (("modern", modern, LENGTHS), ("fourier", fourier, LENGTHS), ("nystrom", nystrom, [12, 12]), ("permuted", permuted, LENGTHS), ("reversed", reversed_streams, [12, 12]), ("pooled", pooled, LENGTHS)):
    if ONLY and name not in ONLY: continue
    torch.manual_seed(5)
    model = make().train()
    for value in model.parameters():
        value.data += torch.randn_like(value) * 0.15
    ids = torch.randint(5, 61, (len(lengths), max(lengths)))
    mask = torch.tensor([[int(i < n) for i in range(max(lengths))] for n in lengths])
    types = torch.tensor([[2 if i + 1 == n else int(i > n // 2) for i in range(max(lengths))] for n in lengths]) if name == "permuted" else None
    rows = run(model, ids, mask, types)
    weights = torch.randn_like(rows)
    (rows * weights).sum().backward()
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    named = {n: v for n, v in model.named_parameters() if not n.startswith("pooler") and v.grad is not None}
    if name == "pooled": named["bert.embeddings.token_type_embeddings.weight"] = model.bert.embeddings.token_type_embeddings.weight
    save_file({n: v.detach().numpy().copy() for n, v in named.items()}, folder / "model.safetensors")
    written = model.config.to_dict()
    written["architectures"] = [type(model).__name__ if name != "pooled" else "BertForSequenceClassification"]
    if name == "pooled": written.update(model_type="rubato-bert", head_pooling="attention")
    written.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    shutil.copy(OUT / "bert/tokenizer.json", folder)
    expected = {"ids": ids[mask.bool()].numpy().astype(numpy.int32), "lengths": numpy.array(lengths, numpy.int32), "weights": weights.numpy(), "plain": rows.detach().numpy()}
    if types is not None: expected["types"] = types[mask.bool()].numpy().astype(numpy.int32)
    expected.update({"grad." + n.removeprefix("bert."): v.grad.numpy() for n, v in named.items()})
    save_file({n: numpy.ascontiguousarray(v) for n, v in expected.items()}, folder / "expected.safetensors")
    print(name, len(named), "tensors, largest row value", float(rows.detach().abs().max()))
