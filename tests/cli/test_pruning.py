#!/usr/bin/env python3
"""Recipes of pruning, and what trim --empty makes of their models.

    test_pruning.py RUBATO GOLDEN_FOLDER
"""
import json, os, shutil, struct, subprocess

from program import check, finish, golden, one_line, path, rubato, run, until, write
from weights import floats, tensors, write_tensors

folder = os.path.join(golden, "students")
teacher, data = os.path.join(folder, "teacher"), os.path.join(folder, "data.tsv")
texts = "".join(l.split("\t")[0] + "\n" for l in open(data).read().split("\n")[1:] if l)


def train(recipe, out, *more, model=teacher):
    return run("train", model, "--recipe", recipe, "--task", "classification", "--data", data, "--batch-size", 3, "--rate", "1e-3", "--dropout", 0, *more, "--quiet", "--overwrite", "--out", path(out))


def values(t): return struct.unpack(f"<{len(t[2]) // 4}f", t[2])
def zeros(out, part): v = [x for n, t in tensors(path(out)).items() if part in n and n.endswith("weight") for x in values(t)]; return sum(x == 0 for x in v) / len(v)
def answers(model): return [r["scores"] for r in run("classify", model, "--json", "--top", 3, stdin=texts).json()]
def close(a, b): return all(abs(x[k] - y[k]) < 1e-5 for x, y in zip(a, b) for k in x)


linears = ".attention.self.", ".attention.output.dense", ".intermediate.dense", ".output.dense"
# int8 products leave out zeros, where the instruction set has them
train("magnitude", "p", "--unit", "quads", "--keep", 0.2, "--steps", 20)
r = run("quantize", path("p"), "--to", "int8", "--overwrite", "--out", path("q"))
told = run("info", path("q"), "--json").json()[0]
check("int8 products leave out zeros", told.get("sparse_products", 0) == (16 if told["isa"] in ("avx2", "avxvnni", "vnni", "bf16") else 0), told)
alone = [row["scores"] for text in texts.splitlines() for row in run("classify", path("q"), "--json", "--top", 3, stdin=text + "\n").json()]
check("a short text alone, whose zeros are multiplied, has the answer that it has among others", alone == answers(path("q")), alone)

for recipe in ("magnitude", "movement", "importance"):
    for unit in ("weights", "quads"):
        r = train(recipe, "p", "--unit", unit, "--keep", 0.4, "--steps", 20)
        check(f"{recipe} of {unit}", r.status == 0 and all(abs(zeros("p", l) - 0.6) < 0.02 for l in linears), r, [zeros("p", l) for l in linears])
    r = train(recipe, "p", "--keep", 0.4, "--steps", 20)
    check(f"{recipe} of heads and neurons", r.status == 0 and abs(zeros("p", ".output.dense") - 0.6) < 0.03 and zeros("p", "query") == 0, r)
    r = run("trim", path("p"), "--empty", "--overwrite", "--out", path("cut"), "--json")
    removed = r.json()[0]
    check(f"{recipe}: trim cuts what is empty", r.status == 0 and removed["heads_removed"] == 10 and abs(removed["neurons_removed"] - 77) <= 1, r)
    check(f"{recipe}: with the same answers", close(answers(path("p")), answers(path("cut"))))
    size = lambda m: sum(len(t[2]) for n, t in tensors(path(m)).items() if ".layer." in n)
    check(f"{recipe}: and fewer weights", size("cut") < 0.5 * size("p"))
    widths = json.load(open(path("cut/config.json")))["layer_widths"]
    check(f"{recipe}: config.json says how many", sum(widths["heads"]) == 6 and sum(widths["inner"]) == 128 - removed["neurons_removed"] and json.load(open(path("cut/config.json")))["model_type"] not in ("bert", None), widths)
    r = train("finetune", "tuned", "--steps", 3, model=path("cut")); check(f"{recipe}: training goes on", r.status == 0 and json.load(open(path("tuned/config.json")))["layer_widths"] == widths, r)
    r = run("quantize", path("cut"), "--to", "int8", "--overwrite", "--out", path("small")); check(f"{recipe}: and so does the rest", r.status == 0, r)

# ---- In low precision: the same weights leave, and the others differ by rounding alone ----
exact = None
for precision in ("f32", "bf16", "int8"):
    r = train("magnitude", "p", "--unit", "quads", "--keep", 0.4, "--steps", 20, "--precision", precision)
    found = {n: values(t) for n, t in tensors(path("p")).items() if any(l in n for l in linears) and n.endswith("weight")}
    exact = exact or found
    far = max(abs(x - y) for n in exact for x, y in zip(exact[n], found[n]) if (x == 0) == (y == 0))
    other = sum((x == 0) != (y == 0) for n in exact for x, y in zip(exact[n], found[n])) / sum(map(len, exact.values()))
    check(f"pruning in {precision}", r.status == 0 and all(abs(zeros("p", l) - 0.6) < 0.02 for l in linears) and far < 0.02 and other < 0.01 and (precision == "f32") == (found == exact), r, far, other)

