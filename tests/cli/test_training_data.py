#!/usr/bin/env python3
"""train between its data and the model that it starts from: which head stays, and what the user hears.

    test_training_data.py RUBATO GOLDEN_FOLDER
"""
import json, os, re, shutil

from program import check, finish, golden, one_line, path, run, write

bert = os.path.join(golden, "bert")


def train(model, out, data, *more, task="classification"):
    return run("train", model, "--task", task, "--data", data, "--epochs", 1, "--dropout", 0, *more, "--overwrite", "--out", path(out))


def table(name, *labels): return write(name, "text\tlabel\n" + "".join(f"{'abcdef'[i % 6]} b c\t{l}\n" for i, l in enumerate(labels * 4)))


def labels_of(out): return list(json.load(open(path(out + "/config.json")))["id2label"].values())


# ---- Heads ----
sides, numbers, three, pole = table("sides.tsv", "left", "right"), table("numbers.tsv", "0", "1"), table("three.tsv", "0", "1", "2"), table("pole.tsv", "neg", "pos")
r = train(bert, "sides", sides); check("a model without a head learns the data's labels", r.status == 0 and labels_of("sides") == ["left", "right"], r)
r = train(bert, "numbers", numbers); check("numbers too", labels_of("numbers") == ["0", "1"], r)
for name, data in (("numbers", table("many.tsv", *map(str, range(7)))), ("sides", three), ("numbers", pole), ("sides", pole)):
    r = train(path(name), "none", data); check(f"{name}: other labels ({data})", r.status == 1 and one_line(r) and ", ".join(labels_of(name)) in r.err and "--new-head" in r.err, r)
r = train(path("sides"), "none", pole, "--new-head"); check("but for a new head", r.status == 0 and labels_of("none") == ["neg", "pos"], r)
r = train(path("sides"), "none", sides, "--labels", "right,left"); check("another order is other labels", r.status == 2 and one_line(r) and "right, left" in r.err and "left, right" in r.err, r)
r = train(path("sides"), "none", sides, "--labels", "right,left", "--new-head"); check("which a new head may have", r.status == 0 and labels_of("none") == ["right", "left"], r)
for data in (sides, numbers, table("shout.tsv", "RIGHT", "left")):
    r = train(path("sides"), "none", data, "--rate", "1e-9"); said = [run("classify", path(name), "--json", stdin="a b c\nd e f\n").json() for name in ("sides", "none")]
    check(f"labels that mean the model's keep the head ({data})", r.status == 0 and labels_of("none") == ["left", "right"] and all(abs(a["score"] - b["score"]) < 1e-4 and a["label"] == b["label"] for a, b in zip(*said)), r, said)
shutil.copytree(path("sides"), path("unnamed"))
config = json.load(open(path("sides/config.json")))
json.dump({**config, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}, open(path("unnamed/config.json"), "w"))
r = train(path("unnamed"), "none", pole, "--labels", "pos,neg"); check("LABEL_i is no name", r.status == 0 and labels_of("none") == ["pos", "neg"], r)
r = train(path("unnamed"), "none", three); check("of any number", r.status == 0 and labels_of("none") == ["0", "1", "2"], r)
r = train(path("sides"), "none", pole, "--new-head", "--recipe", "anytime", "--widths", "1"); check("a model does not teach its new head", r.status == 0 and labels_of("none") == ["neg", "pos"], r)
tags = write("tags.conll", "a B-X\nb O\n\n" * 4)
r = train(bert, "tags", tags, task="tagging"); check("a tagger", labels_of("tags") == ["O", "B-X"], r)
r = train(path("tags"), "none", write("one.conll", "a B-foo\nb B-foo\n\n"), task="tagging"); check("one tag alone", r.status == 1 and one_line(r) and "B-foo" in r.err and "nothing to learn" in r.err, r)
r = train(path("tags"), "none", write("foo.conll", "a B-foo\nb O\n\n"), task="tagging"); check("another tag", r.status == 1 and one_line(r) and "O, B-X" in r.err and "--new-head" in r.err, r)

r = train(bert, "halves", sides, "--dev", sides, "--recipe", "length-adaptive")
check("quality is told for each of two points", r.status == 0 and re.search(r", dev accuracy ([\d.]+) in full, [\d.]+ at a smaller point \(mean [\d.]+, best [\d.]+\)", r.err) and "(mean of 2 operating points)" in r.out, r)
r = train(bert, "whole", sides, "--dev", sides); check("and of one", r.status == 0 and re.search(r", dev accuracy [\d.]+ \(best", r.err) and "mean" not in r.out, r)

