// The back end of an Assistant UI: a route that streams UI messages, and the transport of the page that calls it.

import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';

import { createOpenAI, openai } from '@ai-sdk/openai';
import { DefaultChatTransport, convertToModelMessages, isStepCount, readUIMessageStream, streamText } from 'ai';

import { toolSet } from './vercel.mjs';

export class Assistant {
  messages = [];

  constructor(tools) {
    const provider = process.env.SETUP ? new Function('createOpenAI', `${process.env.SETUP}; return openai`)(createOpenAI) : openai;
    this.route = async ({ messages }) => {
      const order = { model: provider(process.env.MODEL), messages: await convertToModelMessages(messages), tools: toolSet(tools) };
      return streamText({ ...order, stopWhen: isStepCount(8), onError: () => {} }).toUIMessageStreamResponse({
        onError: (error) => `${error.name}: ${error.message}`,
      });
    };
  }

  async listen() {
    const server = createServer(async (request, response) => {
      const answer = await this.route(await json(request));
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      Readable.fromWeb(answer.body).pipe(response);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.api = `http://127.0.0.1:${server.address().port}/api/chat`;
  }

  async turn(text) {
    if (!this.api) await this.listen();
    this.messages.push({ id: `user-${this.messages.length}`, role: 'user', parts: [{ type: 'text', text }] });
    const transport = new DefaultChatTransport({ api: this.api });
    const stream = await transport.sendMessages({ chatId: 'one', messages: this.messages, trigger: 'submit-message' });
    let last;
    for await (const message of readUIMessageStream({ stream, terminateOnError: true })) last = message;
    this.messages.push(last);
    const steps = last.parts.map((part) => part.type);
    return last.parts
      .slice(steps.lastIndexOf('step-start'))
      .map((part) => part.text ?? '')
      .join('');
  }
}
