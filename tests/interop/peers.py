"""Processes: Floe, and one worker for each other engine."""

import json
import os
import subprocess
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "..", "peers", "peers.sh")


class FloeFailed(Exception):
    pass


class Floe:
    def __init__(self, binary):
        self.binary = os.path.abspath(binary)

    def sql(self, warehouse, statements):
        """Runs statements, and gives what they print as JSON lines."""
        command = [self.binary, "--quiet", "--format", "jsonl", "--warehouse", warehouse, "-c", statements]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise FloeFailed(done.stderr.strip()[-1500:])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def broken_rules(self, warehouse, table):
        """The rules that `floe check` finds broken."""
        done = subprocess.run([self.binary, "--warehouse", warehouse, "check", "--json", table], capture_output=True, text=True, timeout=300)
        if not done.stdout:
            raise FloeFailed(f"floe check: {done.stderr.strip()[-1500:]}")
        report = json.loads(done.stdout)
        found = {finding["rule"] for finding in report["findings"] if finding["severity"] != "note"}
        # What a reader of the exit status sees must be what the report says.
        if report["sound"] != (done.returncode == 0) or (report["sound"] and found):
            raise FloeFailed(f"floe check exits with {done.returncode} and reports {report}")
        return found


def peers(*words):
    return subprocess.run([PEERS, *words], capture_output=True, text=True, check=True).stdout.strip()


def start(server):
    """Puts the environment that reaches the server into ours."""
    for line in peers("start", server).splitlines():
        name, value = line.removeprefix("export ").split("=", 1)
        os.environ[name] = value


class Worker:
    """One engine in a process of its own: see worker.py. Takes one order at a time, from any thread."""

    def __init__(self, name, venv, logs):
        self.name = name
        self.lock = threading.Lock()
        self.log = os.path.join(logs, f"{name}.log")
        environment = {**os.environ, "FLOE_SPARK_JARS": peers("jars"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [peers("python", venv), os.path.join(HERE, "worker.py"), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, "w"), text=True, env=environment, cwd=logs,
        )
        self.ready = False

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            with open(self.log) as log:
                raise RuntimeError(f"{self.name} died: {log.read()[-1500:]}")
        return json.loads(line)

    def ask(self, **order):
        with self.lock:
            if not self.ready:
                self.answer()
                self.ready = True
            print(json.dumps(order), file=self.process.stdin, flush=True)
            return self.answer()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
