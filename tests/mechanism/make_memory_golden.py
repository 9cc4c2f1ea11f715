"""Writes tests/golden/memory: small BERT models with memories, what they give, and their gradients, by PyTorch.

The reference is written here from the equations of Lample et al. 2019 and Kim and Jung 2020, on transformers' BERT.

    python3 tests/mechanism/make_memory_golden.py     # needs torch, transformers, safetensors, numpy
"""
import json
import pathlib
import shutil

import numpy
import torch
from safetensors.numpy import save_file
from transformers import BertConfig, BertModel

OUT = pathlib.Path(__file__).parents[1] / "golden/memory"
HIDDEN, LENGTHS = 32, (9, 1, 14)
CASES = {
    "res": {"form": "res", "slots": 64, "heads": 2, "selected": 3, "query": 8, "normal": True, "shared": False, "gated": False, "layers": [1]},
    "pkm": {"form": "pkm", "slots": 49, "heads": 3, "selected": 7, "query": 6, "normal": False, "shared": False, "gated": False, "layers": [0]},
    "after": {"form": "after", "slots": 36, "heads": 1, "selected": 4, "query": 10, "normal": True, "shared": True, "gated": True, "layers": [0, 2]},
}


class Memory(torch.nn.Module):
    def __init__(self, setting, values=None):
        super().__init__()
        self.s = s = setting
        self.side = int(s["slots"] ** 0.5)
        self.query = torch.nn.Linear(HIDDEN, s["heads"] * s["query"])
        self.norm = torch.nn.BatchNorm1d(s["heads"] * s["query"]) if s["normal"] else None
        self.keys = torch.nn.Parameter(torch.randn(s["heads"], 2, self.side, s["query"] // 2))
        self.values = values if values is not None else torch.nn.Parameter(torch.randn(s["slots"], HIDDEN))
        if s["gated"]:
            self.gate, self.output = torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x):  # [rows, HIDDEN]: real rows alone
        s, k = self.s, self.s["selected"]
        q = self.query(x)
        if self.norm is not None:
            q = self.norm(q)
        q = q.view(len(x), s["heads"], 2, s["query"] // 2)
        scores = torch.einsum("rhpd,hpnd->rhpn", q, self.keys)
        first, a = scores[:, :, 0].topk(k)
        second, b = scores[:, :, 1].topk(k)
        pairs = (first.unsqueeze(-1) + second.unsqueeze(-2)).flatten(2)
        slots = (a.unsqueeze(-1) * self.side + b.unsqueeze(-2)).flatten(2)
        best, at = pairs.topk(k)
        weights = best.softmax(-1)
        y = (weights.unsqueeze(-1) * self.values[slots.gather(2, at)]).sum((1, 2))
        return self.output(torch.nn.functional.silu(self.gate(x)) * y) if s["gated"] else y


def run(model, memories, setting, ids, mask):
    """The rows of all texts, without padding."""
    real = mask.bool()
    def spread(memory, x):
        out = torch.zeros_like(x)
        out[real] = memory(x[real])
        return out
    x = model.embeddings(ids)
    bias = torch.zeros(mask.shape).masked_fill(~real, -1e30)[:, None, None, :]
    for number, layer in enumerate(model.encoder.layer):
        x = layer.attention(x, bias)[0]
        memory = memories.get(number)
        y = x
        if not (memory and setting["form"] == "pkm"):
            y = y + layer.output.dense(layer.intermediate(x))
        if memory and setting["form"] != "after":
            y = y + spread(memory, x)
        x = layer.output.LayerNorm(y)
        if memory and setting["form"] == "after":
            x = x + spread(memory, x)
    return x[real]


def names_of(model, memories, setting):
    """The tensors of the file: name -> parameter."""
    out = {name: value for name, value in model.named_parameters() if "pooler" not in name}
    if setting["form"] == "pkm":
        out = {n: v for n, v in out.items() if not any(f"layer.{i}.{w}.dense" in n for i in setting["layers"] for w in ("intermediate", "output"))}
    for number, memory in memories.items():
        lead = f"encoder.layer.{number}.memory."
        for name, value in memory.named_parameters():
            if name == "keys":
                continue
            full = lead + name + (".weight" if name == "values" else "")
            if name == "values" and setting["shared"]:
                full = "memory.values.weight"
            out[full] = value
    return out


def main():
    torch.manual_seed(3)
    config = BertConfig(vocab_size=61, hidden_size=HIDDEN, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48, max_position_embeddings=20,
                        hidden_dropout_prob=0, attention_probs_dropout_prob=0, attn_implementation="eager")
    for case, setting in CASES.items():
        model = BertModel(config)
        for value in model.parameters():
            value.data += torch.randn_like(value) * 0.1
        first = None
        memories = {}
        for number in setting["layers"]:
            memories[number] = Memory(setting, first.values if first and setting["shared"] else None)
            first = first or memories[number]
            if setting["normal"]:
                norm = memories[number].norm
                norm.weight.data += torch.randn_like(norm.weight) * 0.2
                norm.bias.data += torch.randn_like(norm.bias) * 0.2
                norm.running_mean += torch.randn_like(norm.running_mean) * 0.2
                norm.running_var += torch.rand_like(norm.running_var)
        ids = torch.randint(1, 61, (len(LENGTHS), max(LENGTHS)))
        mask = torch.tensor([[int(i < n) for i in range(max(LENGTHS))] for n in LENGTHS])
        parameters = names_of(model, memories, setting)
        tensors = {n: v.detach().numpy().copy() for n, v in parameters.items()}
        for number, memory in memories.items():
            for head in range(setting["heads"]):
                for half in range(2):
                    tensors[f"encoder.layer.{number}.memory.keys.{head}.{half}.weight"] = memory.keys[head, half].detach().numpy().copy()
            if setting["normal"]:
                tensors[f"encoder.layer.{number}.memory.norm.running_mean"] = memory.norm.running_mean.numpy().copy()
                tensors[f"encoder.layer.{number}.memory.norm.running_var"] = memory.norm.running_var.numpy().copy()
        folder = OUT / case
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "model.safetensors")
        written = {"model_type": "rubato-bert", "architectures": ["BertModel"], "num_hidden_layers": 3, "hidden_size": HIDDEN, "num_attention_heads": 2,
                   "intermediate_size": 48, "max_position_embeddings": 20, "vocab_size": 61, "type_vocab_size": 2, "hidden_dropout_prob": 0,
                   "attention_probs_dropout_prob": 0, "feed_forward": {"mechanism": "memory", **setting}}
        shutil.copy(OUT.parent / "bert/tokenizer.json", folder)
        (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")

        for part in (model, *memories.values()):
            part.eval()
        with torch.no_grad():
            plain = run(model, memories, setting, ids, mask)
        for part in (model, *memories.values()):
            part.train()
        weights = torch.randn_like(plain)
        trained = run(model, memories, setting, ids, mask)
        (trained * weights).sum().backward()
        expected = {"ids": ids[mask.bool()].numpy().astype(numpy.int32), "lengths": numpy.array(LENGTHS, numpy.int32), "weights": weights.numpy(),
                    "plain": plain.numpy(), "trained": trained.detach().numpy()}
        for name, value in parameters.items():
            if value.grad is not None:
                expected["grad." + name] = value.grad.numpy()
        for number, memory in memories.items():
            for head in range(setting["heads"]):
                for half in range(2):
                    expected[f"grad.encoder.layer.{number}.memory.keys.{head}.{half}.weight"] = memory.keys.grad[head, half].numpy().copy()
            if setting["normal"]:
                expected[f"moved.encoder.layer.{number}.memory.norm.running_mean"] = memory.norm.running_mean.numpy()
                expected[f"moved.encoder.layer.{number}.memory.norm.running_var"] = memory.norm.running_var.numpy()
        save_file({n: numpy.ascontiguousarray(v) for n, v in expected.items()}, folder / "expected.safetensors")
        print(case, sum(v.nbytes for v in tensors.values()) // 1024, "KB")


main()
