// guard: blocks an answer in which a word of the operator's stands. A policy in JavaScript, with nothing but the contract.
//
// The host searches the text itself, while it streams, and keeps back what may become the word: the policy is called only
// when there is a match, and what matched has not left. So there is nothing to remember and hardly anything to do.
//
// How the contract looks in JavaScript: names are camelCase; a record is an object with all of its fields; a variant is
// {tag, val}; an enum is its case's name; `result` is what is returned, or the message of what is thrown. An import would be
// `import { log } from 'airlock:policy/logging@0.2.0'`; this policy needs none, and so can be built for the world
// `pure-policy` as well as for `policy`.

const KIND = 'guard.word';

export const about = {
  describe() {
    return {
      name: 'guard',
      version: '1.0.0',
      licence: 'Apache-2.0',
      summary: 'Blocks an answer in which a given word stands.',
      actions: ['block'],
      asks: [],
      // The host judges the settings by this before anybody else sees them.
      settingsSchema: JSON.stringify({
        type: 'object',
        additionalProperties: false,
        properties: { word: { type: 'string', minLength: 1 } },
      }),
      addresses: [],
      stateSchema: 0,
    };
  },

  configure(settings) {
    const { word = 'swordfish' } = JSON.parse(settings);
    return {
      wakes: [], // a match wakes by itself
      patterns: [{ channels: [], syntax: 'literal', text: word, ignoreCase: false }], // in every text that the model generates
      release: [],
      sees: [],
      findings: [KIND], // `decide` is called about these: its own
    };
  },
};

class Session {
  static start(facts, settings) {
    return new Session();
  }

  // Never called, since nothing is ever saved: sessions are begun anew instead.
  static restore(facts, settings, schema, saved) {
    return new Session();
  }

  save() {
    return new Uint8Array();
  }
}

export const sessions = { Session };

export const reasoning = {
  // One finding for each match.
  observe(session, batch) {
    // How a policy fails: with words, which the host shows as they are.
    if (batch.text.includes('trap me please')) throw new Error('I was asked to fail');
    const matches = batch.attached?.matches ?? [];
    const findings = matches.map(({ span }) => ({
      kind: KIND,
      severity: 'high',
      confidence: 1,
      subject: { tag: 'text', val: span },
      summary: 'The guarded word stands in the answer.',
      evidence: [span],
      data: '',
    }));
    return { findings, marks: [], pending: [] };
  },
};

export const acting = {
  // One block, however many findings there are. Only those of the kind that `configure` named are told, and only its own
  // count: another policy may give its findings any kind.
  decide(session, situation) {
    const block = { mode: 'hard', reason: 'The answer held a word that must not leave.', fallback: '' };
    const actions = situation.findings.some(({ isOwn }) => isOwn) ? [{ tag: 'block', val: block }] : [];
    return { actions, elsewhere: [], pending: [] };
  },
};
