#!/usr/bin/env python3
"""quantize as a user runs it: files in int8 and bf16 of every family and head, back to f32, damaged ones, --max-drop.

    test_quantize.py RUBATO GOLDEN_FOLDER
"""
import json, os, random, shutil, struct

from program import candidates, renew, check, finish, golden, model, one_line, path, run, texts, work, write_labelled

TEXTS = ["hello world", "a world of words", "foo", "the quick brown fox jumps over the lazy dog"]
HEADS = {"SequenceClassification": "classify", "TokenClassification": "tag", "Model": "embed", "MaskedLM": "fill"}
NAMES = {"bert": "Bert", "albert": "Albert", "distilbert": "DistilBert", "electra": "Electra", "mobilebert": "MobileBert", "mpnet": "MPNet", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "longformer": "Longformer", "bigbird": "BigBird", "modernbert": "ModernBert", "fnet": "FNet", "nystromformer": "Nystromformer"}


def answers(command, folder, *more):
    mask = {"roberta": "<mask>", "xlm-roberta": "<mask>", "mpnet": "<mask>", "longformer": "<mask>"}.get(next((f for f in sorted(NAMES, key=len, reverse=True) if f in folder), ""), "[MASK]")
    texts = [t + " " + mask for t in TEXTS] if command == "fill" else TEXTS
    r = run(command, folder, "--json", *(["--raw"] if command == "classify" else []), *more, stdin="\n".join(texts) + "\n")
    return r.json() if r.status == 0 else str(r)


def header(file):
    data = open(file, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def rewrite(folder, change):
    """The folder with another header, or with other bytes."""
    file = os.path.join(folder, "model.safetensors")
    about, body = header(file)
    body = change(about, bytearray(body)) or body
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 8)
    open(file, "wb").write(struct.pack("<Q", len(text)) + text + body)


# ---- Every family and head ----
for family in NAMES:
    for head, command in HEADS.items():
        if head == "Model" and family == "albert": architecture = "AlbertModel"
        else: architecture = NAMES[family] + ("Model" if head == "Model" else "For" + head)
        start, where = model(family, architecture), f"{family} {head}"
        r = renew("quantize", start, "--to", "int8", "--out", path("q"), "--json")
        if r.status != 0 and "no such head" in r.err: continue
        check(f"{where}: int8", r.status == 0 and r.json()[0]["bytes"] < r.json()[0]["bytes_before"], r)
        stored = answers(command, path("q"))
        r = renew("quantize", path("q"), "--to", "f32", "--out", path("f")); check(f"{where}: and back", r.status == 0, r)
        # what came back is on int8's grid: in int8 it is the same model to the bit
        check(f"{where}: the file's int8 is int8", stored == answers(command, path("f"), "--precision", "int8"), stored)
        check(f"{where}: unpacked on loading", answers(command, path("q"), "--precision", "f32") == answers(command, path("f")))
        r = renew("quantize", path("q"), "--to", "int8", "--out", path("q2")); check(f"{where}: a copy is the same", r.status == 0 and answers(command, path("q2")) == stored, r)
        r = renew("quantize", start, "--to", "bf16", "--out", path("b")); check(f"{where}: bf16", r.status == 0, r)
        if command == "embed":
            whole, narrow, small = (answers("embed", f)[3]["embedding"] for f in (start, path("b"), path("q")))
            far = lambda a, b: max(abs(x - y) for x, y in zip(a, b)) / max(abs(x) for x in a)
            check(f"{where}: bf16 is near f32, int8 a little less", far(whole, narrow) < 0.03 and far(whole, small) < 0.1, far(whole, narrow), far(whole, small))
        for made in ("q", "f", "b", "q2"): shutil.rmtree(path(made))

