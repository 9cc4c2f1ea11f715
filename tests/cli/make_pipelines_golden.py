#!/usr/bin/env python3
"""Writes pipelines.json: what the pipelines of `transformers` make of small models and texts. Needs torch, transformers
and tokenizers; the tests that read the file need none of them.

    tests/cli/make_pipelines_golden.py tests/golden tests/cli/pipelines.json
"""
import json, os, sys, tempfile
import torch, transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline

transformers.logging.set_verbosity_error()
golden, out = sys.argv[1:3]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
NAMES = list(SPECIAL.values())
TEMPLATE = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])


def finish(t):
    t.add_special_tokens(NAMES)
    t.post_processor = TEMPLATE
    return t


def byte_level():
    tokens = NAMES + ["\u0120", "\u0120a", "ab", "\u0120cd", "cd", "\u00c3", "\u00bc", "\u00c3\u00bc", ",", "-"] + list(LETTERS)
    t = Tokenizer(models.BPE({x: i for i, x in enumerate(tokens)}, [("\u0120", "a"), ("a", "b"), ("c", "d"), ("\u0120", "cd"), ("\u00c3", "\u00bc")]))
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return finish(t)


def unigram():
    tokens = NAMES + ["\u2581", "\u2581a", "ab", "\u2581cd", "cd", "\u00fc", ",", "-"] + list(LETTERS)
    t = Tokenizer(models.Unigram([(x, -1.0 - i / 7) for i, x in enumerate(tokens)], unk_id=1))
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return finish(t)


def word_piece():
    t = Tokenizer.from_file(os.path.join(golden, "bert", "tokenizer.json"))
    t.decoder = decoders.WordPiece()  # as transformers sets it for BERT
    return t


tokenizers = {"wordpiece": word_piece(), "bpe": byte_level(), "unigram": unigram()}


def made(kind, labels=("LABEL_0", "LABEL_1", "LABEL_2"), **changes):
    """The golden BERT with the first of its labels."""
    config = AutoConfig.from_pretrained(os.path.join(golden, "bert"))
    model = kind.from_pretrained(os.path.join(golden, "bert"), config=config)
    if kind is not AutoModelForMaskedLM:
        model.classifier.weight.data = model.classifier.weight.data[:len(labels)]
        model.classifier.bias.data = model.classifier.bias.data[:len(labels)]
        model.num_labels = model.config.num_labels = len(labels)
    for key, value in changes.items(): setattr(model.config, key, value)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {x: i for i, x in enumerate(labels)}
    return model.eval()


def run(task, model, text, which="wordpiece", **how):
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizers[which], model_max_length=19, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **SPECIAL)
    with torch.no_grad(): return pipeline(task, model=model, tokenizer=fast)(text, **how)


def plain(x):
    if isinstance(x, dict): return {k: plain(v) for k, v in x.items()}
    if isinstance(x, list): return [plain(v) for v in x]
    return round(float(x), 7) if not isinstance(x, (str, int)) else x


cases = {"tag": [], "fill": [], "zero_shot": [], "classify": []}

TEXTS = ["ab cd, ef! ab", "abc  cd-ab \u00fcb", "\u00dcB a\u65e5 cd \u00dfab", " cd cd cdab", ", ab", "x\tab\u00a0cd"]
LONG = "abcd efg cd hij, ab klm cd no pq-rs ab tuv wxyz cdab"
LABELS = [["O", "B-X", "I-X"], ["I-X", "B-X", "I-Y"], ["X", "Y", "O"], ["B-A-b", "I-A-b", "E-A"]]
for labels in LABELS:
    model = made(AutoModelForTokenClassification, labels)
    for which in tokenizers:
        for how in ("none", "simple", "first", "average", "max"):
            for text in TEXTS[:2] if labels is not LABELS[0] else TEXTS:
                if which == "bpe" and "\u00df" in text: continue  # so small a byte-level vocabulary lacks its bytes
                cases["tag"].append(dict(labels=labels, tokenizer=which, how=how, text=text, want=plain(run("token-classification", model, text, which, aggregation_strategy=how))))
            if how != "none" and labels is not LABELS[3]:
                cases["tag"].append(dict(labels=labels, tokenizer=which, how=how, text=LONG, stride=4, want=plain(run("token-classification", model, LONG, which, aggregation_strategy=how, stride=4))))
    for ignored in ([], ["X"], ["O", "B-X", "I-X"]):
        for how in ("none", "simple"):
            cases["tag"].append(dict(labels=labels, tokenizer="wordpiece", how=how, text=TEXTS[1], ignored=ignored, want=plain(run("token-classification", model, TEXTS[1], aggregation_strategy=how, ignore_labels=ignored))))

model = made(AutoModelForMaskedLM)
for text in ("a [MASK] c", "[MASK] hello [MASK]"):
    for targets, top in (None, 3), (None, 61), (["b", "z"], None), (["b", "z", "q"], 2), (["b"], 5), ("z", 5), (["b", "bcd", "b", "##q", "xyz"], None), (["\u65e5", "[SEP]", "B"], None), (["a", "  "], None):
        how = {**({} if targets is None else {"targets": targets}), **({} if top is None else {"top_k": top})}
        want = run("fill-mask", model, text, **how)
        cases["fill"].append(dict(text=text, targets=targets, top=top, want=[[{k: plain(x[k]) for k in ("score", "token", "token_str")} for x in m] for m in (want if isinstance(want[0], list) else [want])]))

NLI = [["contradiction", "neutral", "entailment"], ["ENTAILMENT", "neutral", "contradiction"], ["a", "Entailed", "b"], ["not_entailment", "entailment"], ["entailment", "not_entailment"], ["entailment"]]
for labels in NLI:
    model = made(AutoModelForSequenceClassification, labels)
    for text, candidates, how in ("a game", ["ab", "cd", "e"], {}), ("a game", ["ab"], {}), ("a game", ["ab", "cd", "e"], {"multi_label": True}), ("a game", ["cd", "ab", "cd"], {"hypothesis_template": "{}"}), (
            "ab cd " * 20, ["ab", "cd"], {"hypothesis_template": "it is {} {{}}"}), ("a", "ab , cd,,e", {"hypothesis_template": "{0} or {0}"}):
        how = {"hypothesis_template": "is {}", **how}  # the usual template is too long for so small a model
        got = run("zero-shot-classification", model, text, candidate_labels=candidates, **how)
        cases["zero_shot"].append(dict(nli=labels, text=text, labels=candidates, how=how, want=[got["labels"], plain(got["scores"])]))

for labels, changes in (["p", "q", "r"], {}), (["p", "q", "r"], {"problem_type": "multi_label_classification"}), (["p"], {}), (["p"], {"problem_type": "regression"}):
    model = made(AutoModelForSequenceClassification, labels, **changes)
    for how in {"top_k": 2}, {"top_k": None}, {"top_k": 1}, {"top_k": 9}, *({"top_k": None, "function_to_apply": f} for f in ("sigmoid", "softmax", "none")):
        cases["classify"].append(dict(labels=labels, changes=changes, text="ab hello", how=how, want=plain(run("text-classification", model, "ab hello", **how))))

cases["tokenizers"] = {k: json.loads(t.to_str()) for k, t in tokenizers.items() if k != "wordpiece"}
with open(out, "w", encoding="utf-8") as f:
    f.write("{\n" + ",\n".join(f'"{k}": ' + ("[\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" if isinstance(v, list) else json.dumps(v)) for k, v in cases.items()) + "\n}\n")
print({k: len(v) for k, v in cases.items()})
