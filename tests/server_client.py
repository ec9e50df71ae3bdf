#!/usr/bin/python3
"""What a judge does with go-judge's interface, by client libraries that are not ours (Debian's
requests and websockets): upload, compile and keep the program, run it on tests, talk to an
interactor, run many over one WebSocket, stream, delete. Usage: server_client.py http://HOST:PORT
Exit status 0 when every answer was right; else the first that was not is told."""

import asyncio
import json
import os
import sys

import requests
import websockets

BASE = sys.argv[1].rstrip("/")
# As tests/slowness.h.
SLOWNESS = int(os.environ.get("HATCHERY_TEST_SLOWNESS", "1"))
SOURCE = "#include <cstdio>\nint main() { long a, b; std::scanf(\"%ld%ld\", &a, &b); std::printf(\"%ld\\n\", a + b); }\n"
ASKER = "echo 20 22; read sum; [ $sum = 42 ]"


def command(args, files, **more):
    return {
        "args": args,
        "env": ["PATH=/usr/bin:/bin"],
        "files": files,
        "cpuLimit": 10_000_000_000 * SLOWNESS,
        "clockLimit": 60_000_000_000 * SLOWNESS,
        "memoryLimit": 512 << 20,
        "procLimit": 50,
        **more,
    }


def outputs(text=""):
    return [{"content": text}, {"name": "stdout", "max": 10240}, {"name": "stderr", "max": 10240}]


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


def run(session, *cmd, **more):
    answer = session.post(f"{BASE}/run", json={"cmd": list(cmd), **more})
    expect("status of /run", (answer.status_code, answer.text if answer.status_code != 200 else ""), (200, ""))
    return answer.json()


def over_http():
    session = requests.Session()
    version = session.get(f"{BASE}/version").json()
    major, minor, patch = (int(part) for part in version["buildVersion"].lstrip("v").split("."))
    expect("a version that judges take", (major, minor, patch) >= (1, 8, 6), True)

    source = session.post(f"{BASE}/file", files={"file": ("sum.cc", SOURCE)}).json()
    compiled = run(session, command(["g++", "-O2", "sum.cc", "-o", "sum"], outputs(),
                                    copyIn={"sum.cc": {"fileId": source}},
                                    copyOut=["stdout", "stderr"], copyOutCached=["sum"]))[0]
    expect("compilation", (compiled["status"], compiled["files"]["stderr"]), ("Accepted", ""))
    program = compiled["fileIds"]["sum"]
    expect("names in the store", session.get(f"{BASE}/file").json(), {source: "sum.cc", program: "sum"})
    expect("source in the store", session.get(f"{BASE}/file/{source}").text, SOURCE)

    for a, b in ((1, 2), (-5, 5), (10**15, 7)):
        result = run(session, command(["sum"], outputs(f"{a} {b}\n"), copyIn={"sum": {"fileId": program}}))[0]
        expect(f"{a} + {b}", (result["status"], result["files"]["stdout"]), ("Accepted", f"{a + b}\n"))

    pair = run(session,
               command(["sh", "-c", ASKER], [None, None, {"name": "stderr", "max": 99}]),
               command(["sum"], [None, None, {"name": "stderr", "max": 99}], copyIn={"sum": {"fileId": program}}),
               pipeMapping=[{"in": {"index": 0, "fd": 1}, "out": {"index": 1, "fd": 0}},
                            {"in": {"index": 1, "fd": 1}, "out": {"index": 0, "fd": 0},
                             "proxy": True, "name": "said", "max": 99}])
    expect("interactive pair", [result["status"] for result in pair], ["Accepted", "Accepted"])
    expect("what the proxy kept", pair[1]["files"]["said"], "42\n")
    return session, source, program


async def over_websockets(program):
    url = BASE.replace("http", "ws", 1)
    async with websockets.connect(f"{url}/ws") as socket:
        for i in range(20):
            cmd = command(["sum"], outputs(f"{i} {i}"), copyIn={"sum": {"fileId": program}})
            await socket.send(json.dumps({"requestId": f"r{i}", "cmd": [cmd]}))
        answers = {}
        for _ in range(20):
            answer = json.loads(await socket.recv())
            answers[answer["requestId"]] = answer["results"][0]["files"]["stdout"]
        expect("20 requests", answers, {f"r{i}": f"{2 * i}\n" for i in range(20)})

    async with websockets.connect(f"{url}/stream") as socket:
        cmd = command(["sum"], [{"streamIn": True}, {"streamOut": True}, {"name": "stderr", "max": 99}],
                      copyIn={"sum": {"fileId": program}})
        await socket.send(b"\x01" + json.dumps({"cmd": [cmd]}).encode())
        await socket.send(b"\x03\x00" + b"30 12\n")
        streamed = b""
        while (frame := await socket.recv())[0] == 2:
            streamed += frame[2:]
        expect("streamed output", streamed, b"42\n")
        expect("streamed result", json.loads(frame[1:])["results"][0]["status"], "Accepted")


def main():
    session, source, program = over_http()
    asyncio.run(over_websockets(program))
    for file in (source, program):
        expect("delete", session.delete(f"{BASE}/file/{file}").status_code, 200)
    expect("the store at the end", session.get(f"{BASE}/file").json(), {})
    print("all answers were right")


main()
