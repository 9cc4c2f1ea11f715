#!/usr/bin/env python3
"""What data sets say: labels, tables and tagged words as their authors mean them, or an error with file and line.

    test_data.py RUBATO GOLDEN_FOLDER
"""
import json, os

from program import check, finish, golden, one_line, path, run, write

bert = os.path.join(golden, "bert")
plain = ["--rate", "5e-3", "--dropout", "0", "--quiet"]


def train(data, out, *more, task="classification"):
    return run("train", bert, "--task", task, "--data", data, "--epochs", 1, *plain, *more, "--overwrite", "--out", path(out))


def labels_of(out): return list(json.load(open(path(out + "/config.json")))["id2label"].values())


# ---- Labels ----
rows = [("a b c", "US"), ("d e f", "us")]
data = write("case.tsv", "text\tlabel\n" + "".join(f"{t}\t{l}\n" for t, l in rows * 20))
r = train(data, "case", "--epochs", 40)
check("labels that differ in case are two", r.status == 0 and labels_of("case") == ["US", "us"], r)
check("and are learnt as two", [a["label"] for a in run("classify", path("case"), "--json", stdin="a b c\nd e f\n").json()] == ["US", "us"])
data = write("shout.tsv", "text\tlabel\na b c\tUs\n")
r = run("eval", path("case"), "--task", "classification", "--data", data); check("a third spelling means neither", r.status == 1 and one_line(r) and "shout.tsv:2" in r.err and '"Us"' in r.err, r)
data = write("sides.tsv", "text\tlabel\n" + "a b\tleft\nc d\tright\n" * 10)
train(data, "sides")
for spelt in ("LEFT", "Left", "0"):
    r = run("eval", path("sides"), "--task", "classification", "--data", write("other.tsv", f"text\tlabel\na b\t{spelt}\n"), "--json"); check(f"one label is meant by {spelt}", r.status == 0, r)
data = write("stars.tsv", "text\tlabel\n" + "a b\t1\nc d\t2\ne f\t3\n" * 10)
r = train(data, "stars"); check("numbers as labels", labels_of("stars") == ["1", "2", "3"], r)
r = run("eval", path("stars"), "--task", "classification", "--data", write("zero.tsv", "text\tlabel\na b\t0\n"), "--json"); check("a number is no index where labels are numbers", r.status == 1 and one_line(r) and "zero.tsv:2" in r.err and "1, 2, 3" in r.err, r)
for name, text in (("empty.csv", "text,label\na,x\nb,y\nc,\n"), ("nan.csv", "text,label\na,x\nb,y\nc,nan\n"), ("blank.tsv", "text\tlabel\na\tx\nb\ty\nc\t  \n"), ("null.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n\n{"text": "c", "label": null}\n')):
    r = train(write(name, text), "none"); check(f"{name}: a text without a label", r.status == 1 and one_line(r) and f"{name}:4" in r.err and not os.path.exists(path("none/config.json")), r)

# ---- Tables ----
for name, text in (("quoted.tsv", 'text\tlabel\n"a\tb"\tcat\n'), ("more.csv", "text,label\na, b,cat\n")):
    r = train(write(name, text), "none"); check(f"{name}: more fields than the header", r.status == 1 and one_line(r) and f"{name}:2" in r.err and "3 fields" in r.err, r)

# ---- Tagged words: a line is what Python's split() makes of it ----
for what, text in {"a blank behind": "a B-PER \nb O \n\nc O \n", "two blanks": "a  B-PER\nb  O\n\nc  O\n", "a blank line of blanks": "a B-PER\nb O\n \nc O\n", "of tabs": "a\tB-PER\nb\tO\n\t\nc\tO\n",
                   "two tabs": "a\t\tB-PER\nb\t\tO\n\nc\t\tO\n", "CRLF": "a B-PER\r\nb O\r\n\r\nc O\r\n", "blanks before": " a B-PER\n b O\n\n c O\n"}.items():
    data = write("tags.conll", text)
    r = train(data, "tags", task="tagging"); check(f"tags: {what}", r.status == 0 and labels_of("tags") == ["O", "B-PER"], r)
    r = run("eval", path("tags"), "--task", "tagging", "--data", data, "--json"); check(f"tags: {what}: two sentences", r.status == 0 and r.json()[0]["examples"] == 2, r)
r = train(write("spaces.conll", "한\tB-PS\n \tO\n국\tO\n"), "spaces", task="tagging"); check("a blank is a word where words are characters", r.status == 0, r)
r = train(write("bare.conll", "a B-PER\nb\n"), "none", task="tagging"); check("a word without a tag", r.status == 1 and one_line(r) and "bare.conll:2" in r.err, r)
finish()
