"""What a new user does: the README's first commands, on a copy of this checkout, with nothing of their own.

Makes a virtual environment that has pip alone, an empty home and an empty data directory, types the command that runs the
gateway, waits for the one line on standard output, types the first request, asks once more in the other dialect, and
stops the gateway as a terminal or a service manager would. Exits 1 with what it saw when a step fails.
"""

import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUN = re.compile(r"^pip install uv && uv run omniroute serve$", re.MULTILINE)
ASK = re.compile(r"^KEY=.*\ncurl (?:.*\\\n)*.*$", re.MULTILINE)
READY_S, STOP_S = 300.0, 30.0
BASE_URL = re.compile(r"http://127\.0\.0\.1:\d+")
README_URL, PROMPT = "http://127.0.0.1:20128", "hello"


def main() -> int:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    run, ask = RUN.search(readme), ASK.search(readme)
    if not run or not ask:
        raise SystemExit("README.md does not show the command that runs the gateway, or the first request")
    with tempfile.TemporaryDirectory(prefix="first-run-") as name:
        home = Path(name)
        checkout = home / "checkout"
        copy_checkout(checkout)
        environment = new_machine(home)
        with gateway(run[0], checkout, environment) as base_url:
            key = typed("uv run omniroute key create desktop", checkout, environment)
            answers = [ask_openai(base_url, key), ask_anthropic(base_url, key)]
            if shutil.which("curl"):
                answers.append(typed(ask[0].replace(README_URL, base_url), checkout, environment))
            for answer in answers:
                print(answer, file=sys.stderr)
                if PROMPT not in answer:
                    raise SystemExit("the echo is not in the answer")
    return 0


def copy_checkout(target: Path) -> None:
    """The files git tracks or would track, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def new_machine(home: Path) -> dict[str, str]:
    """An environment with a Python that has pip and nothing else; downloads are shared with the machine's own cache."""
    venv.create(home / "python", with_pip=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMNIROUTE_", "UV_", "XDG_", "VIRTUAL_ENV"))}
    kept.pop("DATA_DIR", None)
    binaries = home / "python" / ("Scripts" if os.name == "nt" else "bin")
    return {
        **kept,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PATH": os.pathsep.join([str(binaries), os.environ["PATH"]]),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv"),
        "OMNIROUTE_DATA_DIR": str(home / "data"),
        "OMNIROUTE_SERVER__PORT": str(port),  # 20128 may be taken on the machine that runs the check
    }


@contextmanager
def gateway(command: str, checkout: Path, environment: dict[str, str]) -> Iterator[str]:
    started_s = time.monotonic()
    process = subprocess.Popen(
        command, shell=True, cwd=checkout, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        start_new_session=os.name != "nt",
    )  # fmt: skip
    try:
        base_url = wait_for_base_url(process)
        print(f"ready after {time.monotonic() - started_s:.1f} s: {base_url}", file=sys.stderr)
        yield base_url
    finally:
        stop(process)


def wait_for_base_url(process: "subprocess.Popen[str]") -> str:
    """Read standard output (pip writes there too) until the line that is a base URL, which must be the last thing on it."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    output = process.stdout

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline_s = time.monotonic() + READY_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left_s)
        except queue.Empty:
            break
        if line is None:
            raise SystemExit(f"the command ended with exit code {process.wait()} before it was ready")
        if BASE_URL.fullmatch(line.strip().rstrip("/")):
            return line.strip().rstrip("/")
    raise SystemExit(f"no line with the base URL within {READY_S:.0f} s")


def stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is not None:
        return
    if os.name == "nt":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"the gateway did not stop within {STOP_S:.0f} s of being asked to") from None


def typed(command: str, checkout: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, shell=True, cwd=checkout, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"`{command}` ended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()


def ask_openai(base_url: str, key: str) -> str:
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": PROMPT}]}
    answer = post(f"{base_url}/v1/chat/completions", {"authorization": f"Bearer {key}"}, body)
    return str(answer["choices"][0]["message"]["content"])


def ask_anthropic(base_url: str, key: str) -> str:
    body = {"model": "demo/echo", "max_tokens": 100, "messages": [{"role": "user", "content": PROMPT}]}
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return str(post(f"{base_url}/v1/messages", headers, body)["content"][0]["text"])


def post(url: str, headers: dict[str, str], body: object) -> Any:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    raise SystemExit(main())
