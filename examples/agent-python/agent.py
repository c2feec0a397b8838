"""An agent on the official `openai` SDK: it answers questions about a folder with two tools, streamed.

Nothing here knows of Airlock. The SDK reads OPENAI_BASE_URL and OPENAI_API_KEY; with the first one pointing at Airlock,
the same program runs under its policies.

    python agent.py "Which file here is the largest, and what is it for?"
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai import APIError, OpenAI

MODEL = os.environ.get("MODEL", "gpt-5-mini")
MAX_STEPS = 12
ROOT = Path.cwd()


def list_files(pattern: str = "*") -> str:
    """Files of the working folder with their sizes."""
    files = sorted(p for p in ROOT.glob(pattern) if p.is_file())
    return "\n".join(f"{p.relative_to(ROOT)}\t{p.stat().st_size} bytes" for p in files[:200]) or "no file matches"


def read_file(path: str) -> str:
    """The first 4,000 characters of a file below the working folder."""
    target = (ROOT / path).resolve()
    if not target.is_relative_to(ROOT):
        raise PermissionError(f"{path} is outside the working folder")
    return target.read_text(errors="replace")[:4000]


TOOLS: dict[str, tuple[Callable[..., str], dict[str, Any]]] = {
    "list_files": (list_files, {"pattern": {"type": "string", "description": "a glob, such as *.md"}}),
    "read_file": (read_file, {"path": {"type": "string"}}),
}

SCHEMAS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": function.__doc__,
            "parameters": {"type": "object", "properties": properties, "additionalProperties": False},
        },
    }
    for name, (function, properties) in TOOLS.items()
]


def call_tool(name: str, arguments: str) -> str:
    """The tool's result, or its error as text: the model is the one to deal with it."""
    try:
        function, _ = TOOLS[name]
        return function(**json.loads(arguments or "{}"))
    except (KeyError, TypeError, ValueError, OSError) as error:
        return f"Error: {type(error).__name__}: {error}"


def ask(client: OpenAI, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """One model call, printed as it streams. Returns the assistant's message."""
    text = ""
    calls: dict[int, dict[str, str]] = {}
    stream = client.chat.completions.create(model=MODEL, messages=messages, tools=SCHEMAS, stream=True)
    for chunk in stream:
        if not chunk.choices:
            continue
        choice = chunk.choices[0]
        if choice.delta.content:
            text += choice.delta.content
            print(choice.delta.content, end="", flush=True)
        for part in choice.delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = part.id or call["id"]
            if part.function:
                call["name"] = part.function.name or call["name"]
                call["arguments"] += part.function.arguments or ""
        if choice.finish_reason not in (None, "stop", "tool_calls"):
            print(f"\n[ended early: {choice.finish_reason}]", file=sys.stderr)
    if text:
        print()
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for _, c in sorted(calls.items())
        ]
    return message


def run(question: str) -> int:
    client = OpenAI()
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Answer questions about the files here. Use the tools; be brief."},
        {"role": "user", "content": question},
    ]
    for _ in range(MAX_STEPS):
        try:
            message = ask(client, messages)
        except APIError as error:
            print(f"\nthe model call failed: {error.message}", file=sys.stderr)
            return 1
        messages.append(message)
        if "tool_calls" not in message:
            return 0
        for call in message["tool_calls"]:
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            result = call_tool(name, arguments)
            print(f"[{name} {arguments} -> {len(result)} characters]", file=sys.stderr)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    print(f"gave up after {MAX_STEPS} steps", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(run(" ".join(sys.argv[1:]) or "What is in this folder?"))
