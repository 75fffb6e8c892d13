//! `GET /notification/stream`: new notices as server-sent events.
//!
//! An event's id is the notice's place in the order of all, so that a client that comes back with `Last-Event-ID` gets what it
//! missed, each once: first from the store, then live. A listener that was too slow goes back to the store the same way.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use gencharge_actors::notification::{Audience, Hub, Listening, NoListening, Posted};
use tokio::time::{Instant, sleep, sleep_until};

use super::{NotificationError, Notifications, routes};
use crate::auth::{Admission, Gate, Principal, bearer};
use crate::http::{Code, Problem};

/// How often the token is looked at again: the most by which a stream outlives it.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// Looks after which a sign of life is sent when there was nothing else.
const QUIET_CHECKS: u32 = 30;
/// Notices read from the store at once.
const PAGE: u32 = 100;
/// The wait before the store is asked again after a failure.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How long clients are told to wait before they come back, in milliseconds.
const RETRY_MS: u32 = 1000;

/// New notices, own and to one's groups, as server-sent events. Ends when the token ends or is taken back: come back with
/// a new token and `Last-Event-ID`.
#[utoipa::path(
    get, path = "/notification/stream", tag = "Notifications",
    params((
        "Last-Event-ID" = Option<i64>, Header,
        description = "the id of the last event received: what came since is sent first"
    )),
    responses(
        (
            status = 200, content_type = "text/event-stream",
            description = "`ready` at once, with the place where it begins; `notification` with a notice as in \
                           `/notification/my`; `end` with a reason before it is closed by the server; comments as \
                           signs of life"
        ),
        (status = 401, description = "Not signed in"),
        (status = 422, description = "`Last-Event-ID` is not an event's id"),
        (status = 429, description = "Too many streams of one reader"),
        (status = 503, description = "Too many streams of all"),
    ),
    security(("bearer" = [])),
)]
pub(super) async fn stream(
    principal: Principal,
    request: HttpRequest,
    gate: web::Data<Gate>,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    let last = match request.headers().get("last-event-id") {
        None => None,
        Some(value) => Some(place(value.to_str().unwrap_or_default()).ok_or_else(|| {
            Problem::field("Last-Event-ID", "must be the id of an event of this stream, a whole number")
        })?),
    };
    let audience = routes::audience(&principal, &notifications).await?;
    let hub = notifications.hub.clone();
    // The ear is open before the place is read, so nothing falls between the two.
    let ear = hub.listen(audience.clone()).map_err(refused)?;
    let head = hub.store().head().await.map_err(NotificationError::from)?;
    let client = Client {
        token: bearer(&request).unwrap_or_default().to_owned(),
        gate: Gate::clone(&gate),
        hub,
        audience,
        // A place that does not exist yet would keep everything back.
        place: last.unwrap_or(head).min(head),
        ear: Some(ear),
        behind: last.is_some(),
        ready: VecDeque::new(),
        ended: false,
        check_at: Instant::now() + CHECK_EVERY,
        quiet: 0,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream::unfold(client.begun(), |client| Box::pin(client.next()))))
}

fn place(text: &str) -> Option<i64> {
    text.parse().ok().filter(|place| *place >= 0)
}

fn refused(error: NoListening) -> Problem {
    match error {
        NoListening::FullForReader => {
            Problem::new(Code::RateLimited, "You have too many streams open: close one, then try again")
                .retry_after(10)
        }
        NoListening::Full | NoListening::Closed => {
            Problem::new(Code::Overloaded, "No more streams can be opened here now: try again shortly")
                .retry_after(5)
        }
    }
}

struct Client {
    token: String,
    gate: Gate,
    hub: Hub,
    audience: Audience,
    /// What was sent last.
    place: i64,
    ear: Option<Listening>,
    /// True while the store may hold more than was sent.
    behind: bool,
    ready: VecDeque<Bytes>,
    ended: bool,
    check_at: Instant,
    quiet: u32,
}

impl Client {
    fn begun(mut self) -> Self {
        let begin = format!("retry: {RETRY_MS}\nid: {}\nevent: ready\ndata: {{}}\n\n", self.place);
        self.ready.push_back(begin.into());
        self
    }

    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some((Ok(bytes), self));
            }
            if self.ended {
                return None;
            }
            if Instant::now() >= self.check_at {
                self.check().await;
            } else if self.behind {
                self.catch_up().await;
            } else {
                self.hear().await;
            }
        }
    }

    /// What the store has behind the place.
    async fn catch_up(&mut self) {
        if self.ear.is_none() {
            // Too slow once: from now on it is heard again, and what was missed is read.
            match self.hub.listen(self.audience.clone()) {
                Ok(ear) => self.ear = Some(ear),
                Err(NoListening::Closed) => return self.end("stopping"),
                Err(NoListening::Full | NoListening::FullForReader) => return self.end("busy"),
            }
        }
        match self.hub.store().posted(Some(&self.audience), self.place, PAGE).await {
            Ok(posted) => {
                self.behind = posted.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
                posted.iter().for_each(|notice| self.send(notice));
            }
            Err(error) => {
                tracing::warn!(error.message = %error, "notifications.stream_waits");
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// What comes live, until it is time to look at the token.
    async fn hear(&mut self) {
        let Some(ear) = &mut self.ear else {
            self.behind = true;
            return;
        };
        tokio::select! {
            heard = ear.next() => match heard {
                Some(notice) => self.send(&notice),
                None => {
                    self.ear = None;
                    self.behind = true;
                }
            },
            () = sleep_until(self.check_at) => {}
        }
    }

    fn send(&mut self, notice: &Posted) {
        // What was read from the store may also come live.
        if notice.seq > self.place {
            self.place = notice.seq;
            self.quiet = 0;
            // JSON text has no line breaks.
            let event = format!("id: {}\nevent: notification\ndata: {}\n\n", notice.seq, notice.document);
            self.ready.push_back(event.into());
        }
    }

    async fn check(&mut self) {
        self.check_at = Instant::now() + CHECK_EVERY;
        let admitted = match self.gate.admit(&self.token, false) {
            Admission::Decided(decided) => decided,
            Admission::AskStore(claims) => self.gate.check_in_store(claims, false).await,
        };
        if admitted.is_err() {
            return self.end("signed_out");
        }
        if self.hub.is_closed() {
            return self.end("stopping");
        }
        self.quiet += 1;
        if self.quiet >= QUIET_CHECKS {
            self.quiet = 0;
            self.ready.push_back(Bytes::from_static(b": still here\n\n"));
        }
    }

    fn end(&mut self, reason: &str) {
        self.ended = true;
        self.ready.push_back(format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n").into());
    }
}
