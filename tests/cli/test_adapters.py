#!/usr/bin/env python3
"""LoRA adapters are merged into their base models when they are loaded. The adapters and the answers that are right are
peft's (tests/store/make_adapters.py).

    test_adapters.py RUBATO GOLDEN_FOLDER
"""
import json, os, shutil

from program import check, finish, golden, label, one_line, run, texts, work, write_labelled

SOURCE = os.path.join(golden, "adapters")
expected = json.load(open(os.path.join(SOURCE, "expected.json")))
TEXTS = "".join(text + "\n" for text in expected["texts"])
made = 0
near = lambda a, b: len(a) == len(b) and all(abs(x - y) <= 1e-5 for x, y in zip(a, b))


def answers(model, name):
    """What the program gives for the texts, in the form of expected.json."""
    if name == "embedder":
        r = run("embed", model, "--json", stdin=TEXTS)
        return [row["embedding"] for row in r.json()] if r.status == 0 else str(r)
    if name == "filler":
        r = run("fill", model, "--json", stdin=TEXTS.replace("\n", " [MASK]\n"))
        return [[row["score"] for row in answer] for answer in r.json()] if r.status == 0 else str(r)
    r = run("tag" if name == "tagger" else "classify", model, "--json", stdin=TEXTS)
    if r.status != 0: return str(r)
    if name == "tagger": return [[entity["score"] for entity in row["entities"]] for row in r.json()]
    return [list(row["scores"].values()) for row in r.json()]


def wanted(name):
    rows = expected["answers"][name]
    if name != "tagger": return rows
    # every piece is a letter, and an entity has the mean score of its words' first pieces
    first = [[sum(map(len, text.split()[:i])) for i in range(len(text.split()))] for text in expected["texts"]]
    return [[sum(row[i] for i in at) / len(at)] for row, at in zip(rows, first)]


def same(got, want): return isinstance(got, list) and len(got) == len(want) and all(near(a, b) for a, b in zip(got, want))


for name in expected["answers"]: check(f"{name}: as merge_and_unload", same(answers(os.path.join(SOURCE, name), name), wanted(name)), answers(os.path.join(SOURCE, name), name), wanted(name))


# ---- Adapters with changes ----
def read(path):
    data = open(path, "rb").read()
    length = int.from_bytes(data[:8], "little")
    return {name: (at["dtype"], at["shape"], data[8 + length:][at["data_offsets"][0]:at["data_offsets"][1]]) for name, at in json.loads(data[8:8 + length]).items() if name != "__metadata__"}


def write(path, tensors):
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + body)


def changed(name="classifier", tensors=None, base=None, **settings):
    """A copy of an adapter with other settings; tensors: a function that changes its tensors."""
    global made
    made += 1
    to = os.path.join(work, f"adapter-{made}")
    shutil.copytree(os.path.join(SOURCE, name), to)
    file = os.path.join(to, "adapter_config.json")
    config = {**json.load(open(file)), "base_model_name_or_path": base or os.path.join(golden, "bert"), **settings}
    json.dump({k: v for k, v in config.items() if v != "gone"}, open(file, "w"))
    if tensors:
        file = os.path.join(to, "adapter_model.safetensors")
        write(file, tensors(read(file)))
    return to


def refused(what, model, *names):
    r = run("classify", model, stdin="a\n")
    check(what, r.status == 1 and one_line(r) and all(n in r.err for n in names), r)


