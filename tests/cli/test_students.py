#!/usr/bin/env python3
"""Recipes by which a student learns from a teacher: step by step as PyTorch, and at their limits.

    test_students.py RUBATO GOLDEN_FOLDER
"""
import json, math, os, shutil, struct, subprocess

from program import check, finish, golden, one_line, path, rubato, run, until, write
from weights import tensors, write_tensors

folder = os.path.join(golden, "students")
teacher, student, half = (os.path.join(folder, n) for n in ("teacher", "student", "half"))
data = os.path.join(folder, "data.tsv")
expected = json.load(open(os.path.join(folder, "expected.json")))
texts = [l.split("\t")[0] for l in open(data).read().split("\n")[1:] if l]


def train(recipe, model, out, *more, task="classification", data=data, teacher=teacher):
    who = ["--teacher", teacher] if teacher else []
    return run("train", model, "--recipe", recipe, *who, "--task", task, "--data", data, "--batch-size", 3, "--keep-order", "--rate", "1e-2", "--dropout", 0, *more, "--overwrite", "--out", path(out))


def losses(out): return [l["loss"] for l in map(json.loads, open(path(out + "/metrics.jsonl"))) if "loss" in l]
def near(a, b, within): return len(a) == len(b) and all(abs(x - y) <= within * max(1, abs(y)) for x, y in zip(a, b))
def softmax(x): e = [math.exp(v - max(x)) for v in x]; return [v / sum(e) for v in e]


def answers(model):
    r = run("classify", model, "--json", "--top", 3, stdin="\n".join(texts) + "\n")
    return [[row["scores"][f"LABEL_{i}"] for i in range(3)] for row in r.json()]


# ---- As PyTorch does it ----
small = {"distilbert": [student], "tinybert": [student, "--layer-epochs", 1.5], "minilm": [student], "minilmv2": [student, "--teacher-layer", 3, "--relation-heads", 8], "theseus": [half]}
small["finetune"] = small["mobilebert"] = [os.path.join(folder, "mobile")]  # the first by the labels alone
for recipe, (model, *more) in small.items():
    how = {"teacher": None} if recipe == "finetune" else {"teacher": half} if recipe == "mobilebert" else {}
    r = train(recipe, model, recipe, "--steps", 3, "--decay", 0.01, "--warm-up", 0, *more, **how)
    check(f"{recipe} runs", r.status == 0, r)
    check(f"{recipe}: losses", near(losses(recipe), expected[recipe]["losses"], 1e-4), losses(recipe), expected[recipe]["losses"])
    got = answers(path(recipe))
    check(f"{recipe}: answers", all(near(g, softmax(e), 1e-4) for g, e in zip(got, expected[recipe]["answers"])), got)
    r = train(recipe, model, "parts", "--steps", 3, "--decay", 0.01, "--warm-up", 0, "--micro-tokens", 12, "--threads", 1, *more, **how)
    check(f"{recipe}: in parts", r.status == 0 and (recipe in ("distilbert", "tinybert", "mobilebert") or near(losses("parts"), losses(recipe), 1e-5)), losses("parts"))

# ---- ELECTRA ----
def first_row(name):
    where, name = ("electra", name) if "/" not in name else ("electra/generator", name.split("/")[1])
    _, shape, data = tensors(path(where))[name]
    rows = [struct.unpack_from(f"<{shape[-1]}f", data, 4 * shape[-1] * i) for i in range(shape[0])]
    return rows[1] if "position" in name else rows[0]


discriminator, generator = os.path.join(folder, "electra"), os.path.join(folder, "generator")
how = ["--steps", 3, "--decay", 0.01, "--warm-up", 0, "--generator", generator]
r = train("electra", discriminator, "electra", *how, task="mlm", teacher=None); check("electra runs", r.status == 0, r)
check("electra: losses", near(losses("electra"), expected["electra"]["losses"], 1e-4), losses("electra"), expected["electra"]["losses"])
for name, row in expected["electra"]["first_rows"].items(): check(f"electra: {name}", near(first_row(name), row, 1e-4), first_row(name), row)
for name in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
    check(f"electra: both have the same {name}", tensors(path("electra"))[f"electra.embeddings.{name}.weight"] == tensors(path("electra/generator"))[f"electra.embeddings.{name}.weight"])
