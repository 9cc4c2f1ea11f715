#!/usr/bin/env python3
"""The server as its clients see it: dialects, errors, limits, deadlines, reload, stop; with real clients where they are
installed.

    test_serve.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import base64, json, math, os, signal, ssl, struct, subprocess, sys, threading, time

from service import PATIENCE, Service, check, finish, golden, large, model, one_label, points, run, until, work

near = lambda a, b, off=1e-5: len(a) == len(b) and all(abs(x - y) <= off for x, y in zip(a, b))

embed = model("bert", "BertModel")
classify = points(model("bert", "BertForSequenceClassification", id2label={"0": "no", "1": "maybe", "2": "yes"}, label2id={"no": 0, "maybe": 1, "yes": 2}),
                  ("third", 0.8, 0.35, 0.3), ("half", 0.9, 0.6, 0.6))
rank = one_label(model("bert", "BertForSequenceClassification", id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}))
measured = one_label(model("bert", "BertForSequenceClassification", id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}, problem_type="regression"))
tag = model("bert", "BertForTokenClassification", id2label={"0": "O", "1": "B-X", "2": "I-X"})
qa, mlm = model("bert", "BertForQuestionAnswering"), model("bert", "BertForMaskedLM")
TEXTS = ["hello world", "a world of words", "foo"]


def cli(*arguments, texts=TEXTS): return run(*arguments, "--json", stdin="\n".join(texts) + "\n").json()


s = Service(f"embed={embed}", f"classify={classify}", f"tag={tag}", f"qa={qa}", f"mlm={mlm}")
check("starts", s.process.poll() is None, s.log)
r = run("serve", embed, "--host", "127.0.0.1", "--port", s.port); check("a port that is taken is an error", r.status == 1 and str(s.port) in r.err, r)

# ---- text-embeddings-inference ----
want = [r["embedding"] for r in cli("embed", embed)]
unit = lambda v: [x / math.sqrt(sum(y * y for y in v)) for x in v]
status, headers, out = s.post("/embed", {"inputs": TEXTS})
check("/embed", status == 200 and all(near(a, unit(b)) for a, b in zip(out, want)), status, out)
check("/embed: headers", headers["x-compute-type"] == "cpu" and headers["x-compute-tokens"].isdigit() and headers["x-rubato-point"] == "full" and float(headers["x-rubato-flops-ratio"]) == 1 and headers["content-type"] == "application/json", headers)
status, _, out = s.post("/embed", {"inputs": TEXTS[0], "normalize": False}); check("/embed: one text is nested, not normalised", status == 200 and len(out) == 1 and near(out[0], want[0], 1e-4), out)
status, _, out = s.post("/embed", {"inputs": TEXTS[0], "dimensions": 8}); check("/embed: dimensions", near(out[0], unit(want[0][:8])), out)
for wrong in (0, 10000): check(f"/embed: dimensions {wrong}", s.post("/embed", {"inputs": "a", "dimensions": wrong})[0] == 422)
ids = cli("tokenize", embed)[1]["ids"]
check("/embed: token ids are one text", near(s.post("/embed", {"inputs": ids})[2][0], unit(want[1])))
check("/embed: ids and texts mixed", near(s.post("/embed", {"inputs": [TEXTS[0], ids]})[2][1], unit(want[1])))
status, _, out = s.post("/embed_all", {"inputs": TEXTS[:2]}); check("/embed_all", status == 200 and len(out) == 2 and len(out[1]) == len(ids) and len(out[0][0]) == len(want[0]), status)
check("/embed_sparse says why not", s.post("/embed_sparse", {"inputs": "a"})[0] == 424)
status, _, out = s.post("/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": [TEXTS[0], TEXTS[1]]}})
check("/similarity", status == 200 and abs(out[0] - 1) < 1e-5 and abs(out[1] - sum(a * b for a, b in zip(unit(want[0]), unit(want[1])))) < 1e-5, out)

want = cli("classify", classify)
status, headers, out = s.post("/predict", {"inputs": TEXTS[0]})
check("/predict: sorted, all labels", status == 200 and [o["score"] for o in out] == sorted((o["score"] for o in out), reverse=True) and all(abs(o["score"] - want[0]["scores"][o["label"]]) < 1e-5 for o in out) and len(out) == 3, out)
status, _, out = s.post("/predict", {"inputs": [[t] for t in TEXTS]}); check("/predict: batch", [o[0]["label"] for o in out] == [w["label"] for w in want], out)
status, _, out = s.post("/predict", {"inputs": TEXTS[:2]}); check("/predict: two strings are a pair", status == 200 and "label" in out[0], out)
check("/predict: three are an error", s.post("/predict", {"inputs": TEXTS})[0] == 422)
status, _, out = s.post("/predict", {"inputs": TEXTS[0], "raw_scores": True}); check("/predict: raw", abs(sum(math.exp(o["score"]) for o in out) - 1) > 1e-3, out)
status, headers, out = s.post("/predict", {"inputs": TEXTS[0], "budget": "@third"}); check("a budget", status == 200 and headers["x-rubato-point"] == "third" and float(headers["x-rubato-flops-ratio"]) < 0.9, headers)
want = cli("classify", classify, "--budget", "@third")
check("a budget's answer", all(abs(o["score"] - want[0]["scores"][o["label"]]) < 1e-5 for o in out), out, want[0])
check("a budget in the header", s.post("/predict", {"inputs": TEXTS[0]}, X_Rubato_Budget="@half")[1]["x-rubato-point"] == "half")
for wrong in ("0.4", "x", "@nothing", "-1x", "0.0001x"):
    status, _, out = s.post("/predict", {"inputs": "a", "budget": wrong}); check(f"budget {wrong}", status == 422 and "budget" in out["error"], status, out)
status, _, out = s.post("/v1/trace", {"inputs": TEXTS[1], "model": "classify", "budget": "@third"})
check("/v1/trace", status == 200 and out["point"] == "third" and out["tokens"][0] == "[CLS]" and len(out["layers"][0]) == len(out["tokens"]) and out["layers"][-1].count("1") < len(out["tokens"]), out)

want = cli("tokenize", embed, texts=["Héllo wörld!"])[0]
status, _, out = s.post("/tokenize", {"inputs": "Héllo wörld!"})
text = "Héllo wörld!".encode()
check("/tokenize", [t["id"] for t in out[0]] == want["ids"] and all(t["special"] and t["start"] is None or text[t["start"]:t["stop"]].decode() == t["text"] for t in out[0]), out)
status, _, out = s.post("/tokenize", {"inputs": ["a", "b"], "add_special_tokens": False}); check("/tokenize: plain", len(out) == 2 and not any(t["special"] for t in out[0]), out)
status, _, out = s.post("/decode", {"ids": cli("tokenize", embed, texts=["hello world"])[0]["ids"]}); check("/decode", out == ["hello world"], out)
status, _, out = s.post("/decode", {"ids": [[2], [3]], "skip_special_tokens": False}); check("/decode: several", status == 200 and len(out) == 2, out)
check("/decode: no such id", s.post("/decode", {"ids": [99999999]})[0] == 422)

status, _, info = s.get("/info")
check("/info", status == 200 and info["model_id"] == "embed" and "embedding" in info["model_type"] and info["max_client_batch_size"] == 32 and len(info["models"]) == 5, info)
check("/info: points", [p["name"] for p in info["models"][1]["points"]] == ["third", "half", "full"] and info["models"][1]["model_type"]["classifier"]["id2label"]["2"] == "yes", info["models"][1])
for path in ("/health", "/ready", "/live", "/ping"): check(path, s.get(path)[0] == 200)
check("HEAD", s.ask("HEAD", "/health")[0] == 200)

# ---- OpenAI, Cohere, Jina ----
status, _, out = s.post("/v1/embeddings", {"input": TEXTS, "model": "embed"})
plain = [d["embedding"] for d in out["data"]]
check("/v1/embeddings", status == 200 and out["object"] == "list" and near(plain[0], s.post("/embed", {"inputs": TEXTS[0]})[2][0], 0) and out["usage"]["total_tokens"] > 6, out)
status, _, out = s.post("/v1/embeddings", {"input": TEXTS, "model": "embed", "encoding_format": "base64"})
check("base64", [list(struct.unpack(f"<{len(p)}f", base64.b64decode(d["embedding"]))) for d, p in zip(out["data"], plain)] == [[struct.unpack("f", struct.pack("f", x))[0] for x in p] for p in plain])
for size in (1, 2, 3, 4, 5): check(f"base64 of {size} floats", len(base64.b64decode(s.post("/v1/embeddings", {"input": "a", "dimensions": size, "encoding_format": "base64"})[2]["data"][0]["embedding"], validate=True)) == 4 * size)
status, _, out = s.post("/v1/embeddings", {"input": "a", "late_chunking": True}); check("late_chunking is refused, not ignored", status == 422 and "late_chunking" in str(out), status, out)
check("late_chunking false", s.post("/v1/embeddings", {"input": "a", "late_chunking": False})[0] == 200)
status, _, out = s.post("/v1/embeddings", {"input": "a", "model": "nothing"}); check("no such model", status == 404 and out["error"]["type"] == "invalid_request_error" and out["code"] == 404, out)
check("/v1/models", [m["id"] for m in s.get("/v1/models")[2]["data"]] == ["embed", "classify", "tag", "qa", "mlm"])
status, _, out = s.post("/rerank", {"query": TEXTS[0], "texts": TEXTS, "return_text": True}); check("an embedding model ranks by cosine", status == 200 and out[0]["index"] == 0 and out[0]["text"] == TEXTS[0] and abs(out[0]["score"] - 1) < 1e-5, out)
status, _, out = s.post("/v1/rerank", {"query": TEXTS[0], "documents": [TEXTS[1], {"text": TEXTS[0]}], "top_n": 1, "return_documents": True})
check("/v1/rerank", len(out["results"]) == 1 and out["results"][0]["index"] == 1 and out["results"][0]["document"]["text"] == TEXTS[0] and out["usage"]["total_tokens"] > 0 and out["meta"]["api_version"]["version"] == "2", out)
check("/rerank with documents is Jina's", "results" in s.post("/rerank", {"query": "a", "documents": ["b"]})[2])

# ---- What no other server has ----
want = cli("tag", tag)[1]["entities"]
status, _, out = s.post("/tag", {"inputs": TEXTS[1]}); check("/tag", status == 200 and [(e["entity_group"], e["start"], e["end"]) for e in out] == [(e["label"], e["start"], e["end"]) for e in want], out, want)
status, _, out = s.post("/v1/tag", {"inputs": TEXTS, "parameters": {"aggregation_strategy": "none"}}); check("/tag: tokens", len(out) == 3 and all(e["entity"] in ("B-X", "I-X") for o in out for e in o), out)
q = {"question": "what world", "context": "hello world of words " * 30}
want = run("answer", qa, "--jsonl", "--json", stdin=json.dumps(q)).json()[0]
status, _, out = s.post("/answer", {"inputs": q}); check("/answer", (out["start"], out["end"], out["answer"]) == (want["start"], want["end"], want["answer"]) and abs(out["score"] - want["score"]) < 1e-5, out, want)
check("/answer: batch", len(s.post("/answer", {"inputs": [q, q]})[2]) == 2)
want = cli("fill", mlm, texts=["hello [MASK]"])[0]
status, _, out = s.post("/fill", {"inputs": "hello [MASK]", "parameters": {"top_k": 3}}); check("/fill", len(out) == 3 and abs(out[0]["score"] - (want[0] if isinstance(want, list) else list(want.values())[0][0])["score"]) < 1e-5 and out[0]["sequence"].startswith("hello "), out, want)
check("/fill: no mask", s.post("/fill", {"inputs": "hello"})[0] == 422)

# ---- Wrong requests ----
for what, path, body, expect in [
        ("no JSON", "/embed", "{", 400), ("not an object", "/embed", "[1]", 422), ("missing", "/embed", {}, 422), ("a number", "/embed", {"inputs": 5}, 422),
        ("empty", "/embed", {"inputs": ""}, 400), ("empty list", "/embed", {"inputs": []}, 400), ("one empty", "/embed", {"inputs": ["a", ""]}, 400),
        ("empty ids", "/embed", {"inputs": [[]]}, 400), ("wrong field", "/embed", {"inputs": "a", "normalize": "yes"}, 422), ("bad ids", "/embed", {"inputs": [1, "a"]}, 422),
        ("bad direction", "/embed", {"inputs": "a", "truncation_direction": "up"}, 422), ("no such prompt", "/embed", {"inputs": "a", "prompt_name": "no"}, 422),
        ("too many", "/embed", {"inputs": ["a"] * 33}, 422), ("wrong kind", "/embed", {"inputs": "a", "model": "classify"}, 424), ("negative", "/embed", {"inputs": [-1]}, 422),
        ("too long", "/embed", {"inputs": "a " * 1000, "truncate": False}, 422), ("no texts", "/rerank", {"query": "a"}, 422), ("no such aggregation", "/tag", {"inputs": "a", "parameters": {"aggregation_strategy": "no"}}, 422),
        ("no question", "/answer", {"inputs": {"context": "a"}}, 422), ("similarity of nothing", "/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400), ("a list for a text", "/predict", {"inputs": [[["a"]]]}, 422),
        ("invalid UTF-8", "/embed", b'{"inputs": "\xff"}', 400), ("lone surrogate", "/embed", b'{"inputs": "\\ud800"}', 400), ("a deadline of words", "/embed", {"inputs": "a"}, 422)]:
    status, _, out = s.ask("POST", path, body, {"X-Deadline-Ms": "soon"} if "deadline" in what else None)
    check(f"{what}: {expect}", status == expect and (isinstance(out, str) or "error" in out), status, out)
status, _, out = s.post("/embed", {"inputs": "a " * 1000, "truncate": False}); check("too long: TEI's words", out["error"].startswith("Input validation error: `inputs` must have less than ") and out["error_type"] == "Validation", out)
status, headers, _ = s.post("/embed", {"inputs": "a " * 1000}); check("cut, and said", status == 200 and headers["x-truncated"] == "1", headers)
status, _, out = s.post("/embed", {"inputs": "a\0b"}); check("a NUL is a character", status == 200, out)
check("404", s.get("/nothing")[0] == 404)
status, headers, _ = s.get("/embed"); check("405", status == 405 and headers["allow"] == "POST", headers)
check("415", s.ask("POST", "/embed", "x", {"Content-Type": "text/plain"})[0] == 415)
check("no body", s.ask("POST", "/embed", "")[0] == 400)
status, headers, _ = s.ask("OPTIONS", "/embed", headers={"Origin": "http://a", "Access-Control-Request-Method": "POST"}); check("CORS", status == 204 and headers["access-control-allow-origin"] == "*" and "authorization" in headers["access-control-allow-headers"], headers)
check("request ids come back", s.post("/embed", {"inputs": "a"}, X_Request_Id="abc-1")[1]["x-request-id"] == "abc-1")

# ---- Batches and metrics ----
before = s.metric("te_request_success")
results = [None] * 40
def one(i): results[i] = s.post("/embed", {"inputs": [f"text number {i}"] * (1 + i % 3)})
threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
for t in threads: t.start()
for t in threads: t.join()
alone = [s.post("/embed", {"inputs": f"text number {i}"})[2][0] for i in range(40)]
check("many at once: each its own answer, to the bit", all(r[0] == 200 and all(v == a for v in r[2]) for r, a in zip(results, alone)))
check("metrics count", until(lambda: s.metric("te_request_success") == before + 80 and s.metric("te_queue_size") == 0), s.metric("te_request_success"), before)
text = s.get("/metrics")[2]
check("metrics are Prometheus's", all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0 for line in text.splitlines()) and 'rubato_point_texts{model="classify",point="third"}' in text, text[:500])
for path, kind in (("/", "text/html"), ("/docs", "text/html"), ("/openapi.json", "application/json")):
    status, headers, out = s.get(path); check(f"page {path}", status == 200 and headers["content-type"].startswith(kind) and len(out) > 3, headers)
document = s.get("/openapi.json")[2]
check("the document knows /ready", "/ready" in document["paths"])
exposed = s.get("/health")[1]["access-control-expose-headers"].split(", ")
check("pages may read what was cut and replaced", {"x-truncated", "x-rubato-replaced-targets", "x-rubato-point"} <= set(exposed), exposed)

# a request whose end is not known is refused, and what follows is not taken for another one
inner = "GET /live HTTP/1.1\r\nHost: a\r\n\r\n"
for lines in (["Content-Length: 0", f"Content-Length: {len(inner)}"], [f"Content-Length: {len(inner)}", "content-length: 0"], ["Content-Length: 3", "Transfer-Encoding: chunked"],
              ["Transfer-Encoding: chunked", f"Content-Length: {len(inner)}"], ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"]):
    for verb in ("POST /embed", "GET /health", "OPTIONS /embed", "POST /nowhere"):
        for body in (inner, "0\r\n\r\n" + inner):
            out = s.raw((f"{verb} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + "".join(l + "\r\n" for l in lines) + "\r\n" + body).encode())
            check(f"{verb} with {lines}", out is not None and out.startswith(b"HTTP/1.1 400 ") and out.count(b"HTTP/1.1 ") == 1 and b"connection: close" in out.lower() and b"more than one header" in out, out)

for path, verbs in document["paths"].items():
    for verb, what in verbs.items():
        if path in ("/decode", "/v1/trace", "/zero-shot", "/v1/zero-shot"): continue  # of a real vocabulary; of a model with points; of one with entailment
        if verb == "post": status, _, out = s.post(path, what["requestBody"]["content"]["application/json"]["example"])
        else: status, _, out = s.get(path)
        check(f"the documented example of {path}", status == 200, status, out)
check("stops", s.stop() == 0, s.process.returncode, s.log[-3:])
check("clean log: no text of users", not any("hello" in line for line in s.log) and sum(" POST /embed " in line for line in s.log) > 50, s.log[:3])

# ---- A regression ----
s = Service(measured)
want = run("classify", measured, "--json", stdin="hello\n").json()[0]["value"]
status, _, out = s.post("/predict", {"inputs": "hello"}); check("/predict: the value of a regression stays as it is", status == 200 and abs(out[0]["score"] - want) < 1e-5, out, want)

# ---- A reranker alone; keys; JSON logs; limits ----
s = Service(rank, "--api-key", "secret", "--log", "json", "--log-texts", "--max-client-batch-size", 4, "--max-body", 1000, "--client-timeout", 1, "--auto-truncate", "false")
KEY = {"Authorization": "Bearer secret"}
SHORT = ["hello", "world", "foo"]
want = sorted(((r["value"], i) for i, r in enumerate(run("classify", rank, "--jsonl", "--json", stdin="\n".join(json.dumps({"text": "hello", "pair": t}) for t in SHORT)).json())), reverse=True)
status, _, out = s.post("/rerank", {"query": "hello", "texts": SHORT, "raw_scores": True}, **KEY)
check("/rerank of a cross-encoder", [(o["index"]) for o in out] == [i for _, i in want] and near([o["score"] for o in out], [v for v, _ in want]), out, want)
status, _, out = s.post("/rerank", {"query": "hello", "texts": SHORT}, **KEY); check("/rerank: sigmoid", near([o["score"] for o in out], [1 / (1 + math.exp(-v)) for v, _ in want]), out)
check("one model takes any name", s.post("/v1/rerank", {"query": "a", "documents": ["b"], "model": "gpt"}, **KEY)[0] == 200)
status, _, out = s.post("/rerank", {"query": "a", "texts": ["b"]}); check("401", status == 401 and out == "")
check("401 for another key", s.post("/rerank", {"query": "a", "texts": ["b"]}, Authorization="Bearer secre")[0] == 401)
check("open without a key", all(s.get(p)[0] == 200 for p in ("/health", "/metrics", "/", "/docs")))
check("info needs it", s.get("/info")[0] == 401 and s.get("/info", **KEY)[0] == 200)
check("--max-client-batch-size", s.post("/rerank", {"query": "a", "texts": ["b"] * 5}, **KEY)[0] == 422)
check("--auto-truncate false", s.post("/rerank", {"query": "a", "texts": ["b " * 400]}, **KEY)[0] == 422)
check("--max-body", s.post("/rerank", {"query": "a" * 2000, "texts": ["b"]}, **KEY)[0] == 413)
chunked = b"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer secret\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
out = s.raw(chunked); check("--max-body, chunked", out and b" 413 " in out, out)
out = s.raw(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: " + b"a" * 100000 + b"\r\n\r\n")
check("a header bomb", out == b"" or out and b" 431 " in out, out)
check("and the server is well", s.get("/health")[0] == 200)
# within half the time that a server gives them which was told no other
check("a slow head is cut off", s.raw(b"POST /rerank HTTP/1.1\r\nHost: a\r\n", 30) is not None)
check("a slow body too", s.raw(b"POST /rerank HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", 30) is not None)
s.stop()
rows = [json.loads(line) for line in s.log if line.startswith("{")]
good = [r for r in rows if r["status"] == 200 and r["path"] == "/rerank"]
check("JSON logs", good and good[0]["texts"] == 3 and good[0]["text"] == "hello" and all(k in good[0] for k in ("time", "id", "ms", "queue_ms", "compute_ms", "point", "tokens", "model")), rows[:2])

# ---- Deadlines ----
elastic = points(large(layers=3, hidden=128, positions=64), ("third", 0.8, 0.35, 0.3), ("half", 0.9, 0.6, 0.6))
s = Service(f"m={elastic}", "--slo", "10s", "--quiet", env={"XDG_CACHE_HOME": os.path.join(work, "cache")})
check("measures the machine where that is needed", any("measuring" in line for line in s.log), s.log)
status, headers, _ = s.post("/predict", {"inputs": "hello"}); check("in time: full", status == 200 and headers["x-rubato-point"] == "full", headers)
status, headers, out = s.post("/predict", {"inputs": "hello"}, X_Deadline_Ms="0"); check("no time at all: 429", status == 429 and int(headers["retry-after"]) >= 1 and out["error_type"] == "Overloaded", status, out)
long = "a world of words " * 12
status, headers, _ = s.post("/predict", {"inputs": [[long]] * 32, "budget": "full"}, X_Deadline_Ms="600000"); check("full is full", headers["x-rubato-point"] == "full", headers)


def point_within(ms):
    status, headers, _ = s.post("/predict", {"inputs": [[long]] * 32}, X_Deadline_Ms=f"{ms:.2f}")
    return headers["x-rubato-point"] if status == 200 else status


check("far too little time: 429; enough: full", point_within(0.1) == 429 and point_within(600000) == "full")
# between what is too little and what is enough; as the machine may become slower or faster meanwhile, both may move
little, enough, seen = 0.1, 600000.0, {}
while len(seen) < 100 and not any(p in ("third", "half", "mixed") for p in seen.values()):
    if enough < 1.01 * little: little, enough = little / 4, 4 * enough
    between = math.sqrt(little * enough)
    seen[between] = point_within(between)
    if seen[between] == "full": enough = between
    else: little = between
check("less time, a cheaper point", any(p in ("third", "half", "mixed") for p in seen.values()), seen)
check("stops", s.stop() == 0)

big = large(layers=3, hidden=256, positions=64)
s = Service(f"m={big}", "--max-queue", 8, "--threads", 1, "--quiet")
outcomes = []
def flood(): outcomes.append(s.post("/predict", {"inputs": [[long]] * 4})[0])
while len(outcomes) < 1000 and 429 not in outcomes:
    threads = [threading.Thread(target=flood) for _ in range(60)]
    for t in threads: t.start()
    for t in threads: t.join()
check("--max-queue: 429 for some, 200 for the rest", set(outcomes) == {200, 429}, outcomes)
check("nothing left behind", s.metric("te_queue_size") == 0 and s.post("/predict", {"inputs": [["a"]] * 8})[0] == 200)

s.stop()

# ---- A queue of long requests; clients that go; reload; stop ----
s = Service(f"m={big}", "--threads", 1, "--max-batch-tokens", 64, "--quiet")
def waiting(): return s.metric("te_queue_size") > 0
# short ones pass what is left of a long one; if they were late, once more
finished = {}
def timed(name, body):
    status, _, _ = s.post("/predict", body)
    finished[name] = time.monotonic() if status == 200 else status
def passed(): return all(isinstance(t, float) for t in finished.values()) and max(finished[i] for i in range(4)) < finished["long"]
for _ in range(20):
    threads = [threading.Thread(target=timed, args=("long", {"inputs": [[long]] * 32}))] + [threading.Thread(target=timed, args=(i, {"inputs": "hello"})) for i in range(4)]
    threads[0].start()
    while threads[0].is_alive() and not waiting(): pass
    for t in threads[1:]: t.start()
    for t in threads: t.join()
    if passed(): break
check("short ones pass a long one", passed(), finished)
# clients go while the server works for the first of them; if it had answered most, once more
def computed(): return s.metric("rubato_point_texts")
def open_files(): return len(os.listdir(f"/proc/{s.process.pid}/fd"))
for _ in range(20):
    going, before, files = [], computed(), open_files()
    for _ in range(40):
        c = s.connect(); c.request("POST", "/predict", body=json.dumps({"inputs": [[long]] * 8}), headers={"Content-Type": "application/json"}); going.append(c)
    until(lambda: waiting() or computed() > before)
    for c in going: c.sock.close()
    until(lambda: open_files() <= files + 2)  # the server is done with them; two for what asks it
    texts = computed() - before
    if texts <= 240: break
check("clients that went are dropped: of 320 texts many are not computed", texts <= 240 and until(lambda: not waiting()) and s.post("/predict", {"inputs": "a"})[0] == 200, texts, s.get("/metrics")[2][:900])
stopping, outcomes = threading.Event(), []
def steady():
    c = s.connect()
    while not stopping.is_set(): outcomes.append(s.ask("POST", "/predict", {"inputs": "hello world"}, connection=c)[0])
threads = [threading.Thread(target=steady) for _ in range(4)]
for t in threads: t.start()
def reloads(): return sum("reloaded" in line for line in s.log)
for i in range(3):
    s.process.send_signal(signal.SIGHUP)
    answered = len(outcomes)
    until(lambda: reloads() > i and len(outcomes) > answered + 4)
stopping.set()
for t in threads: t.join()
check("reload without a lost request", set(outcomes) == {200} and reloads() == 3, len(outcomes), set(outcomes), s.log[-3:])
kept = s.connect(); s.ask("GET", "/health", connection=kept)
late = []
t = threading.Thread(target=lambda: late.append(s.post("/predict", {"inputs": [[long]] * 32})[0])); t.start()
while t.is_alive() and not waiting(): pass
s.process.send_signal(signal.SIGTERM)
status = s.process.wait(PATIENCE); t.join()
check("stops gracefully", status == 0 and late and late[0] in (200, 503), status, late)

# ---- TLS ----
key, cert = os.path.join(work, "key.pem"), os.path.join(work, "cert.pem")
made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"], capture_output=True)
if made.returncode == 0:
    import http.client
    s = Service(embed, "--tls-cert", cert, "--tls-key", key)
    context = ssl.create_default_context(cafile=cert); context.check_hostname = False
    c = http.client.HTTPSConnection("127.0.0.1", s.port, context=context, timeout=PATIENCE)
    status, _, out = s.ask("POST", "/embed", {"inputs": "a"}, connection=c); check("TLS", status == 200 and len(out) == 1, status)
    c.close(); s.stop()
r = run("serve", embed, "--tls-cert", cert); check("TLS needs both files", r.status == 2 and "--tls-key" in r.err, r)
r = run("serve", embed, "--slo", "fast"); check("--slo", r.status == 2 and "20ms" in r.err, r)
r = run("serve", "/no/such"); check("no such model", r.status == 1, r)
r = run("serve", embed, embed); check("two of a name", r.status == 2 and "NAME=MODEL" in r.err, r)
r = run("serve", embed, "--budget", "0.4x"); check("a budget that the model has not", r.status == 2, r)

# ---- Real clients ----
try: import openai
except ImportError: openai = None
try: import huggingface_hub, numpy  # which feature_extraction gives
except ImportError: huggingface_hub = None
s = Service(f"e={embed}", f"c={classify}", f"t={tag}", f"q={qa}", f"f={mlm}")
url = f"http://127.0.0.1:{s.port}"
if openai:
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    out = client.embeddings.create(model="e", input=TEXTS)
    check("openai: embeddings", near(out.data[1].embedding, s.post("/embed", {"inputs": TEXTS[1]})[2][0], 1e-6) and out.usage.total_tokens > 0)
    check("openai: models", [m.id for m in client.models.list().data][0] == "e")
    try:
        client.embeddings.create(model="x", input="a"); check("openai: an error", False)
    except openai.NotFoundError as e: check("openai: an error", "no model" in str(e), e)
if huggingface_hub:
    hub = lambda: huggingface_hub.InferenceClient(base_url=url)
    out = huggingface_hub.InferenceClient(model=url).feature_extraction("hello world")
    check("huggingface_hub: feature_extraction", near(list(map(float, out[0])), s.post("/embed", {"inputs": "hello world"})[2][0], 1e-5), out)
    out = huggingface_hub.InferenceClient(model=url + "/tag").token_classification("a world of words"); check("huggingface_hub: token_classification", isinstance(out, list), out)
    out = huggingface_hub.InferenceClient(model=url + "/predict").text_classification("hello"); check("huggingface_hub: text_classification", {o.label for o in out} == {"no", "maybe", "yes"}, out)
    out = huggingface_hub.InferenceClient(model=url + "/answer").question_answering(question="what", context="hello world"); check("huggingface_hub: question_answering", out.answer in "hello world", out)
    out = huggingface_hub.InferenceClient(model=url + "/fill").fill_mask("hello [MASK]"); check("huggingface_hub: fill_mask", len(out) == 5, out)
    out = huggingface_hub.InferenceClient(model=url + "/similarity").sentence_similarity("hello", other_sentences=["hello", "world"]); check("huggingface_hub: sentence_similarity", abs(out[0] - 1) < 1e-5, out)
out = subprocess.run([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients.py"), url], capture_output=True, text=True).stdout
check("clients of other houses", "FAILED" not in out and out.count("\n") > 4, out)
check("stops", s.stop() == 0)
print("clients:", ", ".join(m.__name__ for m in (openai, huggingface_hub) if m) or "none installed")
finish()
