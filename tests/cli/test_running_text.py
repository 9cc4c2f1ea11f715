#!/usr/bin/env python3
"""Masked language models from running text, from existing weights and from none.

    test_running_text.py RUBATO GOLDEN_FOLDER
"""
import gzip, json, os, random, shutil, subprocess

from program import check, finish, golden, one_line, path, rubato, run, until, write

bert = os.path.join(golden, "bert")
draw = random.Random(3)
words = ["ab", "ba", "cd", "dc", "efg", "hi"]
prose = "\n\n".join("\n".join(" ".join(draw.choice(words[i % 3:i % 3 + 3]) for _ in range(6)) + "." for _ in range(8)) for i in range(60))
text = write("text.txt", prose + "\n")
dev = write("dev.txt", "\n".join(prose.split("\n")[:20]))
start = path("start"); os.makedirs(start)
shutil.copy(os.path.join(bert, "tokenizer.json"), start)
config = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 40, "hidden_dropout_prob": 0.1}
json.dump(config, open(start + "/config.json", "w"))


def train(model, out, *more): return run("train", model, "--task", "mlm", "--data", text, "--batch-size", 8, "--rate", "5e-3", *more, "--overwrite", "--out", path(out))


def weights(out): return open(path(out + "/model.safetensors"), "rb").read()


# ---- From nothing ----
r = train(start, "new", "--dev", dev, "--steps", 120); check("a model begins without weights", r.status == 0 and "60 documents of 480 sentences" in r.err, r)
quality = run("eval", path("new"), "--task", "mlm", "--data", dev, "--json").json()[0]["metrics"]["perplexity"]
check("and learns", quality < 25, quality)
made = json.load(open(path("new/config.json")))
check("its config.json is complete", made["vocab_size"] == 61 and made["architectures"] == ["BertForMaskedLM"] and made["pad_token_id"] == 0, made)
r = run("fill", path("new"), stdin="ab [MASK] cd.\n"); check("it fills", r.status == 0, r)
r = train(write("shape.json", json.dumps(config)), "other", "--tokenizer", start, "--steps", 2); check("a config.json and a tokenizer", r.status == 0 and os.path.exists(path("other/tokenizer.json")), r)
r = train(path("shape.json"), "none", "--steps", 2); check("a config.json alone", r.status == 2 and one_line(r) and "--tokenizer" in r.err, r)
r = train(bert, "none", "--tokenizer", start, "--steps", 2); check("a tokenizer for a model with weights", r.status == 2 and one_line(r) and "has weights" in r.err, r)
r = run("train", start, "--task", "classification", "--data", write("rows.tsv", "text\tlabel\na\tx\nb\ty\n"), "--out", path("none")); check("other tasks need weights", r.status != 0 and one_line(r) and "no weights" in r.err, r)
r = run("embed", start, stdin="ab\n"); check("and so does running", r.status != 0 and one_line(r), r)
json.dump({**config, "vocab_size": 20}, open(path("small.json"), "w"))
r = train(path("small.json"), "none", "--tokenizer", start, "--steps", 2); check("a vocabulary that is too small", r.status != 0 and one_line(r) and "beyond" in r.err, r)
json.dump({**config, "hidden_size": 33}, open(path("odd.json"), "w"))
r = train(path("odd.json"), "none", "--tokenizer", start, "--steps", 2); check("sizes that do not fit", r.status != 0 and one_line(r), r)

bare = path("bare"); os.makedirs(bare); shutil.copy(os.path.join(bert, "tokenizer.json"), bare)
r = train(path("shape.json"), "other", "--tokenizer", bare, "--steps", 2); check("a tokenizer's folder needs no config.json", r.status == 0, r)
r = train(write("list.json", "[]"), "none", "--tokenizer", bare, "--steps", 2); check("a config.json that is a list", r.status == 1 and one_line(r) and "not an object" in r.err, r)
r = train(os.path.join(golden, "funnel", "config.json"), "none", "--tokenizer", bare, "--steps", 2); check("a family that cannot begin", r.status == 1 and one_line(r) and "encoder.blocks.0" in r.err, r)
mobile = write("mobile.json", json.dumps({"model_type": "mobilebert", "hidden_size": 24, "embedding_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intra_bottleneck_size": 8, "intermediate_size": 16, "num_feedforward_networks": 2, "max_position_embeddings": 40}))
r = train(mobile, "mobile", "--tokenizer", bare, "--steps", 60, "--dev", dev); check("MobileBERT begins and learns", r.status == 0 and run("fill", path("mobile"), stdin="ab [MASK]\n").status == 0, r)

