#!/usr/bin/env python3
"""Fewer heads and neurons: that a narrow point is the model without them, and how such models are trained and searched.

    test_widths.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, shutil, struct

from program import candidates, renew, check, finish, golden, isas, large, one_line, path, points, read, run, texts, work, write_labelled

random.seed(3)
LAYERS, HIDDEN, HEADS, INNER = 2, 128, 4, 512


def tensors(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        return json.loads(f.read(size)), bytearray(f.read())


def put(folder, header, body):
    text = json.dumps(header).encode()
    file = os.path.join(folder, "model.safetensors")
    if os.path.islink(file): os.remove(file)
    with open(file, "wb") as f: f.write(struct.pack("<Q", len(text)) + text + body)


def widths(heads, neurons): return {"heads": heads, "neurons": neurons}


lines = "".join(" ".join(w) + "\n" for w in texts(60))


def scores(folder, budget="full", *more):
    r = run("classify", folder, "--raw", "--json", "--cost", "--budget", budget, *more, stdin=lines)
    return [(row["scores"], row["cost"]) for row in r.json()] if r.status == 0 else r


# ---- A narrow point is the model whose other heads and neurons give nothing, to the bit ----
model = large(2, LAYERS, HIDDEN)
header, body = tensors(model)
heads, neurons = [3, 1], [96, 352]
for i in range(LAYERS):
    for name, kept in ((f"bert.encoder.layer.{i}.attention.output.dense.weight", heads[i] * HIDDEN // HEADS), (f"bert.encoder.layer.{i}.output.dense.weight", neurons[i])):
        rows, columns = header[name]["shape"]
        first = header[name]["data_offsets"][0]
        for row in range(rows):
            at = first + 2 * (row * columns + kept)
            body[at:first + 2 * (row + 1) * columns] = bytes(2 * (columns - kept))
cut = path("cut"); shutil.copytree(model, cut, symlinks=True); put(cut, header, body)
points(model, LAYERS, slim=widths([h / HEADS for h in heads], [f / INNER for f in neurons]), all=widths([1] * LAYERS, [1] * LAYERS), quarter=widths([0.25] * LAYERS, [0.25] * LAYERS))
want, got, plain = scores(cut), scores(model, "@slim"), scores(model)
check("f32", [s for s, _ in got] == [s for s, _ in want] and [s for s, _ in got] != [s for s, _ in plain], got[:1], want[:1])
check("all of them is the plain model", [s for s, _ in scores(model, "@all")] == [s for s, _ in plain])
n = got[0][1]["rows"][0]
flops = sum(8 * n * HIDDEN * HIDDEN * h // HEADS + 4 * n * n * HIDDEN * h // HEADS + 4 * n * HIDDEN * f for h, f in zip(heads, neurons))
check("counted as what ran", abs(got[0][1]["flops"] - flops - 2 * HIDDEN * HIDDEN - 4 * HIDDEN) < 1, got[0], flops)
for how in ("bf16", "int8"):
    got, one = scores(model, "@slim", "--precision", how), scores(model, "@slim", "--precision", how, "--threads", "1")
    off = max(abs(a[k] - b[k]) for (a, _), (b, _) in zip(got, want) for k in a) / max(abs(v) for s, _ in want for v in s.values())
    check(f"{how} is near it", off < 0.05, off)
    check(f"{how}: on one thread as on all", got == [(s, dict(c, ms=d["ms"])) for (s, c), (_, d) in zip(one, got)])
for isa in isas(): check(f"{isa}: the zeroed model to the bit", [s for s, _ in scores(model, "@slim", "--isa", isa)] == [s for s, _ in scores(cut, "full", "--isa", isa)])
alone = [run("classify", model, "--raw", "--json", "--budget", "@slim", stdin=line + "\n").json()[0]["scores"] for line in lines.splitlines()[:10]]
check("alone as in a batch", alone == [s for s, _ in scores(model, "@slim")][:10])
r = run("bench", model, "--budget", "@quarter", "--length", "32", "--batch", "4", "--threads", "1", "--json"); check("bench", r.status == 0, r)

# ---- Training ----
# so few letters that a model learns it in 80 steps, yet not so well that every width is right
data = write_labelled("train.tsv", texts(150, "abcde", 9))
dev = write_labelled("dev.tsv", texts(60, "abcde", 9))
all_data = ["--task", "classification", "--data", data, "--dev", dev, "--rate", "1e-3", "--batch-size", "8", "--dropout", "0", "--quiet", "--json"]
common = [*all_data, "--limit", 60]
r = renew("train", model, *all_data, "--epochs", 4, "--labels", "neg,pos", "--new-head", "--out", path("ft"))
check("a model to begin with", r.status == 0 and r.json()[0]["best"] > 0.85, r)
before = scores(path("ft"))
for recipe in ("slimmable", "dynabert", "anytime"):
    r = renew("train", path("ft"), *common, "--recipe", recipe, "--epochs", 1, "--rate", "5e-4", "--out", path(recipe))
    check(f"{recipe} learns", r.status == 0 and r.json()[0]["best"] > 0.75, r)
    r = renew("search", path(recipe), "--task", "classification", "--data", data, "--holdout", dev, "--iterations", 2, "--mutations", 8, "--crossovers", 4, "--quiet", "--json")
    found = json.load(open(path(recipe + "/rubato.json")))["points"] if r.status == 0 else []
    check(f"{recipe}: search tries fewer heads", r.status == 0 and found and '"heads":' in open(path(recipe + "/search.jsonl")).read(), r)
    check(f"{recipe}: and draws it", "fewer heads and neurons" in open(path(recipe + "/frontier.svg")).read())
    for p in found[:2]:
        e = run("eval", path(recipe), "--task", "classification", "--data", dev, "--budget", "@" + p["name"], "--json").json()[0]
        check(f"{recipe}: a point does what search said", abs(e["metrics"]["accuracy"] - p["quality"]) < 1e-6 and abs(e["flops_ratio"] - p["flops_ratio"]) < 0.03, e, p)
    if recipe == "anytime": continue
    again = renew("train", path("ft"), *common, "--recipe", recipe, "--epochs", 1, "--rate", "5e-4", "--threads", 1, "--out", path("again"))
    check(f"{recipe}: the same on one thread, to the bit", again.status == 0 and open(path("again/model.safetensors"), "rb").read() == open(path(recipe + "/model.safetensors"), "rb").read(), again)
r = renew("train", path("ft"), *all_data, "--recipe", "slimmable", "--epochs", "0.01", "--rate", "1e-12", "--dropout", "0", "--out", path("sorted"))
after = scores(path("sorted"))
check("sorting heads and neurons changes nothing but rounding", r.status == 0 and max(abs(a[k] - b[k]) for (a, _), (b, _) in zip(before, after) for k in a) < 1e-4, before[:1], after[:1])
def quarter(folder):
    points(folder, LAYERS, quarter=widths([0.25] * LAYERS, [0.125] * LAYERS))
    return run("eval", folder, "--task", "classification", "--data", dev, "--budget", "@quarter", "--json").json()[0]["metrics"]["nll"]
check("the first ones are the better ones", quarter(path("sorted")) < quarter(path("ft")), quarter(path("sorted")), quarter(path("ft")))
r = renew("quantize", path("slimmable"), "--to", "int8", "--task", "classification", "--data", dev, "--out", path("slim8"), "--json"); check("quantize keeps widths", r.status == 0 and r.json()[0]["after"] > 0.7, r)

r = renew("train", path("dynabert"), *common, "--recipe", "fastbert", "--frozen", "--epochs", 1, "--out", path("stacked"))
before, after = (json.load(open(path(f + "/rubato.json"))) for f in ("dynabert", "stacked"))
check("exits on a model of several widths keep what it was trained for", r.status == 0 and after["training"]["widths"] == before["training"]["widths"] and [p["name"] for p in after["points"]] == [p["name"] for p in before["points"] if "exit" not in p], r, after)
r = renew("search", path("stacked"), "--task", "classification", "--data", data, "--holdout", dev, "--iterations", 1, "--mutations", 8, "--crossovers", 4, "--quiet", "--json"); rows = candidates(path("stacked"))
check("and both are searched", r.status == 0 and any("exit" in p for p in rows) and any("heads" in p for p in rows), r)

was = json.load(open(path("anytime/rubato.json")))
r = renew("train", path("anytime"), *common, "--recipe", "anytime", "--refine", "--epochs", "0.01", "--rate", "1e-12", "--dropout", "0", "--out", path("refined"))
now = json.load(open(path("refined/rubato.json"))) if r.status == 0 else {}
check("anytime refines its points and keeps its exits", r.status == 0 and [p["keep"] for p in now["points"]] == [p["keep"] for p in was["points"]] and os.path.exists(path("refined/exits")), r)
narrow = next((p["name"] for p in was["points"] if p.get("heads")), None)
if narrow:
    before, after = (run("eval", path(f), "--task", "classification", "--data", dev, "--budget", "@" + narrow, "--json").json()[0]["metrics"]["nll"] for f in ("anytime", "refined"))
    check("and the order of heads and neurons that they are of", abs(before - after) < 1e-4, before, after)
r = renew("train", model, *common, "--recipe", "anytime", "--epochs", 1, "--labels", "neg,pos", "--new-head", "--out", path("headless")); check("anytime from a model without the head learns from labels", r.status == 0, r)
lengths = [*common, "--recipe", "length-adaptive", "--epochs", 1, "--seed", 4]
r = renew("train", path("ft"), *lengths, "--match-states", 1, "--out", path("matched")); s = renew("train", path("ft"), *lengths, "--teacher", path("ft"), "--out", path("taught"))
check("hidden states of rows that retire are matched", r.status == 0 and s.status == 0 and read("matched/model.safetensors") != read("taught/model.safetensors"), r, s)

# ---- Wrong input ----
r = renew("train", path("ft"), *common, "--recipe", "slimmable", "--match-states", 1, "--out", path("x")); check("--match-states elsewhere", r.status == 2 and one_line(r), r)
r = renew("train", path("ft"), *common, "--recipe", "length-adaptive", "--match-states", 1, "--teacher", large(2, LAYERS + 1, HIDDEN), "--labels", "l0,l1", "--out", path("x")); check("a teacher of other layers", r.status == 2 and one_line(r), r)
for given in ("0.5,1", "0.9", "x", "1,0", ""):
    r = renew("train", path("ft"), *common, "--recipe", "slimmable", "--widths", given, "--out", path("x")); check(f"widths \"{given}\"", r.status == 2 and one_line(r), r)
r = renew("train", os.path.join(golden, "bert"), *common, "--recipe", "slimmable", "--out", path("x")); check("sizes that do not divide", r.status == 1 and one_line(r) and "multiples" in r.err, r)
r = renew("train", path("ft"), *common, "--recipe", "slimmable", "--precision", "int8", "--out", path("x")); check("no widths in int8 training", r.status == 1 and one_line(r), r)
points(path("ft"), LAYERS, odd=widths([0.5] * LAYERS, [2] * LAYERS)); r = run("classify", path("ft"), stdin="a\n"); check("a width above 1", r.status == 1 and one_line(r) and "neurons" in r.err, r)
finish()
