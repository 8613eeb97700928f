"""What is known not to agree, and the verdict on what was seen.

known.tsv has a line for each: the engine; the table feature or the case; what it does; a pattern in its message; and why. It
`refuses` a table for a feature that the table declares, which is sound. It `fails` or `differs` where the fault is its own: the
other engines, Spark among them, agree with Floe there. What is listed must happen, and nothing else may.
"""

import csv
import dataclasses
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = {"refuses": "refused", "fails": "refused", "differs": "differs"}


@dataclasses.dataclass
class Entry:
    engine: str
    what: str
    does: str
    message: str
    why: str
    used: bool = False

    def fits(self, made, engine):
        named = self.what in made.features() if self.does == "refuses" else self.what == made.case.name
        return self.engine == engine and named

    def explains(self, answer):
        return re.search(self.message, answer.get(KINDS[self.does], "")) is not None


def entries():
    with open(os.path.join(HERE, "known.tsv")) as file:
        lines = [line for line in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if line and not line[0].startswith("#")]
    return [Entry(*line) for line in lines]


def judge(tables, readers, seen, whole):
    """A verdict for each case and reader, and what fails the gate."""
    listed, verdicts, failures = entries(), {}, []
    for made in tables:
        for engine in readers:
            answers = seen.get((made.case.name, engine))
            if answers is None:
                continue
            fitting = [entry for entry in listed if entry.fits(made, engine)]
            bad = [(label, answer) for label, answer in answers if "rows" not in answer]
            used, unknown = [], {}
            for label, answer in bad:
                entry = next((entry for entry in fitting if entry.explains(answer)), None)
                if entry is None:
                    # The same answer to many readings is one failure.
                    unknown.setdefault(str(answer)[:60], []).append((label, answer))
                elif entry not in used:
                    used.append(entry)
            for (label, answer), *more in unknown.values():
                failures.append(f"{made.case.name}: {engine}: {label} (and {len(more)} more): {answer}")
            for entry in used:
                entry.used = True
            for entry in fitting:
                if entry not in used and not any(other.does == "refuses" for other in used):
                    failures.append(f"{made.case.name}: {engine} is listed as one that {entry.does} for {entry.what}, and does not")
            verdicts[made.case.name, engine] = used
    if whole:
        failures += [f"known.tsv: no case for {entry.engine} {entry.does} {entry.what}" for entry in listed if not entry.used]
    return verdicts, failures