# ---- Resuming ----
for name, more in (("mlm", []), ("mlm+nsp", ["--whole-words"])):
    how = [start, "whole", "--objective", name, *more, "--steps", 90, "--checkpoint-steps", 20]
    r = train(*how); check(f"{name} runs", r.status == 0, r)
    whole, log = weights("whole"), [json.loads(l) for l in open(path("whole/metrics.jsonl"))]
    shutil.rmtree(path("whole"))
    p = subprocess.Popen([rubato, "train", start, "--task", "mlm", "--data", text, "--batch-size", "8", "--rate", "5e-3", *map(str, how[2:]), "--out", path("whole")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: os.path.exists(path("whole/training.safetensors")))
    p.kill(); p.wait()
    r = run("train", start, "--task", "mlm", "--data", text, "--batch-size", 8, "--rate", "5e-3", *how[2:], "--resume", "--out", path("whole"))
    check(f"{name} goes on to the bit", r.status == 0 and weights("whole") == whole, r)
    for threads in (1, 3): check(f"{threads} threads give the same", train(*how, "--threads", threads).status == 0 and weights("whole") == whole)
check("pairs are for pre-training", json.load(open(path("whole/config.json")))["architectures"] == ["BertForPreTraining"])
r = train(path("whole"), "more", "--steps", 2); check("and stay so", r.status == 0 and json.load(open(path("more/config.json")))["architectures"] == ["BertForPreTraining"], r)

# ---- Files ----
with gzip.open(path("packed.txt.gz"), "wt") as f: f.write(prose)
a = train(start, "plain", "--steps", 3); b = train(start, "packed", "--steps", 3, "--data", path("packed.txt.gz")); check("packed text is the same", a.status == b.status == 0 and weights("plain") == weights("packed"), b)
r = train(start, "both", "--steps", 3, "--data", f"{path('packed.txt.gz')},{text}"); check("several files", r.status == 0 and "120 documents" in r.err, r)
check("nothing is left of the text", sorted(x for x in os.listdir(path("both")) if "spool" in x) == [])
for name, bytes_of in (("empty.txt", b""), ("blank.txt", b"\n \n\n"), ("bad.txt", b"ab\n\xff\n"), ("zero.txt", b"a\0b\n"), ("cut.txt.gz", open(path("packed.txt.gz"), "rb").read()[:50])):
    open(path(name), "wb").write(bytes_of)
    r = train(start, "none", "--data", path(name)); check(f"{name} is refused", r.status == 1 and one_line(r) and name in r.err and not os.path.exists(path("none/config.json")), r)
r = train(start, "none", "--data", f"{text},{path('missing.txt')}"); check("a file that is missing", r.status == 1 and one_line(r) and "missing.txt" in r.err, r)

# ---- Options ----
for more, part in ((["--limit", 5], "--limit"), (["--objective", "nsp"], "mlm+nsp"), (["--max-length", 4], "too short")):
    r = train(start, "none", "--steps", 2, *more); check(f"{more} is refused", r.status == 2 and one_line(r) and part in r.err, r)
rows = write("lines.tsv", "text\nab cd ef gh\nba dc\n")
r = train(bert, "none", "--data", rows, "--objective", "mlm+nsp"); check("an objective for rows", r.status == 2 and one_line(r) and "--objective" in r.err, r)
r = run("train", bert, "--task", "classification", "--data", path("rows.tsv"), "--whole-words", "--out", path("none")); check("whole words for a classifier", r.status == 2 and one_line(r), r)
r = train(bert, "rows", "--data", rows, "--steps", 3, "--whole-words"); check("rows are masked too", r.status == 0 and "2 rows" in r.err, r)
finish()
