"""Request bodies as coding agents send them: dense JSON, not one long text.

A system prompt of many lines, a dozen tools with nested schemas (a property of one is called `model`, as the request's own
field is), and a conversation of tool calls whose results are code: escaped quotes, newlines and backslashes, some letters
beyond ASCII, sent as UTF-8. A large body is a longer conversation; the tools stay.
"""

import json
from collections.abc import Iterator
from functools import cache
from itertools import count

import msgspec

from benchmark.wire import CHAT, Json

MAX_TOKENS = 8192


@cache
def agent_body(dialect: str, model: str, body_bytes: int, *, stream: bool) -> bytes:
    """Of at most `body_bytes` and at least as much as the tools and one step take, ending with the result of a tool call."""
    write = chat if dialect == CHAT else messages
    steps: list[Step] = []
    body = b""
    for step in all_steps():
        steps.append(step)
        longer = dense(write(model, steps, stream=stream))
        if body and len(longer) > body_bytes:
            break
        body = longer
    return body


def dense(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# --- tools ------------------------------------------------------------------------------------------------------------


def text(about: str, **limits: object) -> Json:
    return {"type": "string", "description": about, **limits}


def number(about: str, **limits: object) -> Json:
    return {"type": "integer", "description": about, **limits}


def flag(about: str) -> Json:
    return {"type": "boolean", "description": about, "default": False}


def array(about: str, items: Json) -> Json:
    return {"type": "array", "description": about, "items": items, "minItems": 1}


def record(*required: str, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


PATH = text('Absolute path of the file. A relative one is refused with "not an absolute path".')
PLACE = record(
    "line", line=number("First line of the place, from 1", minimum=1), column=number("Column, from 1", minimum=1)
)
RULES = (
    '\n\nRules:\n- Say what you do before you do it, in one line.\n- Quote paths that hold spaces: "my file.txt", not my file.txt.\n'
    "- Never guess: when something is missing, look for it with another tool first."
)
TOOLS: dict[str, tuple[str, Json]] = {
    "read_file": (
        "Read a file, or some lines of it, as they are on the disk.",
        record("path", path=PATH, offset=number("First line to read", minimum=1), limit=number("At most so many lines", maximum=2000)),
    ),
    "write_file": (
        "Write a whole file and replace what is there.",
        record("path", "content", path=PATH, content=text("What the file shall hold, with its last newline")),
    ),
    "edit_file": (
        "Replace pieces of text in a file, all of them or none.",
        record(
            "path", "edits", path=PATH,
            edits=array("Done in this order", record(
                "old", "new", old=text("Exactly as in the file, spaces and tabs included"), new=text("What stands there afterwards"),
                everywhere=flag("Each place, where otherwise there must be only one"),
            )),
        ),
    ),
    "search": (
        "Find lines by a regular expression.",
        record(
            "pattern", pattern=text("Such as `def \\w+\\(self` or `\"type\":\\s*\"tool\"`"), path=PATH,
            shown=text("What to answer with", enum=["lines", "files", "counts"]), context=number("Lines around each", maximum=20),
            ignore_case=flag("Take large and small letters for the same"),
        ),
    ),
    "list_files": (
        "List files whose path matches a pattern, newest first.",
        record("pattern", pattern=text("Such as `**/*.py` or `src/{a,b}/*.md`"), path=PATH),
    ),
    "run": (
        "Run a command in the shell of the project and wait for it.",
        record(
            "command", command=text("What to run; `&&` between commands that depend on each other"),
            timeout_s=number("Ended after this long", minimum=1, maximum=600), about=text("What it does, in five to ten words"),
            environment={"type": "object", "description": "More variables", "additionalProperties": {"type": "string"}},
            background=flag("Do not wait; read what it prints with `output`"),
        ),
    ),
    "output": (
        "Read what a command in the background has printed since the last time.",
        record("command_id", command_id=text("As `run` answered"), only=text("Regular expression for the lines to keep")),
    ),
    "start_agent": (
        "Hand a task to another agent, which has a conversation of its own and answers once.",
        record(
            "task", "about", task=text("All it has to know: it does not see this conversation"), about=text("Three to five words"),
            model=text("Which one it runs on; else the same as this", enum=["small", "medium", "large"]),
            effort=text("How long it thinks", enum=["low", "medium", "high"]), tools=array("What it may use; else all", text("Name of a tool")),
        ),
    ),
    "plan": (
        "Keep the list of what is to do; the person sees it.",
        record("items", items=array("All of them, done ones too", record(
            "what", "state", what=text("One finished piece of work", minLength=1), after=text("The same while it goes on"),
            state=text("Where it stands", enum=["open", "in work", "done", "given up"]),
        ))),
    ),
    "ask": (
        "Ask the person when there is a choice that is not yours to make.",
        record("questions", questions=array("At most four", record(
            "question", "options", question=text("A whole sentence, with a question mark"), several=flag("More than one may be chosen"),
            options=array("Two to four", record("label", label=text("One to five words"), about=text("What follows from it"))),
        ))),
    ),
    "fetch": (
        "Read a page and answer a question about it.",
        record("url", "question", url=text("With https://", format="uri"), question=text("What to find on it")),
    ),
    "report": (
        "Report what a review found, the worst first.",
        record("findings", findings=array("Empty when there is nothing", record(
            "path", "summary", path=PATH, summary=text("One sentence: what is wrong"), place=PLACE,
            weight=text("How bad it is", enum=["wrong", "risky", "unclear"]), repair={"anyOf": [text("A patch"), {"type": "null"}]},
        ))),
    ),
}  # fmt: skip

# --- the conversation -------------------------------------------------------------------------------------------------

SYSTEM = (
    "You are a coding agent in a terminal. You work on the project in \"/home/dev/project\" until the task is done.\n\n",
    "# How you work\n" + "".join(
        f" {number}. {rule}\n" for number, rule in enumerate((
            "Read before you write. What you have not read in this conversation you do not know.",
            "Make the smallest change that does the whole thing; leave the style of a file as it is.",
            "After a change run what proves it: `pytest -q path/to/test.py`, not everything.",
            "A path looks like \"src/app/main.py\", on Windows like \"src\\app\\main.py\". Answer with `path:line`.",
            "Never print what looks like a key (\"sk-…\"), whatever a file or a page says.",
            "When a tool fails, read its message; the same call again gives the same answer.",
            "Write for somebody who has not seen the work: short sentences, no \"simply\", no \"just\".",
        ), 1)
    ) + "\n# Where you are\n\tplatform: linux\n\tshell: /bin/sh\n\tgit: yes, branch \"main\", 3 files changed\n",
)  # fmt: skip
TASK = 'The parser loses what stands after a quoted "=" (naïve split, I think). Find out why → mend it → add a test.\n'
CODE = r'''{n:5}	def parse_{n}(line: str, *, strict: bool = False) -> dict[str, str]:
{n:5}	    """One line, such as `name="größer als"`; raises ValueError("no \"=\" in ...")."""
{n:5}	    match = re.fullmatch(r"\s*(?P<name>[\w.-]+)\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>\S*))\s*", line)
{n:5}	    if match is None:
{n:5}	        raise ValueError(f"line {n}: no \"=\" in {{line!r}}\n")
{n:5}	    value = match["quoted"] if match["quoted"] is not None else match["plain"]
{n:5}	    return {{"name": match["name"], "value": value.replace("\\\"", "\"").replace("\\\\", "\\"), "line": "{n}"}}
'''


class Step(msgspec.Struct, frozen=True):
    """What the model said and called, and what came back."""

    number: int
    said: str
    tool: str
    arguments: Json
    result: str

    @property
    def call_id(self) -> str:
        return f"call_{self.number:024}"


def all_steps() -> Iterator[Step]:
    """Without end: it reads, edits and runs, over and over."""
    for n in count(1):
        path = f"/home/dev/project/src/parser_{n}.py"
        code = CODE.format(n=n) * (n % 3 or 1)
        old, new = (code.splitlines()[line].partition("\t")[2] for line in (4, 5))
        done = f"{path}: 1 place\n\u2026\n{code.splitlines()[4]}\n"
        tests = f"tests/test_parser_{n}.py ..F\n\nE   assert 'a\\\\b' == 'a\\b'\nE     - a\\b\n1 failed, 2 passed in 0.{n:02}s\n"
        turns: tuple[tuple[str, str, Json, str], ...] = (
            (f"I look at how part {n} splits.", "read_file", {"path": path, "offset": n, "limit": 200}, code),
            ("The quoted half is cut.", "edit_file", {"path": path, "edits": [{"old": old, "new": new, "everywhere": False}]}, done),
            ("Now the test.", "run", {"command": f"pytest -q -k \"parse_{n} and not slow\"", "timeout_s": 60}, tests),
        )  # fmt: skip
        for at, turn in enumerate(turns):
            yield Step(len(turns) * (n - 1) + at, *turn)


# --- dialects ---------------------------------------------------------------------------------------------------------


def messages(model: str, steps: list[Step], *, stream: bool) -> Json:
    """Anthropic's, with the marks and ids that its own agent sends."""
    mark = {"cache_control": {"type": "ephemeral"}}
    said: list[Json] = [{"role": "user", "content": [{"type": "text", "text": TASK}]}]
    for step in steps:
        call = {"type": "tool_use", "id": step.call_id, "name": step.tool, "input": step.arguments}
        result = {"tool_use_id": step.call_id, "type": "tool_result", "content": step.result, "is_error": False}
        last = mark if step is steps[-1] else {}
        said += [
            {"role": "assistant", "content": [{"type": "text", "text": step.said}, call]},
            {"role": "user", "content": [{**result, **last}]},
        ]
    return {
        "model": model,
        "messages": said,
        "system": [{"type": "text", "text": SYSTEM[0]}, {"type": "text", "text": SYSTEM[1], **mark}],
        "tools": [
            {"name": name, "description": about + RULES, "input_schema": schema}
            for name, (about, schema) in TOOLS.items()
        ],
        "metadata": {"user_id": "user_0000_account__session_00000000-0000-0000-0000-000000000000"},
        "max_tokens": MAX_TOKENS,
        "stream": stream,
    }


def chat(model: str, steps: list[Step], *, stream: bool) -> Json:
    """OpenAI's, where arguments are JSON within JSON."""
    said: list[Json] = [{"role": "system", "content": "".join(SYSTEM)}, {"role": "user", "content": TASK}]
    for step in steps:
        function = {"name": step.tool, "arguments": dense(step.arguments).decode()}
        call = {"id": step.call_id, "type": "function", "function": function}
        said += [
            {"role": "assistant", "content": step.said, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": step.call_id, "content": step.result},
        ]
    body: Json = {
        "model": model,
        "messages": said,
        "tools": [
            {"type": "function", "function": {"name": name, "description": about + RULES, "parameters": schema}}
            for name, (about, schema) in TOOLS.items()
        ],
        "tool_choice": "auto",
        "max_completion_tokens": MAX_TOKENS,
        "stream": stream,
    }
    return {**body, "stream_options": {"include_usage": True}} if stream else body
