// The `@anthropic-ai/sdk` SDK.

import Anthropic from '@anthropic-ai/sdk';

import { PARAMETERS } from './tools.mjs';

export class Messages {
  sdk = new Anthropic();
  history = [];

  say(text) {
    this.history.push({ role: 'user', content: text });
  }

  async step(streamed) {
    const tools = Object.entries(PARAMETERS).map(([name, input_schema]) => ({ name, input_schema }));
    const order = { model: process.env.MODEL, max_tokens: 1024, messages: this.history, tools };
    const message = streamed ? await this.sdk.messages.stream(order).finalMessage() : await this.sdk.messages.create(order);
    const content = message.content.map((block) =>
      block.type === 'text' ? { type: 'text', text: block.text } : { type: block.type, id: block.id, name: block.name, input: block.input },
    );
    this.history.push({ role: 'assistant', content });
    const calls = content.filter((block) => block.type === 'tool_use').map(({ id, name, input }) => ({ id, name, args: input }));
    return { said: content.map((block) => block.text ?? '').join(''), calls };
  }

  answer(results) {
    const content = results.map(({ id, result }) => ({ type: 'tool_result', tool_use_id: id, content: result }));
    this.history.push({ role: 'user', content });
  }
}
