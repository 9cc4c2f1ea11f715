"""Shared by the benchmarks that train: runs Rubato, and does not repeat finished parts."""
import json, math, os, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = f"{ROOT}/../shared/data"
MODEL = f"{ROOT}/build/models/all-MiniLM-L6-v2"
RUBATO = f"{ROOT}/build/rubato"


class Program:
    def __init__(self, path=RUBATO):
        self.path = path
        self.fast = None

    def call(self, *arguments):
        """Runs a command; returns the objects that it prints."""
        line = [self.path, *map(str, arguments)]
        print("$ " + " ".join(line), file=sys.stderr, flush=True)
        p = subprocess.run([*line, "--json"], stdout=subprocess.PIPE, text=True)
        if p.returncode: sys.exit(f"{os.path.basename(sys.argv[0])}: {arguments[0]} failed")
        return [json.loads(row) for row in p.stdout.splitlines()]

    def once(self, mark, *arguments):
        """The same, unless the file `mark` shows that it was done."""
        if os.path.exists(mark): return
        self.call(*arguments)
        open(mark, "w").close()

    def precision(self, model):
        """The fastest precision for training on this processor: bf16 where it has the instructions."""
        if not self.fast: self.fast = "bf16" if self.call("info", model)[0]["isa"] in ("bf16", "amx") else "f32"
        return ["--precision", self.fast]

    def judge(self, mark, model, task, data, *more):
        """The metrics of a model on some data; the file `mark` keeps them."""
        if not os.path.exists(mark):
            found = self.call("eval", model, "--task", task, "--data", data, *more, "--quiet")[0]
            with open(mark, "w") as f: json.dump(found, f)


def percent(mark, metric):
    """A metric that judge kept, in per cent."""
    return 100 * json.load(open(mark))["metrics"][metric]


def cell(values):
    """The mean of several seeds and its standard error; one value as it is."""
    if len(values) < 2: return f"{values[0]:.2f}" if values else ""
    m = sum(values) / len(values)
    return f"{m:.2f} ± {math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1) / len(values)):.2f}"
