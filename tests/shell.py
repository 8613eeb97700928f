#!/usr/bin/env python3
"""The shell as a person meets it, through a pseudo-terminal: shell.py BIN. Needs nothing but Python."""

import os
import pty
import re
import select
import signal
import sys
import tempfile
import time

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Shell:
    def __init__(self, binary, folder):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_STATE_HOME": f"{folder}/state", "TERM": "xterm", "EDITOR": f"{folder}/editor"}
            os.execve(binary, [binary], environment)
        self.seen = ""
        self.read_to = 0

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
                    self.seen += ESCAPES.sub("", os.read(self.terminal, 65536).decode(errors="replace"))
                except OSError:
                    break
        sys.exit(f"the shell did not say {text!r}; after the last match it said:\n{self.seen[self.read_to:]}")

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

        shell.type("\x03")
        shell.wait_for("interrupted", 20)
        shell.wait_for("floe>")
        shell.type("SELECT 41 + 1 AS answer;\n")
        shell.wait_for("│     42 │")
        shell.wait_for("floe>")
        print("ok     Ctrl-C ends the statement and not the shell")

        shell.type("SELECT half of a\x03")
        shell.wait_for("floe>")
        shell.type("SELECT value FROM generate_series(1, 1000) ORDER BY value;\n")
        shell.wait_for("1,000 rows, 40 shown")
        shell.wait_for("floe>")
        print("ok     long results are cut")

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


main()
