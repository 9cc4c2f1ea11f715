#!/usr/bin/env python3
"""Makes tests/golden/students: small models, and what PyTorch computes when it trains students by the recipes of distillation,
and ELECTRA's two models.

    make_students_golden.py FOLDER

Needs torch, transformers and safetensors. The losses and the optimiser are written here from the papers' equations; the models are
those of transformers. Draws follow the generator of src/base/random.h, so that both begin with the same projection and replace the
same layers.
"""
import json, math, os, shutil, sys

import torch
from transformers import BertConfig, BertForSequenceClassification

FOLDER = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
SEED, STEPS, RATE, DECAY = 0, 3, 1e-2, 0.01
TEXTS = [("a b c", 0), ("d e f g h i", 1), ("j k", 2), ("l m n o p q r", 1), ("s t u v", 0), ("w x y z a c", 2)]
BATCH = 3
M64 = (1 << 64) - 1


def mixed(x):
    x = (x + 0x9e3779b97f4a7c15) & M64
    x = ((x ^ x >> 30) * 0xbf58476d1ce4e5b9) & M64
    x = ((x ^ x >> 27) * 0x94d049bb133111eb) & M64
    return x ^ x >> 31


class Draw:
    def __init__(self, state): self.state = state

    def next(self):
        value, self.state = mixed(self.state), (self.state + 0x9e3779b97f4a7c15) & M64
        return value

    def real(self): return (self.next() >> 11) * 2.0 ** -53
    def below(self, limit): return int(self.real() * limit)

    def normal(self):
        u, v = 1.0 - self.real(), self.real()
        return math.sqrt(-2 * math.log(u)) * math.cos(6.283185307179586 * v)


def seed_of(use, number, phase=0): return mixed((SEED + mixed((use * 0x10001 + phase) & M64) + mixed(~number & M64)) & M64)


def make(name, layers, hidden, seed):
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=61, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=2 * hidden, max_position_embeddings=19,
                        num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager", initializer_range=0.3)
    model = BertForSequenceClassification(config)
    save(model, name)
    return model


def save(model, name):
    model.save_pretrained(os.path.join(FOLDER, name))
    shutil.copy(os.path.join(HERE, "../golden/bert/tokenizer.json"), os.path.join(FOLDER, name))
    path = os.path.join(FOLDER, name, "config.json")
    config = json.load(open(path))
    config.pop("transformers_version", None)
    json.dump(config, open(path, "w"), indent=2)


os.makedirs(FOLDER, exist_ok=True)
tokens = json.load(open(os.path.join(HERE, "../golden/bert/tokenizer.json")))["model"]["vocab"]
with open(os.path.join(FOLDER, "data.tsv"), "w") as f:
    f.write("text\tlabel\n" + "".join(f"{t}\tLABEL_{l}\n" for t, l in TEXTS))
ids = [[2] + [tokens[w] for w in t.split()] + [3] for t, _ in TEXTS]
teacher = make("teacher", 4, 16, 1).eval()
make("student", 2, 8, 2)
half = BertForSequenceClassification(BertConfig(**{**teacher.config.to_dict(), "num_hidden_layers": 2}))
half.load_state_dict({k: v for k, v in teacher.state_dict().items() if ".layer.2." not in k and ".layer.3." not in k})
save(half, "half")


def run(model, text):
    """Everything that lessons read of one text: logits, hidden states, and the projections of each layer."""
    out = model(torch.tensor([text]), output_hidden_states=True)
    states = [s[0] for s in out.hidden_states]
    layers = model.bert.encoder.layer
    qkv = [[getattr(l.attention.self, n)(states[i]) for n in ("query", "key", "value")] for i, l in enumerate(layers)]
    return out.logits[0], states, qkv


def divergence(full, own, t=1.0): return t * t * (torch.softmax(full / t, -1) * (torch.log_softmax(full / t, -1) - torch.log_softmax(own / t, -1))).sum(-1)


def heads_of(x, heads): return x.view(x.shape[0], heads, -1).transpose(0, 1)


def relation(a, b, heads):
    a, b = heads_of(a, heads), heads_of(b, heads)
    return a @ b.transpose(1, 2) / math.sqrt(a.shape[-1])


# ---- Lessons: each returns its loss for a step's texts, where texts count alike and rows of states count alike ----

