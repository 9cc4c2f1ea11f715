#!/usr/bin/env python3
"""What the pipelines of transformers do with tags, masks and labels: the same answers, or an error that names the option.

    test_pipelines.py RUBATO GOLDEN_FOLDER
"""
import json

from program import check, finish, large, one_line, path, points, run
from pipelines import alike, cases, models

refused = lambda what, r, *names: check(what, r.status == 2 and one_line(r) and all(n in r.err for n in names), r)

# ---- Masks among targets ----
mlm = models("BertForMaskedLM")
for c in cases["fill"]:
    if c["targets"] and any("," in t or not t.strip() for t in c["targets"]): continue
    targets = [] if c["targets"] is None else ["--targets", ",".join([c["targets"]] if isinstance(c["targets"], str) else c["targets"])]
    r = run("fill", mlm, "--json", "--quiet", *targets, *(["--top", c["top"]] if c["top"] else []), stdin=c["text"] + "\n")
    check(f"fill {c['targets']} {c['top']}", r.status == 0 and alike([[x["score"] for x in m] for m in r.json()], [[x["score"] for x in m] for m in c["want"]]), r, c["want"])
    if c["targets"] is not None: check(f"fill {c['targets']}: tokens", [[x["token"].replace("##", "") for x in m] for m in r.json()] == [[x["token_str"].replace("##", "") for x in m] for m in c["want"]], r, c["want"])
r = run("fill", mlm, "--targets", "b,bcd,q", "--json", stdin="a [MASK] c\n"); check("a target that is no token is told", r.status == 0 and one_line(r) and all(x in r.err for x in ("--targets", "bcd", '"b"')) and len(r.json()[0]) == 2, r)
refused("no target", run("fill", mlm, "--targets", " , ", stdin="a [MASK]\n"), "--targets")

# ---- Tags ----
for c in cases["tag"]:
    tagger = models("BertForTokenClassification", c["labels"], c["tokenizer"])
    r = run("tag", tagger, "--json", "--aggregation", c["how"], *(["--stride", c["stride"]] if "stride" in c else []), *(["--ignore-labels", ",".join(c["ignored"])] if "ignored" in c else []), stdin=c["text"] + "\n")
    want = [{"label": x.get("entity_group", x.get("entity")), "text": c["text"][x["start"]:x["end"]], "word": x["word"], "start": x["start"], "end": x["end"], "score": x["score"]} for x in c["want"]]
    check(f"tag {c['labels']} {c['tokenizer']} {c['how']} {c['text']!r} {c.get('stride')} {c.get('ignored')}", r.status == 0 and alike(r.json()[0]["entities"], want), r, want)
tagger = models("BertForTokenClassification", ["O", "B-X", "I-X"])
line = "ab  cd-ab, hello\n"
plain = run("tag", tagger, "--json", stdin=line)
check("the default is by words", plain.status == 0 and plain.out == run("tag", tagger, "--json", "--aggregation", "entities", stdin=line).out and all("word" not in e for e in plain.json()[0]["entities"]), plain)
check("its types are ignored too", plain.json()[0]["entities"] and run("tag", tagger, "--json", "--ignore-labels", "X", stdin=line).json()[0]["entities"] == [])
check("as many threads and texts as one likes", run("tag", tagger, "--json", "--aggregation", "average", "--threads", 2, stdin=line * 50).out == run("tag", tagger, "--json", "--aggregation", "average", "--threads", 1, stdin=line).out * 50)
refused("no such aggregation", run("tag", tagger, "--aggregation", "sum", stdin=line), "aggregation", "sum", "average")