check("electra: classes", [json.load(open(path(f"electra{p}/config.json")))["architectures"] for p in ("", "/generator")] == [["ElectraForPreTraining"], ["ElectraForMaskedLM"]])
r = train("electra", discriminator, "parts", "--micro-tokens", 12, "--threads", 1, *how, task="mlm", teacher=None); check("electra: in parts", r.status == 0 and near(losses("parts"), losses("electra"), 1e-5), losses("parts"))
whole = tensors(path("electra"))
r = train("electra", discriminator, "electra", "--checkpoint-steps", 1, *how, task="mlm", teacher=None)
for out, more in (("again", []), ("begun", ["--tokenizer", discriminator])):
    model = discriminator if out == "again" else os.path.join(discriminator, "config.json")
    command = ["train", model, "--recipe", "electra", "--task", "mlm", "--data", data, "--batch-size", 3, "--rate", "1e-3", "--steps", 120, "--checkpoint-steps", 1, "--max-length", 19, *more, "--out", path(out)]
    p = subprocess.Popen(list(map(str, [rubato, *command])), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: os.path.exists(path(out + "/training.safetensors"))); p.kill(); p.wait()
    check(f"electra {out}: stopped", p.returncode != 0)
    r = run(*command, "--resume"); check(f"electra {out}: goes on", r.status == 0, r)
    r = run(*command[:-1], path("straight"), "--overwrite"); check(f"electra {out}: straight", r.status == 0, r)
    for part in ("", "/generator"): check(f"electra {out}{part}: stopping changes nothing", tensors(path(out + part)) == tensors(path("straight" + part)))
made = json.load(open(path("again/generator/config.json")))
check("electra: a generator of a quarter", (made["hidden_size"], made["num_attention_heads"], made["intermediate_size"], made["embedding_size"]) == (4, 1, 6, 8), made)
r = run("fill", path("again/generator"), stdin="a [MASK] c\n"); check("electra: the generator fills", r.status == 0 and r.out.strip(), r)
for what, bad in (("a dev set", ["--dev", data]), ("pairs", ["--objective", "mlm+nsp"]), ("a teacher", ["--teacher", teacher]), ("another family", ["--generator", teacher]), ("no such generator", ["--generator", path("nowhere")])):
    r = train("electra", discriminator, "none", "--steps", 1, *bad, task="mlm", teacher=None); check(f"electra: {what}", r.status in (1, 2) and r.err.splitlines()[-1].startswith("rubato: "), r)
r = train("electra", half, "none", "--steps", 1, task="mlm", teacher=None); check("electra: of bert", r.status in (1, 2) and "head" in r.err.splitlines()[-1], r)
r = train("finetune", half, "none", "--steps", 1, "--generator", generator, teacher=None); check("a generator for another recipe", r.status == 2 and "electra" in r.err, r)
r = train("finetune", path("again"), "classifier", "--steps", 1, teacher=None); check("electra: the discriminator is fine-tuned", r.status == 0, r)

# ---- A copy has nothing to learn ----
for recipe, more in (("distilbert", ["--hard", 0]), ("tinybert", []), ("minilm", ["--hard", 0]), ("minilmv2", ["--hard", 0])):
    r = train(recipe, teacher, "copy", "--steps", 1, "--decay", 0, *more)
    check(f"{recipe}: a copy's losses are 0", r.status == 0 and all(abs(l) < 1e-6 for l in losses("copy")), r, losses("copy"))

# ---- Texts alone ----
lines = write("lines.txt", "\n".join(texts) + "\n")
before = tensors(student)
for recipe in ("tinybert", "minilm", "minilmv2"):
    r = train(recipe, student, "general", "--steps", 2, "--decay", 0, task="text", data=lines)
    check(f"{recipe} learns from texts alone", r.status == 0 and len(losses("general")) == 2 and json.load(open(path("general/config.json")))["architectures"] == ["BertModel"], r)
    after = {("" if n.startswith("bert.") else "bert.") + n: t for n, t in tensors(path("general")).items()}
    moved = {n for n in after if n in before and after[n] != before[n]}
    for last in ("output.dense", "intermediate.dense", "attention.output.dense", "output.LayerNorm"):
        check(f"{recipe}: {last} of the last layer", (f"bert.encoder.layer.1.{last}.weight" in moved) == (recipe == "tinybert"), moved)
    for name in ("embeddings.word_embeddings", "encoder.layer.0.output.dense", "encoder.layer.1.attention.self.query", "encoder.layer.1.attention.self.key"):
        check(f"{recipe}: {name} learns", f"bert.{name}.weight" in moved, moved)