def soft(t):
    return lambda S, T, labels: torch.stack([divergence(f[0], o[0], t) for o, f in zip(S, T)]).mean()


def hard(S, T, labels): return torch.nn.functional.cross_entropy(torch.stack([o[0] for o in S]), torch.tensor(labels))


def rows(S, layer): return torch.cat([o[1][layer] for o in S])


def cosine(own, full, project): return lambda S, T, labels: (1 - torch.cosine_similarity(project(rows(S, own)), rows(T, full), dim=-1)).mean()


def squares(own, full, project): return lambda S, T, labels: ((project(rows(S, own)) - rows(T, full)) ** 2).mean()


def scores(own, full):
    return lambda S, T, labels: torch.stack([((relation(o[2][own - 1][0], o[2][own - 1][1], 4) - relation(f[2][full - 1][0], f[2][full - 1][1], 4)) ** 2).mean() for o, f in zip(S, T)]).mean()


def moments(own, full):
    def loss(S, T, labels):
        x, y = rows(S, own), rows(T, full)
        norm = lambda v: torch.nn.functional.layer_norm(v, v.shape[-1:], eps=1e-12)
        return 100 * ((norm(x) - norm(y)) ** 2).mean() + 5000 * ((x.mean(-1) - y.mean(-1)) ** 2).mean() + 5 * (x.var(-1, unbiased=False) - y.var(-1, unbiased=False)).abs().mean()
    return loss


def related(own, full, a, b, heads):
    return lambda S, T, labels: torch.stack([divergence(relation(f[2][full - 1][a], f[2][full - 1][b], heads), relation(o[2][own - 1][a], o[2][own - 1][b], heads)).mean() for o, f in zip(S, T)]).mean()


class Adam:
    """AdamW with bias correction; the norm of all gradients is cut to 1; biases and LayerNorm do not decay. A layer that did not run has a gradient of zero."""

    def __init__(self, named): self.items, self.moments, self.step_number = named, {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in named}, 0

    def step(self, rate, slower=lambda name: 1):
        self.step_number += 1
        norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for _, p in self.items if p.grad is not None))
        cut = min(1.0, 1.0 / (norm + 1e-30))
        with torch.no_grad():
            for name, p in self.items:
                g, (m, v) = torch.zeros_like(p) if p.grad is None else p.grad * cut, self.moments[name]
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                update = m / (1 - 0.9 ** self.step_number) / ((v / (1 - 0.999 ** self.step_number)).sqrt() + 1e-8)
                if not name.endswith("bias") and "LayerNorm" not in name: update = update + DECAY * p
                p -= rate * slower(name) * update
                p.grad = None


def batches():
    for step in range(STEPS):
        first = step % (len(TEXTS) // BATCH) * BATCH
        yield step, ids[first:first + BATCH], [l for _, l in TEXTS[first:first + BATCH]]


def projection():
    draw, made = Draw(seed_of(6, 0)), torch.nn.Linear(8, 16)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[0.02 * draw.normal() for _ in range(8)] for _ in range(16)]))
        made.bias.zero_()
    return made


def train(stages, constant_first=False, extra=None):
    student = BertForSequenceClassification.from_pretrained(os.path.join(FOLDER, "student"), attn_implementation="eager").train()
    named = [(n, p) for n, p in student.named_parameters()] + ([("projection." + n, p) for n, p in extra.named_parameters()] if extra else [])
    losses = []
    for number, lessons in enumerate(stages):
        optimizer = Adam(named)
        for step, texts, labels in batches():
            S = [run(student, t) for t in texts]
            with torch.no_grad(): T = [run(teacher, t) for t in texts]
            loss = sum(w * f(S, T, labels) for w, f in lessons)
            loss.backward()
            optimizer.step(RATE * (1 if constant_first and number == 0 else (STEPS - step) / STEPS))
            losses.append(loss.item())
    with torch.no_grad(): answers = [run(student, t)[0].tolist() for t in ids]
    return {"losses": losses, "answers": answers}


