#!/usr/bin/env python3
"""Long texts on the command line: a file that is one text, passages with their vectors, windows whose results are joined, and what is
refused.

    test_long_texts.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, os

from program import check, finish, model, one_line, path, run, write

embedder = model("bert", "BertModel")
classifier = model("bert", "BertForSequenceClassification", id2label={"0": "x", "1": "y", "2": "z"}, label2id={"x": 0, "y": 1, "z": 2})
book = "\ufeffa b c d e. f g h i?\n\nj k l m n o p q\r\n r s t u v w x y z! é 日本。a b\n"
file = write("book.txt", book)


def rows(*arguments): return run(*arguments, "--json").json()


# ---- A file that is one text ----

whole = rows("embed", embedder, file, "--whole-file")
check("a file is one text", len(whole) == 1 and len(whole[0]["embedding"]) > 4, whole)
check("the mark at its beginning is no text", whole == rows("embed", embedder, write("as.jsonl", json.dumps({"text": book[1:]}))))
check("an empty file has no text", rows("embed", embedder, write("empty.txt", ""), "--whole-file") == [])
check("a name with an ending", rows("embed", embedder, write("as.csv", book), "--whole-file") == whole)
for arguments, reason in ((("embed", embedder, file, "--whole-file", "--jsonl"), "neither objects nor columns"), (("answer", model("bert", "BertForQuestionAnswering"), file, "--whole-file"), "needs two in a row")):
    r = run(*arguments)
    check(f"refused: {reason}", r.status == 2 and one_line(r) and reason in r.err, r)

# ---- Passages ----

for late in ((), ("--late",)):
    [answer] = rows("embed", embedder, file, "--whole-file", "--passages", "8", *late)
    passages = answer["passages"]
    check(f"passages {late}", len(passages) > 4 and set(passages[0]) == {"start", "end", "tokens", "text", "embedding"}, answer)
    check(f"places {late}", all(book[1:][p["start"]:p["end"]] == p["text"] and 0 < p["tokens"] <= 8 for p in passages), passages)
    check(f"all of the text {late}", "".join("".join(p["text"].split()) for p in passages) == "".join(book[1:].split()), passages)
    plain = run("embed", embedder, file, "--whole-file", "--passages", "8", *late, "--cost")
    check(f"for reading {late}", plain.out.startswith(f"{passages[0]['start']}-{passages[0]['end']} ") and "tokens" in plain.out.splitlines()[-1], plain)
alone = rows("embed", embedder, write("first.txt", passages[0]["text"] + "\n"))[0]["embedding"]
check("a passage that is read alone", rows("embed", embedder, file, "--whole-file", "--passages", "8")[0]["passages"][0]["embedding"] == alone)
check("a passage that knows the text", passages[0]["embedding"] != alone)
kept = rows("embed", embedder, write("kept.jsonl", json.dumps({"text": "a b", "passages": 1, "id": 7})), "--passages", "8")
check("members of a row are kept", kept[0]["id"] == 7 and kept[0]["input_passages"] == 1 and len(kept[0]["passages"]) == 1, kept)
check("a text without tokens", rows("embed", embedder, write("blank.txt", " \n"), "--passages", "8") == [{"passages": []}])
for options, reason in ((("--late",), "give --passages N"), (("--passages", "8", "--output", path("v.npy")), "--output has one vector a row"), (("--passages", "8", "--windows"), "give one of them"), (("--passages", "8", "--stride", "2"), "give --windows"), (("--passages", "99"), "this model reads"), (("--windows", "--max-length", "2"), "no room for text"), (("--passages", "0"), "--passages"), (("--passages", "8", "--max-length", "2"), "no room for a passage")):
    r = run("embed", embedder, file, *options)
    check(f"refused: {reason}", r.status == 2 and one_line(r) and reason in r.err and not os.path.exists(path("v.npy")), r)

# ---- Tokens of bytes ----

def byte_model():
    """A golden RoBERTa whose tokens are bytes; a character may have several."""
    folder = model("roberta", "RobertaModel")
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in plain)}}
    t = json.load(open(os.path.join(folder, "tokenizer.json")))
    kept = [*b"abcdefghij ", *"漢字".encode()]
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, **{names[b]: 5 + i for i, b in enumerate(dict.fromkeys(kept))}}
    t["model"] = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": []}
    t["normalizer"], t["pre_tokenizer"] = None, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    t["post_processor"] = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    t["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    os.remove(os.path.join(folder, "tokenizer.json"))
    json.dump(t, open(os.path.join(folder, "tokenizer.json"), "w"))
    return folder


of_bytes, text = byte_model(), "漢字漢 abc" + " " * 50 + "d\n"
for late in ((), ("--late",)):
    [answer] = rows("embed", of_bytes, write("bytes.txt", text), "--passages", "4", *late)
    check(f"bytes of a character stay together {late}", [p["text"] for p in answer["passages"]][:3] == ["漢", "字", "漢"], answer)
    check(f"white space is no passage {late}", all(p["text"].strip() for p in answer["passages"]) and "".join(p["text"] for p in answer["passages"]).replace(" ", "") == text.strip().replace(" ", ""), answer)

# ---- Windows ----

cut, read = (rows("classify", classifier, file, "--whole-file", "--cost", *options)[0] for options in ((), ("--windows",)))
check("without windows a text is cut", cut["cost"]["cut"] > 0 and cut["cost"]["windows"] == 1, cut)
check("windows read all of it", read["cost"]["cut"] == 0 and read["cost"]["windows"] > 2 and read["scores"] != cut["scores"], read)
short = write("short.txt", "a b c\n")
check("a short text is one window", rows("classify", classifier, short) == rows("classify", classifier, short, "--windows"))
r = run("classify", classifier, file, "--whole-file", "--windows", "--stride", "90")
for command in (("classify", classifier), ("rerank", embedder, "--query", "a")):
    refused = run(*command, file, "--stride", "2"); check(f"a stride without windows: {command[0]}", refused.status == 2 and "give --windows" in refused.err, refused)
refused = run("classify", classifier, file, "--windows", "--words"); check("the words of one window", refused.status == 2 and "one window" in refused.err, refused)
ranked = [x["index"] for x in rows("rerank", embedder, write("documents.txt", "b c d " * 12 + "q r s\nb c d b c d\nq b c\n"), "--query", "q r s", "--windows")]
check("a long document is as good as its best passage", ranked[0] == 0, ranked)
check("a stride that does not fit", r.status == 1 and "does not fit in windows" in r.err, r)
data = write("long.tsv", "text\tlabel\n" + "".join(f"{' '.join('abcdefgh'[i % 5:] * 6)}\t{'xyz'[i % 3]}\n" for i in range(9)))
metrics = [rows("eval", classifier, "--task", "classification", "--data", data, *options)[0] for options in ((), ("--windows",))]
check("a data set in windows", all(m["examples"] == 9 for m in metrics) and metrics[0]["metrics"] != metrics[1]["metrics"], metrics)
finish()
