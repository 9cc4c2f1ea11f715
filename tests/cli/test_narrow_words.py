#!/usr/bin/env python3
"""Narrow word embeddings (rubato trim --embedding): what they keep, what learns and runs with them, what is refused.

    test_narrow_words.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, struct

from program import check, finish, golden, model, one_line, path, renew, run, write
from weights import tensors, write_tensors

TEXTS = "hello world\na b c\nzz top\n"
draw = random.Random(3)
WORDS = "embeddings.word_embeddings.weight"


def embed(folder, *more):
    r = run("embed", folder, "--json", *more, stdin=TEXTS)
    return [row["embedding"] for row in r.json()] if r.status == 0 else r


def far(a, b): return max(abs(x - y) for p, q in zip(a, b) for x, y in zip(p, q)) if isinstance(a, list) and isinstance(b, list) else (a, b)


def with_rank(family, rank):
    """A golden model whose word embeddings have that rank."""
    made = model(family, {"bert": "BertModel", "modernbert": "ModernBertModel"}[family])
    held = tensors(made); name = next(n for n in held if n.endswith(WORDS) or "tok_embeddings" in n); kind, (rows, width), _ = held[name]
    a = [[draw.gauss(0, 0.5) for _ in range(rank)] for _ in range(rows)]; b = [[draw.gauss(0, 0.5) for _ in range(width)] for _ in range(rank)]
    values = [sum(a[i][r] * b[r][j] for r in range(rank)) for i in range(rows) for j in range(width)]
    write_tensors(made, {**held, name: (kind, [rows, width], struct.pack(f"<{len(values)}f", *values))})
    return made


data = write("texts.tsv", "text\n" + "".join(f"{draw.choice('abc')} {draw.choice('abcd')} hello\n" for _ in range(50)))

# ---- What they keep ----
for family in ("bert", "modernbert"):
    whole = with_rank(family, 6)
    for more in ([], ["--data", data]):
        r = renew("trim", whole, "--embedding", 6, *more, "--out", path("narrow")); check(f"{family}: trim", r.status == 0, r)
        check(f"{family} {more[:1]}: embeddings of that rank lose nothing", far(embed(whole), embed(path("narrow"))) < 2e-5, far(embed(whole), embed(path("narrow"))))
plain = model("bert", "BertModel")
r = renew("trim", plain, "--embedding", 8, "--out", path("even")); r = renew("trim", plain, "--embedding", 8, "--data", data, "--out", path("frequent"))
near = lambda folder: [far([a], [b]) for a, b in zip(*([row["embedding"] for row in run("embed", m, "--json", stdin="a b hello\n").json()] for m in (plain, folder)))][0]
check("frequent words change least", near(path("frequent")) < near(path("even")), near(path("frequent")), near(path("even")))
config = json.load(open(path("frequent/config.json"))); check("config.json says it, and transformers refuses", config["word_embedding_size"] == 8 and config["model_type"] == "rubato-bert", config)
r = renew("trim", plain, "--embedding", 8, "--vocabulary", 40, "--data", data, "--out", path("both"), "--json"); check("with fewer word pieces", r.status == 0 and isinstance(embed(path("both")), list), r)

# ---- Learning, saving, other precisions ----
labelled = write("labelled.tsv", "text\tlabel\n" + "".join(f"{draw.choice('ab')} {draw.choice('cd')}\t{'xy'[i % 2]}\n" for i in range(20)))
r = renew("train", path("frequent"), "--task", "classification", "--data", labelled, "--epochs", 2, "--rate", "1e-3", "--quiet", "--out", path("tuned")); check("they learn", r.status == 0, r)
before, after = tensors(path("frequent")), tensors(path("tuned")); moved = lambda n: before[n][2] != next(after[m] for m in after if m.endswith(n))[2]
check("words and projection move", all(moved(n) for n in before if "word_" in n), list(before)[:3])
r = renew("trim", path("tuned"), "--layers", "0,2", "--out", path("short")); check("layers leave them", r.status == 0 and run("classify", path("short"), stdin=TEXTS).status == 0, r)
r = renew("quantize", path("tuned"), "--to", "int8", "--out", path("bytes")); kinds = {n: t[0] for n, t in tensors(path("bytes")).items()}
check("in int8", r.status == 0 and all(kinds[n] == "I8" for n in kinds if n.endswith(("word_projection.weight", "word_embeddings.weight", "classifier.weight", "pooler.dense.weight"))), {n: k for n, k in kinds.items() if ".layer." not in n})
scores = lambda folder, *more: [list(row["scores"].values()) for row in run("classify", folder, "--json", "--top", 2, *more, stdin=TEXTS).json()]
check("the same in int8, but for rounding", far(scores(path("tuned")), scores(path("bytes"))) < 0.05 and far(scores(path("tuned")), scores(path("bytes"), "--precision", "f32")) < 0.05, scores(path("tuned")), scores(path("bytes")))
r = renew("quantize", path("bytes"), "--to", "f32", "--out", path("back")); check("and back", r.status == 0 and {t[0] for t in tensors(path("back")).values()} == {"F32"}, r)

# ---- What is refused ----
for what, start, wide, says in (("a second time", path("frequent"), 4, "already"), ("ELECTRA", model("electra", "ElectraModel"), 8, "already"), ("not narrower", plain, 24, "hidden size"), ("a masked language model", model("bert", "BertForMaskedLM"), 8, "head too")):
    r = run("trim", start, "--embedding", wide, "--out", path("none"), "--quiet"); check(what, r.status in (1, 2) and one_line(r) and says in r.err and not os.path.exists(path("none")), r)
for value in (7, 24, -1, "x"):
    changed = path(f"changed-{value}"); os.makedirs(changed)
    for name in ("model.safetensors", "tokenizer.json"): os.symlink(path(f"frequent/{name}"), os.path.join(changed, name))
    json.dump({**config, "word_embedding_size": value}, open(os.path.join(changed, "config.json"), "w"))
    r = run("info", changed); check(f"word_embedding_size {value}", r.status == 1 and one_line(r), r)
stored = tensors(path("bytes")); write_tensors(path("bytes"), {n: t for n, t in stored.items() if not n.endswith("word_projection.scale")})
r = run("info", path("bytes")); check("scales that are missing", r.status == 1 and one_line(r) and "word_projection.scale" in r.err, r)
finish()
