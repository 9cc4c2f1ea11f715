#!/usr/bin/env python3
"""Nothing is lost or overwritten: folders of runs, rows of inputs, vectors of long files.

    test_runs.py RUBATO GOLDEN_FOLDER
"""
import gzip, json, os, signal, struct, subprocess

from program import check, finish, golden, interrupt, kill, large, lines_of, one_line, path, points, read, rubato, run, until, write

bert = os.path.join(golden, "bert")
data = write("data.tsv", "text\tlabel\n" + "a b c\tx\nd e f\ty\n" * 24)
other = write("other.tsv", "text\tlabel\n" + "a b c\ty\nd e f\tx\n" * 24)


def command(out, *more, model=bert, data=data, task="classification"): return ["train", model, "--task", task, "--data", data, "--batch-size", 4, *more, "--out", path(out)]
def train(*a, **k): return run(*command(*a, **k))
def refused(r, *parts): return r.status == 2 and one_line(r) and all(p in r.err for p in parts)


# ---- What was read is said before training ----
r = train("said", "--dev", data)
check("rows, labels and lengths are said", r.status == 0 and f"train: {data}: 48 rows; 2 labels: x 24, y 24; 5 to 5 tokens, median 5\n" in r.err and f"dev: {data}: 48 rows" in r.err, r)
check("nothing is said with --quiet", train("silent", "--quiet").err == "")
text = write("sorted.tsv", "text\tlabel\n" + "".join(f"{w}\t{l}\n" for l, n in (("x", 60), ("y", 30), ("z", 1)) for w in ["a b"] * n))
r = train("some", "--limit", 10, data=text)
check("--limit draws from all of a sorted file", r.status == 0 and "10 of 91 rows, drawn by --limit and --seed; 3 labels: x 6, y 3, z 1" in r.err, r)
check("by the seed", run("eval", path("some"), "--task", "classification", "--data", text, "--limit", 10, "--json").json()[0]["examples"] == 10)
r = train("cut", "--max-length", 4); check("cut rows are counted", "48 rows are longer and cut" in r.err, r)
r = train("no-dev", "--dev", write("dev.tsv", "text\tlabel\na\tx\nb\tnone\n")); check("an unknown label of the dev set is found before the first step", r.status == 1 and "dev.tsv:3" in r.err and not os.path.exists(path("no-dev/metrics.jsonl")), r)

# ---- A file of something else is refused ----
for task, name, text in (("qa", "texts.tsv", "text\tlabel\na\tx\n"), ("qa", "texts.jsonl", '{"question": "a", "context": "b"}\n'), ("tagging", "texts.tsv", "text\tlabel\na fine film\tx\n"),
                         ("tagging", "prose.conll", "this is a text\nand another\n"), ("tagging", "texts.csv", "text,label\na,x\n"), ("sts", "texts.tsv", "text\tlabel\na\tx\n")):
    r = train("none", task=task, data=write(name, text)); check(f"{task} on {name}", r.status == 1 and one_line(r) and name in r.err and not os.path.exists(path("none/config.json")), r)
r = train("lines", task="mlm", data=write("lines.txt", "a b c d e f g\n\nh i j a b c\n")); check("masked LM from running text", r.status == 0 and "2 documents of 2 sentences and 13 tokens" in r.err, r)
with gzip.open(path("packed.tsv.gz"), "wt") as f: f.write(open(data).read())
check("packed data", "48 rows" in train("packed", data=path("packed.tsv.gz")).err)
write("broken.tsv.gz", ""); open(path("broken.tsv.gz"), "wb").write(open(path("packed.tsv.gz"), "rb").read()[:40])
r = train("none", data=path("broken.tsv.gz")); check("packed data that are cut", r.status == 1 and "broken.tsv.gz: damaged or cut" in r.err, r)

# ---- Any number of labels ----
many = write("many.jsonl", "".join(json.dumps({"text": t, "label": l}) + "\n" for t, l in [("a b", ["a", "b"]), ("a c", ["a"]), ("d", []), ("b d", ["b"])] * 12))
r = train("many", "--epochs", 40, "--rate", "5e-3", "--dropout", 0, "--dev", many, data=many)
check("several labels: what was read", "2 labels: a 24, b 24" in r.err, r)
config = json.load(open(path("many/config.json")))
check("several labels: the problem's type", config["problem_type"] == "multi_label_classification" and list(config["id2label"].values()) == ["a", "b"], config)
e = run("eval", path("many"), "--task", "classification", "--data", many, "--json").json()[0]["metrics"]
check("several labels are learnt", e["f1"] > 0.95 and e["exact"] > 0.9 and {"macro_f1", "precision", "recall"} <= e.keys(), e)
r = run("quantize", path("many"), "--to", "int8", "--out", path("many8")); check("several labels: quantised", r.status == 0 and json.load(open(path("many8/config.json")))["problem_type"] == "multi_label_classification", r)
r = train("none", data=write("mixed.jsonl", '{"text": "a", "label": ["x"]}\n{"text": "b", "label": "y"}\n')); check("lists and single labels", r.status == 1 and "mixed.jsonl:2" in r.err, r)
r = train("none", "--recipe", "deebert", data=many); check("several labels have no exits", r.status == 1 and one_line(r) and "deebert" in r.err, r)
r = run("eval", path("said"), "--task", "classification", "--data", many); check("lists for a model of one label", r.status == 1 and "many.jsonl:1" in r.err, r)

