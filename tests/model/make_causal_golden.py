#!/usr/bin/env python3
"""Writes tests/golden/causal.json: the loss of the next token that `transformers` computes with the golden models of BERT and RoBERTa as decoders. Needs torch
and transformers; the test that reads the file needs neither.

    tests/model/make_causal_golden.py tests/golden
"""
import json, os, sys
import torch
from transformers import BertLMHeadModel, PreTrainedTokenizerFast, RobertaForCausalLM

out = sys.argv[1]
TEXTS = ["a bc d", "hello world foo", "zzz", "a b c d e f g h i j k l m n o p q"]
made = {}
for name, kind in (("bert", BertLMHeadModel), ("roberta", RobertaForCausalLM)):
    folder = os.path.join(out, name)
    model = kind.from_pretrained(folder, is_decoder=True, attn_implementation="eager").eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
    made[name] = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad(): scores = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
        made[name].append({"text": text, "ids": ids[0].tolist(), "loss": -scores[range(ids.shape[1] - 1), ids[0, 1:]].mean().item()})
with open(os.path.join(out, "causal.json"), "w") as f: json.dump(made, f, indent=1)
