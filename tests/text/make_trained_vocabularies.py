#!/usr/bin/env python3
"""Makes trained_vocabularies.json: vocabularies that the trainers of the library tokenizers learn from small texts.

    pip install tokenizers==0.23.3
    make_trained_vocabularies.py

Of unigram vocabularies, the characters that no segmentation uses get scores in a random order; so a score is kept where twenty runs agree.

The ids of WordPiece's characters that continue words follow words in a random order there, so only its set of tokens is kept, of
settings for which ten runs agree."""
import json, os, random
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
draw = random.Random(7)
SYLLABLES = ["ba", "ka", "lo", "mi", "ne", "ru", "sta", "tor", "é", "가", "나", "다라", "猫", "ß", "1", "22", "aa", "aaa", "abab"]
WORDS = ["".join(draw.choice(SYLLABLES) for _ in range(draw.randint(1, 5))) for _ in range(400)]
MARKS = ["", "", "", "", ",", ".", "!", " ...", "\t", "  ", "🙂"]


def line():
    # frequent words are much more frequent than rare ones, as in real text
    return " ".join(WORDS[int(len(WORDS) * draw.random() ** 3)].capitalize() + draw.choice(MARKS) for _ in range(draw.randint(1, 30)))


TEXTS = {"made": [line() for _ in range(500)], "few": ["Hello hello, hello world!", "", "  the end of THE world  ", "aaaa aaaa aaab"], "specials": ["[MASK] a [SEP] b <s> c </s> a b a b"] * 3}


def train_bpe(lines, size, least):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, min_frequency=least, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                                     special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))
    model = json.loads(t.to_str())["model"]
    return [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])], model["merges"]


def train_wordpiece(lines, size, least, alphabet, cased):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=size, min_frequency=least, limit_alphabet=alphabet, show_progress=False,
                                                           special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    return sorted(t.get_vocab())


def train_unigram(lines, size, cased):
    t = Tokenizer(models.Unigram())
    case = [] if cased else [normalizers.Lowercase()]
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), *case, normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    t.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>", show_progress=False))
    return dict(json.loads(t.to_str())["model"]["vocab"])


cases = []
for name, lines in TEXTS.items():
    for size, least in [(600, 1), (400, 2), (5000, 3)]:
        runs = [train_bpe(lines, size, least) for _ in range(3)]
        if all(run == runs[0] for run in runs): cases.append({"kind": "bpe", "text": name, "tokens": size, "min_count": least, "vocabulary": runs[0][0], "merges": runs[0][1]})
    for size, least, alphabet, cased in [(100, 1, 50, False), (150, 2, 75, True), (300, 2, 20, False), (2000, 3, 1000, False)]:
        runs = [train_wordpiece(lines, size, least, alphabet, cased) for _ in range(10)]
        if all(run == runs[0] for run in runs):
            cases.append({"kind": "wordpiece", "text": name, "tokens": size, "min_count": least, "alphabet": alphabet, "cased": cased, "vocabulary": runs[0]})
    for size, cased in [(60, True), (100, False), (300, True), (1000, False)]:
        first, *others = (train_unigram(lines, size, cased) for _ in range(20))
        if any(first.keys() != other.keys() for other in others): continue
        scores = {piece: score if all(abs(score - other[piece]) < 1e-9 for other in others) else None for piece, score in first.items()}
        cases.append({"kind": "unigram", "text": name, "tokens": size, "cased": cased, "scores": scores})
print(len(cases), "cases:", [(c["kind"], c["text"], c["tokens"], len(c.get("vocabulary") or c["scores"])) for c in cases])
json.dump({"texts": TEXTS, "cases": cases}, open(os.path.join(here, "trained_vocabularies.json"), "w"), ensure_ascii=False, separators=(",", ":"))
