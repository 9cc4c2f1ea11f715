"""Mechanisms of attention with their settings, and models with them whose weights are drawn: time does not depend on them."""
import json, os

from program import MODEL, ROOT

MECHANISMS = {"`softmax`": None,
              "`longformer`, window 256, 1 global token": {"mechanism": "longformer", "window": 256, "globals": 1},
              "`image`, block 128, flange 100": {"mechanism": "image"},
              "`sparse`, stride 128": {"mechanism": "sparse"},
              "`sparse`, fixed, stride 128, summary 8": {"mechanism": "sparse", "pattern": "fixed"},
              "`axial`, 64 columns": {"mechanism": "axial"},
              "`bigbird`, block 64, random 3": {"mechanism": "bigbird"},
              "`linear`": {"mechanism": "linear"},
              "`performer`, 256 features": {"mechanism": "performer"},
              "`compressed`, ratio 3": {"mechanism": "compressed"},
              "`linformer`, 128 slots": {"mechanism": "linformer"},
              "`nystrom`, 64 landmarks": {"mechanism": "nystrom"},
              "`set`, 64 points": {"mechanism": "set"},
              "`synthesizer`, dense": {"mechanism": "synthesizer"},
              "`synthesizer`, random": {"mechanism": "synthesizer", "scores": "random"},
              "`sinkhorn`, block 64": {"mechanism": "sinkhorn"},
              "`reformer`, chunk 64, 1 round": {"mechanism": "reformer"},
              "`routing`, 16 clusters": {"mechanism": "routing"},
              "`etc`, radius 84, 1 global token": {"mechanism": "etc"},
              "`transformer-xl`, segment 128, memory 128": {"mechanism": "transformer-xl"},
              "`compressive`, segment 128, memory 128, 128 rows of 3": {"mechanism": "compressive"}}


def make(program, work, name, positions, **shape):
    """Such a model; a step of training writes it."""
    folder = f"{work}/{'-'.join(w for w in name.replace('`', '').replace(',', '').split())}"
    os.makedirs(folder + "-config", exist_ok=True)
    attention = MECHANISMS[name]
    config = {"model_type": "bert", "max_position_embeddings": positions, **shape, **({"attention": attention} if attention else {})}
    with open(folder + "-config/config.json", "w") as f: json.dump(config, f)
    program.once(folder + f"-{positions}.done", "train", folder + "-config", "--tokenizer", MODEL, "--task", "mlm", "--data", f"{ROOT}/examples/corpus.txt", "--steps", 1, "--batch-size", 1,
                 "--max-length", 32, "--quiet", "--overwrite", "--out", folder)
    return folder
