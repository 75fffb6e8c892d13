//! The public lists, ready as bytes. A hit does no JSON work and no SQL.
//!
//! One snapshot of all active rows is read from SQL when the catalogue has changed; every variant of a list is made from
//! it in memory and kept, so that neither many variants nor many misses reach the database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use gencharge_actors::kernel::Clock;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::query::{ListQuery, OfferQuery, PlanQuery, View};
use super::shape::{OfferRow, PlanRow, PublicOfferResponse, UserPlanResponse};
use super::store::CatalogueStore;
use crate::http::params::Params;
use crate::http::{Code, Problem};
use crate::platform::postgres::listener::{Link, Listener};
use crate::platform::redis::Announcer;

/// The channel on which PostgreSQL tells of changes (migration 0001).
pub const CHANNEL: &str = "gencharge_catalogue";

/// While changes elsewhere cannot be heard, a snapshot from SQL serves this long: well within the promised second.
const UNHEARD: Duration = Duration::from_millis(250);
/// How long a request waits for a snapshot that another one is reading.
const PATIENCE: Duration = Duration::from_secs(5);
/// Variants of a list that are kept.
const MAX_VARIANTS: usize = 1024;
/// Bytes of bodies of one list that are kept.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longer query strings are answered, but not kept.
const MAX_QUERY: usize = 256;

/// An answer to send as it is.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub body: Bytes,
    pub etag: HeaderValue,
    pub total: HeaderValue,
    pub links: Option<HeaderValue>,
    until: Option<DateTime<Utc>>,
}

/// Answers by query string, as written and in canonical form.
#[derive(Debug, Default)]
struct Variants(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<String, Arc<Ready>>,
    bytes: usize,
}

impl Variants {
    fn get(&self, query: &str, now: impl Fn() -> DateTime<Utc>) -> Option<Arc<Ready>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ready = kept.answers.get(query)?;
        ready.until.is_none_or(|until| now() < until).then(|| Arc::clone(ready))
    }

    fn keep(&self, query: &str, ready: &Arc<Ready>) {
        if query.len() > MAX_QUERY {
            return;
        }
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.bytes.saturating_add(ready.body.len());
        if kept.answers.len() >= MAX_VARIANTS || bytes > MAX_BYTES {
            // Starting over costs a few renderings and needs no order of use.
            *kept = Kept::default();
        }
        kept.bytes = kept.bytes.saturating_add(ready.body.len());
        kept.answers.insert(query.to_owned(), Arc::clone(ready));
    }
}

struct Snapshot {
    generation: u64,
    read_at: Instant,
    plans: Vec<PlanRow>,
    offers: Vec<OfferRow>,
    plan_lists: Variants,
    offer_lists: Variants,
}

struct Inner {
    store: CatalogueStore,
    clock: Arc<dyn Clock>,
    link: Link,
    announcer: Announcer,
    generation: AtomicU64,
    current: ArcSwapOption<Snapshot>,
    reading: Mutex<()>,
}

/// The public lists of plans and offers; clones share them.
#[derive(Clone)]
pub struct PublicLists(Arc<Inner>);

impl PublicLists {
    /// Lists read from `store`, kept while `listener` hears of changes. Subscribes to it.
    #[must_use]
    pub fn new(
        store: CatalogueStore,
        clock: Arc<dyn Clock>,
        listener: &mut Listener,
        announcer: Announcer,
    ) -> Self {
        let lists = Self(Arc::new(Inner {
            store,
            clock,
            link: listener.link(),
            announcer,
            generation: AtomicU64::new(0),
            current: ArcSwapOption::empty(),
            reading: Mutex::new(()),
        }));
        let heard = lists.clone();
        listener.subscribe(CHANNEL, move |_| heard.forget());
        lists
    }

    /// The moment that expiry is measured against.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// This process has changed the catalogue: what is kept no longer holds, here nor elsewhere.
    pub fn invalidate(&self) {
        self.forget();
        self.0.announcer.announce(CHANNEL, String::new());
    }

