// Vercel's AI SDK over each of its providers, made by the code that `airlock client-setup` prints, or without any by the variables.

import { anthropic, createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI, google } from '@ai-sdk/google';
import { createOpenAI, openai } from '@ai-sdk/openai';
import { generateText, isStepCount, jsonSchema, streamText, tool } from 'ai';

import { PARAMETERS } from './tools.mjs';

/** The providers: each line of the set-up makes one. */
function providers() {
  if (!process.env.SETUP) return [openai, anthropic, google];
  const names = { createOpenAI, createAnthropic, createGoogleGenerativeAI };
  return new Function(...Object.keys(names), `return [${process.env.SETUP.split('\n')}]`)(...Object.values(names));
}

export const MODELS = {
  responses: () => providers()[0](process.env.MODEL),
  chat: () => providers()[0].chat(process.env.MODEL),
  anthropic: () => providers()[1](process.env.MODEL),
  google: () => providers()[2](process.env.MODEL),
};

export const toolSet = (tools) =>
  Object.fromEntries(
    Object.entries(PARAMETERS).map(([name, schema]) => [
      name,
      tool({ description: name, inputSchema: jsonSchema(schema), execute: async (args) => tools.call(name, args) }),
    ]),
  );

export class Vercel {
  history = [];

  constructor(model, tools) {
    this.model = MODELS[model]();
    this.tools = toolSet(tools);
  }

  async turn(text, streamed) {
    this.history.push({ role: 'user', content: text });
    const order = { model: this.model, messages: this.history, tools: this.tools, stopWhen: isStepCount(8) };
    if (!streamed) {
      const result = await generateText(order);
      this.history.push(...result.response.messages);
      return result.text;
    }
    let said = '';
    const result = streamText({ ...order, onError: () => {} });
    for await (const part of result.fullStream) {
      if (part.type === 'error') throw part.error;
      if (part.type === 'start-step') said = '';
      if (part.type === 'text-delta') said += part.text;
    }
    this.history.push(...(await result.response).messages);
    return said;
  }
}
