#!/usr/bin/env python3
"""What happens to the server from outside while it serves: files of its models are overwritten, it is told to load them
again, it is told to stop.

    test_changes.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, os, shutil, signal, socket, subprocess, sys, threading, time

from service import PATIENCE, Service, check, finish, free_port, large, model, rubato, run, until, work

LABELS = {"id2label": {"0": "no", "1": "maybe", "2": "yes"}, "label2id": {"no": 0, "maybe": 1, "yes": 2}}
TEXTS = ["hello world", "a world of words", "foo"]


def own(folder):
    """A folder with files of its own instead of links."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.islink(path):
            source = os.path.realpath(path)
            os.remove(path)
            shutil.copy(source, path)
    return folder


def file(folder, name="model.safetensors"): return os.path.join(folder, name)


def overwrite(path, data):
    """In place: the same inode, as cp does it."""
    with open(path, "r+b") as f:
        f.truncate(0)
        f.write(data)


# ---- A run that has not ended ----
stopped = own(model("bert", "BertModel"))
with open(file(stopped, "training.json"), "w") as f: f.write('{"ended": false}')
for quiet in ([], ["--quiet"]):
    s = Service(f"begun={stopped}", *quiet); s.stop()
    check(f"a model of a run that has not ended {quiet}", sum("rubato: warning: begun: " in line and "has not ended" in line for line in s.log) == (not quiet), s.log)

# ---- Files that are overwritten ----
embed, classify = own(model("bert", "BertModel")), own(model("bert", "BertForSequenceClassification", **LABELS))
small = os.path.join(work, "small")
r = run("quantize", classify, "--to", "int8", "--out", small); check("quantize", r.status == 0, r)
s = Service(f"embed={embed}", f"classify={classify}", f"small={small}", "--quiet")


def answers():
    return [s.post("/embed", {"inputs": TEXTS})[2]] + [s.post("/predict", {"inputs": [[t] for t in TEXTS], "model": name})[2] for name in ("classify", "small")]


def notices(name): return [line for line in s.log if f" {name}: " in line and "was changed" in line]


before = answers()
kept = {folder: open(file(folder), "rb").read() for folder in (embed, classify, small)}
check("nothing has changed yet", s.metric("rubato_model_changed") == 0 and not any("was changed" in line for line in s.log))
for how, change in [("cut short", lambda path: os.truncate(path, 100)), ("zeros", lambda path: overwrite(path, bytes(len(kept[embed])))), ("empty", lambda path: os.truncate(path, 0))]:
    for folder in kept: change(file(folder))
    check(f"weights that are {how}: the same answers", s.process.poll() is None and answers() == before, s.process.poll())
check("it is said once for each model", until(lambda: all(notices(n) for n in ("embed", "classify", "small"))) and all(len(notices(n)) == 1 for n in ("embed", "classify", "small")), s.log)
check("with the file's name and what to do", "model.safetensors" in notices("embed")[0] and f"kill -HUP {s.process.pid}" in notices("embed")[0], s.log)
check("and as a metric", s.metric("rubato_model_changed") == 3)
overwrite(file(classify, "config.json"), b"{")
check("another config.json: the same answers", answers() == before)

# ---- Reload ----
s.process.send_signal(signal.SIGHUP)
check("a reload that fails says why", until(lambda: sum("reload of" in line and "failed" in line for line in s.log) == 3) and any("classify" in line and "config.json" in line for line in s.log), s.log[-3:])
check("and keeps the loaded model", answers() == before)
for folder in kept: overwrite(file(folder), kept[folder])
config = json.load(open(file(embed, "config.json")))
config["architectures"] = ["BertForSequenceClassification"]
config.update(id2label={"0": "red", "1": "green", "2": "blue"}, label2id={"red": 0, "green": 1, "blue": 2})
overwrite(file(classify, "config.json"), json.dumps(config).encode())
s.process.send_signal(signal.SIGHUP)
check("files that are whole again are loaded", until(lambda: sum("reloaded" in line for line in s.log) == 3), s.log[-3:])
out = answers()
check("with what they say now", out[0] == before[0] and {o["label"] for o in out[1][0]} == {"red", "green", "blue"} and out[2] == before[2], out)
check("nothing has changed since", s.metric("rubato_model_changed") == 0)
os.truncate(file(embed), 10)
check("the next change is said again", until(lambda: len(notices("embed")) == 2), s.log[-3:])
check("stops", s.stop() == 0)

