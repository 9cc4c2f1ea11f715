#!/usr/bin/env python3
"""The defaults that help states are those that hold: a run with all of them given equals a run with none, to the bit.

    test_defaults.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import json, random, re

from program import renew, check, finish, large, model, path, read, run, texts, write_labelled

random.seed(1)


def defaults(command):
    """The option's text in brackets, by option: {"--batch-size": "32"}."""
    entries = re.split(r"\n(?=  --)", re.sub(r"\n {10,}", " ", run(command, "--help").out.split("\nExamples:")[0]))
    found = (re.match(r"  (--[a-z-]+) .*default: (.*?)(?:; environment: \w+)?\)", e) for e in entries)
    return {m[1]: m[2] for m in found if m}


def value(text, recipe):
    """ "0.2; anytime: 0.3" for a recipe; None for a default in words."""
    parts = [p.strip() for p in text.split(";")]
    for part in parts[1:]:
        names, of_recipe = part.split(":")
        if recipe in names.split(", "): parts[0] = of_recipe.strip()
    return parts[0] if re.fullmatch(r"[0-9.,e-]+", parts[0]) else None


def losses(folder):
    rows = [json.loads(line) for line in open(path(folder + "/metrics.jsonl"))]
    return [{k: v for k, v in row.items() if k != "tokens_per_second"} for row in rows]


bert = model("bert", "BertForSequenceClassification", id2label={"0": "neg", "1": "pos"}, label2id={"neg": 0, "pos": 1})
data, dev = write_labelled("data.tsv", texts(70)), write_labelled("dev.tsv", texts(20))
stated = defaults("train")
numbers = {"--batch-size", "--micro-tokens", "--clip", "--match-states", "--length-drop", "--layer-drop", "--merges", "--widths", "--sandwiches", "--soft-rate", "--soft-penalty", "--ponder", "--seed"}
words = {"--store", "--precision", "--divergence", "--significance"}
check("defaults of train are found", numbers | words <= stated.keys(), stated)
common = ["--task", "classification", "--data", data, "--dev", dev, "--epochs", 1, "--rate", "1e-3", "--threads", 1, "--quiet"]
of_recipes = {"finetune": {"--batch-size", "--micro-tokens", "--clip", "--seed"} | words, "length-adaptive": {"--match-states", "--length-drop", "--layer-drop", "--merges", "--sandwiches", "--divergence", "--significance"},
              "power-bert": {"--soft-rate", "--soft-penalty"}, "act": {"--ponder"}, "slimmable": {"--widths", "--sandwiches"}, "anytime": {"--match-states", "--length-drop", "--layer-drop", "--sandwiches", "--widths"}}
wide = large(2, 2, 64)  # narrower layers need multiples of 32
r = renew("train", wide, *common, "--labels", "pos,neg", "--new-head", "--out", path("wide")); check("a start", r.status == 0, r)
for recipe, options in of_recipes.items():
    start = path("wide") if "--widths" in options else bert
    given = {o: stated[o] if o in words else value(stated[o], recipe) for o in options}
    plain = renew("train", start, *common, "--recipe", recipe, "--out", path(recipe))
    r = renew("train", start, *common, "--recipe", recipe, *(x for pair in given.items() for x in pair), "--out", path(recipe + "-given"))
    check(f"{recipe}: the stated defaults hold", plain.status == 0 and r.status == 0 and read(f"{recipe}/model.safetensors") == read(f"{recipe}-given/model.safetensors") and losses(recipe) == losses(recipe + "-given"), given, plain, r)
r = renew("train", bert, *common, "--recipe", "length-adaptive", "--length-drop", "0.25", "--out", path("other"))
check("another value is another run", r.status == 0 and losses("other") != losses("length-adaptive"), r)

stated = defaults("search")
options = {"--iterations", "--mutations", "--crossovers", "--lowest", "--seed"}
check("defaults of search are found", options <= stated.keys(), stated)
common = ["search", path("length-adaptive"), "--task", "classification", "--data", dev, "--limit", 6, "--quiet"]
made = [run(*common, *given, "--out", path(f"found{i}")) for i, given in enumerate([[], [x for o in options for x in (o, stated[o])], ["--lowest", "0.4"]])]
points = [[(p["name"], p["keep"]) for p in json.loads(read(f"found{i}/rubato.json"))["points"]] if r.status == 0 else r for i, r in enumerate(made)]
check("search: the stated defaults hold", points[0] == points[1], *points[:2])

finish()
