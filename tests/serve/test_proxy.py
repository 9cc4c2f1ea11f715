#!/usr/bin/env python3
"""Two replicas behind HAProxy with examples/haproxy.cfg: one is killed under load, one is stopped gracefully.

    test_proxy.py RUBATO GOLDEN_FOLDER

Says so and passes where haproxy is not installed. Prints 'N passed, N failed'.
"""
import http.client, json, os, shutil, signal, subprocess, sys, threading, time

from service import PATIENCE, Service, check, finish, free_port, model, until

haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
if not haproxy:
    print("haproxy is not installed: nothing was tried")
    sys.exit(0)
folder = model("bert", "BertForSequenceClassification", id2label={"0": "no", "1": "maybe", "2": "yes"})
start = lambda: Service(f"c={folder}", "--quiet", "--threads", "1")
replicas = [start(), start()]
config = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/haproxy.cfg")
stopping, lock = threading.Event(), threading.Lock()
results, in_flight = [], {"most": 0, "now": 0}
want = replicas[0].post("/predict", {"inputs": "hello"})[2]


def client():
    connection = None
    while not stopping.is_set():
        begin = time.monotonic()
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("POST", "/predict", body='{"inputs": "hello"}', headers={"Content-Type": "application/json"})
            r = connection.getresponse()
            body = r.read()
            why = None if r.status == 200 and json.loads(body) == want else (r.status, body[:100], r.getheaders())
            if r.status != 200: connection = None
        except (OSError, http.client.HTTPException) as e: why, connection = repr(e), None
        with lock: results.append((begin, time.monotonic(), why))


def ready(port):
    """Whether a server, or the proxy, answers there."""
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE); c.request("GET", "/ready")
        return c.getresponse().status == 200
    except (OSError, http.client.HTTPException): return False


def more(count):
    """Waits until so many more requests were answered."""
    before = len(results)
    return until(lambda: len(results) >= before + count)


while True:
    port = free_port()
    proxy = subprocess.Popen([haproxy, "-db", "-f", config], env={**os.environ, "RUBATO_PROXY_PORT": str(port), "RUBATO_ONE_PORT": str(replicas[0].port), "RUBATO_TWO_PORT": str(replicas[1].port)},
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if until(lambda: proxy.poll() is not None or ready(port)) and proxy.poll() is None: break  # else another program took the port
clients = [threading.Thread(target=client) for _ in range(8)]
for c in clients: c.start()
check("the proxy answers", more(200))
killed = time.monotonic()
replicas[0].process.send_signal(signal.SIGKILL)
replicas[0].process.wait()
gone = time.monotonic()
check("killed: the other goes on", more(200))
with lock: bad = [r for r in results if r[2]]
check("only what was in flight there fails", all(b <= gone and e >= killed for b, e, _ in bad) and len(bad) <= len(clients), len(bad), [(b - killed, e - killed, why) for b, e, why in bad][:10])
failed_by_kill = len(bad)

# the killed one comes back; the other is stopped gracefully
replicas[0].process = subprocess.Popen(replicas[0].process.args, stderr=subprocess.DEVNULL)
check("the killed one is asked again", until(lambda: ready(replicas[0].port)) and until(lambda: replicas[0].metric("te_request_success") > 0))
count, told = len(results), time.monotonic()
stopped = replicas[1].stop()
check("stopped gracefully: the other goes on", stopped == 0 and more(200), stopped, len(results) - count)
stopping.set()
for c in clients: c.join()
bad = [r for r in results[count:] if r[2]]
check("and nothing fails", not bad, [(b - told, e - told, why) for b, e, why in bad])
print(f"{len(results)} requests; {failed_by_kill} failed with the killed replica")
proxy.terminate(); proxy.wait()
replicas[0].process.kill()
finish()
