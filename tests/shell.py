#!/usr/bin/env python3
"""The shell as a person meets it, through a pseudo-terminal: shell.py BIN. Needs nothing but Python."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Shell:
    """A shell in a terminal of 30 lines and 100 columns."""

    def __init__(self, binary, folder, **environment):
        more = environment
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            # As a terminal starts it, whoever runs this test without one.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_STATE_HOME": f"{folder}/state", "TERM": "xterm", "PAGER": f"{folder}/pager", "EDITOR": f"{folder}/editor", **more}
            os.execve(binary, [binary], environment)
        self.raw = b""
        self.seen = ""
        self.read_to = 0
        self.resize(30, 100)

    def resize(self, lines, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, text, seconds=60):
        """Waits until the text appears after what was waited for last."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            at = self.seen.find(text, self.read_to)
            if at >= 0:
                self.read_to = at + len(text)
                return
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.raw += os.read(self.terminal, 65536)
                    self.seen = ESCAPES.sub("", self.raw.decode(errors="replace"))
                except OSError:
                    break
        sys.exit(f"the shell did not say {text!r}; after the last match it said:\n{self.seen[self.read_to:][-2000:]}")

    def said(self, start, end):
        """What was said between two texts, the second of which is waited for."""
        self.wait_for(start)
        began = self.read_to
        self.wait_for(end)
        return self.seen[began : self.read_to - len(end)]

    def type(self, text):
        os.write(self.terminal, text.encode())

    def does(self, line, says=None):
        """Types a line, and waits until it is done."""
        self.type(line + "\n")
        self.wait_for(line + "\n")
        if says:
            self.wait_for(says)
        self.wait_for("floe>")

    def leaves_with(self, status):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            done, how = os.waitpid(self.pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(how)
                if code != status:
                    sys.exit(f"the shell left with {code}, expected {status}")
                return
            # A program that writes to a terminal nobody reads would wait for ever.
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    os.read(self.terminal, 65536)
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        sys.exit("the shell does not leave")


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/.floerc", "w") as start:
            start.write(".timing off\nSELECT 'from the ' || 'start-up file' AS greeting;\n.timing on\n")
        editor = f"{folder}/editor"
        with open(editor, "w") as script:
            script.write("#!/bin/sh\necho \"SELECT 'edit' || 'ed' AS done;\" > \"$1\"\n")
        os.chmod(editor, 0o755)
        shell = Shell(binary, folder)
        shell.wait_for("warehouse ./warehouse")
        shell.wait_for("│ from the start-up file │")
        shell.wait_for("floe>")
        print("ok     it greets")

        shell.type("CREATE TABLE ducks AS\n")
        shell.type("SELECT 'Al;ma' AS name;\n")
        # The editor writes its prompt with every letter: only after this is it the next one.
        shell.wait_for("(version 0)")
        shell.wait_for("floe>")
        shell.type("SELECT * FROM ducks;\n")
        shell.wait_for("│ Al;ma  │")
        shell.wait_for("1 row in")
        shell.wait_for(", 1 of 1 files")
        shell.wait_for("floe>")
        print("ok     a statement spans lines and ends with its semicolon")

        shell.type(".tables\n")
        shell.wait_for("ducks")
        shell.wait_for("floe>")
        shell.type(".schema ducks\n")
        shell.wait_for("name")
        shell.wait_for("floe>")
        shell.type(".help\n")
        shell.wait_for(".schema [TABLE]")
        shell.wait_for("floe>")
        print("ok     dot commands")

        shell.type("SEL\t * FROM duc\t;\n")
        shell.wait_for("│ Al;ma  │")
        shell.wait_for("floe>")
        shell.type("SELECT x. FROM ducks x;" + "\x1b[D" * len(" FROM ducks x;") + "na\t\n")
        shell.wait_for("│ Al;ma  │")
        shell.wait_for("floe>")
        print("ok     Tab completes keywords, tables and columns")

        shell.does(".edit", "│ edited │")
        shell.does(".show ducks", "nothing to mend")
        print("ok     an editor, and the look of a table")

        shell.type("SELECT * FROM duks;\n")
        shell.wait_for("did you mean ducks")
        shell.wait_for("floe>")
        print("ok     an error does not end it")

        endless = "generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value < 0"
        shell.type(f"SELECT count(*) FROM ducks, {endless};\n")
        shell.wait_for("[####################] 100%  1/1 files, 1 rows, ")
        shell.wait_for(" s")
        print("ok     what takes long tells how far it is")

        pressed = time.monotonic()
        shell.type("\x03")
        shell.wait_for("interrupted", 20)
        print(f"       Ctrl-C gave the prompt back after {(time.monotonic() - pressed) * 1000:.0f} ms")
        shell.wait_for("floe>")
        shell.type("SELECT 41 + 1 AS answer;\n")
        shell.wait_for("│     42 │")
        shell.wait_for("floe>")
        print("ok     Ctrl-C ends the statement and not the shell")

        # Each step of it is short, so that nothing of it goes on when it is given up.
        lazy = "generate_series(1, 100) a, generate_series(1, 1000000000000) b WHERE a.value + b.value < 0"
        for writes in ("INSERT INTO ducks SELECT name FROM ducks", "MERGE INTO ducks USING (SELECT d.name FROM ducks d"):
            merge = writes.startswith("MERGE")
            tail = ") s ON ducks.name = s.name WHEN MATCHED THEN DELETE" if merge else ""
            shell.type(f"{writes}, {lazy}{tail};\n")
            shell.wait_for(" files, ")
            shell.wait_for(" s")
            shell.type("\x03")
            shell.wait_for("interrupted", 20)
            shell.wait_for("floe>")
        shell.does("SELECT count(*) AS n, max(version) AS v FROM ducks, history('ducks');", "│      1 │      0 │")
        print("ok     so it is for INSERT and MERGE, and nothing of them is committed")

        shell.type("SELECT half of a\x03")
        shell.wait_for("floe>")
        shell.type("SELECT value FROM generate_series(1, 1000) ORDER BY value;\n")
        shell.wait_for("1,000 rows, 40 shown")
        shell.wait_for("floe>")
        print("ok     long results are cut")

        shell.does("SELECT value, repeat('x', 1000) AS x FROM generate_series(1, 1000000);", "1,000,000 rows, 40 shown")
        status = f"/proc/{shell.pid}/status"
        if os.path.exists(status):
            with open(status) as said:
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", said.read())[1]) // 1024
            if peak > 500:
                sys.exit(f"a result of a gigabyte took {peak} MiB")
            print(f"ok     a result of a gigabyte takes {peak} MiB, and no more")

        wide = "SELECT " + ", ".join(f"'{'x' * 20}' AS column_{n}" for n in range(6)) + ", 'end' AS last;"
        for columns in (100, 40, 160):
            shell.resize(30, columns)
            shell.type(wide + "\n")
            box = shell.said("┌", "1 row in")
            lines = ("┌" + box).rstrip("\n").split("\n")
            if max(map(len, lines)) > columns or "last" not in box or ("…" in box) != (columns < 160):
                sys.exit(f"at {columns} columns the result is\n" + "\n".join(lines))
            shell.wait_for("floe>")
        shell.resize(30, 100)
        print("ok     results are as wide as the terminal, also after it was made wider or narrower")

        pager = f"{folder}/pager"
        with open(pager, "w") as script:
            script.write("#!/bin/sh\ntrap '' INT\nhead -n 4\necho '-- more --'\nread answer < /dev/tty\ntail -n 2\n")
        os.chmod(pager, 0o755)
        shell.does(".pager on", f"results longer than the screen go through {pager}")
        shell.does("SELECT value FROM generate_series(1, 5) ORDER BY value;", "5 rows in")
        shell.type("SELECT value FROM generate_series(1, 1000) ORDER BY value;\n")
        shell.wait_for("│  value │")
        shell.wait_for("-- more --")
        # For the pager, as when a search is given up.
        shell.type("\x03")
        shell.type("\n")
        shell.wait_for("│   1000 │")
        shell.wait_for("1,000 rows in")
        shell.wait_for("floe>")
        shell.type(wide + "\n")
        shell.wait_for("-- more --")
        shell.type("\n")
        shell.wait_for("1 row in")
        shell.wait_for("floe>")
        # Left on the first page, in the middle of a result of a hundred million rows.
        shell.does(".pager head -n 7", "go through head -n 7")
        shell.does("SELECT a.value FROM generate_series(1, 10000) a, generate_series(1, 10000) b;", "left before the end")
        shell.does(".pager no-such-program", "go through no-such-program")
        shell.does("SELECT value FROM generate_series(1, 1000);", "cannot run the pager no-such-program")
        shell.does(".pager OFF", "long results are cut")
        print("ok     long results go page by page through a pager")

        shell.does("\\dt", "ducks")
        shell.does(".mode csv")
        shell.type("SELECT name, 1 AS n FROM ducks;\n")
        shell.wait_for("name,n")
        shell.wait_for("Al;ma,1")
        shell.wait_for("floe>")
        shell.does(".mode cvs", "there are table, csv, tsv, json, jsonl, markdown, html, insert, line")
        shell.does(".once out.csv")
        shell.does("SELECT 'in the file' AS a;", "1 row in")
        shell.does("SELECT 'on the screen' AS a;", "a\non the screen")
        with open(f"{folder}/out.csv") as written:
            assert written.read() == "a\nin the file\n"
        # Pasted in one go, commands among statements.
        shell.type("\x1b[200~.output all.csv\n.timing off\nSELECT 1 AS a;\nSELECT 2\n AS a;\x1b[201~\n")
        shell.wait_for("timing is off")
        shell.wait_for("1 row\n")
        shell.wait_for("1 row\n")
        shell.wait_for("floe>")
        shell.does(".output")
        shell.does(".mode table")
        with open(f"{folder}/all.csv") as written:
            assert written.read() == "a\n1\na\n2\n"
        shell.type(".output /no/such/folder/x\n")
        shell.wait_for("cannot write results to /no/such/folder/x")
        shell.wait_for("floe>")
        print("ok     results in other formats and in files")

        with open(f"{folder}/script.sql", "w") as script:
            script.write(".echo on\nSELECT 'from\n a script'\n  AS a;\nSELECT * FROM duks;\n.mode line\nSELECT 7 AS seven\n")
        shell.type(".read script.sql\n")
        shell.wait_for("did you mean ducks")
        shell.wait_for("SELECT 7 AS seven")
        shell.wait_for("seven = 7")
        shell.wait_for("floe>")
        shell.does(".bail on", "bail is on")
        shell.does(".read script.sql", "did you mean ducks")
        shell.does(".echo off", "echo is off")
        shell.does("SELECT 8 AS eight;", "eight = 8")
        shell.type(".watch 0.2\n")
        for _ in range(3):
            shell.wait_for("eight = 8")
        shell.type("\x03")
        shell.wait_for("floe>")
        shell.does("\\x")
        shell.does("\\timing on", "timing is on")
        print("ok     scripts, and statements that run again and again")

        shell.type("\x04")
        shell.leaves_with(0)
        print("ok     Ctrl-D leaves")

        shell = Shell(binary, folder)
        shell.wait_for("floe>")
        shell.type("\x1b[A")
        shell.wait_for("\\timing on")
        shell.type("\x03")
        shell.wait_for("floe>")
        shell.type(".quit\n")
        shell.leaves_with(0)
        print("ok     history is kept")

        # Statements that are given up in the middle of a step of minutes keep their threads, and nobody else's.
        shell = Shell(binary, folder)
        shell.wait_for("floe>")
        for _ in range(3):
            shell.type(f"SELECT count(*) FROM ducks, {endless};\n")
            shell.wait_for(" files, ")
            shell.type("\x03")
            shell.wait_for("interrupted", 20)
            shell.wait_for("floe>")
        os.kill(shell.pid, signal.SIGKILL)
        os.waitpid(shell.pid, 0)
        print("ok     progress is told while statements that were given up still compute")

        shell = Shell(binary, folder)
        shell.wait_for("floe>")
        shell.does("SELECT 'before the end' AS said;", "before the end")
        shell.type(f"INSERT INTO ducks SELECT name FROM ducks, {lazy};\n")
        shell.wait_for(" files, ")
        os.kill(shell.pid, signal.SIGKILL)
        os.close(shell.terminal)
        os.waitpid(shell.pid, 0)
        shell = Shell(binary, folder)
        shell.wait_for("floe>")
        shell.type("\x12before the\n")
        shell.wait_for("before the end")
        shell.wait_for("floe>")
        shell.does("SELECT count(*) AS n, max(version) AS v FROM ducks, history('ducks');", "│      1 │      0 │")
        # The terminal goes away, as when its window is closed.
        shell.type(f"INSERT INTO ducks SELECT name FROM ducks, {lazy};\n")
        shell.wait_for(" files, ")
        os.close(shell.terminal)
        end = time.monotonic() + 30
        while os.waitpid(shell.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                sys.exit("the shell stays when its terminal is gone")
            time.sleep(0.1)
        shell = Shell(binary, folder, LC_ALL="C", NO_COLOR="1")
        shell.wait_for("floe>")
        shell.does("SELECT count(*) AS n, max(version) AS v FROM ducks, history('ducks');", "|      1 |      0 |")
        print("ok     a shell that is killed loses no history and commits nothing; a poor locale has boxes, too")
        shell.type(".quit\n")
        shell.leaves_with(0)


main()
