#!/usr/bin/env python3
"""Each key of docs/keys.md has the decision that stands there, and each key that the installed packages knew when keys.json
was made (collect_keys.py) stands there.

    test_keys.py RUBATO GOLDEN_FOLDER
"""
import json, os, re

from program import check, finish, golden, model, one_line, run, work
from weights import floats, tensors, write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = "hello world\na world of words\nfoo\n"

# ---- The table is complete ----
decided, at = {}, ""
for line in open(os.path.join(HERE, "../../docs/keys.md"), encoding="utf-8"):
    if line.startswith("#"): at = line.strip("# \n")
    cells = line.split(" | ")
    if line.startswith("| `"):
        for key in re.findall(r"`([^`]+)`", cells[0]):
            check(f"{at} has {key} once", key not in decided.get(at, {}))
            decided.setdefault(at, {})[key] = cells[1]
        check(f"{at}: the decision begins with its word", re.match("obeyed|no effect|refused", cells[1]), line)
for file, keys in json.load(open(os.path.join(HERE, "keys.json"))).items():
    for key in keys: check(f"docs/keys.md decides on {key} of {file}", key in decided.get(file, {}))


def with_word(file, word): return {k for k, d in decided[file].items() if d.startswith(word)}


# ---- Folders ----
def rewrite(path, change):
    stored = json.load(open(path)) if os.path.exists(path) else {}
    change(stored)
    if os.path.lexists(path): os.remove(path)  # perhaps a link to a golden file
    os.makedirs(os.path.dirname(path), exist_ok=True)
    json.dump(stored, open(path, "w"))


def folder(family="bert", architecture=None, files=None, drop=(), **config):
    """A golden model with changed files: {name: members}."""
    made = model(family, architecture or json.load(open(os.path.join(golden, family, "config.json")))["architectures"][0], **config)
    for name, members in (files or {}).items(): rewrite(os.path.join(made, name), lambda stored: stored.update(members))
    if drop: rewrite(os.path.join(made, "config.json"), lambda stored: [stored.pop(k, None) for k in drop])
    return made


def sentence(modules, **files):
    """A folder of sentence-transformers. modules: {type: settings} behind the encoder."""
    made = folder(files=files.pop("files", None), **files)
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for kind, settings in modules.items():
        os.makedirs(os.path.join(made, kind))
        json.dump(settings, open(os.path.join(made, kind, "config.json"), "w"))
        listed.append({"idx": 9, "name": kind, "path": kind, "type": f"sentence_transformers.models.{kind}"})
    json.dump(listed, open(os.path.join(made, "modules.json"), "w"))
    return made


def answers(made, command="embed", stdin=TEXTS): return run(command, made, "--json", *(["--query", "hello"] if command == "rerank" else []), stdin=stdin)


def refused(what, made, *names, command="embed"):
    r = answers(made, command)
    check(f"refused: {what}", r.status == 1 and one_line(r) and all(n in r.err for n in names), r)


def same(what, made, want, **how): r = answers(made, **how); check(f"no effect: {what}", r.status == 0 and r.out == want.out, r, want)
def other(what, made, want, **how): r = answers(made, **how); check(f"obeyed: {what}", r.status == 0 and r.out != want.out, r, want)


plain = {family: answers(folder(family)) for family in ("bert", "distilbert", "electra", "roberta", "albert", "mpnet", "funnel", "mobilebert", "longformer", "bigbird", "modernbert", "fnet", "nystromformer", "xlnet", "nomic", "gte", "jina-v3", "jina-bert", "nomic-first", "gte-first", "reformer", "reformer-lsh")}

# ---- config.json: what is refused ----
FIRST = {**{k: ("nomic-first", True) for k in ("prenorm", "parallel_block", "causal", "use_rms_norm", "rotary_emb_interleaved")}, "rotary_emb_scale_base": ("nomic-first", 512), "rotary_scaling_factor": ("nomic-first", 2), "rotary_emb_fraction": ("nomic-first", 0.5),
         "pack_qkv": ("gte-first", False), "layer_norm_type": ("gte-first", "rms_norm"), "logn_attention_scale": ("gte-first", True), "logn_attention_clip1": ("gte-first", True)}
