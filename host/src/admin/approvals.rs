//! What waits for people: lists, one with what led to it, and people's word.
//!
//! `{id}` may be the beginning of an id, or `last`. Only where something is decided, `last` has to be the only one that waits: what
//! arrived since a person looked must not be decided in its place.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{ApiError, ErrorBody};
use super::state::Admin;
use airlock_core::event::{Body, Event};
use airlock_core::people::{Approval, DecideError, Filter, FindError, Verdict};

/// Rows in one answer, unless fewer are asked for.
const MOST: usize = 1000;
/// Events before the approval that are read; what people need not see (calls of policies, vitals) is left out of them.
const LOOK_BACK: u64 = 400;
/// Events that are shown at most.
const CONTEXT: usize = 100;

/// What `GET /v1/approvals` can be asked.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApprovalsQuery {
    /// `open` (the default), `decided` or `all`.
    #[serde(default)]
    #[param(inline)]
    state: Which,
    /// Session: the beginning of its id, or `last`.
    session: Option<String>,
    /// Rows at most: 100 unless stated, never more than 1,000.
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Which {
    #[default]
    Open,
    Decided,
    All,
}

/// `GET /v1/approvals`: newest first.
///
/// # Errors
/// 404 if no session begins like that, 400 if several do.
#[utoipa::path(
    get,
    path = "/v1/approvals",
    operation_id = "listApprovals",
    tag = "approvals",
    summary = "What waits for people, newest first",
    description = "",
    params(ApprovalsQuery),
    responses(
        (status = 200, description = "The approvals", body = Vec<Approval>),
        (status = 400, description = "Several begin like that", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "No session begins like that", body = ErrorBody),
    )
)]
pub async fn list(
    State(admin): State<Admin>,
    Query(query): Query<ApprovalsQuery>,
) -> Result<Json<Vec<Approval>>, ApiError> {
    let limit = query.limit.unwrap_or(100).min(MOST);
    let decided = match query.state {
        Which::Open => Some(false),
        Which::Decided => Some(true),
        Which::All => None,
    };
    let approvals = tokio::task::spawn_blocking(move || {
        let session = query.session.map(|prefix| admin.store.resolve(&prefix));
        let filter = Filter {
            session: session.transpose()?,
            decided,
        };
        admin.app.people.list(filter, limit)
    });
    Ok(Json(approvals.await??))
}

/// An approval with what led to it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ApprovalShown)]
pub struct Shown {
    #[serde(flatten)]
    approval: Approval,
    /// Events of its session before it, and those about it.
    events: Vec<Event>,
}

/// `GET /v1/approvals/{id}`
///
/// # Errors
/// 404 if none begins like that, 400 if several do.
#[utoipa::path(
    get,
    path = "/v1/approvals/{id}",
    operation_id = "getApproval",
    tag = "approvals",
    summary = "An approval with what led to it",
    description = "",
    params(("id" = String, Path, description = "Id of an approval, the beginning of one, or `last`")),
    responses(
        (status = 200, description = "The approval", body = Shown),
        (status = 400, description = "Several begin like that", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "None begins like that", body = ErrorBody),
    )
)]
pub async fn show(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let shown = tokio::task::spawn_blocking(move || {
        let approval = admin.app.people.find(&id)?;
        let events = context(&admin, &approval)?;
        Ok::<_, ApiError>(Shown { approval, events })
    });
    Ok(Json(shown.await??))
}

fn context(admin: &Admin, approval: &Approval) -> Result<Vec<Event>, ApiError> {
    let from = approval.seq.saturating_sub(LOOK_BACK);
    let id = approval.id.to_string();
    let about = |body: &Body| matches!(body, Body::Held { approval, .. } | Body::Decided { approval, .. } if *approval == id);
    // As many behind it: its own events stand there, among those of other exchanges.
    let read = admin
        .store
        .timeline(approval.session, from, 2 * LOOK_BACK as usize)?;
    let mut events: Vec<_> = read
        .into_iter()
        .filter(|event| event.seq <= approval.seq || about(&event.body))
        .filter(|event| !matches!(event.body, Body::PolicyCall { .. } | Body::Vitals { .. }))
        .collect();
    let surplus = events.len().saturating_sub(CONTEXT);
    events.drain(..surplus);
    Ok(events)
}

/// What a person says with a decision.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DecisionRequest)]
pub struct Word {
    /// Who; `operator` if nobody is named.
    by: Option<String>,
    /// Why.
    note: String,
    /// What goes on in place of the item: new arguments, as JSON or as the text of it, or a new text.
    edit: Option<Value>,
    /// The answer to a question that offers some.
    choice: Option<String>,
}

