"""The table in docs/interop.md: one line a case, one column a reader."""

import os

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "interop.md")
BEGIN, END = "<!-- transcript -->", "<!-- end of transcript -->"
TITLES = {"spark": "Spark", "trino": "Trino", "sail": "Sail", "duckdb": "DuckDB", "chdb": "chdb", "polars": "Polars"}


def render(tables, readers, verdicts):
    notes = []

    def cell(made, engine):
        if made.refused is not None:
            return "–"
        words = []
        for entry in verdicts.get((made.case.name, engine), []):
            if entry.does == "refuses":
                words.append(f"refuses: {entry.what}")
            else:
                note = f"{TITLES.get(engine, engine)}: {entry.why}"
                if note not in notes:
                    notes.append(note)
                words.append(f"{entry.does} [{notes.index(note) + 1}]")
        return ", ".join(words) or "✓"

    lines = ["| Table | Shows | " + " | ".join(TITLES.get(engine, engine) for engine in readers) + " |", "|---" * (len(readers) + 2) + "|"]
    for made in tables:
        shows = made.case.shows if made.refused is None else f"{made.case.shows} (Floe refuses)"
        lines.append(f"| {made.case.name} | {shows} | " + " | ".join(cell(made, engine) for engine in readers) + " |")
    lines += ["", *(f"{at}. {note}" for at, note in enumerate(notes, 1))] if notes else []
    return "\n".join(lines) + "\n"


def compare(tables, readers, verdicts, update):
    """Writes the page, or says how it is not what was seen."""
    found = render(tables, readers, verdicts)
    with open(PAGE) as file:
        page = file.read()
    before, rest = page.split(BEGIN + "\n")
    written, after = rest.split(END)
    if update:
        with open(PAGE, "w") as file:
            file.write(before + BEGIN + "\n" + found + END + after)
        return []
    if written == found:
        return []
    changed = sorted(set(found.splitlines()) ^ set(written.splitlines()))
    return [f"docs/interop.md is not what was seen (FLOE_INTEROP_UPDATE=1 writes it):\n  " + "\n  ".join(changed)]
