#!/usr/bin/env python3
"""More training texts from a masked language model.

    test_augment.py RUBATO GOLDEN_FOLDER
"""
import os

from program import check, finish, golden, interrupt, model, one_line, path, rubato, run, write

mlm = model("bert", "BertForMaskedLM")
texts = ["a b c", "d e f g", "h the i", "ab cd", "1 2 3", "a, b; c!"]
data = write("data.tsv", "text\tlabel\n" + "".join(f"{t}\t{'xy'[i % 2]}\n" for i, t in enumerate(texts)))


def augment(out, *more, model=mlm, data=data): return run("augment", model, "--data", data, "--out", path(out), *more)
def rows(out): return [l.split("\t") for l in open(path(out)).read().split("\n")[1:-1]]


r = augment("a.tsv", "--json"); made = rows("a.tsv")
check("texts are made", r.status == 0 and r.json()[0]["texts"] == 6 and r.json()[0]["made"] == len(made) - 6 > 20, r)
check("the header and the texts stay", open(path("a.tsv")).read().startswith("text\tlabel\na b c\tx\n") and all([t, "xy"[i % 2]] in made for i, t in enumerate(texts)))
check("every copy differs", len({tuple(m) for m in made}) == len(made))
check("labels go with their texts", all(m[1] == "x" for m in made[:made.index(["d e f g", "y"])]))
check("marks, numbers and stop words stay", sum(m[0] == "1 2 3" for m in made) == 1 and all(m[0].split()[1] == "the" for m in made if m[0].count(" ") == 2 and "the" in m[0]) and all(m[0][1] == "," for m in made if "," in m[0]))
check("a word stays a word", all(w.isalpha() for m in made for w in m[0].replace(",", " ").replace(";", " ").replace("!", " ").split() if not w.isdigit()))
check("words of several tokens are replaced too", any(m[0].split()[0] != "ab" for m in made[made.index(["ab cd", "y"]):made.index(["1 2 3", "x"])]))
first = open(path("a.tsv")).read()
check("the seed says all", augment("b.tsv").status == 0 and open(path("b.tsv")).read() == first and augment("c.tsv", "--seed", 5).status == 0 and open(path("c.tsv")).read() != first)
r = augment("none.tsv", "--probability", 0.0001, "--copies", 1, "--json"); check("little is replaced", r.status == 0 and r.json()[0]["made"] < 4, r)
pairs = write("pairs.jsonl", '{"text": "a b", "pair": "c d", "label": "x"}\n{"text": "e f", "pair": "g", "label": "y"}\n')
r = augment("pairs.tsv", data=pairs); check("both texts of a pair", r.status == 0 and open(path("pairs.tsv")).readline() == "text\tpair\tlabel\n" and len({m[1] for m in rows("pairs.tsv")}) > 3, r)
r = augment("bare.tsv", data=write("bare.txt", "a b\nc\td\n")); check("texts without labels", r.status == 0, r)
r = run("train", mlm, "--task", "classification", "--data", path("a.tsv"), "--out", path("trained"), "--quiet"); check("and training reads them", r.status == 0, r)
long = write("long.tsv", "text\tlabel\n" + "a b c d e f g h i j k l m n o p q r s t\tx\n"); r = augment("longer.tsv", data=long); check("a text that is too long for the model", r.status == 0, r)

r = augment("x.jsonl"); check("a table by another name", r.status == 2 and one_line(r) and ".tsv" in r.err, r)
r = augment("data.tsv", "--overwrite"); check("the texts themselves are not replaced", r.status == 2 and one_line(r) and open(data).read().startswith("text\tlabel\na b c"), r)
r = augment("x.tsv", "--copies", 10**9); check("too many copies", r.status == 2 and one_line(r), r)
r = augment("many.tsv", "--candidates", 10**15, "--copies", 1); check("more candidates than tokens", r.status == 0, r)
r = augment("a.tsv"); check("a file that is there", r.status == 2 and one_line(r) and "--overwrite" in r.err and open(path("a.tsv")).read() == first, r)
r = augment("x.tsv", model=model("bert", "BertModel")); check("a model without such a head", r.status == 1 and one_line(r) and "masked language model" in r.err and not os.path.exists(path("x.tsv")), r)
r = augment("x.tsv", data=write("mixed.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "pair": "c", "label": "y"}\n')); check("rows of two kinds", r.status == 1 and one_line(r), r)
r = augment("x.tsv", "--probability", 2); check("a probability of 2", r.status == 2 and one_line(r), r)
r = run("augment", mlm, "--data", data); check("no output", r.status == 2 and one_line(r), r)
finish()
