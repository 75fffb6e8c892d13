//! The outermost layer around every route: request ids, the limit for one client address, CORS, problem documents,
//! numbers and the access log. One layer, because each layer of its own costs every request an allocation or two.

mod access_log;
mod client;
mod cors;
mod ip_limit;
mod meters;
mod patience;
mod slash;
mod trace;

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready as poll_ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse};
use gencharge_actors::kernel::{Clock, Random};

pub use access_log::AccessLog;
pub use meters::HttpMeters;
pub use trace::{Kind, Trace};

use self::cors::Cors;
use self::ip_limit::IpLimit;
use super::problem::{Code, Problem};
use super::server;
use crate::config::{HttpConfig, Network};

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Never limited: probes of the machinery that runs the process.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// The layer; clones share it.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    began: Instant,
    limit: Option<IpLimit>,
    proxies: Vec<Network>,
    cors: Cors,
    meters: HttpMeters,
    log: Option<AccessLog>,
    allow: HashMap<String, HeaderValue>,
}

impl Edge {
    /// `allow` has the methods of each route template, for 405 answers.
    #[must_use]
    pub fn new(
        config: &HttpConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        meters: HttpMeters,
        log: Option<AccessLog>,
        allow: HashMap<String, HeaderValue>,
    ) -> Self {
        Self(Arc::new(Inner {
            clock,
            random,
            began: Instant::now(),
            limit: IpLimit::new(config.ip_requests_per_minute),
            proxies: config.trusted_proxies.clone(),
            cors: Cors::new(&config.cors_origins),
            meters,
            log,
            allow,
        }))
    }
}

/// One worker's share of the layer.
struct Lane {
    edge: Arc<Inner>,
    ids: trace::Ids,
    times: trace::Times,
    routes: meters::Routes,
    log: Option<access_log::Lane>,
}

impl<S, B> Transform<S, ServiceRequest> for Edge
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: Unpin,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = EdgeService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let edge = Arc::clone(&self.0);
        let lane = Lane {
            ids: trace::Ids::new(edge.random.as_ref()),
            times: trace::Times::default(),
            routes: meters::Routes::new(edge.meters.clone()),
            log: edge.log.as_ref().map(AccessLog::lane),
            edge,
        };
        ready(Ok(EdgeService { inner, lane: Rc::new(lane) }))
    }
}

/// The layer around one worker's routes.
pub struct EdgeService<S> {
    inner: S,
    lane: Rc<Lane>,
}

impl<S, B> Service<ServiceRequest> for EdgeService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: Unpin,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Answering<S::Future>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let lane = &self.lane;
        let began = Instant::now();
        slash::ignore(&mut request);
        let client = client::address(&request, &lane.edge.proxies);
        let trace = Trace::new(lane.id_of(&request), client);
        let origin = lane.edge.cors.origin(&request);
        let early = if origin.is_some() { Cors::preflight(&request) } else { None };
        let early = match early {
            Some(preflight) => Some((preflight, None)),
            None => lane.over_the_limit(&request, &trace, began),
        };
        let step = match early {
            Some((answer, code)) => Step::Early(Some((request.into_parts().0, answer, code))),
            None => {
                request.extensions_mut().insert(Rc::clone(&trace));
                patience::bound_body(&mut request);
                Step::Inside(self.inner.call(request))
            }
        };
        lane.edge.meters.in_flight.inc();
        Answering { lane: Rc::clone(lane), trace, origin, began, step }
    }
}

/// An answer on its way.
pub struct Answering<F> {
    lane: Rc<Lane>,
    trace: Rc<Trace>,
    origin: Option<HeaderValue>,
    began: Instant,
    step: Step<F>,
}

