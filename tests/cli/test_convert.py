#!/usr/bin/env python3
"""Models with another attention, and for longer texts, made of dense ones.

    test_convert.py RUBATO GOLDEN_FOLDER
"""
import array, json, os

from program import check, finish, golden, model, one_line, path, run, write
from weights import floats, tensors

TEXTS = "hello world\na bc d e f g h i j k l m n o p\n"


def far(a, b): return max(abs(x - y) for r, s in zip(a, b) for x, y in zip(r["embedding"], s["embedding"]))
def answers(folder, *more): return run("embed", folder, "--json", *more, stdin=TEXTS).json()
def convert(made, *more, of=None): return run("convert", of or plain, *more, "--out", path(made), "--overwrite", "--json")
def values(folder, name): kind, shape, data = next(t for n, t in tensors(folder).items() if n.endswith(name)); return shape, data


plain = os.path.join(golden, "bert")
want = answers(plain)

# ---- What sees everything is dense attention ----
DENSE = {"longformer,window=64,globals=1": 3 * 2 * 3, "longformer,window=64,globals=0": 0, "image,block=40": 0, "compressed,ratio=1": 2 * 2 * 3, "nystrom,landmarks=40": 0, "nystrom,landmarks=40,taps=3": 3, "bigbird,block=8": 0, "sparse,pattern=fixed,stride=40": 0, "synthesizer,mixed=true": 1 * 3, "synthesizer,scores=random,mixed=true": 2 * 3, "sinkhorn,block=40": 0, "routing,clusters=1": 1 * 3, "transformer-xl,segment=40": 2 * 3, "compressive,segment=40": 4 * 3, "etc": 2 * 3}
for setting, added in DENSE.items():
    r = convert("dense", "--attention", setting)
    check(f"{setting} is dense for a short text", r.status == 0 and far(answers(path("dense")), want) < 1e-5, r)
    told = r.json()[0]
    check(f"{setting}: what was added", told["added"] == added and told["attention"].startswith(setting.split(",")[0]), r)
    check(f"{setting}: transformers refuses it", json.load(open(path("dense/config.json")))["model_type"] not in ("bert", None))
for setting in ("longformer,window=2,globals=1", "longformer,window=2,globals=1,dilation=2,dilated=1", "image,block=2,flange=1", "image,columns=3,block=1,flange=0,lines=1,line_flange=1", "compressed", "sparse,stride=2", "axial,columns=4", "linear", "performer,features=16", "linformer,slots=4", "linformer,slots=4,shared=true", "nystrom,landmarks=2", "bigbird,block=1,random=0", "set,points=3", "synthesizer", "synthesizer,scores=random", "sinkhorn,block=2", "sinkhorn,block=2,cut=1", "reformer,chunk=2,rounds=2", "reformer", "routing,clusters=4", "transformer-xl,segment=4,memory=2", "compressive,segment=4,memory=2,compressed=2", "etc,radius=1,globals=0"):
    r = convert("other", "--attention", setting); check(f"{setting} is another model", r.status == 0 and far(answers(path("other")), want) > 1e-4, r)
    r = run("train", path("other"), "--task", "mlm", "--data", write("text.txt", TEXTS * 8), "--steps", 3, "--max-length", 16, "--quiet", "--overwrite", "--out", path("trained")); check(f"{setting} learns, and reads no weights that it lacks", r.status == 0 and "not used" not in r.err, r)
    r = run("quantize", path("other"), "--to", "int8", "--overwrite", "--out", path("small")); check(f"{setting} in int8", r.status == 0 and (far(answers(path("small")), answers(path("other"))) < 0.5 or "routing" in setting), r)  # rounding changes clusters

convert("as", "--attention", "longformer,window=4,globals=2"); convert("options", "--attention", "longformer", "--window", 4, "--globals", 2)
check("settings as options", json.load(open(path("as/config.json")))["attention"] == json.load(open(path("options/config.json")))["attention"])

