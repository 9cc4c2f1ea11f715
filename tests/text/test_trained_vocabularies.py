#!/usr/bin/env python3
"""rubato vocabulary: the vocabularies are those of the trainers of the library tokenizers (trained_vocabularies.json), and
wrong input gives a clear error.   test_trained_vocabularies.py RUBATO"""
import gzip, json, os, subprocess, sys, tempfile

program, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
known = json.load(open(os.path.join(here, "trained_vocabularies.json"), encoding="utf-8"))
work = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(work.name, name)


def run(*given, status=0, says=None):
    done = subprocess.run([program, "vocabulary", *map(str, given)], capture_output=True, text=True)
    assert done.returncode == status, (given, done.returncode, done.stderr)
    assert says is None or says in done.stderr, (given, done.stderr)
    return done.stdout


for name, lines in known["texts"].items():
    with open(path(name + ".txt"), "w", encoding="utf-8", newline="") as out: out.write("\n".join(lines) + "\n")

for case in known["cases"]:
    given = [path(case["text"] + ".txt"), "--kind", case["kind"], "--tokens", case["tokens"], "--out", path("out"), "--overwrite", "--json"]
    if "min_count" in case: given += ["--min-count", case["min_count"]]
    if case["kind"] != "bpe": given += ["--alphabet", case.get("alphabet", case["tokens"])] + (["--cased"] if case["cased"] else [])
    told = json.loads(run(*given))
    model = json.load(open(path("out/tokenizer.json"), encoding="utf-8"))["model"]
    if case["kind"] == "unigram":
        scores = dict(model["vocab"])
        assert told["tokens"] == len(model["vocab"]) == len(scores) and list(scores)[:5] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] and model["unk_id"] == 3
        assert scores.keys() == case["scores"].keys(), (case["text"], case["tokens"], scores.keys() ^ case["scores"].keys())
        assert all(wanted is None or abs(scores[piece] - wanted) < 1e-6 for piece, wanted in case["scores"].items())
        assert [s for _, s in model["vocab"][5:]] == sorted((s for _, s in model["vocab"][5:]), reverse=True)
        continue
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    assert told["tokens"] == len(tokens), told
    if case["kind"] == "bpe":
        assert tokens == case["vocabulary"], (case["text"], case["tokens"])
        assert model["merges"] == case["merges"]
    else:
        assert sorted(tokens) == case["vocabulary"], (case["text"], case["tokens"], set(tokens) ^ set(case["vocabulary"]))
        assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        assert open(path("out/vocab.txt"), encoding="utf-8").read().split("\n")[:-1] == tokens

# the same from parts, packed and with other ends of lines
lines = known["texts"]["made"]
with gzip.open(path("first.txt.gz"), "wt", encoding="utf-8", newline="") as out: out.write("\r\n".join(lines[:100]))
with open(path("second.txt"), "w", encoding="utf-8", newline="") as out: out.write("\n".join(lines[100:]))
run(path("first.txt.gz"), path("second.txt"), "--kind", "bpe", "--tokens", 600, "--min-count", 1, "--out", path("parts"))
run(path("made.txt"), "--kind", "bpe", "--tokens", 600, "--min-count", 1, "--out", path("whole"))
assert open(path("parts/tokenizer.json")).read() == open(path("whole/tokenizer.json")).read()

# rarer characters are left out
run(path("made.txt"), "--kind", "unigram", "--tokens", 100, "--alphabet", 12, "--out", path("some"))
pieces = [piece for piece, _ in json.load(open(path("some/tokenizer.json"), encoding="utf-8"))["model"]["vocab"][5:]]
assert len(set("".join(pieces))) == 12, pieces

# wrong input
open(path("bad.txt"), "wb").write(b"good\nb\xffd\n")
open(path("nul.txt"), "wb").write(b"good\n\n\0\n")
open(path("cut.txt.gz"), "wb").write(open(path("first.txt.gz"), "rb").read()[:-9])
open(path("empty.txt"), "w").close()
run(path("bad.txt"), "--out", path("x"), status=1, says="line 2: byte 2 is not UTF-8")
run(path("nul.txt"), "--out", path("x"), status=1, says="line 3: a NUL")
run(path("cut.txt.gz"), "--out", path("x"), status=1, says="cut.txt.gz")
run(path("empty.txt"), "--out", path("x"), status=1, says="the text has no words")
run(path("none.txt"), "--out", path("x"), status=1, says="none.txt")
run(work.name, "--out", path("x"), status=1)
run(path("made.txt"), status=2, says="--out")
run(path("made.txt"), "--kind", "words", "--out", path("x"), status=2, says="wordpiece")
run(path("made.txt"), "--kind", "bpe", "--cased", "--out", path("x"), status=2, says="bpe knows all bytes")
run(path("made.txt"), "--kind", "unigram", "--min-count", 3, "--out", path("x"), status=2, says="min_count")
run(path("made.txt"), "--kind", "unigram", "--tokens", 20, "--alphabet", 20, "--out", path("x"), status=2, says="cannot hold")
run(path("made.txt"), "--tokens", 20, "--alphabet", 20, "--out", path("x"), status=2, says="cannot hold")
run(path("made.txt"), "--out", path("whole"), status=2, says="--overwrite")
run(path("made.txt"), "--out", "", status=2, says="empty")
run(path("made.txt"), "--out", path("bad.txt"), status=2, says="no folder")
assert not os.path.exists(path("x")), os.listdir(path("x"))
print("the vocabularies are the reference's")
