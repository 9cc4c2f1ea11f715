#!/usr/bin/env python3
"""What documents and help texts say can be typed runs as it stands: the commands of every fenced block, the examples of every
--help, and the options of commands within sentences.

    test_documents.py RUBATO GOLDEN_FOLDER [--verbose] [DOCUMENT|COMMAND...]

Each document has a folder as a user has it after scripts/quickstart, with small models and data under the names that the
texts use. Prints 'N passed, N failed'.
"""
import glob, gzip, json, os, random, re, shlex, shutil, signal, socket, struct, subprocess, sys, time, urllib.request

from program import PATIENCE, check, finish, golden, large, model, points, rubato, run, until, work

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
DOCUMENTS = [os.path.relpath(f, ROOT) for p in ("*.md", "docs/*.md", "models/*/README.md") for f in sorted(glob.glob(os.path.join(ROOT, p)))]
random.seed(1)

# Commands that do not run here, and why. Their options are checked all the same.
NOT_RUN = [(r"scripts/", "installs packages, and builds"),
           (r"bench/", "takes minutes, and other engines"),
           (r"cmake ", "builds; scripts/test installs"),
           (r"rubato pull ", "needs the network"),
           (r"rubato calibrate .*--check", "measures for a minute; other tests calibrate"),
           (r"rubato serve ", "does not end; the server of docs/serving.md runs below"),
           (r"curl ", "asks that server, below"),
           (r"HF_ENDPOINT=\S+ HF_TOKEN=\S+ rubato pull ", "needs the network"),
           (r".* \| man -l -$", None if shutil.which("man") else "man is not installed"),
           (r"rubato train (config|electra).json .* --steps 20000", "pre-trains for minutes; other tests do so for fewer steps"),
           (r".* --budget @", "the names of points depend on the search")]
# Names of values in help texts, and a value for each.
VALUES_OF_NAMES = {"P": "int8", "B": "full"}


# ---- A user's folder ----

POSITIONS = 128  # as many as an example asks for: measuring takes longer with every length


