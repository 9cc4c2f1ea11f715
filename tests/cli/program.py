"""What the tests of the program share: running it, and counting what holds."""
import json, math, os, random, shutil, signal, subprocess, sys, tempfile, time

PATIENCE = 120  # seconds for what takes far less on an idle machine: on a busy one nothing may fail for being late
rubato, golden = map(os.path.abspath, sys.argv[1:3])
work = tempfile.mkdtemp(prefix="rubato-cli-")
passed = failed = 0


def check(what, condition, *context):
    global passed, failed
    if condition: passed += 1
    else:
        failed += 1
        print(f"FAILED {what}", *(str(c)[:600] for c in context), sep="\n    ")


def until(condition):
    """Waits until the condition holds, at most PATIENCE; returns what it gave at last."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()) and time.monotonic() < end: time.sleep(0.01)
    return value


class Result:
    def __init__(self, p): self.status, self.out, self.err = p.returncode, p.stdout, p.stderr
    def json(self): return [json.loads(line) for line in self.out.splitlines()]
    def __str__(self): return f"status {self.status}\n    out: {self.out}\n    err: {self.err}"


def run(*arguments, stdin="", env=None, cwd=None):
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    p = subprocess.run([rubato, *map(str, arguments)], input=data, capture_output=True, env={**os.environ, **(env or {})}, cwd=cwd, timeout=5 * PATIENCE)
    p.stdout, p.stderr = p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")
    # the small models hold every head, of which each run uses one
    p.stderr = "".join(l for l in p.stderr.splitlines(True) if " are not used" not in l)
    return Result(p)


def renew(*arguments, **more):
    """Runs a command that writes a folder, whatever an earlier test left there."""
    return run(*arguments, *([] if "--resume" in arguments else ["--overwrite"]), **more)


def candidates(folder):
    """The candidates of a search; the first line of its log says what they were judged on."""
    return [json.loads(line) for line in open(os.path.join(folder, "search.jsonl"))][1:]


def isas():
    """The instruction sets that this machine has."""
    return [isa for isa in ("scalar", "neon", "dotprod", "i8mm", "avx2", "avxvnni", "avx512", "vnni", "bf16", "amx") if run("info", os.path.join(golden, "bert"), "--isa", isa).status == 0]


def interrupt(process, ready):
    """Sends Ctrl-C as soon as `ready` holds; what it printed."""
    while process.poll() is None and not ready(): time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    return process.communicate()


def kill(process, ready):
    """Ends the process at once as soon as `ready` holds."""
    while process.poll() is None and not ready(): time.sleep(0.001)
    process.kill()
    process.wait()


# ---- Files, and made-up texts ----

letters = list("abcdefghij")


def path(name): return os.path.join(work, name)


def read(name): return open(path(name), "rb").read()


def lines_of(name): return read(name).count(b"\n") if os.path.exists(path(name)) else 0


def write(name, text):
    with open(path(name), "w", encoding="utf-8") as f: f.write(text)
    return path(name)


def texts(count, letters=letters, most=12): return [[random.choice(letters) for _ in range(random.randint(2, most))] for _ in range(count)]


def label(w): return "pos" if w.count("a") > w.count("b") else "neg"


def easy(w): return "pos" if "a" in w else "neg"  # half of the texts; a small model learns it in some 50 steps


def write_labelled(name, rows, label=label): return write(name, "sentence\tlabel\n" + "".join(f"{' '.join(w)}\t{label(w)}\n" for w in rows))


def points(folder, layers, **named):
    """Operating points of every layer and row but for what each says."""
    file = os.path.join(folder, "rubato.json")
    notes = json.load(open(file)) if os.path.exists(file) else {}
    notes["points"] = [{"name": n, "quality": 0.5, "flops_ratio": 0.5, "ms": None, "keep": [1] * layers, **what} for n, what in named.items()]
    json.dump(notes, open(file, "w"))


# ---- Models ----

def model(family, architecture, **changes):
    """A golden model with another head."""
    folder = os.path.join(work, f"{family}-{architecture}-{len(os.listdir(work))}")
    os.makedirs(folder)
    source = os.path.join(golden, family)
    config = json.load(open(os.path.join(source, "config.json")))
    config["architectures"] = [architecture]
    config.update(changes)
    json.dump(config, open(os.path.join(folder, "config.json"), "w"))
    for name in ("model.safetensors", "tokenizer.json"): os.symlink(os.path.join(source, name), os.path.join(folder, name))
    return folder


def large(labels=2, layers=6, hidden=384, positions=256):
    """A classifier of random weights that takes milliseconds, with a golden model's tokenizer."""
    folder = model("bert", "BertForSequenceClassification", num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=hidden // 32, intermediate_size=4 * hidden,
                   max_position_embeddings=positions, id2label={str(i): f"l{i}" for i in range(labels)}, label2id={f"l{i}": i for i in range(labels)})
    config = json.load(open(os.path.join(folder, "config.json")))
    shapes = {"embeddings.word_embeddings.weight": [config["vocab_size"], hidden], "embeddings.position_embeddings.weight": [positions, hidden],
              "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], hidden]}
    def linear(name, out, into): shapes.update({name + ".weight": [out, into], name + ".bias": [out]})
    linear("embeddings.LayerNorm", hidden, 0)
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name in ("query", "key", "value"): linear(f"{at}attention.self.{name}", hidden, hidden)
        linear(at + "attention.output.dense", hidden, hidden)
        linear(at + "intermediate.dense", 4 * hidden, hidden)
        linear(at + "output.dense", hidden, 4 * hidden)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"): linear(at + name, hidden, 0)
    linear("pooler.dense", hidden, hidden)
    shapes = {"bert." + name: shape for name, shape in shapes.items()}
    shapes.update({"classifier.weight": [labels, hidden], "classifier.bias": [labels]})
    header, body, source = {}, b"", random.Random(1)
    signs = bytes(0x3c if i < 128 else 0xbc for i in range(256))  # bfloat16 between 1/128 and 1/32, either sign
    for name, shape in shapes.items():
        if shape[-1:] == [0]: shape = shape[:1]
        count = math.prod(shape)
        data = bytearray(2 * count)
        data[0::2], data[1::2] = source.randbytes(count), source.randbytes(count).translate(signs)
        if "LayerNorm.weight" in name: data = b"\x80\x3f" * count
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += bytes(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = os.path.join(folder, "model.safetensors")
    os.remove(path)
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + body)
    return folder


def one_line(r): return r.err.startswith("rubato: ") and r.err.count("\n") == 1


def finish():
    shutil.rmtree(work)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
