// keeper: lets the answer out only as far as it has read it, paints over every "secret", keeps the tool `rm` from being
// called, and asks people before the tool `pay` is. A policy in JavaScript, with nothing but the contract. How the contract
// looks in JavaScript: see guard.js.
import { ask } from 'airlock:policy/asking@0.2.0';
import { log } from 'airlock:policy/logging@0.2.0';

const FORMAT = 2; // of what `save` writes; 1 is the one in C
const SECRET = 'secret';
const DEADLINE_MS = 60_000;
// An event gives its kind and its channel as numbers: those of the cases in wit/events.wit and wit/findings.wit.
const KIND = { request: 5, text: 6, toolCall: 7, responseEnd: 9, answer: 12 };
const CHANNELS = ['nowhere', 'output', 'reasoning', 'refusal', 'tool-arguments', 'message', 'tool-result', 'other'];

export const about = {
  describe() {
    return {
      name: 'keeper',
      version: '1.0.0',
      licence: 'Apache-2.0',
      summary: 'Paints over secrets, keeps `rm` from being called, and asks people before `pay` is.',
      actions: ['replace-range', 'deny-tool-call'],
      asks: ['people'],
      settingsSchema: JSON.stringify({ type: 'object', additionalProperties: false }),
      addresses: [],
      stateSchema: FORMAT,
    };
  },

  configure(settings) {
    return {
      // Called when the model is called, every 16 tokens, for each complete tool call, at the end and for answers. What wakes
      // it is what it is told; text with the tokens.
      wakes: [
        { tag: 'event', val: 'request' },
        { tag: 'every-tokens', val: 16 },
        { tag: 'event', val: 'tool-call' },
        { tag: 'event', val: 'response-end' },
        { tag: 'event', val: 'answer' },
      ],
      patterns: [],
      // Nothing of the answer leaves before a release mark says so.
      release: [{ channel: 'output', mode: 'hold-until-judged', maxHoldMs: 0 }],
      sees: [],
      findings: ['keeper.secret', 'keeper.tool'],
    };
  },
};

class Session {
  counts = { bytes: 0, words: 0, denied: 0 }; // bytes read, words painted over, calls denied
  texts = []; // texts under way: { exchange, place, read (how far), begun (the beginning of the word at its end) }

  static start(facts, settings) {
    return new Session();
  }

  static restore(facts, settings, schema, saved) {
    if (schema !== FORMAT) throw new Error(`this keeper restores format ${FORMAT} of its memory only, and this is ${schema}`);
    return Object.assign(new Session(), JSON.parse(String.fromCharCode(...saved)));
  }

  // Nothing in it is but ASCII, so characters are bytes.
  save() {
    const json = JSON.stringify({ counts: this.counts, texts: this.texts });
    return Uint8Array.from(json, (c) => c.charCodeAt(0));
  }

  // The texts of an exchange are over, or begin anew.
  forget(exchange) {
    this.texts = this.texts.filter((text) => text.exchange !== exchange);
  }
}

export const sessions = { Session };

// How many bytes of UTF-8 a character has, and a text. `for of` walks over whole characters, not over halves of pairs.
const width = (c) => (c < '\x80' ? 1 : c < '\u0800' ? 2 : c.length === 1 ? 3 : 4);
function bytesOf(text) {
  let bytes = 0;
  for (const c of text) bytes += width(c);
  return bytes;
}

// The events of a batch, each with its text, place and detail. See `batch` in wit/events.wit.
function* eventsOf({ text, events, eventWords, attached }) {
  const isAscii = text.length === events.at(2 - eventWords); // as many bytes: positions in the string are positions in bytes
  let begins = 0; // in the string: where the text of an event begins, which is where that of the one before it ends
  let begun = 0; // the same in bytes
  for (let i = 0; i < events.length; i += eventWords) {
    const textEnd = events[i + 2];
    let ends = isAscii ? textEnd : begins;
    for (let at = begun; !isAscii && at < textEnd; ) {
      const c = String.fromCodePoint(text.codePointAt(ends));
      ends += c.length;
      at += width(c);
    }
    yield {
      kind: events[i],
      detail: attached?.details[events[i + 1] - 1]?.val,
      said: text.slice(begins, ends),
      bytes: textEnd - begun,
      place: { channel: CHANNELS[events[i + 4]], choice: events[i + 5], item: events[i + 6], part: events[i + 7] },
      offset: events[i + 8],
    };
    begins = ends;
    begun = textEnd;
  }
}

