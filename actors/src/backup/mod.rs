//! The actor that makes and restores backups: one job at a time, and the daily one by itself.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::runtime::{Gauge, Lifecycle, Probe};

/// How often the actor looks whether a scheduled job is due.
const TICK: Duration = Duration::from_secs(20);
/// The longest such a look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(60);
/// The longest a job may take; then it is cut off, which counts as its failure.
const JOB_WITHIN: Duration = Duration::from_secs(12 * 3600);

/// How far the present job has come; clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Tables and collections done.
    pub tables: Gauge,
    /// Rows and documents done.
    pub rows: Gauge,
    /// Bytes done, before compression.
    pub bytes: Gauge,
}

impl Progress {
    fn of(probe: &Probe) -> Self {
        Self { tables: probe.gauge("tables_done"), rows: probe.gauge("rows"), bytes: probe.gauge("bytes") }
    }

    /// Begins at nothing.
    pub fn reset(&self) {
        for gauge in [&self.tables, &self.rows, &self.bytes] {
            gauge.set(0);
        }
    }
}

/// Does the jobs. Dropping a job's future cuts the job off; nothing half done may then count as done.
pub trait BackupJobs: Send + Sync + 'static {
    /// What can be asked for.
    type Order: Send + 'static;
    /// What a job tells at its end.
    type Outcome: Send + 'static;

    /// Does one job to its end and records how it ended.
    fn run(&self, order: Self::Order, progress: Progress) -> LocalBoxFuture<'_, Self::Outcome>;

    /// Cleans up after dead processes; gives the scheduled job when it is due.
    fn due(&self) -> LocalBoxFuture<'_, Option<Self::Order>>;
}

/// Another job is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another backup or restore is being done")]
pub struct Busy;

/// Begin a job. Its outcome comes through the receiver, which may be dropped: the job goes on.
pub struct Begin<J: BackupJobs>(pub J::Order);

impl<J: BackupJobs> Message for Begin<J> {
    type Result = Result<oneshot::Receiver<J::Outcome>, Busy>;
}

/// The actor. Gauges: `busy`, `jobs`, and those of [`Progress`]. A job that panics ends this life of the actor.
pub struct BackupActor<J> {
    jobs: Arc<J>,
    progress: Progress,
    busy: Gauge,
    done: Gauge,
    probe: Probe,
}

impl<J: BackupJobs> BackupActor<J> {
    /// Over `jobs`.
    #[must_use]
    pub fn new(jobs: Arc<J>, probe: &Probe) -> Self {
        let busy = probe.gauge("busy");
        busy.set(0);
        Self { jobs, progress: Progress::of(probe), busy, done: probe.gauge("jobs"), probe: probe.clone() }
    }

    fn is_busy(&self) -> bool {
        self.busy.get() != 0
    }

    fn begin(&mut self, order: J::Order, ctx: &mut Context<Self>) -> oneshot::Receiver<J::Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.busy.set(1);
        self.progress.reset();
        let (jobs, progress) = (Arc::clone(&self.jobs), self.progress.clone());
        let job = timeout(JOB_WITHIN, async move { jobs.run(order, progress).await });
        ctx.spawn(job.into_actor(self).map(|outcome, actor, _| {
            actor.busy.set(0);
            actor.done.add(1);
            match outcome {
                // Nobody may be waiting any more.
                Ok(outcome) => drop(sender.send(outcome)),
                Err(_) => actor.probe.note("a job did not end in time and was cut off"),
            }
        }));
        receiver
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.is_busy() {
            return;
        }
        let jobs = Arc::clone(&self.jobs);
        let look = timeout(LOOK_WITHIN, async move { jobs.due().await });
        ctx.spawn(look.into_actor(self).map(|order, actor, ctx| {
            if let Ok(Some(order)) = order
                && !actor.is_busy()
            {
                // The job records its own outcome.
                drop(actor.begin(order, ctx));
            }
        }));
    }
}

impl<J: BackupJobs> Actor for BackupActor<J> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
        ctx.run_interval(TICK, Self::tick);
    }
}

impl<J: BackupJobs> Lifecycle for BackupActor<J> {}

impl<J: BackupJobs> Handler<Begin<J>> for BackupActor<J> {
    type Result = Result<oneshot::Receiver<J::Outcome>, Busy>;

    fn handle(&mut self, Begin(order): Begin<J>, ctx: &mut Context<Self>) -> Self::Result {
        if self.is_busy() { Err(Busy) } else { Ok(self.begin(order, ctx)) }
    }
}
