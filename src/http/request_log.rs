//! Request ids and problem documents around every handler. The access log and metrics hang on here too.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};

use super::problem::{Code, Problem};
use super::server;

/// Names one request in answers and logs.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives every request an id (a client's `X-Request-Id` is kept when it is 1 to 64 plain characters), puts it in the
/// answer's header, and writes it into problem documents.
///
/// # Errors
/// Only what the inner service could not turn into a response.
pub async fn request_ids<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let given = request.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let id = given.filter(plain).map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let response = next.call(request).await?;
    let problem = response.response().error().map(|error| {
        error
            .as_error::<Problem>()
            .cloned()
            .unwrap_or_else(|| foreign(error.as_response_error().status_code()))
    });
    let mut response = match problem {
        Some(problem) => response.into_response(problem.respond(&id)).map_into_right_body(),
        None => response.map_into_left_body(),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID.clone(), value);
    }
    Ok(response)
}

/// A problem for what actix itself refused (an oversized or broken body read as bytes, a broken header).
fn foreign(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => server::too_large(),
        status if status.is_client_error() => {
            Problem::new(Code::MalformedBody, "The request could not be read")
        }
        status => {
            tracing::error!(http.status = status.as_u16(), "http.unexpected_error");
            Problem::new(
                Code::Internal,
                "Something went wrong on our side; it has been logged under the request id",
            )
        }
    }
}
