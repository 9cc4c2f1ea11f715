#!/usr/bin/env python3
"""Going on with texts: with a state or without one the same tokens; draws by the seed; where a text ends; and what is refused.

    test_generate.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import os

from program import check, finish, golden, one_line, path, renew, run, write

words = "the cat sat on a mat and the dog ran to a red hat".split()
data = write("lm.txt", "\n".join(" ".join(words[(i + s) % len(words)] for i in range(4)) for s in range(len(words))) * 10 + "\n")
r = renew("train", os.path.join(golden, "bert"), "--task", "lm", "--data", data, "--steps", 200, "--rate", "3e-3", "--max-length", 19, "--quiet", "--out", path("lm"))
check("a language model", r.status == 0, r)
lm, PROMPTS = path("lm"), "the\ncat sat\na\n\nred ha\n"


def generate(model, *more, stdin=PROMPTS): return run("generate", model, *more, "--json", stdin=stdin)


# ---- The same with and without a state ----
r = renew("convert", lm, "--attention", "image,block=128", "--out", path("image"))
kept, again = (generate(m).json() for m in (lm, path("image")))
drop = lambda rows: [(x["generated"], x["tokens"]) for x in rows]
check("keys that are kept", r.status == 0 and drop(kept) == drop(again) and len(kept) == 5 and all(x["tokens"] for x in kept[:3]), kept, again)
for attention in ("linear", "performer,features=16"):
    r = renew("convert", os.path.join(golden, "bert"), "--attention", attention, "--out", path("other"))
    r = renew("train", path("other"), "--task", "lm", "--data", data, "--steps", 30, "--rate", "3e-3", "--max-length", 19, "--quiet", "--out", path("sums"))
    check(f"{attention} goes on", r.status == 0 and len(generate(path("sums")).json()) == 5, r)
for threads in (1, 2): check(f"{threads} threads", drop(generate(lm, "--threads", threads).json()) == drop(kept))
r = renew("quantize", lm, "--to", "int8", "--out", path("small")); check("in int8", r.status == 0 and len(generate(path("small")).json()) == 5, r)

# ---- Draws ----
draws = [drop(generate(lm, "--temperature", 1.5, "--seed", seed).json()) for seed in (1, 1, 2, 3)]
check("the seed decides", draws[0] == draws[1] and len({str(d) for d in draws}) > 1, draws)
check("one token alone", drop(generate(lm, "--temperature", 5, "--top", 1).json()) == drop(kept))
check("a low temperature", drop(generate(lm, "--temperature", 1e-6).json()) == drop(kept))

# ---- Ends ----
check("so many tokens", all(x["tokens"] <= 2 for x in generate(lm, "--tokens", 2).json()))
full = generate(lm, "--temperature", 50, "--tokens", 1000, stdin="the\n").json()[0]
check("no more than the model takes", full["tokens"] <= 19 - 2, full)
r = run("generate", lm, stdin="the\n"); check("for reading, the text and what goes on", r.status == 0 and r.out.rstrip("\n") == "the" + kept[0]["generated"], r)
r = generate(lm, stdin=" ".join("abcdefghij" * 3) + "\nthe\n"); check("a text that leaves no token is its row's error", r.status == 1 and "takes 19" in r.json()[0]["error"] and r.json()[1]["tokens"] > 0, r)

# ---- Refused ----
for arguments, status, reason in (((os.path.join(golden, "bert"),), 1, "language model"), ((lm, "--temperature", -1), 2, "temperature"), ((lm, "--tokens", 0), 2, "tokens"), ((lm, "--budget", "0.4x"), 2, "does not take --budget")):
    r = run("generate", *arguments, stdin="the\n"); check(f"refused: {reason}", r.status == status and one_line(r) and reason in r.err, r)
finish()
