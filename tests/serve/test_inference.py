#!/usr/bin/env python3
"""Tags, masks and labels over HTTP, in the forms of the Hugging Face inference API: the answers of the pipelines of
transformers.

    test_inference.py RUBATO GOLDEN_FOLDER
"""
import os, sys, threading

from service import Service, check, finish, run
from pipelines import alike, cases, models

NLI = ["contradiction", "neutral", "entailment"]
mlm, tagger, nli = models("BertForMaskedLM"), models("BertForTokenClassification", ["O", "B-X", "I-X"]), models("BertForSequenceClassification", NLI)
s = Service(f"mlm={mlm}", f"tag={tagger}", f"nli={nli}")
post = lambda path, inputs, **parameters: s.post(path, {"inputs": inputs, "parameters": parameters})


def refused(what, answer, *names):
    status, _, out = answer
    check(what, status == 422 and all(n in out["error"] for n in names), status, out)


# ---- Masks ----
for c in cases["fill"]:
    how = {k: v for k, v in (("targets", c["targets"]), ("top_k", c["top"])) if v is not None}
    status, headers, out = post("/fill", c["text"], **how)
    got = [[{k: x[k] for k in ("score", "token", "token_str")} for x in m] for m in (out if status == 200 and isinstance(out[0], list) else [out])] if status == 200 else out
    check(f"/fill {how}", status == 200 and alike(got, c["want"]), got, c["want"])
check("targets that are no token are counted", post("/fill", "a [MASK]", targets=["a", "bcd", "xyz"])[1].get("x-rubato-replaced-targets") == "2" and "x-rubato-replaced-targets" not in post("/fill", "a [MASK]", targets=["a"])[1])
check("null is the default", len(post("/fill", "a [MASK]", targets=None, top_k=None)[2]) == 5)
status, _, out = s.post("/fill", {"inputs": "a [MASK]", "targets": ["b"]}); check("targets beside inputs", status == 200 and len(out) == 1, out)
for wrong in ([], "", ["  "], [1], {"a": 1}, 5, ["a\0b"]): refused(f"targets {wrong!r}", post("/fill", "a [MASK]", targets=wrong), "targets")
for wrong in (0, -1, 1.5, "2"): refused(f"top_k {wrong!r}", post("/fill", "a [MASK]", top_k=wrong), "top_k")

# ---- Tags ----
for c in cases["tag"]:
    if c["labels"] != ["O", "B-X", "I-X"] or c["tokenizer"] != "wordpiece": continue
    status, _, out = post("/tag", c["text"], aggregation_strategy=c["how"], **({"stride": c["stride"]} if "stride" in c else {}), **({"ignore_labels": c["ignored"]} if "ignored" in c else {}))
    check(f"/tag {c['how']} {c['text']!r} {c.get('stride')} {c.get('ignored')}", status == 200 and alike(out, c["want"]), out, c["want"])
plain = post("/tag", "ab  cd-ab", aggregation_strategy=None)[2]
check("the default is by words", plain and plain == post("/tag", "ab  cd-ab", aggregation_strategy="entities")[2] and all(e["word"] == "ab  cd-ab"[e["start"]:e["end"]] for e in plain), plain)
refused("no such strategy", post("/tag", "a", aggregation_strategy="sum"), "aggregation_strategy")
refused("a label with a comma", post("/tag", "a", ignore_labels=["a,b"]), "ignore_labels")
refused("no stride", post("/tag", "a", stride=0), "stride")
wants = {c["how"]: c["want"] for c in cases["tag"] if c["labels"] == ["O", "B-X", "I-X"] and c["tokenizer"] == "wordpiece" and c["text"] == "ab cd, ef! ab"}
mixed = []
ask = lambda how: mixed.extend(alike(post("/tag", "ab cd, ef! ab", aggregation_strategy=how)[2], wants[how]) for _ in range(20))
threads = [threading.Thread(target=ask, args=(how,)) for how in wants]
for t in threads: t.start()
for t in threads: t.join()
check("requests at once keep their strategies", len(mixed) == 100 and all(mixed), len(mixed))

# ---- Labels that no model was trained for ----
for c in cases["zero_shot"]:
    if c["nli"] != NLI: continue
    names, scores = c["want"]
    status, _, out = post("/zero-shot", c["text"], candidate_labels=c["labels"], **c["how"])
    check(f"/zero-shot {c['how']} {c['labels']}", status == 200 and out["sequence"] == c["text"] and alike(out["scores"], scores) and (len(set(scores)) < len(scores) or out["labels"] == names), out, c["want"])
    status, _, more = s.post("/predict", {"inputs": c["text"], "model": "nli", "parameters": {"candidate_labels": c["labels"], **c["how"]}})
    check("/predict with labels", status == 200 and more == [{"score": x, "label": l} for l, x in zip(out["labels"], out["scores"])], more, out)
few = {"candidate_labels": ["ab", "cd"], "hypothesis_template": "{}"}
one, two = post("/zero-shot", "ab", **few)[2], post("/v1/zero-shot", "cd ab", **few)[2]
check("several texts", post("/zero-shot", ["ab", "cd ab"], **few)[2] == [one, two])
check("a list of one", post("/zero-shot", ["ab"], **few)[2] == [one])
status, headers, _ = post("/zero-shot", "ab", budget="full", **few); check("costs", status == 200 and headers["x-rubato-point"] == "full" and int(headers["x-compute-tokens"]) == 14, headers)
for what, wrong, *names in (("no labels", {}, "candidate_labels"), ("labels of numbers", {"candidate_labels": [1]}, "candidate_labels"), ("no place", {"candidate_labels": ["a"], "hypothesis_template": "x"}, "{}"),
                            ("multi_label of a text", {"candidate_labels": ["a"], "multi_label": "yes"}, "multi_label"), ("more pairs than allowed", {"candidate_labels": ["a"] * 33}, "33", "--max-client-batch-size")):
    status, _, out = post("/zero-shot", "ab", **wrong); check(what, status in (400, 422) and all(n in out["error"] for n in names), status, out)
check("empty labels", post("/zero-shot", "ab", candidate_labels=[])[0] == 400 and post("/zero-shot", "ab", candidate_labels=" , ")[0] == 400)
for wrong in (5, None, {}, [5], [["ab"]], []): check(f"inputs {wrong}", post("/zero-shot", wrong, **few)[0] in (400, 422))
status, _, out = s.post("/zero-shot", {"inputs": "ab", "model": "mlm", "parameters": few}); check("a model of another kind", status == 424, out)
check("stops", s.stop() == 0)

# ---- Labels ----
for labels, changes in {(tuple(c["labels"]), tuple(c["changes"].items())) for c in cases["classify"]}:
    s = Service(models("BertForSequenceClassification", labels, **dict(changes)))
    for c in cases["classify"]:
        if (tuple(c["labels"]), tuple(c["changes"].items())) != (labels, changes): continue
        status, _, out = post("/predict", c["text"], **c["how"])
        check(f"/predict {labels} {changes} {c['how']}", status == 200 and alike(out, [c["want"]]), out, c["want"])
    for wrong in (0, "1"): refused(f"top_k {wrong}", post("/predict", "ab", top_k=wrong), "top_k")
    refused("no such function", post("/predict", "ab", function_to_apply="tanh"), "function_to_apply")
    status, _, out = post("/zero-shot", "ab", **few); check("no entailment", status == 424 and "entail" in out["error"], out)
    check("stops", s.stop() == 0)
finish()
