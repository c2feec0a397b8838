"""LangGraph: a graph of a model and its tools, with a memory, over each of LangChain's models."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from frameworks.agent import Agent, Place
from sdks import MODEL


class LangGraphChat(Agent):
    wire, setup = "openai-chat", "langgraph"

    def make(self, place: Place) -> None:
        tools = [self.tools.look_up, self.tools.delete_user]
        model = self.model().bind_tools(tools)

        async def ask(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState)
        graph.add_node("ask", ask)
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "ask")
        graph.add_conditional_edges("ask", tools_condition)
        graph.add_edge("tools", "ask")
        self.graph = graph.compile(checkpointer=InMemorySaver())

    def model(self) -> Any:
        return ChatOpenAI(model=MODEL)

    async def turn(self, text: str, streamed: bool) -> str:
        order: dict[str, Any] = {"input": {"messages": [("user", text)]}, "config": {"configurable": {"thread_id": "one"}}}
        if not streamed:
            return (await self.graph.ainvoke(**order))["messages"][-1].text
        said: dict[str | None, str] = {}
        async for chunk, where in self.graph.astream(**order, stream_mode="messages"):
            if where["langgraph_node"] == "ask":
                said[chunk.id] = said.get(chunk.id, "") + chunk.text
        return list(said.values())[-1]


class LangGraphResponses(LangGraphChat):
    wire = "openai-responses"

    def model(self) -> Any:
        return ChatOpenAI(model=MODEL, use_responses_api=True)


class LangGraphAnthropic(LangGraphChat):
    wire = "anthropic-messages"

    def model(self) -> Any:
        return ChatAnthropic(model=MODEL)
