// guard: blocks an answer in which a word of the operator's stands. A policy in C, with nothing but the contract.
//
// The host searches the text itself, while it streams, and keeps back what may become the word: the policy is called only
// when there is a match, and what matched has not left. So there is nothing to remember and hardly anything to do.
//
// Who owns what, as the generated code has it: what an exported function is given is its own, and so it frees it. What it
// returns is freed after the call, so all of it comes from `malloc`. An empty string or list has no memory: all zeros will do.
#define _GNU_SOURCE // memmem
#include <stdlib.h>
#include <string.h>

#include "policy.h" // made from wit/: every name below that begins with airlock_, exports_ or policy_

// Room for one more in a list, which is a pointer and a length.
#define PUSH(list) ((list).ptr = realloc((list).ptr, ((list).len + 1) * sizeof *(list).ptr), (list).ptr + (list).len++)

static const char KIND[] = "guard.word";

// What a session remembers: nothing. The contract wants a session all the same.
struct exports_airlock_policy_sessions_session_t { char nothing; };

static bool fail(policy_string_t *err, const char *words) {
  policy_string_dup(err, words);
  return false;
}

static policy_string_t text(const char *words) {
  policy_string_t copy;
  policy_string_dup(&copy, words);
  return copy;
}

// ---- about

bool exports_airlock_policy_about_describe(exports_airlock_policy_about_description_t *ret, policy_string_t *err) {
  memset(ret, 0, sizeof *ret);
  ret->name = text("guard");
  ret->version = text("1.0.0");
  ret->licence = text("Apache-2.0");
  ret->summary = text("Blocks an answer in which a given word stands.");
  *PUSH(ret->actions) = text("block");
  // The host judges the settings by this before anybody else sees them.
  ret->settings_schema = text(
    "{\"type\": \"object\", \"additionalProperties\": false,"
    " \"properties\": {\"word\": {\"type\": \"string\", \"minLength\": 1}}}"
  );
  return true;
}

// The value of "word" in the settings. They are valid under the schema above: an object with at most that one string in it.
// So the value stands between the third and the last quote, unless JSON escaped something in it.
static bool word_of(const policy_string_t *settings, policy_string_t *word, policy_string_t *err) {
  const uint8_t *quote[4];
  size_t quotes = 0;
  for (size_t i = 0; i < settings->len; i++) {
    if (settings->ptr[i] == '\\')
      return fail(err, "`word` has a quote, a backslash or a control character in it: choose a word without");
    if (settings->ptr[i] == '"' && quotes < 4)
      quote[quotes++] = settings->ptr + i;
  }
  if (quotes < 4)
    *word = text("swordfish");
  else
    policy_string_dup_n(word, (const char *)quote[2] + 1, quote[3] - quote[2] - 1);
  return true;
}

bool exports_airlock_policy_about_configure(
  policy_string_t *settings, exports_airlock_policy_about_subscription_t *ret, policy_string_t *err
) {
  memset(ret, 0, sizeof *ret);
  policy_string_t word;
  bool known = word_of(settings, &word, err);
  policy_string_free(settings);
  if (!known)
    return false;
  // In every text that the model generates: no channels are named. A match wakes the policy by itself.
  *PUSH(ret->patterns) = (airlock_policy_subscriptions_pattern_t){
    .syntax = AIRLOCK_POLICY_SUBSCRIPTIONS_PATTERN_SYNTAX_LITERAL,
    .text = word,
  };
  *PUSH(ret->findings) = text(KIND); // `decide` is called about these: its own
  return true;
}

// ---- sessions

bool exports_airlock_policy_sessions_static_session_start(
  exports_airlock_policy_sessions_facts_t *facts, policy_string_t *settings,
  exports_airlock_policy_sessions_own_session_t *ret, policy_string_t *err
) {
  exports_airlock_policy_sessions_facts_free(facts);
  policy_string_free(settings);
  *ret = exports_airlock_policy_sessions_session_new(calloc(1, sizeof(exports_airlock_policy_sessions_session_t)));
  return true;
}

// Never called, since nothing is ever saved: sessions are begun anew instead.
bool exports_airlock_policy_sessions_static_session_restore(
  exports_airlock_policy_sessions_facts_t *facts, policy_string_t *settings, uint32_t schema, policy_list_u8_t *saved,
  exports_airlock_policy_sessions_own_session_t *ret, policy_string_t *err
) {
  policy_list_u8_free(saved);
  return exports_airlock_policy_sessions_static_session_start(facts, settings, ret, err);
}

bool exports_airlock_policy_sessions_method_session_save(
  exports_airlock_policy_sessions_session_t *session, policy_list_u8_t *ret, policy_string_t *err
) {
  memset(ret, 0, sizeof *ret);
  return true;
}

void exports_airlock_policy_sessions_session_destructor(exports_airlock_policy_sessions_session_t *session) {
  free(session);
}

// ---- reasoning: one finding for each match

bool exports_airlock_policy_reasoning_observe(
  exports_airlock_policy_sessions_session_t *session, exports_airlock_policy_reasoning_batch_t *batch,
  exports_airlock_policy_reasoning_assessment_t *ret, policy_string_t *err
) {
  memset(ret, 0, sizeof *ret);
  // How a policy fails: with words, which the host shows as they are.
  bool fails = memmem(batch->text.ptr, batch->text.len, "trap me please", 14);
  size_t matches = batch->attached.is_some && !fails ? batch->attached.val.matches.len : 0;
  for (size_t i = 0; i < matches; i++) {
    airlock_policy_findings_span_t span = batch->attached.val.matches.ptr[i].span;
    airlock_policy_findings_finding_t *finding = PUSH(ret->findings);
    *finding = (airlock_policy_findings_finding_t){
      .kind = text(KIND),
      .severity = AIRLOCK_POLICY_FINDINGS_SEVERITY_HIGH,
      .confidence = 1,
      .subject = {.tag = AIRLOCK_POLICY_FINDINGS_SUBJECT_TEXT, .val.text = span},
      .summary = text("The guarded word stands in the answer."),
    };
    *PUSH(finding->evidence) = span;
  }
  exports_airlock_policy_reasoning_batch_free(batch);
  return fails ? fail(err, "I was asked to fail") : true;
}

// ---- acting: one block, however many findings there are. Only its own: another policy may give its findings any kind

bool exports_airlock_policy_acting_decide(
  exports_airlock_policy_sessions_session_t *session, exports_airlock_policy_acting_situation_t *situation,
  exports_airlock_policy_acting_decision_t *ret, policy_string_t *err
) {
  memset(ret, 0, sizeof *ret);
  bool found = false;
  for (size_t i = 0; i < situation->findings.len; i++) // only those of the kind that `configure` named are told
    found |= situation->findings.ptr[i].is_own;
  if (found)
    *PUSH(ret->actions) = (airlock_policy_actions_action_t){
      .tag = AIRLOCK_POLICY_ACTIONS_ACTION_BLOCK,
      .val.block = {
        .mode = AIRLOCK_POLICY_ACTIONS_BLOCK_MODE_HARD,
        .reason = text("The answer held a word that must not leave."),
      },
    };
  exports_airlock_policy_acting_situation_free(situation);
  return true;
}
