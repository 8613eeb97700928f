"""The cases: what Floe writes into a table `t`, and the conditions that its readers then filter by.

A case shows one verb or one write feature. Its inserts are files of their own with ranges apart, so that a reader that skips
files by statistics has something to skip: where the statistics are wrong, its rows are too.
"""

import dataclasses
import importlib


@dataclasses.dataclass
class Case:
    name: str
    # What the transcript says it shows.
    shows: str
    sql: str
    # Conditions in SQL that all engines understand, on the newest version.
    where: tuple = ()
    # The first version that is compared, beside the newest; none where older ones are gone, or the rows many. Those before it
    # are the inserts that other cases have too.
    since: int | None = 0
    # The change feed is compared as well.
    feed: bool = False
    # The ids of rows are compared as well: each was inserted with the one that its column `id` says, if it is below 500.
    row_ids: bool = False
    # Queries that must each give one row of one value, true.
    holds: tuple = ()
    # The rules that `floe check` finds broken. It must find these, and no other.
    broken: tuple = ()


def all_cases():
    found = []
    for name in ["types", "partitions", "features", "verbs", "columns"]:
        found += importlib.import_module(f"cases.{name}").CASES
    assert len({case.name for case in found}) == len(found), "two cases have one name"
    return found
