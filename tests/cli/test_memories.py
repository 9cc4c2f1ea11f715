#!/usr/bin/env python3
"""Memories with product keys: models that get them and lose them, learning, sizes, operating points, and how much texts use them.

    test_memories.py RUBATO GOLDEN_FOLDER
"""
import json, os, subprocess

from program import check, finish, golden, interrupt, model, one_line, path, rubato, run, write
from weights import tensors, write_tensors

TEXTS = "hello world\na bc d e f g h i j k l m n o p\nb\n"
SMALL = ",heads=2,selected=3,query=8,slots=64"
plain = os.path.join(golden, "bert")


def answers(folder, *more): return run("embed", folder, "--json", *more, stdin=TEXTS).json()
def far(a, b): return max(abs(x - y) for r, s in zip(a, b) for x, y in zip(r["embedding"], s["embedding"]))
def convert(name, form, *more, of=plain, layers="0,1"): return run("convert", of, "--memory", form, *(["--layers", layers] if layers else []), *more, "--out", path(name), "--overwrite", "--json")
def config(name): return json.load(open(path(f"{name}/config.json")))
def weights(name): return {n: v[2] for n, v in tensors(path(name)).items()}


want = answers(plain)

# ---- Getting memories, and losing them ----
for form in ("res", "after"):
    r = convert("zero", form + SMALL, "--zero-values"); check(f"{form}: zero values change nothing, to the bit", r.status == 0 and answers(path("zero")) == want, r)
    r = convert("rich", form + SMALL); check(f"{form}: other values do", r.status == 0 and far(answers(path("rich")), want) > 1e-3, r)
    check(f"{form}: what was made", "64 slots" in r.json()[0]["feed_forward"] and "layers 0,1" in r.json()[0]["feed_forward"], r)
    noted = config("rich")
    check(f"{form}: transformers refuses it, and config.json says why", noted["model_type"] == "rubato-bert" and "--memory none" in noted["feed_forward"]["note"] and noted["feed_forward"]["layers"] == [0, 1], noted)
    r = convert("back", "none", of=path("rich"), layers=None)
    check(f"{form}: without memories it is what it was, to the bit", r.status == 0 and answers(path("back")) == want and config("back")["model_type"] == "bert" and "feed_forward" not in config("back"), r)
r = convert("pkm", "pkm" + SMALL); check("pkm", r.status == 0 and far(answers(path("pkm")), want) > 1e-3, r)
check("pkm: the feed-forward parts are gone", not any("layer.1.intermediate" in n for n in weights("pkm")) and any("layer.2.intermediate" in n for n in weights("pkm")))
r = convert("none", "none", of=path("pkm"), layers=None); check("pkm cannot go back", r.status == 1 and one_line(r) and "gone" in r.err, r)
a, b = (convert(n, "res" + SMALL, "--seed", seed) for n, seed in (("one", 1), ("two", 2)))
check("seeds", weights("one") != weights("two"))
convert("two", "res" + SMALL, "--seed", 1); check("a seed repeats", weights("one") == weights("two"))
r = run("info", path("one")); check("info", "memory (res, 64 slots, 3 of them for each of 2 heads" in r.out and "in layers 0,1" in r.out, r)
r = convert("shared", "res,shared=true,gated=true" + SMALL); check("shared values and a gate", r.status == 0 and sum(n.endswith("values.weight") for n in weights("shared")) == 1 and any("memory.gate" in n for n in weights("shared")), r)
r = run("convert", plain, "--memory", "res", "--layers", "1", "--slots", 16, "--out", path("option"), "--json"); check("--slots", r.status == 0 and "16 slots, 4 of them" in r.json()[0]["feed_forward"], r)
head = model("bert", "BertForSequenceClassification")
r = convert("head", "res" + SMALL, of=head); check("a head stays", r.status == 0 and run("classify", path("head"), "--json", stdin=TEXTS).status == 0, r)
r = run("trim", path("one"), "--layers", "1", "--out", path("cut")); check("trim keeps the memories of the layers that stay", r.status == 0 and config("cut")["feed_forward"]["layers"] == [0], r)

# ---- Alone and in company, threads ----
check("texts alone have the bits that they have together", [run("embed", path("one"), "--json", stdin=t + "\n").json()[0]["embedding"] for t in TEXTS.splitlines()] == [r["embedding"] for r in answers(path("one"))])
check("threads", answers(path("one"), "--threads", 1) == answers(path("one"), "--threads", 3))

# ---- Number formats ----
base = answers(path("shared"))
for to, most in (("bf16", 0.05), ("int8", 0.2)):
    r = run("quantize", path("shared"), "--to", to, "--out", path(to)); check(f"quantize --to {to}", r.status == 0 and far(answers(path(to)), base) < most, r)
