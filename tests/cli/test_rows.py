#!/usr/bin/env python3
"""Rows of inputs: formats by the names of files, compressed files, members that are kept, documents of rerank.

    test_rows.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import gzip, json, os, random

from program import check, finish, golden, model, one_line, path, run, write

random.seed(1)
embedder = os.path.join(golden, "bert")
classifier = model("bert", "BertForSequenceClassification", id2label={"0": "x", "1": "y", "2": "z"}, label2id={"x": 0, "y": 1, "z": 2})
texts = [" ".join(random.choice("abcdefghij") for _ in range(9)) for _ in range(200)]
objects = "".join(json.dumps({"text": t, "label": "xy"[i % 2], "id": i}) + "\n" for i, t in enumerate(texts))


def packed(name, data): open(path(name), "wb").write(data); return path(name)
def rows(*arguments): return run(*arguments, "--json").json()


# ---- Names of files ----

table = "id,text,label\n" + "".join(f'{i},"{t}",{"xy"[i % 2]}\n' for i, t in enumerate(texts[:9]))
for name, content in (("r.jsonl", objects), ("d.csv", table), ("t.tsv", table.replace(",", "\t").replace('"', ""))):
    small = rows("classify", classifier, write(name, content))
    check(f"{name}: rows", len(small) > 8 and small[3]["id"] in (3, "3") and small[3]["input_label"] == "y", small[:4])
    for large in (write(name.upper(), content), packed(name + ".GZ", gzip.compress(content.encode())), packed(name.upper() + ".Gz", gzip.compress(content.encode()))):
        check(f"{os.path.basename(large)} is read as {name}", rows("classify", classifier, large) == small)
        r = [run("eval", classifier, "--task", "classification", "--data", file, "--json") for file in (path(name), large)]
        check(f"{os.path.basename(large)} as a data set", r[0].status == r[1].status == 0 and r[0].json()[0]["metrics"] == r[1].json()[0]["metrics"], *r)
answers = model("bert", "BertForQuestionAnswering")
asked = rows("answer", answers, write("asked.csv", "question,context\na b,c d e\n"))
check("questions of a table", len(asked) == 1 and "answer" in asked[0] and asked == rows("answer", answers, write("ASKED.CSV", "question,context\na b,c d e\n")), asked)
check("questions in lines of any other file", asked == rows("answer", answers, write("my.csv.list", '{"question": "a b", "context": "c d e"}\n')))

# ---- Compressed files ----

whole = gzip.compress(objects.encode())
plain = rows("classify", classifier, path("r.jsonl"))
damaged = bytearray(whole)
damaged[-6] ^= 1
for name, data in (("cut", whole[:len(whole) // 2]), ("short", whole[:-1]), ("checksum", bytes(damaged)), ("more", whole + b"more"), ("none", b""), ("text", objects.encode())):
    file = packed(f"{name}.jsonl.gz", data)
    for command in (("classify", classifier, file), ("eval", classifier, "--task", "classification", "--data", file)):
        r = run(*command)
        check(f"{command[0]} of a damaged file: {name}", r.status == 1 and one_line(r) and f"{file}: damaged or cut, or not compressed by gzip" in r.err, r)
check("a file filled up with zeros", rows("classify", classifier, packed("zeros.jsonl.gz", whole + bytes(70000))) == plain)
check("a file of several members", rows("classify", classifier, packed("several.jsonl.gz", whole + bytes(3) + gzip.compress(b"") + whole)) == plain + plain)

finish()
