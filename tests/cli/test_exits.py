#!/usr/bin/env python3
"""Early exits as a user trains, searches and runs them, on a small model and made-up data.

    test_exits.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, shutil, subprocess

from program import candidates, renew, check, finish, golden, kill, label, large, letters, model, one_line, path, read, rubato, run, texts, work, write, write_labelled

bert = os.path.join(golden, "bert")
random.seed(2)


data = write_labelled("train.tsv", texts(300, "abcde", 9))
dev_texts = texts(100, "abcde", 9)
dev = write_labelled("dev.tsv", dev_texts)
lines = "".join(" ".join(w) + "\n" for w in dev_texts)
common = ["--task", "classification", "--data", data, "--dev", dev, "--rate", "3e-3", "--batch-size", "8", "--dropout", "0", "--quiet", "--json"]


def train(out, *more, start): return renew("train", start, *common, "--out", path(out), *more)


def points(name, *exits, layers=3):
    """Gives a model operating points of those exit settings."""
    notes = json.load(open(path(name + "/rubato.json")))
    notes["points"] = [{"name": f"p{i}", "quality": 0.5, "flops_ratio": 0.5, "ms": None, "keep": [1] * layers, "exit": e} for i, e in enumerate(exits)]
    json.dump(notes, open(path(name + "/rubato.json"), "w"))


def scores(name, budget="full", stdin=lines, *more):
    r = run("classify", path(name), "--raw", "--json", "--cost", "--budget", budget, *more, stdin=stdin)
    return [(row["scores"], row["cost"]) for row in r.json()] if r.status == 0 else r


r = train("ft", "--epochs", 6, start=bert)
check("a model to begin with", r.status == 0 and r.json()[0]["best"] > 0.85, r)
plain = scores("ft")

# ---- Every recipe ----
rules = {"branchynet": {"rule": "entropy", "threshold": 0}, "deebert": {"rule": "entropy", "threshold": 0}, "right-tool": {"rule": "confidence", "threshold": 1.1},
         "fastbert": {"rule": "entropy", "threshold": 0}, "pabee": {"rule": "patience", "patience": 3}, "act": None}
for recipe, mean in [(name, False) for name in rules] + [("right-tool", True), ("act", True), ("branchynet", True)]:
    never, name = rules[recipe], recipe + ("-mean" if mean else "")
    r = train(name, "--recipe", recipe, "--epochs", 1, *(["--exit-mean"] if mean else []), start=path("ft"))
    check(f"{name} learns", r.status == 0 and r.json()[0]["best"] > 0.6, r)
    whole = scores(name)
    looser = {"rule": "halting", "threshold": 0.9} if recipe == "act" else {"rule": "confidence", "threshold": 0} if recipe == "right-tool" else {"rule": "patience", "patience": 1} if recipe == "pabee" else {"rule": "entropy", "threshold": 1.1}
    points(name, never or looser, looser)
    if never:
        got = scores(name, "@p0")
        check(f"{name}: a threshold that is never met is the plain model, to the bit", [s for s, _ in got] == [s for s, _ in whole] and all(c["layers"] == 3 for _, c in got), got[:1], whole[:1])
    got = scores(name, "@p1")
    least = 2 if recipe == "pabee" else 1
    check(f"{name}: at the other end things leave early", min(c["layers"] for _, c in got) == least and (recipe in ("pabee", "act") or all(c["layers"] == 1 for _, c in got)), [c["layers"] for _, c in got])
    if recipe != "fastbert": # whose students are wider than this small model
        check(f"{name}: and cost less", all(c["flops_ratio"] < 1 for _, c in got if c["layers"] < 3) and all(len(c["rows"]) == c["layers"] for _, c in got))
    alone = [scores(name, "@p1", line + "\n")[0] for line in lines.splitlines()[:8]]
    check(f"{name}: alone as in a batch", all(a[0] == b[0] and a[1]["layers"] == b[1]["layers"] for a, b in zip(alone, got)), alone[0], got[0])
    one = scores(name, "@p1", lines, "--threads", "1")
    check(f"{name}: on one thread as on all", [s for s, _ in one] == [s for s, _ in got])
names = subprocess.run(["python3", "-c", "import struct,sys;f=open(sys.argv[1],'rb');n=struct.unpack('<Q',f.read(8))[0];print(f.read(n).decode())", path("deebert/model.safetensors")], capture_output=True, text=True).stdout
check("exits are kept apart from the model", "dense" in names and "0.dense" not in names and os.path.exists(path("deebert/exits/model.safetensors")), names[:200])
temperatures = json.load(open(path("right-tool/rubato.json")))["exits"]["temperatures"]
check("the right tool is calibrated", all(t > 0 for t in temperatures) and any(t != 1 for t in temperatures), temperatures)

# ---- Exits alone ----
for recipe in ("deebert", "fastbert"):
    r = train("alone", "--recipe", recipe, "--frozen", "--limit", 100, "--epochs", 2, start=path("ft"))
    check(f"{recipe} --frozen leaves the model as it is", r.status == 0 and read("alone/model.safetensors") == read("ft/model.safetensors"), r)
bare = write("bare.tsv", "sentence\tlabel\n" + "".join(f"{' '.join(w)}\t{random.choice(['pos', 'neg'])}\n" for w in texts(200, "abcde", 9)))
r = renew("train", path("ft"), "--task", "classification", "--data", bare, "--dev", dev, "--rate", "3e-3", "--batch-size", 8, "--recipe", "fastbert", "--frozen", "--epochs", 3, "--quiet", "--json", "--out", path("student"))
points("student", {"rule": "fixed", "first": 2})
got = run("eval", path("student"), "--task", "classification", "--data", dev, "--budget", "@p0", "--json").json()[0]
check("students learn from the model, not from labels", got["metrics"]["accuracy"] > 0.8 and got["left_after"][1] > 0.999, got)

# ---- Stopping and going on ----
more = ["--recipe", "deebert", "--epochs", 2, "--limit", 100, "--dropout", "0.1", "--checkpoint-steps", 7, "--eval-steps", 5]
train("whole", *more, start=bert)
p = subprocess.Popen([rubato, "train", bert, *common, "--out", path("parts"), *map(str, more)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
kill(p, lambda: os.path.exists(path("parts/metrics.jsonl")) and b'"deebert"' in read("parts/metrics.jsonl"))
r = train("parts", *more, "--resume", start=bert)
check("a killed run goes on to the same bits, both stages", r.status == 0 and read("parts/model.safetensors") == read("whole/model.safetensors") and read("parts/exits/model.safetensors") == read("whole/exits/model.safetensors"), r)

# ---- Search ----
for recipe in ("branchynet", "pabee"):
    r = renew("search", path(recipe), "--task", "classification", "--data", data, "--holdout", dev, "--iterations", 2, "--mutations", 5, "--crossovers", 5, "--quiet", "--json")
    found = json.load(open(path(recipe + "/rubato.json")))["points"] if r.status == 0 else []
    leaving = [p for p in found if "exit" in p]
    check(f"{recipe}: search finds points that leave early", leaving and all(p["alive"][0] == 1 and sorted(p["alive"], reverse=True) == p["alive"] for p in leaving), r)
    for p in leaving[:2]:
        e = run("eval", path(recipe), "--task", "classification", "--data", dev, "--budget", "@" + p["name"], "--json").json()[0]
        check(f"{recipe}: a point does what search said", abs(e["metrics"]["accuracy"] - p["quality"]) < 1e-6 and abs(e["flops_ratio"] - p["flops_ratio"]) < 0.02, e, p)
        check(f"{recipe}: those leave whom search saw leave", all(abs(1 - sum(e["left_after"][:i]) - part) < 0.1 for i, part in enumerate(p["alive"])), e, p)
svg = open(path("branchynet/frontier.svg")).read()
check("and draws them", "leaving early alone" in svg and "everything out at one exit" in svg)
r = run("classify", path("branchynet"), "--budget", "0.7x", "--json", "--cost", stdin=lines)
check("a budget takes them", r.status == 0 and min(row["cost"]["layers"] for row in r.json()) < 3, r)
again = renew("search", path("branchynet"), "--task", "classification", "--data", data, "--holdout", dev, "--iterations", 2, "--mutations", 5, "--crossovers", 5, "--quiet", "--json", "--resume")
check("a search goes on", again.status == 0 and again.json()[0]["evaluations"] < 40, again)

notes = json.load(open(path("branchynet/rubato.json")))
fit = [p for p in notes["points"] if p["quality"] >= notes["full_quality"] - 0.03]
r = run("classify", path("branchynet"), "--target-drop", 3, "--json", "--cost", stdin="a a\n")
check("the cheapest point that loses no more", r.status == 0 and fit and r.json()[0]["cost"]["point"] == min(fit, key=lambda p: p["flops_ratio"])["name"], r, notes["full_quality"], fit)
same = run("classify", path("branchynet"), "--budget", "drop:3", "--json", "--cost", stdin="a a\n"); check("as a budget too", same.json()[0]["cost"]["point"] == r.json()[0]["cost"]["point"], same)
for bad in ("drop:x", "drop:", "drop:-1"): r = run("classify", path("branchynet"), "--budget", bad, stdin="a\n"); check(f"budget {bad}", r.status == 2 and one_line(r), r)
r = run("classify", path("ft"), "--target-drop", 1, stdin="a\n"); check("a model that was not searched loses nobody knows what", r.status == 2 and one_line(r) and "search" in r.err, r)

# ---- Other tasks ----
tags = write("tags.conll", "".join("".join(f"{w}\t{'B-X' if w == 'a' else 'O'}\n" for w in s) + "\n" for s in texts(100)))
r = renew("train", bert, "--task", "tagging", "--data", tags, "--dev", tags, "--rate", "5e-3", "--batch-size", 4, "--epochs", 6, "--dropout", "0", "--recipe", "branchynet", "--quiet", "--json", "--out", path("tags"))
points("tags", {"rule": "entropy", "threshold": 0}, {"rule": "entropy", "threshold": 0.5}, {"rule": "fixed"})
full, never, some, first = (run("eval", path("tags"), "--task", "tagging", "--data", tags, "--budget", b, "--json").json()[0] for b in ("full", "@p0", "@p1", "@p2"))
check("taggers leave by sentence", r.status == 0 and full["metrics"] == never["metrics"] and some["flops_ratio"] < 1 and first["flops_ratio"] < 0.4 and first["metrics"]["f1"] > 0.5, r, some, first)
for more in ([], ["--exit-layers", "1"]):
    r = renew("train", bert, "--task", "tagging", "--data", tags, "--recipe", "anytime", "--widths", "1", "--limit", 40, "--epochs", 1, "--quiet", "--out", path(f"any{len(more)}"), *more)
    check("anytime gives taggers exits when asked", r.status == 0 and os.path.exists(path(f"any{len(more)}/exits/model.safetensors")) == bool(more), r)
token = {"rule": "entropy", "unit": "token"}
sentences = "".join(" ".join(w) + "\n" for w in texts(60))


def tagged(budget, stdin=sentences, *more):
    r = run("tag", path("tokens"), "--tokens", "--json", "--cost", "--budget", budget, *more, stdin=stdin)
    return [(row["tokens"], row["cost"]) for row in r.json()] if r.status == 0 else r


# a hidden size of no whole panels, and one of two
for start, rate, epochs in ((large(2, 3, 64), "1e-3", 2), (bert, "5e-3", 6)):
    where = f"tokens of {os.path.basename(start)}"
    r = renew("train", start, "--task", "tagging", "--data", tags, "--dev", tags, "--rate", rate, "--batch-size", 4, "--epochs", epochs, "--dropout", "0", "--recipe", "tokee", "--quiet", "--json", "--out", path("tokens"))
    check(f"{where}: tokee learns, both stages", r.status == 0 and r.json()[0]["best"] > 0.5 and '"self-sampling"' in open(path("tokens/metrics.jsonl")).read(), r)
    def stays(c): return 0 < c["rows"][-1] < c["rows"][0]
    for some_leave in (0.6 * 0.75**i for i in range(24)):  # how sure a model is depends on its training
        points("tokens", {**token, "threshold": 0}, {**token, "threshold": some_leave, "window": 1}, {**token, "threshold": 1.1}, {**token, "threshold": some_leave, "window": 50}, {"rule": "entropy", "threshold": some_leave}, {**token, "threshold": some_leave})
        if any(stays(c) for _, c in tagged("@p1")): break
    full, never, some, once, wide, sentence, alone = (tagged(b) for b in ("full", "@p0", "@p1", "@p2", "@p3", "@p4", "@p5"))
    check(f"{where}: a threshold that is never met is the plain model, to the bit", [t for t, _ in full] == [t for t, _ in never] and all(c["flops_ratio"] > 1 for _, c in never), never[:1])
    check(f"{where}: some leave, others stay", any(stays(c) for _, c in some), some[0])
    check(f"{where}: all at once", all(c["layers"] == 1 for _, c in once))
    check(f"{where}: with a window as wide as the sentence they leave as it does", [(t, c["layers"]) for t, c in wide] == [(t, c["layers"]) for t, c in sentence], *[(a[1], b[1], [x for x, y in zip(a[0], b[0]) if x != y]) for a, b in zip(wide, sentence) if (a[0], a[1]["layers"]) != (b[0], b[1]["layers"])])
    check(f"{where}: a wider window is never earlier", all(sum(a["rows"]) <= sum(b["rows"]) for (_, a), (_, b) in zip(alone, some)))
    check(f"{where}: alone as in a batch", [tagged("@p1", line + "\n")[0][0] for line in sentences.splitlines()[:8]] == [t for t, _ in some][:8])
    check(f"{where}: on one thread as on all", [t for t, _ in tagged("@p1", sentences, "--threads", "1")] == [t for t, _ in some])
state = random.getstate()
more_tags = write("more.conll", "".join("".join(f"{w}\t{'B-X' if w == 'a' else 'O'}\n" for w in s) + "\n" for s in texts(60)))
random.setstate(state)
r = renew("search", path("tokens"), "--task", "tagging", "--data", more_tags, "--holdout", tags, "--iterations", 2, "--mutations", 8, "--crossovers", 4, "--quiet", "--json")
leaving = [p for p in candidates(path("tokens")) if p.get("exit", {}).get("unit") == "token" and p["quality"] and p["exit"].get("window")][:2] if r.status == 0 else []
notes = json.load(open(path("tokens/rubato.json"))); notes["points"] = [{**p, "name": f"s{i}"} for i, p in enumerate(leaving)]; json.dump(notes, open(path("tokens/rubato.json"), "w"))
check("tokens: search tries them", r.status == 0 and leaving and all(max(p["keep"]) == min(p["keep"]) == 1 for p in leaving), r)
for p in notes["points"]:
    e = run("eval", path("tokens"), "--task", "tagging", "--data", tags, "--budget", "@" + p["name"], "--json").json()[0]
    check("tokens: a point does what search said", abs(e["metrics"]["f1"] - p["quality"]) < 1e-6, e, p)
pairs = write("pairs.tsv", "text\tpair\tlabel\n" + "".join(f"{' '.join(a)}\t{' '.join(b)}\t{len(set(a) & set(b))}\n" for a, b in zip(texts(100, "abcd", 5), texts(100, "abcd", 5))))
r = renew("train", bert, "--task", "regression", "--data", pairs, "--dev", pairs, "--rate", "5e-3", "--batch-size", 8, "--epochs", 4, "--dropout", "0", "--recipe", "pabee", "--quiet", "--json", "--out", path("values"))
points("values", {"rule": "patience", "patience": 1, "threshold": 0}, {"rule": "patience", "patience": 1, "threshold": 100})
full, never, always = (run("eval", path("values"), "--task", "regression", "--data", pairs, "--budget", b, "--json").json()[0] for b in ("full", "@p0", "@p1"))
check("patience over values", r.status == 0 and full["metrics"] == never["metrics"] and always["left_after"][1] > 0.999, r, never, always)

# ---- What other commands make of them ----
points("fastbert", {"rule": "entropy", "threshold": 0.4})
r = renew("quantize", path("fastbert"), "--to", "int8", "--out", path("fast8")); got = scores("fast8", "@p0")
check("quantize keeps exits", r.status == 0 and isinstance(got, list) and min(c["layers"] for _, c in got) < 3, r, got)
r = train("finer", "--epochs", 1, "--limit", 40, start=path("fastbert"))
check("other training takes them away", r.status == 0 and "exits" not in json.load(open(path("finer/rubato.json"))), r)
r = renew("trim", path("fastbert"), "--layers", "0,2", "--out", path("trimmed")); check("so does taking layers out", r.status == 0 and "exits" not in json.load(open(path("trimmed/rubato.json"))), r)
r = run("classify", path("fastbert"), "--words", "--budget", "@p0", stdin="a a a\n"); check("--words", r.status == 0, r)

# ---- Wrong input ----
for what, change in (("an unknown rule", {"rule": "whim"}), ("tokens of a classifier", {"rule": "entropy", "threshold": 0.1, "unit": "token"}), ("an unknown unit", {"rule": "entropy", "unit": "word"}), ("a number too large", {"rule": "patience", "patience": 1 << 30})):
    points("pabee", change); r = run("classify", path("pabee"), stdin="a\n"); check(what, r.status == 1 and one_line(r) and "rubato.json" in r.err, r)
points("ft", {"rule": "entropy", "threshold": 0.1}); r = run("classify", path("ft"), stdin="a\n"); check("leaving without exits", r.status == 1 and one_line(r) and "no exits" in r.err, r)
for key, value in (("kind", "door"), ("reads", "tea leaves"), ("layers", []), ("layers", [7]), ("layers", [0, 0]), ("temperatures", [0])):
    points("pabee"); notes = json.load(open(path("pabee/rubato.json"))); old = notes["exits"][key]; notes["exits"][key] = value
    json.dump(notes, open(path("pabee/rubato.json"), "w")); r = run("classify", path("pabee"), stdin="a\n")
    check(f"exits with {key} {value}", r.status == 1 and one_line(r), r)
    notes["exits"][key] = old; json.dump(notes, open(path("pabee/rubato.json"), "w"))
os.remove(path("pabee/exits/model.safetensors")); r = run("classify", path("pabee"), stdin="a\n"); check("exits without weights", r.status == 1 and one_line(r), r)
r = train("x", "--frozen", start=path("ft")); check("frozen without exits", r.status == 2 and one_line(r), r)
r = train("x", "--exit-layers", "0", start=path("ft")); check("exits of a recipe that has none", r.status == 2 and one_line(r), r)
r = train("x", "--exit-mean", start=path("ft")); check("exits of a recipe that has none, reading means", r.status == 2 and one_line(r), r)
r = train("x", "--recipe", "fastbert", "--exit-mean", start=path("ft")); check("students that read means", r.status == 1 and one_line(r), r)
r = train("x", "--recipe", "pabee", "--exit-layers", "2", start=path("ft")); check("an exit beside the model's own head", r.status == 1 and one_line(r), r)
r = renew("train", bert, "--task", "mlm", "--data", data, "--recipe", "pabee", "--out", path("x")); check("exits of a masked language model", r.status == 1 and one_line(r), r)

# ---- Attention that cannot tell which tokens matter ----
mixed = model("fnet", "FNetForSequenceClassification")
r = renew("train", mixed, "--task", "classification", "--data", data, "--recipe", "deebert", "--epochs", 1, "--new-head", "--quiet", "--out", path("mixed")); check("exits of FNet", r.status == 0, r)
r = run("search", path("mixed"), "--task", "classification", "--data", data, "--iterations", 1, "--quiet"); check("a search leaves lengths out", r.status == 0, r)
r = run("search", path("mixed"), "--task", "classification", "--data", data, "--axes", "lengths", "--overwrite", "--quiet"); check("lengths that were asked for", r.status == 2 and "cannot tell which rows" in r.err, r)
finish()
