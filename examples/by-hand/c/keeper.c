// keeper: lets the answer out only as far as it has read it, paints over every "secret", keeps the tool `rm` from being
// called, and asks people before the tool `pay` is. A policy in C, with nothing but the contract. Who owns what: see guard.c.
#define _GNU_SOURCE // memmem
#include <stdlib.h>
#include <string.h>

#include "policy.h" // made from wit/

typedef airlock_policy_events_detail_t detail_t;
typedef airlock_policy_findings_assessment_t assessment_t;
typedef airlock_policy_findings_finding_t finding_t;
typedef airlock_policy_findings_place_t place_t;
typedef airlock_policy_findings_subject_t subject_t;
typedef airlock_policy_subscriptions_wake_t wake_t;
typedef exports_airlock_policy_sessions_session_t session_t;

enum { FORMAT = 1, TEXTS = 8, DEADLINE_MS = 60000 };
static const char SECRET[] = "secret";

// What a session remembers. Numbers and arrays only, no pointers: so it is saved as it lies in memory.
struct exports_airlock_policy_sessions_session_t {
  uint64_t bytes, words, denied; // bytes read, words painted over, calls denied
  // Texts under way: where they stand (words 4 to 7 of an event), how far they are read, and how much of the word has begun.
  struct text { uint32_t exchange, place[4], read, begun; } texts[TEXTS];
};

// Room for one more in a list, which is a pointer and a length.
#define PUSH(list) ((list).ptr = realloc((list).ptr, ((list).len + 1) * sizeof *(list).ptr), (list).ptr + (list).len++)

static bool fail(policy_string_t *err, const char *words) {
  policy_string_dup(err, words);
  return false;
}

static policy_string_t text(const char *words) {
  policy_string_t copy;
  policy_string_dup(&copy, words);
  return copy;
}

static policy_string_t copied(policy_string_t from) {
  policy_string_t copy;
  policy_string_dup_n(&copy, (const char *)from.ptr, from.len);
  return copy;
}

static bool is(policy_string_t string, const char *words) {
  return string.len == strlen(words) && !memcmp(string.ptr, words, string.len);
}

// ---- about

bool exports_airlock_policy_about_describe(exports_airlock_policy_about_description_t *ret, policy_string_t *err) {
  memset(ret, 0, sizeof *ret);
  ret->name = text("keeper");
  ret->version = text("1.0.0");
  ret->licence = text("Apache-2.0");
  ret->summary = text("Paints over secrets, keeps `rm` from being called, and asks people before `pay` is.");
  *PUSH(ret->actions) = text("replace-range");
  *PUSH(ret->actions) = text("deny-tool-call");
  *PUSH(ret->asks) = text("people");
  ret->settings_schema = text("{\"type\": \"object\", \"additionalProperties\": false}");
  ret->state_schema = FORMAT;
  return true;
}

static wake_t event(airlock_policy_events_event_kind_t kind) {
  return (wake_t){AIRLOCK_POLICY_SUBSCRIPTIONS_WAKE_EVENT, .val.event = kind};
}

bool exports_airlock_policy_about_configure(
  policy_string_t *settings, exports_airlock_policy_about_subscription_t *ret, policy_string_t *err
) {
  policy_string_free(settings);
  memset(ret, 0, sizeof *ret);
  // Called when the model is called, every 16 tokens, for each complete tool call, at the end and for answers. What wakes it
  // is what it is told; text with the tokens.
  *PUSH(ret->wakes) = event(AIRLOCK_POLICY_EVENTS_EVENT_KIND_REQUEST);
  *PUSH(ret->wakes) = (wake_t){AIRLOCK_POLICY_SUBSCRIPTIONS_WAKE_EVERY_TOKENS, .val.every_tokens = 16};
  *PUSH(ret->wakes) = event(AIRLOCK_POLICY_EVENTS_EVENT_KIND_TOOL_CALL);
  *PUSH(ret->wakes) = event(AIRLOCK_POLICY_EVENTS_EVENT_KIND_RESPONSE_END);
  *PUSH(ret->wakes) = event(AIRLOCK_POLICY_EVENTS_EVENT_KIND_ANSWER);
  // Nothing of the answer leaves before a release mark says so.
  *PUSH(ret->release) = (airlock_policy_subscriptions_channel_release_t){
    .channel = AIRLOCK_POLICY_FINDINGS_CHANNEL_OUTPUT,
    .mode = AIRLOCK_POLICY_SUBSCRIPTIONS_RELEASE_MODE_HOLD_UNTIL_JUDGED,
  };
  *PUSH(ret->findings) = text("keeper.secret");
  *PUSH(ret->findings) = text("keeper.tool");
  return true;
}

// ---- sessions

bool exports_airlock_policy_sessions_static_session_start(
  exports_airlock_policy_sessions_facts_t *facts, policy_string_t *settings,
  exports_airlock_policy_sessions_own_session_t *ret, policy_string_t *err
) {
  exports_airlock_policy_sessions_facts_free(facts);
  policy_string_free(settings);
  *ret = exports_airlock_policy_sessions_session_new(calloc(1, sizeof(session_t)));
  return true;
}

