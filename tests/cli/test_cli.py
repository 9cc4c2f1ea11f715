#!/usr/bin/env python3
"""The program as a user runs it: output, errors, exit status; and `pull` against a local server.

    test_cli.py RUBATO GOLDEN_FOLDER [REAL_MODEL]

Needs Python's standard library alone; where huggingface_hub is installed, it must read the cache that pull wrote.
Prints 'N passed, N failed'.
"""
import hashlib, http.server, json, math, os, re, shutil, signal, subprocess, sys, threading, time

from program import check, finish, golden, isas, model, one_line, path, read, rubato, run, work, write

real = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None


# ---- Usage ----
r = run(); check("no command: usage, 2", r.status == 2 and "Usage: rubato COMMAND" in r.err, r)
r = run("--help"); check("--help", r.status == 0 and all(c in r.out for c in "info tokenize embed classify tag answer rerank fill search-text eval train search calibrate trim serve bench pull".split()), r)
r = run("--version"); check("--version", r.status == 0 and r.out.startswith("rubato ") and all(w in r.out for w in ("compiler", "build_type", "libmicrohttpd")), r)
r2 = run("--version", "--json"); facts = r2.json()[0] if r2.status == 0 else {}
check("--version --json says the same", r2.status == 0 and r.out.split("\n")[0] == "rubato " + facts["version"] and all(r.out.count(f) for f in facts.values()), r, r2)
check("--version: instruction sets", "scalar" in facts["instruction_sets"].split(), r2)
header = open(os.path.join(os.path.dirname(__file__), "../../include/rubato.h")).read()
check("--version: the header's", facts["version"] == ".".join(re.search(rf"#define RUBATO_VERSION_{p} (\d+)", header)[1] for p in ("MAJOR", "MINOR", "PATCH")), r2)
for c in "info tokenize embed classify tag answer rerank fill search-text eval train search calibrate serve bench pull".split():
    r = run(c, "--help"); check(f"{c} --help has examples", r.status == 0 and "Examples:" in r.out and r.out.count("rubato " + c) >= 2, r)

# ---- Help, completion and manual page are made of one table ----
COMMANDS = re.findall(r"^  ([a-z-]+) ", run("--help").out, re.M)
takes = {c: re.findall(r"^  (--[a-z-]+)(?:, (--no-[a-z-]+))?", run(c, "--help").out, re.M) for c in COMMANDS}
takes = {c: {n for pair in names for n in pair if n} for c, names in takes.items()}
check("commands and their options", len(COMMANDS) >= 20 and all("--help" in names for names in takes.values()) and {"--depth", "--no-depth", "--cost"} <= takes["search"] and len(takes["train"]) > 40, takes)
out = run("train", "--help").out; flat = " ".join(out.split())
check("defaults and choices stand in the help", "examples in a step (default: 32)" in flat and "l0, cofi, electra; default: finetune)" in flat and "environment: RUBATO_ISA)" in flat, out)
check("the help fits into 100 columns", all(len(line) <= 100 for c in COMMANDS for line in run(c, "--help").out.split("\nExamples:")[0].split("\n")[1:]))
r = run("manual"); page = open(os.path.join(os.path.dirname(__file__), "../../docs/rubato.1"), encoding="utf-8").read()
check("docs/rubato.1 is what `rubato manual` prints (rubato manual > docs/rubato.1)", r.status == 0 and r.out == page)
check("the manual page has every option", all(n.replace("-", "\\-") in page for names in takes.values() for n in names if not n.startswith("--no-d")))
scripts = {shell: run("completion", shell) for shell in ("bash", "zsh", "fish")}
for shell, r in scripts.items():
    check(f"completion {shell}", r.status == 0 and all(n[2:] in r.out for names in takes.values() for n in names) and all(c in r.out for c in COMMANDS), r)
    if shutil.which(shell):
        p = subprocess.run([shell, "-n"], input=r.out, capture_output=True, text=True)
        check(f"completion {shell}: the shell reads it", p.returncode == 0 and not p.stderr, p.stderr)
r = run("completion", "tcsh"); check("completion of another shell", r.status == 2 and one_line(r), r)


def complete(*words):
    code = scripts["bash"].out + "COMP_WORDS=(%s); COMP_CWORD=%d; _rubato; printf '%%s\\n' \"${COMPREPLY[@]}\"" % (" ".join(f"'{w}'" for w in words), len(words) - 1)
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True).stdout.split()


