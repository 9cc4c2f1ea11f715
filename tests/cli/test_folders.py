#!/usr/bin/env python3
"""What a model's folder says beside its weights: modules, prompts, activations and biases of sentence-transformers and
transformers, obeyed or refused by name.

    test_folders.py RUBATO GOLDEN_FOLDER
"""
import json, math, os, shutil, struct

from program import check, finish, golden, model, one_line, run

TEXTS = "hello world\na world of words\nfoo\n"
near = lambda a, b, off=1e-5: len(a) == len(b) and all(abs(x - y) <= off for x, y in zip(a, b))


def folder(architecture="BertModel", modules=(), settings=None, config=None):
    """A folder as sentence-transformers writes it. modules: (type, settings) of those after the encoder."""
    made = model("bert", architecture, **(config or {}))
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]
    for i, (kind, what) in enumerate(modules, 1):
        path = f"{i}_{kind}"
        os.makedirs(os.path.join(made, path))
        if what is not None: json.dump(what, open(os.path.join(made, path, "config.json"), "w"))
        listed.append({"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.base.modules.{kind.lower()}.{kind}"})
    json.dump(listed, open(os.path.join(made, "modules.json"), "w"))
    if settings is not None: json.dump(settings, open(os.path.join(made, "config_sentence_transformers.json"), "w"))
    return made


def vectors(made):
    r = run("embed", made, "--json", stdin=TEXTS)
    return [row["embedding"] for row in r.json()] if r.status == 0 else r


def pool(mode, *more, **settings): return folder(modules=[("Pooling", {"pooling_mode": mode}), *more], **settings)


def refused(what, made, *names, command="embed"):
    r = run(command, made, *(["--query", "a"] if command == "rerank" else []), stdin="a\n")
    check(what, r.status == 1 and one_line(r) and all(n in r.err for n in names), r)


# ---- Pooling, and what follows it ----
cls, mean = vectors(pool("cls")), vectors(pool("mean"))
check("a list of modes is concatenated", vectors(pool(["cls", "mean"])) == [a + b for a, b in zip(cls, mean)] and cls != mean)
check("in the order of the list", vectors(pool(["mean", "cls"])) == [b + a for a, b in zip(cls, mean)])
check("a mode may come twice", vectors(pool(["cls", "mean", "cls"])) == [a + b + a for a, b in zip(cls, mean)])
check("a list of one", vectors(pool(["mean"])) == mean)
check("the old flags", vectors(folder(modules=[("Pooling", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True})])) == [a + b for a, b in zip(cls, mean)])
for wrong in ("median", ["mean", "median"], ["cls"] * 17, [], [1], 5): refused(f"pooling_mode {wrong}", pool(wrong), "pooling_mode")
check("Dropout changes no answer", vectors(pool("mean", ("Dropout", {"dropout": 0.2}))) == mean)
unit = vectors(pool("mean", ("Dropout", {"dropout": 0.2}), ("Normalize", None)))
check("and modules behind it count", all(abs(sum(x * x for x in v) - 1) < 1e-5 for v in unit))
refused("a module that is not known", pool("mean", ("WordWeights", {})), "WordWeights")
for key in ("module_input_name", "module_output_name"):
    refused(f"a dense layer of something else: {key}", pool("mean", ("Dense", {"in_features": 24, "out_features": 1, key: "scores"})), key, "scores")
check("truncate_dim cuts vectors", vectors(pool("mean", settings={"truncate_dim": 7})) == [v[:7] for v in mean])
check("after normalising", vectors(pool("mean", ("Normalize", None), settings={"truncate_dim": 7})) == [v[:7] for v in unit])
for most in (None, 24, 1000): check(f"truncate_dim {most}", vectors(pool("mean", settings={"truncate_dim": most})) == mean)
refused("truncate_dim of words", pool("mean", settings={"truncate_dim": "x"}), "truncate_dim")
r = run("info", pool("mean", settings={"truncate_dim": 7}), "--json"); check("info says the width", r.status == 0 and "7" in json.dumps(r.json()[0].get("width", r.json()[0])), r)


# ---- Cross-encoders ----
def scores(made, query="hello"):
    r = run("rerank", made, "--query", query, "--json", stdin=TEXTS)
    return {row["index"]: row["score"] for row in r.json()} if r.status == 0 else r


