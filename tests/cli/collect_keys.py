#!/usr/bin/env python3
"""Collects the keys that installed packages write into the files of a model's folder or read from them: transformers,
tokenizers and sentence-transformers. It reads their sources; of tokenizers it asks each part what it writes. Newer
packages may bring keys that docs/keys.md does not decide on: test_keys.py then names them.

    tests/cli/collect_keys.py FOLDER ... > tests/cli/keys.json     FOLDER: where packages are installed (pip --target)
"""
import ast, glob, json, os, re, sys

MODELS = ["bert", "distilbert", "electra", "roberta", "xlm_roberta", "camembert", "albert", "mpnet", "funnel", "mobilebert", "modernbert", "fnet", "nystromformer", "xlnet", "nomic_bert", "gte", "jina_embeddings_v3", "reformer"]
found = {}
# Python objects and arguments of functions: no file holds them
NOT_KEYS = set("self cls args kwargs vocab_file merges_file tokenizer_file vocab merges tokenizer_object __slow_tokenizer gguf_file from_slow _from_auto _from_pipeline cache_dir proxies subfolder token revision "
               "use_auth_token resume_download local_files_only force_download commit_message repo_id save_jinja_files src_lang tgt_lang use_source_tokenizer max_target_length verbose padding truncation max_length "
               "pad_to_multiple_of trust_remote_code _configuration_file _json_truncation _json_padding _spm_precompiled_charsmap _init_all added_tokens_encoder model_name_or_path cache_folder backend_tokenizer "
               "post_processor tokenizer_padding tokenizer_truncation foo bar code_revision unk_id legacy_format gguf_metadata repo_type push_to_hub "
               "config_keys config_file_name save_in_root device_map tokenizer init_weight init_bias path type sentence_transformers".split())


def add(file, keys): found.setdefault(file, set()).update(keys)


def add_read(file, keys): add(file, {k for k in keys if k not in NOT_KEYS and (k[0] != "_" or k == "__version__")})


def read(*path):
    path = os.path.join(*path)
    return open(path, encoding="utf-8").read() if os.path.exists(path) else ""


