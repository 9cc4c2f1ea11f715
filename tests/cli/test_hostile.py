#!/usr/bin/env python3
"""What stands in the place of a file: pipes, folders, devices, links in a circle, large files with nothing in them. And texts
and tokenizers that could take much memory.

    test_hostile.py RUBATO GOLDEN_FOLDER
"""
import gzip, json, os, resource, subprocess, sys, time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from program import check, finish, golden, model, one_line, rubato, run, work


# ---- Files of a model ----

def pipe(path): os.mkfifo(path)
def circle(path): os.symlink(os.path.basename(path), path)
def device(path): os.symlink("/dev/zero", path)
def sparse(path):
    with open(path, "wb") as f: f.truncate(1 << 41)


KINDS = {"pipe": pipe, "folder": os.mkdir, "device": device, "circle": circle, "sparse": sparse}
FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "pytorch_model.bin", "rubato.json",
         "modules.json", "adapter_config.json", "config_sentence_transformers.json"]

for name in FILES:
    for kind, make in KINDS.items():
        folder = model("bert", "BertModel")
        path = os.path.join(folder, name)
        if name == "pytorch_model.bin": os.remove(os.path.join(folder, "model.safetensors"))
        if os.path.lexists(path): os.remove(path)
        make(path)
        begin = time.monotonic()
        r = run("info", folder, stdin="") if "config" in name else run("embed", folder, stdin="a\n")
        seconds = time.monotonic() - begin
        check(f"{name} is a {kind}", r.status == 1 and one_line(r) and name in r.err and seconds < 30, r, seconds)
        if kind == "pipe": check(f"{name}: what it is", "not a regular file" in r.err, r)

folder = model("bert", "BertModel")
json.dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
           {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}],
          open(os.path.join(folder, "modules.json"), "w"))
os.mkfifo(os.path.join(folder, "1_Pooling"))
r = run("embed", folder, stdin="a\n")
check("a module's folder is a pipe", r.status == 1 and one_line(r) and "1_Pooling" in r.err, r)

# ---- Data and texts ----

rows = "text\tpair\tscore\na b\ta\t0.5\nc\td\t0.9\ne\tf\t0.1\n"
embedder = model("bert", "BertModel")
for name in "data.tsv", "data.tsv.gz":
    path = os.path.join(work, name)
    os.mkfifo(path)
    r = run("eval", embedder, "--task", "sts", "--data", path)
    check(f"{name} is a pipe", r.status == 1 and one_line(r) and "not a regular file" in r.err and name in r.err, r)
for bad in os.path.join(work, "circle.tsv.gz"), os.path.join(work, "circle.tsv"):
    circle(bad)
    r = run("eval", embedder, "--task", "sts", "--data", bad)
    check("data in a circle of links", r.status == 1 and one_line(r), r)
p = subprocess.run(["bash", "-c", f'"{rubato}" embed "{embedder}" <(printf "a b\\nc\\n") --quiet'], capture_output=True)
check("texts from a pipe", p.returncode == 0 and len(p.stdout.splitlines()) == 2, p)
folder = os.path.join(work, "texts.gz")
os.mkdir(folder)
r = run("embed", embedder, folder)
check("texts from a folder", r.status == 1 and one_line(r) and "directory" in r.err, r)


# ---- Memory ----

def peak(*arguments, file):
    """The result and the peak memory of the program in MB."""
    with open(file, "rb") as f, open(os.path.join(work, "out"), "wb") as out, open(os.path.join(work, "err"), "wb") as err:
        p = subprocess.Popen([rubato, *arguments], stdin=f, stdout=out, stderr=err)
        _, status, usage = os.wait4(p.pid, 0)
    return os.waitstatus_to_exitcode(status), open(os.path.join(work, "out")).read(), open(os.path.join(work, "err")).read(), usage.ru_maxrss / 1024


words = "the anytime engine, it's 1999 cats sat on a mat. "
text = words * (8_000_000 // len(words))
# the program's own memory; a sanitizer adds its own to every allocation
sanitized = b"__asan_init" in open(rubato, "rb").read()
small = os.path.join(work, "small")
open(small, "w").write("a\n")
idle = peak("tokenize", os.path.join(golden, "bert"), file=small)[3]
for form, content, options in (("lines", text + "\n", []), ("json", json.dumps({"text": text}) + "\n", ["--jsonl"])):
    path = os.path.join(work, form)
    open(path, "w").write(content)
    for side in [], ["--left"]:
        status, out, err, mb = peak("tokenize", os.path.join(golden, "bert"), "--max-length", "16", "--json", *options, *side, file=path)
        row = json.loads(out)
        check(f"a long text: {form} {side}", status == 0 and len(row["ids"]) == 16 and row["cut"] > 1_000_000, out, err)
        # the line, its copies, and what JSON makes of it: but no memory for each token (20 bytes and more of three bytes)
        if not sanitized: check(f"memory for a long text: {form} {side}", mb < idle + 8 * (6 if options else 4), mb, idle)

# ---- A tokenizer that grows its texts ----

folder = model("bert", "BertModel")
path = os.path.join(folder, "tokenizer.json")
root = json.load(open(path))
os.remove(path)  # it may be a link to the golden one
step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
root["normalizer"] = {"type": "Sequence", "normalizers": [step] * 40}
root["added_tokens"] = [t for t in root["added_tokens"] if "a" not in t["content"] or not t.get("normalized")]
json.dump(root, open(path, "w"))
open(small, "w").write("b\nxay\n")
status, out, err, mb = peak("tokenize", folder, file=small)
check("a growing text", status == 1 and "Replace" in err and "2" in err.split("Replace")[0] and len(err.splitlines()) == 1, status, out, err)
if not sanitized: check("memory for a growing text", mb < idle + 50, mb, idle)
root["added_tokens"].append({**root["added_tokens"][0], "id": 0, "content": "aa", "normalized": True})
json.dump(root, open(path, "w"))
r = run("tokenize", folder, stdin="b\n")
check("a growing added token", r.status == 1 and one_line(r) and "Replace" in r.err, r)
root["normalizer"]["normalizers"] = [step] * 300
json.dump(root, open(path, "w"))
r = run("tokenize", folder, stdin="b\n")
check("many steps", r.status == 1 and one_line(r) and "256" in r.err, r)

finish()