r = train("minilm", student, "labelled", "--steps", 1, task="classification", data=write("bare.tsv", "text\n" + "\n".join(texts) + "\n")); check("labels may be missing", r.status == 0, r)
os.makedirs(path("shape"), exist_ok=True)
json.dump({"model_type": "bert", "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 12, "max_position_embeddings": 19}, open(path("shape/config.json"), "w"))
r = train("minilm", path("shape/config.json"), "new", "--steps", 1, "--tokenizer", teacher, task="text", data=lines); check("a student without weights", r.status == 0, r)

# ---- Theseus ----
r = train("theseus", half, "old", "--steps", 2, "--replace", 0, "--replace-to", 0, "--warm-up", 0)
whole = -sum(math.log(answers(teacher)[i][int(l.split("LABEL_")[1])]) for i, l in enumerate(open(data).read().split("\n")[1:4])) / 3
check("nothing replaced is the teacher", r.status == 0 and abs(losses("old")[0] - whole) < 1e-5, losses("old"), whole)
r = train("theseus", half, "all", "--steps", 2, "--replace", 1)
now, then = tensors(path("all")), tensors(half)
fixed = [n for n in then if ".encoder.layer." not in n]
check("embeddings and head stay to the bit", r.status == 0 and len(fixed) > 8 and all(now[n] == then[n] for n in fixed), r)
check("layers learn", all(now[n] != then[n] for n in then if ".encoder.layer." in n and n.endswith("weight")))
check("the teacher is as it was", answers(teacher) == answers(teacher))

# ---- Masked tokens, taggers, answers in a text ----
r = run("train", teacher, "--task", "mlm", "--data", lines, "--steps", 3, "--rate", "1e-2", "--overwrite", "--out", path("mlm")); check("a teacher of masked tokens", r.status == 0, r)
for recipe in ("distilbert", "minilmv2"):
    r = train(recipe, half, "masked", "--steps", 2, task="mlm", data=lines, teacher=path("mlm")); check(f"{recipe}: masked tokens", r.status == 0 and all(l > 0 for l in losses("masked")), r)

# ---- Going on ----
for recipe, model in (("tinybert", student), ("theseus", half)):
    how = [recipe, model, "on", "--epochs", 3, "--checkpoint-steps", 1, *(["--layer-epochs", 3] if recipe == "tinybert" else [])]
    r = train(*how); whole = tensors(path("on")); check(f"{recipe}: a whole run", r.status == 0, r)
    shutil.rmtree(path("on"))
    words = ["train", model, "--recipe", recipe, "--teacher", teacher, "--task", "classification", "--data", data, "--batch-size", "3", "--keep-order", "--rate", "1e-2", "--dropout", "0", *map(str, how[3:]), "--out", path("on")]
    p = subprocess.Popen([rubato, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: os.path.exists(path("on/training.safetensors")) or p.poll() is not None); p.kill(); p.wait()
    if not json.load(open(path("on/training.json")))["ended"]:
        r = run(*words, "--resume"); check(f"{recipe}: goes on to the bit", r.status == 0, r)
    check(f"{recipe}: the same weights", tensors(path("on")) == whole)

# ---- A teacher with tokens of its own ----
def renumbered(model, name):
    """The same model, where the ids of "a" to "f" stand in another order."""
    out = path(name); shutil.copytree(model, out)
    ids = json.load(open(out + "/tokenizer.json")); vocabulary = ids["model"]["vocab"]
    turned = dict(zip("abcdef", (vocabulary[c] for c in "defabc")))
    held = tensors(model); words = next(n for n in held if n.endswith("word_embeddings.weight")); kind, shape, data = held[words]; size = 4 * shape[1]
    rows = [data[i * size:(i + 1) * size] for i in range(shape[0])]; places = {turned[c]: vocabulary[c] for c in turned}
    write_tensors(out, {**held, words: (kind, shape, b"".join(rows[places.get(i, i)] for i in range(shape[0])))})
    ids["model"]["vocab"] = {**vocabulary, **turned}; json.dump(ids, open(out + "/tokenizer.json", "w"))
    return out


foreign = renumbered(teacher, "foreign")
check("the same answers under other ids", answers(foreign) == answers(teacher))
pairs = write("pairs.tsv", "text\tpair\tlabel\n" + "".join(f"{a}\t{b}\t{i % 6}\n" for i, (a, b) in enumerate(zip(texts, texts[1:] + texts[:1]))))
for recipe, task, rows, of, by in (("distilbert", "classification", data, student, teacher), ("movement", "classification", data, half, teacher), ("anytime", "classification", data, student, teacher),
                                   ("distilbert", "sts", pairs, os.path.join(golden, "bert"), os.path.join(golden, "bert"))):
    two = []
    for who in (by, renumbered(by, f"foreign-{recipe}-{task}")):
        r = train(recipe, of, "taught", "--steps", 2, "--match-states", 0, "--hard", 0, task=task, data=rows, teacher=who) if recipe != "anytime" else train(recipe, of, "taught", "--steps", 2, "--match-states", 0, "--widths", 1, teacher=who)
        check(f"{recipe}, {task}: a teacher with other ids", r.status == 0, r); two.append((losses("taught"), tensors(path("taught"))))
    check(f"{recipe}, {task}: the same losses and weights", two[0] == two[1], two[0][0], two[1][0])
r = train("distilbert", student, "none", "--quiet", teacher=foreign); check("its states cannot be compared", r.status == 2 and one_line(r) and "--match-states 0" in r.err, r)
r = run("train", path("mlm"), "--recipe", "distilbert", "--teacher", renumbered(path("mlm"), "foreign-mlm"), "--task", "mlm", "--data", lines, "--match-states", 0, "--out", path("none"), "--quiet")
check("nor answers of tokens", r.status == 2 and one_line(r) and "tokens are not the learner's" in r.err, r)

# ---- What does not fit ----
other = path("other"); shutil.copytree(student, other)
tokens = json.load(open(other + "/tokenizer.json")); tokens["model"]["vocab"]["zz"] = tokens["model"]["vocab"].pop("z"); json.dump(tokens, open(other + "/tokenizer.json", "w"))
r = train("minilm", other, "none", "--quiet"); check("another vocabulary", r.status == 2 and one_line(r) and "tokens are not the learner's" in r.err, r)
r = train("minilm", student, "none", "--quiet", teacher=None); check("no teacher", r.status == 2 and one_line(r) and "--teacher" in r.err, r)
three = path("three"); run("trim", teacher, "--layers", "0,1,2", "--out", three)
for recipe in ("tinybert", "theseus"):
    r = train(recipe, three, "none", "--quiet"); check(f"{recipe}: layers that do not divide", r.status == 2 and one_line(r) and "multiple" in r.err, r)
r = train("theseus", student, "none", "--quiet"); check("theseus: other widths", r.status == 2 and one_line(r) and "fit" in r.err, r)
r = train("minilmv2", os.path.join(folder, "mobile"), "mobile", "--steps", 1); check("minilmv2: heads of the widths that are compared", r.status == 0, r)
for more in (["--temperature", 0], ["--warm-up", 5]): r = train("tinybert", student, "none", "--quiet", *more); check(f"{more}", r.status == 2 and one_line(r), r)
r = train("theseus", half, "none", "--quiet", "--replace", 2); check("more than all is replaced", r.status == 2 and one_line(r), r)
empty = path("empty"); shutil.copytree(student, empty); config = json.load(open(empty + "/config.json")); json.dump({**config, "num_hidden_layers": 0}, open(empty + "/config.json", "w"))
r = train("finetune", empty, "none", "--quiet", teacher=None); check("a model without layers", r.status == 1 and one_line(r) and "without layers" in r.err, r)
r = train("minilmv2", student, "none", "--quiet", "--relation-heads", 3); check("relation heads that do not divide", r.status == 2 and one_line(r) and "3 relation heads" in r.err, r)
r = train("minilmv2", student, "none", "--quiet", "--teacher-layer", 5); check("a layer that the teacher lacks", r.status == 2 and one_line(r) and "4 layers" in r.err, r)
r = train("distilbert", student, "none", "--quiet", "--soft", 0, "--hard", 0, "--match-states", 0); check("nothing to learn", r.status == 2 and one_line(r) and "nothing to learn" in r.err, r)
r = train("distilbert", student, "none", "--quiet", task="text", data=lines); check("texts for a recipe of answers", r.status == 2 and one_line(r) and "tinybert" in r.err, r)
r = train("minilm", student, "none", "--quiet", "--dev", data, task="text", data=lines); check("a dev set for texts", r.status == 2 and one_line(r) and "--dev" in r.err, r)
r = train("minilm", student, "none", "--quiet", "--replace", 0.5); check("an option of another recipe", r.status == 2 and one_line(r) and "theseus" in r.err, r)
r = train("finetune", student, "none", "--quiet", task="text", data=lines, teacher=None); check("texts alone for fine-tuning", r.status == 2 and one_line(r), r)
finish()
