// The `@google/genai` SDK.

import { GoogleGenAI } from '@google/genai';

import { PARAMETERS } from './tools.mjs';

export class Genai {
  sdk = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
  history = [];

  say(text) {
    this.history.push({ role: 'user', parts: [{ text }] });
  }

  async step(streamed) {
    const functionDeclarations = Object.entries(PARAMETERS).map(([name, parametersJsonSchema]) => ({ name, parametersJsonSchema }));
    const order = { model: process.env.MODEL, contents: this.history, config: { tools: [{ functionDeclarations }] } };
    const responses = [];
    if (streamed) {
      for await (const chunk of await this.sdk.models.generateContentStream(order)) responses.push(chunk);
    } else {
      responses.push(await this.sdk.models.generateContent(order));
    }
    const parts = responses.flatMap((response) => response.candidates?.[0]?.content?.parts ?? []).filter((part) => part.text || part.functionCall);
    this.history.push({ role: 'model', parts });
    const calls = parts.filter((part) => part.functionCall).map(({ functionCall: { id, name, args } }) => ({ id, name, args }));
    return { said: parts.map((part) => part.text ?? '').join(''), calls };
  }

  answer(results) {
    const parts = results.map(({ name, result }) => ({ functionResponse: { name, response: { result } } }));
    this.history.push({ role: 'user', parts });
  }
}