# ---- Of some layers ----
for setting in ("longformer,window=64,globals=1", "sparse,pattern=fixed,stride=40", "compressed,ratio=1", "nystrom,landmarks=40,taps=3", "synthesizer,mixed=true"):
    r = convert("some", "--attention", setting, "--layers", "0,2"); told = r.json()[0]; noted = json.load(open(path("some/config.json")))
    check(f"{setting} of two layers, dense for a short text", r.status == 0 and far(answers(path("some")), want) < 1e-5 and noted["attention"]["layers"] == [0, 2], r)
    check(f"{setting}: only these get tensors", told["added"] == DENSE[setting] * 2 // 3 and told["attention"].endswith("in layers 0,2") and not any(".layer.1." in n and n not in tensors(plain) for n in tensors(path("some"))), r)
for setting in ("linear", "performer,features=16", "linformer,slots=4", "nystrom,landmarks=2,taps=3", "set,points=3", "reformer", "routing,clusters=4", "transformer-xl,segment=4,memory=2", "synthesizer"):
    convert("every", "--attention", setting); convert("each", "--attention", setting, "--layers", "0,1,2")
    check(f"{setting}: all layers are all layers", answers(path("each")) == answers(path("every")))
    r = convert("last", "--attention", setting, "--layers", 2); check(f"{setting}: the last layer alone", r.status == 0 and 1e-4 < far(answers(path("last")), want), r)
    r = run("train", path("last"), "--task", "mlm", "--data", write("text.txt", TEXTS * 8), "--steps", 2, "--max-length", 16, "--quiet", "--overwrite", "--out", path("trained")); check(f"{setting} in one layer learns", r.status == 0, r)
    r = run("quantize", path("last"), "--to", "int8", "--overwrite", "--out", path("small")); check(f"{setting} in one layer, int8", r.status == 0 and isinstance(answers(path("small")), list), r)
convert("last", "--attention", "linear", "--layers", 2); r = run("trim", path("last"), "--layers", "0,1", "--out", path("cut"), "--overwrite"); check("without that layer it is a plain model", r.status == 0 and json.load(open(path("cut/config.json")))["model_type"] == "bert", r)
r = run("trim", path("last"), "--layers", "2,0", "--out", path("cut"), "--overwrite"); check("layers keep their attention", r.status == 0 and json.load(open(path("cut/config.json")))["attention"]["layers"] == [0], r)
for layers, says in (("3", "layers are 0 to 2"), ("x", "numbers")): r = convert("none", "--attention", "linear", "--layers", layers); check(f"--layers {layers!r}", r.status == 2 and one_line(r) and says in r.err, r)
r = convert("none", "--layers", "1", "--max-length", 30); check("--layers alone", r.status == 2 and "--layers needs" in r.err, r)
r = run("convert", path("last"), "--attention", "linear", "--out", path("none")); check("a model of two kinds is not converted again", r.status == 1 and one_line(r), r)
convert("last", "--attention", "linformer,slots=4", "--layers", 2); r = run("train", path("last"), "--recipe", "length-adaptive", "--task", "classification", "--data", write("two.tsv", "text\tlabel\na\tx\nb\ty\n"), "--out", path("none"), "--quiet"); check("rows cannot retire by what one layer cannot tell", r.status == 1 and one_line(r) and "received" in r.err, r)

# ---- Where new layers begin ----
convert("long", "--attention", "longformer,window=4,globals=1")
for name in ("query", "key", "value"):
    for part in ("weight", "bias"): check(f"a copy: {name}.{part}", values(path("long"), f"encoder.layer.1.attention.self.{name}_global.{part}") == values(path("long"), f"encoder.layer.1.attention.self.{name}.{part}"))
convert("mean", "--attention", "compressed,ratio=2")
shape, data = values(path("mean"), "encoder.layer.0.attention.self.compress_value.weight")
width = shape[0]
check("a mean", list(shape) == [width, 2 * width] and data == floats([0.5 if j % width == i else 0 for i in range(width) for j in range(2 * width)])[2])

# ---- Positions ----
old = 19
r = convert("far", "--max-length", 50); check("longer texts", r.status == 0 and r.json()[0]["max_length"] == 50 and r.json()[0]["attention"] == "softmax", r)
check("short texts have the same answers", answers(path("far")) == want)
shape, data = values(path("far"), "embeddings.position_embeddings.weight")
row = 4 * shape[1]
check("positions are repeated", shape[0] == 50 and all(data[i * row:(i + 1) * row] == data[i % old * row:(i % old + 1) * row] for i in range(50)))
r = run("embed", path("far"), "--json", stdin="a " * 30 + "b\n" + "a " * 30 + "c\n").json(); check("a long text is read to its end", far(r[:1], r[1:]) > 1e-4, r)
check("it is still a model of its family", json.load(open(path("far/config.json")))["model_type"] == "bert")
convert("far", "--max-length", 50, of=os.path.join(golden, "roberta"))
shape, data = values(path("far"), "embeddings.position_embeddings.weight")
row = 4 * shape[1]
check("rows before the first position are not repeated", shape[0] == 52 and all(data[i * row:(i + 1) * row] == data[(2 + (i - 2) % 19) * row:(3 + (i - 2) % 19) * row] for i in range(2, 52)))
head = model("bert", "BertForSequenceClassification")
r = convert("head", "--attention", "longformer,window=64", "--max-length", 64, of=head)
check("a head stays", r.status == 0 and run("classify", path("head"), "--json", stdin=TEXTS).status == 0, r)

# ---- Refusals ----
for setting in ("linformer,slots=4", "synthesizer"):
    r = convert("placed", "--attention", setting, "--max-length", 30); check(f"{setting} for longer texts", r.status == 0 and r.json()[0]["max_length"] == 30, r)
    for more in (("trim", "--positions", 8), ("convert", "--max-length", 40)):
        r = run(more[0], path("placed"), *more[1:], "--out", path("none"), "--json"); check(f"{setting}: {more[0]}", r.status == 1 and one_line(r) and "place" in r.err and "staged" not in r.err, r)
    r = run("train", path("placed"), "--task", "classification", "--data", write("rows.tsv", "text\tlabel\na b\tx\nc d\ty\n" * 8), "--recipe", "anytime", "--steps", 2, "--widths", 1, "--max-length", 16, "--quiet", "--overwrite", "--out", path("taught"))
    check(f"{setting} and rows that leave", (r.status == 1 and "--significance" in r.err and one_line(r)) if "linformer" in setting else r.status == 0, r)
r = convert("big", "--attention", "performer,features=16")
header_of = open(path("big/model.safetensors"), "rb").read()
length = int.from_bytes(header_of[:8], "little")
body = bytearray(header_of[8 + length:])
for name, entry in json.loads(header_of[8:8 + length]).items():
    if "attention.self" not in name or "value" in name: continue
    begin, end = entry["data_offsets"]
    body[begin:end] = array.array("f", [20 * v for v in array.array("f", bytes(body[begin:end]))]).tobytes()
open(path("big/model.safetensors"), "wb").write(header_of[:8 + length] + body)
r = run("embed", path("big"), "--json", stdin="a b c d\n"); check("weights of keys that are too small for a float are none", r.status == 0, r)
for setting, says in (("longformer,window=3", "even"), ("longer", "known are"), ("longformer,wide=3", "wide"), ("longformer,mechanism=etc", "twice"), ("longformer,window=8,window=16", "twice"), ("longformer,window=nan", "cannot be"), ("longformer,window=1e400", "cannot be"), ("longformer,window", "window=256"), ("", "attention"), (",", "attention"), ("=3", "window=256"), ("sparse,pattern=wild", "wild"),
                      ("performer,features=0", "features"), ("nystrom,taps=2", "taps"), ("longformer,dilation=0", "dilation"), ("longformer,dilation=2,separator=3", "dilation"), ("nystrom,landmarks=9999", "landmarks"), ("performer,kernel=x", "kernel"), ("compressed,ratio=99", "ratio"), ("axial,columns=0", "columns"), ("set,points=0", "points"), ("synthesizer,scores=wild", "wild"), ("sinkhorn,block=0", "block"), ("sinkhorn,temperature=0", "temperature"), ("reformer,buckets=3", "buckets"), ("reformer,rounds=0", "rounds"), ("routing,clusters=0", "clusters"), ("transformer-xl,segment=0", "segments"), ("compressive,ratio=0", "tokens each"), ("etc,clip=99", "distances"), ("bigbird,random=13", "random"), ("bigbird,drawn=3", "drawn"), ("image,block=-1", "block"), ("image,columns=4,lines=30,line_flange=5", "lines"), ("longformer,window=1e30", "window")):
    r = convert("none", "--attention", setting); check(f"{setting!r} is refused", r.status in (1, 2) and one_line(r) and (says in r.err or "attention" in r.err) and not os.path.exists(path("none")), r)
for family in ("mpnet", "funnel", "mobilebert", "longformer"):
    r = convert("none", "--attention", "linear", of=os.path.join(golden, family)); check(f"{family} has no dense attention", r.status == 1 and one_line(r) and "dense" in r.err, r)
r = convert("none", "--attention", "linear", of=path("long")); check("one that was converted", r.status == 1 and "dense" in r.err, r)
r = convert("none", "--max-length", 5); check("shorter texts", r.status == 2 and "trim" in r.err, r)
r = convert("none", "--max-length", 10**9); check("too long texts", r.status == 2 and one_line(r), r)
r = convert("none", "--max-length", 50, of=os.path.join(golden, "funnel")); check("no table of positions", r.status == 1 and "positions" in r.err, r)
r = convert("none", "--max-length", 50, "--window", 4); check("a setting without its mechanism", r.status == 2 and "--attention" in r.err, r)
r = convert("none", "--attention", "linear", "--window", 4); check("a setting of another mechanism", r.status == 2 and "window" in r.err, r)
r = convert("none", "--attention", "x" * 500); check("a long name", r.status == 2 and one_line(r), r)
r = run("convert", plain, "--out", path("none")); check("nothing to do", r.status == 2 and "--attention" in r.err, r)
r = run("convert", plain, "--attention", "linear", "--out", path("long")); check("a model is not replaced", r.status == 2 and "--overwrite" in r.err, r)

# ---- A head that pools by attention ----
rows = "".join(f"{t}\t{'xy'[t.count('a') > 1]}\n" for t in ("a b a", "c d e f g h", "a a", "b", "x y z", "a x a y a") * 4)
data = write("pooled.tsv", "text\tlabel\n" + rows)
common = ["--task", "classification", "--data", data, "--epochs", 1, "--quiet", "--overwrite"]
r = run("train", plain, *common, "--pool-attention", "--out", path("pooled")); check("--pool-attention", r.status == 0, r)
config = json.load(open(path("pooled/config.json"))); check("it is in config.json, and transformers refuses it", config.get("head_pooling") == "attention" and config["model_type"] == "rubato-bert", config)
check("its weights", sorted(n for n in tensors(path("pooled")) if "pooling_attention.v" in n) == ["pooling_attention.value.bias", "pooling_attention.value.weight"])
def scores(*more, stdin=TEXTS): return [row["scores"] for row in run("classify", path("pooled"), "--json", *more, stdin=stdin).json()]
check("a text alone", [scores(stdin=t + "\n")[0] for t in TEXTS.splitlines()] == scores() == scores("--threads", 1))
r = run("train", path("pooled"), *common, "--out", path("again")); check("training goes on with it", r.status == 0 and json.load(open(path("again/config.json"))).get("head_pooling") == "attention", r)
r = run("quantize", path("pooled"), "--to", "int8", "--out", path("pooled8"), "--overwrite"); r = run("classify", path("pooled8"), stdin=TEXTS); check("and int8", r.status == 0, r)
r = run("train", path("pooled"), *common, "--recipe", "deebert", "--out", path("pooled-exits")); check("and exits", r.status == 0, r)
r = run("train", plain, "--task", "tagging", "--data", data, "--pool-attention", "--out", path("none")); check("not of a tagger", r.status == 2 and "--pool-attention" in r.err, r)
finish()
