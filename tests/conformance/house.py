"""Airlock between the fake upstreams and the SDKs: one process, with every policy and every route that the matrix needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from airlock import Airlock, policy, toml  # noqa: E402
from harness import BINARY, Process, free_port, wait_for  # noqa: E402

from feed import Feed  # noqa: E402
from upstreams import WIRES, Upstream  # noqa: E402

CANARY = ROOT / "target" / "conformance-policies" / "canary.wasm"

# The policy of the binary once more, since each act needs an entry of its own.
BLOCKLIST = ROOT / "target" / "policies" / "blocklist.wasm"

# What is ordered when a model says the word `<ACT>-7731`.
HARD, SOFT, ABORT, REPLACED, STOPPED, HELD = "hard", "soft", "abort", "replaced", "stopped", "held"
FALLBACK = "This answer was withheld."
REPLACEMENT = "[removed]"
SUBSTITUTE = "The result is withheld."
STOP_REASON = "enough was said"


def word(act: str) -> str:
    return f"{act.upper()}-7731"


def _blocklist(name: str, act: str, action: str, actions: list[str] | None = None) -> str:
    settings = {"patterns": [{"text": word(act)}], "action": action, "fallback": FALLBACK, "replacement": REPLACEMENT, "alert": False}
    grants = {"sees": ["*"], "actions": actions or ["block", "replace-range"], "content": True}
    return policy(name, settings, file=str(BLOCKLIST), component="blocklist", required=True, grants=grants)


def _rule(name: str, when: str, do: str, **words: str) -> str:
    return f"[[rule]]\nname = {toml(name)}\nwhen = {toml(when)}\ndo = {toml(do)}\n" + "".join(f"{key} = {toml(value)}\n" for key, value in words.items())


def policies() -> list[str]:
    """Every act by a first-party policy or a rule; the canary only listens."""
    canary = f'[policy.canary]\nfile = "{CANARY}"\nrequired = true\ngrants = {{ sees = ["*"], actions = ["annotate"], content = true }}\n'
    blocks = [_blocklist(f"block-{act}", act, act) for act in (HARD, SOFT, ABORT)]
    # What the stopper finds, a rule answers: it may do nothing itself.
    others = [_blocklist("replace", REPLACED, "replace"), _blocklist("stopper", STOPPED, "hard", actions=["annotate"])]
    heard = "findings.exists(f, f.policy == 'stopper')"
    rules = [
        _rule("stop", heard, "stop", message=STOP_REASON),
        _rule("held-call", "tool.name == 'tool_held'", "hold-for-person", at=["tool-call"], message="a call that waits"),
        _rule("held-request", "request.model.endsWith('-held')", "hold-for-person", at=["request"], message="a request that waits"),
    ]
    of_result = {"at": ["tool-result"]}
    for act in (HARD, SOFT, ABORT):
        rules.append(_rule(f"result-{act}", f"tool.name == 'result_{act}'", "block", block_mode=act, message="a forbidden result", fallback=FALLBACK, **of_result))
    rules += [
        _rule("result-replaced", "tool.name == 'result_replaced'", "substitute-tool-result", message=SUBSTITUTE, **of_result),
        _rule("result-stopped", "tool.name == 'result_stopped'", "stop", message=STOP_REASON, **of_result),
        _rule("result-held", "tool.name == 'result_held'", "hold-for-person", message="a result that waits", **of_result),
    ]
    return [canary, *blocks, *others, *rules]


def speaks(folder: Path, dialect: str) -> bool:
    """Whether the binary knows a wire API by this name."""
    probe = folder / "probe.toml"
    probe.write_text(f'[upstream.a]\nbase_url = "http://127.0.0.1:9/v1"\ndialect = "{dialect}"\n')
    return subprocess.run([str(BINARY), "config", "check", str(probe)], capture_output=True, timeout=60).returncode == 0


class Street:
    """An upstream for each wire API, for every Airlock in front of them."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.upstreams = {name: Upstream(wire) for name, wire in WIRES.items()}
        self.missing = sorted({wire.dialect for wire in WIRES.values() if not speaks(folder, wire.dialect)})

    def stop(self) -> None:
        for upstream in self.upstreams.values():
            upstream.stop()


class House:
    """Airlock in front of the upstreams, and its live feed."""

    def __init__(self, folder: Path, street: Street, *sections: str, gateway: str = ""):
        self.upstreams = street.upstreams
        # The first route that fits counts: `to-ollama-*` is one for `to-ollama-generate-x` too.
        names = sorted(self.upstreams, key=len, reverse=True)
        entries = [self._entries(name) for name in names if self.upstreams[name].wire.dialect not in street.missing]
        self.airlock = Airlock(folder, None, *(sections or policies()), routes="\n".join(entries), gateway=gateway)
        self.host = f"http://127.0.0.1:{self.airlock.port}"
        self.feed = Feed(self.airlock)

    def _entries(self, name: str) -> str:
        """An upstream, the same with little patience, one that nobody answers at, and the models that lead to them."""
        upstream = self.upstreams[name]
        dead = f"http://127.0.0.1:{free_port()}{upstream.wire.base}"
        dialect = f'dialect = "{upstream.wire.dialect}"\n'
        return (
            f'[upstream.{name}]\nbase_url = "{upstream.base_url}"\n{dialect}retries = 1\nretry_backoff_ms = 1\n'
            f'[upstream.impatient-{name}]\nbase_url = "{upstream.base_url}"\n{dialect}retries = 0\nidle_timeout_ms = 1000\n'
            f'[upstream.dead-{name}]\nbase_url = "{dead}"\n{dialect}retries = 0\n'
            f'[[route]]\nmodel = "to-{name}-*"\nupstream = "{name}"\n'
            f'[[route]]\nmodel = "impatient-{name}-*"\nupstream = "impatient-{name}"\n'
            f'[[route]]\nmodel = "after-dead-{name}-*"\nupstream = "dead-{name}"\nfallback = ["{name}"]\n'
        )

    def stop(self) -> None:
        self.feed.stop()
        self.airlock.stop()


__all__ = ["Airlock", "BINARY", "House", "Process", "Street", "wait_for"]
