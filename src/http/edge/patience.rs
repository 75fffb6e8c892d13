//! A bound on the time that a client may take to send its body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::Stream;
use tokio::time::{Sleep, sleep};

/// From the first moment of waiting for more of it. actix bounds the head of a request itself, not its body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

struct Patient {
    payload: Payload,
    patience: Duration,
    /// Made when the body is not there at once, so that the usual request pays for no timer.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Stream for Patient {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Poll::Ready(item) = Pin::new(&mut this.payload).poll_next(context) {
            return Poll::Ready(item);
        }
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(PayloadError::Io(std::io::ErrorKind::TimedOut.into()))))
    }
}

/// Bounds the body of `request`, if it has one.
pub(super) fn bound_body(request: &mut ServiceRequest) {
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
        let payload = request.take_payload();
        request.set_payload(Payload::Stream {
            payload: Box::pin(Patient { payload, patience: BODY_PATIENCE, deadline: None }),
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_that_never_comes_is_given_up() {
        let silent: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> =
            Box::pin(futures_util::stream::pending());
        let mut body =
            Patient { payload: Payload::from(silent), patience: Duration::from_millis(1), deadline: None };
        assert!(matches!(body.next().await, Some(Err(PayloadError::Io(_)))));
    }

    #[tokio::test]
    async fn a_body_that_is_there_takes_no_timer() {
        let there: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> =
            Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(b"{}"))]));
        let mut body = Patient { payload: Payload::from(there), patience: BODY_PATIENCE, deadline: None };
        assert_eq!(body.next().await.unwrap().unwrap(), "{}");
        assert!(body.deadline.is_none());
    }
}