# ---- What the folder says ----
start = model("bert", "BertForSequenceClassification")
r = renew("quantize", start, "--to", "int8", "--out", path("q"))
about, _ = header(path("q/model.safetensors"))
packed = [k for k in about if k.endswith(".packed")]
check("layers are packed, and lie at multiples of 64", packed and all(about[k]["dtype"] == "I8" for k in packed) and all(about[k]["data_offsets"][0] % 64 == 0 for k in packed) and not any(k.endswith("query.weight") for k in about), packed)
check("embeddings are bytes with scales", about["bert.embeddings.word_embeddings.weight"]["dtype"] == "I8" and about["bert.embeddings.word_embeddings.scale"]["dtype"] == "F32")
note = json.load(open(path("q/rubato.json")))["weights"]; check("rubato.json has the scheme", set(note["layers"]) == {"int8"} and note["embeddings"] == "int8", note)
check("transformers is told", json.load(open(path("q/config.json")))["quantization_config"]["quant_method"] == "rubato")
check("info", run("info", path("q"), "--json").json()[0]["precision"] == "int8")
renew("quantize", path("q"), "--to", "f32", "--out", path("f"))
check("nothing of that is left in f32", "weights" not in json.load(open(path("f/rubato.json"))) and "quantization_config" not in json.load(open(path("f/config.json"))) and not any(k.endswith((".packed", ".scale", ".offset")) for k in header(path("f/model.safetensors"))[0]))

# ---- Damage ----
layer = next(k for k in packed if "layer.0" in k and "query" in k)
scale, offset = layer.replace(".packed", ".scale"), layer.replace(".packed", ".offset")


def damaged(what, change, *words):
    shutil.rmtree(path("d"), ignore_errors=True)
    shutil.copytree(path("q"), path("d"))
    rewrite(path("d"), change)
    r = run("classify", path("d"), stdin="a\n")
    check(f"damaged: {what}", r.status == 1 and one_line(r) and all(w in r.err for w in words), r)


def rename(key): return lambda about, body: about.update({"x." + key: about.pop(key)})
def spoil(key, value): return lambda about, body: bytes(body[:about[key]["data_offsets"][0]]) + value + bytes(body[about[key]["data_offsets"][0] + len(value):])
def reshape(key, **changes): return lambda about, body: about[key].update(changes)