sizes = {n: len(d) for n, d in weights("int8").items()}
check("values in bytes, with a scale for each row", next(v for n, v in sizes.items() if n.endswith("memory.values.weight")) == 64 * int(config("int8")["hidden_size"]) and any(n.endswith("memory.values.scale") for n in sizes), sizes)
r = run("quantize", path("int8"), "--to", "f32", "--out", path("wide")); check("back to f32", r.status == 0 and far(answers(path("wide")), answers(path("int8"))) < 0.2, r)
r = run("convert", plain, "--memory", "res" + SMALL, "--layers", "0", "--store", "f16", "--out", path("half")); check("stored in f16", r.status == 0 and far(answers(path("half")), want) > 1e-4, r)

# ---- Learning ----
text = write("text.txt", TEXTS * 30)
dev = write("dev.txt", "hello world a b c d\nb c d e f g h i j\n" * 4)
def train(name, *more, of="one"): return run("train", path(of), "--task", "mlm", "--data", text, "--max-length", 16, "--rate", "1e-3", "--quiet", *more, "--out", path(name))
for of in ("one", "pkm", "shared"):
    r = train(f"learned-{of}", "--steps", 8, "--threads", 1, of=of); check(f"{of} learns", r.status == 0 and weights(f"learned-{of}") != weights(of), r)
    r = train("again", "--steps", 8, "--threads", 3, "--overwrite", of=of); check(f"{of}: the same bits on any number of threads", r.status == 0 and weights("again") == weights(f"learned-{of}"), r)
