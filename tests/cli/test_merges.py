#!/usr/bin/env python3
"""Rows that merge two by two: trained, searched, counted, and what comes back for every token.

    test_merges.py RUBATO GOLDEN_FOLDER
"""
import json, os, random

from program import candidates, renew, check, easy, finish, large, letters, model as model_of, one_line, path, points, read, run, texts, write, write_labelled

random.seed(5)
LAYERS, HIDDEN = 3, 64


# ---- What a point costs, and that company changes nothing ----
model = large(2, LAYERS, HIDDEN)
points(model, LAYERS, merged={"merge": [2, 3]}, none={"merge": []}, both={"merge": [2], "keep": [0.5, 1, 0.2]})
lines = "".join(" ".join(w) + "\n" for w in texts(40))
def scores(budget, text=lines, *more): return run("classify", model, "--raw", "--json", "--cost", "--budget", budget, *more, stdin=text).json()
got = scores("@merged")
for row in got[:10]:
    n = row["cost"]["rows"][0]; a = n // 2 + 1 if n > 2 else n; b = a // 2 + 1 if a > 2 else a
    check("rows that ask", row["cost"]["rows"] == [n, a, b], row)
    want = sum(4 * (x + y) * HIDDEN**2 + 4 * x * y * HIDDEN + 16 * y * HIDDEN**2 for x, y in ((n, n), (n, a), (a, b)))
    check("operations", abs(row["cost"]["flops"] - want - 2 * HIDDEN**2 - 4 * HIDDEN) < 1, row, want)
for budget in ("@merged", "@both"):
    together = [row["scores"] for row in scores(budget)]
    check(f"{budget} alone", [scores(budget, line + "\n")[0]["scores"] for line in lines.splitlines()[:8]] == together[:8])
    check(f"{budget} on one thread", [row["scores"] for row in scores(budget, lines, "--threads", "1")] == together)
check("nothing merged is the plain model", [row["scores"] for row in scores("@none")] == [row["scores"] for row in scores("full")])
check("merged is not", [row["scores"] for row in scores("@merged")] != [row["scores"] for row in scores("full")])
check("a text too short to merge", scores("@merged", " \n")[0]["cost"]["rows"] == [2, 2, 2], scores("@merged", " \n"))

r = run("classify", model, "--words", "--json", "--budget", "@merged", stdin="a b c d e\n"); check("--words: a merged word is there still", r.status == 0 and json.dumps(r.json()[0]).count("false") == 0, r)

last = model_of("xlnet", "XLNetForSequenceClassification")
points(last, LAYERS, few={"keep": [0.01, 1, 1]})
r = run("classify", last, "--words", "--json", "--budget", "@few", stdin="a b c d\n"); check("the row that the head reads stays", r.status == 0 and r.json()[0]["words"]["alive"] == [[5]] * 3, r)

# ---- Training and search ----
data = write_labelled("train.tsv", texts(60), easy)
dev = write_labelled("dev.tsv", texts(50), easy)
common = ["--task", "classification", "--data", data, "--dev", dev, "--rate", "2e-3", "--batch-size", 8, "--dropout", 0, "--quiet", "--json"]
r = renew("train", model, *common, "--epochs", 5, "--labels", "neg,pos", "--new-head", "--out", path("ft"))
check("a model to begin with", r.status == 0 and r.json()[0]["best"] > 0.85, r)
for recipe in ("length-adaptive", "anytime"):
    r = renew("train", path("ft"), *common, "--recipe", recipe, "--merges", 2, "--length-drop", 0, "--layer-drop", 0, "--epochs", 2, "--out", path(recipe))
    check(f"{recipe} learns to merge", r.status == 0 and r.json()[0]["best"] > 0.75 and json.load(open(path(recipe + "/rubato.json")))["training"]["merges"] == 2, r)
folder = path("length-adaptive")
r = renew("search", folder, "--task", "classification", "--data", data, "--holdout", dev, "--axes", "merges", "--iterations", 2, "--mutations", 8, "--crossovers", 4, "--quiet", "--json")
rows = candidates(folder) if r.status == 0 else []
check("search merges, and nothing else", rows and any("merge" in p for p in rows) and all(set(p["keep"]) <= {1} for p in rows if p.get("family") not in ("uniform", "shallow")), r)
check("and draws it", "merged two by two" in open(os.path.join(folder, "frontier.svg")).read())
for p in json.load(open(os.path.join(folder, "rubato.json")))["points"][:2]:
    e = run("eval", folder, "--task", "classification", "--data", dev, "--budget", "@" + p["name"], "--json").json()[0]
    check("a point does what search said", abs(e["metrics"]["accuracy"] - p["quality"]) < 1e-6 and abs(e["flops_ratio"] - p["flops_ratio"]) < 0.03, e, p)
one = renew("train", path("ft"), *common, "--recipe", "length-adaptive", "--merges", 2, "--length-drop", 0, "--layer-drop", 0, "--epochs", 2, "--threads", 1, "--out", path("again"))
check("the same on one thread, to the bit", one.status == 0 and open(path("again/model.safetensors"), "rb").read() == open(path("length-adaptive/model.safetensors"), "rb").read(), one)

