#!/usr/bin/env python3
"""Weights in memory: the same answers, to the bit, of every family, head and precision, and of folders that were quantised.

    test_memory.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, os

from program import check, finish, golden, model, run, work

TEXTS = "hello world\na world of words\nfoo\n"
HEADS = {"Model": ["embed"], "ForSequenceClassification": ["classify"], "ForTokenClassification": ["tag"], "ForMaskedLM": ["fill"], "ForQuestionAnswering": ["answer", "--jsonl"]}
PREFIXES = {"albert": "Albert", "bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "funnel": "Funnel", "mpnet": "MPNet", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
LABELS = {"id2label": {"0": "O", "1": "B-X", "2": "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}


def mask(family): return next(t["content"] for t in json.load(open(os.path.join(golden, family, "tokenizer.json")))["added_tokens"] if "mask" in t["content"].lower())


def same(what, command, folder, *more, stdin=TEXTS):
    mapped, memory = run(command, folder, *more, "--json", stdin=stdin), run(command, folder, *more, "--json", "--in-memory", stdin=stdin)
    check(what, mapped.status == 0 and memory.status == 0 and mapped.out == memory.out and mapped.out, mapped, memory)


for family, prefix in PREFIXES.items():
    for head, (command, *more) in HEADS.items():
        made = model(family, prefix + head, **(LABELS if "Classification" in head else {}))
        stdin = f"hello {mask(family)}\n" if command == "fill" else '{"question": "what", "context": "hello world of words"}\n' if command == "answer" else TEXTS
        same(f"{family}: {head}", command, made, *more, stdin=stdin)
    for precision in ("bf16", "int8", "f32+int8"): same(f"{family} in {precision}", "embed", model(family, prefix + "Model"), "--precision", precision)
for to in ("int8", "bf16"):
    out = os.path.join(work, to)
    r = run("quantize", model("bert", "BertForSequenceClassification", **LABELS), "--to", to, "--out", out)
    check(f"quantize to {to}", r.status == 0, r)
    same(f"a quantised folder: {to}", "classify", out)
    same(f"a quantised folder in f32: {to}", "classify", out, "--precision", "f32")
    r = run("quantize", out, "--to", "f32", "--out", out + "-back"); check(f"and back from {to}", r.status == 0, r)
finish()