const finding = (kind, subject, summary) => ({
  kind,
  severity: 'high',
  confidence: 1,
  subject,
  summary,
  evidence: [],
  data: '',
});

const toolCall = (call) => ({ tag: 'tool-call', val: call });

const isSame = (a, b) => a.channel === b.channel && a.choice === b.choice && a.item === b.item && a.part === b.part;

// Reads on in a text, and lets out what was read but for what may become the word. Words are split between batches as the
// model's tokens fall, and nothing is told twice: so it remembers which beginning of the word stands at the end.
function readOn(session, answer, exchange, { place, offset, said, bytes }) {
  let text = session.texts.find((text) => text.exchange === exchange && isSame(text.place, place));
  if (!text) session.texts.push((text = { exchange, place }));
  if (text.read !== offset) text.begun = ''; // it is new, or it begins anew
  const told = text.begun + said;
  const first = offset - text.begun.length;
  let from = 0;
  for (let at; (at = told.indexOf(SECRET, from)) >= 0; from = at + SECRET.length) {
    const span = { place, offset: first + bytesOf(told.slice(0, at)), length: SECRET.length };
    answer.findings.push(finding('keeper.secret', { tag: 'text', val: span }, 'The answer tells a secret.'));
  }
  const rest = told.slice(from);
  let length = SECRET.length - 1;
  while (!rest.endsWith(SECRET.slice(0, length))) length--;
  text.begun = SECRET.slice(0, length);
  text.read = offset + bytes;
  session.counts.bytes += bytes;
  answer.marks.push({ place, upto: text.read - length });
}

// A tool is to be called: `rm` never, `pay` when people said so, any other at once.
function judgeCall(answer, { name, call }, args) {
  if (name === 'rm') answer.findings.push(finding('keeper.tool', toolCall(call), 'The tool `rm` may not be called.'));
  if (name !== 'pay') return;
  const question = { tag: 'approve', val: { title: 'May this be paid?', body: args, choices: [] } };
  try {
    const ticket = ask('people', question, DEADLINE_MS);
    // The call waits for the answer, everything else goes on.
    answer.pending.push({ ticket, subject: toolCall(call), deadlineMs: DEADLINE_MS, onTimeout: 'block' });
  } catch ({ payload: refusal }) {
    // What was not granted is said, not fatal: the operator's table [on_finding] may act on it.
    log('warn', refusal.message);
    answer.findings.push(finding('keeper.unasked', toolCall(call), refusal.message));
  }
}

// An answer came, and it says what waits for it. With a yes the call goes on by itself; else it is found, and `decide` denies
// it.
function hear(answer, { subject, value }) {
  if (subject.tag !== 'tool-call' || value.tag === 'text') return;
  answer.findings.push(finding('keeper.tool', subject, 'Nobody approved it.'));
}

export const reasoning = {
  observe(session, batch) {
    const answer = { findings: [], marks: [], pending: [] };
    for (const event of eventsOf(batch)) {
      // How a policy fails: with words, which the host shows as they are.
      if (event.said.includes('trap me please')) throw new Error('I was asked to fail');
      // Another attempt: nothing of the one before has left, nor will.
      if (event.kind === KIND.request && event.detail.cause === 'retried') session.forget(batch.exchange);
      if (event.kind === KIND.text && event.place.channel === 'output') readOn(session, answer, batch.exchange, event);
      if (event.kind === KIND.toolCall) judgeCall(answer, event.detail, event.said);
      if (event.kind === KIND.answer) hear(answer, event.detail);
      if (event.kind === KIND.responseEnd) {
        // Nothing can become the word any more: all of it goes out.
        const ended = session.texts.filter((text) => text.exchange === batch.exchange);
        answer.marks.push(...ended.map(({ place, read }) => ({ place, upto: read })));
        session.forget(batch.exchange);
      }
    }
    return answer;
  },
};

export const acting = {
  // One action for each finding of its own. Another policy may give its findings any kind.
  decide(session, situation) {
    const actions = [];
    for (const { isOwn, finding } of situation.findings) {
      if (!isOwn) continue;
      const { tag, val } = finding.subject;
      if (tag === 'text') {
        actions.push({ tag: 'replace-range', val: { span: val, text: '█████' } });
        session.counts.words++;
      } else if (tag === 'tool-call') {
        actions.push({ tag: 'deny-tool-call', val: { call: val, reason: finding.summary } });
        session.counts.denied++;
      }
    }
    return { actions, elsewhere: [], pending: [] };
  },
};
