"""A power cut under load: what the unit had told before it must be in its journal after it, and no film may be lost."""

import random
import re
import time

from unit import FOLDER
from shown import SHOWN

TOLD = re.compile(r"^told (.*?) +reading (\d+) of ([0-9a-f]{8})", re.MULTILINE)
PUT = re.compile(r"^put (\S+)", re.MULTILINE)

# What `compare` says of a cut that lost nothing.
KEPT = re.compile(r"(\d+) told and (\d+) films put in, none lost")


def cut(unit, console, number, longest):
    """Films come in, and the power goes; then what was told and put before it is held against what is there."""
    load(unit, console, number, longest)
    unit.board.cut_power()
    before = said(console)
    unit.start_again()
    return compare(unit, before)


def load(unit, console, number, longest):
    """Films come in until a random moment, at most `longest` seconds after the unit has told something."""
    unit.must(f"rm -f {FOLDER}/unsynced; sync {FOLDER}; setsid bash /host/load {number} > /dev/null 2>&1 < /dev/null &")
    deadline = time.monotonic() + 600
    while not TOLD.search(said(console)):
        if time.monotonic() > deadline:
            raise AssertionError("nothing was told within 600 s")
        time.sleep(0.05)
    time.sleep(random.uniform(0, longest))


def said(console):
    with open(console, errors="replace") as text:
        return text.read().replace("\r", "")


def compare(unit, before):
    """Holds what the console told and what was put, as it said `before`, against what is there."""
    told, put = set(TOLD.findall(before)), set(PUT.findall(before))
    verified = unit.verify()
    rows = {(SHOWN[row["verdict"]].words, str(row["seq"]), row["input_digest"][:8]) for row in unit.readings()}
    if told - rows:
        raise AssertionError(f"told, and not so in the journal: {sorted(told - rows)}")
    there = unit.must(f"find {FOLDER}/inbox {FOLDER}/state -type f -printf '%f\\n'")
    missing = [film for film in put if film not in there]
    if missing:
        raise AssertionError(f"films that are nowhere: {missing}")
    unsynced = len(set(TOLD.findall(unit.must(f"cat {FOLDER}/unsynced 2> /dev/null || :"))))
    return (f"{len(told)} told and {len(put)} films put in, none lost; {verified}; "
            f"of what was told {unsynced} stood in a file that nobody synced")