enum Step<F> {
    /// Answered here, without any route.
    Early(Option<(HttpRequest, HttpResponse, Option<Code>)>),
    Inside(F),
    Answered,
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>> + Unpin,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (mut answer, code) = match &mut this.step {
            Step::Early(early) => {
                let Some((request, answer, code)) = early.take() else { return Poll::Pending };
                (ServiceResponse::new(request, answer).map_into_right_body(), code)
            }
            Step::Inside(inside) => match poll_ready!(Pin::new(inside).poll(context)) {
                Ok(answer) => this.lane.with_problem(answer, &this.trace),
                Err(error) => return Poll::Ready(Err(error)),
            },
            Step::Answered => return Poll::Pending,
        };
        this.step = Step::Answered;
        let headers = answer.headers_mut();
        if let Ok(id) = HeaderValue::from_str(this.trace.id()) {
            headers.insert(X_REQUEST_ID.clone(), id);
        }
        this.lane.edge.cors.mark(headers, this.origin.take());
        this.lane.account(&answer, code, &this.trace, this.began.elapsed());
        Poll::Ready(Ok(answer))
    }
}

impl<F> Drop for Answering<F> {
    fn drop(&mut self) {
        let meters = &self.lane.edge.meters;
        meters.in_flight.dec();
        if !matches!(self.step, Step::Answered) {
            meters.abandoned.inc();
        }
    }
}

impl Lane {
    /// A client's `X-Request-Id` is kept when it is 1 to 64 plain characters.
    fn id_of(&self, request: &ServiceRequest) -> String {
        let given = request.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let plain = |text: &&str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        given.filter(plain).map_or_else(|| self.ids.make(), str::to_owned)
    }

    fn over_the_limit(
        &self,
        request: &ServiceRequest,
        trace: &Trace,
        now: Instant,
    ) -> Option<(HttpResponse, Option<Code>)> {
        let (limit, client) = (self.edge.limit.as_ref()?, trace.client()?);
        if PROBES.contains(&request.path()) {
            return None;
        }
        let wait = limit.take(client, now.duration_since(self.edge.began)).err()?;
        self.edge.meters.limited.inc();
        let problem = Problem::new(
            Code::RateLimited,
            format!("Too many requests from this address: try again in {wait} s"),
        );
        Some((problem.retry_after(wait).respond(trace.id()), Some(Code::RateLimited)))
    }

    /// Turns an error into its problem document.
    fn with_problem<B: MessageBody + 'static>(
        &self,
        answer: ServiceResponse<B>,
        trace: &Trace,
    ) -> (ServiceResponse<EitherBody<B>>, Option<Code>) {
        let Some(error) = answer.response().error() else { return (answer.map_into_left_body(), None) };
        let own = error.as_error::<Problem>();
        let problem = own.cloned().unwrap_or_else(|| foreign(error.as_response_error().status_code()));
        let mut response = problem.respond(trace.id());
        if problem.code == Code::MethodNotAllowed
            && let Some(allow) = self.methods(answer.request())
        {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        (answer.into_response(response).map_into_right_body(), Some(problem.code))
    }

    fn methods(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let template = without_patterns(&request.match_pattern()?);
        self.edge.allow.get(template.strip_prefix("/v1").unwrap_or(&template)).cloned()
    }

    fn account<B: MessageBody + 'static>(
        &self,
        answer: &ServiceResponse<B>,
        code: Option<Code>,
        trace: &Trace,
        took: Duration,
    ) {
        let request = answer.request();
        let route = self.routes.find(request.match_pattern().as_deref());
        let (method, status) = (meters::label(request.method()), answer.status());
        self.routes.count(&route, method, status, took);
        let Some(log) = &self.log else { return };
        let bytes = match answer.response().body().size() {
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::None => Some(0),
            BodySize::Stream => None,
        };
        let line = trace::Line {
            time: self.edge.clock.now(),
            trace,
            method,
            route: &route.json,
            status,
            code: code.map(Code::as_str),
            micros: took.as_micros(),
            bytes,
        };
        log.line(|buffer| line.write(buffer, &self.times));
    }
}

/// A route's template as the documentation has it: `{id}` for `{id:\d+}`.
fn without_patterns(template: &str) -> String {
    let mut plain = String::with_capacity(template.len());
    let mut pattern = false;
    for letter in template.chars() {
        pattern = (pattern || (letter == ':' && plain.rfind('{') > plain.rfind('}'))) && letter != '}';
        if !pattern {
            plain.push(letter);
        }
    }
    plain
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
