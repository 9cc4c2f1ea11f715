"""Compares embeddings of all-MiniLM-L6-v2 by Rubato and by transformers: the largest difference, the smallest cosine."""
import json, os, subprocess, sys
import numpy as np, torch
from tokenizers import Tokenizer
from transformers import AutoModel

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
folder = os.path.join(root, "build/models/all-MiniLM-L6-v2")
texts = [l.split("\t")[0] for l in open(os.path.join(sys.argv[1], "sst2/dev.tsv"), encoding="utf-8").read().split("\n")[1:] if l]
texts += [json.loads(l)["text"].replace("\n", " ").replace("\r", " ") for l in open(os.path.join(sys.argv[1], "bbc/train.jsonl"), encoding="utf-8")][:60]
run = subprocess.run([os.path.join(root, "build/rubato"), "embed", folder, "--output", "/tmp/exactness.npy", "--overwrite"], input="\n".join(texts) + "\n", text=True, check=True)
ours = np.load("/tmp/exactness.npy")
t, m = Tokenizer.from_file(os.path.join(folder, "tokenizer.json")), AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
t.enable_truncation(256); t.no_padding()
theirs = []
for text in texts:
    with torch.inference_mode(): h = m(input_ids=torch.tensor([t.encode(text.strip()).ids])).last_hidden_state[0].mean(0).numpy()
    theirs.append(h / np.linalg.norm(h))
theirs = np.array(theirs)
print(f"{len(texts)} texts: largest difference {np.abs(ours - theirs).max():.2g}, least cosine {(ours * theirs).sum(1).min():.7f}")
