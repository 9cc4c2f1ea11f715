#!/usr/bin/env python3
"""From a model to a smaller one in one command: its plan, stages, report, and how it goes on.

    test_adapt.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, re, shutil, subprocess, time

from program import check, finish, golden, interrupt, one_line, path, rubato, run, until, write

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
check("a plan has stages with times and writes nothing", r.status == 0 and all(s in r.err for s in ("1. tuned", "2. student", "9. measuring", "in all")) and not os.path.exists(path("planned")), r)
check("a model with a head for the labels stays", "has a head for these labels already" in r.err, r)

# ---- A whole run ----
r = adapt("small", "--json", "--quiet")
found = r.json()[0]
check("a run ends with a model", r.status == 0 and found["held_out"] == 100 and found["ratio"] <= 0.9 and found["joules"] > 0, r)
report = json.load(open(path("small/report.json")))
names = [c["name"] for c in report["candidates"]]
check("all kinds of candidates were measured", {"tuned", "tuned-int8", "student", "student-int8", "pruned", "pruned-int8", "elastic", "elastic-int8"} <= set(names), names)
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
r = run(*words, "--resume"); check("with it, it does", r.status == 0 and " done" in r.err and "student" not in re.findall(r"of 9: (\w+)", r.err), r)
r = run(*words, "--resume", "--json", "--quiet"); check("a run that has ended tells again", r.status == 0 and r.json()[0]["megabytes"] <= 1, r)
r = run(*[w if w != "30" else "2" for w in words], "--resume", "--quiet"); check("another run is refused", r.status == 2 and one_line(r) and "--overwrite" in r.err, r)

# ---- Other tasks, other targets ----
r = adapt("fast", "--json", "--quiet", target="0.0001ms"); check("a target that nothing meets", r.status == 0 and r.json()[0]["met"] is False and "nearest" in open(path("fast/report.html")).read(), r)
tags = write("tags.conll", "".join("".join(f"{w} {'B-X' if w in 'ab' else 'O'}\n" for w in t) + "\n" for t in [random.Random(i).sample("abcdefg", 5) for i in range(60)]))
r = adapt("tags", "--json", "--quiet", task="tagging", data=tags, dev=tags, model=os.path.join(golden, "bert"), target="0.7x"); check("a tagger", r.status == 0 and r.json()[0]["metric"] == "f1", r)
pairs = write("pairs.tsv", "text\tpair\tlabel\n" + "".join(f"{' '.join(random.Random(i).sample('abcdef', 3))}\t{' '.join(random.Random(i + 9).sample('abcdef', 3))}\t{i % 6}\n" for i in range(80)))
for task in ("regression", "sts"):
    r = adapt(task, "--json", "--quiet", task=task, data=pairs, dev=pairs, model=os.path.join(golden, "bert"), target="0.7x"); check(task, r.status == 0 and r.json()[0]["metric"] == "spearman", r)

# ---- What does not fit ----
for target in ("fast", "2", "-1ms", "0x", "2kB", ""):
    r = adapt("none", "--quiet", target=target); check(f"target {target!r}", r.status == 2 and one_line(r) and "0.3x" in r.err and not os.path.exists(path("none")), r)
r = adapt("none", "--quiet", task="mlm"); check("a task without labels", r.status == 2 and one_line(r), r)
r = adapt("none", "--quiet", dev=write("one.tsv", "text\tlabel\na\tLABEL_0\n")); check("too few examples", r.status == 1 and one_line(r) and "too few" in r.err, r)
r = adapt("none", "--quiet", "--resume"); check("nothing to resume", r.status == 2 and one_line(r), r)
r = adapt("small", "--quiet"); check("a folder that is taken", r.status == 2 and one_line(r) and "--overwrite" in r.err, r)
r = run("adapt", teacher, "--task", "classification", "--out", path("none")); check("options are missing", r.status == 2 and one_line(r) and "--target" in r.err, r)
finish()
