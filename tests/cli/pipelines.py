"""What the tests of tagging, masks and labels share: pipelines.json, which make_pipelines_golden.py wrote, and the models
that it was written with."""
import json, os, struct

from program import model

here = os.path.dirname(os.path.abspath(__file__))
cases = json.load(open(os.path.join(here, "pipelines.json"), encoding="utf-8"))


def labelled(architecture, labels, which="wordpiece", **changes):
    """The golden BERT with the first of its labels, and one of the tokenizers."""
    made = model("bert", architecture, id2label={str(i): x for i, x in enumerate(labels)}, label2id={x: i for i, x in enumerate(labels)}, **changes)
    path = os.path.join(made, "model.safetensors")
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header, body, put, out = json.loads(data[8:8 + size]), data[8 + size:], {}, b""
    for name, about in header.items():
        if name == "__metadata__": continue
        first, last = about["data_offsets"]
        if name.startswith("classifier."):
            last = first + (last - first) // about["shape"][0] * len(labels)
            about = {**about, "shape": [len(labels), *about["shape"][1:]]}
        put[name] = {**about, "data_offsets": [len(out), len(out) + last - first]}
        out += body[first:last]
    text = json.dumps(put).encode()
    text += b" " * (-len(text) % 8)
    os.remove(path)
    with open(path, "wb") as f: f.write(struct.pack("<Q", len(text)) + text + out)
    if which != "wordpiece":
        os.remove(os.path.join(made, "tokenizer.json"))
        json.dump(cases["tokenizers"][which], open(os.path.join(made, "tokenizer.json"), "w"))
    return made


class Models:
    """Each model is made once."""

    def __init__(self): self.made = {}

    def __call__(self, architecture, labels=("LABEL_0", "LABEL_1", "LABEL_2"), which="wordpiece", **changes):
        key = (architecture, tuple(labels), which, json.dumps(changes))
        if key not in self.made: self.made[key] = labelled(architecture, labels, which, **changes)
        return self.made[key]


models = Models()


def alike(a, b, off=2e-5):
    """Equal but for the last digits of numbers."""
    if isinstance(a, float) or isinstance(b, float): return abs(a - b) <= off
    if isinstance(a, dict): return isinstance(b, dict) and a.keys() == b.keys() and all(alike(a[k], b[k], off) for k in a)
    if isinstance(a, list): return isinstance(b, list) and len(a) == len(b) and all(alike(x, y, off) for x, y in zip(a, b))
    return a == b
