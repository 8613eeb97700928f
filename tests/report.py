#!/usr/bin/env python3
"""The page of `floe show --html` in headless Chromium: report.py BIN [CHROMIUM]. Needs nothing but Python and the browser.

Three tables of different shape are shown as JSON and as a page. The page must ask nobody for anything and leave no word on the
console, and its bars must be as long on the screen as the JSON says.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import zlib

TABLES = {
    "even": "CREATE TABLE even (id BIGINT, p STRING) PARTITIONED BY (p);"
    " INSERT INTO even SELECT value, concat('p', value % 3) FROM generate_series(1, 3000);",
    "skewed": "CREATE TABLE skewed (id BIGINT, v DOUBLE, p STRING) PARTITIONED BY (p);"
    + "".join(
        f" INSERT INTO skewed SELECT value, random(), 'p{at}' FROM generate_series(1, {10 ** at});" for at in range(2, 6)
    ),
    "changed": "CREATE TABLE changed (id BIGINT) CLUSTER BY (id); INSERT INTO changed SELECT value FROM generate_series(1, 40000);"
    " INSERT INTO changed SELECT value FROM generate_series(1, 10000); DELETE FROM changed WHERE id % 4 = 0; OPTIMIZE changed;",
}
WIDTH, HEIGHT = 1000, 3000
BLUE = (0x2F, 0x7E, 0xBC)
# Whom Chromium asks of its own accord, whatever it shows.
OF_THE_BROWSER = {
    "accounts.google.com", "android.clients.google.com", "clients2.google.com", "content-autofill.googleapis.com",
    "optimizationguide-pa.googleapis.com", "redirector.gvt1.com", "update.googleapis.com", "www.google.com",
}  # fmt: skip


def fail(what):
    sys.exit(f"FAILED {what}")


def pixels(file):
    """The rows of a picture of 8 bits a channel, without interlace, as browsers write them; each pixel a tuple."""
    data = open(file, "rb").read()
    at, packed, channels = 8, b"", 0
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big"), body[8], body[9]
            channels = {2: 3, 6: 4}[colour]
            assert depth == 8
        elif kind == b"IDAT":
            packed += body
        at += length + 12
    raw, stride = zlib.decompress(packed), width * channels
    before, rows = bytearray(stride), []
    for row in range(height):
        kind, line = raw[row * (stride + 1)], bytearray(raw[row * (stride + 1) + 1 : (row + 1) * (stride + 1)])
        for x in range(stride):
            left = line[x - channels] if x >= channels else 0
            up, corner = before[x], before[x - channels] if x >= channels else 0
            if kind == 1:
                line[x] = line[x] + left & 255
            elif kind == 2:
                line[x] = line[x] + up & 255
            elif kind == 3:
                line[x] = line[x] + (left + up) // 2 & 255
            elif kind == 4:
                guess = left + up - corner
                nearest = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))
                line[x] = line[x] + nearest[2] & 255
        rows.append([tuple(line[x : x + 3]) for x in range(0, stride, channels)])
        before = line
    return rows


def bars(rows):
    """The lengths in pixels of the bars that lie, from top to bottom: blue that begins where the names end."""
    begins = round(WIDTH * 0.2)
    found, inside = [], False
    for row in rows:
        line = [at for at, pixel in enumerate(row) if pixel == BLUE]
        # Upright bars of the commits begin elsewhere, or stand side by side.
        lies = line and begins < line[0] < begins + 80 and line[-1] - line[0] + 1 == len(line)
        if lies and not inside:
            found.append(len(line))
        inside = bool(lies)
    return found


def close(found, expected, what):
    if len(found) != len(expected):
        fail(f"{what}: {len(found)} bars on the screen, expected {len(expected)}")
    most_found, most = max(found), max(expected)
    for length, value in zip(found, expected):
        if abs(length / most_found - value / most) > 0.03:
            fail(f"{what}: bars of {found} pixels for {expected}")


def look(chromium, folder, name, binary, warehouse):
    page, log = f"{folder}/{name}.html", f"{folder}/{name}.net.json"
    floe = [binary, "--quiet", "--warehouse", warehouse, "show", name]
    shown = json.loads(subprocess.run([*floe, "--json", "--html", page], check=True, capture_output=True, text=True).stdout)
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--force-device-scale-factor=1", "--hide-scrollbars", "--enable-logging=stderr", f"--log-net-log={log}",
            f"--user-data-dir={folder}/profile-{name}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={folder}/{name}.png", f"file://{page}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        fail(f"{name}: Chromium left with {done.returncode}: {done.stderr[-2000:]}")
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    if said:
        fail(f"{name}: the console says {said}")
    asked = set(re.findall(r'"(?:url|host)":\s*"(?:https?|wss?)://([^"/?:]+)', open(log).read()))
    if asked - OF_THE_BROWSER:
        fail(f"{name}: the page asked for {sorted(asked - OF_THE_BROWSER)}")
    expected = [of["count"] for of in shown["sizes"]]
    expected = [[value / max(expected) for value in expected]]
    if shown["partitions"]:
        most = max(partition["bytes"] for partition in shown["partitions"])
        expected.append([partition["bytes"] / most for partition in shown["partitions"]])
    shares = [column["depth"] / column["files"] for column in shown["overlap"]]
    if shares:
        expected.append([share / max(shares) for share in shares])
    close(bars(pixels(f"{folder}/{name}.png")), [value for chart in expected for value in chart], name)
    print(f"ok     {name}: {len(shown['commits'])} commits, {sum(map(len, expected))} bars as long as they should be")


def main():
    binary = os.path.abspath(sys.argv[1])
    chromium = sys.argv[2] if len(sys.argv) > 2 else "chromium"
    with tempfile.TemporaryDirectory() as folder:
        for name, script in TABLES.items():
            subprocess.run([binary, "--quiet", "--warehouse", f"{folder}/w", "-c", script], check=True)
            look(chromium, folder, name, binary, f"{folder}/w")


if __name__ == "__main__":
    main()