bool exports_airlock_policy_sessions_static_session_restore(
  exports_airlock_policy_sessions_facts_t *facts, policy_string_t *settings, uint32_t schema, policy_list_u8_t *saved,
  exports_airlock_policy_sessions_own_session_t *ret, policy_string_t *err
) {
  exports_airlock_policy_sessions_facts_free(facts);
  policy_string_free(settings);
  bool known = schema == FORMAT && saved->len == sizeof(session_t);
  if (known) {
    session_t *session = malloc(sizeof *session);
    memcpy(session, saved->ptr, sizeof *session);
    *ret = exports_airlock_policy_sessions_session_new(session);
  }
  policy_list_u8_free(saved);
  return known || fail(err, "this keeper restores format 1 of its memory only, and this is another");
}

bool exports_airlock_policy_sessions_method_session_save(session_t *session, policy_list_u8_t *ret, policy_string_t *err) {
  ret->len = sizeof *session;
  ret->ptr = memcpy(malloc(sizeof *session), session, sizeof *session);
  return true;
}

void exports_airlock_policy_sessions_session_destructor(session_t *session) {
  free(session);
}

// ---- reasoning

static void find(assessment_t *ret, const char *kind, subject_t subject, policy_string_t summary) {
  *PUSH(ret->findings) = (finding_t){
    .kind = text(kind),
    .severity = AIRLOCK_POLICY_FINDINGS_SEVERITY_HIGH,
    .confidence = 1,
    .subject = subject,
    .summary = summary,
  };
}

static subject_t tool_call(policy_string_t id) {
  return (subject_t){.tag = AIRLOCK_POLICY_FINDINGS_SUBJECT_TOOL_CALL, .val.tool_call = copied(id)};
}

static place_t place_of(const uint32_t *words) {
  return (place_t){.channel = words[0], .choice = words[1], .item = words[2], .part = words[3]};
}

static void mark(assessment_t *ret, const uint32_t *place, uint32_t upto) {
  *PUSH(ret->marks) = (airlock_policy_findings_release_mark_t){place_of(place), upto};
}

// Reads on in a text, and lets out what was read but for what may become the word. Words are split between batches as the
// model's tokens fall, and nothing is told twice: so it remembers how much of the word has begun.
static void read_on(session_t *session, assessment_t *ret, uint32_t exchange, const uint32_t *event, policy_string_t said) {
  struct text *at = &session->texts[(exchange + event[5] + event[6]) % TEXTS];
  bool another = memcmp(at->place, event + 4, sizeof at->place);
  if (at->exchange == exchange && another)
    mark(ret, at->place, at->read); // two texts share a slot: what of the earlier one is kept back must not wait for ever
  if (at->exchange != exchange || another || at->read != event[8]) { // or the text begins anew
    *at = (struct text){.exchange = exchange};
    memcpy(at->place, event + 4, sizeof at->place);
  }
  for (size_t i = 0; i < said.len; i++) {
    // Only the first letter of the word is an s: after letters that lead nowhere, no more than that one has begun.
    at->begun = said.ptr[i] == SECRET[at->begun] ? at->begun + 1 : said.ptr[i] == 's';
    if (at->begun == strlen(SECRET)) {
      subject_t subject = {.tag = AIRLOCK_POLICY_FINDINGS_SUBJECT_TEXT};
      subject.val.text = (airlock_policy_findings_span_t){place_of(event + 4), event[8] + i + 1 - at->begun, at->begun};
      find(ret, "keeper.secret", subject, text("The answer tells a secret."));
      at->begun = 0;
    }
  }
  at->read = event[8] + said.len;
  session->bytes += said.len;
  mark(ret, at->place, at->read - at->begun);
}

// A tool is to be called: `rm` never, `pay` when people said so, any other at once.
static void judge_call(assessment_t *ret, detail_t *detail, policy_string_t arguments) {
  policy_string_t id = detail->val.tool_call.call;
  if (is(detail->val.tool_call.name, "rm"))
    find(ret, "keeper.tool", tool_call(id), text("The tool `rm` may not be called."));
  if (!is(detail->val.tool_call.name, "pay"))
    return;
  policy_string_t people;
  policy_string_set(&people, "people"); // what an import is given stays the caller's: no copies
  airlock_policy_asking_question_t question = {.tag = AIRLOCK_POLICY_ASKING_QUESTION_APPROVE};
  policy_string_set(&question.val.approve.title, "May this be paid?");
  question.val.approve.body = arguments;
  airlock_policy_asking_refusal_t refusal;
  uint64_t ticket;
  if (!airlock_policy_asking_ask(&people, &question, DEADLINE_MS, &ticket, &refusal)) {
    // What was not granted is said, not fatal: the operator's table [on_finding] may act on it.
    airlock_policy_logging_log(AIRLOCK_POLICY_LOGGING_LEVEL_WARN, &refusal.message);
    find(ret, "keeper.unasked", tool_call(id), refusal.message);
    return;
  }
  // The call waits for the answer, everything else goes on.
  *PUSH(ret->pending) = (airlock_policy_findings_pending_t){
    .ticket = ticket,
    .subject = tool_call(id),
    .deadline_ms = DEADLINE_MS,
    .on_timeout = AIRLOCK_POLICY_FINDINGS_ON_TIMEOUT_BLOCK,
  };
}

