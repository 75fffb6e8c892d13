//! The HTTP server: limits, middleware, and the fallbacks that make every refusal a problem document.

use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError, UrlencodedError};
use actix_web::web;

use super::json::BODY_LIMIT;
use super::problem::{Code, Problem};

/// Extractor settings shared by all routes: body limits, and problems instead of actix's own errors.
pub fn extractors(cfg: &mut web::ServiceConfig) {
    cfg.app_data(web::PayloadConfig::new(BODY_LIMIT))
        .app_data(
            web::JsonConfig::default()
                .limit(BODY_LIMIT)
                .error_handler(|error, _| json_problem(&error).into()),
        )
        .app_data(
            web::FormConfig::default()
                .limit(BODY_LIMIT)
                .error_handler(|error, _| form_problem(&error).into()),
        )
        .app_data(web::PathConfig::default().error_handler(|error, _| path_problem(&error).into()))
        .app_data(web::QueryConfig::default().error_handler(|error, _| query_problem(&error).into()));
}

/// For paths that do not exist.
///
/// # Errors
/// Always `no_such_route`.
pub async fn no_such_route() -> Result<actix_web::HttpResponse, Problem> {
    Err(Problem::new(Code::NoSuchRoute, "No such path: see /docs for what there is"))
}

/// For paths that exist with other methods; used as `default_service` of every resource.
///
/// # Errors
/// Always `method_not_allowed`.
pub async fn method_not_allowed() -> Result<actix_web::HttpResponse, Problem> {
    Err(Problem::new(Code::MethodNotAllowed, "The path does not take this method: see /docs"))
}

pub(super) fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, format!("The body may have at most {BODY_LIMIT} bytes"))
}

fn json_problem(error: &JsonPayloadError) -> Problem {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => too_large(),
        JsonPayloadError::ContentType => {
            Problem::new(Code::UnsupportedMediaType, "Send the body as application/json")
        }
        JsonPayloadError::Deserialize(inner) if inner.is_data() => Problem::field("body", inner.to_string()),
        JsonPayloadError::Deserialize(inner) => {
            Problem::new(Code::MalformedBody, format!("The body must be JSON: {inner}"))
        }
        _ => Problem::new(Code::MalformedBody, "The body could not be read"),
    }
}

fn form_problem(error: &UrlencodedError) -> Problem {
    match error {
        UrlencodedError::Overflow { .. } => too_large(),
        UrlencodedError::ContentType => {
            Problem::new(Code::UnsupportedMediaType, "Send the body as application/x-www-form-urlencoded")
        }
        _ => Problem::new(Code::MalformedBody, "The form could not be read"),
    }
}

fn path_problem(error: &PathError) -> Problem {
    Problem::field("path", error.to_string())
}

fn query_problem(error: &QueryPayloadError) -> Problem {
    Problem::field("query", error.to_string())
}