check("bash: a command", complete("rubato", "cl") == ["classify"], complete("rubato", "cl"))
check("bash: options", complete("rubato", "train", "m", "--exit-") == ["--exit-layers", "--exit-mean"] and set(complete("rubato", "embed", "--")) == takes["embed"], complete("rubato", "train", "m", "--exit-"))
check("bash: values", complete("rubato", "train", "m", "--recipe", "f") == ["finetune", "fastbert"] and complete("rubato", "search", "--cost", "") == ["flops", "ms"])
check("bash: files are left to the shell", complete("rubato", "embed", "m", "x") == [])

r = run("frobnicate"); check("unknown command", r.status == 2 and one_line(r), r)
r = run("embed"); check("no model", r.status == 2 and r.err == "rubato: embed needs MODEL; see rubato embed --help\n", r)
r = run("embed", "m", "--frob"); check("unknown option", r.status == 2 and r.err == "rubato: unknown option --frob; see rubato embed --help\n", r)
r = run("embed", "m", "--query", "x"); check("option of another command", r.status == 2 and one_line(r), r)
r = run("embed", "m", "--threads", "many"); check("not a number", r.status == 2 and one_line(r), r)
for a in (("search", "m", "--lowest", "1"), ("search", "m", "--depth=1"), ("train", "m", "--divergence", "both"), ("train", "m", "--clip", "-1"), ("embed", "m", "--left=true"), ("classify", "m", "--truncation", "short")):
    r = run(*a); check(f"bad value: {' '.join(a)}", r.status == 2 and one_line(r) and a[2].split("=")[0] in r.err, r)
r = run("serve", "m", env={"PORT": "many"}); check("a number of the environment", r.status == 2 and one_line(r) and "PORT" in r.err, r)
r = run("embed", "m", "--threads"); check("no value", r.status == 2 and one_line(r), r)
r = run("embed", "m", "f", "g"); check("operand too many", r.status == 2 and one_line(r), r)
r = run("embed", "/no/such/folder"); check("no such model", r.status == 1 and one_line(r) and "/no/such/folder" in r.err, r)
r = run("embed", "org/absent", env={"HF_HOME": work}); check("not in the cache", r.status == 1 and one_line(r) and "rubato pull org/absent" in r.err, r)

# ---- Commands on small models ----
bert = model("bert", "BertModel")
classify = model("bert", "BertForSequenceClassification", id2label={"0": "no", "1": "maybe", "2": "yes"})
tag = model("bert", "BertForTokenClassification", id2label={"0": "O", "1": "B-X", "2": "I-X"})
qa = model("bert", "BertForQuestionAnswering")
mlm = model("bert", "BertForMaskedLM")
expected = json.load(open(os.path.join(golden, "bert", "expected.json")))
want = lambda architecture, i: next(c["values"] for c in [c for c in expected if c["architecture"] == architecture][i:])

