"""Google ADK."""

from __future__ import annotations

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models import Gemini
from google.adk.runners import InMemoryRunner
from google.genai import types

from frameworks.agent import Agent, Place
from sdks import MODEL


class Failed(Exception):
    """ADK reports a failed call as an event."""


class GoogleAdk(Agent):
    wire, setup = "gemini", "google-adk"

    def make(self, place: Place) -> None:
        tools = [self.tools.look_up, self.tools.delete_user]
        agent = LlmAgent(name="agent", instruction="Be brief.", model=Gemini(model=MODEL), tools=tools)
        self.runner = InMemoryRunner(agent=agent, app_name="app")
        self.session: str | None = None

    async def turn(self, text: str, streamed: bool) -> str:
        if self.session is None:
            self.session = (await self.runner.session_service.create_session(app_name="app", user_id="someone")).id
        message = types.Content(role="user", parts=[types.Part(text=text)])
        config = RunConfig(streaming_mode=StreamingMode.SSE if streamed else StreamingMode.NONE)
        said = ""
        async for event in self.runner.run_async(user_id="someone", session_id=self.session, new_message=message, run_config=config):
            if event.error_code:
                raise Failed(event.error_code, event.error_message)
            if event.is_final_response() and event.content and not event.partial:
                said = "".join(part.text or "" for part in event.content.parts or [])
        return said
