#!/usr/bin/env python3
"""Compares Rubato's tokenizers with Hugging Face's `tokenizers`: ids, types, offsets, words and tokens must be equal on
every line of every file given, and on adversarial lines. One real tokenizer (all-MiniLM-L6-v2) and several that are
trained here: WordPiece (cased, accents kept), byte-level BPE (RoBERTa), Unigram with a character map (XLM-R, ALBERT).

    tokenizer_parity.py ENCODE_LINES MODEL_FOLDER WORK_FOLDER DATA_FOLDER [--full]

Without --full every file is thinned to about 40 lines and 20 kB, and the longest text has 100,000 letters, not a million. Prints 'N passed, N failed'.
"""
import concurrent.futures, contextlib, functools, glob, gzip, json, os, random, subprocess, sys, time
import tokenizers
from tokenizers import (AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers, Regex)

program, real, work, data = sys.argv[1:5]
full = "--full" in sys.argv
os.makedirs(work, exist_ok=True)

ADVERSARIAL = [
    "", " ", "  ", "\t", "a", " a ", "[CLS] [SEP] x[MASK]y [PAD][UNK]", "<s> </s> <mask>x <unk>", "can't WON'T we'll I'd they've 'S 'll'",
    "👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇰🇷🇺🇸 1️⃣", "e\u0301\u0323 a\u0323\u0301 o\u031b\u0301 q\u0307\u0323 \u0301x", "ﾊﾝｶｸ ｶﾞ ﾡﾢﾣ ￦ ﾠ", "각 각 한국어 \u1100\u1161\u11a8",
    "zero\u200bwidth\u200djoin\u200cer\ufeff bom\u00ad soft", "\u0000nul\u0001\u0008\u000b\u000c\u000e\u001f\u007f\u0080\u0085\u009f",
    "\u00a0nbsp\u2003em\u2028ls\u2029ps\u3000ideo\u1680ogham\u202fnn\u205fmm", "İstanbul ISTANBUL ıI ß ẞ ǅ ŉ ﬁ ﬃ Ⅷ ⅷ ① Ⓐ ㎏ ½ ²", "ΑΣ ΟΔΟΣ ς σ",
    "\u0344\u0f73\u0958\ufb1d\u2126\u212b\u1e9b\u0323", "\U0001f9ff\U0001fae0\U0001fadf\U00010eab\U000e0001\U0010ffff", "\ue000\uf8ff private", "\ufffd�",
    "नमस्ते दुनिया क्षत्रिय", "العربية مُحَمَّد ﷺ ﻻ", "Привет, Ёлка й", "中文字符㐀𠀀𫠠𫤠豈 mixed中text", "ไทย ภาษา", "ab" * 60, "a" * 100, "a" * 101, "가" * 100, "가" * 101,
    "....,,,;;;---___", "$+<=>^`|~ §¶·¿«»“”‘’–—…", "https://a.b/c?d=e&f#g @user #tag a_b-c 1,234.56e-7", "''quote'' ``tick`` \"double\"",
    " \u0301lead", "x\u0301\u0300\u0323\u0327\u0328y", "\u200d\u200d", "ﷺ" * 10, "\u1112\u1161\u11ab\u1100\u1173\u11af", "🙂" * 200, "ｆｕｌｌ ｗｉｄｔｈ １２３",
    "\u3099\u309a が ガ", "tab\tsep  double   triple    end ", "\u2581meta\u2581space", "Ġbyte Ċlevel", "a\u0308\u0304 ǖ ṩ s\u0323\u0307 s\u0307\u0323",
    "\u0b95\u0bca \u0cca\u0ccb \u0dda\u0ddd", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝒶𝓃𝒸𝓎", "\u05e9\u05bc\u05c1 \ufb2a", "\u1b06\u1b35 \u0f42\u0fb7", "\U0001d15e \U0001d1bb",
]