moved = weights("learned-one")
name = next(n for n in moved if n.endswith("layer.1.memory.norm.running_mean"))
check("running statistics moved", moved[name] != weights("one")[name])
r = train("lazy", "--steps", 8, "--memory-rate", "1e-2"); check("--memory-rate", r.status == 0 and weights("lazy") != moved, r)
r = train("dense", "--steps", 8, "--memory-dense"); check("--memory-dense", r.status == 0 and weights("dense") != moved, r)
r = run("train", plain, "--task", "mlm", "--data", text, "--steps", 2, "--max-length", 16, "--memory-rate", 1, "--out", path("no")); check("rates of memories need memories", r.status == 2 and one_line(r) and "no memories" in r.err, r)
r = train("learned-bf16", "--steps", 3, "--precision", "bf16"); check("in bf16", r.status == 0, r)
r = train("int8-learned", "--steps", 3, "--precision", "int8"); check("in int8", r.status == 0, r)
# A run that was interrupted goes on to the bit.
r = train("whole", "--steps", 12, "--checkpoint-steps", 4, "--dev", dev, "--eval-steps", 4); check("with a dev set", r.status == 0, r)
stopped = subprocess.Popen([rubato, "train", path("one"), "--task", "mlm", "--data", text, "--max-length", "16", "--rate", "1e-3", "--quiet", "--steps", "12", "--checkpoint-steps", "4", "--dev", dev, "--eval-steps", "4", "--out", path("parts")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
interrupt(stopped, lambda: os.path.exists(path("parts/metrics.jsonl")) and open(path("parts/metrics.jsonl")).read().count("\n") >= 5)
r = train("parts", "--steps", 12, "--checkpoint-steps", 4, "--dev", dev, "--eval-steps", 4, "--resume"); check("a run goes on where it stopped, to the bit", r.status == 0 and weights("parts") == weights("whole"), r)
judged = [json.loads(l) for l in open(path("whole/metrics.jsonl")) if "perplexity" in l]
check("metrics.jsonl tells the use of memories", len(judged) == 3 and [m["layer"] for m in judged[-1]["memory"]] == [0, 1] and 0 < judged[-1]["memory"][0]["used_first"] <= judged[-1]["memory"][0]["used"] <= 1, judged)
rows = write("rows.tsv", "text\tlabel\n" + "a b c\tx\nd e f\ty\n" * 40)
r = run("train", path("learned-one"), "--task", "classification", "--data", rows, "--epochs", 1, "--recipe", "length-adaptive", "--length-drop", 0.4, "--quiet", "--out", path("any")); check("length-adaptive", r.status == 0, r)

# ---- Operating points ----
notes = json.load(open(path("any/rubato.json")))
ones = [1, 1]
layers = config("any")["num_hidden_layers"]
def at(name, heads, selected, cost): return {"name": name, "quality": None, "flops_ratio": cost, "ms": None, "keep": [1] * layers, "memory": heads + [1] * (layers - 2), "selected": selected + [1] * (layers - 2)}
notes["points"] = [at("less", [0.5, 1], [1, 0.4], 0.9), at("none", [0, 0], ones, 0.8)]
json.dump(notes, open(path("any/rubato.json"), "w"))
full, less, none = (run("classify", path("any"), "--json", "--budget", b, stdin=TEXTS) for b in ("full", "@less", "@none"))
check("memories of which a part runs", full.status == less.status == none.status == 0 and full.out != less.out != none.out, less)
r = run("search", path("any"), "--task", "classification", "--data", rows, "--limit", 40, "--axes", "lengths,memory", "--iterations", 2, "--mutations", 6, "--crossovers", 4, "--overwrite", "--quiet"); check("search with memories", r.status == 0, r)
found = [json.loads(l) for l in open(path("any/search.jsonl"))][1:]
check("candidates have less of the memories", any("memory" in c["point"] if "point" in c else "memory" in json.dumps(c) for c in found), found[-1])
r = run("search", head, "--task", "classification", "--data", rows, "--axes", "memory", "--quiet"); check("an axis that the model lacks", r.status == 2 and one_line(r) and "memories" in r.err, r)
notes["points"][0]["memory"] = [2] * layers; json.dump(notes, open(path("any/rubato.json"), "w"))
r = run("info", path("any")); check("a part above 1", r.status == 1 and one_line(r) and "memory" in r.err, r)

# ---- Use ----
r = run("memory", path("whole"), "--data", dev, "--json"); use = r.json()
check("memory", r.status == 0 and [u["layer"] for u in use] == [0, 1] and all(u["slots"] == 64 and 0 < u["used_first"] <= u["used"] <= 1 and u["slots_50"] <= u["slots_90"] <= u["slots_99"] <= 64 and u["kl"] >= 0 and u["gini"] < 1 for u in use), r)
r = run("memory", path("whole"), "--data", dev, "--limit", 1); check("as words", r.status == 0 and "of 1 texts" in r.out, r)
check("threads do not matter", run("memory", path("whole"), "--data", dev, "--json", "--threads", 1).out == run("memory", path("whole"), "--data", dev, "--json", "--threads", 3).out)
r = run("memory", path("whole"), path("parts"), "--plot", path("use.svg")); check("a plot", r.status == 0 and open(path("use.svg")).read().count("<polyline") == 4, r)
for more, word in (([plain, "--data", dev], "no memories"), ([path("whole")], "--data"), ([path("whole"), path("parts"), "--data", dev], "one model"), ([plain, "--plot", path("x.svg")], "metrics.jsonl"), ([path("whole"), "--data", path("missing")], "missing")):
    r = run("memory", *more); check(f"memory {word}", r.status in (1, 2) and one_line(r) and word in r.err, r)
open(path("whole/metrics.jsonl"), "a").write('{"memory": [{"layer": -1}, 3, {"layer": 1e99, "used_first": "x"}], "step": "a"}\nnull\n\0\n{"mem')
check("a damaged line", run("memory", path("whole"), "--plot", path("use.svg")).status == 0)

# ---- Damaged weights ----
whole = tensors(path("one"))
for name in [n for n in whole if "layer.0.memory" in n]:
    os.makedirs(path("damaged"), exist_ok=True)
    for file in ("config.json", "tokenizer.json"): write(f"damaged/{file}", open(path(f"one/{file}")).read())
    write_tensors(path("damaged"), {n: v for n, v in whole.items() if n != name})
    r = run("embed", path("damaged"), stdin=TEXTS); check(f"without {name}", (r.status == 1 and one_line(r) and name.split("layer.")[1] in r.err) or (r.status == 0 and name.endswith("query.bias")), r)
    kind, shape, data = whole[name]
    write_tensors(path("damaged"), {**whole, name: (kind, [shape[0] - 1, *shape[1:]], data[:len(data) // shape[0] * (shape[0] - 1)])})
    r = run("embed", path("damaged"), stdin=TEXTS); check(f"shorter {name}", r.status == 1 and one_line(r) and "config.json" in r.err, r)

# ---- Refusals ----
for form, layers_of, word in (("res", None, "--layers"), ("ram", "0", "ram"), ("res,slots=63", "0", "square"), ("res,slots=0", "0", "slots"), ("res,slots=64,selected=9", "0", "selected"), ("res,query=7", "0", "query"),
                              ("res,heads=0", "0", "heads"), ("res,heads=99", "0", "heads"), ("res,color=3", "0", "color"), ("res,note=3", "0", "setting"), ("res,layers=3", "0", "setting"), ("res,slots=64,slots=64", "0", "twice"), ("", "0", "memory"), ("res", "9", "layer"),
                              ("none", None, "no memories"), ("res,slots=100000000000000", "0", "slots"), ("res,gated=maybe", "0", "gated")):
    r = convert("no", form, layers=layers_of); check(f"--memory {form} --layers {layers_of}", r.status in (1, 2) and one_line(r) and word in r.err and not os.path.exists(path("no")), r)
r = convert("no", "res", of=path("one")); check("memories twice", r.status == 1 and one_line(r) and "already" in r.err, r)
r = run("convert", plain, "--layers", "0", "--out", path("no")); check("--layers alone", r.status == 2 and one_line(r), r)
r = run("convert", plain, "--attention", "linformer", "--memory", "res", "--layers", "0", "--slots", 16, "--out", path("no")); check("whose slots", r.status == 2 and one_line(r) and "slots" in r.err, r)
for family in ("albert", "funnel"):
    r = convert("no", "res", of=os.path.join(golden, family), layers="0"); check(f"{family}", r.status == 1 and one_line(r), r)
for family in ("distilbert", "roberta", "mpnet", "electra"):
    r = convert(family, "res" + SMALL, of=os.path.join(golden, family), layers="0"); check(f"{family}", r.status == 0 and run("embed", path(family), stdin=TEXTS).status == 0, r)

finish()
