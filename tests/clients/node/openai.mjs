// The `openai` SDK: chat completions and Responses.

import OpenAI from 'openai';

import { PARAMETERS } from './tools.mjs';

const named = Object.entries(PARAMETERS);

export class Chat {
  sdk = new OpenAI();
  history = [];

  say(text) {
    this.history.push({ role: 'user', content: text });
  }

  async step(streamed) {
    const tools = named.map(([name, parameters]) => ({ type: 'function', function: { name, parameters } }));
    const order = { model: process.env.MODEL, messages: this.history, tools };
    const completion = streamed
      ? await this.sdk.chat.completions.stream(order).finalChatCompletion()
      : await this.sdk.chat.completions.create(order);
    const { role, content, tool_calls } = completion.choices[0].message;
    this.history.push(tool_calls?.length ? { role, content, tool_calls } : { role, content });
    const calls = (tool_calls ?? []).map((call) => ({ id: call.id, name: call.function.name, args: JSON.parse(call.function.arguments) }));
    return { said: content ?? '', calls };
  }

  answer(results) {
    for (const { id, result } of results) this.history.push({ role: 'tool', tool_call_id: id, content: result });
  }
}

export class Responses {
  sdk = new OpenAI();
  history = [];

  say(text) {
    this.history.push({ role: 'user', content: text });
  }

  async step(streamed) {
    const tools = named.map(([name, parameters]) => ({ type: 'function', name, parameters, strict: false }));
    const order = { model: process.env.MODEL, input: this.history, tools };
    const response = streamed ? await this.sdk.responses.stream(order).finalResponse() : await this.sdk.responses.create(order);
    const calls = [];
    let said = '';
    for (const item of response.output) {
      if (item.type === 'function_call') {
        const { type, call_id, name, arguments: args } = item;
        this.history.push({ type, call_id, name, arguments: args });
        calls.push({ id: call_id, name, args: JSON.parse(args) });
      } else if (item.type === 'message') {
        const text = item.content.map((part) => part.text ?? part.refusal).join('');
        this.history.push({ role: 'assistant', content: text });
        said += text;
      }
    }
    return { said, calls };
  }

  answer(results) {
    for (const { id, result } of results) this.history.push({ type: 'function_call_output', call_id: id, output: result });
  }
}
