#!/usr/bin/env python3
"""Causal language models: the same losses as `transformers`, training, and what they refuse.

    test_causal.py RUBATO GOLDEN_FOLDER
"""
import json, math, os

from program import check, finish, golden, model, one_line, path, run, write

TEXTS = "hello world\na bc d e f g h i j k l m n o p\n"
CLASSES = {"bert": "BertLMHeadModel", "roberta": "RobertaForCausalLM"}


def metrics(folder, data, *more): return run("eval", folder, "--task", "lm", "--data", data, "--json", *more).json()[0]["metrics"]


# ---- As transformers ----
for family, rows in json.load(open(os.path.join(golden, "causal.json"))).items():
    made = model(family, CLASSES[family], is_decoder=True)
    for row in rows:
        found = metrics(made, write("one.txt", row["text"] + "\n"))
        check(f"{family}: the loss of {row['text']!r}", abs(found["loss"] - row["loss"]) < 1e-5 and abs(found["perplexity"] / math.exp(row["loss"]) - 1) < 1e-4, found)
        bits = row["loss"] * (len(row["ids"]) - 1) / math.log(2) / len(row["text"])
        check(f"{family}: bits per character", abs(found["bits_per_character"] - bits) < 1e-4, (found, bits))
causal = model("bert", "BertLMHeadModel", is_decoder=True)
r = run("info", causal, "--json").json()[0]; check("info names the task", r["task"] == "lm", r)
r = run("embed", causal, "--json", stdin=TEXTS); check("it embeds", r.status == 0, r)

# ---- Training ----
text = write("text.txt", "".join(" ".join("abcdefg"[(i + j) % 7] for j in range(12)) + "\n" for i in range(60)))
for setting in ("softmax", "image,block=4,flange=2", "longformer,window=4,globals=1", "sparse,stride=3", "sparse,pattern=fixed,stride=4,summary=1", "axial,columns=4", "linear", "performer,features=32", "compressed,ratio=2", "synthesizer,mixed=true", "transformer-xl,segment=4,memory=4", "compressive,segment=4,memory=4,compressed=2,ratio=2"):
    start = os.path.join(golden, "bert")
    if setting != "softmax": run("convert", start, "--attention", setting, "--overwrite", "--out", path("converted")); start = path("converted")
    r = run("train", start, "--task", "lm", "--data", text, "--steps", 100, "--batch-size", 8, "--rate", "1e-2", "--max-length", 16, "--quiet", "--overwrite", "--out", path("trained"))
    check(f"{setting} learns", r.status == 0, r)
    found = metrics(path("trained"), text)
    check(f"{setting}: the next letter is known", found["perplexity"] < 8, found)
    config = json.load(open(path("trained/config.json")))
    check(f"{setting}: it is a decoder", config["is_decoder"] is True and config["architectures"] == ["BertLMHeadModel"], config)
r = run("train", path("trained"), "--task", "lm", "--data", text, "--dev", text, "--steps", 4, "--max-length", 16, "--quiet", "--overwrite", "--out", path("again")); check("it goes on, and is judged", r.status == 0 and "perplexity" in r.out + r.err, r)
r = run("quantize", path("trained"), "--to", "int8", "--overwrite", "--out", path("small")); check("in int8", r.status == 0 and metrics(path("small"), text)["perplexity"] < 1.2 * found["perplexity"], r)
r = run("train", os.path.join(golden, "roberta"), "--task", "lm", "--data", text, "--steps", 2, "--max-length", 16, "--quiet", "--overwrite", "--out", path("other")); check("another family", r.status == 0 and json.load(open(path("other/config.json")))["architectures"] == ["RobertaForCausalLM"], r)

# ---- Refusals ----
r = run("fill", causal, stdin="a [MASK]\n"); check("it fills no masks", r.status == 1 and one_line(r) and "causal" in r.err, r)
r = run("eval", causal, "--task", "mlm", "--data", text); check("it is not judged by masks", r.status != 0 and one_line(r) and "lm" in r.err, r)
r = run("eval", model("bert", "BertForMaskedLM"), "--task", "lm", "--data", text); check("a masked language model is not judged by next tokens", r.status != 0 and one_line(r) and "mlm" in r.err, r)
for more in (("--task", "mlm"), ("--task", "classification", "--columns", "text=text,label=b")):
    r = run("train", causal, *more, "--data", write("rows.tsv", "text\tb\nx\ty\nz\tw\n"), "--steps", 1, "--overwrite", "--out", path("none")); check(f"it learns no other task: {more[1]}", r.status != 0 and one_line(r) and "lm" in r.err, r)
for option in (("--whole-words",), ("--mask-share", "0.2"), ("--objective", "mlm+nsp"), ("--recipe", "electra")):
    r = run("train", causal, "--task", "lm", "--data", text, "--steps", 1, *option, "--overwrite", "--out", path("none")); check(f"{option[0]} is refused", r.status == 2 and one_line(r), r)
for family in ("distilbert", "electra", "albert", "mpnet", "bigbird", "longformer"):
    r = run("train", os.path.join(golden, family), "--task", "lm", "--data", text, "--steps", 1, "--overwrite", "--out", path("none")); check(f"{family} has no causal form", r.status == 1 and one_line(r) and "is_decoder" in r.err, r)
for setting in ("linformer,slots=4", "nystrom", "set,points=3", "bigbird,block=2", "sinkhorn", "reformer", "routing", "etc"):
    run("convert", os.path.join(golden, "bert"), "--attention", setting, "--overwrite", "--out", path("converted"))
    r = run("train", path("converted"), "--task", "lm", "--data", text, "--steps", 1, "--overwrite", "--out", path("none")); check(f"{setting} does not run causally", r.status == 1 and one_line(r) and "causally" in r.err, r)
    r = run("convert", causal, "--attention", setting, "--overwrite", "--out", path("none")); check(f"no causal model is made {setting}", r.status != 0 and one_line(r) and "causally" in r.err, r)
finish()