r = run("info", bert, "--json"); i = r.json()[0]
check("info", r.status == 0 and i["family"] == "bert" and i["layers"] == 3 and i["hidden"] == 24 and i["heads"] == 3 and i["vocabulary"] == 61 and i["task"] == "embedding" and i["points"][0]["name"] == "full", r)
r = run("info", classify); check("info in words", r.status == 0 and "labels       no maybe yes" in r.out, r)
r = run("tokenize", bert, "--json", stdin="a bc\n\nÉ😀 d\n"); rows = r.json()
check("tokenize", r.status == 0 and rows[0]["tokens"] == ["[CLS]", "a", "b", "##c", "[SEP]"] and rows[0]["offsets"] == [[0, 0], [0, 1], [2, 3], [3, 4], [0, 0]] and rows[0]["ids"] == [2, 5, 6, 33, 3], r)
check("an empty line is a text", rows[1]["tokens"] == ["[CLS]", "[SEP]"], r)
check("offsets count code points", rows[2]["tokens"] == ["[CLS]", "[UNK]", "d", "[SEP]"] and rows[2]["offsets"] == [[0, 0], [0, 2], [3, 4], [0, 0]], r)
r = run("tokenize", bert, "--json", "--max-length", 4, "--stride", 1, stdin="a b c d\n"); row = r.json()[0]
check("windows", row["ids"] == [2, 5, 6, 3] and [w["ids"] for w in row["overflow"]] == [[2, 6, 7, 3], [2, 7, 8, 3]], r)
r = run("embed", bert, "--json", "--cost", stdin="a bc d\nworld\n"); rows = r.json()
check("embed", r.status == 0 and len(rows) == 2 and len(rows[0]["embedding"]) == 24 and rows[0]["cost"]["rows"] == [6, 6, 6] and rows[0]["cost"]["point"] == "full" and rows[0]["cost"]["flops_ratio"] == 1, r)
r2 = run("embed", bert, "--json", "--threads", 1, "--isa", "scalar", stdin="a bc d\n")
check("scalar kernels agree", max(abs(a - b) for a, b in zip(rows[0]["embedding"], r2.json()[0]["embedding"])) < 1e-5, r2)
check("RUBATO_ISA", run("info", bert, "--json", env={"RUBATO_ISA": "scalar"}).json()[0]["isa"] == "scalar")
r = run("info", bert, env={"RUBATO_ISA": "mmx"}); check("unknown RUBATO_ISA", r.status == 2 and one_line(r), r)
npy = os.path.join(work, "v.npy")
r = run("embed", bert, "--output", npy, stdin="a\nb\nc\n"); head = open(npy, "rb").read()
check("embed --output", r.status == 0 and r.out == "" and head[:6] == b"\x93NUMPY" and b"(3, 24)" in head[:128] and len(head) == 128 + 3 * 24 * 4, r)
r = run("embed", bert, "--output", "/no/such/place/v.npy", stdin="a\n"); check("embed to nowhere", r.status == 1 and one_line(r), r)
r = run("classify", classify, "--json", "--raw", stdin="a bc d\n"); row = r.json()[0]
check("classify: logits of transformers", max(abs(row["scores"][l] - v) for l, v in zip(["no", "maybe", "yes"], want("BertForSequenceClassification", 0))) < 1e-4, r)
r = run("classify", classify, "--json", "--jsonl", stdin='{"text": "hello world foo", "pair": "bar qu"}\n{"text": 7}\nnonsense\n{"text": "a"}\n')
rows = r.json()
check("classify pairs; a bad row has its error in its place", r.status == 1 and len(rows) == 4 and "line 2: \"text\" is no text" in r.err and "line 3: not valid JSON" in r.err and [x.get("line") for x in rows] == [None, 2, 3, None] and all(("error" in x) == ("line" in x) and ("error" in x) != ("label" in x) for x in rows), r)
check("probabilities", abs(sum(r.json()[0]["scores"].values()) - 1) < 1e-5 and r.json()[0]["score"] == max(r.json()[0]["scores"].values()), r)
r = run("classify", classify, "--json", stdin=b"good\nbad \xff line\nagain\n")
check("bad UTF-8 names its line", r.status == 1 and len(r.json()) == 3 and "error" in r.json()[1] and r.err == "rubato: line 2: not valid UTF-8 at byte 4 (0xff)\n", r)
regression = model("bert", "BertForSequenceClassification", id2label={"0": "a", "1": "b", "2": "c"}, problem_type="regression")
check("regression gives a value", "value" in run("classify", regression, "--json", stdin="a\n").json()[0])
r = run("tag", tag, "--json", stdin="abc def, ghi jkl mno\n"); check("tag", r.status == 0 and all({"label", "text", "start", "end", "score"} <= e.keys() and "abc def, ghi jkl mno"[e["start"]:e["end"]] == e["text"] for e in r.json()[0]["entities"]), r)
r = run("tag", tag, "--json", "--tokens", stdin="ab cd\n"); check("tag --tokens", [t["text"] for t in r.json()[0]["tokens"]] == ["a", "b", "c", "d"], r)
long = " ".join("abcdefgh"[k % 8] for k in range(100))
r = run("tag", tag, "--json", "--tokens", "--cost", stdin=long + "\n"); row = r.json()[0]
check("a long text is windowed, nothing is cut", len(row["tokens"]) == 100 and row["cost"]["windows"] > 5 and row["cost"]["cut"] == 0, r)
r = run("classify", classify, "--json", "--cost", stdin=long + "\n"); row = r.json()[0]
check("a long text is truncated, and the answer says so", row["cost"]["cut"] == 83 and row["cost"]["rows"][0] == 19, r)
r = run("answer", qa, "--json", "--cost", stdin=json.dumps({"question": "a b", "context": long}) + "\n"); row = r.json()[0]
check("answer", r.status == 0 and long[row["start"]:row["end"]] == row["answer"] and 0 <= row["score"] <= 1 and row["cost"]["windows"] > 1 and row["cost"]["cut"] == 0, r)
r = run("answer", qa, "--json", stdin=json.dumps({"question": "a " * 40, "context": "b"}) + "\n")
check("a question that leaves no room", r.status == 1 and "leaves no room" in r.json()[0]["error"] and "line 1:" in r.err, r)
r = run("answer", classify, "--json", stdin='{"question": "a", "context": "b"}\n'); check("wrong task", r.status == 1 and one_line(r) and "a model for classification" in r.err, r)
r = run("fill", mlm, "--json", "--top", 3, stdin="a [MASK] c [MASK]\n"); rows = r.json()
check("fill", r.status == 0 and len(rows) == 2 and len(rows[0]) == 3 and rows[0][0]["score"] >= rows[0][1]["score"] and rows[0][0]["sequence"].startswith("a ") and rows[0][0]["sequence"].endswith(" c [MASK]"), r)
r = run("fill", mlm, stdin="no mask\n"); check("fill without a mask", r.status == 1 and r.out.startswith("error: no [MASK]") and "line 1:" in r.err, r)
r = run("rerank", bert, "--query", "a b", "--json", stdin="a b\nz z z\nq\n"); rows = r.json()
check("rerank by cosine", r.status == 0 and rows[0]["index"] == 0 and abs(rows[0]["score"] - 1) < 1e-5 and [x["score"] for x in rows] == sorted([x["score"] for x in rows], reverse=True), r)
cross = model("bert", "BertForSequenceClassification", id2label={"0": "a", "1": "b", "2": "c"})
r = run("rerank", cross, "--query", "a", stdin="b\n"); check("rerank by a classifier", r.status == 1 and one_line(r), r)
r = run("rerank", bert, stdin="a\n"); check("rerank without a query", r.status == 2 and one_line(r), r)
r = run("rerank", bert, "--jsonl", "--json", stdin='{"query": "a", "documents": ["a", "b"]}\n{"query": "a", "documents": 3}\n')
check("rerank --jsonl", r.status == 1 and len(r.json()) == 3 and '"documents" is no list' in r.err, r)
r = run("search-text", bert, "--query", "world", "--top", 2, "--json", stdin="hello\nworld\nfoo\n"); rows = r.json()
check("search-text", r.status == 0 and len(rows) == 2 and rows[0]["index"] == 1 and rows[0]["text"] == "world" and abs(rows[0]["score"] - 1) < 1e-5, r)
r = run("embed", bert, "--budget", "0.4x", stdin="a\n"); check("no such budget", r.status == 2 and one_line(r), r)
r = run("embed", bert, "--precision", "int4", stdin="a\n"); check("no such precision", r.status == 2 and one_line(r) and "bf16" in r.err, r)
plain = run("embed", bert, "--json", stdin="hello world\nfoo\n").json()
for p, off in (("bf16", 0.03), ("int8", 0.1)):
    low = run("embed", bert, "--precision", p, "--json", stdin="hello world\nfoo\n").json(); alone = run("embed", bert, "--precision", p, "--json", stdin="foo\n").json()
    far = max(abs(a - b) for x, y in zip(plain, low) for a, b in zip(x["embedding"], y["embedding"]))
    check(f"{p}: near f32, and not it", 0 < far < off * max(abs(v) for x in plain for v in x["embedding"]), far)
    check(f"{p}: a text alone gets the same", alone[0] == low[1], alone, low[1])
    for isa in isas():
        r = run("embed", bert, "--precision", p, "--json", "--isa", isa, stdin="foo\n").json()[0]["embedding"]
        check(f"{p}: {isa} kernels agree", max(abs(a - b) for a, b in zip(r, low[1]["embedding"])) < off / 2 * max(map(abs, r)), r, low[1])
    check(f"{p}: info", run("info", bert, "--precision", p, "--json").json()[0]["precision"] == p)
