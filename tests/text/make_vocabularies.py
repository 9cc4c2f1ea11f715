#!/usr/bin/env python3
"""Makes vocabularies.json: small tokenizer folders in the forms that came before tokenizer.json, and settings over a
tokenizer.json, with what the reference makes of a few texts.

    pip install transformers==5.24.0 tokenizers==0.23.3 sentencepiece protobuf
    make_vocabularies.py
"""
import base64, json, os, shutil, tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

here, work = os.path.dirname(os.path.abspath(__file__)), tempfile.mkdtemp()
TEXTS = ["the cat sat on the mat", "  Hello,  World!\tété ", "<s> a <mask>b</s><pad>", "[CLS] the [MASK] (x) [SEP]", "``quotes'' cafe\u0301 ＡＢ\u3000ｃ",
         "고양이 ▁ 1,000, 猫🙂", "<0x41> <unk>", "the <mask> cat <eop> x <sep>", "", " "]
PAIRS = [["the cat", "on a mat"], ["a <mask>", " [MASK] b "]]
CORPUS = ["the cat sat on the mat", "hello world, a cat and a mat!", "on the mat (x) sat 1,000 cats", "the world sat and said hello", "quotes \"and\" cafe ete"] * 12


def sentencepiece_model(**options):
    """A model with a small character map: full-width letters, the ideographic blank, the tab."""
    rules = "".join(f"{0xff21 + i:X}\t{0x41 + i:X}\n{0xff41 + i:X}\t{0x61 + i:X}\n" for i in range(26)) + "3000\t20\n9\t20\nE9\t65\n65 301\t65\n"
    open(os.path.join(work, "rules.tsv"), "w").write(rules)
    open(os.path.join(work, "text"), "w").write("\n".join(CORPUS))
    sentencepiece.SentencePieceTrainer.train(input=os.path.join(work, "text"), model_prefix=os.path.join(work, "m"), minloglevel=2, hard_vocab_limit=False,
                                             normalization_rule_tsv=os.path.join(work, "rules.tsv"), **options)
    return open(os.path.join(work, "m.model"), "rb").read()


def merges(pre_tokenizer, alphabet, suffix, size):
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix=suffix))
    t.pre_tokenizer = pre_tokenizer
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], initial_alphabet=alphabet,
                                                      end_of_word_suffix=suffix, show_progress=False))
    model = json.loads(t.to_str())["model"]
    return {"vocab.json": json.dumps(model["vocab"], ensure_ascii=False), "merges.txt": "#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"])}


plain = sentencepiece_model(vocab_size=70)
albert = sentencepiece_model(vocab_size=70, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"], user_defined_symbols=["(", "on the"])
xlnet = sentencepiece_model(vocab_size=72, unk_id=0, bos_id=1, eos_id=2, control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"], user_defined_symbols=["(", "."])
FILES = {"roberta": merges(pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.ByteLevel.alphabet(), "", 300),
         "herbert": merges(pre_tokenizers.BertPreTokenizer(), [], "</w>", 90), "xlm-roberta": {"sentencepiece.bpe.model": plain}, "camembert": {"sentencepiece.bpe.model": plain}, "albert": {"spiece.model": albert}, "xlnet": {"spiece.model": xlnet},
         "bpe": {"sentencepiece.bpe.model": sentencepiece_model(vocab_size=90, model_type="bpe")}}


def folder(files, model_type, settings):
    if model_type == "herbert": model_type, settings = "bert", {"tokenizer_class": "HerbertTokenizer", **(settings or {})}
    made = tempfile.mkdtemp(dir=work)
    for name, content in files.items():
        with open(os.path.join(made, name), "wb") as f: f.write(content if isinstance(content, bytes) else content.encode())
    json.dump({"model_type": model_type}, open(os.path.join(made, "config.json"), "w"))
    if settings is not None: json.dump(settings, open(os.path.join(made, "tokenizer_config.json"), "w"))
    return made


def saved(files, model_type):
    """The tokenizer.json that the reference saves of such files."""
    made = folder(files, model_type, None)
    AutoTokenizer.from_pretrained(made).save_pretrained(made)
    return {"tokenizer.json": open(os.path.join(made, "tokenizer.json")).read()}


def with_stages(files, **stages):
    return {"tokenizer.json": json.dumps({**json.loads(files["tokenizer.json"]), **stages}, ensure_ascii=False)}


SAVED = {family: saved(FILES[family], family) for family in ("roberta", "xlm-roberta", "albert", "xlnet")}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
FILES["roberta json"] = with_stages(SAVED["roberta"], pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True})
FILES["xlm-roberta json"] = with_stages(SAVED["xlm-roberta"], pre_tokenizer=METASPACE, normalizer=None)
FILES["xlnet json"] = with_stages(SAVED["xlnet"], normalizer=None)
FILES["albert json"] = with_stages(SAVED["albert"], normalizer=None)

world = {"content": "cat", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False, "special": False}
CASES = [("roberta", None), ("roberta", {"add_prefix_space": True}), ("roberta", {"trim_offsets": False}), ("roberta", {"mask_token": {**world, "content": "<mask>", "__type": "AddedToken"}}),
         ("roberta", {"tokenizer_class": "LongformerTokenizerFast"}), ("roberta", {"added_tokens_decoder": {"9": world}}),
         ("xlm-roberta", None), ("xlm-roberta", {"add_prefix_space": False}), ("xlm-roberta", {"additional_special_tokens": ["cat", "the mat"]}),
         ("camembert", None), ("herbert", None), ("herbert", {"additional_special_tokens": ["cat"]}), ("albert", None), ("albert", {"do_lower_case": False}), ("albert", {"keep_accents": True, "extra_special_tokens": ["[E1]"]}),
         ("roberta json", None), ("roberta json", {"add_prefix_space": True}), ("roberta json", {"tokenizer_class": "PreTrainedTokenizerFast"}),
         ("xlm-roberta json", None), ("xlm-roberta json", {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False}), ("xlm-roberta json", {"split_special_tokens": True}),
         ("xlnet", None), ("xlnet", {"do_lower_case": True}), ("xlnet json", None),
         ("albert json", None), ("albert json", {"do_lower_case": False, "image_token": "cat"})]


def encoded(b, *texts):
    e = b.encode(*texts)
    return [e.ids, e.type_ids, [list(o) for o in e.offsets]]


cases = []
for files, settings in CASES:
    b = AutoTokenizer.from_pretrained(folder(FILES[files], files.split()[0], settings)).backend_tokenizer
    cases.append({"files": files, "settings": settings, "texts": [encoded(b, t) for t in TEXTS], "pairs": [encoded(b, *p) for p in PAIRS]})
bpe = sentencepiece.SentencePieceProcessor(model_proto=FILES["bpe"]["sentencepiece.bpe.model"])
stored = {name: {f: {"base64": base64.b64encode(c).decode()} if isinstance(c, bytes) else c for f, c in files.items()} for name, files in FILES.items()}
with open(os.path.join(here, "vocabularies.json"), "w", encoding="utf-8") as f:
    json.dump({"files": stored, "texts": TEXTS, "pairs": PAIRS, "cases": cases, "bpe": [[t, bpe.encode(t)] for t in TEXTS[:1] + CORPUS[:4]]}, f, ensure_ascii=False, separators=(",", ":"))
shutil.rmtree(work)