REFUSED = {**FIRST, "attn_type": ("xlnet", "uni"), "bi_data": ("xlnet", True), "clamp_len": ("xlnet", 5), "same_length": ("xlnet", True), "summary_use_proj": ("xlnet", False), "summary_activation": ("xlnet", "relu"), "use_bias": ("bigbird", False), "rescale_embeddings": ("bigbird", True), "pool_q_only": ("funnel", False), "num_blocks": ("funnel", 3), "use_bottleneck": ("mobilebert", False), "relative_attention_num_buckets": ("mpnet", 64), "position_embedding_type": ("bert", "relative_key"),
           "add_cross_attention": ("bert", True), "pruned_heads": ("bert", {"0": [1]}), "per_layer_config": ("bert", {"0": {"hidden_act": "relu"}}), "configuration_files": ("bert", ["config.4.0.0.json"]),
           "rope_scaling": ("modernbert", {"type": "linear", "factor": 2}), "head_dim": ("modernbert", 4), "transformers_weights": ("bert", "other.safetensors"), "quantization_config": ("bert", {"quant_method": "gptq", "bits": 4})}
check("every key that is refused is tried", with_word("config.json", "refused") == set(REFUSED), with_word("config.json", "refused") ^ set(REFUSED))
for key, (family, value) in REFUSED.items(): refused(f"{key} {value}", folder(family, **{key: value}), key)
for family in plain: refused(f"is_decoder of {family}", folder(family, is_decoder=True), "is_decoder")
for key, value in (("is_decoder", "yes"), ("hidden_act", "prelu"), ("hidden_act", "xielu"), ("hidden_act", "gelu_11"), ("problem_type", "ranking"), ("position_embedding_type", 5), ("quantization_config", {"bits": 4}), ("quantization_config", [])):
    head = "BertForSequenceClassification"
    refused(f"{key} {value}", folder("bert", head, **{key: value}), key, command="classify")
refused("num_hidden_layers in a Funnel-Transformer", folder("funnel", num_hidden_layers=3), "num_hidden_layers")
refused("attention_type", folder("funnel", attention_type="other"), "attention_type")
refused("attention_type", folder("bigbird", attention_type="other"), "attention_type")
refused("block_size", folder("bigbird", block_size=0), "block_size")
for value in ([2, 4, 4], 3, [4, "4"], -2): refused(f"attention_window {value}", folder("longformer", attention_window=value), "attention_window")
refused("num_labels against id2label", folder("bert", "BertForSequenceClassification", num_labels=4), "num_labels is 4", "id2label has 3", command="classify")
refused("an untied decoder that is not stored", folder("bert", "BertForMaskedLM", tie_word_embeddings=False), "decoder", command="fill")
for key in with_word("config.json", "refused"): same(f"{key} without a value", folder("bert", **{key: None}), plain["bert"])
for key, value in (("pruned_heads", {}), ("is_decoder", False), ("is_decoder", 0), ("configuration_files", []), ("quantization_config", {"quant_method": "rubato"}), ("position_embedding_type", "absolute")):
    same(f"{key} {value}", folder("bert", **{key: value}), plain["bert"])

# ---- config.json: what has no effect ----
STRANGE = {"auto_map": None, "dtype": "float16", "torch_dtype": "bfloat16", "problem_type": None}
strange = {key: STRANGE.get(key, value) for key in with_word("config.json", "no effect") for value in [{"a": 1} if key.endswith("params") else 7 if key.endswith("_id") or "size" in key else 0.5 if "dropout" in key or "range" in key else "mean"]}
for family in plain: same(f"every such key at once, {family}", folder(family, **strange), plain[family])
same("attention_type", folder("funnel", attention_type="factorized"), plain["funnel"])
same("a key that nobody knows", folder("bert", nobody_knows={"it": 1}), plain["bert"])
same("the pad's id in MPNet", folder("mpnet", pad_token_id=3), plain["mpnet"])
same("layer_norm_eps in DistilBERT", folder("distilbert", layer_norm_eps=0.5), plain["distilbert"])

