#!/usr/bin/env python3
"""What requests mean: which models rank, what a prompt's name is, which element of a list is wrong; the same in the program
and on the server. What the server tells of itself: metrics, the address on which it listens.

    test_meaning.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, math, os, re, socket, struct, subprocess

from service import PATIENCE, Service, check, finish, free_port, model, one_label, rubato, run, until

near = lambda a, b, off=1e-5: len(a) == len(b) and all(abs(x - y) <= off for x, y in zip(a, b))


def folder(architecture, settings=None, **config):
    made = model("bert", architecture, **config)
    if settings: json.dump(settings, open(os.path.join(made, "config_sentence_transformers.json"), "w"))
    return made


def labels(*names): return {"id2label": {str(i): n for i, n in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)}}


PROMPTS = {"prompts": {"query": "hello ", "passage": "world "}}
embed, prompted = folder("BertModel"), folder("BertModel", {**PROMPTS, "default_prompt_name": "passage"})
three = folder("BertForSequenceClassification", **labels("no", "maybe", "yes"))
mlm, tag = folder("BertForMaskedLM"), folder("BertForTokenClassification", **labels("O", "B-X", "I-X"))
rank = one_label(folder("BertForSequenceClassification", **labels("LABEL_0")))
plain = one_label(folder("BertForSequenceClassification", {**PROMPTS, "default_prompt_name": "query", "activation_fn": "torch.nn.modules.linear.Identity"}, **labels("LABEL_0")))
tanh = one_label(folder("BertForSequenceClassification", {"activation_fn": "torch.nn.modules.activation.Tanh"}, **labels("LABEL_0")))
qa = folder("BertForQuestionAnswering", num_hidden_layers=2)
nli = folder("BertForSequenceClassification", **labels("contradiction", "neutral", "entailment"))
TEXTS = ["hello world", "a world of words", "foo"]


def vectors(*arguments):
    r = run("embed", *arguments, "--json", stdin="\n".join(TEXTS) + "\n")
    return [row["embedding"] for row in r.json()] if r.status == 0 else r


def order(*arguments):
    r = run("rerank", *arguments, "--query", "a world", "--json", stdin="\n".join(TEXTS) + "\n")
    return [(row["index"], row["score"]) for row in r.json()] if r.status == 0 else r


def usage(what, r, *words): check(what, r.status == 2 and r.err.count("\n") == 1 and all(w in r.err for w in words), r)


# ---- The program: ranking ----
for what, made in (("a classifier", three), ("a masked language model", mlm), ("a tagger", tag)):
    r = order(made); check(f"{what} does not rank", not isinstance(r, list) and r.status == 1 and not r.out and "cross-encoder" in r.err, r)
check("two labels do not either", (r := order(folder("BertForSequenceClassification", **labels("not", "entailed")))).status == 1, r)
check("a cross-encoder and an embedding model do", len(order(rank)) == len(order(embed)) == 3)
check("a classifier embeds, as in sentence-transformers", len(vectors(three)) == 3)

# ---- The program: prompts ----
check("a prompt's name is its text", vectors(prompted, "--prompt", "query") == vectors(prompted, "--prompt-text", "hello ") != vectors(prompted))
check("without one the default's", vectors(prompted) == vectors(prompted, "--prompt", "passage"))
check("an empty text is none", vectors(prompted, "--prompt-text", "") == vectors(embed, "--prompt-text", "") != vectors(prompted))
for command in ("embed", "search-text", "rerank"):
    more = [] if command == "embed" else ["--query", "a"]
    usage(f"{command}: a name that the model has not", run(command, prompted, *more, "--prompt", "document", stdin="a\n"), '"document"', '"query", "passage"', "--prompt-text")
usage("a name, and no prompts", run("embed", embed, "--prompt", "query", stdin="a\n"), "has none")
usage("a name and a text", run("embed", prompted, "--prompt", "query", "--prompt-text", "a", stdin="a\n"), "exclude")
check("a prompt before the query", order(plain, "--prompt", "passage") == order(plain, "--prompt-text", "world ") != order(plain))

# ---- The server: ranking ----
s = Service(f"three={three}", f"mlm={mlm}", f"tag={tag}")
for path, body in (("/rerank", {"query": "a", "texts": TEXTS}), ("/v1/rerank", {"query": "a", "documents": TEXTS}), ("/rerank", {"query": "a", "documents": TEXTS})):
    for name in (None, "three", "mlm", "tag"):
        status, _, out = s.post(path, {**body, **({"model": name} if name else {})})
        check(f"{path} with {name or 'none that ranks'}", status == 424 and "re-ranker" in (out.get("error") if path == "/rerank" and "texts" in body else out["message"] if "message" in out else str(out)), status, out)
check("a name that is not served", s.post("/rerank", {"query": "a", "texts": TEXTS, "model": "x"})[0] == 404)
check("they are counted", s.metric('te_request_failure{err="model_type"}') == 12)
s.stop()
s = Service(f"three={three}", f"embed={embed}", f"prompted={prompted}", f"plain={plain}", f"rank={rank}", f"tanh={tanh}", f"nli={nli}", f"qa={qa}")
for name, made in (("plain", plain), ("rank", rank), ("tanh", tanh), ("embed", embed)):
    want = order(made)
    status, _, out = s.post("/rerank", {"query": "a world", "texts": TEXTS, "model": name})
    check(f"the server ranks as the program: {name}", status == 200 and [o["index"] for o in out] == [i for i, _ in want] and near([o["score"] for o in out], [v for _, v in want]), out, want)
    status, _, out = s.post("/v1/rerank", {"query": "a world", "documents": TEXTS, "model": name})
    check(f"so in Cohere's dialect: {name}", near([o["relevance_score"] for o in out["results"]], [v for _, v in want]), out, want)
raw = {o["index"]: o["score"] for o in s.post("/rerank", {"query": "a world", "texts": TEXTS, "model": "tanh", "raw_scores": True})[2]}
check("raw scores are those before the activation", all(abs(math.tanh(raw[i]) - v) < 1e-4 and abs(raw[i] - v) > 1e-4 for i, v in order(tanh)), raw, order(tanh))
want = order(plain, "--prompt", "passage")
status, _, out = s.post("/rerank", {"query": "a world", "texts": TEXTS, "model": "plain", "prompt_name": "passage"})
check("with a prompt before the query", near([o["score"] for o in out], [v for _, v in want]), out, want)
status, _, out = s.post("/rerank", {"query": "a world", "texts": TEXTS})
check("without a name a cross-encoder ranks", near([o["score"] for o in out], [v for _, v in order(plain)]), out)
check("an embedding model predicts nothing", s.post("/predict", {"inputs": "a", "model": "embed"})[0] == 424)
check("a classifier embeds nothing", s.post("/embed", {"inputs": "a", "model": "three"})[0] == 424)

# ---- The server: prompts ----
def served(path="/embed", **body): return s.post(path, {"inputs": TEXTS, "model": "prompted", "normalize": False, **body})


for name in (None, "query", "passage"):
    want = vectors(prompted, *(["--prompt", name] if name else []))
    status, _, out = served(**({"prompt_name": name} if name else {}))
    check(f"prompt_name {name}", status == 200 and all(near(a, b, 1e-4) for a, b in zip(out, want)), out)
check("/embed_all has the prompt too", len(served("/embed_all", prompt_name="query")[2][2]) > len(served("/embed_all", model="embed")[2][2]))
check("/tokenize too", len(served("/tokenize")[2][2]) > len(served("/tokenize", model="embed")[2][2]))
for path in ("/embed", "/embed_all", "/tokenize"):
    status, _, out = served(path, prompt_name="document"); check(f"{path}: a name that the model has not", status == 422 and '"query", "passage"' in out["error"], status, out)
status, _, out = served(model="embed", prompt_name="query"); check("a name, and no prompts", status == 422 and "has none" in out["error"], out)
status, _, out = s.post("/v1/embeddings", {"input": "a", "model": "prompted", "input_type": "other"}); check("an input_type is no name", status == 200, out)
check("what takes no prompt ignores its name", s.post("/predict", {"inputs": "a", "model": "three", "prompt_name": "no"})[0] == 200)

# ---- Which element ----
for what, path, body, expect, name in [
        ("empty", "/embed", {"inputs": ["a", ""]}, 400, "`inputs[1]`"), ("empty alone", "/embed", {"inputs": ""}, 400, "`inputs`"), ("empty, a list of one", "/embed", {"inputs": [""]}, 400, "`inputs[0]`"),
        ("OpenAI's field", "/v1/embeddings", {"input": ["a", "b", ""]}, 400, "`input[2]`"), ("a number", "/embed", {"inputs": ["a", 5.5]}, 422, "`inputs[1]`"), ("ids", "/embed", {"inputs": ["a", []]}, 400, "`inputs[1]`"),
        ("bad ids", "/embed", {"inputs": ["a", [1, -1]]}, 422, "`inputs[1]`"), ("too long", "/embed", {"inputs": ["a", "a " * 200], "truncate": False}, 422, "`inputs[1]` must have less than"),
        ("pairs", "/predict", {"inputs": [["a"], [""]], "model": "three"}, 400, "`inputs[1]`"), ("both of a pair", "/predict", {"inputs": ["", ""], "model": "three"}, 400, "`inputs`"), ("a pair of numbers", "/predict", {"inputs": [["a"], ["a", 1]], "model": "three"}, 422, "`inputs[1]`"),
        ("sentences", "/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a", ""]}}, 400, "`inputs.sentences[1]`"), ("the source", "/similarity", {"inputs": {"source_sentence": "", "sentences": ["a"]}}, 400, "`inputs.source_sentence`"),
        ("documents", "/v1/rerank", {"query": "a", "documents": ["b", 5]}, 422, "`documents[1]`"), ("texts", "/rerank", {"query": "", "texts": ["b", ""]}, 400, "`texts[1]`"), ("tokens", "/tokenize", {"inputs": ["a", ""]}, 400, "`inputs[1]`"),
        ("ids to decode", "/decode", {"ids": [[2], [99999999]]}, 422, "ids[1]")]:
    status, _, out = s.post(path, {"model": "embed", **body} if path in ("/embed", "/similarity", "/tokenize", "/decode") else {"model": "embed", **body} if path == "/v1/embeddings" else body)
    check(f"which element: {what}", status == expect and name in json.dumps(out), status, out)
for inputs, name in ((["a", 5], "`inputs[1]`"), (5, "`inputs`")):
    status, _, out = s.post("/zero-shot", {"inputs": inputs, "model": "nli", "parameters": {"candidate_labels": ["x", "y"]}}); check(f"which element: zero-shot {name}", status == 422 and name in json.dumps(out), status, out)
for route in ("/zero-shot", "/predict"):
    body = {"inputs": "a", "parameters": {"candidate_labels": ["x", "y"]}}; got = s.post(route, body)
    check(f"{route} with labels goes to a model that can", got[0] == 200 and got[2] == s.post(route, {**body, "model": "nli"})[2], got)
    status, _, out = s.post(route, {**body, "model": "three"}); check(f"{route}: an error has the model's name, not its folder", status == 424 and out["error"].startswith("Backend error: three: no label") and three not in out["error"], out)
body = {"inputs": {"question": "a", "context": "b c d"}}; got = s.post("/v1/trace", body)[2]; check("a question is traced by a model that answers", got == s.post("/v1/trace", {**body, "model": "qa"})[2] != s.post("/v1/trace", {**body, "model": "three"})[2], got)
for wrong in ([], 5, "x", True): status, _, out = s.post("/predict", {"inputs": "a", "model": "three", "parameters": wrong}); check(f"parameters: {wrong!r}", status == 422 and "`parameters` should be an object" in json.dumps(out), status, out)
check("parameters: null", s.post("/predict", {"inputs": "a", "model": "three", "parameters": None})[0] == 200)
check("a pair may have an empty text", s.post("/predict", {"inputs": ["a", ""], "model": "three"})[0] == 200)

# ---- Two meanings; fields that nobody knows ----
status, headers, out = s.post("/predict", {"inputs": ["a", "b"], "model": "three"})
check("two strings are one pair, and it is said", status == 200 and "label" in out[0] and "pair" in headers["x-rubato-hint"], headers)
status, headers, out = s.post("/predict", {"inputs": [["a"], ["b"]], "model": "three"}); check("two lists are two texts", len(out) == 2 and "label" in out[0][0] and "x-rubato-hint" not in headers, headers)
status, _, out = s.post("/predict", {"inputs": ["a", "b", "c"], "model": "three"}); check("three strings: the error says how", status == 422 and '[["a text"], ["another"]]' in out["error"], out)
check("unknown fields are ignored", s.post("/embed", {"inputs": "a", "model": "embed", "colour": [1], "Normalize": "x"})[0] == 200)

# ---- Metrics ----
def families(text):
    """What Prometheus makes of it: name to (type, help, samples); an error for what it would not read."""
    out = {}
    name = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, about = line[7:].split(" ", 1)
            assert name not in out and about.endswith("."), line
            out[name] = [None, about, {}]
        elif line.startswith("# TYPE "):
            assert line.split()[2] == name and out[name][0] is None and not out[name][2], line
            out[name][0] = line.split()[3]
        else:
            key, value = line.rsplit(" ", 1)
            base = key.split("{")[0]
            ends = ("_bucket", "_sum", "_count") if out[name][0] == "histogram" else ("",)
            assert any(base == name + e for e in ends) and key not in out[name][2], line
            if "{" in key: assert re.fullmatch(r'[a-z_]+\{([a-z_]+="([^"\\\n]|\\.)*",?)+\}', key), line
            out[name][2][key] = float(value)
    return out


before = families(s.get("/metrics")[2])
check("every family has a type and help", all(kind in ("counter", "gauge", "histogram") and samples for kind, _, samples in before.values()), {n: f for n, f in before.items() if not f[2]})
build = next(iter(before["rubato_build_info"][2]))
check("build information", all(f'{k}="' in build for k in ("version", "commit", "compiler", "build_type", "isa")) and before["rubato_build_info"][2][build] == 1, build)
value = lambda name: next(iter(families(s.get("/metrics")[2])[name][2].values()))
check("the process", value("process_cpu_seconds_total") > 0 and value("process_resident_memory_bytes") > 1 << 20 and 5 < value("process_open_fds") < 1000 and value("process_max_fds") > value("process_open_fds") and value("process_start_time_seconds") > 1.7e9)
check("answers by status", before["rubato_http_answers"][2]['rubato_http_answers{status="424"}'] == 4)
s.stop()
s = Service(f"embed={embed}", "--quiet", "--max-client-batch-size", 2000, "--max-queue", 4000)
s.post("/embed", {"inputs": TEXTS})
check("histograms of requests that there were", until(lambda: "te_embed_duration_bucket" in s.get("/metrics")[2]) and "te_predict_duration" not in s.get("/metrics")[2])
check("what is not a request of a dialect is no request", s.ask("POST", "/embed", "{")[0] == 400 and s.ask("POST", "/embed", "x", {"Content-Type": "text/plain"})[0] == 415 and until(lambda: s.metric('rubato_http_answers{status="415"}') == 1) and s.metric("te_request_count") == 1)

# a client that goes while its answer, some megabytes, is written
want = s.metric("te_request_success")
body = json.dumps({"inputs": ["a b c d e f g h"] * 1500}).encode()
c = socket.socket()
c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
c.connect(("127.0.0.1", s.port))
c.sendall(b"POST /embed_all HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
check("the answer begins", c.recv(15) == b"HTTP/1.1 200 OK")
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
c.close()
check("a client that went meanwhile is dropped, not answered", until(lambda: s.metric('te_request_failure{err="dropped"}') == 1) and s.metric("te_request_success") == want and s.metric('rubato_http_answers{status="499"}') == 1 and s.metric("te_request_count") == want + 1, s.get("/metrics")[2][:900])
check("stops", s.stop() == 0)

# ---- The address ----
def listens(*arguments, **env):
    """What a server says of its address when it is ready."""
    while True:
        port = free_port()
        p = subprocess.Popen([rubato, "serve", embed, "--port", str(port), *arguments], stderr=subprocess.PIPE, text=True, env={**os.environ, "HOSTNAME": "", **env})
        log = []
        for line in p.stderr:
            log.append(line)
            if " serving " in line:
                p.terminate()
                log.extend(p.stderr)
                p.wait(PATIENCE)
                return "".join(log)
        if "cannot listen" not in "".join(log): return "".join(log)


out = listens(); check("only this machine, unless told otherwise", "http://127.0.0.1:" in out and "--host" in out, out)
out = listens(HOSTNAME="a1b2c3"); check("a container's name is no address", "http://127.0.0.1:" in out, out)
out = listens(HOSTNAME="0.0.0.0"); check("HOSTNAME", "http://0.0.0.0:" in out and "--api-key" in out, out)
out = listens("--host", "0.0.0.0", "--api-key", "k"); check("with a key nothing is left to say", "http://0.0.0.0:" in out and "--api-key" not in out and "--host" not in out, out)
finish()
