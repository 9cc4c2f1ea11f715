"""The server, measured on the loopback with build/bench_load.

    bench/serve overhead    the server's throughput at saturation against the library's (rubato embed) on the same texts
    bench/serve deadline    random arrivals at 0.5 to 3 times the full model's capacity, with deadline control and without:
                            latency, refusals, accuracy on SST-2's dev set; writes docs/deadline-MODEL.svg
    bench/serve peers       the same texts to the OpenAI route of infinity-emb and llama.cpp's server (as far as they are
                            installed in the virtual environment --peers, which is made where it is missing)
    options: --model NAME=FOLDER (deadline; may be repeated; default models/sentiment and a BERT-base-sized one of random
             weights), --slo 50, --seconds 20, --data ../shared/data, --rounds 3

The program needs only Python's standard library; the peers have their own dependencies.
"""
import argparse, csv, json, math, os, random, shutil, signal, socket, statistics, subprocess, sys, time, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUBATO, LOAD, REAL = (os.path.join(ROOT, "build", x) for x in ("rubato", "bench_load", "models/all-MiniLM-L6-v2"))
WORK = os.path.join(ROOT, "build/serve")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, command, port, ready="/health", **more):
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(os.path.join(WORK, "server.log"), "w"), **more)
        for _ in range(1200):
            if self.process.poll() is not None: raise RuntimeError(f"{command[0]} ended: see build/serve/server.log")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=1).read()
                return
            except OSError: time.sleep(0.1)
        raise RuntimeError("the server does not answer")

    def __enter__(self): return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try: self.process.wait(20)
        except subprocess.TimeoutExpired: self.process.kill()


def rubato(model, *options):
    port = free_port()
    return Server([RUBATO, "serve", model, "--host", "127.0.0.1", "--port", str(port), "--quiet", *options], port)


def load(port, path, bodies, *options):
    """Rows of bench_load: body, status, due, ms, point, ratio, answer."""
    name = os.path.join(WORK, "bodies.jsonl")
    with open(name, "w") as f: f.writelines(json.dumps(b) + "\n" for b in bodies)
    p = subprocess.run([LOAD, str(port), path, name, *map(str, options)], capture_output=True, text=True, check=True)
    return [row.split("\t", 6) for row in p.stdout.splitlines()]


def quantile(values, q): return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else math.nan


def machine():
    return next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?") + f", {len(os.sched_getaffinity(0))} threads"


# ---- Overhead ----

