#!/usr/bin/env python3
"""From a model to a smaller one in one command: its plan, stages, report, and how it goes on.

    test_adapt.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, re, shutil, subprocess, time

from program import check, finish, golden, interrupt, one_line, path, rubato, run, until, write
from weights import tensors, write_tensors

teacher = os.path.join(golden, "students", "teacher")


def rows(count, seed):
    draw = random.Random(seed)
    texts = [[draw.choice("abcdefgh") for _ in range(draw.randint(3, 9))] for _ in range(count)]
    return "text\tlabel\n" + "".join(f"{' '.join(t)}\tLABEL_{(t.count('a') > t.count('b')) + 2 * (t.count('a') < t.count('b'))}\n" for t in texts)


data, dev = write("train.tsv", rows(300, 1)), write("dev.tsv", rows(200, 2))


def adapt(out, *more, model=teacher, target="0.9x", task="classification", data=data, dev=dev):
    return run("adapt", model, "--task", task, "--data", data, "--dev", dev, "--target", target, "--out", path(out), *more)


# ---- The plan ----
r = adapt("planned", "--plan")
check("a plan has stages with times and writes nothing", r.status == 0 and all(s in r.err for s in ("1. tuned", "3. student", "14. measuring", "in all")) and not os.path.exists(path("planned")), r)
check("a model with a head for the labels stays", "has a head for these labels already" in r.err, r)

other = path("other-labels.tsv")
open(other, "w").write("text\tlabel\n" + "".join(f"{'a b' if i % 2 else 'c d'}\t{'up' if i % 2 else 'down'}\n" for i in range(200)))
r = adapt("other-labels", "--ways", "student", "--epochs", "1", "--json", "--quiet", data=other, dev=other); check("a head for other labels is replaced", r.status == 0 and set(json.load(open(path("other-labels/config.json")))["id2label"].values()) == {"up", "down"}, r)

r = adapt("planned", "--plan", "--json"); check("the plan as JSON", r.status == 0 and [s["name"] for s in r.json()[0]["stages"]][:3] == ["tuned", "pieces", "student"] and not r.err, r)

# ---- A whole run ----
r = adapt("small", "--json", "--quiet")
found = r.json()[0]
check("a run ends with a model", r.status == 0 and found["held_out"] == 100 and found["ratio"] <= 0.9 and found["joules"] > 0, r)
report = json.load(open(path("small/report.json")))
names = [c["name"] for c in report["candidates"]]
check("all kinds of candidates were measured", {"tuned", "tuned-int8", "student", "student-int8", "student-elastic-int8", "pruned", "pruned-int8", "pruned-elastic", "elastic", "elastic-int8"} <= set(names), names)
check("each with its quality, time, size and energy", all(0 <= c["quality"] <= 1 and c["ms"] > 0 and c["megabytes"] > 0 and c["joules"] > 0 and c["quality_error"] >= 0 for c in report["candidates"]))
meeting = [c for c in report["candidates"] if c["meets"]]
check("the best within the target is chosen", report["chosen"]["name"] == found["chosen"] and report["chosen"]["chosen_on"] == max(c["chosen_on"] for c in meeting), report["chosen"])
page = open(path("small/report.html")).read()
check("the page shows them", all(n in page for n in names) and page.count("<svg viewBox='0 0 860") == 1 and "one standard error" in page and "<script" not in page)
check("the page needs nothing else", not re.search(r"(src|href)=['\"]?(http|/|\.)", page))
r = run("classify", path("small"), "--json", *(["--budget", found["budget"]] if found["budget"] else []), stdin="a b c\n"); check("the model runs", r.status == 0 and len(r.json()) == 1, r)
shutil.move(path("small/stages"), path("aside")); r = run("info", path("small")); check("without its stages", r.status == 0, r); shutil.move(path("aside"), path("small/stages"))

# ---- Stopping and going on ----
words = ["adapt", teacher, "--task", "classification", "--data", data, "--dev", dev, "--target", "1MB", "--epochs", "30", "--out", path("on")]
p = subprocess.Popen([rubato, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
err = interrupt(p, lambda: os.path.exists(path("on/stages/pruned-whole")))[1]
check("it stops by Ctrl-C", p.returncode == 1 and "--resume" in err, err)
r = adapt("on", target="1MB"); check("without --resume it does not go on", r.status == 2 and "--resume" in r.err.strip().split("\n")[-1], r)
r = run(*words, "--resume"); check("with it, it does", r.status == 0 and " done" in r.err and "student" not in re.findall(r"of 14: (\w+)", r.err), r)
r = run(*words, "--resume", "--json", "--quiet"); check("a run that has ended tells again", r.status == 0 and r.json()[0]["megabytes"] <= 1, r)
r = run(*[w if w != "1MB" else "0.0001MB" for w in words], "--resume", "--json", "--quiet"); check("another target is judged anew", r.status == 0 and r.json()[0]["met"] is False and "is nearest to" in open(path("on/report.html")).read(), r)
r = run(*words, "--resume", "--json", "--quiet"); check("and the first one again", r.status == 0 and r.json()[0]["met"] is True, r)
r = run(*[w if w != "30" else "2" for w in words], "--resume", "--quiet"); check("another run is refused", r.status == 2 and one_line(r) and "--overwrite" in r.err, r)

# ---- Other tasks, other targets ----
r = adapt("fast", "--json", "--quiet", target="0.0001ms"); check("a target that nothing meets", r.status == 0 and r.json()[0]["met"] is False and "nearest" in open(path("fast/report.html")).read(), r)
tags = write("tags.conll", "".join("".join(f"{w} {'B-X' if w in 'ab' else 'O'}\n" for w in t) + "\n" for t in [random.Random(i).sample("abcdefg", 5) for i in range(60)]))
r = adapt("tags", "--json", "--quiet", task="tagging", data=tags, dev=tags, model=os.path.join(golden, "bert"), target="0.7x"); check("a tagger", r.status == 0 and r.json()[0]["metric"] == "f1", r)
pairs = write("pairs.tsv", "text\tpair\tlabel\n" + "".join(f"{' '.join(random.Random(i).sample('abcdef', 3))}\t{' '.join(random.Random(i + 9).sample('abcdef', 3))}\t{i % 6}\n" for i in range(80)))
for task in ("regression", "sts"):
    r = adapt(task, "--json", "--quiet", task=task, data=pairs, dev=pairs, model=os.path.join(golden, "bert"), target="0.7x"); check(task, r.status == 0 and r.json()[0]["metric"] == "spearman", r)

# ---- Ways, sizes and texts without labels ----
more = write("more.tsv", "".join(line.split("\t")[0] + "\n" for line in rows(400, 7).split("\n") if line))
r = adapt("way", "--ways", "pruned", "--unlabelled", more, "--epochs", 1, "--json", "--quiet", target="0.005MB")
names = {c["name"].split(" ")[0] for c in json.load(open(path("way/report.json")))["candidates"]}
check("one way alone", r.status == 0 and names == {"tuned", "tuned-int8", "pruned", "pruned-int8", "pruned-elastic", "pruned-elastic-int8"}, r, names)
keep = json.load(open(path("way/adapt.json")))["keep"]; check("a size decides how much stays", 0.2 <= keep < 0.5 and abs(float(json.load(open(path("way/stages/pruned-whole/training.json")))["options"]["keep"]) - keep) < 1e-9, keep)
check("small models learn of the texts without labels", len({json.load(open(path(f"{run}/stages/pruned-whole/training.json")))["data"] for run in ("small", "way")}) == 2)
r = adapt("way", "--ways", "pruned", "--unlabelled", more, "--epochs", 1, "--quiet", "--resume", "--precision", "f32" if json.load(open(path("way/adapt.json")))["precision"] == "bf16" else "bf16", target="0.005MB")
check("a run keeps its precision", r.status == 2 and one_line(r) and "--precision" in r.err, r)
for wrong, says in ((["--ways", "pruned,short"], "short"), (["--precision", "int8"], "int8"), (["--ways", ","], "no way"), (["--unlabelled", path("nothing.tsv")], "nothing.tsv")):
    r = adapt("none", "--quiet", *wrong); check(f"{wrong}", r.status in (1, 2) and one_line(r) and says in r.err, r)

# ---- Word pieces leave ----
many = path("many"); shutil.copytree(teacher, many)
ids = json.load(open(many + "/tokenizer.json")); ids["model"]["vocab"].update({f"word{i}": 61 + i for i in range(2400)}); json.dump(ids, open(many + "/tokenizer.json", "w"))
config = json.load(open(many + "/config.json")); json.dump({**config, "vocab_size": 2461}, open(many + "/config.json", "w"))
held = tensors(teacher); table = next(n for n in held if n.endswith("word_embeddings.weight")); kind, shape, values = held[table]
write_tensors(many, {**held, table: (kind, [2461, shape[1]], values + bytes(4 * 2400 * shape[1]))})
r = adapt("pieces", "--ways", "student,pruned", "--epochs", 1, "--json", "--quiet", target="0.06MB", model=many)
names = {c["name"].split(" ")[0]: c for c in json.load(open(path("pieces/report.json")))["candidates"]}
check("word pieces leave", r.status == 0 and {"tuned", "pieces", "pieces-int8", "student", "pruned-elastic-int8"} <= set(names) and json.load(open(path("pieces/config.json")))["vocab_size"] <= 2000, r, names)
ran = [json.load(open(path(f"pieces/stages/{s}/training.json"))) for s in ("pieces", "student", "pruned-whole", "pruned-elastic")]
check("the model with all pieces teaches", len({t["teacher"] for t in ran}) == 1 and all(t["teacher"] != t["model"] for t in ran), ran)
check("exits count", names["pruned-elastic-int8"]["megabytes"] > names["pruned-int8"]["megabytes"] and r.json()[0]["megabytes"] <= 0.06 or not r.json()[0]["met"], names)

# ---- Nothing is lost ----
shutil.rmtree(path("small/stages"))
r = adapt("small", "--json", "--quiet", "--resume"); check("a run that has ended keeps its model without its stages", r.status == 0 and run("classify", path("small"), stdin="a\n").status == 0, r)
shutil.copytree(path("on"), path("moved")); os.remove(path("moved/config.json")); shutil.rmtree(path("moved/stages"))
moved = json.load(open(path("moved/adapt.json"))); json.dump({**moved, "candidates": [{**c, "folder": "/nowhere"} for c in moved["candidates"]]}, open(path("moved/adapt.json"), "w"))
r = run(*[w.replace(path("on"), path("moved")) for w in words], "--resume", "--quiet"); check("a stage that is missing is an error", r.status == 1 and one_line(r) and os.path.exists(path("moved/model.safetensors")), r)
own = path("own"); shutil.copytree(teacher, own); r = run("adapt", own, "--task", "classification", "--data", data, "--dev", dev, "--target", "0.9x", "--out", own, "--overwrite", "--quiet")
check("the model itself is not replaced", r.status == 2 and one_line(r) and "itself" in r.err and sorted(os.listdir(own)) == sorted(os.listdir(teacher)), r)
record = json.load(open(path("on/adapt.json")))
for broken in ({"done": []}, {"candidates": [None]}, {"candidates": [{}]}, {"candidates": []}, {"candidates": 5}, {"metric": 3}, {"candidates": [{**record["candidates"][0], "ms": None}]}):
    json.dump({**record, **broken}, open(path("on/adapt.json"), "w"))
    r = run(*words, "--resume", "--quiet"); check(f"a record with {str(broken)[:50]}", r.status == 1 and one_line(r) and "adapt.json" in r.err, r)
json.dump(record, open(path("on/adapt.json"), "w"))
open(dev, "a").write("a b\tLABEL_0\n"); r = run(*words, "--resume", "--quiet"); check("other rows are another run", r.status == 2 and one_line(r), r)

# ---- What does not fit ----
for family in ("albert", "funnel"):
    r = adapt("none", "--quiet", model=os.path.join(golden, family)); check(f"{family} is refused before anything runs", r.status == 1 and one_line(r) and "adapt needs that" in r.err and not os.path.exists(path("none")), r)
r = adapt("none", "--quiet", model=os.path.join(golden, "fnet")); check("attention that cannot choose tokens is refused before anything runs", r.status == 1 and one_line(r) and "cannot tell which ones" in r.err and not os.path.exists(path("none")), r)
r = adapt("none", "--quiet", "--max-length", 100); check("texts that are longer than the model takes", r.status == 2 and one_line(r), r)
r = adapt("mpnet", "--quiet", "--json", model=os.path.join(golden, "mpnet"), data=write("t3.tsv", rows(40, 5))); check("a model whose heads cannot be cut goes without", r.status == 0 and not any("pruned" in c["name"] for c in json.load(open(path("mpnet/report.json")))["candidates"]), r)
r = adapt("mobile", "--quiet", "--json", model=os.path.join(golden, "students/mobile"), data=path("t3.tsv")); check("MobileBERT", r.status == 0, r)

for target in ("fast", "2", "-1ms", "0x", "2kB", ""):
    r = adapt("none", "--quiet", target=target); check(f"target {target!r}", r.status == 2 and one_line(r) and "0.3x" in r.err and not os.path.exists(path("none")), r)
r = adapt("none", "--quiet", task="mlm"); check("a task without labels", r.status == 2 and one_line(r), r)
r = adapt("none", "--quiet", dev=write("one.tsv", "text\tlabel\na\tLABEL_0\n")); check("too few examples", r.status == 1 and one_line(r) and "too few" in r.err, r)
r = adapt("none", "--quiet", "--resume"); check("nothing to resume", r.status == 2 and one_line(r), r)
r = adapt("small", "--quiet"); check("a folder that is taken", r.status == 2 and one_line(r) and "--overwrite" in r.err, r)
r = run("adapt", teacher, "--task", "classification", "--out", path("none")); check("options are missing", r.status == 2 and one_line(r) and "--target" in r.err, r)
finish()
