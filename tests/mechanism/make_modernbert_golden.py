#!/usr/bin/env python3
"""Writes tests/golden/modern: a small ModernBERT, and what `transformers` makes of some texts: rows, and the gradients of a
weighted sum of them. Needs torch, transformers, safetensors and numpy; the test that reads the files needs none of them.

    tests/mechanism/make_modernbert_golden.py tests/golden
"""
import json, pathlib, shutil, sys

import numpy, torch
from safetensors.numpy import save_file
from transformers import ModernBertConfig, ModernBertModel

OUT = pathlib.Path(sys.argv[1])
LENGTHS = [4, 19, 11]
torch.manual_seed(5)
config = ModernBertConfig(vocab_size=61, hidden_size=24, num_hidden_layers=4, num_attention_heads=3, intermediate_size=40, max_position_embeddings=20, pad_token_id=0, cls_token_id=2,
                          sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=6, norm_bias=True, attention_bias=True, attn_implementation="eager")
model = ModernBertModel(config).train()
for value in model.parameters():
    value.data += torch.randn_like(value) * 0.15
ids = torch.randint(5, 61, (len(LENGTHS), max(LENGTHS)))
mask = torch.tensor([[int(i < n) for i in range(max(LENGTHS))] for n in LENGTHS])
rows = model(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
weights = torch.randn_like(rows)
(rows * weights).sum().backward()
folder = OUT / "modern"
folder.mkdir(parents=True, exist_ok=True)
named = dict(model.named_parameters())
save_file({n: v.detach().numpy().copy() for n, v in named.items()}, folder / "model.safetensors")
written = config.to_dict()
written["architectures"] = ["ModernBertModel"]
written.pop("transformers_version", None)
(folder / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
shutil.copy(OUT / "bert/tokenizer.json", folder)
expected = {"ids": ids[mask.bool()].numpy().astype(numpy.int32), "lengths": numpy.array(LENGTHS, numpy.int32), "weights": weights.numpy(), "plain": rows.detach().numpy()}
expected.update({"grad." + n: v.grad.numpy() for n, v in named.items()})
save_file({n: numpy.ascontiguousarray(v) for n, v in expected.items()}, folder / "expected.safetensors")
print(len(named), "tensors, largest row value", float(rows.abs().max()))
