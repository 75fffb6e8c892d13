//! The actor that makes and restores backups: one job at a time, and the daily one by itself.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::runtime::{Gauge, Lifecycle, Probe};

/// How often the actor looks whether a scheduled job is due.
const TICK: Duration = Duration::from_secs(20);
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
    fn run(&self, order: Self::Order, progress: Progress) -> BoxFuture<'_, Self::Outcome>;

    /// Cleans up after dead processes; gives the scheduled job when it is due.
    fn due(&self) -> BoxFuture<'_, Option<Self::Order>>;
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

/// The actor. Gauges: `busy`, `jobs`, `crashes`, and those of [`Progress`].
pub struct BackupActor<J> {
    jobs: Arc<J>,
    progress: Progress,
    busy: Gauge,
    done: Gauge,
    crashes: Gauge,
    probe: Probe,
}

impl<J: BackupJobs> BackupActor<J> {
    /// Over `jobs`.
    #[must_use]
    pub fn new(jobs: Arc<J>, probe: &Probe) -> Self {
        let busy = probe.gauge("busy");
        busy.set(0);
        let (done, crashes) = (probe.gauge("jobs"), probe.gauge("crashes"));
        Self { jobs, progress: Progress::of(probe), busy, done, crashes, probe: probe.clone() }
    }

    /// Does `work` unless another job is being done.
    fn begin<T: 'static>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl Future<Output = T> + 'static,
        ended: impl FnOnce(T) + 'static,
    ) {
        self.busy.set(1);
        let guarded = timeout(JOB_WITHIN, AssertUnwindSafe(work).catch_unwind());
        ctx.spawn(guarded.into_actor(self).map(|outcome, actor, _| {
            actor.busy.set(0);
            match outcome {
                Ok(Ok(outcome)) => ended(outcome),
                Ok(Err(_)) | Err(_) => {
                    actor.crashes.add(1);
                    actor.probe.note("a job panicked or did not end in time");
                }
            }
        }));
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.busy.get() != 0 {
            return;
        }
        let (jobs, progress, done) = (Arc::clone(&self.jobs), self.progress.clone(), self.done.clone());
        let look = async move {
            if let Some(order) = jobs.due().await {
                progress.reset();
                jobs.run(order, progress).await;
                done.add(1);
            }
        };
        self.begin(ctx, look, |()| ());
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
        if self.busy.get() != 0 {
            return Err(Busy);
        }
        let (sender, receiver) = oneshot::channel();
        let (jobs, progress, done) = (Arc::clone(&self.jobs), self.progress.clone(), self.done.clone());
        progress.reset();
        let job = async move { jobs.run(order, progress).await };
        self.begin(ctx, job, move |outcome| {
            done.add(1);
            // Nobody may be waiting any more.
            let _ = sender.send(outcome);
        });
        Ok(receiver)
    }
}
