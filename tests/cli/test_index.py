#!/usr/bin/env python3
"""search-text with an index: the same results, written once, continued, and refused when the model or the corpus is another.

    test_index.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import fcntl, gzip, json, os, pty, random, struct, subprocess, termios

from program import check, finish, golden, interrupt, large, model, one_line, path, read, rubato, run, write

random.seed(1)
letters = "abcdefghij"
texts = [" ".join(random.choice(letters) for _ in range(random.randint(2, 9))) for _ in range(300)]
objects = write("corpus.jsonl", "".join(json.dumps({"_id": f"d{i}", "text": t, "year": i}) + "\n" for i, t in enumerate(texts)))
bert = os.path.join(golden, "bert")
index = path("corpus.npy")


def search(*more, query="a b c", corpus=objects, of=bert, **how): return run("search-text", of, corpus, "--query", query, "--json", *more, **how)


def replaced(name, old, new):
    data = open(objects, encoding="utf-8").read()
    assert old in data
    return write(name, data.replace(old, new, 1))


# ---- Results ----

plain = search()
rows = plain.json()
check("members are kept", [sorted(r) for r in rows] == [["_id", "index", "score", "text", "year"]] * 5 and all(r["_id"] == f"d{r['index']}" and r["year"] == r["index"] and r["text"] == texts[r["index"]] for r in rows), plain)
check("the best first", [r["score"] for r in rows] == sorted((r["score"] for r in rows), reverse=True))
everything = search("--top", 1000).json()
check("--top beyond the corpus", len(everything) == 300 and everything[:5] == rows)
vectors = [r["embedding"] for r in run("embed", bert, objects, "--json").json()]
query = run("embed", bert, "--json", stdin="a b c\n").json()[0]["embedding"]
cosine = lambda a, b: sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
check("scores are cosines", all(abs(r["score"] - cosine(query, vectors[r["index"]])) < 1e-5 for r in everything))

# ---- An index ----

first = search("--index", index)
check("with an index that is made", first.status == 0 and first.out == plain.out and not os.path.exists(index + ".part") and not os.path.exists(index + ".part.json"), first)
data = read("corpus.npy")
stated = json.loads(data[128 + 300 * 24 * 4:])
check("a .npy file with its description", b"'shape': (300, 24)" in data[:128] and stated["rows"] == 300, stated)
second = search("--index", index)
check("with an index that is there", second.status == 0 and second.out == plain.out and read("corpus.npy") == data, second)
r = run("search-text", bert, objects, "--query", "a b c", "--index", index)
check("nothing is embedded again", "300 lines, 0 embedded" in r.err, r.err)
other = search("--index", index, query="j i h", corpus=objects)
check("another query", other.status == 0 and other.out == search(query="j i h").out)

for what, arguments, message in (("a text that changed", {"corpus": replaced("changed.jsonl", texts[7], "j j j j")}, "other texts"),
                                 ("a text more", {"corpus": write("more.jsonl", open(objects).read() + '{"text": "a"}\n')}, "fewer texts"),
                                 ("a text less", {"corpus": write("less.jsonl", "".join(open(objects).readlines()[:-1]))}, "more texts"),
                                 ("another model", {"of": os.path.join(golden, "mpnet")}, "another model or other options")):
    r = search("--index", index, **arguments)
    check(f"refused: {what}", r.status == 2 and r.out == "" and one_line(r) and message in r.err and "--overwrite" in r.err and "corpus.npy" in r.err, r)
for option in (("--max-length", 5), ("--prompt-text", "a "), ("--precision", "int8")):
    r = search("--index", index, *option)
    check(f"refused: {option}", r.status == 2 and "another model or other options" in r.err, r)
check("a refused index stays", read("corpus.npy") == data)
changed = path("changed.jsonl")
r = search("--index", index, "--overwrite", corpus=changed)
check("--overwrite makes it again", r.status == 0 and r.out == search(corpus=changed).out == search("--index", index, corpus=changed).out and read("corpus.npy") != data, r)

# ids are no part of what is checked: they come from the corpus
renamed = replaced("renamed.jsonl", '"_id": "d0"', '"_id": "zero"')
search("--index", path("ids.npy"))
r = search("--index", path("ids.npy"), "--top", 300, corpus=renamed)
check("other members may change", r.status == 0 and any(row["_id"] == "zero" for row in r.json()), r)

# ---- Damaged files ----

whole = read("ids.npy")
for what, content in (("empty", b""), ("short", whole[:200]), ("cut", whole[:-300]), ("no description", whole[:128 + 300 * 24 * 4]), ("text", b"a text\n" * 300), ("fewer rows", whole.replace(b"(300, 24)", b"(299, 24)")),
                      ("more rows", whole.replace(b"(300, 24)", b"(900, 24)")), ("rows beyond all", whole.replace(b"(300, 24), }" + b" " * 20, b"(18446744073709551615, 24), }" + b" " * 3 + b" "[:1])),
                      ("no columns", whole.replace(b"(300, 24)", b"(300, 00)")), ("description", whole.replace(b'"rows": 300', b'"rows": 299'))):
    open(path("bad.npy"), "wb").write(content)
    r = search("--index", path("bad.npy"))
    check(f"damaged: {what}", r.status == 2 and one_line(r) and "bad.npy" in r.err and "--overwrite" in r.err, r)
check("a folder", search("--index", os.path.dirname(index)).status == 1)
check("a device", search("--index", "/dev/null").status == 1)
r = search("--resume")
check("--resume without an index", r.status == 2 and "--index" in r.err, r)

# ---- Rows that cannot be used ----

write("some.jsonl", '{"text": "a b c"}\nno object\n{"text": "j j"}\n')
for how in ("first", "second"):
    r = search("--index", path("some.npy"), corpus=path("some.jsonl"))
    found = r.json()
    check(f"a row that cannot be used, {how}", r.status == 1 and [f["index"] for f in found] == [0, 2] and found[0]["score"] > 0.999 and "line 2" in r.err, r)

# ---- Tables, compressed ----

with gzip.open(path("corpus.csv.gz"), "wt") as f: f.write("id,body\n" + "".join(f"{i},{t}\n" for i, t in enumerate(texts)) + '300,"a\nb"\n')
r = search("--columns", "text=body", "--index", path("table.npy"), "--top", 301, corpus=path("corpus.csv.gz"))
check("a compressed table", r.status == 0 and all(row["id"] == str(row["index"]) for row in r.json()) and len(r.json()) == 301, r)
r = run("search-text", bert, path("corpus.csv.gz"), "--columns", "text=body", "--query", "a b", "--top", 301)
check("a text of two lines is one line", r.status == 0 and len(r.out.splitlines()) == 301, r)

# ---- Several queries ----

queries = write("queries.jsonl", "".join(json.dumps({"_id": f"q{i}", "text": t}) + "\n" for i, t in enumerate(("a b c", "j i h", "e"))))
r = run("search-text", bert, objects, "--queries", queries, "--json", "--index", path("ids.npy"))
answers = r.json()
check("several queries", r.status == 0 and [a["_id"] for a in answers] == ["q0", "q1", "q2"] and answers[0]["results"] == rows and answers[1]["results"] == search(query="j i h").json(), r)
r = run("search-text", bert, objects, "--queries", queries, "--quiet")
check("in words", r.status == 0 and r.out.startswith("a b c\n 1  ") and r.out.count("\n\n") == 3 and r.err == "", r)
check("one of --query and --queries", run("search-text", bert, objects).status == run("search-text", bert, objects, "--query", "a", "--queries", queries).status == 2)
check("no query", run("search-text", bert, objects, "--queries", write("none.txt", "")).status == 2)
check("no file of queries", one_line(run("search-text", bert, objects, "--queries", path("nothing"))))

# ---- A terminal ----

wide = write("wide.txt", "a " * 200 + "\n" + "界" * 200 + "\nshort\n")


def on_terminal(columns, *arguments):
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen([rubato, "search-text", bert, wide, "--query", "a", "--quiet", *arguments], stdout=other, stderr=subprocess.DEVNULL)
    os.close(other)
    out = b""
    while True:
        try: piece = os.read(main, 1 << 16)
        except OSError: break
        if not piece: break
        out += piece
    os.close(main)
    p.wait()
    return out.decode().splitlines()


width = lambda line: sum(2 if c == "界" else 1 for c in line)
lines = on_terminal(40)
check("lines are cut on a terminal", len(lines) == 3 and max(map(width, lines)) == 40 and sum(l.endswith("…") for l in lines) == 2 and any(l.endswith("  short") for l in lines), lines)
check("they are not in --json", len(json.loads(min(on_terminal(40, "--json"), key=lambda l: "a a" not in l))["text"]) == 400)
check("they are not in pipes", max(map(len, run("search-text", bert, wide, "--query", "a").out.splitlines())) > 400)

# ---- An interruption ----

slow = large(hidden=64, layers=4)
many = write("many.txt", "".join(" ".join(random.choice(letters) for _ in range(60)) + "\n" for _ in range(1500)))
state = path("many.npy.part.json")
command = [rubato, "search-text", slow, many, "--query", "a b c", "--json", "--index", path("many.npy")]
out, err = interrupt(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), lambda: os.path.exists(state))
check("interrupted", out == "" and "--resume" in err and os.path.exists(state) and not os.path.exists(path("many.npy")), out, err)
kept = json.load(open(state))["rows"]
r = run(*command[1:])
check("what is left is not lost", r.status == 2 and "--resume" in r.err and "--overwrite" in r.err, r)
r = run(*command[1:], "--resume")
again = run("search-text", slow, many, "--query", "a b c", "--json")
check("continued", 0 < kept < 1500 and r.status == 0 and r.out == again.out and json.loads(read("many.npy")[128 + 1500 * 64 * 4:])["rows"] == 1500, kept, r, again)

finish()
