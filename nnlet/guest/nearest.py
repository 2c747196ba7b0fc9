"""The nearest match to a misspelt name. (difflib would weigh as much as all of this guest.)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# A longer word is no slip of the keyboard, and comparing it takes time.
_LONGEST = 80


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that is at most a few edits from `word`, case apart; "" if there is none."""
    best, least = "", _LONGEST
    if len(word) > _LONGEST:
        return best
    folded = word.casefold()
    for name in names:
        most = min(least - 1, (max(len(word), len(name)) + 1) // 3)
        if abs(len(name) - len(word)) <= most:
            edits = distance(folded, name.casefold(), most)
            if edits <= most:
                best, least = name, edits
    return best


def distance(one: str, two: str, most: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours from one word to the other.

    More than `most` is told as `most` + 1. The algorithm is optimal string alignment.
    """
    before: Sequence[int] = ()
    row: Sequence[int] = range(len(two) + 1)
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(two, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and b == one[i - 2]:
                edits = min(edits, earlier[j - 2] + 1)
            row.append(edits)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