damaged("no scales", rename(scale), scale, "missing")
damaged("no offsets", rename(offset), offset, "missing")
damaged("no layer", rename(layer), "query.weight", "missing")
damaged("scales of another type", reshape(scale, dtype="I32"), scale, "I32")
damaged("an infinite scale", spoil(scale, struct.pack("<f", float("inf"))), "NaN or infinity")
damaged("a scale that is no number", spoil("bert.embeddings.word_embeddings.scale", struct.pack("<f", float("nan"))), "NaN or infinity")
damaged("an offset of something else", spoil(offset, struct.pack("<i", -2**31)), "offset")
damaged("bytes as numbers", reshape(layer, dtype="U8"), layer, "U8")
damaged("a table without scales", rename("bert.embeddings.word_embeddings.scale"), "word_embeddings.scale", "missing")
s = about[layer]["shape"]
damaged("twice the columns", lambda a, b: a.update({layer: {**a[layer], "dtype": "BF16", "shape": [s[0], s[1] // 2]}}), layer)


# a layer that does not lie at a multiple of 64 is copied
def shifted(about, body):
    names = sorted((k for k in about if k != "__metadata__"), key=lambda k: about[k]["data_offsets"][0])
    out, rest = b"", [n for n in names if n != layer]
    small = next(n for n in rest if (about[n]["data_offsets"][1] - about[n]["data_offsets"][0]) % 64)
    for name in [small, layer, *[n for n in rest if n != small]]:
        first, last = about[name]["data_offsets"]
        about[name]["data_offsets"] = [len(out), len(out) + last - first]
        out += bytes(body[first:last])
    return out


shutil.rmtree(path("d")); shutil.copytree(path("q"), path("d")); rewrite(path("d"), shifted)
check("a layer anywhere", answers("classify", path("d")) == answers("classify", path("q")))

# ---- Judged ----
random.seed(2)
rows = texts(150, "abcde", 9)
write_labelled("data.tsv", rows)
judge = ["--task", "classification", "--data", path("data.tsv")]
renew("train", start, *judge, "--rate", "3e-3", "--batch-size", 8, "--dropout", 0, "--epochs", 8, "--quiet", "--out", path("t"))
renew("search", path("t"), *judge, "--iterations", 1, "--mutations", 3, "--crossovers", 3, "--quiet")
r = renew("quantize", path("t"), "--to", "int8", *judge, "--out", path("j"), "--json"); out = r.json()[0] if r.status == 0 else {}
check("judged", r.status == 0 and out["metric"] == "accuracy" and abs(out["before"] - run("eval", path("t"), *judge, "--json").json()[0]["metrics"]["accuracy"]) < 1e-6 and abs(out["after"] - run("eval", path("j"), *judge, "--json").json()[0]["metrics"]["accuracy"]) < 1e-6, r)
points, old = (json.load(open(path(f + "/rubato.json")))["points"] for f in "jt")
check("points are judged again", points and [p["keep"] for p in points] == [p["keep"] for p in old] and all(p["quality"] is not None and p["ms"] is None for p in points), points)
name = points[0]["name"]; check("a point has what eval says", abs(run("eval", path("j"), *judge, "--budget", "@" + name, "--json").json()[0]["metrics"]["accuracy"] - points[0]["quality"]) < 1e-6)
r = renew("quantize", path("t"), "--to", "int8", *judge, "--max-drop", "50", "--out", path("m"), "--json"); check("a drop that is small enough lifts nothing", r.status == 0 and r.json()[0]["lifted"] == 0, r)

# huge weights of an inner neuron that never fires: they cost nothing but their rows' scales, and int8 keeps no other weight
shutil.copytree(path("t"), path("o"))


def outliers(about, body):
    at = lambda name: (about["bert.encoder.layer.0." + name]["data_offsets"][0], about["bert.encoder.layer.0." + name]["shape"])
    first, (rows, columns) = at("output.dense.weight")
    for row in range(rows): struct.pack_into("<f", body, first + 4 * row * columns, 3000.0)
    first, (rows, columns) = at("intermediate.dense.weight")
    for column in range(columns): struct.pack_into("<f", body, first + 4 * column, 0.0)
    struct.pack_into("<f", body, at("intermediate.dense.bias")[0], -50.0)
    return bytes(body)


rewrite(path("o"), outliers)
r = renew("quantize", path("o"), "--to", "int8", *judge, "--max-drop", "0.001", "--out", path("m"), "--json")
check("--max-drop lifts layers", r.status == 0 and 0 < r.json()[0]["lifted"] <= r.json()[0]["layers"] and r.json()[0]["after"] >= r.json()[0]["before"] - 0.01, r)
mixed = run("info", path("m"), "--json").json()[0]["precision"]
check("and the file says which layers", (mixed == "mixed") == (0 < r.json()[0]["lifted"] < r.json()[0]["layers"]) and json.load(open(path("m/rubato.json")))["weights"]["layers"].count("bf16") == r.json()[0]["lifted"], mixed, r)

# ---- Smoothing ----
outlier = model("bert", "BertForSequenceClassification")
for name in ("model.safetensors",): shutil.copy(os.path.realpath(os.path.join(outlier, name)), os.path.join(outlier, "own")); os.replace(os.path.join(outlier, "own"), os.path.join(outlier, name))
def enlarge(about, body):
    for tensor, value in (("bert.encoder.layer.0.output.LayerNorm.weight", 60.0), ("bert.encoder.layer.1.attention.output.LayerNorm.weight", 40.0)):
        first = about[tensor]["data_offsets"][0]
        size = {"F32": 4, "F16": 2, "BF16": 2}[about[tensor]["dtype"]]
        assert size == 4
        struct.pack_into("<f", body, first + 3 * size, value)
    return body
rewrite(outlier, enlarge)
some = os.path.join(work, "some.tsv"); open(some, "w").write("sentence\tlabel\n" + "".join(f"{t}\tLABEL_{i % 2}\n" for i, t in enumerate(TEXTS)))
judged = ["--task", "classification", "--data", some]
a = renew("quantize", outlier, "--to", "int8", *judged, "--out", path("rough")); b = renew("quantize", outlier, "--to", "int8", *judged, "--smooth", "0.5", "--out", path("smooth"), "--json")
check("--smooth", a.status == 0 and b.status == 0, a, b)
# the scalar kernels leave attention in f32, so that what differs is the products that were smoothed
def off(folder):
    a, b = (run("classify", f, "--raw", "--json", "--isa", "scalar", stdin=many).json() for f in (outlier, folder))
    errors = [abs(x["scores"][k] - y["scores"][k]) for x, y in zip(a, b) for k in x["scores"]]
    return sum(errors) / len(errors)
many = "".join(" ".join(w) + "\n" for w in texts(100))
rough, smooth = off(path("rough")), off(path("smooth"))
check("outliers of the inputs cost less", 0 < smooth < 0.75 * rough, smooth, rough)
check("by itself it is noted", json.load(open(path("smooth/rubato.json")))["weights"]["smooth"] == 0.5 and any(k.endswith(".smooth") for k in header(path("smooth/model.safetensors"))[0]))
r = renew("quantize", start, "--to", "int8", *judged, "--smooth", "0.5", "--out", path("calm"))
whole, calm = answers("classify", start), answers("classify", path("calm"), "--precision", "f32")
check("in f32 the factors are gone", r.status == 0 and max(abs(x["scores"][k] - y["scores"][k]) for x, y in zip(whole, calm) for k in x["scores"]) < 0.1, whole[:1], calm[:1])
r = renew("quantize", path("smooth"), "--to", "f32", "--out", path("back")); check("and back", r.status == 0 and answers("classify", path("back")) == answers("classify", path("smooth"), "--precision", "f32") and not any(k.endswith(".smooth") for k in header(path("back/model.safetensors"))[0]), r)
r = renew("quantize", path("smooth"), "--to", "int8", "--out", path("copy")); check("a copy keeps them", answers("classify", path("copy")) == answers("classify", path("smooth")), r)
for strength in ("0", "1", "x", "-1"): r = renew("quantize", outlier, "--to", "int8", *judged, "--smooth", strength, "--out", path("x")); check(f"--smooth {strength}", r.status == 2 and one_line(r), r)
r = renew("quantize", outlier, "--to", "int8", "--smooth", "0.5", "--out", path("x")); check("smoothing needs data", r.status == 2 and one_line(r), r)
def zero(about, body):
    key = next(k for k in about if k.endswith(".smooth")); struct.pack_into("<f", body, about[key]["data_offsets"][0], 0.0); return body
rewrite(path("smooth"), zero); r = run("classify", path("smooth"), stdin="a\n"); check("a factor of 0", r.status == 1 and one_line(r) and "factor" in r.err, r)

# ---- Two precisions at once: points in either ----
cache = {"XDG_CACHE_HOME": path("cache")}
two = ["--precision", "f32+int8"]
check("two precisions are f32 at full", answers("classify", path("t"), *two) == answers("classify", path("t")))
check("info says both", run("info", path("t"), *two, "--json").json()[0]["precision"] == "f32+int8")
r = run("calibrate", path("t"), *two, env=cache); check("calibrate in both", r.status == 0 and any("f32+int8" in name and "narrow" in open(path("cache/rubato/" + name)).read() for name in os.listdir(path("cache/rubato"))), r)
shutil.copytree(path("t"), path("both"))
r = renew("search", path("both"), *judge, *two, "--cost", "ms", "--lowest", "0.01", "--iterations", 3, "--mutations", 10, "--crossovers", 6, "--quiet", "--json", env=cache)
points = json.load(open(path("both/rubato.json")))["points"] if r.status == 0 else []
narrow = [p for p in points if p.get("precision") == "int8"]
rows = candidates(path("both"))
check("the search looks at both precisions", r.status == 0 and any(x.get("precision") == "int8" for x in rows) and any("precision" not in x for x in rows[1:]), r)
# whichever is faster for so small a model: a point of each kind, as the search would have written it
note = json.load(open(path("both/rubato.json")))
full = [1.0] * 3
note["points"] = [{"name": "whole-int8", "quality": 0.5, "flops_ratio": 1.0, "ms": 0.1, "keep": full, "precision": "int8"}, {"name": "half", "quality": 0.6, "flops_ratio": 0.5, "ms": 0.2, "keep": [0.9, 0.5, 0.2]},
                  {"name": "half-int8", "quality": 0.4, "flops_ratio": 0.5, "ms": 0.05, "keep": [0.9, 0.5, 0.2], "precision": "int8"}]
json.dump(note, open(path("both/rubato.json"), "w"))
check("points in a second precision bring it in", run("info", path("both"), "--json").json()[0]["precision"] == "f32+int8" and [p["name"] for p in run("info", path("both"), "--json").json()[0]["points"]] == ["half-int8", "whole-int8", "half", "full"])
check("full is f32", answers("classify", path("both")) == answers("classify", path("t")))
check("a narrow point is int8, to the bit", answers("classify", path("both"), "--budget", "@whole-int8") == answers("classify", path("t"), "--precision", "int8"))
note["points"] = [dict(p) for p in note["points"] if "precision" not in p]
shutil.copytree(path("t"), path("wide")); json.dump(note, open(path("wide/rubato.json"), "w"))
check("one with fewer words too", answers("classify", path("both"), "--budget", "@half-int8") == answers("classify", path("wide"), "--precision", "int8", "--budget", "@half"))
check("and the wide one beside it is f32", answers("classify", path("both"), "--budget", "@half") == answers("classify", path("wide"), "--budget", "@half"))
check("asked for one precision there are no narrow points", [p["name"] for p in run("info", path("both"), "--precision", "f32", "--json").json()[0]["points"]] == ["half", "full"])
r = run("classify", path("both"), "--budget", "0.9x", "--cost", "--json", stdin="a b c d e f g h\n"); check("a budget takes the better", r.json()[0]["cost"]["point"] == "half", r)
for bad in ("f32+f32", "f32+int4", "int8+f32", "+"): r = run("info", path("t"), "--precision", bad); check(f"precision {bad}", r.status == 2 and one_line(r), r)
note["points"] = [{"name": "x", "quality": 1, "flops_ratio": 1, "ms": 1, "keep": full, "precision": "int3"}]
json.dump(note, open(path("wide/rubato.json"), "w")); r = run("info", path("wide")); check("a point in an unknown precision", r.status != 0 and one_line(r) and "int3" in r.err, r)

# ---- Wrong use ----
r = renew("quantize", start, "--to", "int8", *judge, "--out", path("x"), env={"RUBATO_ISA": "mmx"}); check("wrong: RUBATO_ISA", r.status == 2 and one_line(r) and "mmx" in r.err, r)
shutil.rmtree(path("x"), ignore_errors=True)
for bad in (["--to", "int4", "--out", path("x")], ["--to", "int8"], ["--out", path("x")], ["--to", "int8", "--out", path("x"), "--max-drop", "0.3"], ["--to", "int8", "--out", path("x"), "--max-drop", "x"],
            ["--to", "int8", "--out", path("x"), "--data", path("data.tsv")], ["--to", "bf16", "--out", path("x"), *judge, "--max-drop", "1"], ["--to", "int8", "--out", start]):
    r = renew("quantize", start, *bad); check(f"wrong: {' '.join(bad)}", r.status == 2 and one_line(r) and not os.path.exists(path("x")), r)
r = renew("quantize", path("none"), "--to", "int8", "--out", path("x")); check("no such model", r.status == 1 and one_line(r), r)

os.makedirs(path("occupied/model.safetensors/inside"))
r = renew("quantize", os.path.join(golden, "bert"), "--to", "int8", "--out", path("occupied"))
check("a folder in a file's place: nothing is written", r.status == 1 and one_line(r) and "model.safetensors" in r.err and os.listdir(path("occupied")) == ["model.safetensors"], r, os.listdir(path("occupied")))
finish()
