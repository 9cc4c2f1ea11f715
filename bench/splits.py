"""Splits of data sets that benchmarks and examples share."""
import html, random, re


def kept_apart(rows, count):
    """SST-2 labels the phrases of its sentences. Some whole sentences are kept for the search, and no phrase of them is left for training."""
    phrases, by_word = sorted({text for text, _ in rows}, key=lambda text: (len(text), text)), {}
    for text in phrases:
        for word in set(text.split()): by_word.setdefault(word, []).append(text)
    def contains(whole, text): return len(whole) > len(text) and f" {text} " in f" {whole} "
    def rarest(text): return by_word[min(text.split(), key=lambda word: len(by_word[word]))]
    whole = [text for text in phrases if len(text.split()) >= 6 and not any(contains(other, text) for other in rarest(text))]
    kept = set(random.Random(5).sample(whole, count))
    by_word = {}
    for text in sorted(kept):
        for word in set(text.split()): by_word.setdefault(word, []).append(text)
    def within(text): return text in kept or (all(word in by_word for word in text.split()) and any(contains(other, text) for other in rarest(text)))
    return [row for row in rows if not within(row[0])], [row for row in rows if row[0] in kept]


def spelled(text):
    """A text in the spelling of SST-2: lower case, and marks apart."""
    return " ".join(re.sub(r"([.,!?;:()\"])", r" \1 ", text.lower()).split())


def plain(review): return html.unescape(re.sub(r"<br />", " ", review))


def review_sentences(reviews):
    """IMDb's sentences of 6 to 45 words in the spelling of SST-2, each once."""
    seen = {}
    for review in reviews:
        for sentence in map(spelled, re.split(r"(?<=[.!?])\s+", plain(review))):
            if 6 <= len(sentence.split()) <= 45: seen[sentence] = True
    return list(seen)