# ---- Rules whose scores decide how much leaves ----
r = train("l0", "p", "--keep", 0.4, "--epochs", 300, "--score-rate", 0.2); gone = zeros("p", ".output.dense"); check("l0 comes near its target", r.status == 0 and 0.35 < gone < 0.8, r, gone)
r = run("trim", path("p"), "--empty", "--overwrite", "--out", path("cut")); check("l0: the same answers", r.status == 0 and close(answers(path("p")), answers(path("cut"))), r)
r = train("cofi", "p", "--keep", 0.4, "--epochs", 300, "--score-rate", 0.2, "--teacher", teacher); check("cofi with a teacher", r.status == 0 and 0.3 < zeros("p", ".output.dense") < 0.85, r)
r = train("soft-movement", "p", "--penalty", 400, "--epochs", 300, "--score-rate", 0.1, "--unit", "weights"); most = zeros("p", ".intermediate"); check("soft movement removes by its penalty", r.status == 0 and most > 0.2, r, most)

# ---- The best model is one that is small ----
r = train("movement", "p", "--keep", 0.3, "--epochs", 20, "--dev", data, "--unit", "weights"); check("no larger model is kept", r.status == 0 and abs(zeros("p", ".intermediate") - 0.7) < 0.02, r, zeros("p", ".intermediate"))

# ---- Going on ----
for recipe in ("movement", "l0", "importance"):
    how = ["--keep", 0.5, "--epochs", 60, "--checkpoint-steps", 7, "--seed", 3]
    train(recipe, "on", *how); whole = tensors(path("on")); shutil.rmtree(path("on"))
    words = ["train", teacher, "--recipe", recipe, "--task", "classification", "--data", data, "--batch-size", "3", "--rate", "1e-3", "--dropout", "0", *map(str, how), "--quiet", "--out", path("on")]
    p = subprocess.Popen([rubato, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: os.path.exists(path("on/training.safetensors")) or p.poll() is not None); p.kill(); p.wait()
    if not json.load(open(path("on/training.json")))["ended"]: r = run(*words, "--resume"); check(f"{recipe} goes on", r.status == 0, r)
    check(f"{recipe}: to the bit", tensors(path("on")) == whole)

# ---- What transformers can load, it may ----
even = path("even"); shutil.copytree(teacher, even)
made = tensors(teacher)
for n in list(made):
    if ".output.dense.weight" in n and "attention" not in n:
        v = list(values(made[n])); rows, columns = made[n][1]
        made[n] = ("F32", [rows, columns], floats([0.0 if k % 2 else v[r * columns + k] for r in range(rows) for k in range(columns)])[2])
write_tensors(even, made)
r = run("trim", even, "--empty", "--out", path("half")); config = json.load(open(path("half/config.json")))
check("layers of one size need no list", r.status == 0 and config["intermediate_size"] == 16 and config["model_type"] == "bert" and "layer_widths" not in config, r, config)
check("and compute the same", close(answers(even), answers(path("half"))))

# ---- What does not fit ----
for more, part in ((["--keep", 1.5], "--keep"), (["--unit", "heads"], "structure"), (["--penalty", 5], "soft-movement")):
    r = train("movement", "none", "--steps", 2, *more); check(f"{more} is refused", r.status in (1, 2) and one_line(r) and part in r.err, r)
r = train("cofi", "none", "--steps", 2); check("cofi without a teacher", r.status == 2 and one_line(r) and "--teacher" in r.err, r)
r = train("soft-movement", "none", "--steps", 2, "--keep", 0.5); check("an option that a rule does not read", r.status == 2 and one_line(r) and "--keep" in r.err, r)
r = train("cofi", "none", "--teacher", teacher, "--steps", 2, model=os.path.join(folder, "half")); check("cofi: a deeper teacher", r.status == 2 and one_line(r) and "--match-states 0" in r.err, r)
r = train("movement", "none", "--steps", 2, model=os.path.join(golden, "albert")); check("layers that share weights", r.status == 1 and one_line(r) and "share" in r.err, r)
r = run("trim", os.path.join(golden, "albert"), "--empty", "--out", path("none")); check("trim of them", r.status == 1 and one_line(r) and "share" in r.err, r)
mobile = os.path.join(folder, "mobile"); r = run("trim", mobile, "--empty", "--out", path("mobile")); check("MobileBERT, of which nothing is empty", r.status == 0 and close(answers(mobile), answers(path("mobile"))), r)
r = train("movement", "thin", "--steps", 20, model=mobile); check("MobileBERT's heads", r.status == 0, r)
r = run("trim", path("thin"), "--empty", "--out", path("thinner"), "--json"); check("are cut", r.status == 0 and r.json()[0]["heads_removed"] == 4 and close(answers(path("thin")), answers(path("thinner"))), r)
r = train("movement", "none", "--steps", 2, model=os.path.join(golden, "mpnet")); check("heads with a relative bias", r.status == 1 and one_line(r) and "--unit" in r.err, r)
r = run("trim", teacher, "--layers", ",".join(["0"] * 65), "--out", path("none")); check("too many layers", r.status == 2 and one_line(r) and "more than 64" in r.err, r)
r = run("trim", teacher, "--empty", "--out", path("same"), "--json"); check("nothing is empty", r.status == 0 and r.json()[0]["heads_removed"] == 0 and close(answers(teacher), answers(path("same"))), r)
finish()