@functools.cache
def lines_of(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8", newline="\n") as f:
        rows = [row.rstrip("\n") for row in f]
    if full: return rows
    rng, out, size = random.Random(7), [], 0
    for row in rng.sample(rows, min(40, len(rows))):
        if size > 20_000: break
        row = row[:3000]
        out.append(row)
        size += len(row)
    return out


def fuzz(count):
    rng = random.Random(11)
    blocks = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0x780), (0x900, 0xe00), (0x1100, 0x1200), (0x1ab0, 0x2100),
              (0x2100, 0x2c00), (0x3000, 0x3400), (0x4e00, 0x4f00), (0xac00, 0xd7a4), (0xf900, 0x10000), (0x10000, 0x11800), (0x1d000, 0x1d800), (0x1f000, 0x1fc00), (0x2f800, 0x2fa20)]
    for _ in range(count):
        lo, hi = rng.choice(blocks)
        lo2, hi2 = rng.choice(blocks)
        text = "".join(chr(rng.randrange(*rng.choice([(lo, hi), (lo2, hi2), (0x20, 0x7f), (0x300, 0x340)]))) for _ in range(rng.randrange(1, 40)))
        yield "".join(c for c in text if not 0xd800 <= ord(c) < 0xe000 and c not in "\n")


def sentencepiece_map():
    """The character map that SentencePiece puts into its models (nmt_nfkc_cf), as XLM-R and ALBERT have it."""
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2 as format
    except ImportError:
        print("sentencepiece is not installed: no character map is tested")
        return None
    base = os.path.join(work, "map")
    with open(base + ".txt", "w") as f: f.write("\n".join(f"some words to train on number {i}" for i in range(200)))
    sentencepiece.SentencePieceTrainer.train(input=base + ".txt", model_prefix=base, vocab_size=40, normalization_rule_name="nmt_nfkc_cf", minloglevel=2)
    model = format.ModelProto()
    model.ParseFromString(open(base + ".model", "rb").read())
    return model.normalizer_spec.precompiled_charsmap


def train_all(files):
    text = [row for f in files for row in lines_of(f)[:150 if full else 10]]
    made = {}

    def finish(name, t):
        folder = os.path.join(work, name)
        os.makedirs(folder, exist_ok=True)
        t.save(os.path.join(folder, "tokenizer.json"))
        made[name] = folder

    wp = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wp.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    wp.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wp.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=8000, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    wp.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    finish("wordpiece-cased", wp)

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator(text, trainers.BpeTrainer(vocab_size=8000, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    bpe.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    bpe.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    finish("bpe-roberta", bpe)
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
    bpe.add_tokens([AddedToken("Korea", single_word=True), AddedToken("New York", rstrip=True)])
    finish("bpe-prefix", bpe)

    def unigram(normalizer, pre):
        u = Tokenizer(models.Unigram())
        u.normalizer, u.pre_tokenizer = normalizer, pre
        part = text if full else text[::4] # its training takes seconds
        u.train_from_iterator(part, trainers.UnigramTrainer(vocab_size=6000 if full else 3000, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>", show_progress=False))
        u.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
        return u

    space = Regex(" {2,}")
    charsmap = sentencepiece_map()
    if charsmap:
        pre = normalizers.Precompiled(charsmap)
        finish("unigram-xlmr", unigram(pre, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])))
        finish("unigram-xlmr-new", unigram(normalizers.Sequence([pre, normalizers.Replace(space, " ")]), pre_tokenizers.Metaspace(prepend_scheme="first")))
        albert = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), pre, normalizers.Replace(space, " ")])
        finish("unigram-albert", unigram(albert, pre_tokenizers.Metaspace()))
    finish("unigram-nfkc", unigram(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip()]), pre_tokenizers.Metaspace()))
    finish("unigram-nfc", unigram(normalizers.NFC(), pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True), pre_tokenizers.Metaspace()])))
    return made


def show(e):
    return " ".join(f"{i}:{t}:{a}:{b}:{-1 if w is None else w}:{s.encode().hex()}" for i, t, (a, b), w, s in zip(e.ids, e.type_ids, e.offsets, e.word_ids, e.tokens))


def typeless(row):
    """Overflow windows of a template with one type have the types of BERT there (0 and 1), which the model would refuse:
    types are compared for the first window only."""
    return " ".join(":".join([x.split(":")[0], "*", *x.split(":")[2:]]) for x in row.split())


