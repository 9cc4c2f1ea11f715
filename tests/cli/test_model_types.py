#!/usr/bin/env python3
"""The family of a folder's model: from config.json's model_type, its architectures, or the names of the tensors.

    test_model_types.py RUBATO GOLDEN_FOLDER
"""
import json, os

from program import check, finish, model, one_line, run
from weights import tensors, write_tensors

TEXT = "hello world\n"
NAMES = {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "albert": "Albert", "mpnet": "MPNet", "funnel": "Funnel", "mobilebert": "MobileBert", "longformer": "Longformer", "bigbird": "BigBird", "modernbert": "ModernBert", "fnet": "FNet", "nystromformer": "Nystromformer", "xlnet": "XLNet", "nomic": "NomicBert", "gte": "Gte", "jina-v3": "JinaEmbeddingsV3", "reformer": "Reformer"}


def folder(family, drop=(), prefix=True, **changes):
    """A golden model without some keys of config.json, its encoder's tensors with a prefix or without."""
    made = model(family, changes.pop("architecture", NAMES[family] + "Model"), **changes)
    path = os.path.join(made, "config.json")
    config = {k: v for k, v in json.load(open(path)).items() if k not in drop}
    json.dump(config, open(path, "w"))
    if not prefix:
        stored = tensors(made)
        lead = next(k for k in stored if "word_embedding" in k or "tok_embeddings" in k).split("word_embedding")[0].split("embeddings")[0]
        write_tensors(made, {k.removeprefix(lead): v for k, v in stored.items()})
    return made


def embed(made): return run("embed", made, "--json", stdin=TEXT)


def refused(what, made, *names):
    r = embed(made)
    check(what, r.status == 1 and one_line(r) and all(n in r.err for n in names), r)


for family, name in NAMES.items():
    want = embed(folder(family))
    check(f"{family}: nothing is to say", want.status == 0 and "model_type" not in want.err, want)
    r = embed(folder(family, drop=["model_type"])); check(f"{family} from its architecture", r.status == 0 and r.out == want.out and "no model_type" in r.err, r, want)
    r = embed(folder(family, drop=["model_type", "architectures"])); check(f"{family} from its tensors", r.status == 0 and (r.out == want.out or family == "bigbird") and "no model_type" in r.err, r, want)  # Big Bird's names are BERT's
    r = embed(folder(family, model_type="new-" + family)); check(f"{family}: a type that nobody knows, a class that is known", r.status == 0 and r.out == want.out and "not known" in r.err, r, want)
    plain = folder(family, drop=["model_type", "architectures"], prefix=False)
    if family in ("bert", "electra", "roberta", "xlm-roberta", "longformer", "bigbird", "nystromformer", "nomic", "gte", "jina-v3"): refused(f"{family}: tensors of several families", plain, "model_type", "architectures", "xlm-roberta")
    else: r = embed(plain); check(f"{family}: from its tensors without the prefix", r.status == 0 and r.out == want.out, r, want)
    for head in ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"):
        if (family, head) == ("reformer", "ForTokenClassification"): continue  # transformers has no such class
        r = run("info", folder(family, drop=["model_type"], architecture=name + head), "--json"); check(f"{family}{head} from its class", r.status == 0 and r.json()[0]["family"] in (family, "roberta", "big_bird", "nomic_bert", "jina_embeddings_v3"), r)

for name in ("XLMRobertaXLModel", "RobertaPreLayerNormForMaskedLM", "DebertaModel", "BertGenerationEncoder", "Model", ""):
    refused(f"the class {name!r} is of no family", folder("bert", drop=["model_type"], architecture=name), "model_type")
for wrong in ("gpt2", "", "BERT"): refused(f"model_type {wrong!r}", folder("bert", model_type=wrong, architecture="GPT2Model"), f'"{wrong}"', "bert, distilbert")
refused("model_type of another type", folder("bert", model_type=5), "model_type")
refused("code of its own under a class's name", folder("bert", model_type="my-bert", auto_map={"AutoModel": "mine.BertModel"}), "my-bert")
r = embed(folder("bert", auto_map={"AutoModel": "mine.BertModel"})); check("code of its own for a known type does not run", r.status == 0 and "auto_map" in r.err, r)
r = embed(folder("bert", architecture="RobertaModel")); check("model_type counts before another architecture", r.status == 0 and "RobertaModel" in r.err, r)
r = run("tokenize", folder("bert", drop=["model_type"]), stdin=TEXT); check("a command without weights", r.status == 0, r)

# ---- What is saved says it ----
made = folder("xlm-roberta", drop=["model_type"])
out = made + "-out"
r = run("quantize", made, "--to", "bf16", "--out", out)
check("a model that is saved says its type", r.status == 0 and json.load(open(os.path.join(out, "config.json"))).get("model_type") == "xlm-roberta", r)
finish()
