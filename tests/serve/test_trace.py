#!/usr/bin/env python3
"""What the server and the program tell of the words that layers keep, of widths, of qualities and of precision.

    test_trace.py RUBATO GOLDEN_FOLDER
"""
import json, os

from service import Service, check, finish, large, model, run

LAYERS = 4
classify = large(2, LAYERS, 64, 48)
half = {"ms": None, "keep": [1] * LAYERS}
listed = [{**half, "name": "narrow", "quality": 0.8, "quality_error": 0.02, "flops_ratio": 0.3, "keep": [1, 0.5, None, 0.1], "heads": [0.5] * LAYERS, "neurons": [1, 0.25, 1, 1]},
          {**half, "name": "low", "quality": 0.85, "flops_ratio": 0.6, "precision": "int8"}]
json.dump({"significance": "received", "metric": "accuracy", "full_quality": 0.875, "full_quality_error": 0.0125, "held_out": 436, "points": listed},
          open(os.path.join(classify, "rubato.json"), "w"))
answer = model("bert", "BertForQuestionAnswering")
s = Service(f"c={classify}", f"q={answer}", "--quiet", "--isa", "scalar")


def trace(inputs, **more):
    status, _, out = s.post("/v1/trace", {"inputs": inputs, "model": "c", **more})
    return out if status == 200 else (status, out)


# ---- Pairs ----
alone, pair = trace("ab cd"), trace({"text": "ab cd", "text_pair": "fg"})
check("a text", alone["sequences"] == [None, 0, 0, 0, 0, None], alone)
check("a pair", pair["sequences"] == [None, 0, 0, 0, 0, None, 1, 1, None] and pair["tokens"][6:8] == ["f", "##g"] and len(pair["layers"][0]) == 9, pair)
check("a text as an object", trace({"text": "ab cd"}) == alone)
check("a list of both", trace(["ab cd", {"text": "ab cd", "text_pair": "fg"}]) == [alone, pair])
check("ids contain their special tokens", len(trace([5, 6])["tokens"]) == 2 and len(trace([[5, 6], [7]])[1]["tokens"]) == 1)
for what, wrong, name in (("no text", {"text_pair": "fg"}, "inputs"), ("a number", {"text": 3}, "inputs"), ("a pair that is none", {"text": "a", "text_pair": 3}, "inputs"),
                          ("no context", {"question": "a"}, "context"), ("the second", ["a", {"text": 3}], "inputs[1]"), ("nothing", None, "inputs")):
    got = trace(wrong)
    check(what, got[0] == 422 and name in got[1]["error"], got)

# ---- What was cut ----
check("nothing cut", alone["cut"] == 0)
long = trace("a " * 100)
check("a long text", len(long["tokens"]) == 48 and long["cut"] == 100 - 46, long["cut"])
status, _, out = s.post("/v1/trace", {"inputs": {"question": "ab", "context": "c d e f g h i j " * 4}, "model": "q"})
check("a context is cut, a question is not", status == 200 and out["tokens"][1:4] == ["a", "##b", "[SEP]"] and out["cut"] == 32 - out["sequences"].count(1) > 0, out)

# ---- Widths ----
check("full widths", alone["heads"] == [2] * LAYERS and alone["neurons"] == [256] * LAYERS, alone)
narrow = trace("ab cd", budget="@narrow")
check("narrow layers", narrow["heads"] == [1, 1, None, 1] and narrow["neurons"] == [256, 64, None, 256] and narrow["layers"][2] is None, narrow)

# ---- Points, and precision ----
info = s.get("/info")[2]["models"][0]
points = {p["name"]: p for p in info["points"]}
check("the full model's quality", points["full"]["quality"] == 0.875 and abs(points["full"]["quality_error"] - 0.0125) < 1e-6 and info["held_out"] == 436 and info["metric"] == "accuracy", info)
check("errors", abs(points["narrow"]["quality_error"] - 0.02) < 1e-6 and points["low"]["quality_error"] is None and points["narrow"]["flops_error"] == 0 and not points["narrow"]["exits"], points)
check("precision of points", points["full"]["precision"] == "f32" == points["narrow"]["precision"] and points["low"]["precision"] == "int8" and info["precision"] == "f32+int8", points)
check("instructions are no precision", info["isa"] == "scalar" and info["kernels"] == "portable C" and info["heads"] == 2 and info["inner"] == 256 and not info["zero_shot"], info)
check("the banner too", any("c in f32+int8" in line and "kernels: portable C;" in line for line in s.log), s.log)
check("stops", s.stop() == 0)

# ---- The program ----
row = '{"text": "ab cd", "pair": "fg"}\n'
r = run("classify", classify, "--jsonl", "--words", "--budget", "@narrow", stdin=row)
lines = r.out.splitlines()
check("--words: both texts, and widths", "layer 1  (1 of 2 heads) [CLS] ab cd [SEP] fg [SEP]" in lines[1] and "(1 of 2 heads) (64 of 256 neurons)" in lines[2] and lines[3].endswith("(left out)"), r)
words = run("classify", classify, "--jsonl", "--words", "--json", "--budget", "@narrow", stdin=row).json()[0]["words"]
check("--words --json", words["sequences"] == pair["sequences"] and words["heads"] == narrow["heads"] and words["neurons"] == narrow["neurons"] and words["cut"] == 0, words)
check("--words: what was cut", "54 more tokens cut and not read" in run("classify", classify, "--words", stdin="a " * 100 + "\n").out)
r = run("answer", answer, "--words", "--stride", "2", stdin='{"question": "ab", "context": "' + "c d e f g h i j " * 4 + '"}\n')
check("answer --words", r.status == 0 and "[CLS] ab [SEP] c d" in r.out and "more tokens in further windows, which are read too" in r.out, r)
r = run("info", classify, "--isa", "scalar")
check("info", all(line in r.out for line in ("quality 0.8750 +- 0.0125", "accuracy of 436 examples", "products in  f32+int8", "kernels      portable C", "products in int8, quality 0.8500\n")), r)
row = run("info", classify, "--json", "--isa", "scalar").json()[0]
check("info --json", row["isa"] == "scalar" and row["kernels"] == "portable C" and row["points"][-1] == {"name": "full", "flops_ratio": 1, "quality": 0.875, "quality_error": 0.0125} and row["held_out"] == 436, row)
r = run("info", answer).out
check("info of a model without a search", "point        full" in r and "quality" not in r, r)
r = run("info", classify, "--precision", "f32+bf16", "--json").json()[0]
check("the low precision is the one that runs", r["precision"] == "f32+bf16" and r["points"][1]["precision"] == "bf16", r)
facts = run("--version", "--json").json()[0]
check("--version", facts["kernels"] == "portable C" or facts["kernels"].endswith(" instructions"), facts)
finish()
