"""Tokenizer speed against `tokenizers`, one thread. Prints a table."""
import csv, json, os, statistics, subprocess, sys, time
os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
import tokenizers
from tokenizers import Tokenizer

data, root = sys.argv[1], os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sets = {"SST-2 train, short English": [l.split("\t")[0] for l in open(os.path.join(data, "sst2/train.tsv"), encoding="utf-8").read().split("\n")[1:20000]],
        "BBC, long English": [json.loads(l)["text"].replace("\n", " ") for l in open(os.path.join(data, "bbc/train.jsonl"), encoding="utf-8")][:800],
        "KorSTS, Korean": [l.split("\t")[-1] for l in open(os.path.join(data, "korsts/train.tsv"), encoding="utf-8").read().split("\n")[1:]],
        "XQuAD, Chinese": [p["context"] for a in json.load(open(os.path.join(data, "xquad/xquad.zh.json")))["data"] for p in a["paragraphs"]],
        "XQuAD, Hindi": [p["context"] for a in json.load(open(os.path.join(data, "xquad/xquad.hi.json")))["data"] for p in a["paragraphs"]]}
folders = {"WordPiece (all-MiniLM-L6-v2)": "build/models/all-MiniLM-L6-v2", "BPE (RoBERTa's form)": "build/tokenizers/bpe-roberta", "Unigram (XLM-R's form)": "build/tokenizers/unigram-xlmr"}
print(f"tokenizers {tokenizers.__version__}, one thread, MB/s, median of 5\n\n| tokenizer | texts | Rubato | tokenizers | ratio |\n|---|---|---|---|---|")
for name, folder in folders.items():
    folder = os.path.join(root, folder)
    if not os.path.exists(folder): continue
    t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    t.no_padding(); t.no_truncation()
    for what, lines in sets.items():
        lines = [l for l in lines if "\n" not in l]
        joined = "\n".join(lines) + "\n"
        size, ours, theirs = len(joined.encode()) / 1e6, [], []
        for _ in range(5):
            out = subprocess.run([os.path.join(root, "build/tests/encode_lines"), folder, "--quiet"], input=joined, capture_output=True, text=True, check=True).stdout
            ours.append(float(out.split()[0]) / 1e3)
            begin = time.perf_counter()
            t.encode_batch(lines)
            theirs.append(time.perf_counter() - begin)
        a, b = size / statistics.median(ours), size / statistics.median(theirs)
        print(f"| {name} | {what} | {a:.1f} | {b:.1f} | {a / b:.1f}x |", flush=True)