r = run("embed", bert, "--max-length", 4000, stdin="a\n"); check("longer than the table", r.status == 2 and one_line(r), r)
r = run("embed", bert, "/no/such/file"); check("no such input", r.status == 1 and one_line(r), r)
p = subprocess.run(f"yes a | head -3 | {rubato} embed {bert} --json > /dev/full", shell=True, capture_output=True, text=True)
check("a full disk", p.returncode == 1 and "cannot write" in p.stderr, p.stderr)
data = os.path.join(work, "dev.tsv")
open(data, "w").write("sentence\tlabel\na b\tno\nc d\tyes\ne\t1\n")
r = run("eval", classify, "--task", "classification", "--data", data, "--json"); row = r.json()[0]
check("eval", r.status == 0 and row["examples"] == 3 and {"accuracy", "macro_f1", "matthews"} <= row["metrics"].keys() and {"mean", "p50", "p95", "p99"} == row["ms"].keys() and row["tokens_per_second"] > 0, r)
open(data, "a").write("f\tperhaps\n")
r = run("eval", classify, "--task", "classification", "--data", data); check("eval: a bad label names file and line", r.status == 1 and f"{data}:5:" in r.err, r)
r = run("eval", classify, "--task", "juggling", "--data", data); check("eval: unknown task", r.status == 2 and one_line(r), r)
squad = os.path.join(work, "s.json")
json.dump({"data": [{"paragraphs": [{"context": long, "qas": [{"question": "a", "id": "1", "answers": [{"text": "b c", "answer_start": 2}]}]}]}]}, open(squad, "w"))
r = run("eval", qa, "--task", "qa", "--data", squad, "--json"); check("eval qa", r.status == 0 and {"exact_match", "f1"} == r.json()[0]["metrics"].keys(), r)
conll = os.path.join(work, "c.conll"); open(conll, "w").write("ab B-X\ncd O\n\nef O\n")
r = run("eval", tag, "--task", "tagging", "--data", conll, "--json"); check("eval tagging", r.status == 0 and "f1" in r.json()[0]["metrics"], r)
r = run("eval", mlm, "--task", "mlm", "--data", data, "--seed", 3, "--json"); r2 = run("eval", mlm, "--task", "mlm", "--data", data, "--seed", 3, "--json")
check("eval mlm repeats itself", r.status == 0 and r.json()[0]["metrics"] == r2.json()[0]["metrics"] and r.json()[0]["metrics"]["perplexity"] > 1, r)
r = run("bench", bert, "--batch", 2, "--length", 8, "--json"); row = r.json()[0]
check("bench", r.status == 0 and row["machine"]["peak_gflops"] > 0 and {"precision", "batch", "length", "tokens_per_second", "ms", "gflops", "of_peak", "point", "joules", "joules_measured"} == row["rows"][0].keys(), r)
r = run("bench", bert, "--batch", "1,3", "--length", "7", "--threads", "1", "--roofline", "--json"); b = r.json()[0] if r.status == 0 else {"rows": []}
check("bench --roofline", r.status == 0 and [(x["batch"], x["length"]) for x in b["rows"]] == [(1, 7), (3, 7)] and all(p["ms"] > 0 and p["limit_ms"] > 0 and p["bound"] in ("compute", "L2", "L3", "memory") for x in b["rows"] for p in x["parts"]) and all(abs(sum(p["ms"] for p in x["parts"]) - x["ms"]) < 1e-2 for x in b["rows"]), r)
r = run("bench", bert, "--batch", "x"); check("bench: bad list", r.status == 2 and one_line(r), r)
os.makedirs(os.path.join(work, "models")); os.symlink(bert, os.path.join(work, "models", "small"))
check("models/NAME", run("info", "small", "--json", cwd=work).json()[0]["layers"] == 3)