// An answer came, and it says what waits for it. With a yes the call goes on by itself; else it is found, and `decide` denies
// it.
static void hear(assessment_t *ret, airlock_policy_events_answer_t *answer) {
  bool waits = answer->subject.tag == AIRLOCK_POLICY_FINDINGS_SUBJECT_TOOL_CALL;
  if (waits && answer->value.tag != AIRLOCK_POLICY_EVENTS_ANSWER_VALUE_TEXT)
    find(ret, "keeper.tool", tool_call(answer->subject.val.tool_call), text("Nobody approved it."));
}

// The texts of an exchange are over, or begin anew.
static void forget(session_t *session, uint32_t exchange) {
  for (struct text *at = session->texts; at < session->texts + TEXTS; at++)
    if (at->exchange == exchange)
      at->exchange = 0;
}

bool exports_airlock_policy_reasoning_observe(
  session_t *session, exports_airlock_policy_reasoning_batch_t *batch, assessment_t *ret, policy_string_t *err
) {
  memset(ret, 0, sizeof *ret);
  const char *fault = NULL;
  size_t begins = 0; // where the text of an event begins: where that of the one before it ends
  for (size_t i = 0; i + batch->event_words <= batch->events.len; i += batch->event_words) {
    // By number: 0 kind, 1 detail, 2 text-end, 4 to 7 place, 8 offset. See `batch` in wit/events.wit.
    const uint32_t *event = batch->events.ptr + i;
    detail_t *detail = event[1] ? &batch->attached.val.details.ptr[event[1] - 1] : NULL;
    policy_string_t said = {batch->text.ptr + begins, event[2] - begins};
    begins = event[2];
    if (memmem(said.ptr, said.len, "trap me please", 14))
      fault = "I was asked to fail"; // how a policy fails: the host shows these words
    switch (event[0]) {
    case AIRLOCK_POLICY_EVENTS_EVENT_KIND_REQUEST: // another attempt: nothing of the one before has left, nor will
      if (is(detail->val.request.cause, "retried"))
        forget(session, batch->exchange);
      break;
    case AIRLOCK_POLICY_EVENTS_EVENT_KIND_TEXT:
      if (event[4] == AIRLOCK_POLICY_FINDINGS_CHANNEL_OUTPUT)
        read_on(session, ret, batch->exchange, event, said);
      break;
    case AIRLOCK_POLICY_EVENTS_EVENT_KIND_TOOL_CALL:
      judge_call(ret, detail, said);
      break;
    case AIRLOCK_POLICY_EVENTS_EVENT_KIND_ANSWER:
      hear(ret, &detail->val.answer);
      break;
    case AIRLOCK_POLICY_EVENTS_EVENT_KIND_RESPONSE_END: // nothing can become the word any more: all of it goes out
      for (struct text *at = session->texts; at < session->texts + TEXTS; at++)
        if (at->exchange == batch->exchange)
          mark(ret, at->place, at->read);
      forget(session, batch->exchange);
      break;
    }
  }
  exports_airlock_policy_reasoning_batch_free(batch);
  if (fault)
    exports_airlock_policy_reasoning_assessment_free(ret);
  return fault ? fail(err, fault) : true;
}

// ---- acting: one action for each finding of its own. Another policy may give its findings any kind

bool exports_airlock_policy_acting_decide(
  session_t *session, exports_airlock_policy_acting_situation_t *situation,
  exports_airlock_policy_acting_decision_t *ret, policy_string_t *err
) {
  memset(ret, 0, sizeof *ret);
  for (size_t i = 0; i < situation->findings.len; i++) {
    finding_t *finding = &situation->findings.ptr[i].finding;
    if (!situation->findings.ptr[i].is_own)
      continue;
    if (finding->subject.tag == AIRLOCK_POLICY_FINDINGS_SUBJECT_TEXT) {
      *PUSH(ret->actions) = (airlock_policy_actions_action_t){
        .tag = AIRLOCK_POLICY_ACTIONS_ACTION_REPLACE_RANGE,
        .val.replace_range = {finding->subject.val.text, text("█████")},
      };
      session->words++;
    } else if (finding->subject.tag == AIRLOCK_POLICY_FINDINGS_SUBJECT_TOOL_CALL) {
      *PUSH(ret->actions) = (airlock_policy_actions_action_t){
        .tag = AIRLOCK_POLICY_ACTIONS_ACTION_DENY_TOOL_CALL,
        .val.deny_tool_call = {copied(finding->subject.val.tool_call), copied(finding->summary)},
      };
      session->denied++;
    }
  }
  exports_airlock_policy_acting_situation_free(situation);
  return true;
}
