from collections import Counter


class Words:
    def __init__(self):
        self.counter = Counter()

    def add(self, text):
        self.counter.update(text.lower().split())

    def most_common(self, count):
        return self.counter.most_common(count)