# ---- pull ----
FILES = {"config.json": open(os.path.join(bert, "config.json"), "rb").read(), "tokenizer.json": open(os.path.join(golden, "bert/tokenizer.json"), "rb").read(),
         "model.safetensors": open(os.path.join(golden, "bert/model.safetensors"), "rb").read(), "1_Pooling/config.json": b'{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}',
         "modules.json": json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]).encode(),
         "onnx/model.onnx": b"x" * 100, "pytorch_model.bin": b"pickle", "9_Dense/pytorch_model.bin": b"dense"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
seen, trouble = [], {}


def etag(name):
    body = FILES[name]
    return hashlib.sha256(body).hexdigest() if name.endswith(".safetensors") else hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for k, v in headers: self.send_header(k, v)
        if not any(k == "Content-Length" for k, _ in headers): self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def do_HEAD(self): self.do_GET()
    def do_GET(self):
        seen.append((self.command, self.path, self.headers.get("Authorization"), self.headers.get("Range")))
        if self.path.startswith("/cdn/"):
            name = self.path[5:]
            body = FILES[name]
            if trouble.get("damage"): body = b"?" + body[1:]
            first = int(self.headers["Range"][6:-1]) if self.headers.get("Range") else 0
            if trouble.get("no_range"): first = 0
            part = body[first:]
            self.send_response(206 if first else 200)
            if first: self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(part)))
            self.send_header("ETag", '"of-the-store"')
            self.end_headers()
            if self.command == "HEAD": return
            if trouble.get("cut"):
                self.wfile.write(part[:20000]); self.wfile.flush(); self.close_connection = True
                return
            self.wfile.write(part)
            return
        if trouble.get("token") and self.headers.get("Authorization") != "Bearer secret": return self.answer(401)
        if self.path.startswith("/api/models/org/name/revision/"):
            return self.answer(200, body=json.dumps({"sha": COMMIT, "siblings": [{"rfilename": n} for n in (trouble.get("names") or FILES)]}).encode())
        prefix = f"/org/name/resolve/{COMMIT}/"
        if self.path.startswith(prefix) and self.path[len(prefix):] in FILES:
            name = self.path[len(prefix):]
            if name.endswith(".safetensors"):
                return self.answer(302, [("Location", f"http://127.0.0.1:{cdn.server_address[1]}/cdn/{name}"), ("X-Linked-Etag", f'"{etag(name)}"'), ("X-Linked-Size", str(len(FILES[name]))), ("X-Repo-Commit", COMMIT)])
            return self.answer(200, [("ETag", f'W/"{etag(name)}"'), ("X-Repo-Commit", COMMIT)], FILES[name])
        self.answer(404)


