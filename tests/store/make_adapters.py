#!/usr/bin/env python3
"""Makes tests/golden/adapters with peft: LoRA adapters of the golden models, and in expected.json what the merged models
answer. Values are random but fixed.

    make_adapters.py GOLDEN_FOLDER
"""
import json, os, shutil, sys

import peft, torch, transformers

golden = sys.argv[1]
out = os.path.join(golden, "adapters")
shutil.rmtree(out, ignore_errors=True)
TEXTS = ["hello world", "a b c", "foo"]
generator = torch.Generator().manual_seed(5)
draw = lambda shape: torch.randn(shape, generator=generator) / 2
expected = {}


def make(name, base, kind, answer, labels=None, safe=True, behind="", **settings):
    folder = os.path.join(golden, base)
    more = {"num_labels": labels, "id2label": {i: f"LABEL_{i}" for i in range(labels)}, "ignore_mismatched_sizes": True} if labels else {}
    plain = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32, **more)
    model = peft.get_peft_model(plain, peft.LoraConfig(**settings))
    for key, value in model.named_parameters():
        if value.requires_grad: value.data = draw(value.shape)
    to = os.path.join(out, name)
    model.save_pretrained(to, safe_serialization=safe)
    os.remove(os.path.join(to, "README.md"))
    file = os.path.join(to, "adapter_config.json")
    config = json.load(open(file))
    json.dump({**config, "base_model_name_or_path": f"../../{base}"}, open(file, "w"), indent=1, sort_keys=True)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
    merged, rows = model.merge_and_unload().eval(), []
    with torch.no_grad():
        for text in TEXTS:
            ids = torch.tensor([tokenizer(text + behind)["input_ids"]])
            rows.append(answer(merged(input_ids=ids)).tolist())
    expected[name] = rows


chances = lambda o: torch.softmax(o.logits[0], -1)
make("classifier", "bert", "BertForSequenceClassification", chances, 4, task_type="SEQ_CLS", r=4, lora_alpha=6, target_modules=["query", "value"], bias="all", use_rslora=True,
     rank_pattern={"layer.1.attention.self.query": 2}, alpha_pattern={r"^bert\.encoder\.layer\.2\.attention\.self\.value": 16, "query": 3})
make("tagger", "bert", "BertForTokenClassification", lambda o: chances(o)[1:-1].max(-1).values, 5, safe=False, task_type="TOKEN_CLS", r=3, lora_alpha=6, target_modules=["key", "dense"], exclude_modules=["pooler.dense"],
     bias="lora_only", fan_in_fan_out=True)
make("embedder", "bert", "BertModel", lambda o: o.last_hidden_state[0].mean(0), task_type="FEATURE_EXTRACTION", r=2, target_modules=["word_embeddings", "intermediate.dense"])
make("filler", "bert", "BertForMaskedLM", lambda o: torch.softmax(o.logits[0, -2], -1).topk(5).values, behind=" [MASK]", r=2, target_modules=["query", "output.dense"])
make("roberta", "roberta", "RobertaForSequenceClassification", chances, 2, task_type="SEQ_CLS", r=2, target_modules=["query", "key", "value"])
make("distilbert", "distilbert", "DistilBertForSequenceClassification", chances, 3, task_type="SEQ_CLS", r=2, target_modules=["q_lin", "lin1"], modules_to_save=["pre_classifier", "classifier"])
json.dump({"texts": TEXTS, "answers": expected}, open(os.path.join(out, "expected.json"), "w"), indent=1)
