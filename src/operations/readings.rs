//! What is read of the process and shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gencharge_actors::runtime::{ActorState, Universe};
use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::http::edge::AccessLog;
use crate::http::{Code, Problem};
use crate::platform::Server;
use crate::platform::bus::rabbit::Rabbit;

/// How long a server may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// That the process answers.
#[derive(Serialize, ToSchema)]
pub struct Alive {
    /// Always `alive`.
    pub status: &'static str,
}

/// Whether the process can work, and why not.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// True when the database answers and every actor takes work.
    pub ready: bool,
    /// `reachable` or `away`.
    pub database: &'static str,
    /// Milliseconds that the database took to answer.
    pub database_ms: u64,
    /// `reachable`, `away` or `not used`. While it is away, work goes on and events wait in the outbox, so it does not
    /// count against being ready.
    pub broker: &'static str,
    /// The configured servers beside the database: `reachable` or `away`. What needs one that is away answers 503 or
    /// waits, the rest goes on; so it does not count against being ready.
    pub stores: BTreeMap<&'static str, &'static str>,
    /// The supervised actors.
    pub actors: Vec<ActorOut>,
}

/// One supervised actor.
#[derive(Serialize, ToSchema)]
#[schema(as = Actor)]
pub struct ActorOut {
    /// Its name.
    pub name: String,
    /// `starting`, `running`, `restarting`, `draining`, `failed` or `stopped`.
    pub status: &'static str,
    /// Messages that wait.
    pub mailbox_depth: usize,
    /// The most that may wait.
    pub mailbox_limit: usize,
    /// Messages whose senders still wait for an answer.
    pub unanswered: usize,
    /// Lives begun after the first.
    pub restarts: u64,
    /// Why the last life ended, or what the actor noted since.
    pub last_error: Option<String>,
    /// Seconds that the present life lasts.
    pub running_seconds: u64,
    /// The actor's own numbers.
    pub gauges: BTreeMap<&'static str, u64>,
}

impl From<ActorState> for ActorOut {
    fn from(state: ActorState) -> Self {
        Self {
            name: state.name.to_string(),
            status: state.status.as_str(),
            mailbox_depth: state.mailbox_depth,
            mailbox_limit: state.mailbox_limit,
            unanswered: state.unanswered,
            restarts: state.restarts,
            last_error: state.last_error,
            running_seconds: state.running_for.as_secs(),
            gauges: state.gauges.into_iter().collect(),
        }
    }
}

/// Reads the process; clones read the same.
#[derive(Clone)]
pub struct Operations {
    universe: Universe,
    pool: PgPool,
    rabbit: Option<Rabbit>,
    servers: Vec<Arc<dyn Server>>,
    /// The numbers that others count.
    registry: Registry,
    log: Option<AccessLog>,
    began: Instant,
}

impl Operations {
    /// Reads these; `registry` has what others count.
    #[must_use]
    pub fn new(
        universe: Universe,
        pool: PgPool,
        (servers, rabbit): (Vec<Arc<dyn Server>>, Option<Rabbit>),
        registry: Registry,
        log: Option<AccessLog>,
    ) -> Self {
        Self { universe, pool, servers, rabbit, registry, log, began: Instant::now() }
    }

    /// Every actor's state, in the order of their start.
    #[must_use]
    pub fn actors(&self) -> Vec<ActorOut> {
        self.universe.snapshot().into_iter().map(ActorOut::from).collect()
    }

    /// Asks the database and looks at the actors.
    pub async fn readiness(&self) -> Readiness {
        let ((reachable, took), stores) = tokio::join!(self.database(), self.stores());
        Readiness {
            ready: reachable && self.universe.ready(),
            database: if reachable { "reachable" } else { "away" },
            database_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            broker: match &self.rabbit {
                None => "not used",
                Some(rabbit) if rabbit.reachable() => "reachable",
                Some(_) => "away",
            },
            stores,
            actors: self.actors(),
        }
    }