http.server.ThreadingHTTPServer.handle_error = lambda *a: None  # a client that stops is part of the tests
hub, cdn = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) for _ in range(2))
for s in (hub, cdn): threading.Thread(target=s.serve_forever, daemon=True).start()
home = os.path.join(work, "hf")
env = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}/", "HF_HOME": home, "HF_HUB_OFFLINE": "", "HF_TOKEN": "", "HF_HUB_CACHE": "", "no_proxy": "127.0.0.1"}
repository = os.path.join(home, "hub/models--org--name")
pull = lambda *a, **e: run("pull", *a, env={**env, **e})

trouble["token"] = True
r = pull("org/name"); check("pull: refused without a token", r.status == 1 and one_line(r) and "HF_TOKEN" in r.err, r)
check("pull: nothing half done", not os.path.exists(os.path.join(repository, "refs/main")))
seen.clear()
r = pull("org/name", HF_TOKEN="secret"); snapshot = os.path.join(repository, "snapshots", COMMIT)
check("pull", r.status == 0 and r.out.strip() == snapshot and open(os.path.join(snapshot, "model.safetensors"), "rb").read() == FILES["model.safetensors"], r)
check("pull: links to blobs", os.readlink(os.path.join(snapshot, "1_Pooling/config.json")) == f"../../../blobs/{etag('1_Pooling/config.json')}" and open(os.path.join(repository, "refs/main")).read() == COMMIT)
check("pull: only what is needed", not os.path.exists(os.path.join(snapshot, "onnx")) and not os.path.exists(os.path.join(snapshot, "pytorch_model.bin")))
check("pull: a pickle in a folder without safetensors", os.path.exists(os.path.join(snapshot, "9_Dense/pytorch_model.bin")))
check("pull: the token stays with the hub", all(a == ("Bearer secret" if not p.startswith("/cdn/") else None) for _, p, a, _ in seen), seen)
trouble.clear()
r = run("embed", "org/name", "--json", stdin="a bc d\n", env=env); check("a pulled model by its id; its pooling", r.status == 0 and len(r.json()[0]["embedding"]) == 24, r)
r = run("info", "org/name", "--json", env=env); check("pooling of the folder", r.json()[0]["pooling"] == "cls", r)
seen.clear(); r = pull("org/name"); check("pull again downloads nothing", r.status == 0 and not any(p.startswith("/cdn/") for _, p, _, _ in seen), seen)
r = pull("org/name", HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9"); check("offline, cached", r.status == 0 and r.out.strip() == snapshot, r)
r = pull("org/other", HF_HUB_OFFLINE="1"); check("offline, not cached", r.status == 1 and one_line(r), r)
r = pull("org/other"); check("not on the hub", r.status == 1 and one_line(r) and "404" in r.err, r)
r = pull("../evil"); check("not a hub id", r.status == 2 and one_line(r), r)
r = pull("org/name", HF_ENDPOINT="http://127.0.0.1:9"); check("no server", r.status == 1 and one_line(r), r)
try:
    import huggingface_hub
    code = f"import huggingface_hub as h; print(h.snapshot_download('org/name', local_files_only=True)); print(h.try_to_load_from_cache('org/name', 'config.json')); print(len(h.scan_cache_dir().repos))"
    p = subprocess.run([sys.executable, "-c", code], env={**os.environ, "HF_HOME": home}, capture_output=True, text=True)
    check("huggingface_hub reads the cache", p.stdout.split() == [snapshot, os.path.join(snapshot, "config.json"), "1"], p.stdout, p.stderr)
except ImportError:
    print("huggingface_hub is not installed: not asked to read the cache")
shutil.rmtree(home)
trouble["cut"] = True
r = pull("org/name"); incomplete = os.path.join(repository, "blobs", etag("model.safetensors") + ".incomplete")
kept = os.path.getsize(incomplete) if os.path.exists(incomplete) else 0
check("a broken transfer keeps what came", r.status == 1 and kept > 0 and not os.path.exists(os.path.join(repository, "refs/main")), r, kept)
trouble.clear(); seen.clear()
r = pull("org/name"); check("and is resumed", r.status == 0 and any(x == f"bytes={kept}-" for _, _, _, x in seen) and open(os.path.join(snapshot, "model.safetensors"), "rb").read() == FILES["model.safetensors"], r, seen)
shutil.rmtree(home); trouble["cut"] = True; pull("org/name"); trouble.clear(); trouble["no_range"] = True
r = pull("org/name"); check("a server that cannot resume", r.status == 0 and open(os.path.join(snapshot, "model.safetensors"), "rb").read() == FILES["model.safetensors"], r)
shutil.rmtree(home); trouble.clear(); trouble["damage"] = True
r = pull("org/name"); check("damage is found", r.status == 1 and "damaged" in r.err and not os.path.exists(os.path.join(repository, "refs/main")) and not os.path.exists(incomplete), r)
trouble.clear(); trouble["names"] = ["../../evil.json"]
r = pull("org/name"); check("a hub that names bad files", r.status == 1 and one_line(r) and not os.path.exists(os.path.join(home, "evil.json")), r)
trouble.clear(); trouble["names"] = ["config.json", "pytorch_model.bin"]
shutil.rmtree(home); r = pull("org/name"); check("pickles where there is nothing else", r.status == 0 and open(os.path.join(snapshot, "pytorch_model.bin"), "rb").read() == b"pickle", r)
trouble.clear(); shutil.rmtree(home)
limited = subprocess.run(["bash", "-c", f"ulimit -f 30; trap '' XFSZ; exec {rubato} pull org/name"], env={**os.environ, **env}, capture_output=True, text=True)
check("no room on the disk", limited.returncode == 1 and "cannot write" in limited.stderr and not os.path.exists(os.path.join(repository, "refs/main")), limited.stderr)

# ---- The real model ----
if real and os.path.exists(real):
    r = run("search-text", real, "--query", "how do plants breathe", "--top", 3, "--json", os.path.join(os.path.dirname(__file__), "../../examples/corpus.txt"))
    check("semantic search", r.status == 0 and "Leaves take in carbon dioxide" in r.json()[0]["text"] and r.json()[0]["score"] > 0.5, r)
    times = []
    for _ in range(3):
        begin = time.time(); run("embed", real, "--json", stdin="A text.\n"); times.append(time.time() - begin)
    print(f"cold start to first embedding: {sorted(times)[1] * 1e3:.0f} ms")
    corpus = os.path.join(os.path.dirname(__file__), "../../examples/corpus.txt")
    lines = os.path.join(work, "corpus.tsv")
    open(lines, "w").write("text\n" + open(corpus).read())
    r = run("trim", real, "--vocabulary", 3000, "--data", lines, "--positions", 64, "--out", os.path.join(work, "trimmed"), "--json"); t = r.json()[0] if r.status == 0 else {}
    check("trim words that the corpus does not have", r.status == 0 and t["vocabulary"] <= 3000 and t["covered"] == 1 and t["layers"] == 6, r)
    some = "".join(open(corpus).readlines()[::4])
    a, b = (run("embed", m, "--json", stdin=some).json() for m in (real, os.path.join(work, "trimmed")))
    check("its texts keep their vectors to the bit", len(a) == some.count("\n") > 9 and a == b)
    r = run("tokenize", os.path.join(work, "trimmed"), "--json", stdin="a quixotic zygote\n"); check("other words fall into pieces", r.status == 0 and "[UNK]" not in r.json()[0]["tokens"], r)
    r = run("embed", real, "--json", stdin="The  quick brown fox.\n"); v = r.json()[0]["embedding"]
    check("unit length", abs(math.fsum(x * x for x in v) - 1) < 1e-5, r)

# ---- Special files ----
bert, kept = os.path.join(golden, "bert"), write("kept", "old\n")
os.symlink(kept, path("link"))
r = run("embed", bert, "--output", path("link"), "--overwrite", stdin="a\n"); check("--output through a link writes its target", r.status == 0 and os.path.islink(path("link")) and read("kept")[:6] == b"\x93NUMPY", r)
r = run("embed", bert, "--output", "/dev/full", stdin="a\n"); check("--output to a device writes to it", r.status == 1 and one_line(r) and "No space" in r.err and not os.path.isfile("/dev/full"), r)
odd = shutil.copytree(bert, path("odd"))
def spoilt(name, make):
    """The message of a model folder in which one file is something else."""
    file = os.path.join(odd, name)
    kept = file + ".kept" if os.path.exists(file) else None
    if kept: os.rename(file, kept)
    make(file)
    r = run("embed", odd, stdin="a\n")
    (os.rmdir if os.path.isdir(file) else os.remove)(file)
    if kept: os.rename(kept, file)
    check(f"{name} as {make.__name__}", r.status == 1 and r.err.count("\n") == 1 and name in r.err, r)
for name in ("model.safetensors", "config.json", "tokenizer.json", "rubato.json", "modules.json"):
    spoilt(name, os.mkfifo); spoilt(name, os.mkdir)
for name, text in (("rubato.json", "[]"), ("modules.json", "{}")):
    def wrong(file): open(file, "w").write(text)
    spoilt(name, wrong)
for what in ({"points": "x"}, {"points": {}}, {"points": [{"keep": [1, 1, 1], "merge": 5}]}, {"points": [{"keep": [1, 1, 1], "exit": "x"}]}, {"exits": []}):
    json.dump(what, open(os.path.join(odd, "rubato.json"), "w"))
    r = run("embed", odd, stdin="a\n"); check(f"rubato.json {what}", r.status == 1 and one_line(r) and "should be" in r.err, r)
r = run("train", bert, "--task", "classification", "--data", path("none"), "--widths", "1,2", "--out", path("o")); check("--widths of another recipe are read", r.status == 2 and "widths" in r.err, r)

# ---- JSON as Python writes and reads it ----
kept = open(os.path.join(odd, "config.json")).read()
if os.path.exists(os.path.join(odd, "rubato.json")): os.remove(os.path.join(odd, "rubato.json"))
want = run("embed", odd, "--json", stdin="a b\n").out
for what in ('"x": 1000000000000000019884624838656', '"x": -9223372036854775809', '"x": [NaN, Infinity, -Infinity]', '"x": 1, "x": 2', '"x": "NaN 99999999999999999999"', '"x": 1e400'):
    open(os.path.join(odd, "config.json"), "w").write("{" + what + "," + kept.lstrip()[1:])
    r = run("embed", odd, "--json", stdin="a b\n"); check(f"config.json with {what}", r.out == want if "e400" not in what else r.status == 1 and one_line(r), r)
open(os.path.join(odd, "config.json"), "w").write(kept)
settings = {"model_max_length": 10 ** 30}
json.dump(settings, open(os.path.join(odd, "tokenizer_config.json"), "w"))
r = run("embed", odd, "--json", stdin="a b\n"); check("no limit of the tokenizer's", r.out == want, r)
for names, said in (({"0": 0, "1": 1, "2": 2}, ["0", "1", "2"]), ({"0": 0.5, "1": True, "2": "x"}, ["0.5", "True", "x"])):
    r = run("classify", model("bert", "BertForSequenceClassification", id2label=names, label2id={}), "--json", stdin="a\n"); check(f"id2label {names}", r.status == 0 and list(r.json()[0]["scores"]) == said, r)

finish()
