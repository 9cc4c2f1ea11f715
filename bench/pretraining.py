"""Compares the speed of masked-LM training with PyTorch's, in rounds that alternate. Both train the same shape in f32, with 32
sequences in a step and AdamW. PyTorch gets sequences of the same text, padded as transformers' collators do, and then sequences of
128 tokens without any padding, which is the best that it can have. Tokens of padding do not count.

    bench/pretraining [--data FOLDER] [--steps 20] [--threads 2] [--rounds 3] [--model FOLDER]
"""
import argparse, json, os, random, re, statistics, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default=os.path.join(ROOT, "../shared/data"))
parser.add_argument("--model", default=os.path.join(ROOT, "build/models/all-MiniLM-L6-v2"))
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
args = parser.parse_args()
work = os.path.join(ROOT, "build/pretraining")
os.makedirs(work, exist_ok=True)


def rubato():
    subprocess.run([os.path.join(ROOT, "build/rubato"), "train", args.model, "--task", "mlm", "--data", os.path.join(args.data, "wikitext2/test.txt"), "--steps", str(args.steps), "--batch-size", "32",
                    "--max-length", "128", "--threads", str(args.threads), "--checkpoint-steps", "1000000", "--quiet", "--overwrite", "--out", work], check=True, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in open(work + "/metrics.jsonl")][-1]["tokens_per_second"]


import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM
torch.set_num_threads(args.threads)
config = BertConfig(**{k: v for k, v in json.load(open(args.model + "/config.json")).items() if k not in ("architectures", "torch_dtype", "dtype")})
model = BertForMaskedLM(config).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)


def sequences():
    """The same text as Rubato reads: consecutive sentences of a document that fit, one of ten cut short."""
    tokenizer, chance, made, now = Tokenizer.from_file(args.model + "/tokenizer.json"), random.Random(1), [], []
    tokenizer.no_truncation(); tokenizer.no_padding()
    room = 126
    for line in open(os.path.join(args.data, "wikitext2/test.txt"), encoding="utf-8"):
        for sentence in re.split(r"(?<=[.!?]) +(?=[^a-z])", line.strip()) if line.strip() else [""]:
            ids = tokenizer.encode(sentence, add_special_tokens=False).ids if sentence else []
            if now and (not ids or len(now) + len(ids) > room):
                made.append([101] + now + [102])
                now, room = [], 126 if chance.random() < 0.9 else chance.randint(2, 126)
            now = (now + ids)[:126]
    chance.shuffle(made)
    return made


texts, at = sequences(), 0


def peer(padded):
    global at
    seconds = tokens = 0
    for _ in range(args.steps):
        if padded:
            some = [texts[(at + i) % len(texts)] for i in range(32)]
            at += 32
            longest = max(map(len, some))
            ids = torch.tensor([t + [0] * (longest - len(t)) for t in some])
            mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in some])
        else:
            ids = torch.randint(1000, config.vocab_size, (32, 128))
            mask = torch.ones_like(ids)
        tokens += int(mask.sum())
        labels = torch.where((torch.rand(ids.shape) < 0.15) & (mask > 0), ids, -100)
        begin = time.perf_counter()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds += time.perf_counter() - begin
    return tokens / seconds


ours, same, full = [], [], []
for i in range(args.rounds):
    ours.append(rubato())
    same.append(peer(True))
    full.append(peer(False))
    print(f"round {i + 1}: rubato {ours[-1]:.0f}, torch {torch.__version__} {same[-1]:.0f} on the same text, {full[-1]:.0f} without padding, tokens/s", flush=True)
mine, a, b = map(statistics.median, (ours, same, full))
print(f"medians of {args.rounds}: {mine / a:.2f}x of torch on the same text, {mine / b:.2f}x of torch without padding")
