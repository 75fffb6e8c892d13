//! Counts and times of requests, for `/metrics`.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// Seconds; the last bucket is +Inf.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The numbers of all requests of one application; clones share them.
#[derive(Clone)]
pub struct HttpMeters {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Requests being worked on now.
    pub(super) in_flight: IntGauge,
    /// Requests whose client went away before the answer.
    pub(super) abandoned: IntCounter,
    /// Requests refused by the limit for their address.
    pub(super) limited: IntCounter,
}

impl HttpMeters {
    /// Registers the numbers.
    ///
    /// # Errors
    /// When a name is taken in the registry.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("gencharge_http_requests_total", "Requests answered"),
            &["route", "method", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "gencharge_http_request_duration_seconds",
                "From the request's head to the answer's",
            )
            .buckets(BUCKETS.to_vec()),
            &["route", "method"],
        )?;
        let in_flight = IntGauge::new("gencharge_http_requests_in_flight", "Requests being worked on")?;
        let abandoned =
            IntCounter::new("gencharge_http_requests_abandoned_total", "Clients gone before the answer")?;
        let limited = IntCounter::new(
            "gencharge_http_requests_limited_total",
            "Requests refused by the limit for one client address",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(abandoned.clone()))?;
        registry.register(Box::new(limited.clone()))?;
        Ok(Self { requests, seconds, in_flight, abandoned, limited })
    }
}

/// One worker's short ways to the numbers: no lock and no label look-up on the way of a request.
pub(super) struct Routes {
    meters: HttpMeters,
    known: RefCell<HashMap<String, Rc<Route>>>,
}

/// One route template, as mounted.
pub(super) struct Route {
    /// The template as a JSON string, quotes and all.
    pub(super) json: String,
    template: String,
    methods: RefCell<Vec<(&'static str, Rc<MethodMeters>)>>,
}

struct MethodMeters {
    seconds: Histogram,
    classes: [OnceCell<IntCounter>; 5],
}

impl Routes {
    pub(super) fn new(meters: HttpMeters) -> Self {
        Self { meters, known: RefCell::default() }
    }

    /// The route of a template; `None` is what no route matched. Templates come from the code, so there are only so many.
    pub(super) fn find(&self, template: Option<&str>) -> Rc<Route> {
        let template = template.unwrap_or("none");
        if let Some(route) = self.known.borrow().get(template) {
            return Rc::clone(route);
        }
        let route = Rc::new(Route {
            json: serde_json::Value::from(template).to_string(),
            template: template.to_owned(),
            methods: RefCell::default(),
        });
        self.known.borrow_mut().insert(template.to_owned(), Rc::clone(&route));
        route
    }

    /// Counts an answer.
    pub(super) fn count(&self, route: &Route, method: &'static str, status: StatusCode, took: Duration) {
        let known = route
            .methods
            .borrow()
            .iter()
            .find(|(name, _)| *name == method)
            .map(|(_, meters)| Rc::clone(meters));
        let meters = known.unwrap_or_else(|| self.add_method(route, method));
        meters.seconds.observe(took.as_secs_f64());
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let (Some(counter), Some(word)) = (meters.classes.get(class), CLASSES.get(class)) {
            counter
                .get_or_init(|| {
                    self.meters.requests.with_label_values(&[route.template.as_str(), method, word])
                })
                .inc();
        }
    }

    fn add_method(&self, route: &Route, method: &'static str) -> Rc<MethodMeters> {
        let seconds = self.meters.seconds.with_label_values(&[route.template.as_str(), method]);
        let meters = Rc::new(MethodMeters { seconds, classes: Default::default() });
        route.methods.borrow_mut().push((method, Rc::clone(&meters)));
        meters
    }
}

/// The method as a label: what clients make up counts as one.
pub(super) fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