/// `POST /v1/approvals/{id}/approve`: `{"by"?, "note"?, "edit"?, "choice"?}`
///
/// # Errors
/// 404 if none waits, 409 if it is decided, 410 if it is past its deadline, 422 if `edit` or `choice` do not fit.
#[utoipa::path(
    post,
    path = "/v1/approvals/{id}/approve",
    operation_id = "approve",
    tag = "approvals",
    summary = "Lets an item go on, as it is or edited, or answers a question",
    description = "`last` only decides if no other one waits.",
    params(("id" = String, Path, description = "Id of an approval, the beginning of one, or `last`")),
    request_body = Option<Word>,
    responses(
        (status = 200, description = "The approval, decided", body = Approval),
        (status = 400, description = "Several begin like that", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "None begins like that", body = ErrorBody),
        (status = 409, description = "It is decided already", body = ErrorBody),
        (status = 410, description = "It is past its deadline", body = ErrorBody),
        (status = 422, description = "`edit` or `choice` do not fit", body = ErrorBody),
    )
)]
pub async fn approve(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    word: Result<Option<Json<Word>>, JsonRejection>,
) -> Result<Json<Approval>, ApiError> {
    let Json(word) = word.map_err(unreadable)?.unwrap_or_default();
    let verdict = match (word.edit, word.choice) {
        (None, None) => Verdict::Approved,
        (Some(Value::String(text)), None) => Verdict::Edited(text),
        (Some(json), None) => Verdict::Edited(json.to_string()),
        (None, Some(choice)) => Verdict::Chosen(choice),
        (Some(_), Some(_)) => {
            let message = "give `edit` or `choice`, not both";
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
        }
    };
    decide(admin, &id, verdict, word.by, &word.note).await
}

/// `POST /v1/approvals/{id}/deny`: `{"by"?, "note"?}`
///
/// # Errors
/// As [`approve`].
#[utoipa::path(
    post,
    path = "/v1/approvals/{id}/deny",
    operation_id = "deny",
    tag = "approvals",
    summary = "Stops an item",
    description = "`last` only decides if no other one waits.",
    params(("id" = String, Path, description = "Id of an approval, the beginning of one, or `last`")),
    request_body = Option<Word>,
    responses(
        (status = 200, description = "The approval, decided", body = Approval),
        (status = 400, description = "Several begin like that", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "None begins like that", body = ErrorBody),
        (status = 409, description = "It is decided already", body = ErrorBody),
        (status = 410, description = "It is past its deadline", body = ErrorBody),
        (status = 422, description = "`edit` or `choice` do not fit", body = ErrorBody),
    )
)]
pub async fn deny(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    word: Result<Option<Json<Word>>, JsonRejection>,
) -> Result<Json<Approval>, ApiError> {
    let Json(word) = word.map_err(unreadable)?.unwrap_or_default();
    if word.edit.is_some() || word.choice.is_some() {
        let message = "what is denied has neither `edit` nor `choice`: did you mean approve?";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    decide(admin, &id, Verdict::Denied, word.by, &word.note).await
}

async fn decide(
    admin: Admin,
    id: &str,
    verdict: Verdict,
    by: Option<String>,
    note: &str,
) -> Result<Json<Approval>, ApiError> {
    let approval = find_to_decide(&admin, id).await?;
    // One that nobody remembers any more is known to the store alone.
    if let Some(error) = DecideError::of(&approval) {
        return Err(error.into());
    }
    let people = &admin.app.people;
    Ok(Json(
        people.decide(approval.id, verdict, &name(by), note).await?,
    ))
}

async fn find_to_decide(admin: &Admin, id: &str) -> Result<Approval, ApiError> {
    let (people, id) = (admin.app.people.clone(), id.to_owned());
    tokio::task::spawn_blocking(move || {
        if id == "last" {
            let waiting = Filter {
                session: None,
                decided: Some(false),
            };
            let count = people.list(waiting, MOST)?.len();
            if count > 1 {
                let message = format!(
                    "{count} approvals wait: name the one that you mean, so that none is decided unseen"
                );
                return Err(ApiError::new(StatusCode::CONFLICT, message));
            }
        }
        Ok(people.find(&id)?)
    })
    .await?
}

/// What a person notes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NoteRequest)]
pub struct Remark {
    /// Who; `operator` if nobody is named.
    by: Option<String>,
    /// What.
    text: String,
}

/// `POST /v1/approvals/{id}/notes`: `{"text", "by"?}`
///
/// # Errors
/// 404 if there is none that waits or is remembered.
#[utoipa::path(
    post,
    path = "/v1/approvals/{id}/notes",
    operation_id = "addNote",
    tag = "approvals",
    summary = "Adds a note without deciding",
    description = "",
    params(("id" = String, Path, description = "Id of an approval, the beginning of one, or `last`")),
    request_body = Remark,
    responses(
        (status = 200, description = "The approval", body = Approval),
        (status = 400, description = "Several begin like that", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "None begins like that", body = ErrorBody),
    )
)]
pub async fn note(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    remark: Result<Json<Remark>, JsonRejection>,
) -> Result<Json<Approval>, ApiError> {
    let remark = remark.map_err(unreadable)?.0;
    let people = admin.app.people.clone();
    let approval = tokio::task::spawn_blocking(move || people.find(&id)).await??;
    let by = name(remark.by);
    Ok(Json(
        admin
            .app
            .people
            .note(approval.id, &by, &remark.text)
            .await?,
    ))
}

fn name(by: Option<String>) -> String {
    by.filter(|by| !by.trim().is_empty())
        .unwrap_or_else(|| "operator".to_owned())
}

fn unreadable(rejection: JsonRejection) -> ApiError {
    ApiError::new(rejection.status(), rejection.body_text())
}

impl From<FindError> for ApiError {
    fn from(error: FindError) -> Self {
        let status = match error {
            FindError::Unknown(_) => StatusCode::NOT_FOUND,
            FindError::Ambiguous { .. } => StatusCode::BAD_REQUEST,
            FindError::Store(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        let status = match error {
            DecideError::Unknown(_) => StatusCode::NOT_FOUND,
            DecideError::Decided { .. } => StatusCode::CONFLICT,
            DecideError::TooLate(_) => StatusCode::GONE,
            DecideError::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
            DecideError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
