"""Agents in JavaScript, each a process of `node/main.mjs` that reads turns and writes what came of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from frameworks.agent import Agent, Place
from sdks import MODEL

FOLDER = Path(__file__).resolve().parents[1] / "node"


class NodeError(Exception):
    """What the agent threw: names of the errors' classes, and their words."""


class NodeAgent(Agent):
    # Its name in main.mjs.
    script: str

    def make(self, place: Place) -> None:
        self.process = subprocess.Popen(
            ["node", str(FOLDER / "main.mjs"), self.script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"MODEL": MODEL, "SETUP": place.text},
            text=True,
        )

    def run(self, text: str, streamed: bool) -> str:
        self.process.stdin.write(json.dumps({"text": text, "streamed": streamed}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"node ended with {self.process.wait(30)}"
        outcome = json.loads(line)
        self.tools.called = [(name, arguments) for name, arguments in outcome["called"]]
        if error := outcome.get("error"):
            raise NodeError(" ".join(error["names"]), error["message"])
        return outcome["said"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class NodeChat(NodeAgent):
    wire, setup, script = "openai-chat", "openai", "openai-chat"


class NodeResponses(NodeAgent):
    wire, setup, script = "openai-responses", "openai", "openai-responses"


class NodeAnthropic(NodeAgent):
    wire, setup, script = "anthropic-messages", "anthropic", "anthropic"


class NodeGenai(NodeAgent):
    wire, setup, script = "gemini", "google-genai", "genai"


class VercelChat(NodeAgent):
    wire, setup, script = "openai-chat", "vercel-ai", "vercel-chat"


class VercelResponses(NodeAgent):
    wire, setup, script = "openai-responses", "vercel-ai", "vercel-responses"


class VercelAnthropic(NodeAgent):
    wire, setup, script = "anthropic-messages", "vercel-ai", "vercel-anthropic"


class VercelGoogle(NodeAgent):
    wire, setup, script = "gemini", "vercel-ai", "vercel-google"


class AssistantUI(NodeAgent):
    wire, setup, script = "openai-responses", "assistant-ui", "assistant"


NODE: list[type[NodeAgent]] = [
    NodeChat,
    NodeResponses,
    NodeAnthropic,
    NodeGenai,
    VercelChat,
    VercelResponses,
    VercelAnthropic,
    VercelGoogle,
    AssistantUI,
]
