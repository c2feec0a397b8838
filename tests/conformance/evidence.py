"""Whether the canary policy had every byte of a text before the client could read it."""

from __future__ import annotations

import json
from typing import Any

from house import FALLBACK, REPLACED, REPLACEMENT, STOP_REASON, word
from plan import Plan
from script import Call, Outcome, Refuse, Say, Think

CHANNELS = {Say: "output", Think: "reasoning", Refuse: "refusal", Call: "tool-arguments"}


def complaints(plan: Plan, outcome: Outcome, heard: list[dict[str, Any]]) -> list[str]:
    """What speaks against it; nothing if the canary heard all in time."""
    found = []
    read: dict[tuple[str, int], str] = {}
    for at, channel, choice, text in outcome.read:
        place = (channel, choice)
        read[place] = read.get(place, "") + text
        told = _changed(_told(heard, channel, choice, at))
        if not _covers(told, read[place]):
            found.append(f"{channel} {choice}: the client read {read[place]!r} when the canary had heard {told!r}")
            break
    for at, _, name, arguments in outcome.calls:
        calls = [part for part in heard if part.get("call") == name and part["at"] * 1000 <= at]
        if not any(json.loads(_changed(call["arguments"])) == arguments for call in calls):
            found.append(f"the client had the call {name}({arguments}) when the canary had heard {calls}")
    return found + _unheard(plan, heard)


def _told(heard: list[dict[str, Any]], channel: str, choice: int, at: int) -> str:
    """What the canary had been told of a place at a time. What a later attempt begins anew replaces what was."""
    text = b""
    for part in heard:
        if part.get("channel") == channel and part["choice"] == choice and part["at"] * 1000 <= at:
            text = text[: part["offset"]] + part["text"].encode()
    return text.decode(errors="replace")


def _changed(text: str) -> str:
    """The text as a client may read it."""
    return text.replace(word(REPLACED), REPLACEMENT)


def _covers(told: str, read: str) -> bool:
    """Whether all that was read had been told, but for what Airlock itself says at the end."""
    if told.startswith(read) or _same_json(told, read):
        return True
    own = [at for at in (read.find(FALLBACK), read.find("Airlock stopped")) if at >= 0]
    return bool(own) and told.startswith(read[: min(own)]) and (read.endswith(FALLBACK) or STOP_REASON in read)


def _same_json(told: str, read: str) -> bool:
    """Arguments that an SDK gives as a value are the same if the value is."""
    try:
        return json.loads(told) == json.loads(read)
    except ValueError:
        return False


def _bare(text: str) -> str:
    return "".join(text.split())


def _unheard(plan: Plan, heard: list[dict[str, Any]]) -> list[str]:
    """What the upstream said and the canary never heard, up to the word at which it was cut off."""
    said: dict[tuple[str, int], str] = {}
    for part in plan.answer.parts:
        if text := "".join(getattr(part, "fragments", ())) or getattr(part, "text", ""):
            place = (CHANNELS[type(part)], part.choice)
            said[place] = said.get(place, "") + text
            before, found, _ = said[place].partition(word(plan.cell.act))
            if found and (plan.cell.act != REPLACED or plan.signed):
                said[place] = before
                break
    missing = []
    for (channel, choice), text in said.items():
        # A refusal without a place of its own is told as what it is to its client, an output.
        told = [_told(heard, where, choice, 2**63) for where in (channel, "output" if channel == "refusal" else channel)]
        # Where an API has arguments as a value, their spelling is its own: of those that were cut, blanks do not count.
        if channel == "tool-arguments" and any(_bare(one).startswith(_bare(text)) for one in told):
            continue
        if not any(one.startswith(text) or _same_json(one, text) for one in told):
            missing.append(f"the upstream said {text!r} in {channel} {choice}, the canary heard {told[0]!r}")
    return missing
