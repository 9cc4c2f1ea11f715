#!/usr/bin/env python3
"""Tokenizers of the files that came before tokenizer.json, the classes that build their stages by themselves, and the keys of
tokenizer_config.json, against what the reference gave (vocabularies.json; make_vocabularies.py made it).

    test_vocabularies.py RUBATO GOLDEN_FOLDER
"""
import base64, json, os, struct, sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "cli"))
from program import check, finish, model, one_line, run

stored = json.load(open(os.path.join(here, "vocabularies.json"), encoding="utf-8"))


def content(c): return base64.b64decode(c["base64"]) if isinstance(c, dict) else c.encode()


def folder(files, settings=None, model_type="roberta", **config):
    """A golden model with other tokenizer files."""
    made = model("roberta", "RobertaModel", model_type=model_type, **config)
    os.remove(os.path.join(made, "tokenizer.json"))
    for name, what in files.items():
        with open(os.path.join(made, name), "wb") as f: f.write(what)
    if settings is not None: json.dump(settings, open(os.path.join(made, "tokenizer_config.json"), "w"))
    return made


# the weights are RoBERTa's: where their type does not say the class, the settings do
def folder_of(files, settings):
    family = files.split()[0]
    named = {"albert": "AlbertTokenizer", "herbert": "HerbertTokenizer"}.get(family)
    if named: settings = {"tokenizer_class": named, **(settings or {})}
    return folder({name: content(c) for name, c in stored["files"][files].items()}, settings, "roberta" if named else family)


def tokens(made, *arguments, texts=(), pairs=()):
    rows = [{"text": t} for t in texts] + [{"text": a, "pair": b} for a, b in pairs]
    return run("tokenize", made, "--jsonl", "--json", "--quiet", *arguments, stdin="".join(json.dumps(r) + "\n" for r in rows))


def ids(made, text, *arguments): return tokens(made, *arguments, texts=[text]).json()[0]["ids"]


def refused(what, made, *names):
    r = tokens(made, texts=["a"])
    check(what, r.status == 1 and one_line(r) and all(n in r.err for n in names), r)


# ---- What the reference gives ----
for case in stored["cases"]:
    r = tokens(folder_of(case["files"], case["settings"]), texts=stored["texts"], pairs=stored["pairs"])
    got = [[row["ids"], row["types"], row["offsets"]] for row in r.json()] if r.status == 0 else r
    for text, want, have in zip(stored["texts"] + stored["pairs"], case["texts"] + case["pairs"], got if r.status == 0 else [r] * 99):
        check(f"{case['files']} {case['settings']}: {text}", want == have, want, have)
bpe = {name: content(c) for name, c in stored["files"]["bpe"].items()}
for text, want in stored["bpe"]: check(f"a SentencePiece model of merges: {text}", ids(folder(bpe, None, "xlm-roberta"), text) == [0, *(i + 1 for i in want), 2], want)

# ---- Keys that change how tokens are used ----
roberta = {name: content(c) for name, c in stored["files"]["roberta"].items()}
whole = ids(folder(roberta), "the cat sat on the mat")
check("truncation_side", ids(folder(roberta, {"truncation_side": "left"}), "the cat sat on the mat", "--max-length", 5) == [whole[0], *whole[-4:-1], whole[-1]] != ids(folder(roberta), "the cat sat on the mat", "--max-length", 5))
def longest(settings): return run("info", folder(roberta, settings), "--json").json()[0]["max_length"]


check("model_max_length", longest({"model_max_length": 4}) == 4 == longest({"max_len": 4}) < longest({}) == longest({"model_max_length": 1e30}) == longest({"model_max_length": None}))
json_file = json.loads(stored["files"]["roberta json"]["tokenizer.json"])
def with_json(settings=None, **parts): return folder({"tokenizer.json": json.dumps({**json_file, **parts}).encode()}, settings)