# ---- Tagging: every word has an answer ----
tags = write("tags.txt", "".join("".join(f"{c} {'B-A' if c == 'a' else 'O'}\n" for c in w) + "\n" for w in texts(60)))
r = renew("train", model, "--task", "tagging", "--data", tags, "--dev", tags, "--recipe", "length-adaptive", "--merges", 1, "--length-drop", 0, "--layer-drop", 0, "--epochs", 4, "--rate", "5e-3", "--batch-size", 4, "--dropout", 0, "--quiet", "--json", "--out", path("tagger"))
check("a tagger", r.status == 0 and r.json()[0]["best"] > 0.7, r)
points(path("tagger"), LAYERS, merged={"merge": [2]})
r = run("eval", path("tagger"), "--task", "tagging", "--data", tags, "--budget", "@merged", "--json")
check("merged words answer, each for itself", r.status == 0 and 0.8 < r.json()[0]["metrics"]["f1"] and r.json()[0]["flops_ratio"] < 0.8, r)

# ---- A Funnel-Transformer, whose blocks merge by themselves ----
funnel = model_of("funnel", "FunnelForTokenClassification")
lines = "a b c d e f g h\nhello world\na b\nfoo bar baz qux a b c\n"
got = run("tag", funnel, "--json", "--cost", stdin=lines).json()
check("rows of a Funnel-Transformer and its decoder", got[0]["cost"]["rows"] == [10, 10, 5, 5, 3, 3, 10, 10], got[0])
check("alone as in a batch", [run("tag", funnel, "--json", stdin=line + "\n").json()[0]["entities"] for line in lines.splitlines()] == [row["entities"] for row in got])
config = json.load(open(os.path.join(funnel, "config.json")))
for key, value in (("block_sizes", []), ("block_sizes", [0, 1, 1]), ("block_repeats", [1]), ("pool_q_only", False), ("pooling_type", "min"), ("d_head", 7), ("num_decoder_layers", 5)):
    json.dump({**config, key: value}, open(os.path.join(funnel, "config.json"), "w"))
    r = run("tag", funnel, stdin="a\n"); check(f"{key} {value}", r.status == 1 and one_line(r), r)
json.dump(config, open(os.path.join(funnel, "config.json"), "w"))
notes = {"points": [{"name": "p", "keep": [1, None, 1, None, 1, 1, 1, 1]}]}
json.dump(notes, open(os.path.join(funnel, "rubato.json"), "w"))
r = run("tag", funnel, "--json", "--cost", "--budget", "@p", stdin=lines); check("layers between the blocks' first may be left out", r.status == 0 and r.json()[0]["cost"]["rows"] == [10, 5, 3, 3, 10, 10], r)
for keep in ([1, 1, None, 1, 1, 1, 1, 1], [1, 0.5, 1, 1, 1, 1, 1, 1]):
    json.dump({"points": [{"name": "p", "keep": keep}]}, open(os.path.join(funnel, "rubato.json"), "w"))
    r = run("tag", funnel, stdin="a\n"); check(f"no point {keep}", r.status == 1 and one_line(r) and "merge by themselves" in r.err, r)
os.remove(os.path.join(funnel, "rubato.json"))
for command in (["search", funnel, "--task", "tagging", "--data", tags], ["train", funnel, "--task", "tagging", "--data", tags, "--recipe", "anytime", "--out", path("x")], ["trim", funnel, "--layers", 0, "--out", path("x")]):
    r = run(*command); check(f"{command[0]} says that it cannot", r.status == 1 and one_line(r), r)
learn = ["train", funnel, *common, "--rate", "3e-3", "--epochs", 12, "--labels", "neg,pos"]
r = run(*learn, "--out", path("funnel")); one = run(*learn, "--threads", 1, "--out", path("funnel-1"))
check("a Funnel-Transformer is fine-tuned", r.status == 0 and r.json()[0]["best"] > 0.8, r)
check("on one thread the same, to the bit", one.status == 0 and read("funnel/model.safetensors") == read("funnel-1/model.safetensors"), one)
saved = read("funnel/model.safetensors"); header = json.loads(saved[8:8 + int.from_bytes(saved[:8], "little")])
def shape(name): return header["funnel.encoder.blocks.0.1.attention." + name]["shape"]
check("in the shapes that transformers reads", shape("r_kernel") == [24, 3, 8] and shape("seg_embed") == [2, 3, 8] and shape("r_w_bias") == shape("r_r_bias") == [3, 8] and "funnel.encoder.blocks.0.1.attention.q_head.bias" not in header, header.keys())
r = renew("quantize", path("funnel"), "--to", "int8", "--task", "classification", "--data", dev, "--out", path("funnel8"), "--json"); check("quantised", r.status == 0 and r.json()[0]["after"] > r.json()[0]["before"] - 0.05, r)

# ---- Wrong input ----
for merge in ([0], [LAYERS + 1], ["x"], [1.5]):
    points(model, LAYERS, bad={"merge": merge}); r = run("classify", model, stdin="a\n"); check(f"merge {merge}", r.status == 1 and one_line(r) and "merges" in r.err, r)
points(model, LAYERS, bad={"merge": [2], "exit": {"rule": "entropy", "threshold": 0.1, "unit": "token"}}); r = run("classify", model, stdin="a\n"); check("tokens that leave one by one do not merge", r.status == 1 and one_line(r), r)
r = renew("train", model, *common, "--recipe", "length-adaptive", "--merges", "x", "--out", path("x")); check("--merges x", r.status == 2 and one_line(r), r)
finish()
