"""What was promised, and what came of it."""

import json
import sys
import time


class Skipped(Exception):
    """A part that this package or this board does not have."""


class Outcomes:
    """One line for each promise, printed as it is known and as a table at the end."""

    def __init__(self):
        self.began = time.monotonic()
        self.cases = []

    def case(self, promise, check):
        """Runs `check`, which says what it saw or raises."""
        began = time.monotonic()
        try:
            outcome, told = "passed", check()
        except Skipped as why:
            outcome, told = "skipped", str(why)
        except Exception as why:  # a board that falls silent fails the promise, not the run
            outcome, told = "FAILED", f"{type(why).__name__}: {why}"
        seconds = round(time.monotonic() - began, 1)
        self.cases.append({"promise": promise, "outcome": outcome, "seconds": seconds, "said": told})
        print(f"{outcome:8}{seconds:7.1f} s  {promise}: {told}", file=sys.stderr, flush=True)

    def finish(self, file=None):
        """Prints the table, writes it to `file` as JSON, and gives the exit status."""
        print("| promise | outcome | seconds | said |\n|---|---|---|---|")
        for case in self.cases:
            said = " ".join(case["said"].replace("|", "/").split())
            print(f"| {case['promise']} | {case['outcome']} | {case['seconds']:.0f} | {said} |")
        counted = {name: sum(case["outcome"] == name for case in self.cases) for name in ("passed", "FAILED", "skipped")}
        seconds = round(time.monotonic() - self.began)
        if file:
            with open(file, "w") as out:
                json.dump({**counted, "seconds": seconds, "cases": self.cases}, out, indent=1)
        print(f"\n{counted['passed']} passed, {counted['FAILED']} failed, {counted['skipped']} skipped in {seconds} s")
        return 1 if counted["FAILED"] else 0
