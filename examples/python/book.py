"""A text and what can be counted in it. Nothing here knows of Elixir or Erlang."""

import re
import statistics
from collections import Counter

WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*")
SENTENCE = re.compile(r"[^.!?]+[.!?]+[”’)]*")
SPOKEN = re.compile(r"“([^“”]*)”")


class Book:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.words = WORD.findall(self.text.lower())
        self.counts = Counter(self.words)

    def __repr__(self):
        return "Book(%r, %d words)" % (self.text.splitlines()[0], len(self.words))

    def summary(self):
        sentences = [WORD.findall(sentence) for sentence in SENTENCE.findall(self.text)]
        lengths = [len(sentence) for sentence in sentences if sentence]
        spoken = [word for passage in SPOKEN.findall(self.text) for word in WORD.findall(passage)]
        return {
            "words": len(self.words),
            "different": len(self.counts),
            "only once": sum(1 for count in self.counts.values() if count == 1),
            "sentences": len(lengths),
            "words per sentence": statistics.mean(lengths),
            "longest sentence": max(lengths),
            "spoken": len(spoken) / len(self.words),
        }

    def most_common(self, number, longer_than=0):
        counts = self.counts.most_common()
        return [(word, count) for word, count in counts if len(word) > longer_than][:number]

    def growth(self, step):
        """How many different words have been met, every so many words."""
        met = set()
        for at, word in enumerate(self.words, start=1):
            met.add(word)
            if at % step == 0 or at == len(self.words):
                yield at, len(met)
