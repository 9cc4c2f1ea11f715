"""The information in the rows of a fine-tuned model after each layer: the accuracy of logistic regression on the first row's
state and on the mean of all rows' states, each standardised, and the spread of the first row from text to text.

    bench/probe MODEL [--data ../shared/data/sst2] [--limit 3000]
"""
import argparse, csv, os
import torch
from transformers import AutoModel, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--data", default=os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "../shared/data/sst2"))
parser.add_argument("--limit", type=int, default=3000)
a = parser.parse_args()
model, tokenizer = AutoModel.from_pretrained(a.model).eval(), AutoTokenizer.from_pretrained(a.model)


def states(name, limit):
    """For each layer [texts, width]: the first row's state, and the mean of all; and the labels."""
    rows = list(csv.DictReader(open(f"{a.data}/{name}.tsv", encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))[:limit]
    parts = []
    for i in range(0, len(rows), 64):
        batch = tokenizer([row["sentence"] for row in rows[i:i + 64]], padding=True, truncation=True, max_length=128, return_tensors="pt")
        real = batch["attention_mask"].unsqueeze(-1).float()
        with torch.inference_mode():
            layers = model(**batch, output_hidden_states=True).hidden_states
        parts.append([(x[:, 0], (x * real).sum(1) / real.sum(1)) for x in layers[1:]])
    return [[torch.cat([p[l][which] for p in parts]).clone() for which in (0, 1)] for l in range(len(parts[0]))], torch.tensor([float(row["label"]) for row in rows])


def accuracy(train, labels, dev, gold):
    middle, spread = train.mean(0), train.std(0) + 1e-6
    weight, bias = torch.zeros(train.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    fit = torch.optim.LBFGS([weight, bias], max_iter=100)
    x, y = (train - middle) / spread, (dev - middle) / spread

    def loss():
        fit.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(x @ weight + bias, labels) + 1e-3 * weight.square().sum()
        value.backward()
        return value

    fit.step(loss)
    return 100 * ((y @ weight + bias > 0).float() == gold).float().mean().item()


(train, labels), (dev, gold) = states("train", a.limit), states("dev", None)
print("| after layer | the first row's spread over its size | accuracy from it, standardised | from the mean of all rows |\n|---|---|---|---|")
for l, ((first, mean), (first_dev, mean_dev)) in enumerate(zip(train, dev)):
    print(f"| {l + 1} | {(first.std(0).mean() / first.abs().mean()).item():.3f} | {accuracy(first, labels, first_dev, gold):.1f} | {accuracy(mean, labels, mean_dev, gold):.1f} |")