    /// Whether the database answers, and how long that took.
    async fn database(&self) -> (bool, Duration) {
        let began = Instant::now();
        let asked = sqlx::query("SELECT 1").execute(&self.pool);
        let answered = matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(_)));
        (answered, began.elapsed())
    }

    async fn stores(&self) -> BTreeMap<&'static str, &'static str> {
        let asked = self.servers.iter().map(async |server| {
            let answers = tokio::time::timeout(PATIENCE, server.answers()).await.unwrap_or(false);
            (server.name(), if answers { "reachable" } else { "away" })
        });
        join_all(asked).await.into_iter().collect()
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// `internal` when two numbers have one name: a defect.
    pub fn metrics(&self) -> Result<String, Problem> {
        let scrape = Registry::new();
        let told = self.read(&scrape).and_then(|()| {
            let mut families = self.registry.gather();
            families.extend(scrape.gather());
            TextEncoder::new().encode_to_string(&families)
        });
        told.map_err(|error| {
            tracing::error!(%error, "metrics.not_told");
            Problem::new(Code::Internal, "The numbers cannot be told; the reason has been logged")
        })
    }

    fn read(&self, scrape: &Registry) -> prometheus::Result<()> {
        actors(scrape, &self.universe.snapshot())?;
        if let Some(rabbit) = &self.rabbit {
            let about = "1 when every connection to the broker that should be there is";
            gauge(scrape, "gencharge_broker_reachable", about, i64::from(rabbit.reachable()))?;
        }
        gauge(scrape, "gencharge_ready", "1 when every actor takes work", i64::from(self.universe.ready()))?;
        let (size, idle) = (i64::from(self.pool.size()), whole(self.pool.num_idle()));
        gauge(scrape, "gencharge_db_pool_connections", "SQL connections of the pool", size)?;
        gauge(scrape, "gencharge_db_pool_idle", "SQL connections of the pool that nobody uses", idle)?;
        let limit = i64::from(self.pool.options().get_max_connections());
        gauge(scrape, "gencharge_db_pool_limit", "SQL connections that the pool may have", limit)?;
        if let Some(log) = &self.log {
            let dropped =
                IntCounter::new("gencharge_access_log_dropped_total", "Lines that did not reach the file")?;
            dropped.inc_by(log.dropped());
            scrape.register(Box::new(dropped))?;
        }
        let uptime = Gauge::new("gencharge_uptime_seconds", "Since the application started")?;
        uptime.set(self.began.elapsed().as_secs_f64());
        scrape.register(Box::new(uptime))?;
        process(scrape)
    }
}

fn actors(scrape: &Registry, states: &[ActorState]) -> prometheus::Result<()> {
    let family = |name: &str, about: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
        let family = IntGaugeVec::new(Opts::new(name, about), labels)?;
        scrape.register(Box::new(family.clone()))?;
        Ok(family)
    };
    let status = family("gencharge_actor_status", "1 for the status it is in", &["actor", "status"])?;
    let depth = family("gencharge_actor_mailbox_depth", "Messages that wait", &["actor"])?;
    let limit = family("gencharge_actor_mailbox_limit", "Messages that may wait", &["actor"])?;
    let unanswered = family("gencharge_actor_unanswered", "Senders that wait for an answer", &["actor"])?;
    let restarts = family("gencharge_actor_restarts", "Lives begun after the first", &["actor"])?;
    let own = family("gencharge_actor_gauge", "The actor's own numbers", &["actor", "gauge"])?;
    for state in states {
        let name = state.name.as_ref();
        status.with_label_values(&[name, state.status.as_str()]).set(1);
        depth.with_label_values(&[name]).set(whole(state.mailbox_depth));
        limit.with_label_values(&[name]).set(whole(state.mailbox_limit));
        unanswered.with_label_values(&[name]).set(whole(state.unanswered));
        restarts.with_label_values(&[name]).set(whole(state.restarts));
        for (gauge, value) in &state.gauges {
            own.with_label_values(&[name, *gauge]).set(whole(*value));
        }
        let lag = state.gauges.iter().find(|(gauge, _)| *gauge == "lag_ms");
        if let (Some((_, value)), "relay") = (lag, name) {
            let about = "Age of the oldest event that is not delivered, in milliseconds";
            gauge(scrape, "gencharge_outbox_lag_milliseconds", about, whole(*value))?;
        }
    }
    Ok(())
}

/// CPU time and memory, from `/proc`; nothing where there is none.
fn process(scrape: &Registry) -> prometheus::Result<()> {
    if let Some(seconds) = cpu_time() {
        let cpu = prometheus::Counter::new("process_cpu_seconds_total", "CPU time, user and system")?;
        cpu.inc_by(seconds.as_secs_f64());
        scrape.register(Box::new(cpu))?;
    }
    if let Some(bytes) = resident() {
        gauge(scrape, "process_resident_memory_bytes", "Memory in use", bytes)?;
    }
    Ok(())
}

fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    let ticks = times.next()?.saturating_add(times.next()?);
    let millis = ticks.saturating_mul(1000).checked_div(rustix::param::clock_ticks_per_second())?;
    Some(Duration::from_millis(millis))
}

fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn gauge(scrape: &Registry, name: &str, about: &str, value: i64) -> prometheus::Result<()> {
    let gauge = IntGauge::new(name, about)?;
    gauge.set(value);
    scrape.register(Box::new(gauge))
}

fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