want = wanted("classifier")
classified = lambda model: same(answers(model, "classifier"), want)
check("a copy", classified(changed()))
check("fan_in_fan_out has no effect on linear layers", classified(changed(fan_in_fan_out=True)))
check("names without a beginning", classified(changed(tensors=lambda t: {k.replace("base_model.model.", ""): v for k, v in t.items()})))
plain = json.load(open(os.path.join(SOURCE, "classifier/adapter_config.json")))
check("alpha counts", not classified(changed(lora_alpha=7)))
check("use_rslora counts", not classified(changed(use_rslora=False)))
check("alpha_pattern counts", not classified(changed(alpha_pattern={})))
check("the first pattern counts", classified(changed(alpha_pattern={**plain["alpha_pattern"], "attention.self.query": 99})))
check("a pattern names whole parts", classified(changed(alpha_pattern={"uery": 99, "^query": 99, **plain["alpha_pattern"]})))
bare = changed("embedder")
check("a base with a prefix, an adapter without", same(answers(bare, "embedder"), wanted("embedder")))
for key in ("use_dora", "use_qalora", "lora_bias"): refused(key, changed(**{key: True}), key)
for key in ("trainable_token_indices", "target_parameters", "alora_invocation_tokens", "layer_replication"): refused(key, changed(**{key: [1]}), key)
refused("another kind of adapter", changed(peft_type="IA3"), "peft_type", "IA3")
refused("no kind", changed(peft_type="gone"), "peft_type")
for first in ("pissa", "pissa_niter_4", "olora", "loftq", "lora_ga"): refused(first, changed(init_lora_weights=first), "init_lora_weights", first)
check("beginnings that change nothing", classified(changed(init_lora_weights="gaussian")) and classified(changed(init_lora_weights=False)))
refused("a task without a head here", changed(task_type="CAUSAL_LM"), "CAUSAL_LM")
refused("a pattern that is no name", changed(alpha_pattern={r"layer\.[01]\..*query": 1}), "regular expression")
refused("another rank", changed(r=8), "rank 4", "8")
refused("r of words", changed(r="x"), "\"r\"")
refused("no settings", changed(rank_pattern=[]), "rank_pattern")
query = "base_model.model.bert.encoder.layer.0.attention.self.query."
refused("half of a pair", changed(tensors=lambda t: {k: v for k, v in t.items() if k != query + "lora_B.weight"}), query + "lora_B.weight", "missing")
refused("a magnitude", changed(tensors=lambda t: {**t, query + "lora_magnitude_vector.weight": ("F32", [1], bytes(4))}), "lora_magnitude_vector")
refused("a layer that the base lacks", changed(tensors=lambda t: {k.replace("layer.0.", "layer.7."): v for k, v in t.items()}), "layer.7", "does not have")
refused("other shapes", changed(tensors=lambda t: {k: (v[0], v[1][::-1], v[2]) if k == query + "lora_B.weight" else v for k, v in t.items()}), "multiplies")
refused("no matrix", changed(tensors=lambda t: {k: (v[0], [96], v[2]) if k == query + "lora_B.weight" else v for k, v in t.items()}), "no matrix")
refused("one weight twice", changed(tensors=lambda t: {**t, **{k.replace("bert.", ""): v for k, v in t.items() if k.startswith(query)}}), "two tensors")
gone = changed()
os.remove(os.path.join(gone, "adapter_model.safetensors"))
refused("no weights", gone, "adapter_model.safetensors", "adapter_model.bin")
broken = changed()
open(os.path.join(broken, "adapter_config.json"), "w").write("[]")
refused("settings that are no object", broken, "adapter_config.json")

# ---- The base model ----
refused("a base that is nowhere", changed(base="org/nothing-of-this-name"), "org/nothing-of-this-name", "rubato pull")
refused("no base", changed(base_model_name_or_path=None), "base_model_name_or_path")
refused("a base that is an adapter", changed(base=os.path.join(SOURCE, "classifier")), "adapter too")
beside = changed(base="inner/base")
os.makedirs(os.path.join(beside, "inner"))
shutil.copytree(os.path.join(golden, "bert"), os.path.join(beside, "inner/base"))
check("a base beside the adapter", classified(beside))
os.makedirs(os.path.join(work, "models"))
os.symlink(os.path.join(golden, "bert"), os.path.join(work, "models/small-base"))
r = run("classify", changed(base="small-base"), "--json", stdin=TEXTS, cwd=work)
check("a base by its name", r.status == 0 and same([list(row["scores"].values()) for row in r.json()], want), r)
quantised = os.path.join(work, "quantised")
check("a quantised base", run("quantize", os.path.join(golden, "bert"), "--to", "int8", "--out", quantised).status == 0)
refused("is refused", changed(base=quantised), "quantised")
own = changed()
tokenizer = json.load(open(os.path.join(golden, "bert/tokenizer.json")))
tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 60, "content": "zebra", "special": True})
json.dump(tokenizer, open(os.path.join(own, "tokenizer.json"), "w"))
r = run("tokenize", own, "--json", stdin="zebra\n")
check("the adapter's own tokenizer", r.status == 0 and "zebra" in r.json()[0]["tokens"], r)

# ---- A merged model is a whole one ----
whole = os.path.join(work, "whole")
r = run("quantize", changed(), "--to", "f32", "--out", whole)
check("written", r.status == 0 and classified(whole) and not os.path.exists(os.path.join(whole, "adapter_config.json")), r)
config = json.load(open(os.path.join(whole, "config.json")))
check("with its labels and head", config["architectures"] == ["BertForSequenceClassification"] and len(config["id2label"]) == 4, config)
data = write_labelled("data.tsv", texts(16))
trained = os.path.join(work, "trained")
r = run("train", changed(), "--task", "classification", "--data", data, "--out", trained, "--epochs", 1, "--quiet")
r2 = run("classify", trained, "--json", stdin=TEXTS)
check("trained", r.status == 0 and r2.status == 0 and set(r2.json()[0]["scores"]) == {"pos", "neg"}, r, r2)

# ---- Within a folder of sentence-transformers ----
sentence = changed("embedder")
os.makedirs(os.path.join(sentence, "1_Pooling"))
json.dump({"pooling_mode": "mean"}, open(os.path.join(sentence, "1_Pooling/config.json"), "w"))
json.dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
           {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}], open(os.path.join(sentence, "modules.json"), "w"))
got = answers(sentence, "embedder")
unit = [[x / sum(y * y for y in row) ** 0.5 for x in row] for row in wanted("embedder")]
check("modules behind an adapter", same(got, unit), got, unit)
written = os.path.join(work, "written-sentence")
r = run("quantize", sentence, "--to", "f32", "--out", written)
check("are written with the whole model", r.status == 0 and same(answers(written, "embedder"), unit), r)
finish()