def fields(text, wanted=""):
    """The fields, and the arguments of __init__, of the classes whose names end so; and what they rename."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef) or not node.name.endswith(wanted): continue
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.unparse(part.annotation): yield part.target.id
            if isinstance(part, ast.FunctionDef) and part.name == "__init__": yield from (a.arg for a in part.args.args + part.args.kwonlyargs)
            if isinstance(part, ast.FunctionDef) and any(ast.unparse(d).endswith(".setter") for d in part.decorator_list): yield part.name
            if isinstance(part, ast.Assign) and getattr(part.targets[0], "id", "") == "attribute_map": yield from (k.value for k in part.value.keys)


def lists(text, names):
    """The strings of assignments such as config_keys = ["a", "b"]."""
    for node in ast.walk(ast.parse(text)):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) and node.value else None
        if not isinstance(target, ast.Name) or target.id not in names: continue
        items = node.value.keys if isinstance(node.value, ast.Dict) else getattr(node.value, "elts", [])
        yield from (c.value for c in items if isinstance(c, ast.Constant))


popped = lambda text, name="kwargs": re.findall(rf"\b{name}\.(?:pop|get)\(\s*\"(\w+)\"", text)


def transformers(package):
    base = read(package, "configuration_utils.py")
    inside = {"base_config_key", "sub_configs", "has_no_defaults_at_init", "attribute_map", "base_model_tp_plan", "base_model_pp_plan", "_auto_class", "base_model_ep_plan"}
    add_read("config.json", set(fields(base, "PreTrainedConfig")) | set(fields(base, "PretrainedConfig")) - inside)
    add_read("config.json", popped(base[base.index("class Pre"):base.index("def save_pretrained")]) + ["auto_map", "quantization_config", "configuration_files", "transformers_weights", "per_layer_config"])
    found["config.json"] -= inside
    for model in MODELS:
        add_read("config.json", fields(read(package, "models", model, f"configuration_{model}.py"), "Config"))
        code = read(package, "models", model, f"modeling_{model}.py")
        attributes = re.findall(r"(?<![\w.])(?:self\.)?config\.([a-z]\w*)\b(?!\()", code) + re.findall(r"getattr\((?:self\.)?config, \"(\w+)\"", code)
        add_read("config.json", (a for a in attributes if a not in ("use_return_dict", "num_blocks", "get_text_config")))
        for name in glob.glob(os.path.join(package, "models", model, "tokenization_*.py")):
            if "_tf" not in name: add_read("tokenizer_config.json", fields(read(name), ("Tokenizer", "TokenizerFast")))
    for name in ("text_classification", "token_classification", "fill_mask", "feature_extraction", "base"):
        add_read("config.json", re.findall(r"self\.model\.config\.([a-z]\w*)\b(?!\()", read(package, "pipelines", name + ".py")))
    for name in ("tokenization_utils_base.py", "tokenization_utils_tokenizers.py", "tokenization_utils_fast.py"):
        text = read(package, name)
        if not text: continue
        add_read("tokenizer_config.json", popped(text) + popped(text, "init_kwargs") + popped(text, "tokenizer_config") + re.findall(r"\"(\w+)\" in tokenizer_config", text))
        specials = set(lists(text, ["SPECIAL_TOKENS_ATTRIBUTES"]))
        add_read("tokenizer_config.json", specials)
        add_read("special_tokens_map.json", specials)
    add_read("special_tokens_map.json", ["additional_special_tokens"])
    add("model.safetensors.index.json", ["metadata", "weight_map"])


def tokenizers(folder):
    sys.path.insert(0, folder)
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    whole = json.loads(Tokenizer(models.BPE()).to_str())
    add("tokenizer.json", whole)
    add("tokenizer.json: added_tokens", ["id", *AddedToken("a").__getstate__()])
    arguments = {"Replace": [("a", "b"), (Regex("a"), "b")], "Prepend": [("a",)], "Precompiled": [(b"",)], "CharDelimiterSplit": [("a",)], "Split": [("a", "removed")], "Sequence": [([],)],
                 "BertProcessing": [(("b", 1), ("a", 0))], "RobertaProcessing": [(("b", 1), ("a", 0))], "TemplateProcessing": [("$A", "$A $B", [("a", 0)])], "Strip": [(), ("a", 1, 1)], "FixedLength": [(), (5,)], "Unigram": [(), ([("a", 0.0)], 0, False)]}
    for place, module in {"model": models, "normalizer": normalizers, "pre_tokenizer": pre_tokenizers, "post_processor": processors, "decoder": decoders}.items():
        for name in dir(module):
            kind = getattr(module, name)
            if not isinstance(kind, type) or name in ("Model", "Normalizer", "PreTokenizer", "PostProcessor", "Decoder", "DecodeStream"): continue
            stage = None
            for given in arguments.get(name, [()]):
                try: stage = kind(*given)
                except Exception: continue
            add(f"tokenizer.json: {place}", [name])
            if stage is None: continue
            tokenizer = Tokenizer(stage if place == "model" else models.BPE())
            if place != "model": setattr(tokenizer, place, stage)
            add(f"tokenizer.json: {place}", set(json.loads(tokenizer.to_str())[place]) - {"type"})


def sentence_transformers(package):
    for name in glob.glob(os.path.join(package, "**", "*.py"), recursive=True):
        text = read(name)
        module = os.path.basename(name).removesuffix(".py").lower()
        if module == "transformer":
            add_read("sentence_bert_config.json", lists(text, ["config_keys"]))
            add_read("sentence_bert_config.json", fields(text, "Transformer"))
            add_read("sentence_bert_config.json", lists(text, ["_OLD_TO_NEW"]))
        for kind in ("pooling", "dense", "normalize", "layer_norm", "layernorm", "dropout"):
            if module != kind: continue
            wanted = "LayerNorm" if kind.startswith("layer") else kind.capitalize()
            add_read(f"N_{wanted}/config.json", lists(text, ["config_keys", "_LEGACY_POOLING_MODE_KWARGS", "config_key_renames"]))
            add_read(f"N_{wanted}/config.json", fields(text, wanted))
        if re.search(r"(?i)class (SentenceTransformer|CrossEncoder|BaseModel)\b", text):
            add_read("config_sentence_transformers.json", re.findall(r"(?:self\._)?model_config(?:\.get\(|\[)\s*\"(\w+)\"", text) + re.findall(r"\"(\w+)\" in (?:self\._)?model_config", text))
        if module in ("model", "sentencetransformer"):
            add_read("modules.json", re.findall(r"module_config(?:\.get\(|\[)\"(\w+)\"", text))
            add_read("config_sentence_transformers.json", re.findall(r"config\[\"(\w+)\"\]", text))
    add("modules.json", ["idx", "name", "path", "type", "kwargs"])
    add("config.json", ["sentence_transformers", "sbert_ce_default_activation_function"])


for folder in sys.argv[1:]:
    for name, collect in {"transformers": transformers, "sentence_transformers": sentence_transformers}.items():
        if os.path.isdir(os.path.join(folder, name)): collect(os.path.join(folder, name))
    if os.path.isdir(os.path.join(folder, "tokenizers")): tokenizers(folder)
print(json.dumps({file: sorted(keys) for file, keys in sorted(found.items())}, indent=1))
