//! Lets nobody in without the token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use super::error::ApiError;
use super::token::Token;

/// The check as middleware.
pub async fn check(
    State(token): State<Arc<Token>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let shown = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    if shown.is_some_and(|shown| token.is(shown)) {
        return next.run(request).await;
    }
    let message = "the admin API needs its token: Authorization: Bearer <content of admin-token in the data directory>";
    let mut response = ApiError::new(StatusCode::UNAUTHORIZED, message).into_response();
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use axum::{Router, middleware, routing::get};
    use tower_service::Service as _;

    async fn status(header: Option<&str>, token: &Arc<Token>) -> StatusCode {
        let mut router: Router = Router::new()
            .route("/", get(async || "in"))
            .layer(middleware::from_fn_with_state(token.clone(), check));
        let mut request = Request::new(Body::empty());
        if let Some(header) = header {
            request
                .headers_mut()
                .insert(AUTHORIZATION, header.parse().unwrap());
        }
        router.call(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn only_the_token_lets_in() {
        let dir = tempfile::tempdir().unwrap();
        let token = Arc::new(Token::read_or_create(dir.path()).unwrap());
        assert_eq!(
            status(Some(&format!("Bearer {}", token.expose())), &token).await,
            StatusCode::OK
        );
        for wrong in [
            None,
            Some("Bearer "),
            Some("Bearer x"),
            Some(token.expose().as_str()),
            Some("Basic x"),
        ] {
            assert_eq!(
                status(wrong, &token).await,
                StatusCode::UNAUTHORIZED,
                "{wrong:?}"
            );
        }
    }
}
