// One agent: `node main.mjs NAME`. Each line that it reads is a turn of one conversation, each line that it writes what came of it.

import { createInterface } from 'node:readline';

import { Messages } from './anthropic.mjs';
import { Assistant } from './assistant.mjs';
import { Genai } from './genai.mjs';
import { Chat, Responses } from './openai.mjs';
import { Tools, loop } from './tools.mjs';
import { Vercel } from './vercel.mjs';

const tools = new Tools();
const byHand = (agent) => ({ turn: (text, streamed) => loop(agent, tools, text, streamed) });

const AGENTS = {
  'openai-chat': () => byHand(new Chat()),
  'openai-responses': () => byHand(new Responses()),
  anthropic: () => byHand(new Messages()),
  genai: () => byHand(new Genai()),
  'vercel-chat': () => new Vercel('chat', tools),
  'vercel-responses': () => new Vercel('responses', tools),
  'vercel-anthropic': () => new Vercel('anthropic', tools),
  'vercel-google': () => new Vercel('google', tools),
  assistant: () => new Assistant(tools),
};

/** Names of an error and of what caused it, and their words. */
function told(error) {
  const chain = [];
  for (let at = error; at; at = at.cause ?? at.lastError) chain.push(at);
  return { names: chain.map((at) => at.constructor.name), message: chain.map((at) => at.message ?? JSON.stringify(at)).join(' / ') };
}

const agent = AGENTS[process.argv[2]]();
for await (const line of createInterface({ input: process.stdin })) {
  const { text, streamed } = JSON.parse(line);
  let outcome;
  try {
    outcome = { said: await agent.turn(text, streamed) };
  } catch (error) {
    outcome = { error: told(error) };
  }
  console.log(JSON.stringify({ ...outcome, called: tools.called }));
}
process.exit(0);