# ---- config.json: what is obeyed ----
CHANGES = {"attention_window": ("longformer", 2), "num_hidden_layers": ("bert", 2), "layer_norm_eps": ("bert", 0.5), "num_attention_heads": ("bert", 2), "n_layers": ("distilbert", 2), "n_heads": ("distilbert", 2), "activation": ("distilbert", "relu"), "hidden_act": ("bert", "relu"),
           "pad_token_id": ("roberta", 0), "separate_cls": ("funnel", False), "truncate_seq": ("funnel", False), "pooling_type": ("funnel", "max"), "block_repeats": ("funnel", [1, 1, 2]), "num_feedforward_networks": ("mobilebert", 2), "normalization_type": ("mobilebert", "layer_norm"), "hidden_activation": ("modernbert", "relu"), "norm_eps": ("modernbert", 0.5), "local_attention": ("modernbert", 2), "sliding_window": ("modernbert", 1), "num_landmarks": ("nystromformer", 3), "segment_means_seq_len": ("nystromformer", 5), "conv_kernel_size": ("nystromformer", None), "layer_types": ("modernbert", ["full_attention"] * 4),
           "num_hashes": ("reformer", 1), "num_buckets": ("reformer", 2), "hash_seed": ("reformer", 4), "lsh_attn_chunk_length": ("reformer", 2), "local_attn_chunk_length": ("reformer", 2),
           **{f"{kind}_num_chunks_{side}": ("reformer", value) for kind in ("lsh", "local") for side, value in (("before", 0), ("after", 1))},
           "rotary_emb_base": ("nomic-first", 9), "layer_norm_epsilon": ("nomic-first", 0.5), "activation_function": ("nomic-first", "geglu"), "rope_theta": ("gte-first", 9),
           "n_layer": ("xlnet", 2), "ff_activation": ("xlnet", "relu"), "rope_parameters": ("modernbert", {"full_attention": {"rope_theta": 9.0}})}
CHECKED = {"attn_layers": ("reformer", ["lsh"] * 4), "attention_head_size": ("reformer", 8), "feed_forward_size": ("reformer", 41), "axial_pos_embds": ("reformer", False), "axial_pos_shape": ("reformer", [8, 4]), "axial_pos_embds_dim": ("reformer", [12, 12]),
           "n_embd": ("nomic-first", 27), "n_inner": ("nomic-first", 41), "vocab_size": ("bert", 60), "hidden_size": ("bert", 27), "intermediate_size": ("bert", 41), "max_position_embeddings": ("bert", 18), "type_vocab_size": ("bert", 3), "embedding_size": ("electra", 15), "num_hidden_groups": ("albert", 9),
           "inner_group_num": ("albert", 3), "dim": ("distilbert", 27), "hidden_dim": ("distilbert", 41), "d_model": ("funnel", 26), "n_head": ("funnel", 2), "d_head": ("funnel", 4), "d_inner": ("funnel", 41), "block_sizes": ("funnel", [9, 9, 9]), "intra_bottleneck_size": ("mobilebert", 21), "key_query_shared_bottleneck": ("mobilebert", False), "use_bottleneck_attention": ("mobilebert", True), "trigram_input": ("mobilebert", False)}
ELSEWHERE = {"sep_token_id", "model_type", "label2id", "architectures", "tokenizer_class", "sentence_transformers", "sbert_ce_default_activation_function", "hidden_dropout_prob", "attention_probs_dropout_prob", "hidden_dropout", "attention_dropout", "dropout", "embedding_dropout", "lsh_attention_probs_dropout_prob"}
BELOW = {"classifier_activation", "tie_word_embeddings", "id2label", "num_labels", "classifier_pooling", "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta", "problem_type", "num_decoder_layers", "attention_type", "block_size", "num_random_blocks", "is_decoder", "summary_type", "max_trained_positions"}
check("every key that is obeyed is tried", with_word("config.json", "obeyed") == {*CHANGES, *CHECKED, *ELSEWHERE, *BELOW}, with_word("config.json", "obeyed") ^ {*CHANGES, *CHECKED, *ELSEWHERE, *BELOW})
for key, (family, value) in CHANGES.items():
    if key == "num_attention_heads" or key == "n_heads": value = 6
    other(f"{key} {value}", folder(family, **{key: value}), plain[family])