# ---- A folder is replaced only when that is asked for ----
before = read("said/model.safetensors")
check("a trained model stays", refused(train("said"), path("said"), "--overwrite") and read("said/model.safetensors") == before)
check("the model itself", refused(train("said", "--overwrite", model=path("said")), "is the model itself") and read("said/model.safetensors") == before)
for name, more in (("trim", ["--layers", 0]), ("quantize", ["--to", "bf16"])):
    check(f"{name}: a model stays", refused(run(name, bert, *more, "--out", path("said")), "--overwrite") and read("said/model.safetensors") == before)
write("said/modules.json", "[]")
r = train("said", "--overwrite", data=other); check("--overwrite replaces it, with what belonged to it", r.status == 0 and read("said/model.safetensors") != before and not os.path.exists(path("said/modules.json")), r)
check("the optimiser's state is gone", not os.path.exists(path("said/training.safetensors")))
r = train("kept", "--keep-state"); check("unless it is asked for", r.status == 0 and os.path.exists(path("kept/training.safetensors")), r)
check("a run that has ended", refused(train("said", "--resume", data=other), "has ended", "--overwrite"))
check("--resume and --overwrite", refused(train("said", "--resume", "--overwrite"), "one of them"))
os.makedirs(path("foreign")); write("foreign/config.json", "{}"); check("no run to continue", refused(train("foreign", "--resume"), "training.json"))
r = train("fresh", "--resume"); check("--resume in a new folder begins", r.status == 0, r)