# ---- Labels that no model was trained for ----
for c in cases["zero_shot"]:
    nli = models("BertForSequenceClassification", c["nli"])
    labels = c["labels"] if isinstance(c["labels"], str) else ",".join(c["labels"])
    if isinstance(c["labels"], list) and len(set(c["labels"])) < len(c["labels"]):  # the pipeline's lists can hold a label twice
        refused(f"a label twice {c['labels']}", run("zero-shot", nli, "--json", "--labels", labels, stdin=c["text"] + "\n"), "twice")
        continue
    r = run("zero-shot", nli, "--json", "--labels", labels, "--template", c["how"]["hypothesis_template"], *(["--multi-label"] if c["how"].get("multi_label") else []), stdin=c["text"] + "\n")
    names, scores = c["want"]
    check(f"zero-shot {c['nli']} {c['how']} {c['labels']}", r.status == 0 and alike(r.json()[0]["scores"], dict(zip(names, scores))) and alike(r.json()[0]["score"], scores[0]), r, c["want"])
    check("the best first", list(r.json()[0]["scores"].values()) == sorted(r.json()[0]["scores"].values(), reverse=True), r)
nli = models("BertForSequenceClassification", ["contradiction", "neutral", "entailment"])
ask = ["--labels", "ab,cd,e", "--template", "{}"]
texts = "".join(f"{'ab ' * (i % 5)}cd\n" for i in range(70))
alone = "".join(run("zero-shot", nli, "--json", *ask, stdin=line + "\n").out for line in texts.splitlines()[:5])
check("a text's answer is its own in any batch", run("zero-shot", nli, "--json", *ask, stdin=texts).out == alone * 14)
check("--top", [len(run("zero-shot", nli, "--json", "--top", n, *ask, stdin="ab\n").json()[0]["scores"]) for n in (1, 2, 9)] == [1, 2, 3])
r = run("zero-shot", nli, *ask, stdin="ab\n"); check("in words", r.status == 0 and len(r.out.split()) == 2, r)
r = run("zero-shot", nli, "--multi-label", *ask, stdin="ab\n"); check("in words: several", r.status == 0 and r.out.count(",") == 2, r)
r = run("zero-shot", nli, "--json", "--cost", *ask, stdin="ab\n"); check("--cost counts all pairs", r.json()[0]["cost"]["windows"] == 3 and r.json()[0]["cost"]["flops"] > 0 and r.json()[0]["cost"]["rows"][0] > 6, r)
check("a JSON line", run("zero-shot", nli, "--json", "--jsonl", *ask, stdin='{"text": "ab"}\n').out == run("zero-shot", nli, "--json", *ask, stdin="ab\n").out)
big = large(labels=3)
config = json.load(open(big + "/config.json"))
config["id2label"] = {"0": "no", "1": "maybe", "2": "entails"}
del config["label2id"]  # then the names of id2label count
json.dump(config, open(big + "/config.json", "w"))
points(big, 6, **{"half": {"keep": [0.5] * 6}})
usual = run("zero-shot", big, "--json", "--labels", "ab,cd", stdin="hello\n")
check("the usual template", usual.status == 0 and usual.out == run("zero-shot", big, "--json", "--labels", "ab,cd", "--template", "This example is {}.", stdin="hello\n").out, usual)
r = run("zero-shot", big, "--json", "--cost", "--budget", "@half", "--labels", "ab,cd", stdin="hello\n"); check("budgets", r.json()[0]["cost"]["point"] == "half" and r.json()[0]["cost"]["flops_ratio"] < 0.9, r)
r = run("zero-shot", models("BertForSequenceClassification", ["yes", "no"]), *ask, stdin="ab\n"); check("a model without entailment", r.status == 1 and one_line(r) and "entail" in r.err and "label2id" in r.err and "yes" in r.err, r)
r = run("zero-shot", mlm, *ask, stdin="ab\n"); check("a model of another kind", r.status == 1 and one_line(r), r)
for template in ("no place", "{} {}", "{1}", "{", "}", "{} {0}", "{:>5}", "{label}"): refused(f"template {template}", run("zero-shot", nli, "--labels", "a,b", "--template", template, stdin="ab\n"), template)
refused("no labels", run("zero-shot", nli, stdin="ab\n"), "--labels")
refused("empty labels", run("zero-shot", nli, "--labels", ",", stdin="ab\n"), "--labels")
r = run("zero-shot", nli, "--jsonl", *ask, stdin='{"text": "a"}\n{"text": "a", "pair": "b"}\n'); check("a pair has no label", r.status == 1 and one_line(r) and "line 2" in r.err, r)