cut = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
padded = {"strategy": {"Fixed": 20}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"}
check("truncation and padding of tokenizer.json cut and pad nothing", ids(with_json(truncation=cut, padding=padded), "the cat sat on the mat") == whole)
check("but the side counts", ids(with_json(truncation=cut), "the cat sat on the mat", "--max-length", 5) == [whole[0], *whole[-4:-1], whole[-1]])
check("tokenizer_config.json says another", ids(with_json({"truncation_side": "right"}, truncation=cut), "the cat sat on the mat", "--max-length", 5) == [*whole[:4], whole[-1]])
no_effect = {"max_length": 5, "stride": 2, "padding_side": "left", "never_split": ["the"], "do_basic_tokenize": False, "sp_model_kwargs": {"enable_sampling": True, "alpha": 0.1}, "chat_template": "x", "errors": "strict"}
check("keys without effect", ids(folder(roberta, no_effect), "the cat sat on the mat") == whole)
albert = {name: content(c) for name, c in stored["files"]["albert"].items()}
types = lambda settings: tokens(folder(albert, {"tokenizer_class": "AlbertTokenizer", **settings}), pairs=[["the", "cat"]]).json()[0]["types"]
check("model_input_names without token_type_ids", set(types({"model_input_names": ["input_ids", "attention_mask"]})) == {0} and set(types({"model_input_names": ["input_ids", "token_type_ids"]})) == {0, 1} == set(types({})))
check("special_tokens_map.json names tokens", ids(folder({**roberta, "special_tokens_map.json": b'{"cls_token": "a", "sep_token": {"content": "b"}}'}), "x")[::2] == [ids(folder(roberta), c)[1] for c in "ab"])
check("unless tokenizer_config.json lists its tokens", ids(folder({**roberta, "special_tokens_map.json": b'{"cls_token": "a"}'}, {"added_tokens_decoder": {}}), "x")[0] == 0)
check("of a model with a part of Rubato's own the class is the same", ids(folder(roberta, {"add_prefix_space": True}), "the") == ids(folder(roberta, {"add_prefix_space": True, "tokenizer_class": None}, "rubato-roberta"), "the") != ids(folder(roberta), "the"))

# ---- What is refused by name ----
for name in ("BertJapaneseTokenizer", "PhobertTokenizer", "BertweetTokenizer", "FlaubertTokenizer", "RoFormerTokenizerFast", "XLMTokenizer"):
    refused(f"{name} with a tokenizer.json", with_json({"tokenizer_class": name}), name)
    refused(f"{name} with files of its own", folder({"vocab.txt": b"a\nb\n"}, {"tokenizer_class": name}), name)
refused("a class that cuts words otherwise", folder(roberta, {"tokenizer_class": "BlenderbotTokenizer"}), "BlenderbotTokenizer")
refused("one file of two", folder({"vocab.json": roberta["vocab.json"]}), "vocab.json with merges.txt")
refused("a vocab.txt where the model's class has others", folder({"vocab.txt": b"[UNK]\n[CLS]\n[SEP]\na\n"}), "vocab.json with merges.txt")
refused("settings that are no object", folder({**roberta, "tokenizer_config.json": b"[]"}), "not an object")
refused("no file", folder({}, None, "xlm-roberta"), "sentencepiece.bpe.model")
refused("a merge of three", folder({**roberta, "merges.txt": b"a b c\n"}), "merge 0")
refused("a merge that is not in the vocabulary", folder({**roberta, "merges.txt": "#version: 0.2\na 가\n".encode()}), "merge 0")
refused("bytes that are no UTF-8", folder({**roberta, "merges.txt": b"a \xff\n"}), "merges.txt", "UTF-8")
refused("no end of text", folder({"vocab.json": b'{"<s>": 0, "a": 1}', "merges.txt": b""}), "</s>", "missing")
refused("a side that is none", folder(roberta, {"truncation_side": "up"}), "truncation_side")
refused("extra tokens of the wrong type", folder(roberta, {"extra_special_tokens": 5}), "extra_special_tokens")


def number(n):
    out = b""
    while n > 127: out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def message(field, content): return number(field << 3 | 2) + number(len(content)) + content
def piece(text, score=-1.0, kind=1): return message(1, message(1, text) + number(2 << 3 | 5) + struct.pack("<f", score) + number(3 << 3) + number(kind))
def pieces(*more): return piece(b"<unk>", 0, 2) + piece(b"<s>", 0, 3) + piece(b"</s>", 0, 3) + b"".join(more)
def xlm(data): return folder({"sentencepiece.bpe.model": data}, None, "xlm-roberta")


mark = "▁".encode()
small = pieces(piece(mark), piece(b"a"), piece(mark + b"a", -0.5))
check("a model of a few pieces", ids(xlm(small), "a aa") == [0, 6, 6, 5, 2])
check("an unknown field is passed over", ids(xlm(small + number(77 << 3) + number(300) + message(5, b"xyz")), "a") == [0, 6, 2])
check("of equal pieces the last one counts", ids(xlm(small + piece(mark + b"a", -0.1)), "a") == [0, 7, 2])
refused("an empty model", xlm(b""), "sentencepiece.bpe.model", "no pieces")
refused("a model that is cut short", xlm(small[:-3]), "cut short")
refused("a length beyond the end", xlm(number(1 << 3 | 2) + number(1 << 40)), "cut short")
refused("a length that does not end", xlm(b"\x0a" + b"\xff" * 12), "cut short")
refused("a piece that is no UTF-8", xlm(small + piece(b"\xff")), "UTF-8")
for score in (float("nan"), float("inf")): refused(f"a score of {score}", xlm(small + piece(b"b", score)), "score")
refused("a model of whole words", xlm(small + message(2, number(3 << 3) + number(3))), "model_type 3")
refused("a character map that is none", xlm(small + message(3, message(2, b"abcdefgh"))), "precompiled_charsmap")
refused("text instead of a model", xlm(b"version https://git-lfs\n" * 3), "sentencepiece.bpe.model")
finish()