@contextlib.contextmanager
def without_panics():
    """Where a stride does not fit, the reference panics and writes about it to standard error, which goes nowhere here."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def run(folder, inputs, *arguments):
    return subprocess.run([program, folder, *arguments], input="\n".join(inputs) + "\n", capture_output=True, encoding="utf-8", check=True, errors="strict").stdout.split("\n")[:-1]


class Tally:
    """Equal and unequal lines of one tokenizer, and the text about the first unequal ones."""
    def __init__(self, name): self.name, self.passed, self.failed, self.said = name, 0, 0, []

    def check(self, want, got, texts):
        if len(want) != len(got):
            self.failed += 1
            self.said.append(f"FAILED {self.name}: {len(got)} lines for {len(want)}")
        for text, w, g in zip(texts, want, got):
            if w == g:
                self.passed += 1
                continue
            self.failed += 1
            if self.failed > 5: continue
            ws, gs = w.split(), g.split()
            at = next((i for i, (a, b) in enumerate(zip(ws, gs)) if a != b), min(len(ws), len(gs)))
            self.said.append(f"FAILED {self.name}: {ascii(text)[:200]}\n   want {ws[at:at+4]}\n   got  {gs[at:at+4]}")


def compare_texts(tally, folder, t):
    # a piece that is unknown to Unigram is shown as it stands, and U+0000 would end it
    texts = [x.replace("\0", "") if "unigram" in tally.name else x for x in ADVERSARIAL]
    texts += fuzz(20000 if full else 1500)
    long = 100_000 if full else 10_000
    texts += ["long word " * (long // 2) + "a" * (5 * long), "가나다 " * long, "x" * (10 * long)]
    texts += [row for path in files for row in lines_of(path) if "\0" not in row]
    tally.check([show(e) for e in t.encode_batch(texts)], run(folder, map(json.dumps, texts), "--json"), texts)


def compare_truncation(tally, folder, t):
    """Truncation, windows, pairs."""
    words = "one two three four five six seven eight nine ten eleven twelve".split()
    pairs = [(" ".join(words[:a]), " ".join(words[:b])) for a in range(0, 13, 1 if full else 2) for b in range(0, 13, 2 if full else 3)]
    ways = [(most, number, stride, left) for most in (range(4, 26) if full else (4, 5, 6, 7, 9, 12, 15, 20)) for number in (0, 1, 2)
            for stride in ((0, 2) if most >= 12 else (0,)) for left in (0, 1)]  # the reference panics where the stride does not fit
    want = []
    for most, number, stride, left in ways:
        t.enable_truncation(most, stride=stride, strategy=("longest_first", "only_first", "only_second")[number], direction="left" if left else "right")
        for pair in pairs:
            try: e = t.encode(*pair)
            except BaseException: want.append("error")
            else: want += [show(e), *(typeless(show(o)) for o in e.overflowing)]
    rows = ["\t".join(map(str, (*way, *pair))) for way in ways for pair in pairs]
    got = run(folder, rows, "--pairs")
    got = ["error" if g.startswith("error") else typeless(g) if "*" in w else g for g, w in zip(got, want)] + got[len(want):]
    tally.check(want, got, want)


def compare(made):
    name, folder = made
    tally, began = Tally(name), time.time()
    t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    t.no_truncation(); t.no_padding()
    compare_texts(tally, folder, t)
    compare_truncation(tally, folder, t)
    tally.said.append(f"{name}: {tally.passed} equal, {tally.failed} not, {time.time() - began:.0f} s")
    return tally


files = sorted(f for f in glob.glob(os.path.join(data, "**", "*"), recursive=True) if os.path.isfile(f) and not f.endswith(("README.md", "LICENSE.txt")))
folders = {"all-MiniLM-L6-v2": real, **train_all(files)} if os.path.exists(real) else train_all(files)
passed = failed = 0
with without_panics(), concurrent.futures.ProcessPoolExecutor() as pool:
    for tally in pool.map(compare, folders.items()):
        print(*tally.said, sep="\n", flush=True)
        passed, failed = passed + tally.passed, failed + tally.failed
print(f"tokenizers {tokenizers.__version__}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