for key, (family, value) in CHECKED.items(): refused(f"{key} {value}, which the weights do not have", folder(family, **{key: value}), "")
names = {"dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads"}
whole = json.load(open(os.path.join(golden, "distilbert", "config.json")))
same("DistilBERT's second names", folder("distilbert", drop=list(names), **{second: whole[first] for first, second in names.items()}), plain["distilbert"])
other("DistilBERT's second names win", folder("distilbert", num_hidden_layers=1), plain["distilbert"])
for act in ("gelu_python", "linear", "mish", "relu2", "relu6", "leaky_relu", "sigmoid", "laplace", "hardswish", "sqrtsoftplus", "relu", "silu", "swish", "tanh", "gelu_new", "quick_gelu"): other(f"hidden_act {act}", folder("electra", hidden_act=act), plain["electra"]) if act != "gelu_python" else same(act, folder("electra", hidden_act=act), plain["electra"])

MODERN = {"global_attn_every_n_layers": 1, "global_rope_theta": 9.0, "local_rope_theta": 9.0}  # keys of transformers 4
old = lambda **more: folder("modernbert", drop=["layer_types", "rope_parameters"], **more)
want = answers(old()); same("transformers 4's names of ModernBERT's keys", old(global_attn_every_n_layers=3, global_rope_theta=160000.0, local_rope_theta=10000.0), want)
for key, value in MODERN.items(): other(f"{key} {value}", old(**{key: value}), want)
for key, value in (("layer_types", ["full_attention"]), ("layer_types", ["other"] * 4), ("local_attention", 0), ("max_position_embeddings", 1 << 19), ("rope_parameters", {"full_attention": {"rope_type": "yarn"}}), ("classifier_pooling", "max"), ("global_attn_every_n_layers", 0), ("rope_parameters", {"full_attention": {"rope_theta": -1}})):
    refused(f"{key} {value}", folder("modernbert", drop=["layer_types"] if "every" in key else [], **{key: value}), "")
want = answers(folder("modernbert", "ModernBertForSequenceClassification"), "classify")
for key, value in (("classifier_pooling", "cls"), ("classifier_activation", "relu")): other(f"{key} {value}", folder("modernbert", "ModernBertForSequenceClassification", **{key: value}), want, command="classify")