def ranker(settings=None, **config):
    made = folder("BertForSequenceClassification", settings=settings, config={"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, **config})
    data = open(os.path.join(made, "model.safetensors"), "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    put, at = {}, b""
    for name, about in header.items():  # of the three labels the first stays
        if name == "__metadata__": continue
        first, last = about["data_offsets"]
        if name.startswith("classifier."):
            last = first + (last - first) // about["shape"][0]
            about = {**about, "shape": [1, *about["shape"][1:]]}
        put[name] = {**about, "data_offsets": [len(at), len(at) + last - first]}
        at += body[first:last]
    text = json.dumps(put).encode()
    os.remove(os.path.join(made, "model.safetensors"))
    with open(os.path.join(made, "model.safetensors"), "wb") as f: f.write(struct.pack("<Q", len(text)) + text + at)
    return made


plain, identity = scores(ranker()), scores(ranker({"activation_fn": "torch.nn.modules.linear.Identity"}))
sigmoid = {i: 1 / (1 + math.exp(-s)) for i, s in identity.items()}
check("activation_fn beside the prompts", near([plain[i] for i in range(3)], [sigmoid[i] for i in range(3)]), plain, identity)
check("activation_fn within config.json", scores(ranker(sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"})) == identity)
check("its oldest name", scores(ranker(sbert_ce_default_activation_function="torch.nn.modules.linear.Identity")) == identity)
check("the newest place wins", scores(ranker({"activation_fn": "torch.nn.modules.activation.Sigmoid"}, sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"})) == plain)
tanh = scores(ranker({"activation_fn": "torch.nn.modules.activation.Tanh"}))
check("another activation of PyTorch", near([tanh[i] for i in range(3)], [math.tanh(identity[i]) for i in range(3)]), tanh, identity)
refused("an activation that is not known", ranker({"activation_fn": "torch.nn.modules.activation.Softmax"}), "activation_fn", "Softmax", command="rerank")
prompts = {"prompts": {"query": "world "}, "default_prompt_name": "query"}
check("the default prompt stands before the query", scores(ranker(prompts), "hello") == scores(ranker(), "world hello") != plain)
check("a prompt that is no default does not", scores(ranker({**prompts, "default_prompt_name": None}), "hello") == plain)

# ---- Masked tokens: an untied decoder has a bias of its own ----
made = model("bert", "BertForMaskedLM")
want = run("fill", made, "--top", 1, "--json", stdin="hello [MASK]\n")
data = open(os.path.join(made, "model.safetensors"), "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header, body = json.loads(data[8:8 + size]), data[8 + size:]
count = header["cls.predictions.bias"]["shape"][0]


def with_bias(values):
    header["cls.predictions.decoder.bias"] = {"dtype": "F32", "shape": [count], "data_offsets": [len(body), len(body) + 4 * count]}
    text = json.dumps(header).encode()
    out = made + "-bias"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(made, out, symlinks=True)
    os.remove(os.path.join(out, "model.safetensors"))
    with open(os.path.join(out, "model.safetensors"), "wb") as f: f.write(struct.pack("<Q", len(text)) + text + body + struct.pack(f"<{count}f", *values))
    return run("fill", out, "--top", 1, "--json", stdin="hello [MASK]\n")


first, last = header["cls.predictions.bias"]["data_offsets"]
own = struct.unpack(f"<{count}f", body[first:last])
r = with_bias(own); check("the same bias twice", r.status == 0 and r.out == want.out, r, want)
r = with_bias([100.0 if i == 20 else 0.0 for i in range(count)]); check("a bias of the decoder's own counts", r.status == 0 and r.out != want.out and r.json()[0][0]["score"] > 0.99, r)

# ---- Tokenizers: vocab.txt as tokenizer.json, and what tokenizer_config.json says over it ----
def words_of(family):
    """A golden tokenizer's vocabulary, in the order of ids."""
    stored = json.load(open(os.path.join(golden, family, "tokenizer.json")))
    ids = {**stored["model"]["vocab"], **{t["content"]: t["id"] for t in stored["added_tokens"]}}
    return sorted(ids, key=ids.get), stored["normalizer"]


def tokenizer(family, settings, **files):
    """A folder with a family's configuration, tokenizer_config.json and other files."""
    made = model(family, "Model")
    os.remove(os.path.join(made, "tokenizer.json"))
    config = json.load(open(os.path.join(made, "config.json")))
    json.dump({**config, **files.pop("config", {})}, open(os.path.join(made, "config.json"), "w"))
    if settings is not None: json.dump(settings, open(os.path.join(made, "tokenizer_config.json"), "w"))
    for name, content in files.items():
        with open(os.path.join(made, name.replace("_txt", ".txt").replace("_json", ".json")), "w") as f: f.write(content if isinstance(content, str) else json.dumps(content))
    return made


PAIRS = "".join(json.dumps(x) + "\n" for x in ({"text": "Hello WORLD"}, {"text": "a [MASK] b <mask> c"}, {"text": "hello world", "pair": "a world of Words"}, {"text": "café", "pair": "中文"}))
def tokens(made, stdin=PAIRS): return run("tokenize", made, "--jsonl", "--json", stdin=stdin)


for family in ("bert", "mpnet", "electra", "distilbert", "funnel"):
    words, normal = words_of(family)
    want = tokens(os.path.join(golden, family))
    settings = {"do_lower_case": normal["lowercase"], "strip_accents": normal["strip_accents"], "tokenize_chinese_chars": normal["handle_chinese_chars"]}
    if family == "mpnet": settings["unk_token"] = "<unk>"  # not its class's name for it
    if family == "funnel": settings.update(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]")
    for name in ("MPNetTokenizer", "FunnelTokenizerFast", None) if family in ("mpnet", "funnel") else ("BertTokenizer", "ElectraTokenizerFast", None):
        if name and family in ("mpnet", "funnel") and family not in name.lower(): continue
        got = tokens(tokenizer(family, {**settings, **({"tokenizer_class": name} if name else {})}, vocab_txt="\n".join(words) + "\n"))
        check(f"{family}: vocab.txt of {name}", got.status == 0 and [r["ids"] for r in got.json()] == [r["ids"] for r in want.json()] and [r["types"] for r in got.json()] == [r["types"] for r in want.json()], got, want)
for name in ("BertJapaneseTokenizer", "KoBertTokenizer", "XLMTokenizer"): refused(f"vocab.txt of {name}", tokenizer("bert", {"tokenizer_class": name}, vocab_txt="\n".join(words_of("bert")[0])), name, command="tokenize")

stored = json.load(open(os.path.join(golden, "bert", "tokenizer.json")))
size = 1 + max([*stored["model"]["vocab"].values(), *(t["id"] for t in stored["added_tokens"])])


def bert(settings, **files): return tokenizer("bert", settings, tokenizer_json={**stored, "normalizer": {**stored["normalizer"], **files.pop("normalizer", {})}}, **files)


def pieces(made, text): return tokens(made, json.dumps({"text": text}) + "\n").json()[0]["tokens"][1:-1]


cased = {"lowercase": False, "strip_accents": False}
lower = pieces(bert({}), "hello")
check("a class of BERT's: tokenizer_config.json decides on upper case", pieces(bert({"tokenizer_class": "BertTokenizer", "do_lower_case": True}, normalizer=cased), "HELLO") == lower != pieces(bert({"tokenizer_class": "BertTokenizer", "do_lower_case": False}, normalizer=cased), "HELLO"))
check("the class of the model where none is named", pieces(bert({"do_lower_case": True}, normalizer=cased), "HELLO") == lower)
check("another class: tokenizer.json decides", pieces(bert({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}, normalizer=cased), "HELLO") != lower)
check("another family: tokenizer.json decides", pieces(bert({"do_lower_case": True}, normalizer=cased, config={"model_type": "roberta"}), "HELLO") != lower)
check("accents", pieces(bert({"strip_accents": True}, normalizer=cased), "he\u0301llo") == lower)
check("the class's own defaults count where nothing is said", pieces(bert({}, normalizer=cased), "HELLO") == lower == pieces(bert(None, normalizer=cased), "HE\u0301LLO"))
special = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
marks = {str(size): {"content": "[E1]", **special}, str(size + 1): {"content": "[/E1]", **special}}
plain = tokens(bert({}), '{"text": "hello"}\n').json()[0]["ids"]
want = [plain[0], size, *plain[1:-1], size + 1, plain[-1]]
for what, made in {"added_tokens_decoder": bert({"added_tokens_decoder": marks}), "added_tokens.json": bert({}, added_tokens_json={"[/E1]": size + 1, "[E1]": size}),
                   "additional_special_tokens": bert({"additional_special_tokens": ["[E1]", "[/E1]"]}), "special_tokens_map.json": bert({}, special_tokens_map_json={"additional_special_tokens": [{"content": "[E1]", **special}, "[/E1]"]})}.items():
    r = tokens(made, '{"text": "[E1]hello[/E1]"}\n'); check(f"added tokens outside tokenizer.json: {what}", r.status == 0 and r.json()[0]["ids"] == want, r, want)
r = tokens(bert({"added_tokens_decoder": {"0": {"content": "[PAD]", **special}}}), '{"text": "hello"}\n'); check("a token that is there stays", r.json()[0]["ids"] == plain, r)
for wrong in ({"added_tokens_decoder": []}, {"added_tokens_decoder": {"7": {}}}, {"additional_special_tokens": "x"}, {"additional_special_tokens": [5]}): refused(f"{wrong}", bert(wrong), "token", command="tokenize")
finish()
