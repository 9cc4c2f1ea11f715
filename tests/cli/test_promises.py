#!/usr/bin/env python3
"""Figures that hold: qualities from data on which no point was chosen, and budgets that are kept.

    test_promises.py RUBATO GOLDEN_FOLDER
"""
import json, os, random

from program import candidates, check, finish, golden, one_line, path, renew, run, texts, write, write_labelled

random.seed(4)
bert = os.path.join(golden, "bert")
task = ["--task", "classification"]
write_labelled("train.tsv", texts(500))
choose, tell, fresh = (write_labelled(name + ".tsv", texts(count)) for name, count in (("choose", 300), ("tell", 400), ("fresh", 600)))
r = renew("train", bert, *task, "--data", path("train.tsv"), "--recipe", "branchynet", "--epochs", 10, "--rate", "3e-3", "--quiet", "--out", path("m"))
check("a model with exits", r.status == 0, r)
search = ["search", path("m"), *task, "--data", choose, "--iterations", 3, "--mutations", 8, "--crossovers", 4, "--lowest", 0.2, "--quiet", "--json"]
r = renew(*search, "--holdout", tell); notes = json.load(open(path("m/rubato.json")))
points = notes["points"]
check("a search tells its points", r.status == 0 and len(points) > 1 and notes["held_out"] == 400 and r.json()[0]["held_out"] == 400, r)
check("and prints them", [(p["name"], round(p["quality"], 4)) for p in r.json()[0]["points"]] == [(p["name"], round(p["quality"], 4)) for p in points], r, points)
r = run(*search, "--holdout", tell, "--out", path("elsewhere")); apart = json.load(open(path("elsewhere/rubato.json")))["points"] if r.status == 0 else None
check("also those of another folder, which has no model", apart and [p["name"] for p in r.json()[0]["points"]] == [p["name"] for p in apart], r, apart)


def judge(data, budget, *more): return run("eval", path("m"), *task, "--data", data, "--budget", budget, *more, "--json").json()[0]


# ---- Qualities ----
for p in points[:3]:
    e = judge(tell, "@" + p["name"])
    check(f"@{p['name']}: quality and operations are the held-out data's", abs(e["metrics"]["accuracy"] - p["quality"]) < 1e-6 and abs(e["flops_ratio"] - p["flops_ratio"]) < 1e-5, e, p)
    q = p["quality"]; check("its standard error", abs(p["quality_error"] - max(q * (1 - q), 1 / 400) ** 0.5 / 400 ** 0.5) < 1e-6, p)
full = run("eval", path("m"), *task, "--data", tell, "--json").json()[0]["metrics"]["accuracy"]
check("the full model's too", abs(notes["full_quality"] - full) < 1e-6, notes)
labels = [line.split("\t")[1] for line in open(tell).read().splitlines()[1:]]
most = max(labels.count(l) for l in set(labels)) / len(labels)
check("no point is worse than the most frequent label", all(p["quality"] > most for p in points), most, points)
drops = [p for p in points if p["quality"] >= full - 0.05]
if drops: r = run("classify", path("m"), "--target-drop", 5, "--cost", "--json", stdin="a b c d e f\n"); check("--target-drop looks at them", r.json()[0]["cost"]["point"] == drops[0]["name"], r, drops)
check("text in words", "+-" in run("info", path("m")).out and "on average" in run("info", path("m")).out)

# ---- Budgets ----
for budget in (0.7, 0.5, 0.4):
    if points[0]["flops_ratio"] > budget: continue
    for name, data in (("told", tell), ("fresh", fresh)):
        e = judge(data, f"{budget}x")
        check(f"{budget}x is kept on average on {name} texts", e["flops_ratio"] < budget * 1.02, e["flops_ratio"])
lines = open(fresh).read().splitlines()[1:200]
r = run("classify", path("m"), "--budget", "0.6x", "--strict", "--cost", "--json", stdin="\n".join(l.split("\t")[0] for l in lines) + "\n"); rows = r.json()
check("--strict keeps it for every single text", len(rows) == len(lines) and all("error" in x or x["cost"]["flops_ratio"] <= 0.6 + 1e-6 for x in rows) and any("error" not in x for x in rows), r)
check("or refuses the text, with its length", all("no point keeps 0.6x for a text of" in x["error"] for x in rows if "error" in x), rows)
r = run("classify", path("m"), "--budget", f"{points[0]['flops_ratio'] * 0.95:.4f}x", stdin="a\n"); check("a budget below every point", r.status == 2 and one_line(r) and points[0]["name"] in r.err, r)

# ---- What is chosen on ----
r = renew(*search); halves = json.load(open(path("m/rubato.json")))
check("without --holdout half of the data tells", r.status == 0 and abs(halves["held_out"] - 150) <= 3, halves.get("held_out"))
head = json.loads(open(path("m/search.jsonl")).readline())["search"]; check("the log says on how many candidates were judged", abs(head["examples"] - 150) <= 3, head)
check("quality in the log is agreement with the full model", candidates(path("m"))[0]["quality"] == 1 and all(c["quality"] is None or c["quality"] <= 1 for c in candidates(path("m"))))
r = run(*search, "--holdout", tell, "--resume"); check("--resume with other data", r.status == 2 and one_line(r) and "other data" in r.err, r)
more = write("more.txt", "\n".join(" ".join(w) for w in texts(200)) + "\n")
r = renew(*search, "--unlabelled", more); check("texts without labels", r.status == 0 and abs(json.loads(open(path("m/search.jsonl")).readline())["search"]["examples"] - 350) <= 3, r)
few = write_labelled("few.tsv", texts(30))
r = renew(*search[:4], "--data", few, *search[6:]); notes = json.load(open(path("m/rubato.json")))
check("too few to hold some out", r.status == 0 and "held_out" not in notes and all("quality_error" not in p for p in notes["points"]), notes)
finish()