long = {"stdin": " ".join("abcdefghijklmnop") + "\n"}  # a text of which Big Bird's blocks do not see all
want = answers(folder("bigbird"), **long)
for key, value in (("block_size", 1), ("num_random_blocks", 0), ("attention_type", "original_full")): other(f"{key} {value}", folder("bigbird", **{key: value}), want, **long)
want = answers(folder("bert", "BertForSequenceClassification"), "classify")
refused("classifier_activation without a pooler", folder("mobilebert", "MobileBertForSequenceClassification", classifier_activation=True), "pooler", command="classify")
other("id2label", folder("bert", "BertForSequenceClassification", id2label={"0": "x", "1": "y", "2": "z"}), want, command="classify")
other("rope_parameters in NomicBERT", folder("nomic", rope_parameters={"rope_theta": 9.0}), plain["nomic"])
other("rope_scaling in GTE", folder("gte-first", rope_scaling={"type": "ntk", "factor": 3.0}), plain["gte-first"])
for value in ({"type": "linear", "factor": 2}, {"type": "ntk", "factor": 2, "mixed_b": 0.5}, {"type": "ntk", "factor": 0}): refused(f"rope_scaling {value}", folder("gte-first", rope_scaling=value), "rope_scaling")
r = run("info", folder("nomic-first", max_trained_positions=7), "--json"); check("obeyed: max_trained_positions", r.json()[0]["max_length"] == 7, r)
for key, value in (("attn_layers", ["sorted"]), ("num_buckets", [2, 3]), ("num_buckets", [2]), ("num_buckets", 3), ("lsh_attn_chunk_length", 0), ("local_num_chunks_before", 99), ("axial_pos_shape", [4]), ("axial_pos_embds_dim", [9, 14]), ("num_hashes", 0)): refused(f"{key} {value}", folder("reformer", **{key: value}), "")
first = answers(folder("xlnet", "XLNetForSequenceClassification"), "classify")
for value in ("mean", "first"): other(f"summary_type {value}", folder("xlnet", "XLNetForSequenceClassification", summary_type=value), first, command="classify")
refused("summary_type", folder("xlnet", summary_type="attn"), "summary_type")
other("problem_type", folder("bert", "BertForSequenceClassification", problem_type="multi_label_classification"), want, command="classify")
same("num_labels as many as id2label", folder("bert", "BertForSequenceClassification", num_labels=3), want, command="classify")
r = answers(folder("bert", "BertForSequenceClassification", drop=["id2label", "label2id"], num_labels=3), "classify"); check("obeyed: num_labels alone", r.status == 0 and "LABEL_" in r.out, r)
refused("num_labels alone, which the weights do not have", folder("bert", "BertForSequenceClassification", drop=["id2label", "label2id"]), "2", command="classify")
refused("num_decoder_layers", folder("funnel", "FunnelForMaskedLM", num_decoder_layers=3), "decoder.layers.2", command="fill")
made = folder("bert", "BertForMaskedLM", tie_word_embeddings=False)
stored = tensors(made)
kind, shape, data = stored["bert.embeddings.word_embeddings.weight"]
tied = answers(folder("bert", "BertForMaskedLM"), "fill", "hello [MASK]\n")
for what, decoder in {"an untied decoder that is the embeddings": data, "another untied decoder": data[::-1]}.items():
    write_tensors(made, {**stored, "cls.predictions.decoder.weight": (kind, shape, floats([0.1 * (i % 7) for i in range(shape[0] * shape[1])])[2] if "another" in what else decoder)})
    r = answers(made, "fill", "hello [MASK]\n"); check(f"obeyed: {what}", r.status == 0 and (r.out == tied.out) == ("another" not in what), r, tied)

# ---- What is saved has no key that contradicts what was changed ----
data = os.path.join(work, "two.tsv")
with open(data, "w") as f: f.write("text\tlabel\nhello\tx\nworld\ty\n")
made = folder("distilbert", drop=["id2label", "label2id", *names], num_labels=3, **{second: whole[first] for first, second in names.items()})
r = run("trim", made, "--layers", "0,2", "--out", made + "-trimmed")
if r.status == 0: r = run("train", made + "-trimmed", "--task", "classification", "--data", data, "--epochs", 1, "--out", made + "-out")
saved = json.load(open(os.path.join(made + "-out", "config.json"))) if r.status == 0 else {}
check("fewer layers, and training with other labels", r.status == 0 and saved["n_layers"] == 2 and not {"num_labels", "num_hidden_layers"} & set(saved), r, saved)
r = answers(made + "-out", "classify"); check("and what it saved answers", r.status == 0 and '"x"' in r.out, r)

# ---- sentence-transformers ----
pooling = {"Pooling": {"pooling_mode": "mean"}}
mean = answers(sentence(pooling))
check("the encoder's own pooling is the mean", mean.status == 0 and mean.out == plain["bert"].out, mean)
file = "sentence_bert_config.json"
REFUSED = {"transformer_task": "fill-mask", "modality_config": {"text": {"method": "get_text_features", "method_output_name": "last_hidden_state"}}, "module_output_name": "sentence_embedding", "processing_kwargs": {"text": {"padding": "max_length"}},
           "query_length": 32, "document_length": 128, "query_expansion": {"length": 32}, "tokenizer_name_or_path": "bert-base-uncased", **{k: {"a": 1} for k in ("tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")}}
