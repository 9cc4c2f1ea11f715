#!/usr/bin/env python3
"""What the program refuses instead of guessing: files that would be lost, options that exclude each other, values that mean
nothing; and what it prints of a budget.

    test_refusals.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, os, subprocess

from program import check, finish, golden, model, one_line, path, points, read, rubato, run, work, write

bert = os.path.join(golden, "bert")


def labels(*names): return {"id2label": {str(i): n for i, n in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)}}


def refused(what, r, *words): check(what, r.status == 2 and r.out == "" and one_line(r) and all(w in r.err for w in words), r)


three = model("bert", "BertForSequenceClassification", **labels("no", "maybe", "entailment"))
tagger = model("bert", "BertForTokenClassification", **labels("O", "B-PER", "I-PER"))

# ---- Files that would be lost ----
text = "a b\nc d\n"
file = write("in.txt", text); os.symlink(file, path("alias.txt"))
for name in ("in.txt", "alias.txt"):
    for more in ([], ["--overwrite"]): refused(f"--output {name} is the input {more}", run("embed", bert, file, "--output", path(name), *more), name, "reads this file")
with open(file, "rb") as f: p = subprocess.run([rubato, "embed", bert, "--output", file, "--overwrite"], stdin=f, capture_output=True, text=True)
check("--output is standard input", p.returncode == 2 and "reads this file" in p.stderr, p)
check("the input stays", read("in.txt") == text.encode() and not os.path.exists(path("in.txt.part")))
r = run("embed", bert, file, "--output", path("v.npy")); kept = read("v.npy"); check("a new file", r.status == 0 and kept[:6] == b"\x93NUMPY", r)
for more in ([], ["--resume"]): refused(f"a finished file {more}", run("embed", bert, write("other.txt", "e\n"), "--output", path("v.npy"), *more), "v.npy", "--overwrite")
check("a finished file stays", read("v.npy") == kept and not os.path.exists(path("v.npy.part")))
r = run("embed", bert, path("other.txt"), "--output", path("v.npy"), "--overwrite"); check("--overwrite replaces it", r.status == 0 and read("v.npy") != kept, r)
for given in ([file], ["--corpus", file]): refused(f"an index over the corpus {given}", run("search-text", bert, *given, "--query", "a", "--index", file, "--overwrite"), "in.txt", "reads this file")
refused("an index over the queries", run("search-text", bert, path("other.txt"), "--queries", file, "--index", file, "--overwrite"), "in.txt", "reads this file")
check("the corpus stays", read("in.txt") == text.encode())
numpy = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }".ljust(117) + b"\n" + bytes(8)
for given in (("embed", bert, file, "--output"), ("search-text", bert, file, "--query", "a", "--index")):
    for name, content in ((".part", b"mine\n"), (".part", numpy), (".part.json", b"{}"), (".part.json", b"mine\n"), (".part.json", b'{"rows": 1}')):
        with open(path("mine.npy" + name), "wb") as f: f.write(content)
        for more in ([], ["--resume"]): refused(f"{given[0]}: mine.npy{name} is the user's {content[:8]} {more}", run(*given, path("mine.npy"), *more), "mine.npy" + name, "no interrupted command wrote it", "--overwrite")
        check("it stays", read("mine.npy" + name) == content and not os.path.exists(path("mine.npy")))
        r = run(*given, path("mine.npy"), "--overwrite"); check("--overwrite replaces it, too", r.status == 0 and not os.path.exists(path("mine.npy" + name)), r)
        os.remove(path("mine.npy"))
    write("mine.npy.part", ""); r = run(*given, path("mine.npy")); check(f"{given[0]}: a command that was interrupted at once", r.status == 0 and os.path.exists(path("mine.npy")), r); os.remove(path("mine.npy"))
for name in ("read.npy.part", "read.npy.part.json"):
    write(name, text)
    for more in ([], ["--overwrite"]):
        refused(f"--output's {name} is the input {more}", run("embed", bert, path(name), "--output", path("read.npy"), *more), name, "reads this file")
        refused(f"--index's {name} is the corpus {more}", run("search-text", bert, "--corpus", path(name), "--query", "a", "--index", path("read.npy"), *more), name, "reads this file")
    check(f"{name} stays", read(name) == text.encode() and not os.path.exists(path("read.npy")))
    os.remove(path(name))
for name, more in (("empty.csv", []), ("bad.jsonl", ["--on-error", "stop"])):
    r = run("embed", bert, write(name, "" if name == "empty.csv" else "[1]\n"), "--output", path("none.npy"), *more); check(f"{name} leaves no file", r.status != 0 and one_line(r) and not [n for n in os.listdir(work) if n.startswith("none.npy")], r)

# ---- A file in the model's place ----
table = write("rows.csv", "text\na\n")
for given, folder in ((os.path.basename(table), work), (table, None)):
    r = run("embed", given, cwd=folder); check(f"{given} is no model", r.status == 1 and one_line(r) and f"{given}: a file, not the folder of a model" in r.err and "folder comes first" in r.err and "pull" not in r.err, r)

# ---- Options that exclude each other ----
refused("two corpora", run("search-text", bert, path("other.txt"), "--corpus", file, "--query", "a"), "--corpus", "other.txt")
refused("two budgets", run("classify", three, "--budget", "0.2x", "--target-drop", 1, stdin="a\n"), "--budget", "--target-drop")
refused("--raw with a function", run("classify", three, "--raw", "--function-to-apply", "sigmoid", stdin="a\n"), "--raw", "--function-to-apply")

# ---- Values ----
for given, word in (("a,b, a", '"a" is there twice'), ("a,a,", '"a" is there twice'), (" ", "no label")): refused(f"labels {given!r}", run("zero-shot", three, "--labels", given, stdin="a\n"), "--labels", word)
for more, env in ((["--auto-truncate", "maybe"], {}), ([], {"AUTO_TRUNCATE": "maybe"}), ([], {"JSON_OUTPUT": "maybe"})): refused(f"a truth value {more} {env}", run("serve", "/nowhere", *more, env=env), "maybe", "true", "off")
for word in ("False", "0", "No", "on"): check(f"a truth value {word}", "/nowhere" in run("serve", "/nowhere", "--auto-truncate", word).err)
refused("a number that is too large", run("train", bert, "--rate", "1e10"), '"1e10"', "from 0 to 1e+09")
for value in ("-1", "0", "1.5", "x", "99999999999999999999"): refused(f"--threads {value}", run("classify", three, "--threads", value, stdin="a\n"), f'"{value}"', "whole number from 1 to 1e+18")
for value in ("0", "65536"): refused(f"--port {value}", run("serve", three, "--port", value), f'"{value}"', "whole number from 1 to 65535")
points(three, 3, half={"keep": [0.5, 0.5, 0.5], "quality": 0.5, "flops_ratio": 0.5})
for budget in ("-1ms", "0ms", "nanms"): refused(f"--budget {budget}", run("classify", three, f"--budget={budget}", stdin="a\n"), f'budget "{budget}"', "use full, 0.4x")

# ---- Labels of tags ----
def judge(*tags): return run("eval", tagger, "--task", "tagging", "--data", write("tags.conll", "a O\n\n" + "".join(f"b {tag}\n" for tag in tags)))
r = judge("LOC", "O"); check("a tag that the model does not have", r.status == 1 and one_line(r) and "tags.conll:3" in r.err and '"LOC"' in r.err and "B-PER, I-PER" in r.err, r)
r = judge("O", "B-LOC"); check("a type that the model does not have", r.status == 1 and one_line(r) and '"B-LOC"' in r.err, r)
for tags in (["O", "O"], ["B-PER", "I-PER"], ["S-PER", "E-PER", "b-per"]): r = judge(*tags); check(f"tags {tags}", r.status == 0 and "f1" in r.out, r)

# ---- Budgets and times in words ----
data = write("data.tsv", "text\tlabel\na b c d e f\tno\nb c d e f\tmaybe\n")
for budget in ("@half", "0.9x", "full"): r = run("eval", three, "--task", "classification", "--data", data, "--budget", budget); check(f"eval --budget {budget} says the cost", r.status == 0 and "x of the operations (95 in 100: at most" in r.out and "\n\n" not in r.out, r)
os.makedirs(path("set/qrels"))
write("set/corpus.jsonl", '{"_id": "1", "title": "", "text": "a b c d e f"}\n'); write("set/queries.jsonl", '{"_id": "q", "text": "a b"}\n'); write("set/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t1\t1\n")
embedder = model("bert", "BertModel"); points(embedder, 3, half={"keep": [0.5] * 3}); r = run("eval", embedder, "--task", "retrieval", "--data", path("set"), "--budget", "@half", "--json"); check("the operations of retrieval", r.status == 0 and 0.3 < r.json()[0]["flops_ratio"] < 0.9, r)

# ---- Figures that would mean nothing ----
write("set/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t99\t1\n")
r = run("eval", embedder, "--task", "retrieval", "--data", path("set"), "--json"); check("no judgement of this collection", r.status == 1 and one_line(r) and "qrels/test.tsv" in r.err and not r.out, r)
for scores in ("1", "1 1 1"):
    r = run("eval", embedder, "--task", "sts", "--data", write("same.tsv", "sentence1\tsentence2\tscore\n" + "".join(f"a\tb\t{s}\n" for s in scores.split())), "--json")
    check(f"equal scores: {scores}", r.status == 1 and one_line(r) and "all scores are equal" in r.err and not r.out, r)
r = run("eval", model("bert", "BertForMaskedLM"), "--task", "mlm", "--data", write("few.txt", "a\n"), "--json"); check("no hidden token", r.status == 1 and one_line(r) and "no token was hidden" in r.err and not r.out, r)
r = run("trim", bert, "--layers", "0,2", "--out", path("trimmed")); check("a trimmed model has no quality", r.status == 0 and json.load(open(path("trimmed/rubato.json"))).get("full_quality") is None and "quality" not in run("info", path("trimmed")).out, r)
sentence = model("bert", "BertModel"); write(os.path.join(sentence, "modules.json"), json.dumps([{"idx": i, "name": str(i), "path": p, "type": "sentence_transformers.models." + t} for i, (p, t) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling")))]))
r = run("embed", sentence, stdin="a\n"); check("a pooling that is not known", r.status == 1 and one_line(r) and "1_Pooling/config.json is missing" in r.err, r)

r = run("calibrate", bert, "--json", "--quiet", env={"XDG_CACHE_HOME": work}); check("calibrate --json", r.status == 0 and len(r.json()) == 1 and r.json()[0]["model"] == bert and [t["tokens"] for t in r.json()[0]["full"]] == [16] and r.json()[0]["full"][0]["ms"] > 0, r)
finish()