# the same protection for a long command
overwrite(file(embed), kept[embed])
want = run("embed", embed, "--json", stdin="\n".join(TEXTS) + "\n").out
p = subprocess.Popen([rubato, "embed", embed, "--json", "--in-memory", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
lines = []
reader = threading.Thread(target=lambda: lines.extend(p.stdout)); reader.start()
written = 0
def more(count):
    global written
    for _ in range(count):
        p.stdin.write(TEXTS[written % 3] + "\n")
        written += 1
while not lines and p.poll() is None: more(100)  # until the first chunk was answered
os.truncate(file(embed), 0)
more(10000)
p.stdin.close(); reader.join()
check("--in-memory", p.wait(PATIENCE) == 0 and len(lines) == written and lines == [want.splitlines(True)[i % 3] for i in range(written)], p.returncode, len(lines), written)

# ---- Being told to stop, at any moment ----
cache = os.path.join(work, "cache")
big = large(layers=3, hidden=256)


def measurements(): return sum(len(files) for _, _, files in os.walk(cache))


def start(*arguments):
    """A server that may not serve yet, and its log."""
    p = subprocess.Popen([rubato, "serve", *map(str, arguments), "--port", str(free_port())], stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_CACHE_HOME": cache})
    log = []
    threading.Thread(target=lambda: log.extend(p.stderr), daemon=True).start()
    return p, log


p, log = start(f"m={big}", "--slo", "10s")
check("measures the machine", until(lambda: any("measuring" in line for line in log)), log)
p.send_signal(signal.SIGTERM)
check("stops while it measures", p.wait(PATIENCE) == 0 and measurements() == 0 and until(lambda: any("stopped before it served" in line for line in log)), p.returncode, measurements(), log)
p, log = start(*[f"m{i}={big}" for i in range(30)])
mapped = lambda: "model.safetensors" in " ".join(os.readlink(f"/proc/{p.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{p.pid}/fd") if os.path.lexists(f"/proc/{p.pid}/fd/{fd}"))
def loading():
    try: return mapped()
    except OSError: return False
until(loading)
p.send_signal(signal.SIGINT)
check("stops while it loads", p.wait(PATIENCE) == 0 and until(lambda: any("stopped before it served" in line for line in log)), p.returncode, log)

s = Service(f"m={classify}", "--slo", "10s", "--quiet", env={"XDG_CACHE_HOME": cache})
check("a small model is measured soon", measurements() == 1)
for name in ("config.json", "model.safetensors"): overwrite(file(classify, name), open(file(big, name), "rb").read())
s.process.send_signal(signal.SIGHUP)
check("a reload measures a model of another shape", until(lambda: sum("measuring" in line for line in s.log) == 2), s.log)
check("and requests are answered meanwhile", s.post("/predict", {"inputs": "hello"})[0] == 200)
check("stops while it reloads", s.stop() == 0 and measurements() == 1 and not any("reloaded" in line for line in s.log), measurements(), s.log)

# ---- A request that is half there was not accepted ----
s = Service(f"m={small}", "--quiet")
half = socket.create_connection(("127.0.0.1", s.port))
half.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
kept = s.connect(); s.ask("GET", "/health", connection=kept)
begin = time.monotonic()
status = s.stop()
check("stops without the rest of a request", status == 0 and time.monotonic() < begin + 10, status, time.monotonic() - begin)  # it waits 20 s for answers
half.close()

# ---- What is accepted is answered; the second signal gives up ----
long = "a world of words " * 12


def flood(s, count):
    """Requests that keep the server busy, and their statuses."""
    out = []
    def one(): out.append(s.post("/predict", {"inputs": [[long]] * 32})[::2])
    threads = [threading.Thread(target=one) for _ in range(count)]
    for t in threads: t.start()
    until(lambda: s.metric("rubato_point_texts") + s.metric("te_queue_size") > 32 * (count - 1) + 16)  # all are accepted
    return threads, out


def stopping(s): return any("stopping" in line for line in s.log)


s = Service(f"m={big}", "--threads", 1, "--max-batch-tokens", 64, "--quiet")
threads, out = flood(s, 2)
s.process.send_signal(signal.SIGTERM)
status = s.process.wait(PATIENCE)
for t in threads: t.join()
check("accepted requests are answered", status == 0 and [o[0] for o in out] == [200, 200], status, [o[0] for o in out])
s = Service(f"m={big}", "--threads", 1, "--max-batch-tokens", 64, "--quiet")
threads, out = flood(s, 12)
s.process.send_signal(signal.SIGTERM)
until(lambda: stopping(s))
s.process.send_signal(signal.SIGTERM)
status = s.process.wait(PATIENCE)
for t in threads: t.join()
check("the second signal gives up what waits", status == 0 and len(out) == 12 and {status for status, _ in out} <= {200, 503} and 503 in {status for status, _ in out}, status, [o[0] for o in out])
check("and says so", any("given up" in line for line in s.log) and all("stopping" in body["error"] for status, body in out if status == 503), s.log[-3:], out[-1])
finish()