check(f"{file}: every key that is refused is tried", with_word(file, "refused") == set(REFUSED), with_word(file, "refused") ^ set(REFUSED))
for key, value in REFUSED.items(): refused(f"{file}: {key}", sentence(pooling, files={file: {key: value}}), file, "method" if key == "modality_config" else key)
same("what version 6 writes", sentence(pooling, files={file: {"transformer_task": "feature-extraction", "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}, "module_output_name": "token_embeddings"}}), mean)
same("empty ones", sentence(pooling, files={file: {k: None for k in REFUSED}}), mean)
same(f"{file}: no effect", sentence(pooling, files={file: {"model_args": {"dtype": "float16"}, "model_kwargs": {}, "backend": "onnx", "unpad_inputs": False}}), mean)
other(f"{file}: max_seq_length", sentence(pooling, files={file: {"max_seq_length": 3}}), mean)
upper = "HELLO world\n"
uncased = {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
cased = sentence(pooling, files={**uncased, file: {"do_lower_case": True}})
rewrite(os.path.join(cased, "tokenizer.json"), lambda t: t["normalizer"].update(lowercase=False, strip_accents=False))
check(f"obeyed: {file}: do_lower_case", answers(cased, stdin=upper).out == answers(sentence(pooling), stdin=upper.lower()).out)
file = "config_sentence_transformers.json"
for kind in ("SparseEncoder", "MultiVectorEncoder"): refused(f"{file}: model_type {kind}", sentence(pooling, files={file: {"model_type": kind}}), "model_type", kind)
same(f"{file}: no effect", sentence(pooling, files={file: {"model_type": "SentenceTransformer", "similarity_fn_name": "dot", "max_active_dims": 5, "keep_in_fp32_modules": ["a"], "requirements": {"torch": ">9"}, "__version__": {"transformers": "1"}}}), mean)
other(f"{file}: truncate_dim", sentence(pooling, files={file: {"truncate_dim": 5}}), mean)
other(f"{file}: prompts", sentence(pooling, files={file: {"prompts": {"query": "foo "}, "default_prompt_name": "query"}}), mean)


def dense(settings, out=24, more=()):
    made = sentence({**pooling, "Dense": {"in_features": 24, "out_features": out, "activation_function": "torch.nn.modules.linear.Identity", **settings}})
    weight = [0.01 * ((i * 7 + j * 3) % 11) for i in range(out) for j in range(24)]
    write_tensors(os.path.join(made, "Dense"), {"linear.weight": ("F32", [out, 24], floats(weight)[2]), "linear.bias": floats([0.5] * out), **dict(more)})
    return made


def rows(made): r = answers(made); return [x["embedding"] for x in r.json()] if r.status == 0 else r


ways, inputs = rows(dense({})), [x["embedding"] for x in mean.json()]
near = lambda a, b: len(a) == len(b) and all(abs(x - y) < 1e-4 for p, q in zip(a, b) for x, y in zip(p, q))
check("obeyed: use_residual", near(rows(dense({"use_residual": True})), [[a + b for a, b in zip(p, q)] for p, q in zip(ways, inputs)]))
first = ("residual.weight", ("F32", [3, 24], floats([1.0 if j == 2 * i else 0.0 for i in range(3) for j in range(24)])[2]))
check("obeyed: use_residual through weights", near(rows(dense({"use_residual": True}, 3, [first])), [[a + b for a, b in zip(p, q[::2])] for p, q in zip(rows(dense({}, 3)), inputs)]))
refused("use_residual whose weights are not stored", dense({"use_residual": True}, 3), "residual")
for key in ("module_input_name", "module_output_name"): refused(f"Dense: {key}", dense({key: "token_embeddings"}), key)
for name in ("ReLU", "ReLU6", "LeakyReLU", "GELU", "SiLU", "Hardswish", "Mish", "Sigmoid", "Tanh"):
    got = rows(dense({"activation_function": f"torch.nn.modules.activation.{name}"}))
    check(f"obeyed: activation_function {name}", isinstance(got, list) and (got != ways) == (got != rows(dense({}))), got)
for name in ("torch.nn.modules.activation.PReLU", "transformers.activations.GELUActivation", "Tanh", ""): refused(f"activation_function {name!r}", dense({"activation_function": name}), "activation_function")
flags = {k: False for k in decided["N_Pooling/config.json"] if k.startswith("pooling_mode_")}
same("no flag is true: the mean", sentence({"Pooling": flags}), mean)
for key in flags: r = answers(sentence({"Pooling": {**flags, key: True}})); check(f"obeyed: {key}", r.status == 0 and (r.out == mean.out) == (key == "pooling_mode_mean_tokens"), r)

check("a flag alone is no mean", answers(sentence({"Pooling": {"pooling_mode_cls_token": True}})).out == answers(sentence({"Pooling": {"pooling_mode": "cls"}})).out)

# ---- tokenizer_config.json ----
file, pairs = "tokenizer_config.json", "".join(json.dumps(x) + "\n" for x in ({"text": "hello", "pair": "a world"}, {"text": "foo [E1]"}))
def tokens(made): return run("tokenize", made, "--jsonl", "--json", stdin=pairs)
def configured(**members): return folder(files={file: {"tokenizer_class": "PreTrainedTokenizerFast", **members}})


want = tokens(configured())
check("tokens", want.status == 0 and 1 in want.json()[0]["types"], want)
check(f"{file} has no key that is refused", not with_word(file, "refused"))
check("obeyed: model_max_length", run("info", configured(model_max_length=7), "--json").json()[0]["max_length"] == 7)
nothing = {k: "left" if k == "padding_side" else [] if "files" in k else True for k in with_word(file, "no effect")}
r = tokens(configured(**nothing)); check(f"no effect: every such key of {file} at once", r.status == 0 and r.out == want.out, r, want)

# ---- tokenizer.json ----
def stage(change):
    made = folder()
    rewrite(os.path.join(made, "tokenizer.json"), change)
    return made


for place, wrong in {"normalizer": ["Other"], "pre_tokenizer": ["CharDelimiterSplit", "FixedLength", "Split", "UnicodeScripts"], "model": ["Other"], "post_processor": ["Other"]}.items():
    for name in wrong: refused(f"{place} {name}", stage(lambda t: t[place].update(type=name)), name, command="tokenize")
refused("Punctuation's behavior", stage(lambda t: t.update(pre_tokenizer={"type": "Punctuation", "behavior": "Removed"})), "behavior", command="tokenize")
refused("Replace by a regular expression", stage(lambda t: t.update(normalizer={"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"})), "Replace", command="tokenize")
bpe = {"type": "BPE", "vocab": {"[UNK]": 0, "[CLS]": 2, "[SEP]": 3, "a": 4}, "merges": [], "unk_token": "[UNK]"}
for key, value in {"dropout": 0.1, "continuing_subword_prefix": "##", "byte_fallback": True}.items():
    refused(f"BPE's {key}", stage(lambda t: t.update(model={**bpe, key: value})), "BPE", command="tokenize")
check("BPE without them", tokens(stage(lambda t: t.update(model={**bpe, "dropout": None}))).status == 0)
r = run("tokenize", stage(lambda t: t.update(model={**bpe, "vocab": {**bpe["vocab"], "a</w>": 5}, "end_of_word_suffix": "</w>"})), "--json", stdin="aa a\n")
check("obeyed: BPE's end_of_word_suffix", r.status == 0 and r.json()[0]["ids"] == [2, 4, 5, 5, 3], r)
r = tokens(stage(lambda t: t.update(truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}, padding={"strategy": "BatchLongest", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]", "direction": "Right"}, decoder={"type": "CTC"}, version="2.0")))
check("no effect: truncation, padding, decoder, version", r.out == tokens(folder()).out and r.status == 0, r)
finish()
