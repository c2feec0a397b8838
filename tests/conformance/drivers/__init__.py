"""The vendors' own SDKs behind one interface, one SDK a file."""

from drivers.chat import Chat, Completions
from drivers.driver import Driver
from drivers.gemini import Gemini
from drivers.messages import Messages
from drivers.ollama import Generate, Ollama
from drivers.responses import Responses

DRIVERS: dict[str, Driver] = {
    driver.name: driver for driver in (Chat(), Responses(), Messages(), Gemini(), Ollama(), Generate(), Completions())
}

__all__ = ["DRIVERS", "Driver"]