    /// What is kept no longer holds: no request that begins from here on sees it.
    pub fn forget(&self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The public plans for this request.
    pub(super) async fn plans(&self, request: &HttpRequest) -> Result<Arc<Ready>, Problem> {
        self.answer::<PlanQuery, UserPlanResponse>(request, |snapshot| {
            (&snapshot.plan_lists, &snapshot.plans)
        })
        .await
    }

    /// The public offers for this request.
    pub(super) async fn offers(&self, request: &HttpRequest) -> Result<Arc<Ready>, Problem> {
        self.answer::<OfferQuery, PublicOfferResponse>(request, |snapshot| {
            (&snapshot.offer_lists, &snapshot.offers)
        })
        .await
    }

    async fn answer<Q, Shape>(
        &self,
        request: &HttpRequest,
        part: fn(&Snapshot) -> (&Variants, &Vec<Q::Row>),
    ) -> Result<Arc<Ready>, Problem>
    where
        Q: ListQuery,
        Shape: From<Q::Row> + Serialize,
    {
        let written = request.query_string();
        let now = || self.0.clock.now();
        // A guard, not a reference count: a hit touches nothing that other threads write.
        if let Some(snapshot) = self.0.current.load().as_ref()
            && self.0.holds(snapshot)
            && let Some(ready) = part(snapshot).0.get(written, now)
        {
            return Ok(ready);
        }
        let query = Q::read(Params::of(request), View::Public)?;
        let snapshot = self.snapshot().await?;
        let (variants, rows) = part(&snapshot);
        let canonical = query.canonical();
        if let Some(ready) = variants.get(&canonical, now) {
            variants.keep(written, &ready);
            return Ok(ready);
        }
        let ready = Arc::new(render::<Q, Shape>(&query, rows, now())?);
        variants.keep(&canonical, &ready);
        variants.keep(written, &ready);
        Ok(ready)
    }

    /// The rows as of now; one reading serves all who wait for it.
    async fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        let inner = &self.0;
        if let Some(snapshot) = inner.current() {
            return Ok(snapshot);
        }
        let Ok(_one) = timeout(PATIENCE, inner.reading.lock()).await else {
            return Err(Problem::new(
                Code::Unavailable,
                "The database is slow at the moment: try again shortly",
            ));
        };
        if let Some(snapshot) = inner.current() {
            return Ok(snapshot);
        }
        // The generation before the reading: a change in between makes the snapshot void.
        let generation = inner.generation.load(Ordering::Acquire);
        let read_at = Instant::now();
        let (plans, offers) = inner.store.active().await?;
        let snapshot = Arc::new(Snapshot {
            generation,
            read_at,
            plans,
            offers,
            plan_lists: Variants::default(),
            offer_lists: Variants::default(),
        });
        inner.current.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

impl Inner {
    fn holds(&self, snapshot: &Snapshot) -> bool {
        snapshot.generation == self.generation.load(Ordering::Acquire)
            && (self.link.is_connected() || snapshot.read_at.elapsed() < UNHEARD)
    }

    fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full().filter(|snapshot| self.holds(snapshot))
    }
}

fn render<Q, Shape>(query: &Q, rows: &[Q::Row], now: DateTime<Utc>) -> Result<Ready, Problem>
where
    Q: ListQuery,
    Shape: From<Q::Row> + Serialize,
{
    let broken = |error: &dyn std::fmt::Display| {
        tracing::error!(error = %error, "catalogue.list_not_rendered");
        Problem::new(
            Code::Internal,
            "Something went wrong on our side; it has been logged under the request id",
        )
    };
    let found = query.find(rows, now);
    let shown: Vec<Shape> = found.rows.into_iter().cloned().map(Shape::from).collect();
    let body = serde_json::to_vec(&shown).map_err(|error| broken(&error))?;
    let digest: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let links = query.links(found.total).map(|text| HeaderValue::from_str(&text)).transpose();
    Ok(Ready {
        body: Bytes::from(body),
        etag: HeaderValue::from_str(&format!("\"{digest}\"")).map_err(|error| broken(&error))?,
        total: HeaderValue::from(found.total),
        links: links.map_err(|error| broken(&error))?,
        until: Q::changes_at(rows, now),
    })
}
