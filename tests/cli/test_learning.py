#!/usr/bin/env python3
"""train, search, calibrate and budgets as a user runs them, on a small model and made-up data.

    test_learning.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, shutil, subprocess

from program import candidates, renew, check, finish, golden, interrupt, kill, letters, lines_of, one_line, path, read, rubato, run, texts, work, write, write_labelled

bert = os.path.join(golden, "bert")
random.seed(1)


data = write_labelled("train.tsv", texts(300, "abcde", 9))
dev = write_labelled("dev.tsv", texts(100, "abcde", 9))
common = ["--task", "classification", "--data", data, "--rate", "3e-3", "--batch-size", "8", "--quiet"]
calm = ["--dropout", 0]  # so small a model learns much faster without
brief = ["--limit", 100]  # where it need not learn


def train(out, *more, start=bert): return renew("train", start, *common, "--out", path(out), *more)


# ---- Training ----
r = train("ft", "--dev", dev, "--epochs", 6, *calm, "--json")
check("fine-tuning learns", r.status == 0 and r.json()[0]["best"] > 0.85 and r.json()[0]["metric"] == "accuracy", r)
rows = [json.loads(l) for l in open(path("ft/metrics.jsonl"))]
losses = [row["loss"] for row in rows if "loss" in row]
check("a line of metrics a step", len(losses) == 6 * 38 and losses[-1] < losses[0] and any("accuracy" in row for row in rows))
config = json.load(open(path("ft/config.json")))
check("config.json", config["architectures"] == ["BertForSequenceClassification"] and config["id2label"] == {"0": "neg", "1": "pos"}, config)
r = run("classify", path("ft"), "--json", stdin="a a a\nb b b\n"); rows = r.json()
check("the result is a model", r.status == 0 and rows[0]["label"] == "pos" and rows[1]["label"] == "neg", r)
train("one", "--epochs", 2, *brief); train("two", "--epochs", 2, *brief, "--threads", 1); train("three", "--epochs", 2, *brief, "--seed", 5)
check("a run repeats to the bit, with any number of threads", read("one/model.safetensors") == read("two/model.safetensors"))
check("another seed is another run", read("one/model.safetensors") != read("three/model.safetensors"))

# ---- Stopping and going on ----
p = subprocess.Popen([rubato, "train", bert, *common[:-1], "--epochs", "400", "--out", path("stopped")], stderr=subprocess.PIPE, text=True)
err = interrupt(p, lambda: lines_of("stopped/metrics.jsonl") > 100)[1]
check("Ctrl-C saves", p.returncode == 1 and "--resume goes on" in err and os.path.exists(path("stopped/training.safetensors")), err)
for recipe in ("finetune", "length-adaptive", "power-bert"):
    whole, parts = "whole-" + recipe, "parts-" + recipe
    more = ["--recipe", recipe, "--epochs", 2, *brief, "--checkpoint-steps", 7, "--eval-steps", 5, "--dev", dev]
    train(whole, *more)
    p = subprocess.Popen([rubato, "train", bert, *common, "--out", path(parts), *map(str, more)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    kill(p, lambda: os.path.exists(path(parts + "/training.safetensors")))
    r = renew("train", bert, *common, "--out", path(parts), *more, "--resume")
    check(f"a killed {recipe} goes on to the same bits", r.status == 0 and read(parts + "/model.safetensors") == read(whole + "/model.safetensors"), r)

# ---- bfloat16 ----
learn = ["--dev", dev, "--epochs", 6, *calm, "--json"]
wide = run("eval", path("ft"), "--task", "classification", "--data", dev, "--json").json()[0]["metrics"]["accuracy"]
narrow = train("narrow", *learn, "--precision", "bf16")
check("bf16 learns as well", narrow.status == 0 and narrow.json()[0]["best"] > wide - 0.05, wide, narrow)
a, b = ([json.loads(l) for l in open(path(f + "/metrics.jsonl")) if "loss" in l] for f in ("ft", "narrow"))
check("and by the same way", all(abs(x["loss"] - y["loss"]) < 0.03 for x, y in zip(a[:5], b[:5])) and any(x["loss"] != y["loss"] for x, y in zip(a, b)), a[:5], b[:5])
def same_bits(precision):
    one, two = (train(name, *brief, "--epochs", 1, "--precision", precision, *more) for name, more in (("one", []), ("two", ["--threads", 1])))
    return one.status == two.status == 0 and read("one/model.safetensors") == read("two/model.safetensors")
check("to the bit on any number of threads", same_bits("bf16"))
aware = train("aware", *learn, "--precision", "int8"); check("quantisation-aware training learns", aware.status == 0 and aware.json()[0]["best"] > wide - 0.08, wide, aware)
r = renew("quantize", path("aware"), "--to", "int8", "--out", path("aware8")); r = run("eval", path("aware8"), "--task", "classification", "--data", dev, "--json")
check("and saw what quantize makes of it", r.status == 0 and abs(r.json()[0]["metrics"]["accuracy"] - aware.json()[0]["best"]) < 0.02, r, aware)
check("the same with one thread, to the bit", same_bits("int8"))
r = renew("train", bert, *common, "--precision", "int4", "--out", path("x")); check("no training in int4", r.status == 2 and "bf16" in r.err, r)

# ---- Wrong input ----
bad = write("bad.tsv", "sentence\tlabel\na\tpos\nb\tneg\nc\n")
r = renew("train", bert, "--task", "classification", "--data", bad, "--out", path("x")); check("a bad row names file and line", r.status == 1 and one_line(r) and "bad.tsv:4:" in r.err, r)
odd = write("odd.tsv", "sentence\tlabel\na\tgood\n")
r = renew("train", path("ft"), "--task", "classification", "--data", odd, "--labels", "neg,pos", "--out", path("x")); check("a label that is none", r.status == 1 and "odd.tsv:2:" in r.err and "good" in r.err, r)
r = renew("train", bert, "--task", "singing", "--data", data, "--out", path("x")); check("an unknown task", r.status == 2 and one_line(r), r)
r = renew("train", bert, "--task", "classification", "--data", data, "--recipe", "soup", "--out", path("x")); check("an unknown recipe", r.status == 2 and one_line(r) and all(word in r.err for word in ("soup", "finetune", "theseus", "electra")), r)
r = renew("train", bert, "--task", "classification", "--data", data, "--rate", "fast", "--out", path("x")); check("a rate that is no number", r.status == 2 and one_line(r), r)
r = renew("train", bert, "--task", "classification", "--data", data); check("no output folder", r.status == 2 and one_line(r), r)
r = renew("train", bert, *common[:4], "--rate", "1e6", "--epochs", 10, "--quiet", "--out", path("x")); check("a loss that explodes", r.status in (0, 1) and (r.status == 0 or "smaller --rate" in r.err), r)

# ---- Other tasks ----
tags = write("tags.conll", "".join("".join(f"{w}\t{'B-X' if w == 'a' else 'O'}\n" for w in s) + "\n" for s in texts(100)))
r = renew("train", bert, "--task", "tagging", "--data", tags, "--dev", tags, "--rate", "5e-3", "--batch-size", 4, "--epochs", 8, "--dropout", "0", "--quiet", "--json", "--out", path("tags"))
check("tagging learns", r.status == 0 and r.json()[0]["best"] > 0.7, r)
rows = []
for w in (random.sample(letters, 4) for _ in range(100)):
    k = random.randrange(4)
    rows.append(json.dumps({"question": w[k], "context": " ".join(w), "answers": [{"text": w[k], "answer_start": 2 * k}]}))
questions = write("qa.jsonl", "\n".join(rows) + "\n")
r = renew("train", bert, "--task", "qa", "--data", questions, "--dev", questions, "--rate", "4e-3", "--batch-size", 8, "--epochs", 14, "--dropout", "0", "--quiet", "--json", "--out", path("qa"))
check("qa learns", r.status == 0 and r.json()[0]["best"] > 0.5, r)
any_qa = renew("train", path("qa"), "--task", "qa", "--data", questions, "--dev", questions, "--recipe", "anytime", "--widths", "1", "--epochs", 1, "--quiet", "--json", "--out", path("any-qa"))
check("anytime trains answers, which have no exits", any_qa.status == 0 and not os.path.exists(path("any-qa/exits")) and "exits" not in json.load(open(path("any-qa/rubato.json"))), any_qa)
pairs = write("pairs.tsv", "text\tpair\tlabel\n" + "".join(f"{' '.join(a)}\t{' '.join(b)}\t{len(set(a) & set(b))}\n" for a, b in zip(texts(100, "abcd", 5), texts(100, "abcd", 5))))
for task in ("sts", "regression", "retrieval"):
    r = renew("train", bert, "--task", task, "--data", pairs, "--dev", pairs, "--rate", "5e-3", "--batch-size", 8, "--epochs", 10, "--dropout", "0", "--quiet", "--json", "--out", path(task))
    check(f"{task} trains", r.status == 0 and (task == "retrieval" or r.json()[0]["best"] > 0.3), r)
r = renew("train", bert, "--task", "mlm", "--data", data, "--dev", dev, "--rate", "5e-3", "--batch-size", 8, "--epochs", 2, "--quiet", "--json", "--out", path("mlm"))
check("mlm learns", r.status == 0 and r.json()[0]["best"] < 30, r)
r = run("fill", path("mlm"), stdin="a [MASK] c\n"); check("and fills", r.status == 0, r)

# ---- A teacher ----
bare = write("bare.tsv", "sentence\n" + "".join(" ".join(w) + "\n" for w in texts(200, "abcde", 9)))
r = renew("train", bert, "--task", "classification", "--data", bare, "--teacher", path("ft"), "--dev", dev, "--rate", "3e-3", "--batch-size", 8, "--epochs", 8, *calm, "--quiet", "--json", "--out", path("taught"))
check("a teacher needs no labels", r.status == 0 and r.json()[0]["best"] > 0.75, r)
r = renew("train", path("ft"), "--task", "classification", "--data", bare, "--teacher", path("ft"), "--rate", "1e-6", "--dropout", "0", "--epochs", 1, "--quiet", "--out", path("same"))
losses = [json.loads(l)["loss"] for l in open(path("same/metrics.jsonl"))]
check("its own pupil has nothing to learn", r.status == 0 and max(losses) < 1e-5, r, losses)
r = renew("train", bert, "--task", "classification", "--data", bare, "--out", path("x")); check("without one, labels are needed", r.status == 1 and one_line(r), r)
r = renew("train", bert, "--task", "classification", "--data", data, "--teacher", path("tags") if os.path.exists(path("tags")) else bert, "--out", path("x")); check("a teacher of another task", r.status == 1 and one_line(r) and "teacher" in r.err, r)

# ---- Trimming ----
r = renew("trim", path("ft"), "--layers", "0,2", "--vocabulary", 45, "--data", data, "--positions", 15, "--out", path("small"), "--json"); t = r.json()[0] if r.status == 0 else {}
check("trim", r.status == 0 and t["layers"] == 2 and t["vocabulary"] == 61 and t["covered"] == 1, r)
check("it says why more word pieces stay than it was told", one_line(r) and "--vocabulary 45: 61 word pieces stay" in r.err and "single characters" in r.err, r)
for more in (["--vocabulary", 45, "--quiet"], ["--vocabulary", 61]): r = renew("trim", path("ft"), *more, "--data", data, "--out", path("quiet")); check(f"and else nothing {more}", r.status == 0 and r.err == "", r)
r = run("tokenize", path("small"), "--json", stdin="a bcd z\n"); check("every letter stays", r.status == 0 and r.json()[0]["tokens"] == ["[CLS]", "a", "b", "##c", "##d", "z", "[SEP]"], r)
whole = run("classify", path("small"), "--raw", "--json", stdin="a b c\n")
r = train("small2", "--epochs", 1, "--dev", dev, *calm, "--json", start=path("small")); check("and is a start", r.status == 0 and whole.status == 0 and r.json()[0]["best"] > 0.6, r)
r = renew("trim", path("ft"), "--layers", "0,2", "--out", path("half")); a = run("classify", path("half"), "--raw", "--json", stdin="a b c\n").json()[0]
b = whole.json()[0]; check("fewer words change nothing where they are known", all(abs(a["scores"][k] - b["scores"][k]) < 1e-6 for k in a["scores"]), a, b)
r = renew("trim", path("ft"), "--layers", "0,0,1,2,2,2", "--out", path("deep"), "--json"); s = renew("trim", path("deep"), "--layers", "1,2,4", "--out", path("flat"))
check("stacked layers", r.status == 0 and r.json()[0]["layers"] == 6 and s.status == 0 and run("classify", path("flat"), "--raw", "--json", stdin="a b c\n").out == run("classify", path("ft"), "--raw", "--json", stdin="a b c\n").out, r, s)
for bad in ("7", "x", ","): r = renew("trim", bert, "--layers", bad, "--out", path("x")); check(f"layers {bad}", r.status == 2 and one_line(r), r)
for how, want in (("top:1", "0,1"), ("bottom:2", "2"), ("odd:1", "0,2"), ("even:2", "1"), ("symmetric:1", "0,2"), ("contribution:0.999999", "0,1,2")):
    r = renew("trim", bert, "--drop", how, "--data", data, "--out", path("dropped")); same = renew("trim", bert, "--layers", want, "--out", path("taken"))
    check(f"drop {how}", r.status == 0 and same.status == 0 and read("dropped/model.safetensors") == read("taken/model.safetensors"), r)
for bad in ("top:3", "top", "middle:1", "odd:2", "contribution:2", "top:x", "contribution:-1"): r = renew("trim", bert, "--drop", bad, "--data", data, "--out", path("x")); check(f"drop {bad}", r.status == 2 and one_line(r), r)
r = renew("trim", bert, "--drop", "contribution:0.9", "--out", path("x")); check("contribution needs data", r.status == 2 and one_line(r), r)
r = renew("trim", bert, "--drop", "top:1", "--layers", "0", "--out", path("x")); check("one way to choose layers", r.status == 2 and one_line(r), r)
r = renew("trim", bert, "--vocabulary", 50, "--out", path("x")); check("a vocabulary needs data", r.status == 2 and one_line(r), r)

# ---- The frontier ----
r = train("la", "--dev", dev, "--recipe", "length-adaptive", "--epochs", 2, "--length-drop", "0.4", *calm, "--json", start=path("ft"))
check("length-adaptive", r.status == 0 and r.json()[0]["best"] > 0.75, r)
shutil.copytree(path("la"), path("la2"))
search = ["--task", "classification", "--data", data, "--iterations", 3, "--mutations", 6, "--crossovers", 6, "--holdout", dev, "--quiet", "--json"]
r = renew("search", path("la"), *search); found = r.json()[0] if r.status == 0 else {"points": []}
costs, qualities = [p["flops_ratio"] for p in found["points"]], [p["quality"] for p in found["points"]]
check("search finds a rising frontier", r.status == 0 and len(costs) > 1 and costs == sorted(costs), r)
told = json.load(open(path("la/rubato.json")))
check("qualities have standard errors, and are those of held-out data", told["held_out"] == 100 and 0 < told["full_quality_error"] < 0.1 and all(0 < p["quality_error"] < 0.1 for p in told["points"]), told)
rows = candidates(path("la")); check("the log has the cost of each candidate", len({row["flops_ratio"] for row in rows}) > 5 and all(row["flops_ratio"] < 1 for row in rows if min(k or 0 for k in row["keep"]) < 1), rows[:3])
r = run("search", path("la2"), "--task", "classification", "--data", dev, "--holdout", dev); check("what tells does not choose", r.status == 1 and one_line(r) and "chosen" in r.err, r)
r = run("search", path("la2"), "--task", "classification", "--data", dev, "--axes", "exits"); check("an axis that the model lacks", r.status == 2 and one_line(r) and "exits" in r.err, r)
svg = open(path("la/frontier.svg")).read() if os.path.exists(path("la/frontier.svg")) else ""
check("and draws it", svg.startswith("<svg") and svg.rstrip().endswith("</svg>") and "uniform" in svg)
lines = open(path("la/search.jsonl")).read().splitlines()
open(path("la2/search.jsonl"), "w").write("\n".join(lines[: len(lines) // 2]) + "\n" + lines[-1][:9])
again = renew("search", path("la2"), *search, "--resume").json()[0]
shutil.copytree(path("la"), path("la3")); os.remove(path("la3/search.jsonl"))
p = subprocess.Popen([rubato, "search", path("la3"), *search[:4], "--iterations", "4000", "--overwrite"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
out, err = interrupt(p, lambda: lines_of("la3/search.jsonl") >= 12)
check("Ctrl-C ends a search with what it found", p.returncode == 1 and "--resume goes on" in err and "written" in out and json.load(open(path("la3/rubato.json")))["points"], out, err)
strip = lambda f: [(p["name"], p["quality"], p["flops_ratio"]) for p in f["points"]]
check("a resumed search ends the same", strip(again) == strip(found) and again["evaluations"] < found["evaluations"], again, found)
check("and has looked at the same candidates", open(path("la2/search.jsonl")).read().splitlines() == lines)
r = run("classify", path("la"), "--budget", "0.5x", "--cost", "--json", stdin="a a a a b c d e f g h i\na\n"); rows = r.json()
check("a budget is met", r.status == 0 and rows[0]["cost"]["flops_ratio"] <= 0.5 and rows[0]["cost"]["rows"] == sorted(rows[0]["cost"]["rows"], reverse=True) and rows[0]["cost"]["point"] != "full", r)
name = found["points"][0]["name"]
r = run("classify", path("la"), "--budget", "@" + name, "--cost", "--json", stdin="a b c d e f\n"); check("a point by name", r.status == 0 and r.json()[0]["cost"]["point"] == name, r)
r = run("classify", path("la"), "--budget", "@nothing", stdin="a\n"); check("an unknown point lists the known", r.status == 2 and one_line(r) and name in r.err, r)
r = run("classify", path("la"), "--budget", "0.01x", stdin="a\n"); check("too small a budget names the cheapest", r.status == 2 and name in r.err, r)
r = run("eval", path("la"), "--task", "classification", "--data", dev, "--budget", "@" + name, "--json"); e = r.json()[0]
check("eval at a point gives what search noted", r.status == 0 and abs(e["metrics"]["accuracy"] - qualities[0]) < 1e-6 and abs(e["flops_ratio"] - costs[0]) < 0.03, r, found["points"][0])
cache = {"XDG_CACHE_HOME": path("cache")}
r = run("classify", path("la"), "--budget", "5ms", stdin="a\n", env=cache); check("milliseconds need calibrate", r.status == 1 and one_line(r) and "calibrate" in r.err, r)
r = run("calibrate", path("la"), env=cache); check("calibrate", r.status == 0 and len(os.listdir(path("cache/rubato"))) == 1, r)
r = run("classify", path("la"), "--budget", "5ms", "--json", stdin="a\n", env=cache); check("then they are met", r.status == 0, r)
file = path("cache/rubato/" + os.listdir(path("cache/rubato"))[0]); times = json.load(open(file))
for parts in (times["alone"], times["together"]):
    for part in parts: parts[part] = [[x, x / 1000] for x, _ in parts[part]]  # a machine on which fewer rows are less time
json.dump(times, open(file, "w"))
r = run("classify", path("la"), "--budget", "0.0001ms", "--cost", "--json", stdin="a b c d e f g h\n", env=cache); check("milliseconds that not even one word takes", r.status == 2 and one_line(r) and "one word alone takes" in r.err, r)
open(file, "w").write('{"alone": {"attention": [[1, "x"]]}}')
r = run("classify", path("la"), "--budget", "5ms", stdin="a\n", env=cache); check("a damaged cost model", r.status == 1 and one_line(r), r)
r = run("info", path("la"), "--json"); check("info lists the points", r.status == 0 and [p["name"] for p in r.json()[0]["points"]] == [p["name"] for p in found["points"]] + ["full"], r)
refine = ["--dev", dev, "--recipe", "length-adaptive", "--refine", "--epochs", 1, *brief, "--json"]
kept = lambda name: [(p["keep"], p["quality"], p["ms"]) for p in json.load(open(path(name + "/rubato.json")))["points"]]
r = train("refined", *refine, start=path("ft")); check("there is nothing to refine without points", r.status == 2 and one_line(r) and "search" in r.err, r)
r = train("refined", "--dev", dev, "--refine", start=path("la")); check("not every recipe refines", r.status == 2 and one_line(r) and "length-adaptive" in r.err, r)
r = train("refined", *refine, start=path("la")); check("refining keeps the points, not what was measured of them", r.status == 0 and kept("refined") == [(k, None, None) for k, _, _ in kept("la")], r)
judged = [json.loads(row) for row in open(path("refined/metrics.jsonl")) if "points" in row]; check("and is judged by several of them", judged and len(judged[0]["points"]) == min(3, len(kept("la"))), judged)
costs = sorted(p["flops_ratio"] for p in json.load(open(path("la/rubato.json")))["points"])
r = train("cheap", *refine, "--refine-to", costs[len(costs) // 2] + 1e-6, start=path("la")); check("some of them", r.status == 0 and sorted(p["flops_ratio"] for p in json.load(open(path("cheap/rubato.json")))["points"]) == costs[:len(costs) // 2 + 1], r, costs)
r = train("cheap", *refine, "--refine-from", costs[-1] + 0.1, start=path("la")); check("none of them", r.status == 2 and one_line(r) and "no point is in that range" in r.err and f"{costs[0]:.3g}" in r.err, r)
r = train("cheap", "--dev", dev, "--recipe", "length-adaptive", "--refine-to", 0.5, start=path("la")); check("a range of nothing", r.status == 2 and one_line(r), r)
r = train("plain", "--dev", dev, "--epochs", 1, *brief, start=path("la")); check("other training drops points", r.status == 0 and kept("plain") == [], r)
r = renew("search", path("refined"), *search); check("search looks at the points it finds", r.status == 0 and all(any(row["keep"] == keep for row in candidates(path("refined"))) for keep, _, _ in kept("la")), r)
shutil.copytree(path("la"), path("again")); notes = json.load(open(path("again/rubato.json"))); before = notes.pop("points"); json.dump(notes, open(path("again/rubato.json"), "w"))
r = renew("search", path("again"), "--task", "classification", "--data", data, "--iterations", 1, "--mutations", 1, "--crossovers", 1, "--seed", 9, "--holdout", dev, "--resume", "--quiet")
after = json.load(open(path("again/rubato.json")))["points"]
known = [row["keep"] for row in candidates(path("la"))]
# a new candidate may stand for points near it whose quality is higher by no more than chance
def as_good(q, p): return q["quality"] >= p["quality"] - 3 * p["quality_error"] and q["flops_ratio"] <= p["flops_ratio"] * 1.25
check("a search that goes on loses nothing that its log knows", r.status == 0 and all(any(as_good(q, p) for q in after) for p in before) and any(q["keep"] in known for q in after), r, before, after)
r = renew("train", bert, *common, "--recipe", "power-bert", "--epochs", 3, "--dev", dev, "--soft-rate", "2e-2", "--soft-penalty", "3e-3", "--json", "--out", path("power"))
point = json.load(open(path("power/rubato.json")))["points"][0] if r.status == 0 else {"keep": [1]}
check("power-bert derives lengths", r.status == 0 and point["keep"][-1] < 0.9 and point["keep"] == sorted(point["keep"], reverse=True), r, point)

finish()