# ---- A run goes on as it was, or not at all ----
def start(out, *more): return subprocess.Popen([rubato, *map(str, command(out, "--epochs", 100, "--checkpoint-steps", 2, *more))], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
p = start("long"); until(lambda: lines_of("long/metrics.jsonl") > 3)
check("two runs do not share a folder", refused(train("long", "--overwrite"), "another rubato"))
interrupt(p, lambda: True)
check("an interrupted run is not begun again by accident", refused(train("long", "--epochs", 100), "--resume", "--overwrite"))
for more, part in ((["--batch-size", 8], "--batch-size was 4 and is 8"), (["--rate", 1e-3], "--rate was not given and is 0.001"), (["--recipe", "slimmable"], "--recipe"), (["--seed", 3], "--seed was 0 and is 3")):
    check(f"--resume with another {more[0]}", refused(train("long", "--epochs", 100, "--resume", *more), part))
check("--resume with other rows", refused(train("long", "--epochs", 100, "--resume", data=other), "--data has other rows"))
copy = write("copy.tsv", open(data).read())
p = subprocess.Popen([rubato, *map(str, command("long", "--epochs", 100, "--resume", "--threads", 1, data=copy))], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
begun = lines_of("long/metrics.jsonl"); until(lambda: lines_of("long/metrics.jsonl") > begun + 2 or p.poll() is not None)
out, err = interrupt(p, lambda: True); check("the same rows in another file go on", "--resume goes on" in err, err)
search = ["search", path("fresh"), "--task", "classification", "--data", data, "--iterations", 1, "--mutations", 1, "--crossovers", 1]
r = run(*search); check("a search", r.status == 0, r)
check("is not replaced by accident", refused(run(*search), "search.jsonl", "--overwrite"))
os.remove(path("fresh/search.jsonl")); points(path("fresh"), 3, half={}); check("nor are its points", refused(run(*search), "rubato.json", "--overwrite"))
check("but with --overwrite", run(*search, "--overwrite").status == 0)

# ---- One row out for every row in ----
table = write("rows.csv", 'id,review,stars\n1,"a, b",5\n2,"two\nlines",4\n3,few\n4,"c ""d""",1\n')
r = run("classify", path("fresh"), table, "--columns", "text=review", "--json"); out = r.json()
check("a table: ids and other columns are kept", [x["id"] for x in out] == list("1234") and out[0]["stars"] == "5" and all("label" in out[i] for i in (0, 1, 3)), r)
check("and an error stands in its place", "error" in out[2] and out[2]["line"] == 5 and r.status == 1, r)
check("a column counted", len(run("tokenize", bert, table, "--columns", "text=2").out.splitlines()) == 5)
check("no such column", refused(run("classify", path("fresh"), table, "--columns", "text=none"), "rows.csv"))
check("no known column", refused(run("classify", path("fresh"), table), "--columns"))
with gzip.open(path("rows.csv.gz"), "wb") as f: f.write(read("rows.csv"))
check("the same, packed", run("classify", path("fresh"), path("rows.csv.gz"), "--columns", "text=review", "--json").json() == out)
objects = '{"id": 7, "text": "a", "label": "gold", "more": {"deep": [1, null]}}\n{"id": 8}\n{"premise": "a", "hypothesis": "b"}\n'
out = run("classify", path("fresh"), write("objects.jsonl", objects), "--json").json()
check("objects: members are kept", out[0]["id"] == 7 and out[0]["more"] == {"deep": [1, None]} and out[0]["input_label"] == "gold" and out[0]["label"] in "xy", out)
check("objects: an error keeps its id", out[1]["id"] == 8 and "error" in out[1], out)
check("objects: a usual pair", "error" not in out[2], out)
check("--on-error skip", [x.get("id") for x in run("classify", path("fresh"), path("objects.jsonl"), "--json", "--on-error", "skip").json()] == [7, None])
r = run("classify", path("fresh"), path("objects.jsonl"), "--json", "--on-error", "stop"); check("--on-error stop", r.status == 1 and len(r.json()) == 1 and "line 2" in r.err, r)
r = run("tokenize", bert, stdin="a\n"); check("a plain line", r.out == "[CLS] a [SEP]\n", r)
r = run("tokenize", bert, "--json", stdin="a " * 5000 + "\n"); check("tokenize does not cut, and says so", len(r.json()[0]["ids"]) == 5002 and "cut" not in r.json()[0] and "tokenize: none" in run("tokenize", "--help").out, r)
r = run("tokenize", bert, stdin=b"\xff\n" * 30); check("many errors are summed up", r.err.count("\n") == 11 and "30 rows could not be answered" in r.err and r.out.count("error") == 30, r)
p = subprocess.Popen([rubato, "tokenize", bert, "--line-buffered"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
p.stdin.write("a\n"); p.stdin.flush(); check("--line-buffered answers at once", p.stdout.readline() == "[CLS] a [SEP]\n"); p.stdin.close(); p.wait()

r = run("classify", path("fresh"), write("list.json", "[]")); check("a .json file is no text", refused(r, "list.json", ".jsonl"))
for name, text in (("mark.csv", "\ufefftext,n\na,1\n"), ("mark.jsonl", '\ufeff{"text": "a", "n": 1}\n')):
    out = run("classify", path("fresh"), write(name, text), "--json").json(); check(f"{name}: a byte-order mark", len(out) == 1 and "error" not in out[0] and str(out[0]["n"]) == "1", out)

# ---- Vectors of long files ----
def vectors(name):
    raw = read(name); shape = eval(raw[10:128].decode().strip())["shape"]
    return shape, [struct.unpack_from(f"{shape[1]}f", raw, 128 + 4 * shape[1] * i) for i in range(shape[0])]
texts = [f"{'abcdefghij'[i % 10]} {'abcdefghij'[i // 10 % 10]} a" for i in range(3000)]
file = write("texts.txt", "\n".join(texts) + "\n")
r = run("embed", bert, file, "--output", path("all.npy")); shape, all_rows = vectors("all.npy")
check("vectors of a file", r.status == 0 and shape == (3000, 24) and not os.path.exists(path("all.npy.part")) and not os.path.exists(path("all.npy.part.json")), r)
r = run("embed", bert, "--output", path("bad.npy"), stdin=b"a\n\xff\nb\n"); shape, some = vectors("bad.npy")
check("a bad line has a row of NaN", r.status == 1 and shape[0] == 3 and some[1][0] != some[1][0] and some[0][0] == some[0][0], r)
slow = large(hidden=192, layers=4)
base = ["embed", slow, write("slow.txt", "".join(t + " b c d e f g h\n" for t in texts[:600])), "--output", path("slow.npy"), "--threads", "1"]
for end, ready in ((interrupt, lambda: os.path.exists(path("slow.npy.part.json"))), (kill, lambda: True)):
    p = subprocess.Popen([rubato, *base, *(["--resume"] if end is kill else [])], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if end is kill: until(lambda: p.poll() is not None or json.load(open(path("slow.npy.part.json")))["rows"] > kept)
    err = (end(p, ready) or ("", ""))[1]
    kept = json.load(open(path("slow.npy.part.json")))["rows"] if os.path.exists(path("slow.npy.part.json")) else None
    check(f"{end.__name__}: what was done stays", kept is not None and 0 < kept < 600 and not os.path.exists(path("slow.npy")), kept, err)
check("and is not overwritten by accident", refused(run(*base), "--resume", "--overwrite"))
check("nor continued with other options", refused(run(*base, "--resume", "--max-length", 5), "other options"))
lines = open(path("slow.txt")).read()
write("slow.txt", lines.replace("a", "b")); check("nor with other texts", refused(run(*base, "--resume"), "other texts"))
write("slow.txt", lines); r = run(*base, "--resume"); shape, resumed = vectors("slow.npy")
whole = run(*base[:3], "--output", path("whole.npy"), "--threads", 1)
check("--resume: every row once, to the bit", r.status == 0 and read("slow.npy") == read("whole.npy"), r, shape)
check("nothing is left", not os.path.exists(path("slow.npy.part")) and not os.path.exists(path("slow.npy.part.json")))
r = run("embed", bert, "--output", "/dev/full", stdin="a\n"); check("a full disk", r.status == 1 and one_line(r) and "No space left" in r.err, r)
finish()
