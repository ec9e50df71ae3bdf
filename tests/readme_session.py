#!/usr/bin/env python3
"""Runs the session of the README against a server and compares what it prints: "…" in the README is
anything. Usage: readme_session.py README HOST:PORT, in a directory of its own."""
import os
import re
import subprocess
import sys

MARK = "<!-- tests/readme_session.py runs the next two blocks -->"
ADDRESS = "localhost:5050"


def commands(readme):
    """Pairs of a command and what it prints."""
    after = readme.split(MARK)[1]
    blocks = re.findall(r"```console\n(.*?)```", after, re.DOTALL)[:2]
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            found = [line[2:], ""]
            yield found
        elif line.startswith("> "):
            found[0] += "\n" + line[2:]
        else:
            found[1] += line + "\n"


def main():
    readme, address = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        session = list(commands(file.read()))
    if len(session) < 20:
        sys.exit(f"{readme}: has no session")
    # As tests/slowness.h: under emulation programs take many times what the README allows them.
    slowness = max(1, int(os.environ.get("HATCHERY_TEST_SLOWNESS", 1)))
    script = ""
    for command, _ in session:
        command = re.sub(r'(?<=(?:cpu|ock)Limit":)\d+', lambda limit: str(int(limit[0]) * slowness), command)
        script += command.replace(ADDRESS, address) + "\nprintf '\\0'\n"
    ran = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    printed = ran.stdout.decode("utf-8", "replace").split("\0")[:-1]
    if len(printed) != len(session):
        sys.exit(f"{len(session)} commands, {len(printed)} of them ended:\n{printed}")
    wrong = 0
    for (command, expected), got in zip(session, printed):
        pattern = ".*".join(re.escape(part) for part in expected.split("…"))
        if re.fullmatch(pattern, got, re.DOTALL):
            continue
        wrong += 1
        print(f"$ {command}\nexpected: {expected}\nprinted:  {got}\n")
    sys.exit(1 if wrong else 0)


main()
