#!/usr/bin/env python3
"""The server among clients that break the rules: malformed requests of every kind, slow and vanishing clients, killed ones;
meanwhile a well-behaved client gets the right answer every time. Descriptors and memory must not grow.

    test_abuse.py RUBATO GOLDEN_FOLDER [REQUESTS] [SOAK_SECONDS]

Prints 'N passed, N failed'.
"""
import json, os, random, signal, socket, subprocess, sys, threading, time

from service import PATIENCE, Service, check, finish, model, points, until

checked = "asan" in sys.argv[1] or "tsan" in sys.argv[1]  # sanitizers keep freed memory
requests = int(sys.argv[3]) if len(sys.argv) > 3 else 400 if checked else 2000
soak = float(sys.argv[4]) if len(sys.argv) > 4 else 0
CLIENTS = 32  # at once: most wait for a server that waits for them
rng = random.Random(5)
folder = points(model("bert", "BertForSequenceClassification", id2label={"0": "no", "1": "maybe", "2": "yes"}), ("half", 0.9, 0.6, 0.5))
s = Service(f"c={folder}", f"e={model('bert', 'BertModel')}", "--quiet", "--max-body", 200000, "--client-timeout", 5, "--threads", 2)


def head(length, path="/predict", more=""):
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n".encode()


def with_body(body, path="/predict"): return head(len(body), path) + body


def random_json(depth=0):
    kind = rng.randrange(9 if depth < 4 else 5)
    if kind == 0: return rng.choice([None, True, False])
    if kind == 1: return rng.choice([0, -1, 1e308, 2**63, 5, 0.5])
    if kind <= 3: return rng.choice(["a", "", "hello world " * rng.randrange(400), "\0", "\U0001f600" * 50, "@half", "left"])
    if kind == 4: return []
    if kind <= 6: return [random_json(depth + 1) for _ in range(rng.randrange(6))]
    keys = ["inputs", "texts", "query", "documents", "input", "model", "budget", "truncate", "ids", "parameters", "top_n", "dimensions", "normalize", "source_sentence", "sentences", "question", "context"]
    return {rng.choice(keys): random_json(depth + 1) for _ in range(rng.randrange(5))}


PATHS = ["/embed", "/predict", "/rerank", "/similarity", "/tokenize", "/decode", "/v1/embeddings", "/v1/rerank", "/tag", "/answer", "/fill", "/zero-shot", "/v1/trace", "/embed_all", "/"]
good = json.dumps({"inputs": "hello"}).encode()
# name, bytes, statuses that are right (None: the connection may just end)
KINDS = [
    ("garbage", lambda: os.urandom(rng.randrange(1, 400)), {400, 404, 405, 501, 505, None}),
    ("garbage body", lambda: with_body(os.urandom(rng.randrange(1, 400)), rng.choice(PATHS)), {400, 422}),
    ("broken JSON", lambda: with_body(good[:rng.randrange(len(good))], rng.choice(PATHS)), {400}),
    ("random JSON", lambda: with_body(json.dumps(random_json()).encode(), rng.choice(PATHS)), {200, 400, 404, 413, 422, 424}),
    ("deep JSON", lambda: with_body(b'{"inputs":' + b"[" * rng.randrange(1, 90000), rng.choice(PATHS)), {400}),
    ("wrong types", lambda: with_body(json.dumps({"inputs": rng.choice([5, None, {}, [[]], [{}], True])}).encode(), "/embed"), {400, 422}),
    ("too large", lambda: head(100_000_000), {413}),
    ("larger than announced", lambda: head(5) + good * 3, {400, None}),
    ("negative length", lambda: head(-5) + good, {400, 413, None}),
    ("length of words", lambda: head("many") + good, {400, 413, None}),
    ("two lengths", lambda: head(len(good), more="Content-Length: 3\r\n") + good, {400, None}),
    ("chunked garbage", lambda: b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + good, {400, None}),
    ("huge chunk", lambda: b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + good, {400, 413, None}),
    ("header bomb", lambda: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 200) for i in range(400)) + b"\r\n", {431, None}),
    ("long path", lambda: b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431, None}),
    ("no host", lambda: b"GET /health HTTP/1.1\r\n\r\n", {200, 400}),
    ("old HTTP", lambda: b"GET /health HTTP/1.0\r\n\r\n", {200}),
    ("another verb", lambda: b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", {404, 405, 501, None}),
    ("no content type", lambda: b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", {415}),
    ("path with escapes", lambda: b"GET /%00%2e%2e/%ff HTTP/1.1\r\nHost: a\r\n\r\n", {400, 404, None}),
    ("bad budget", lambda: head(len(good), more="X-Rubato-Budget: %s\r\n" % rng.choice(["-", "1e999x", "@", "9" * 300 + "ms", "nanx"])) + good, {422}),
    ("pipelined", lambda: with_body(good) * 3, {200}),
    ("TLS to a plain port", lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(300), {400, 501, 505, None}),
]


def once(data, half_close=False, wait=PATIENCE):
    """The first status that comes back, or None."""
    c = socket.create_connection(("127.0.0.1", s.port), timeout=wait)
    out = b""
    try:
        c.sendall(data)
        if half_close: c.shutdown(socket.SHUT_WR)
        while b"\r\n" not in out:
            got = c.recv(4096)
            if not got: break
            out += got
    except OSError: pass
    c.close()
    return int(out.split(b" ", 2)[1]) if out.startswith(b"HTTP/1.") else None


def usage():
    pid = s.process.pid
    memory = int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1])
    return len(os.listdir(f"/proc/{pid}/fd")), memory