# ---- Labels ----
for c in cases["classify"]:
    classifier = models("BertForSequenceClassification", c["labels"], **c["changes"])
    how, value = c["how"], len(c["labels"]) == 1
    if value and "function_to_apply" not in how: continue  # a value: the pipeline's sigmoid is the server's
    r = run("classify", classifier, "--json", *(["--top", how["top_k"]] if how["top_k"] else []), *(["--function-to-apply", how["function_to_apply"]] if "function_to_apply" in how else []), stdin=c["text"] + "\n")
    if value: check(f"classify {c['how']}", r.status == 0 and alike(r.json()[0]["value"], c["want"][0]["score"]), r, c["want"])
    else: check(f"classify {c['changes']} {c['how']}", r.status == 0 and alike(r.json()[0]["scores"], {x["label"]: x["score"] for x in c["want"]}) and (not how["top_k"] or list(r.json()[0]["scores"]) == [x["label"] for x in c["want"]]), r, c["want"])
three = models("BertForSequenceClassification", ["p", "q", "r"])
check("in words: as many as asked for", [run("classify", three, *top, stdin="ab\n").out.count(",") for top in ([], ["--top", 1], ["--top", 2], ["--top", 7])] == [0, 0, 1, 2])
check("in words: every label that may be true", run("classify", models("BertForSequenceClassification", ["p", "q", "r"], problem_type="multi_label_classification"), stdin="ab\n").out.count(",") == 2)
refused("no such function", run("classify", three, "--function-to-apply", "tanh", stdin="ab\n"), "function_to_apply", "tanh", "softmax")

# ---- 0 where a count is wanted ----
for command, *given in (("classify", three, "--top", 0), ("fill", mlm, "--top", 0), ("classify", three, "--threads", 0), ("classify", three, "--batch-tokens", 0), ("classify", three, "--max-length", 0), ("tag", tagger, "--stride", 0),
                        ("rerank", three, "--query", "a", "--top", 0), ("eval", three, "--limit", 0), ("train", three, "--batch-size", 0), ("serve", three, "--port", 0), ("serve", three, "--max-queue", 0)):
    refused(f"{command} {given[-2]} 0", run(command, *given, stdin="ab\n"), given[-2] + ":", '"0"')
refused("a variable of 0", run("serve", three, env={"PAYLOAD_LIMIT": "0"}), "PAYLOAD_LIMIT:", '"0"')

# ---- Messages name the file and the line, and their end is never lost ----
rows = path("rows.jsonl")
open(rows, "w").write('{"text": "a"}\n{"text": 5}\n[1]\n{"text": "\\ud800"}\n')
for command in ("classify", "tag"):
    r = run(command, three if command == "classify" else tagger, "--jsonl", rows); check(f"{command}: a file's lines", r.status == 1 and [f"rubato: {rows}: line {i}: " in r.err for i in (2, 3, 4)] == [True] * 3 and r.err.count("\n") == 3, r)
open(rows, "w").write('{"question": "a"}\n{"question": "a", "context": "b"}\n{"question": "' + "a" * 40 + '", "context": "b"}\n')
qa = models("BertForQuestionAnswering")
r = run("answer", qa, rows); check("answer: a file's lines", r.status == 1 and f'rubato: {rows}: line 1: "context"' in r.err and f"rubato: {rows}: line 3: " in r.err and r.err.count("\n") == 2, r)
for command, more in (("classify", []), ("tag", []), ("answer", []), ("zero-shot", ["--labels", "a"]), ("fill", [])):
    deep = "/" + "/".join(["d" * 200] * 8)
    r = run(command, deep, *more, stdin="a\n"); check(f"{command}: the end of a long message", r.status == 1 and one_line(r) and "/ddd" in r.err and "..." in r.err and r.err.endswith("d: no such folder\n"), r)
r = run("zero-shot", nli, "--labels", "," * 5000, stdin="a\n"); check("a long value is shown whole", r.status == 2 and "," * 5000 in r.err and r.err.rstrip().endswith("has no label"), r.status)
finish()