def theseus():
    student = BertForSequenceClassification.from_pretrained(os.path.join(FOLDER, "half"), attn_implementation="eager").train()
    named = [(n, p) for n, p in student.named_parameters() if ".encoder.layer." in n]
    losses, drawn = [], []
    for number in range(2):
        optimizer = Adam(named)
        for step, texts, labels in batches():
            share = 0.3 + 0.7 * step / STEPS if number == 0 else 1
            draw = Draw(mixed(seed_of(3, step, number) ^ 0x7e5e05))
            layers = []
            for i in range(2):
                own = draw.real() < share if number == 0 else True
                drawn.append(int(own))
                layers += [student.bert.encoder.layer[i]] if own else list(teacher.bert.encoder.layer[2 * i:2 * i + 2])
            logits = []
            for text in texts:
                x = student.bert.embeddings(torch.tensor([text]))
                for layer in layers:
                    x = layer(x)
                    x = x[0] if isinstance(x, tuple) else x
                logits.append(student.classifier(student.bert.pooler(x))[0])
            loss = torch.nn.functional.cross_entropy(torch.stack(logits), torch.tensor(labels))
            loss.backward()
            student_grads = [p for n, p in student.named_parameters() if ".encoder.layer." not in n]
            for p in student_grads + list(teacher.parameters()): p.grad = None
            optimizer.step(RATE * (STEPS - step) / STEPS)
            losses.append(loss.item())
    with torch.no_grad(): answers = [run(student, t)[0].tolist() for t in ids]
    return {"losses": losses, "answers": answers, "drawn": drawn}


