//! The admin API's own description, as OpenAPI 3.1.
//!
//! It is made from the handlers and the types that they take and give; a test compares its paths with the router's. Names
//! of operations and schemas are stable: programs are generated from them.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::ErrorBody;
use super::{approvals, events, health, policies, reload, sessions};
use airlock_policy::PolicyEvent;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Airlock admin API",
        description = "What operators ask of a running Airlock, and order. Served on a listener of its own; every path \
                       needs the token of the data directory. Times are microseconds, moments count from the Unix \
                       epoch, money is microdollars."
    ),
    paths(
        policies::list,
        policies::rollback,
        approvals::list,
        approvals::show,
        approvals::approve,
        approvals::deny,
        approvals::note,
        sessions::list,
        sessions::timeline,
        events::feed,
        health::report,
        serve,
        reload::reload,
    ),
    components(schemas(events::Happened<'_>, events::Missed, PolicyEvent)),
    modifiers(&Token)
)]
struct Api;

/// Every path needs the token.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", scheme);
        let required = SecurityRequirement::new::<_, [String; 0], String>("token", []);
        document.security = Some(vec![required]);
    }
}

/// The description.
pub fn document() -> Document {
    Api::openapi()
}

/// `GET /v1/openapi.json`
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "getOpenApi",
    tag = "openapi",
    summary = "This description",
    description = "",
    responses(
        (status = 200, description = "An OpenAPI document", body = Object),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
    )
)]
pub async fn serve() -> Json<Document> {
    Json(document())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::ROUTES;
    use super::*;

    fn json() -> Value {
        serde_json::to_value(document()).unwrap()
    }

    /// Method and path of every operation, and the operation.
    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap();
                methods
                    .iter()
                    .map(|(method, op)| (method.clone(), path.clone(), op.clone()))
            })
            .collect()
    }

    #[test]
    fn the_document_has_the_routers_paths_and_no_others() {
        let document = json();
        let documented: BTreeSet<(String, String)> = operations(&document)
            .into_iter()
            .map(|(method, path, _)| (method, path))
            .collect();
        let routed: BTreeSet<(String, String)> = ROUTES
            .iter()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(documented, routed);
    }

    #[test]
    fn names_are_those_that_programs_were_generated_from() {
        let document = json();
        let mut names: Vec<String> = operations(&document)
            .iter()
            .map(|(_, _, op)| op["operationId"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        // Adding is fine; a rename breaks somebody's client.
        for name in [
            "addNote",
            "approve",
            "deny",
            "followEvents",
            "getApproval",
            "getHealth",
            "getOpenApi",
            "getTimeline",
            "listApprovals",
            "listPolicies",
            "listSessions",
            "reload",
            "rollBackPolicy",
        ] {
            assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name}");
        }
        names.dedup();
        assert_eq!(names.len(), ROUTES.len());
    }

    #[test]
    fn every_path_needs_the_token_and_says_what_it_answers() {
        let document = json();
        assert!(document["security"][0]["token"].is_array());
        assert_eq!(
            document["components"]["securitySchemes"]["token"]["scheme"],
            "bearer"
        );
        for (method, path, op) in operations(&document) {
            assert!(op["summary"].is_string(), "{method} {path}");
            for status in ["200", "401"] {
                assert!(
                    op["responses"][status]["content"].is_object(),
                    "{method} {path} {status}"
                );
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(object) => {
                    for (key, value) in object {
                        match value.as_str() {
                            Some(target) if key == "$ref" => found.push(target),
                            _ => references(value, found),
                        }
                    }
                }
                Value::Array(array) => array.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = json();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }
}
