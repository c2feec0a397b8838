// What every agent may call, and what it called.

export const PARAMETERS = {
  look_up: { type: 'object', properties: { q: { type: 'string' } }, required: ['q'] },
  delete_user: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
};

export class Tools {
  called = [];

  call(name, args) {
    this.called.push([name, args]);
    return name === 'look_up' ? 'the balance is 42' : 'deleted';
  }
}

/** The next turn of a conversation, until the model calls nothing more; `agent` has `say`, `step` and `answer`. */
export async function loop(agent, tools, text, streamed) {
  agent.say(text);
  for (let step = 0; step < 8; step++) {
    const { said, calls } = await agent.step(streamed);
    if (calls.length === 0) return said;
    agent.answer(calls.map((call) => ({ ...call, result: tools.call(call.name, call.args) })));
  }
  throw new Error('no end');
}
