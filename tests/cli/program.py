"""What the tests of the program share: running it, and counting what holds."""
import json, os, shutil, subprocess, sys, tempfile

rubato, golden = map(os.path.abspath, sys.argv[1:3])
work = tempfile.mkdtemp(prefix="rubato-cli-")
passed = failed = 0


def check(what, condition, *context):
    global passed, failed
    if condition: passed += 1
    else:
        failed += 1
        print(f"FAILED {what}", *(str(c)[:600] for c in context), sep="\n    ")


class Result:
    def __init__(self, p): self.status, self.out, self.err = p.returncode, p.stdout, p.stderr
    def json(self): return [json.loads(line) for line in self.out.splitlines()]
    def __str__(self): return f"status {self.status}\n    out: {self.out}\n    err: {self.err}"


def run(*arguments, stdin="", env=None, cwd=None):
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    p = subprocess.run([rubato, *map(str, arguments)], input=data, capture_output=True, env={**os.environ, **(env or {})}, cwd=cwd, timeout=300)
    p.stdout, p.stderr = p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")
    # the small models hold every head, of which each run uses one
    p.stderr = "".join(l for l in p.stderr.splitlines(True) if " are not used" not in l)
    return Result(p)


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


def one_line(r): return r.err.startswith("rubato: ") and r.err.count("\n") == 1


def finish():
    shutil.rmtree(work)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
