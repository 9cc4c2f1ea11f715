#!/usr/bin/env python3
"""An attention that the library does not know (tests/mechanism/window_attention.c), as a user of the program meets it.

    test_mechanism.py RUBATO_WITH_FOREIGN GOLDEN_FOLDER
"""
import json, os, random

from program import renew, check, finish, model, one_line, path, points, run, texts, work, write_labelled

random.seed(4)
TEXTS = "hello world\na world of words, and foo\nthe quick brown fox\n"
window = {"attention": {"mechanism": "window", "window": 2}}
plain, narrow, wide = (model("bert", "BertModel", **parts) for parts in ({}, window, {"attention": {"mechanism": "window", "window": 100}}))


def config(folder): return json.load(open(os.path.join(folder, "config.json")))


def embeddings(folder, *more):
    r = run("embed", folder, "--json", *more, stdin=TEXTS)
    return [x for line in r.json() for x in line["embedding"]] if r.status == 0 else str(r)


def far(a, b): return max(abs(x - y) for x, y in zip(a, b))


# ---- Running ----
check("a window of all rows is softmax attention", far(embeddings(plain), embeddings(wide)) < 1e-5)
check("one of two rows is not", far(embeddings(plain), embeddings(narrow)) > 1e-3)
check("on any number of threads", embeddings(narrow, "--threads", "1") == embeddings(narrow, "--threads", "2"))

# ---- What is said of it ----
r = run("info", narrow, "--json"); check("info says the mechanism", r.status == 0 and r.json()[0]["attention"] == "window (2 rows)" and "feed_forward" not in r.json()[0], r)
r = run("info", narrow); check("to people, too", "attention    window (2 rows)" in r.out, r)
r = run("info", plain, "--json"); check("and nothing of the family's own", "attention" not in r.json()[0] and "softmax" not in r.out, r)
r = run("info", model("bert", "BertModel", attention={"mechanism": "windows"})); check("an unknown one is refused, with those that are known", r.status != 0 and one_line(r) and "known are softmax, image, longformer" in r.err and r.err.rstrip().endswith("window"), r)

# ---- Costs ----
cache = {"XDG_CACHE_HOME": path("cache")}
r = run("bench", narrow, "--roofline", "--batch", "1", "--length", "8", "--json", "--threads", "1"); check("its part is measured", r.status == 0, r)
for count, folder in enumerate((plain, narrow, wide), 1):
    r = run("calibrate", folder, "--threads", "1", "--quiet", env=cache)
    check("a calibration is kept for each mechanism and setting", r.status == 0 and len(os.listdir(path("cache/rubato"))) == count, r)

# ---- Learning, saving, precision ----
data = write_labelled("data.tsv", texts(40))
common = ["--task", "classification", "--data", data, "--epochs", 1, "--threads", 1, "--quiet"]
r = renew("train", narrow, *common, "--out", path("tuned")); check("it learns", r.status == 0, r)
made = config(path("tuned"))
check("what is saved names it, under a type that transformers does not have", made["attention"] == window["attention"] and made["model_type"] == "rubato-bert" and made["architectures"] == ["BertForSequenceClassification"], made)
answers = lambda folder, *more: run("classify", folder, "--json", "--raw", *more, stdin=TEXTS).out
check("and is loaded as it", answers(path("tuned")) != "" and run("info", path("tuned"), "--json").json()[0]["attention"] == "window (2 rows)")
r = renew("train", path("tuned"), *common, "--out", path("again")); check("it learns again, under the same type", r.status == 0 and config(path("again"))["model_type"] == "rubato-bert", r)
for precision in ("int8", "bf16"):
    r = renew("quantize", path("tuned"), "--to", precision, "--out", path(precision)); check(f"it goes into {precision}", r.status == 0 and config(path(precision))["attention"] == window["attention"], r)
    r = renew("quantize", path(precision), "--to", "f32", "--out", path("f32")); check("and back", r.status == 0, r)
    check(f"its {precision} is that of the products", "" != answers(path(precision)) == answers(path("f32"), "--precision", precision))
r = renew("quantize", path("tuned"), "--to", "int8", "--smooth", 0.5, "--task", "classification", "--data", data, "--out", path("smooth")); check("its inputs can be smoothed", r.status == 0, r)
r = renew("train", narrow, *common, "--recipe", "length-adaptive", "--out", path("x")); check("a recipe that needs more than it can do is refused by its name", r.status != 0 and one_line(r) and "window attention cannot tell which rows received attention" in r.err, r)
r = renew("train", narrow, *common, "--recipe", "length-adaptive", "--significance", "first", "--out", path("la")); check("and not when it does not need it", r.status == 0, r)

r = renew("search", path("tuned"), "--task", "classification", "--data", data, "--out", path("x"), "--quiet"); check("so is a search", r.status != 0 and one_line(r) and "window attention cannot" in r.err, r)
points(path("tuned"), 3, short={"keep": [1, 0.5, 0.5]})
r = run("classify", path("tuned"), stdin=TEXTS); check("and a point of rubato.json, by both names", r.status != 0 and one_line(r) and 'point "short": window attention cannot' in r.err, r)

finish()