# ---- Columns and texts ----
two = write("two.csv", "sentence1,sentence2,extra,labels\n" + "a b,c d,e,x\nb a,d c,f,y\n" * 4)
for columns in ("pair=sentence2", "pair=sentence2,label=labels", "label=labels"):
    r = train(bert, "none", two, "--columns", columns); check(f"{columns}: the other columns are recognised", r.status == 0 and "7 to 7 tokens" in r.err, r)
r = train(bert, "none", write("unclear.csv", "query,sentence,other,label\na,b,c,x\n"), "--columns", "pair=other"); check("where it is clear which they are", r.status == 1 and one_line(r) and "--columns text=NAME" in r.err, r)
r = train(bert, "none", write("plain.csv", "sentence,other,label\n" + "a,c,x\nb,d,y\n" * 4), "--columns", "pair=other"); check("the only text goes with a pair", r.status == 0 and "5 to 5 tokens" in r.err, r)
r = train(bert, "none", write("scored.tsv", "text\tscore\tlabel\na\t1\tx\nb\t2\ty\n")); check("several columns could be the label", r.status == 0 and 'the label is column "label", not "score"' in r.err, r)
r = train(bert, "none", write("blank.tsv", "text\tlabel\na\tx\n\ty\n  \tx\nb\ty\n")); check("texts without a word are counted", r.status == 0 and "; 2 empty texts" in r.err, r)
r = train(bert, "none", sides); check("and told only where there are some", r.status == 0 and "empty" not in r.err and "column" not in r.err, r)

for recipe, option, value, fits in (("finetune", "--length-drop", 0.5, "length-adaptive"), ("slimmable", "--merges", 2, "anytime"), ("length-adaptive", "--widths", "1,0.5", "slimmable"), ("pabee", "--ponder", 0.1, "act")):
    r = train(bert, "none", sides, "--recipe", recipe, option, value); check(f"{recipe} does not read {option}", r.status == 2 and one_line(r) and option in r.err and fits in r.err, r)

# ---- Questions ----
def squad(name, *questions): return write(name, json.dumps({"data": [{"paragraphs": [{"context": "abc " * 30, "qas": [{"question": q, "answers": [{"text": a}]} for q, a in questions]}]}]}))


short, long = "a b", " ".join("abcdefghijk")
r = train(bert, "qa", squad("long.json", (short, "abc"), (long, "abc")), task="qa"); check("the usual stride becomes shorter where windows are", r.status == 0 and "2 rows in" in r.err, r)
asked = write("ask.jsonl", json.dumps({"question": long, "context": "abc " * 30}) + "\n")
r = run("answer", path("qa"), asked); check("in an answer too", r.status == 0, r)
r = run("answer", path("qa"), asked, "--stride", 6); check("a stride that is given fits or is refused", r.status == 1 and "a stride of 6 tokens" in r.err, r)
r = train(bert, "none", squad("odd.json", (short, "abc"), (short, "nowhere")), task="qa"); check("an example of .json has a number", r.status == 1 and one_line(r) and "odd.json: example 2: " in r.err, r)

# ---- Runs that have not ended ----
os.makedirs(path("begun")); write("begun/training.json", '{"ended": false}')
r = run("classify", path("begun"), stdin="a\n"); check("a run without a model yet", r.status == 1 and one_line(r) and "has written no model yet" in r.err, r)
shutil.copytree(path("sides"), path("stopped")); r = run("classify", path("stopped"), stdin="a\n"); check("a run that has ended", r.status == 0 and r.err == "", r)
for text, warned in (('{"ended": false}', True), ("{}", False), ("[1", False)):
    write("stopped/training.json", text); r = run("classify", path("stopped"), stdin="a\n"); check(f"training.json {text}", r.status == 0 and ("has not ended" in r.err) == warned, r)
write("stopped/training.json", '{"ended": false}'); r = run("classify", path("stopped"), "--quiet", stdin="a\n"); check("--quiet says nothing of it", r.status == 0 and r.err == "", r)
for command in (("quantize", path("stopped"), "--to", "int8"), ("trim", path("stopped"), "--layers", "0"), *(("train", of, "--task", "classification", "--data", sides, "--epochs", 1, *more) for of, more in ((path("stopped"), []), (path("sides"), ["--teacher", path("stopped")])))):
    for quiet in ([], ["--quiet"]): r = run(*command, "--out", path("made"), "--overwrite", *quiet); check(f"{command} {quiet}", r.status == 0 and r.err.count("has not ended") == (not quiet) and (quiet or f"warning: {path('stopped')}: " in r.err), r)
finish()
