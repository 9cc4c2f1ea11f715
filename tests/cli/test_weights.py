#!/usr/bin/env python3
"""Weights that are not in model.safetensors. The files of torch.save are real (tests/store/make_torch_files.py).

    test_weights.py RUBATO GOLDEN_FOLDER
"""
import json, os, pickle, shutil, zipfile

from program import check, finish, golden, one_line, run, work

SOURCE = os.path.join(golden, "torch")
TEXTS = "hello world\na b c\nfoo\n"
made = 0


def folder(*files):
    """A folder with the golden configuration, tokenizer and these weights."""
    global made
    made += 1
    to = os.path.join(work, f"weights-{made}")
    os.makedirs(to)
    for name in ("config.json", "tokenizer.json", *files): shutil.copy(os.path.join(SOURCE, name), to)
    return to


def pickled(source):
    to = folder()
    shutil.copy(os.path.join(SOURCE, source), os.path.join(to, "pytorch_model.bin"))
    return to


def vectors(model):
    r = run("embed", model, "--json", stdin=TEXTS)
    return [row["embedding"] for row in r.json()] if r.status == 0 else str(r)


def filled(model):
    r = run("fill", model, "--json", stdin="hello [MASK] world\n")
    return r.out if r.status == 0 else str(r)


def refused(what, model, *names):
    r = run("embed", model, stdin="a\n")
    check(what, r.status == 1 and one_line(r) and all(n in r.err for n in names), r)


near = lambda a, b, off: isinstance(a, list) and isinstance(b, list) and all(abs(x - y) <= off for v, w in zip(a, b) for x, y in zip(v, w))

# ---- The files of torch.save ----
plain = folder("model.safetensors")
want, words = vectors(plain), filled(plain)
check("the safetensors form", isinstance(want, list) and len(want) == 3, want)
for form in ("zip", "legacy", "tensorflow"):
    model = pickled(f"model.{form}.bin")
    check(f"{form}: the same vectors to the bit", vectors(model) == want, vectors(model), want)
    check(f"{form}: the same words, from a tied decoder", filled(model) == words, filled(model))
for form, off in (("f16", 2e-2), ("bf16", 2e-1)):
    got = vectors(pickled(f"model.{form}.bin"))
    check(f"{form}: near", near(got, want, off) and got != want, got)
shards = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
check("shards", vectors(folder("pytorch_model.bin.index.json", *shards)) == want)
refused("a shard that is missing", folder("pytorch_model.bin.index.json", shards[0]), shards[1])
both = folder("model.safetensors")
open(os.path.join(both, "pytorch_model.bin"), "wb").write(b"not read")
check("model.safetensors comes first", vectors(both) == want)
refused("no weights", folder(), "model.safetensors", "pytorch_model.bin")
first = run("info", plain, "--json"); second = run("info", pickled("model.zip.bin"), "--json")
check("info counts the same parameters", first.json()[0]["parameters"] == second.json()[0]["parameters"], second)
out = os.path.join(work, "whole")
r = run("quantize", pickled("model.tensorflow.bin"), "--to", "f32", "--out", out, "--json")
check("a model that is written is a whole one in safetensors", r.status == 0 and os.path.exists(os.path.join(out, "model.safetensors")) and vectors(out) == want and filled(out) == words, r)
check("and its sizes are said", r.json()[0].get("bytes_before", 1) > 0, r)


def with_dense(name, source):
    model = folder("model.safetensors")
    config = json.load(open(os.path.join(model, "config.json")))
    json.dump({**config, "architectures": ["BertModel"]}, open(os.path.join(model, "config.json"), "w"))
    for part, settings in (("1_Pooling", {"pooling_mode": "mean"}), ("2_Dense", {"in_features": 8, "out_features": 5})):
        os.makedirs(os.path.join(model, part))
        json.dump(settings, open(os.path.join(model, part, "config.json"), "w"))
    shutil.copy(os.path.join(SOURCE, source), os.path.join(model, "2_Dense", name))
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
    json.dump([{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in enumerate(kinds)], open(os.path.join(model, "modules.json"), "w"))
    return model


dense = vectors(with_dense("model.safetensors", "dense.safetensors"))
model = with_dense("pytorch_model.bin", "dense.bin")
check("a dense module", vectors(model) == dense and len(dense[0]) == 5, vectors(model), dense)
out = os.path.join(work, "whole-dense")
r = run("quantize", model, "--to", "f32", "--out", out)
check("a dense module is copied", r.status == 0 and vectors(out) == dense, r)

# ---- Files that lie ----
class Call:
    def __init__(self, mark): self.mark = mark
    def __reduce__(self): return os.system, (f"touch {self.mark}",)


def archive(program):
    model = folder()
    with zipfile.ZipFile(os.path.join(model, "pytorch_model.bin"), "w") as file:
        file.writestr("archive/data.pkl", program)
        file.writestr("archive/version", "3\n")
    return model


mark = os.path.join(work, "ran")
for protocol in (2, 4): refused(f"a call of os.system, protocol {protocol}", archive(pickle.dumps({"a": Call(mark)}, protocol=protocol)), "pytorch_model.bin", ".system", "nothing was called")
check("and it did not run", not os.path.exists(mark))
refused("an empty dict", archive(pickle.dumps({}, protocol=2)), "no tensors")
refused("weights within another dict", archive(pickle.dumps({"state_dict": {}}, protocol=2)), "within another one")
for what, data in {"nothing": b"", "text": b"version https://a pointer\n", "an archive that is cut": open(os.path.join(SOURCE, "model.zip.bin"), "rb").read()[:3000]}.items():
    model = folder()
    open(os.path.join(model, "pytorch_model.bin"), "wb").write(data)
    refused(what, model, "pytorch_model.bin")
packed = folder()
with zipfile.ZipFile(os.path.join(packed, "pytorch_model.bin"), "w", zipfile.ZIP_DEFLATED) as file: file.writestr("archive/data.pkl", b"a" * 1000)
refused("a compressed archive", packed, "compressed")
big = folder()
with zipfile.ZipFile(os.path.join(SOURCE, "model.zip.bin")) as source, zipfile.ZipFile(os.path.join(big, "pytorch_model.bin"), "w") as file:
    for entry in source.infolist(): file.writestr(entry.filename, b"big" if entry.filename.endswith("byteorder") else source.read(entry))
refused("numbers in the other order", big, "little-endian")
finish()
