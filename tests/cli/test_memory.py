#!/usr/bin/env python3
"""Weights in memory: the same answers, to the bit, of every family, head and precision, and of folders that were quantised.

    test_memory.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, os, shutil

from program import check, finish, golden, large, model, run, texts, work, write

TEXTS = "hello world\na world of words\nfoo\n"
HEADS = {"Model": ["embed"], "ForSequenceClassification": ["classify"], "ForTokenClassification": ["tag"], "ForMaskedLM": ["fill"], "ForQuestionAnswering": ["answer", "--jsonl"]}
PREFIXES = {"albert": "Albert", "bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "funnel": "Funnel", "mobilebert": "MobileBert", "mpnet": "MPNet", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "longformer": "Longformer", "bigbird": "BigBird", "modernbert": "ModernBert", "fnet": "FNet", "nystromformer": "Nystromformer"}
LABELS = {"id2label": {"0": "O", "1": "B-X", "2": "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}


def mask(family): return next(t["content"] for t in json.load(open(os.path.join(golden, family, "tokenizer.json")))["added_tokens"] if "mask" in t["content"].lower())


def same(what, command, folder, *more, stdin=TEXTS):
    mapped, memory = run(command, folder, *more, "--json", stdin=stdin), run(command, folder, *more, "--json", "--in-memory", stdin=stdin)
    check(what, mapped.status == 0 and memory.status == 0 and mapped.out == memory.out and mapped.out, mapped, memory)


for family, prefix in PREFIXES.items():
    for head, (command, *more) in HEADS.items():
        made = model("modernbert-cls" if family == "modernbert" and "Question" in head else family, prefix + head, **(LABELS if "Classification" in head else {}))
        stdin = f"hello {mask(family)}\n" if command == "fill" else '{"question": "what", "context": "hello world of words"}\n' if command == "answer" else TEXTS
        same(f"{family}: {head}", command, made, *more, stdin=stdin)
    for precision in ("bf16", "int8", "f32+int8"): same(f"{family} in {precision}", "embed", model(family, prefix + "Model"), "--precision", precision)
for to in ("int8", "bf16"):
    out = os.path.join(work, to)
    r = run("quantize", model("bert", "BertForSequenceClassification", **LABELS), "--to", to, "--out", out)
    check(f"quantize to {to}", r.status == 0, r)
    same(f"a quantised folder: {to}", "classify", out)
    same(f"a quantised folder in f32: {to}", "classify", out, "--precision", "f32")
    r = run("quantize", out, "--to", "f32", "--out", out + "-back"); check(f"and back from {to}", r.status == 0, r)

# ---- Pickles with a tied decoder, shards, adapters ----
source = os.path.join(golden, "torch")
for form in ("zip", "legacy", "f16", "shards"):
    made = os.path.join(work, form)
    os.makedirs(made)
    files = [f for f in os.listdir(source) if f.startswith("pytorch_model")] if form == "shards" else [f"model.{form}.bin"]
    for name in ("config.json", "tokenizer.json", *files): shutil.copy(os.path.join(source, name), os.path.join(made, "pytorch_model.bin" if name.startswith("model.") else name))
    same(f"{form} of torch: vectors", "embed", made)
    same(f"{form} of torch: words", "fill", made, stdin="hello [MASK] world\n")
source = os.path.join(golden, "adapters")
for name, command in (("embedder", "embed"), ("tagger", "tag"), ("filler", "fill")): same(f"an adapter: {name}", command, os.path.join(source, name), stdin="a b [MASK]\n")

# ---- What a run of training notes of weights that it no longer has ----
teacher, student = large(2, 1, 128), large(2, 1, 128)
weights = os.path.join(teacher, "model.safetensors")
rows, out = write("rows.tsv", "sentence\tlabel\n" + "".join(" ".join(words) + f"\tl{i % 2}\n" for i, words in enumerate(texts(64)))), os.path.join(work, "trained")
train = lambda *more: run("train", student, "--teacher", teacher, "--task", "classification", "--data", rows, "--out", out, "--recipe", "finetune", "--epochs", 1, "--keep-state", "--quiet", *more)
r = train(); check("trains", r.status == 0, r)
record = os.path.join(out, "training.json")
notes = {**json.load(open(record)), "ended": False} # as if it had been stopped after its last step
json.dump(notes, open(record, "w"))
header = int.from_bytes(open(weights, "rb").read(8), "little")
at = json.loads(open(weights, "rb").read()[8:8 + header])["bert.encoder.layer.0.output.dense.weight"]["data_offsets"]
with open(weights, "r+b") as f: # in the middle of a matrix, whose memory was given back when it was packed
    f.seek(8 + header + sum(at) // 2)
    f.write(b"\x11\x3d")
r = train("--resume"); check("another teacher is noticed", r.status == 2 and "--teacher has other weights" in r.err, r)
finish()
