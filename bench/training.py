"""Compares Rubato's training with PyTorch's: the same model, order of samples, batches and threads, without dropout. Compares
every step's loss, then tokens per second. PyTorch gets padded batches, as in transformers' own fine-tuning. Rubato also
trains in bf16, which is compared with its f32.

    bench/training [--data FOLDER] [--steps 300] [--threads 2] [--model FOLDER] [--alone]
"""
import argparse, csv, json, os, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.path.join(ROOT, "../shared/data"))
    parser.add_argument("--model", default=os.path.join(ROOT, "build/models/all-MiniLM-L6-v2"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=2e-5)
    parser.add_argument("--alone", action="store_true", help="bf16 against f32, without PyTorch")
    args = parser.parse_args()
    train = os.path.join(args.data, "sst2/train.tsv")
    work = os.path.join(ROOT, "build/training")
    os.makedirs(work, exist_ok=True)
    rubato = os.path.join(ROOT, "build/rubato")
    common = [rubato, "train", args.model, "--task", "classification", "--data", train, "--quiet", "--json", "--dropout", "0", "--keep-order",
              "--batch-size", str(args.batch), "--threads", str(args.threads)]
    # training at a rate of zero only makes the head, so that both start from the same weights
    subprocess.run(common + ["--limit", str(args.batch), "--epochs", "1", "--rate", "0", "--decay", "0", "--out", work + "/start"], check=True,
                   stdout=subprocess.DEVNULL)
    limit = args.steps * args.batch
    ours, speed = {}, {}
    for precision in ("f32", "bf16"):
        mine = list(common)
        mine[2], out = work + "/start", f"{work}/rubato-{precision}"
        subprocess.run(mine + ["--limit", str(limit), "--epochs", "1", "--rate", str(args.rate), "--checkpoint-steps", "1000000",
                               "--precision", precision, "--overwrite", "--out", out], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in open(out + "/metrics.jsonl")]
        ours[precision] = [row["loss"] for row in rows]
        speed[precision] = rows[-1]["tokens_per_second"]
    print(f"{args.steps} steps of {args.batch}, {args.threads} threads")
    print(f"bf16 against f32: {speed['bf16']:.0f} and {speed['f32']:.0f} tokens/s, {speed['bf16'] / speed['f32']:.2f}x; "
          f"the losses differ by at most {max(abs(a - b) for a, b in zip(ours['bf16'], ours['f32'])):.2e}", flush=True)
    if args.alone: return 0
    ours, speed = ours["f32"], speed["f32"]

    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(work + "/start")
    model = AutoModelForSequenceClassification.from_pretrained(work + "/start")
    model.eval()  # no dropout
    with open(train, encoding="utf-8") as f:
        data = [(row["sentence"].strip(), int(row["label"])) for row, _ in zip(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE), range(limit))]
    bare = ("bias", "LayerNorm.weight")
    groups = [{"params": [p for n, p in model.named_parameters() if not n.endswith(bare)], "weight_decay": 0.01},
              {"params": [p for n, p in model.named_parameters() if n.endswith(bare)], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.999), eps=1e-8)
    schedule = get_linear_schedule_with_warmup(optimizer, args.steps // 10, args.steps)
    theirs, tokens, seconds = [], 0, 0
    batches = [tokenizer([t for t, _ in data[i:i + args.batch]], padding=True, truncation=True, return_tensors="pt") for i in range(0, limit, args.batch)]
    for i, batch in enumerate(batches):
        labels = torch.tensor([l for _, l in data[i * args.batch:(i + 1) * args.batch]])
        begin = time.perf_counter()
        loss = model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if i == 0: schedule_start = optimizer.param_groups[0]["lr"]
        for group in optimizer.param_groups:  # the rate of the first step is not zero
            warm = args.steps / 10
            group["lr"] = args.rate * ((i + 1) / warm if i < warm else (args.steps - i) / (args.steps - warm))
        optimizer.step()
        optimizer.zero_grad()
        seconds += time.perf_counter() - begin
        tokens += int(batch["attention_mask"].sum())
        theirs.append(loss.item())
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    print(f"f32 against torch {torch.__version__}")
    print(f"loss at the first step {ours[0]:.6f} and {theirs[0]:.6f}, at the last {ours[-1]:.6f} and {theirs[-1]:.6f}; largest difference {worst:.2e}")
    print(f"tokens/s: rubato {speed:.0f}, torch {tokens / seconds:.0f}: {speed * seconds / tokens:.2f}x")
    return worst > 1e-3


if __name__ == "__main__":
    sys.exit(main())
