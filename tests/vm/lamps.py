"""What lamps tell, by the levels that were seen: the patterns are those of the card beside the unit."""

import re

LAMPS = ("green", "yellow", "red")
DARK = "#d9dde2"


def patterns(card):
    """What `chestlight lamps card` prints: words to the lamp that says them (or "all") and its slots of 0.2 s."""
    found = {}
    for circle, words, how in re.findall(r"<circle (.*)</circle>\n<text[^>]*>(.*)</text>\n<text[^>]*>(.*)</text>", card):
        fills = re.search(r'(?:values|fill)="(#[^"]*)"(?=/?>| stroke)(?!.*values)', circle).group(1)
        found[words] = (how.split()[0].rstrip(":"), [fill != DARK for fill in fills.split(";")])
    return found


def told(samples, known):
    """The words whose pattern the samples, (seconds, {lamp: lit}), follow best, and the share of them that do."""
    def share(pattern, begun):
        colour, slots = pattern
        right = 0
        for at, lit in samples:
            now = slots[int((at + begun) / 0.2) % len(slots)]
            right += all(lit[lamp] == (now and colour in (lamp, "all")) for lamp in LAMPS)
        return right / len(samples)

    phases = {words: [step * 0.02 for step in range(10 * len(slots))] for words, (_, slots) in known.items()}
    return max(((words, max(share(known[words], begun) for begun in phases[words])) for words in known),
               key=lambda one: one[1])