def with_positions(architecture, **config):
    """A golden model that takes longer texts: its table of positions, repeated."""
    count = POSITIONS
    folder = model("bert", architecture, max_position_embeddings=count, **config)
    file = os.path.join(folder, "model.safetensors")
    data = open(file, "rb").read()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:end]), b""
    for name, entry in header.items():
        if name == "__metadata__": continue
        bytes_of = data[end + entry["data_offsets"][0]:end + entry["data_offsets"][1]]
        if "position_embeddings" in name:
            row = len(bytes_of) // entry["shape"][0]
            bytes_of = (bytes_of * (count * row // len(bytes_of) + 1))[:count * row]
            entry["shape"][0] = count
        entry["data_offsets"] = [len(body), len(body) + len(bytes_of)]
        body += bytes_of
    text = json.dumps(header).encode()
    os.remove(file)
    open(file, "wb").write(struct.pack("<Q", len(text)) + text + body)
    return folder


def named(*labels): return {"id2label": {str(i): l for i, l in enumerate(labels)}, "label2id": {l: i for i, l in enumerate(labels)}}


def embedding_model():
    folder = with_positions("BertModel")
    json.dump({"prompts": {"query": "a "}}, open(os.path.join(folder, "config_sentence_transformers.json"), "w"))
    return folder


def deep_model():
    """Six layers, with labels that the data have."""
    folder = large(hidden=32, positions=POSITIONS)
    file = os.path.join(folder, "config.json")
    config = json.load(open(file))
    json.dump({**config, **named("negative", "positive")}, open(file, "w"))
    return folder


def with_points(folder):
    """The points that a search finds on a model that has learnt something: random models answer everything alike."""
    layers = json.load(open(os.path.join(folder, "config.json")))["num_hidden_layers"]
    points(folder, layers, **{"0.60x": {"flops_ratio": 0.6, "keep": [0.5] * layers}, "0.30x": {"flops_ratio": 0.3, "quality": 0.49, "keep": [0.2] * layers}})
    file = os.path.join(folder, "rubato.json")
    notes = json.load(open(file))
    json.dump({**notes, "full_quality": 0.5, "full_ms": None}, open(file, "w"))
    return folder


heads = {"classify": with_positions("BertForSequenceClassification", **named("negative", "positive", "mixed")), "tag": with_positions("BertForTokenClassification", **named("O", "B-PER", "B-MISC")),
         "answer": with_positions("BertForQuestionAnswering"), "fill": with_positions("BertForMaskedLM"), "generate": with_positions("BertLMHeadModel", is_decoder=True),
         "zero-shot": with_positions("BertForSequenceClassification", **named("contradiction", "neutral", "entailment"))}
for task in ("classify", "zero-shot"): with_points(heads[task])
embedder, deep, elastic = embedding_model(), deep_model(), with_points(deep_model())
heads["train"] = heads["trim"] = heads["adapt"] = deep
heads["augment"] = heads["fill"]
OF_TASK = {"classification": "classify", "tagging": "tag"}  # of eval


def text(): return " ".join(random.choice("abcdefghij") for _ in range(random.randint(2, 9)))


def rows(count): return [(t, "positive" if t.count("a") > t.count("b") else "negative") for t in (text() for _ in range(count))]


def write(folder, name, content):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if name.endswith(".gz"): gzip.open(path, "wt").write(content)
    else: open(path, "w").write(content)


def prepare(name, command, header):
    """A folder with everything that the texts name. `header`: of the column of texts."""
    folder = os.path.join(work, "user", name)
    os.makedirs(os.path.join(folder, "build/models"))
    for target, link in ((rubato, "build/rubato"), (embedder, "build/models/all-MiniLM-L6-v2"), (os.path.join(ROOT, "examples"), "examples"), (os.path.join(ROOT, "models"), "models"),
                         (heads.get(command, embedder), "MODEL"), (elastic, "ELASTIC")):
        os.symlink(target, os.path.join(folder, link))
    for link, source in (("sst2", deep), ("electra", deep), ("sst2-la", deep if command == "search" else elastic)): shutil.copytree(source, os.path.join(folder, link))
    if command == "memory":
        shutil.copytree(os.path.join(golden, "memory/res"), os.path.join(folder, "rich"))
        for run_of in ("pkm", "res"): write(folder, f"runs/{run_of}/metrics.jsonl", "".join(json.dumps({"step": s, "memory": [{"layer": 1, "used_first": 0.1 * s}]}) + "\n" for s in range(3)))
    for table in ("train.tsv", "dev.tsv", "unused.tsv", "apart.tsv", "sst2/train.tsv", "sst2/dev.tsv"):
        write(folder, table, f"{header}\tlabel\n" + "".join(f"{t}\t{l}\n" for t, l in rows(20)))
    lines = "".join(text() + "\n" for _ in range(12))
    for file in ("texts.txt", "reviews.txt", "queries.txt", "documents.txt", "bbc300.txt", "book.txt", "beginnings.txt"): write(folder, file, lines)
    for file in ("wiki.txt", "wiki.txt.gz", "news.txt", "korean.txt"): write(folder, file, lines)
    write(folder, "config.json", json.dumps({"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64}))
    write(folder, "long.txt", " ".join(text() for _ in range(100)) + "\n")
    write(folder, "masked.txt", "a [MASK] b\n")
    write(folder, "reviews.csv.gz", "id,review\n" + "".join(f"{i},{text()}\n" for i in range(5)))
    write(folder, "corpus.csv.gz", "id,body\n" + "".join(f"{i},{text()}\n" for i in range(5)))
    for file, key in (("corpus.jsonl", "_id"), ("queries.jsonl", "_id")): write(folder, file, "".join(json.dumps({key: str(i), "text": text()}) + "\n" for i in range(5)))
    for file in ("corpus.jsonl", "queries.jsonl"): write(folder, "cranfield/" + file, open(os.path.join(folder, file)).read())
    write(folder, "cranfield/qrels.tsv", "query-id\tcorpus-id\tscore\n0\t1\t1\n1\t2\t1\n")
    write(folder, "articles.jsonl", "".join(json.dumps({"text": " ".join(text() for _ in range(30))}) + "\n" for _ in range(3)))
    write(folder, "questions.jsonl", json.dumps({"question": "a b", "context": " ".join(text() for _ in range(60))}) + "\n")
    for file in ("train.conll", "dev.conll"): write(folder, file, "".join("".join(f"{w} {'B-PER' if w == 'a' else 'O'}\n" for w in text().split()) + "\n" for _ in range(20)))
    write(folder, "sts-dev.csv", "".join(f"main,news,2012,{i},{i % 6}.0,{text()},{text()}\n" for i in range(8)))
    # the home: a model that was pulled, and the folders of shells
    repository = os.path.join(folder, "home/.cache/huggingface/hub/models--org--name")
    write(repository, "refs/main", "1234567")
    os.makedirs(os.path.join(repository, "snapshots"))
    os.symlink(embedder, os.path.join(repository, "snapshots/1234567"))
    for shell in (".local/share/bash-completion/completions", ".config/fish/completions"): os.makedirs(os.path.join(folder, "home", shell))
    return folder


def environment(folder, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "RUBATO_"))}
    return {**kept, "HOME": os.path.join(folder, "home"), "PATH": os.path.join(folder, "build") + ":" + os.environ["PATH"], "MODEL": "build/models/all-MiniLM-L6-v2", "KEY": "secret", **more}


# ---- Commands ----

def blocks(document):
    """The commands of each fenced block. In a block with prompts, lines without one are output."""
    for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", document, re.M | re.S):
        lines = [l for l in body.splitlines() if l.strip()]
        prompted = [l[2:] for l in lines if l.startswith("$ ")]
        commands = prompted or [l for l in lines if re.match(r"(rubato|scripts/|bench/|build/|cmake|curl|echo|printf|export|#) ?", l)]
        if kind in ("", "sh", "bash", "console") and commands: yield [c for c in commands if not c.startswith("#")]


def sentences(document):
    """The commands with options within sentences; "..." stands for words that were said before."""
    found = re.findall(r"`((?:build/)?rubato [a-z-]+ [^`]*)`", re.sub(r"^```.*?^```", "", document, flags=re.M | re.S))
    return [c.replace("\n", " ") for c in found]


def reason_not_to_run(command): return next((why for pattern, why in NOT_RUN if re.match(pattern, command)), None)


def takes_options(where, command):
    """Whether the program knows every option, and takes its value. Help is printed after all of them were read."""
    for part in command.split(" | "):
        words = [VALUES_OF_NAMES.get(w, w) for w in shlex.split(part.split(" > ")[0], comments=True) if w != "..."]
        while words and re.match(r"[A-Z_]+=", words[0]): words = words[1:]
        if not words or os.path.basename(words[0]) != "rubato" or "COMMAND" in words: continue
        if words[-1].startswith("--"): continue  # an option that is named alone
        r = run(*words[1:], "--help")
        check(f"{where}: {command}: options", r.status == 0, r)


def run_line(where, folder, command, **more):
    r = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment(folder, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5 * PATIENCE)
    check(f"{where}: {command}", r.returncode == 0, f"status {r.returncode}", "out: " + r.stdout, "err: " + r.stderr)


seen = set()


def try_command(where, folder, command):
    takes_options(where, command)
    why = reason_not_to_run(command)
    if command.startswith(("scripts/", "bench/")):
        file = os.path.join(ROOT, command.split()[0])
        check(f"{where}: {command} is there", os.access(file, os.X_OK))
    if not why and not command.startswith("export "):
        begin = time.monotonic()
        run_line(where, folder, command)
        searched = re.match(r"rubato search (\S+)", command)
        if searched: with_points(os.path.join(folder, searched[1]))
        if "--verbose" in sys.argv: print(f"{time.monotonic() - begin:6.1f} s  {where}: {command}")
    seen.add(command)


only = [w for w in sys.argv[3:] if w != "--verbose"]

for name in DOCUMENTS:
    if only and name not in only: continue
    document = open(os.path.join(ROOT, name), encoding="utf-8").read()
    folder = prepare(name.replace("/", "-"), "train", "text")
    for block in blocks(document):
        for command in block: try_command(name, folder, command)
    for command in sentences(document): takes_options(name, command)

listed = re.findall(r"^  ([a-z-]+) {2,}", run("--help").out.split("Commands:")[1], re.M)
for name in listed:
    if only and name not in only: continue
    folder = prepare("help-" + name, name, "sentence")
    examples = [l.strip() for l in run(name, "--help").out.split("\nExamples:\n")[1].splitlines() if l.startswith("  ")]
    check(f"{name} --help has examples", examples)
    for command in examples:
        task = re.search(r"eval MODEL --task (\w+)", command)
        if task:
            os.remove(os.path.join(folder, "MODEL"))
            os.symlink(heads.get(OF_TASK.get(task[1]), embedder), os.path.join(folder, "MODEL"))
        # examples are choices: what one made is not there for the next
        out = re.search(r"--out (\S+)", command)
        if out: shutil.rmtree(os.path.join(folder, out[1]), ignore_errors=True)
        if name == "search":
            shutil.rmtree(os.path.join(folder, "sst2-la"))
            shutil.copytree(deep, os.path.join(folder, "sst2-la"))
        try_command(f"{name} --help", folder, command)

check("commands were found", only or len(seen) > 70, len(seen))

# ---- The server of docs/serving.md ----

if not only or "docs/serving.md" in only:
    folder = os.path.join(work, "user/docs-serving.md")
    # measuring models/sentiment takes a minute; commands of other documents run it
    os.remove(os.path.join(folder, "models"))
    os.makedirs(os.path.join(folder, "models"))
    os.symlink(heads["classify"], os.path.join(folder, "models/sentiment"))
    block = next(b for b in blocks(open(os.path.join(ROOT, "docs/serving.md"), encoding="utf-8").read()) if b[0].startswith("rubato serve"))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    server = subprocess.Popen(["bash", "-c", "exec " + block[0]], cwd=folder, env=environment(folder, PORT=port), stderr=subprocess.DEVNULL)


    def answers():
        try: return urllib.request.urlopen(f"http://localhost:{port}/health", timeout=5).status == 200
        except OSError: return server.poll() is not None


    until(answers) or until(answers)  # it measures the machine first
    for command in block[1:]:
        if command.startswith("curl") and shutil.which("curl"): run_line("docs/serving.md", folder, command.replace("curl ", "curl --fail --silent ").replace("localhost:3000", f"localhost:{port}"))
    server.send_signal(signal.SIGTERM)
    check("the server ends", server.wait(PATIENCE) == 0, server.returncode)

finish()