def sst2(data):
    return list(csv.DictReader(open(os.path.join(data, "sst2/dev.tsv"), encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))


def overhead(a):
    texts = [r["sentence"].strip() for r in sst2(a.data)]
    path = os.path.join(WORK, "texts.txt")
    with open(path, "w") as f: f.writelines(t + "\n" for t in texts * 3)
    rows = []
    for _ in range(a.rounds):
        p = subprocess.run([RUBATO, "embed", REAL, path, "--cost", "--json"], capture_output=True, text=True, check=True)
        # a text's cost is its share of the compute time; all threads work, so the sum over threads is the time of one core
        alone = time.perf_counter()
        subprocess.run([RUBATO, "embed", REAL, path, "--output", os.path.join(WORK, "out.npy"), "--overwrite", "--quiet"], check=True)
        alone = len(texts) * 3 / (time.perf_counter() - alone)
        with rubato(REAL) as s:
            load(s.port, "/embed", [{"inputs": texts[0]}], "--concurrency", 1, "--seconds", 0.5)
            one = load(s.port, "/embed", [{"inputs": t} for t in texts], "--concurrency", 64, "--seconds", a.seconds / 2)
            many = load(s.port, "/v1/embeddings", [{"input": texts[i:i + 32], "encoding_format": "base64"} for i in range(0, len(texts) - 32, 32)], "--concurrency", 8, "--seconds", a.seconds / 2)
        seconds = a.seconds / 2
        rows.append((alone, sum(r[1] == "200" for r in one) / seconds, 32 * sum(r[1] == "200" for r in many) / seconds))
    alone, one, many = (statistics.median(column) for column in zip(*rows))
    print(f"all-MiniLM-L6-v2, SST-2 sentences, {machine()}, median of {a.rounds}\n")
    print("| | texts/s | of the library |\n|---|---|---|")
    for name, value in (("`rubato embed`, loading included", alone), ("server, one text a request (/embed, JSON floats)", one), ("server, 32 texts a request (/v1/embeddings, base64)", many)):
        print(f"| {name} | {value:.0f} | {100 * value / alone:.0f} % |")


# ---- Deadlines ----

def base_sized():
    """A classifier of BERT-base's shape: random weights, points whose lengths shrink evenly. Only its speed has a meaning."""
    folder = os.path.join(WORK, "base-sized")
    if os.path.exists(os.path.join(folder, "rubato.json")): return folder
    os.makedirs(folder, exist_ok=True)
    config = json.load(open(os.path.join(REAL, "config.json")))
    config.update(architectures=["BertForSequenceClassification"], hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
                  id2label={"0": "negative", "1": "positive"}, label2id={"negative": 0, "positive": 1})
    json.dump(config, open(os.path.join(folder, "config.json"), "w"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if os.path.exists(os.path.join(REAL, name)): shutil.copy(os.path.join(REAL, name), folder)
    d, f = 768, 3072
    shapes = {"embeddings.word_embeddings.weight": [config["vocab_size"], d], "embeddings.position_embeddings.weight": [config["max_position_embeddings"], d], "embeddings.token_type_embeddings.weight": [2, d],
              "embeddings.LayerNorm.weight": [d], "embeddings.LayerNorm.bias": [d], "pooler.dense.weight": [d, d], "pooler.dense.bias": [d]}
    for i in range(12):
        for name, out, into in (("attention.self.query", d, d), ("attention.self.key", d, d), ("attention.self.value", d, d), ("attention.output.dense", d, d), ("intermediate.dense", f, d), ("output.dense", d, f)):
            shapes[f"encoder.layer.{i}.{name}.weight"], shapes[f"encoder.layer.{i}.{name}.bias"] = [out, into], [out]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            for part in ("weight", "bias"): shapes[f"encoder.layer.{i}.{name}.{part}"] = [d]
    shapes = {"bert." + k: v for k, v in shapes.items()} | {"classifier.weight": [2, d], "classifier.bias": [2]}
    header, at, rng, signs = {}, 0, random.Random(1), bytes(0x3c if i < 128 else 0xbc for i in range(256))
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name], at = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}, at + size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            count = math.prod(shape)
            if "LayerNorm.weight" in name: out.write(b"\x80\x3f" * count)
            else:
                data = bytearray(2 * count)  # bfloat16 between 1/128 and 1/32, either sign
                data[0::2], data[1::2] = rng.randbytes(count), rng.randbytes(count).translate(signs)
                out.write(data)
    points = []
    for drop in (0.45, 0.35, 0.25, 0.15, 0.08, 0.03):
        keep = [(1 - drop) ** (i + 1) for i in range(12)]
        cost, before = 0, 1
        for k in keep: cost, before = cost + 4 * before + 8 * k, k
        points.append({"name": f"{cost / 144:.2f}x", "quality": None, "flops_ratio": cost / 144, "ms": None, "keep": keep})
    json.dump({"significance": "received", "metric": "accuracy", "points": points}, open(os.path.join(folder, "rubato.json"), "w"))
    return folder


def summary(rows, labels):
    good = [r for r in rows if r[1] == "200"]
    right = [('"label":"positive"' in r[6][:70]) == (labels[int(r[0])] == "1") for r in good]
    ms = [float(r[3]) for r in good]
    return {"requests": len(rows), "answered": len(good) / max(1, len(rows)), "p50": quantile(ms, 0.5), "p95": quantile(ms, 0.95), "p99": quantile(ms, 0.99), "accuracy": 100 * sum(right) / max(1, len(right)),
            "ratio": statistics.fmean(float(r[5]) for r in good) if good else math.nan}


def deadline_one(a, name, folder, judged):
    data = sst2(a.data)
    labels, bodies = [r["label"] for r in data], [{"inputs": r["sentence"].strip()} for r in data]
    precision = ["--precision", a.precision] if a.precision else []
    subprocess.run([RUBATO, "calibrate", folder, *precision, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with rubato(folder, *precision) as s:
        load(s.port, "/predict", bodies, "--concurrency", 2, "--seconds", 1)
        capacity = statistics.median(sum(r[1] == "200" for r in load(s.port, "/predict", bodies, "--concurrency", 32, "--seconds", 5)) / 5 for _ in range(3))
        exact = summary(load(s.port, "/predict", bodies, "--rate", capacity / 3, "--seconds", 3 * len(bodies) / capacity), labels)["accuracy"]
    results = []
    for control in (True, False):
        for times in a.loads:
            # without control the queue at 3 times the capacity never ends, and a shorter run shows as much
            with rubato(folder, *precision, *(["--slo", f"{a.slo}ms"] if control else ["--max-queue", "100000"])) as s:
                load(s.port, "/predict", bodies, "--concurrency", 2, "--seconds", 0.3)
                row = summary(load(s.port, "/predict", bodies, "--rate", f"{times * capacity:.2f}", "--seconds", a.seconds if control else min(a.seconds, 8), "--from", 7, "--seed", int(10 * times)), labels)
            results.append({"control": control, "times": times, **row})
    print(f"\n{name}: {capacity:.0f} texts/s at full quality" + (f", accuracy {exact:.2f}" if judged else "") + f"; {a.slo} ms promised; {machine()}\n")
    print("| load | deadline control | answered | p50 ms | p95 ms | p99 ms | of full cost |" + (" accuracy |" if judged else "") + "\n|---|---|---|---|---|---|---|" + ("---|" if judged else ""))
    for r in results:
        print(f"| {r['times']}x | {'yes' if r['control'] else 'no'} | {100 * r['answered']:.1f} % | {r['p50']:.1f} | {r['p95']:.1f} | {r['p99']:.1f} | {r['ratio']:.2f}x |" + (f" {r['accuracy']:.2f} |" if judged else ""))
    out = os.path.join(ROOT, "docs", f"deadline-{name}.svg")
    plot(out, name, results, a.slo, exact if judged else None)
    print(f"\nwrote {os.path.relpath(out, ROOT)}", file=sys.stderr)


def plot(path, name, results, slo, exact):
    """Draws latency against load, logarithmic, with and without control; below it the accuracy."""
    width, left, right, top = 720, 64, 150, 44
    heights = [230, 150] if exact else [230]
    loads = sorted({r["times"] for r in results})
    x = lambda t: left + (width - left - right) * (t - loads[0]) / (loads[-1] - loads[0])
    out = []

    def line(points, kind): out.append(f'<path class="{kind}" d="' + "".join(f"{'ML'[i > 0]}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(points)) + '"/>')

    def text(px, py, words, anchor="middle", kind=""): out.append(f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" class="{kind}">{words}</text>')

    with_control, without = [r for r in results if r["control"]], [r for r in results if not r["control"]]
    highest = max(r["p99"] for r in results)
    low, high = math.log10(2), math.log10(max(highest, slo * 2) * 1.2)
    y = lambda ms: top + heights[0] * (1 - (math.log10(max(ms, 2)) - low) / (high - low))
    text(left, 20, f"{name}: time from a request's arrival to its answer, under load", "start", "title")
    for ms in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000):
        if math.log10(ms) > high: break
        line([(left, y(ms)), (width - right, y(ms))], "grid")
        text(left - 8, y(ms) + 4, f"{ms} ms" if ms < 1000 else f"{ms // 1000} s", "end")
    line([(left, y(slo)), (width - right, y(slo))], "slo")
    text(width - right - 6, y(slo) - 5, f"promised: {slo:g} ms", "end", "slo-text")
    for rows, kind, words in ((without, "off", "without control"), (with_control, "on", "with control")):
        line([(x(r["times"]), y(r["p99"])) for r in rows], kind)
        line([(x(r["times"]), y(r["p50"])) for r in rows], kind + " thin")
        last = rows[-1]
        text(width - right + 8, y(last["p99"]) + 4, f"{words}, p99", "start", kind + "-text")
        if abs(y(last["p50"]) - y(last["p99"])) > 12: text(width - right + 8, y(last["p50"]) + 4, "median", "start", kind + "-text")
    bottom = top + heights[0]
    if exact:
        above, base = bottom + 56, bottom + 56 + heights[1]
        lowest = min(math.floor(min(r["accuracy"] for r in with_control)), math.floor(exact) - 2)
        z = lambda q: base - heights[1] * (q - lowest) / (math.ceil(exact) + 1 - lowest)
        text(left, above - 14, "accuracy on SST-2's dev set with control; numbers: the cost", "start", "title")
        for q in range(int(lowest), int(math.ceil(exact)) + 2):
            line([(left, z(q)), (width - right, z(q))], "grid")
            text(left - 8, z(q) + 4, f"{q} %", "end")
        line([(left, z(exact)), (width - right, z(exact))], "slo")
        text(width - right + 8, z(exact) + 4, "the full model", "start", "slo-text")
        line([(x(r["times"]), z(r["accuracy"])) for r in with_control], "on")
        for r in with_control: # the first and the last one do not leave the picture
            anchor = "start" if r is with_control[0] else "end" if r is with_control[-1] else "middle"
            text(x(r["times"]) + {"start": 4, "end": -4, "middle": 0}[anchor], z(r["accuracy"]) + 18, f"{r['ratio']:.2f}x", anchor, "on-text")
        bottom = base
    for t in loads: text(x(t), bottom + 20, f"{t:g}x")
    text((left + width - right) / 2, bottom + 40, "load, as a part of what the full model can answer")
    style = ("text{font:12px system-ui,sans-serif;fill:#6d675c}.title{font-size:14px;fill:#23211d}.grid{stroke:#e2ddd2}.slo{stroke:#23211d;stroke-dasharray:4 3;fill:none}.slo-text{fill:#23211d}"
             ".back{fill:#fff}.on{stroke:#b4541a;stroke-width:2;fill:none}.on-text{fill:#b4541a}.off{stroke:#0072b2;stroke-width:2;fill:none}.off-text{fill:#0072b2}.thin{stroke-width:1.2;stroke-dasharray:2 3}"
             "@media(prefers-color-scheme:dark){.back{fill:#191714}text{fill:#a39b8c}.title,.slo-text{fill:#ece7dd}.grid{stroke:#3a352e}.slo{stroke:#ece7dd}.on{stroke:#e98b4d}.on-text{fill:#e98b4d}.off{stroke:#56b4e9}.off-text{fill:#56b4e9}}")
    with open(path, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 54}" width="{width}" height="{bottom + 54}" role="img"><title>{name}: latency under load</title><style>{style}</style><rect class="back" width="{width}" height="{bottom + 54}"/>' + "\n".join(out) + "</svg>\n")


def deadline(a):
    models = [m.split("=", 1) for m in a.model] or [["sentiment", os.path.join(ROOT, "models/sentiment")], ["base-sized", base_sized()]]
    for name, folder in models: deadline_one(a, name, folder, "base-sized" not in name)


# ---- Other servers ----

def peers(a):
    venv = os.path.abspath(a.peers)
    python = os.path.join(venv, "bin/python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        for package in ("infinity-emb[server,torch,optimum]", "optimum[onnxruntime]==1.24.0 transformers<4.49 numpy<2", "llama-cpp-python[server]"):
            if subprocess.run([python, "-m", "pip", "install", "-q", *package.split()]).returncode: print(f"serve: {package} does not install here", file=sys.stderr)
    gguf, threads = os.path.join(ROOT, "build/peers/model-f32.gguf"), str(len(os.sched_getaffinity(0)))
    servers = {"Rubato": lambda: rubato(REAL)}

    def infinity(model, engine, *options):
        port = free_port()
        return Server([os.path.join(venv, "bin/infinity_emb"), "v2", "--model-id", model, "--engine", engine, "--device", "cpu", "--batch-size", "32", "--port", str(port), *options], port,
                      env={**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"})

    def with_onnx():
        """The model's folder with the ONNX file that bench/peers made of it, at the path that infinity expects."""
        folder = os.path.join(WORK, "with-onnx")
        if not os.path.exists(folder):
            shutil.copytree(REAL, folder)
            os.makedirs(os.path.join(folder, "onnx"), exist_ok=True)
            shutil.copy(os.path.join(ROOT, "build/peers/model.onnx"), os.path.join(folder, "onnx/model.onnx"))
        return folder

    llama_python = next((p for p in (python, os.path.join(ROOT, "build/peers/venv/bin/python")) if os.path.exists(p) and subprocess.run([p, "-c", "import llama_cpp.server.app"], capture_output=True).returncode == 0), None)

    def llama():
        port = free_port()
        return Server([llama_python, "-m", "llama_cpp.server", "--model", gguf, "--embedding", "true", "--n_threads", threads, "--n_threads_batch", threads, "--n_ctx", "512", "--n_batch", "512", "--port", str(port)], port, ready="/v1/models")

    if os.path.exists(os.path.join(venv, "bin/infinity_emb")):
        servers["infinity-emb (torch)"] = lambda: infinity(REAL, "torch", "--dtype", "float32", "--no-bettertransformer")
        if os.path.exists(os.path.join(ROOT, "build/peers/model.onnx")): servers["infinity-emb (ONNX Runtime)"] = lambda: infinity(with_onnx(), "optimum")
    if llama_python and os.path.exists(gguf): servers["llama.cpp (llama-cpp-python)"] = llama
    texts = [r["sentence"].strip() for r in sst2(a.data)]
    shapes = {"1 text a request, 32 at a time": ([{"input": t, "model": "m"} for t in texts], 32, 1), "16 texts a request, 4 at a time": ([{"input": texts[i:i + 16], "model": "m"} for i in range(0, 864, 16)], 4, 16)}
    results = {}
    for _ in range(a.rounds):
        for name, start in list(servers.items()):
            try:
                with start() as s:
                    for shape, (bodies, at_once, each) in shapes.items():
                        path = "/embeddings" if name.startswith("infinity") else "/v1/embeddings"
                        load(s.port, path, bodies, "--concurrency", at_once, "--seconds", 1.5)
                        rows = load(s.port, path, bodies, "--concurrency", at_once, "--seconds", a.seconds / 2)
                        good = [r for r in rows if r[1] == "200"]
                        if not good: raise RuntimeError(rows[:1])
                        results.setdefault((name, shape), []).append((each * len(good) / (a.seconds / 2), quantile([float(r[3]) for r in good], 0.5)))
            except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                print(f"serve: {name}: {e}", file=sys.stderr)
                servers.pop(name)
                shutil.copy(os.path.join(WORK, "server.log"), os.path.join(WORK, f"server-{name.split()[0]}.log"))
    print(f"\nall-MiniLM-L6-v2, f32, SST-2 sentences to /v1/embeddings, {machine()}, median of {a.rounds}\n\n| | " + " | ".join(f"{s}: texts/s | median ms" for s in shapes) + " |\n|---|" + "---|" * 4)
    for name in dict.fromkeys(n for n, _ in results):
        print(f"| {name} | " + " | ".join(f"{statistics.median(r[0] for r in results[name, s]):.0f} | {statistics.median(r[1] for r in results[name, s]):.1f}" if (name, s) in results else "– | –" for s in shapes) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "deadline", "peers", "all"])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--slo", type=float, default=50)
    parser.add_argument("--precision", help="of the products (deadline): f32, bf16 or int8")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loads", type=lambda t: [float(x) for x in t.split(",")], default=[0.5, 1, 1.5, 2, 3])
    parser.add_argument("--data", default=os.path.join(ROOT, "../shared/data"))
    parser.add_argument("--peers", default=os.path.join(WORK, "venv"))
    a = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    for name, run in (("overhead", overhead), ("deadline", deadline), ("peers", peers)):
        if a.what in (name, "all"): run(a)


main()
