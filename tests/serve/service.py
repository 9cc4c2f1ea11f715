"""What the server's tests share: models to serve, a running server, requests."""
import atexit, http.client, json, math, os, random, signal, socket, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from program import PATIENCE, check, finish, golden, large, model, rubato, run, until, work

JSON = {"Content-Type": "application/json"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Service:
    """A running server; its log is read by a thread, so that the pipe never fills."""

    def __init__(self, *arguments, env=None):
        self.log = []
        while not self.start(arguments, env) and any("cannot listen" in line for line in self.log): self.log.clear()
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def start(self, arguments, env):
        """Whether it serves: another program may have taken the port since it was free."""
        self.port = free_port()
        self.process = subprocess.Popen([rubato, "serve", *map(str, arguments), "--host", "127.0.0.1", "--port", str(self.port)],
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        atexit.register(self.process.kill)
        for line in self.process.stderr:
            self.log.append(line)
            if " serving " in line: return True
        return False

    def connect(self, timeout=PATIENCE): return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, connection=None):
        """Status, headers (lower case) and the body: parsed where it is JSON."""
        c = connection or self.connect()
        if body is not None and not isinstance(body, (bytes, str)): body = json.dumps(body)
        c.request(method, path, body=body.encode() if isinstance(body, str) else body, headers={**(JSON if body is not None else {}), **(headers or {})})
        r = c.getresponse()
        data = r.read()
        if not connection: c.close()
        kind = r.getheader("Content-Type") or ""
        return r.status, {k.lower(): v for k, v in r.getheaders()}, json.loads(data) if kind.startswith("application/json") and data else data.decode("utf-8", "replace")

    def post(self, path, body, **headers): return self.ask("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    def get(self, path, **headers): return self.ask("GET", path, None, {k.replace("_", "-"): v for k, v in headers.items()})

    def raw(self, data, wait=PATIENCE):
        """Sends bytes and returns everything that comes back until the server closes; None when it does not."""
        out = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as s:
            try:
                s.sendall(data)
                while got := s.recv(65536): out += got
            except TimeoutError: return None
            except OSError: pass  # closed before it had read everything
        return out

    def metric(self, name):
        text = self.get("/metrics")[2]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name) and line[len(name)] in " {")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return status


def one_label(folder):
    """Leaves the first column of a classifier: a cross-encoder."""
    path = os.path.join(folder, "model.safetensors")
    data = open(path, "rb").read()
    size = int.from_bytes(data[:8], "little")
    header, body, out = json.loads(data[8:8 + size]), data[8 + size:], b""
    for name, tensor in header.items():
        if name == "__metadata__": continue
        first, last = tensor["data_offsets"]
        part = body[first:last]
        if name.startswith("classifier."):
            part = part[:len(part) // tensor["shape"][0]]
            tensor["shape"][0] = 1
        tensor["data_offsets"] = [len(out), len(out) + len(part)]
        out += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.remove(path)
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + out)
    return folder


def points(folder, *keeps):
    """Gives a model operating points."""
    count = json.load(open(os.path.join(folder, "config.json")))["num_hidden_layers"]
    listed = [{"name": name, "quality": quality, "flops_ratio": ratio, "ms": None, "keep": [keep] * count} for name, quality, ratio, keep in keeps]
    json.dump({"significance": "received", "metric": "accuracy", "points": listed}, open(os.path.join(folder, "rubato.json"), "w"))
    return folder
