#!/usr/bin/env python3
"""Rows of inputs: formats by the names of files, compressed files, members that are kept, documents of rerank.

    test_rows.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import gzip, json, os, random

from program import check, finish, golden, large, model, one_line, path, run, write

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
    for other in (write(name.upper(), content), packed(name + ".GZ", gzip.compress(content.encode())), packed(name.upper() + ".Gz", gzip.compress(content.encode()))):
        check(f"{os.path.basename(other)} is read as {name}", rows("classify", classifier, other) == small)
        r = [run("eval", classifier, "--task", "classification", "--data", file, "--json") for file in (path(name), other)]
        check(f"{os.path.basename(other)} as a data set", r[0].status == r[1].status == 0 and r[0].json()[0]["metrics"] == r[1].json()[0]["metrics"], *r)
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

# ---- Members that are kept ----

def members(what, name, content, **expected):
    lines = run("classify", classifier, write(name, content), "--json").out.splitlines()
    pairs = json.loads(lines[0], object_pairs_hook=lambda pairs: pairs)
    keys = [key for key, _ in pairs]
    check(what, len(lines) == 1 and len(set(keys)) == len(keys) and {k: v for k, v in pairs if k not in ("label", "score", "scores")} == expected and "label" in keys, lines)


members("a free name", "a.jsonl", '{"text": "a", "label": "b", "query": "c"}\n', input_label="b", query="c")
members("a name that the row has", "a.jsonl", '{"text": "a", "label": "b", "input_label": "c"}\n', input_input_label="b", input_label="c")
members("the other way round", "a.jsonl", '{"input_label": "c", "label": "b", "text": "a"}\n', input_input_label="b", input_label="c")
members("two such names", "a.jsonl", '{"text": "a", "score": 1, "input_input_score": 2, "input_score": 3}\n', input_input_input_score=1, input_input_score=2, input_score=3)
members("columns", "a.csv", "input_label,text,label\nc,a,b\n", input_input_label="b", input_label="c")
members("two columns of one name", "a.tsv", "id\ttext\tid\tcolumn3\tid\n1\ta\t2\t3\t4\n", id="1", input_column3="2", column3="3", column5="4")
open(path("header.csv"), "wb").write(b"text,\xff\na,b\n")
r = run("classify", classifier, path("header.csv")); check("a header that is not UTF-8", r.status == 2 and one_line(r) and "header" in r.err, r)

# ---- Documents ----

documents = ["a b c", "j", "a b", 'c "d"']
def ranked(file, *more): return run("rerank", embedder, file, "--query", "a b", "--json", *more)
def order(r): return [(x["index"], x["text"]) for x in r.json()]


right = order(ranked(write("plain.txt", "\n".join(documents) + "\n")))
check("the right order", right[0] == (2, "a b") and sorted(right) == list(enumerate(documents)), right)
quoted = "id,document\n" + "".join(f'd{i},"{d}"\n\n'.replace('"d"', '""d""') for i, d in enumerate(documents))
for name, content in (("rank.csv", quoted), ("rank.tsv", "id\tdocument\n" + "".join(f"d{i}\t{d}\n" for i, d in enumerate(documents))),
                      ("rank.jsonl", "\n" + "\n \n".join(json.dumps({"id": f"d{i}", "text": d}) for i, d in enumerate(documents)) + "\n")):
    r = ranked(write(name, content))
    check(f"{name}: the number of the document", order(r) == right and all(x["id"] == f"d{x['index']}" for x in r.json()), r)
    nearest = run("search-text", embedder, path(name), "--query", "a b", "--json").json()
    check(f"{name}: as search-text counts", all(documents[x["index"]] == x["text"] for x in nearest) and len(nearest) == 4, nearest)
r = ranked(write("lines.csv", 'id,text\n0,"x\ny"\n1,a b\n')); check("a line's end in quotes", [x["index"] for x in r.json()] == [1, 0], r)
r = ranked(write("bad.jsonl", '{"text": 1}\n{"text": "a b"}\n')); check("a row that is no document counts", r.status == 1 and r.json()[-1]["index"] == 1, r)
both = "query,document,id\n" + "".join(f"j,{d},{i}\n" for i, d in enumerate(documents[:3]))
for name, content in (("both.csv", both), ("both.jsonl", "".join(json.dumps({"query": "j", "document": d, "id": str(i)}) + "\n" for i, d in enumerate(documents[:3])))):
    for command in ("rerank", "search-text"):
        r = run(command, embedder, write(name, content), "--query", "a b", "--json")
        out = r.json()
        check(f"{command} {name}: the document is the text", len(out) == 3 and out[0]["text"] == "a b" and abs(out[0]["score"] - 1) < 1e-5 and all(x["query"] == "j" and x["text"] == documents[int(x["id"])] for x in out), r)
queries = run("search-text", embedder, path("both.csv"), "--queries", write("queries.csv", "query,id\na b,7\n"), "--json").json()
check("queries of a table", queries[0]["text"] == "a b" and queries[0]["id"] == "7" and queries[0]["results"][0]["text"] == "a b", queries)
r = ranked(write("context.csv", "question,context\na b,c\n")); check("two texts that could be meant", r.status == 2 and '"question" or "context"' in r.err, r)
check("and --columns says which", order(ranked(path("context.csv"), "--columns", "text=context")) == [(0, "c")])
r = ranked(path("context.csv"), "--columns", "text=context,pair=question"); check("a document is no pair", r.status == 2 and "one text" in r.err, r)

# ---- Queries with documents ----

lists = write("lists.jsonl", '{"id": 1, "query": "a b", "documents": ["j", "a b"], "line": "x"}\n\n{"id": 2, "query": "j", "documents": []}\n{"id": 3, "query": "j", "documents": ["j"]}\n')
r = run("rerank", embedder, lists, "--json"); out = r.json()
check("each row names its query", [(x["id"], x["line"], x.get("query"), x.get("index")) for x in out] == [(1, 1, "a b", 1), (1, 1, "a b", 0), (2, 3, None, None), (3, 4, "j", 0)] and out[0]["input_line"] == "x", r)
check("no documents are an error", r.status == 1 and "empty" in out[2]["error"] and "line 3" in r.err, r)
r = run("rerank", embedder, lists); check("words: a query above its documents", [line[:5] for line in r.out.splitlines()] == ["a b", "   1 ", "   0 ", "", "error", "j", "   0 ", ""], r)
out = run("rerank", embedder, "--jsonl", "--columns", "text=q,pair=list", "--json", stdin='{"q": "a", "query": "b", "list": ["c"]}\n').json()
check("other names", len(out) == 1 and out[0]["query"] == "a" and out[0]["input_query"] == "b" and out[0]["text"] == "c" and "list" not in out[0], out)
for name in ("both.csv", "rank.tsv"):
    r = run("rerank", embedder, path(name)); check(f"{name} needs a query", r.status == 2 and one_line(r) and name in r.err and "--query" in r.err, r)
crossing = large(labels=1, layers=1, hidden=64)
two = "".join(json.dumps({"id": i, "query": "a", "documents": ["a", "b " * n]}) + "\n" for i, n in enumerate((600, 2)))
r = run("rerank", crossing, "--jsonl", "--truncation", "only_first", "--json", stdin=two); out = r.json()
check("a document that has no room is its row's error", r.status == 1 and [("error" in x, x["id"], x["line"]) for x in out] == [(True, 0, 1), (False, 1, 2), (False, 1, 2)], r)

finish()
