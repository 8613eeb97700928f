"""Makes the tables of the cases, and writes down which rows Floe sees in them."""

import json
import os
import re

from peers import FloeFailed


class Made:
    """A table, and the readings of it that every other engine has to repeat."""

    def __init__(self, case, folder):
        self.case = case
        self.warehouse = os.path.join(folder, case.name)
        self.table = os.path.join(self.warehouse, "default", "t")
        self.orders = []
        self.refused = None

    def commits(self):
        """The log's files by version. The manifests of checkpoints are JSON too."""
        log = os.path.join(self.table, "_delta_log")
        return {int(name[:20]): os.path.join(log, name) for name in sorted(os.listdir(log)) if re.fullmatch(r"\d{20}\.json", name)}

    def features(self):
        """What the newest protocol asks of readers and writers, by name, as far as it is known to be asked for."""
        found = {}
        for path in self.commits().values():
            with open(path) as commit:
                for line in commit:
                    found = json.loads(line).get("protocol", found)
        mapped = {"columnMapping"} if found.get("minReaderVersion") == 2 else set()
        return {*found.get("readerFeatures", []), *found.get("writerFeatures", []), *mapped}

    def make(self, floe, statements):
        try:
            floe.sql(self.warehouse, statements.replace("{warehouse}", self.warehouse))
        except FloeFailed as error:
            self.refused = str(error)

    def write_down(self, floe):
        """Floe's rows of every version, of every condition and of the change feed, as Parquet files with an order each."""
        found = floe.broken_rules(self.warehouse, self.table)
        if found != set(self.case.broken):
            raise FloeFailed(f"floe check finds {sorted(found)} broken, expected {sorted(self.case.broken)}")
        for query in self.case.holds:
            rows = floe.sql(self.warehouse, query)
            if [list(row.values()) for row in rows] != [[True]]:
                raise FloeFailed(f"{query} gives {rows}")
        kept = os.path.join(self.warehouse, "expected")
        os.makedirs(kept)
        copies = []

        def reading(label, query, **order):
            path = os.path.join(kept, f"{label.split(' ')[0]}{len(copies)}.parquet")
            copies.append(f"COPY ({query}) TO '{path}';")
            self.orders.append((label, {"table": self.table, "expected": path, **order}))

        # The newest version is read without naming it: that is what people do.
        reading("newest", "SELECT * FROM t", do="read", version=None, where=None)
        if self.case.since is not None:
            for version in [version for version in list(self.commits())[:-1] if version >= self.case.since]:
                reading(f"version {version}", f"SELECT * FROM t VERSION AS OF {version}", do="read", version=version, where=None)
        for where in self.case.where:
            reading(f"where {where}", f"SELECT * FROM t WHERE {where}", do="read", version=None, where=where)
        if self.case.row_ids:
            reading("row ids", "SELECT id, CAST(id AS BIGINT) AS row_id FROM t WHERE id < 500", do="row_ids")
        if self.case.feed:
            feed = "SELECT * EXCLUDE (_commit_timestamp) FROM table_changes('t', 0)"
            reading("changes", feed, do="changes")
        floe.sql(self.warehouse, "\n".join(copies))
