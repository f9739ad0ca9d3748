"""Writes in the style of a book, a word at a time. Nothing here knows of Elixir or Erlang."""

import random
import time
from collections import defaultdict


class Author:
    """Knows which words follow each pair of words in a book."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            next(file)  # the chapter's title
            words = file.read().split()
        self.beginnings = []
        self.followers = defaultdict(list)
        for first, second, third in zip(words, words[1:], words[2:]):
            self.followers[first, second].append(third)
            if first.endswith((".", "!", "?")):
                self.beginnings.append((second, third))
        self.words_written = None

    def write(self, start=None, seed=None, pause=0.05):
        """Words without end. Each takes a moment, as those of a language model do."""
        rng = random.Random(seed)
        self.words_written = None
        count = 0
        try:
            first, second = self._beginning(rng, start)
            for word in (first, second):
                count += 1
                yield word
            while True:
                time.sleep(pause * rng.uniform(0.2, 1.8))
                following = self.followers.get((first, second))
                if following:
                    first, second = second, rng.choice(following)
                else:
                    first, second = self._beginning(rng)
                count += 1
                yield second
        finally:
            # Runs when the generator is closed, too: here a model would be told to stop.
            self.words_written = count

    def _beginning(self, rng, start=None):
        fitting = [pair for pair in self.beginnings if pair[0] == start]
        return rng.choice(fitting or self.beginnings)