def mobile():
    """Plain fine-tuning of a small MobileBERT."""
    from transformers import MobileBertConfig, MobileBertForSequenceClassification
    torch.manual_seed(4)
    config = MobileBertConfig(vocab_size=61, hidden_size=16, embedding_size=6, num_hidden_layers=2, num_attention_heads=4, intermediate_size=12, intra_bottleneck_size=8, num_feedforward_networks=2,
                              max_position_embeddings=19, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager", initializer_range=0.3)
    model = MobileBertForSequenceClassification(config).train()
    save(model, "mobile")
    optimizer, losses = Adam(list(model.named_parameters())), []
    for step, texts, labels in batches():
        loss = hard([[model(torch.tensor([t])).logits[0]] for t in texts], None, labels)
        loss.backward()
        optimizer.step(RATE * (STEPS - step) / STEPS)
        losses.append(loss.item())
    with torch.no_grad(): answers = [model(torch.tensor([t])).logits[0].tolist() for t in ids]
    return {"losses": losses, "answers": answers}


def seen(model, text):
    """As run, for a model whose queries and keys read other rows than the states."""
    kept = []
    hooks = [getattr(l.attention.self, n).register_forward_hook(lambda m, i, o: kept.append(o[0])) for l in model.mobilebert.encoder.layer for n in ("query", "key")]
    out = model(torch.tensor([text]), output_hidden_states=True)
    for h in hooks: h.remove()
    return out.logits[0], [s[0] for s in out.hidden_states], [kept[2 * i:2 * i + 2] for i in range(len(kept) // 2)]


def layer_by_layer():
    """MobileBERT's progressive transfer: a stage for each of two layers, and one for the answers."""
    from transformers import MobileBertForSequenceClassification
    student, losses = MobileBertForSequenceClassification.from_pretrained(os.path.join(FOLDER, "mobile"), attn_implementation="eager").train(), []
    guide = BertForSequenceClassification.from_pretrained(os.path.join(FOLDER, "half"), attn_implementation="eager").eval()
    for stage in range(3):
        optimizer = Adam(list(student.named_parameters()))
        for step, texts, labels in batches():
            S = [seen(student, t) for t in texts]
            with torch.no_grad(): T = [run(guide, t) for t in texts]
            n = stage + 1
            lessons = [(1, moments(n, n)), (1, related(n, n, 0, 1, 4))] if stage < 2 else [(0.5, soft(1.0)), (0.5, hard)]
            loss = sum(w * f(S, T, labels) for w, f in lessons)
            loss.backward()
            optimizer.step(RATE * (STEPS - step) / STEPS, lambda name: 0.1 if stage == 1 and ".layer.0." in name else 1)
            losses.append(loss.item())
    with torch.no_grad(): answers = [student(torch.tensor([t])).logits[0].tolist() for t in ids]
    return {"losses": losses, "answers": answers}


def masked(ids, number, step):
    """The masks of a step: 15 % of the tokens, of which 85 % become the mask."""
    draw, ids, chosen = Draw(mixed(seed_of(3, step) ^ mixed(number))), list(ids), []
    places = list(range(1, len(ids) - 1))
    for i in range(max(1, int(0.15 * len(ids) + 0.5))):
        j = i + draw.below(len(places) - i)
        places[i], places[j] = places[j], places[i]
        chosen.append(places[i])
        if draw.real() < 0.85: ids[places[i]] = 4
    return ids, sorted(chosen)


def drawn_token(logits, key):
    weights = [math.exp(v) for v in (logits - logits.max()).tolist()]
    left = Draw(mixed(key)).real() * sum(weights)
    for token, weight in enumerate(weights[:-1]):
        left -= weight
        if left < 0: return token
    return len(weights) - 1


def electra():
    """Generator and discriminator, which share their embeddings."""
    from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining
    def new(kind, name, seed, **sizes):
        torch.manual_seed(seed)
        model = kind(ElectraConfig(vocab_size=61, embedding_size=8, max_position_embeddings=19, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager", initializer_range=0.3, **sizes))
        save(model, name)
        return model.train()
    model = new(ElectraForPreTraining, "electra", 5, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)
    generator = new(ElectraForMaskedLM, "generator", 6, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)
    shared = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")
    for name in shared: setattr(generator.electra.embeddings, name, getattr(model.electra.embeddings, name))
    generator.generator_lm_head.weight = model.electra.embeddings.word_embeddings.weight
    named = list(model.named_parameters())
    known = {id(p) for _, p in named}
    named += [("generator." + n, p) for n, p in generator.named_parameters() if id(p) not in known]
    optimizer, losses = Adam(named), []
    for step in range(STEPS):
        first = step % (len(TEXTS) // BATCH) * BATCH
        filled, found, replaced = [], [], []
        for number in range(first, first + BATCH):
            text, chosen = masked(ids[number], number, step)
            logits = generator(torch.tensor([text])).logits[0][chosen]
            filled.append(torch.nn.functional.cross_entropy(logits, torch.tensor([ids[number][i] for i in chosen]), reduction="none"))
            for i, row in zip(chosen, logits.detach().double()): text[i] = drawn_token(row, seed_of(3, step) ^ mixed((mixed(number) + i) & M64))
            found.append(model(torch.tensor([text])).logits[0])
            replaced.append(torch.tensor([float(a != b) for a, b in zip(text, ids[number])]))
        loss = torch.cat(filled).mean() + 50 * torch.nn.functional.binary_cross_entropy_with_logits(torch.cat(found), torch.cat(replaced))
        loss.backward()
        optimizer.step(RATE * (STEPS - step) / STEPS)
        losses.append(loss.item())
    kept = {"electra.embeddings.position_embeddings.weight": model.electra.embeddings.position_embeddings.weight[1],
            "discriminator_predictions.dense_prediction.weight": model.discriminator_predictions.dense_prediction.weight[0],
            "generator/generator_predictions.dense.weight": generator.generator_predictions.dense.weight[0]}
    return {"losses": losses, "first_rows": {n: r.tolist() for n, r in kept.items()}}


p = projection()
expected = {"distilbert": train([[(0.5, soft(2.0)), (0.5, hard), (1, cosine(2, 4, p))]], extra=p)}
p = projection()
expected["tinybert"] = train([[(1, squares(i, 2 * i, p)) for i in range(3)] + [(1, scores(i, 2 * i)) for i in (1, 2)], [(1, soft(1.0))]], constant_first=True, extra=p)
answers = [(0.5, soft(2.0)), (0.5, hard)]
expected["minilm"] = train([[(1, related(2, 4, 0, 1, 4)), (1, related(2, 4, 2, 2, 4))], answers])
expected["minilmv2"] = train([[(1, related(2, 3, i, i, 8)) for i in range(3)], answers])
expected["theseus"] = theseus()
expected["finetune"] = mobile()
expected["mobilebert"] = layer_by_layer()
expected["electra"] = electra()
json.dump(expected, open(os.path.join(FOLDER, "expected.json"), "w"), indent=1)
print(json.dumps({k: v["losses"] for k, v in expected.items()}, indent=1))
