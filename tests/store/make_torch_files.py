#!/usr/bin/env python3
"""Makes tests/golden/torch with PyTorch and transformers: one small BERT in the files that torch.save writes, and one file
of tensors of every kind. Values are random but fixed.

    make_torch_files.py GOLDEN_FOLDER
"""
import json, os, shutil, sys

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM

golden = sys.argv[1]
out = os.path.join(golden, "torch")
os.makedirs(out, exist_ok=True)
path = lambda name: os.path.join(out, name)
plain = lambda tensors: {name: value.detach().clone().contiguous() for name, value in tensors.items()}
torch.manual_seed(1)

# ---- One tensor of every kind ----
table, pool = torch.randn(4, 3), torch.arange(12, dtype=torch.float32)
every = {"f32": torch.randn(2, 3), "f16": torch.randn(5).half(), "bf16": torch.randn(2, 2, 2).bfloat16(), "f64": torch.randn(3).double(),
         "i64": torch.arange(4).expand(1, 4), "i8": torch.tensor([-1, 2], dtype=torch.int8), "bool": torch.tensor([True, False, True]), "scalar": torch.tensor(2.5),
         "none": torch.zeros(0, 7), "table": table, "tied": table, "turned": torch.randn(3, 4).t(), "part": pool[4:8].view(2, 2), "steps": pool[1::3],
         "repeated": torch.tensor([1.0, 2.0]).expand(2, 2), "parameter": torch.nn.Parameter(torch.randn(2))}
save_file(plain(every), path("every.safetensors"))
for name, how in {"zip": {}, "zip-protocol-4": {"pickle_protocol": 4}, "legacy": {"_use_new_zipfile_serialization": False},
                  "legacy-protocol-5": {"_use_new_zipfile_serialization": False, "pickle_protocol": 5}}.items():
    torch.save({**every, "epoch": 3, "note": "not a tensor", "loss": 0.5, "seen": [1, -2, 1 << 40, 1 << 80, None, True]}, path(f"every.{name}.bin"), **how)

# ---- A model; its decoder is tied to the word embeddings ----
vocabulary = json.load(open(os.path.join(golden, "bert/config.json")))["vocab_size"]
config = BertConfig(vocab_size=vocabulary, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, max_position_embeddings=12, type_vocab_size=2)
model = BertForMaskedLM(config).eval()
for value in model.parameters(): value.data = torch.randn(value.shape) / 2
model.tie_weights()
state = model.state_dict()
assert state["cls.predictions.decoder.weight"].data_ptr() == state["bert.embeddings.word_embeddings.weight"].data_ptr()
config.save_pretrained(out)
written = json.load(open(path("config.json")))
json.dump({**written, "architectures": ["BertForMaskedLM"]}, open(path("config.json"), "w"), indent=2)
shutil.copy(os.path.join(golden, "bert/tokenizer.json"), path("tokenizer.json"))
save_file(plain(state), path("model.safetensors"))
torch.save(state, path("model.zip.bin"))
torch.save(state, path("model.legacy.bin"), _use_new_zipfile_serialization=False)
for name, kind in (("f16", torch.float16), ("bf16", torch.bfloat16)):
    torch.save({key: value.to(kind) for key, value in state.items()}, path(f"model.{name}.bin"))
# as files that were converted from TensorFlow: other names of LayerNorm's parts, and matrices that were turned
turn = lambda value: value.t().contiguous().t() if value.dim() == 2 else value
torch.save({key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): turn(value) for key, value in state.items()},
           path("model.tensorflow.bin"), _use_new_zipfile_serialization=False)
names, files = list(state), [f"pytorch_model-0000{i + 1}-of-00002.bin" for i in range(2)]
weight_map = {name: files[i * 2 // len(names)] for i, name in enumerate(names)}
for file in files: torch.save({name: state[name] for name in names if weight_map[name] == file}, path(file))
json.dump({"metadata": {}, "weight_map": weight_map}, open(path("pytorch_model.bin.index.json"), "w"), indent=1)
# a module of sentence-transformers
dense = {"linear.weight": torch.randn(5, 8), "linear.bias": torch.randn(5)}
torch.save(dense, path("dense.bin"))
save_file(dense, path("dense.safetensors"))
