#!/usr/bin/env python3
"""Writes tests/golden/bert/thinned.json: logits, losses and gradients of a small BERT whose rows retire or merge, computed with
PyTorch and its automatic differentiation, one sequence at a time. Needs torch, safetensors and tokenizers; the test that
reads the file needs none of them.

    tests/train/make_thinned_golden.py tests/golden/bert
"""
import json, math, os, sys
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

folder = sys.argv[1]
config = json.load(open(os.path.join(folder, "config.json")))
stored = load_file(os.path.join(folder, "model.safetensors"))
tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
HEADS, LAYERS = config["num_attention_heads"], config["num_hidden_layers"]
TEXTS = ["a bc d", "hello world foo", "zzz", "a b c d e f g h i j k l m n o"]
LABELS = [2, 0, 1, 1]


def parameters():
    return {k: v.clone().float().requires_grad_(True) for k, v in stored.items() if v.is_floating_point()}


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], config["layer_norm_eps"])


def linear(p, name, x):
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def encode(p, ids, keep, by, protect, restore, merge=()):
    n = len(ids)
    e = "bert.embeddings."
    x = norm(p, e + "LayerNorm", p[e + "word_embeddings.weight"][ids] + p[e + "token_type_embeddings.weight"][[0] * n] + p[e + "position_embeddings.weight"][range(n)])
    detail = [torch.zeros(x.shape[1]) for _ in range(n)]  # how each token differed from what it merged into
    alive, out = [[i] for i in range(n)], {i: x[i] for i in range(n)}  # what each row has in it
    for j in range(LAYERS):
        if keep[j] is None: continue
        l = f"bert.encoder.layer.{j}."
        asking = x
        if j + 1 in merge and len(alive) > 2:  # the first by itself, the others two by two
            pairs = [[0]] + [list(range(i, min(i + 2, len(alive)))) for i in range(1, len(alive), 2)]
            asking = torch.stack([x[pair].mean(0) for pair in pairs])
            for pair, row in zip(pairs, asking):
                for i in pair:
                    for token in alive[i]: detail[token] = detail[token] + x[i] - row
            alive = [sum((alive[i] for i in pair), []) for pair in pairs]
        q, k, v = (linear(p, l + "attention.self." + w, of).view(len(of), HEADS, -1).transpose(0, 1) for w, of in (("query", asking), ("key", x), ("value", x)))
        a = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
        mixed = (a @ v).transpose(0, 1).reshape(len(alive), -1)
        y = norm(p, l + "attention.output.LayerNorm", asking + linear(p, l + "attention.output.dense", mixed))
        score = a.detach().sum((0, 1))
        if by == "others" and len(asking) == len(x): score = score - torch.stack([a.detach()[h].diagonal() for h in range(HEADS)]).sum(0)
        count = min(len(alive), max(1, math.ceil(keep[j] * n - 1e-4))) if keep[j] < 1 else len(alive)
        if count < len(alive) and len(asking) == len(x):
            order = sorted(range(len(alive)), key=lambda i: (-math.inf if protect and i == 0 else -score[i].item(), i))
            kept = sorted(order[:count])
            y, alive = y[kept], [alive[i] for i in kept]
        x = norm(p, l + "output.LayerNorm", y + linear(p, l + "output.dense", F.gelu(linear(p, l + "intermediate.dense", y))))
        for group, row in zip(alive, x):
            for i in group: out[i] = row + detail[i]
    return torch.stack([out[i] for i in range(n)]) if restore else x


cases = []
for task, keep, by, merge in [("classification", [1, 1, 1], "received", []), ("classification", [0.7, 0.5, 0.2], "received", []), ("classification", [0.6, None, 0.01], "others", []),
                       ("tagging", [0.7, 0.5, 0.2], "received", []), ("tagging", [None, 0.4, 0.4], "others", []),
                       ("classification", [1, 1, 1], "received", [2, 3]), ("classification", [0.7, 1, 0.3], "received", [2]),
                       ("tagging", [1, 1, 1], "received", [1, 3]), ("tagging", [0.7, 1, 0.3], "others", [2])]:
    p = parameters()
    logits, losses, count = [], [], 0
    for text, label in zip(TEXTS, LABELS):
        ids = tokenizer.encode(text).ids
        rows = encode(p, ids, keep, by, task == "classification", task == "tagging", merge)
        if task == "classification":
            pooled = torch.tanh(linear(p, "bert.pooler.dense", rows[:1]))
            z = linear(p, "classifier", pooled)
            losses.append(F.cross_entropy(z, torch.tensor([label]), reduction="sum"))
            count += 1
        else:
            z = linear(p, "classifier", rows)
            gold = [(label + i) % 3 for i in range(len(ids))]
            losses.append(F.cross_entropy(z, torch.tensor(gold), reduction="sum"))
            count += len(ids)
        logits.append([round(v, 7) for v in z.detach().flatten().tolist()])
    loss = sum(losses) / count
    loss.backward()
    gradients = {k: [v.grad.abs().sum().item()] + v.grad.flatten()[:: max(1, v.numel() // 7)].tolist() for k, v in sorted(p.items()) if v.grad is not None}
    cases.append({"task": task, "keep": keep, "merge": merge, "significance": by, "logits": logits, "loss": loss.item(), "gradients": gradients})
json.dump({"texts": TEXTS, "labels": LABELS, "cases": cases}, open(os.path.join(folder, "thinned.json"), "w"), separators=(",", ":"))