want = s.post("/predict", {"inputs": "hello world"})[2]
stopping, harmed, served = threading.Event(), [], [0]
def well_behaved():
    while not stopping.is_set() or (served[0] <= 50 and not harmed):
        time.sleep(0.005)
        try:
            status, _, out = s.post("/predict", {"inputs": "hello world"})
            if status != 200 or out != want: harmed.append((status, out))
            served[0] += 1
        except OSError as e: harmed.append(e)
watcher = threading.Thread(target=well_behaved); watcher.start()

for name, make, right in KINDS: once(make(), wait=1)  # warm, before memory is looked at
files_before, memory_before = usage()
wrong = {}
begin = time.monotonic()
def abuse(first, last):
    for i in range(first, last):
        name, make, right = KINDS[i % len(KINDS)]
        data = make()
        how = rng.randrange(12)
        if how == 0:  # gone before the answer
            c = socket.create_connection(("127.0.0.1", s.port)); c.sendall(data[:200000]); c.close()
            continue
        status = once(data, half_close=how == 1, wait=1.5 if None in right else PATIENCE)
        if status not in right and not (how == 1 and status is None): wrong.setdefault(name, []).append(status)
workers = [threading.Thread(target=abuse, args=(requests * i // CLIENTS, requests * (i + 1) // CLIENTS)) for i in range(CLIENTS)]
for w in workers: w.start()
for w in workers: w.join()
check(f"{requests} malformed requests: right statuses", not wrong, {k: (len(v), v[:5]) for k, v in wrong.items()})

# slow clients, many at once, and clients that are killed
slow = []
for i in range(200):
    c = socket.create_connection(("127.0.0.1", s.port)); c.sendall(head(1000)[:rng.randrange(1, 60)] if i % 2 else head(1000) + b"{"); slow.append(c)
KILLED = f"""import socket, time
c = [socket.create_connection(("127.0.0.1", {s.port})) for _ in range(30)]
for x in c: x.sendall({with_body(json.dumps({"inputs": [["hello world " * 5]] * 20}).encode())!r})
print("sent", flush=True)
time.sleep(3600)"""
killers = [subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) for _ in range(4)]
for k in killers: k.stdout.readline(); k.send_signal(signal.SIGKILL); k.wait()
status, _, out = s.post("/predict", {"inputs": "hello world"})
check("slow and killed clients hold nobody up", status == 200 and out == want)


def is_cut_off(c):
    c.settimeout(30)  # half the time that a server gives them which was told no other
    with c:
        try: return c.recv(100) == b"" or c.recv(100) == b""
        except TimeoutError: return False
        except OSError: return True


check("slow ones are cut off", all([is_cut_off(c) for c in slow]))

if soak:
    end = time.monotonic() + soak
    while time.monotonic() < end: abuse(0, 200)
stopping.set(); watcher.join()
check("no harm to others", not harmed, served, harmed[:3])
check("no descriptors left", until(lambda: usage()[0] <= files_before + 3), files_before, usage())
files_after, memory_after = usage()
check("no memory left", checked or memory_after < memory_before + 24000, memory_before, memory_after)
check("nothing in the queue", until(lambda: s.metric("te_queue_size") == 0))
print(f"{requests} requests, {served[0]} good ones meanwhile, {time.monotonic() - begin:.0f} s, descriptors {files_before} -> {files_after}, memory {memory_before} -> {memory_after} kB")
check("stops", s.stop() == 0)
finish()
