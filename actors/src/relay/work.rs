//! The relay's work, one cycle at a time: claim, deliver, mark.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{Batch, Bus, ClaimLimits, DeliverError, Held, Outbox, OutboxError};
use crate::kernel::Clock;

/// The bounds of the relay's work.
#[derive(Clone, Copy, Debug)]
pub struct RelaySettings {
    /// How much one cycle takes on.
    pub claim: ClaimLimits,
    /// How long a claim holds. Longer than everything a cycle does together.
    pub lease: Duration,
    /// How long one delivery may take.
    pub deliver_within: Duration,
    /// How long one outbox operation may take.
    pub store_within: Duration,
    /// Failed attempts after which a batch is parked.
    pub max_attempts: u32,
    /// The wait before the second attempt; it doubles with each.
    pub backoff: Duration,
    /// The longest wait between attempts.
    pub backoff_max: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            // Small enough that a cycle's burst does not hold up payments for long: some 10 ms.
            claim: ClaimLimits { batches: 64, events: 1024 },
            lease: Duration::from_secs(60),
            deliver_within: Duration::from_secs(15),
            store_within: Duration::from_secs(10),
            max_attempts: 12,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}

/// What a cycle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    /// Events claimed.
    pub claimed: usize,
    /// Batches delivered and marked.
    pub batches: usize,
    /// Events delivered and marked.
    pub events: usize,
    /// Batches given back for another try.
    pub released: usize,
    /// Batches given back because one receiver holds them up.
    pub held: usize,
    /// Batches parked.
    pub parked: usize,
    /// Age of the oldest batch claimed, when it was claimed.
    pub lag: Duration,
    /// How long it took.
    pub busy: Duration,
    /// No delivery may begin later, as the lease would run out.
    until: Option<Instant>,
}

/// Claims, delivers and marks.
pub struct Relay {
    outbox: Arc<dyn Outbox>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    settings: RelaySettings,
}

impl Relay {
    /// A relay from `outbox` to `bus`.
    #[must_use]
    pub fn new(
        outbox: Arc<dyn Outbox>,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        settings: RelaySettings,
    ) -> Self {
        Self { outbox, bus, clock, settings }
    }

    /// The outbox it empties.
    #[must_use]
    pub fn outbox(&self) -> &Arc<dyn Outbox> {
        &self.outbox
    }

    /// One cycle. Fresh batches are delivered together; batches that failed before go alone, so that a bad one
    /// takes nobody with it.
    ///
    /// # Errors
    /// The outbox is away. What was claimed comes back when its lease runs out.
    pub async fn cycle(&self) -> Result<Cycle, OutboxError> {
        let began = Instant::now();
        let claimed = self.bounded(self.outbox.claim(self.settings.claim, self.settings.lease)).await?;
        let mut cycle =
            Cycle { claimed: claimed.iter().map(|batch| batch.events.len()).sum(), ..Cycle::default() };
        if let Some(oldest) = claimed.iter().map(|batch| batch.created_at).min() {
            cycle.lag = self.clock.now().signed_duration_since(oldest).to_std().unwrap_or_default();
        }
        let (fresh, suspects): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|batch| batch.attempts <= 1);
        cycle.until = Some(began + self.settings.lease.saturating_sub(self.settings.deliver_within));
        if !fresh.is_empty() {
            self.deliver_together(fresh.into(), &mut cycle).await?;
        }
        for suspect in suspects {
            self.deliver_alone(suspect, &mut cycle).await?;
        }
        cycle.busy = began.elapsed();
        Ok(cycle)
    }

    async fn deliver_together(&self, batches: Arc<[Batch]>, cycle: &mut Cycle) -> Result<(), OutboxError> {
        match self.deliver(&batches).await {
            Ok(held) => self.done(&batches, held, cycle).await,
            Err(DeliverError::Refused(_)) if batches.len() > 1 => {
                for batch in batches.iter() {
                    self.deliver_alone(batch.clone(), cycle).await?;
                }
                Ok(())
            }
            Err(error) => self.failed(&batches, error, cycle).await,
        }
    }

    async fn deliver_alone(&self, batch: Batch, cycle: &mut Cycle) -> Result<(), OutboxError> {
        if cycle.until.is_some_and(|until| Instant::now() >= until) {
            // The lease would run out during the delivery: another claim will have time for it.
            cycle.released += 1;
            let text = "the cycle's time was used up";
            return self.bounded(self.outbox.release(&[batch.batch_id], Duration::ZERO, false, text)).await;
        }
        let batches: Arc<[Batch]> = [batch].into();
        match self.deliver(&batches).await {
            Ok(held) => self.done(&batches, held, cycle).await,
            Err(error) => self.failed(&batches, error, cycle).await,
        }
    }

    async fn deliver(&self, batches: &Arc<[Batch]>) -> Result<Option<Held>, DeliverError> {
        timeout(self.settings.deliver_within, self.bus.deliver(Arc::clone(batches)))
            .await
            .unwrap_or_else(|_| Err(DeliverError::Unknown("no answer in time".to_owned())))
    }

    async fn done(
        &self,
        batches: &[Batch],
        held: Option<Held>,
        cycle: &mut Cycle,
    ) -> Result<(), OutboxError> {
        let is_held =
            |batch: &&Batch| held.as_ref().is_some_and(|held| held.batch_ids.contains(&batch.batch_id));
        let (waiting, delivered): (Vec<_>, Vec<_>) = batches.iter().partition(is_held);
        if !delivered.is_empty() {
            let ids: Vec<_> = delivered.iter().map(|batch| batch.batch_id).collect();
            self.bounded(self.outbox.delivered(&ids)).await?;
            cycle.batches += delivered.len();
            cycle.events += delivered.iter().map(|batch| batch.events.len()).sum::<usize>();
        }
        if let Some(held) = held
            && !waiting.is_empty()
        {
            tracing::warn!(
                outbox.batches = waiting.len(),
                error.message = %held.why,
                "outbox batches held up by one receiver; they are tried again, the others go on"
            );
            cycle.held += waiting.len();
            let ids: Vec<_> = waiting.iter().map(|batch| batch.batch_id).collect();
            self.bounded(self.outbox.release(&ids, held.pause, false, &held.why)).await?;
        }
        Ok(())
    }

    async fn failed(
        &self,
        batches: &[Batch],
        error: DeliverError,
        cycle: &mut Cycle,
    ) -> Result<(), OutboxError> {
        let counted = match &error {
            DeliverError::Unavailable(_) => false,
            DeliverError::Refused(_) | DeliverError::Unknown(_) => true,
        };
        let text = error.to_string();
        if let [batch] = batches
            && counted
            && batch.attempts >= self.settings.max_attempts
        {
            tracing::error!(
                outbox.batch_id = batch.batch_id,
                outbox.attempts = batch.attempts,
                error.message = %text,
                "outbox batch parked: nobody can take it; it is kept and will not be tried again by itself"
            );
            cycle.parked += 1;
            return self.bounded(self.outbox.park(batch.batch_id, &text)).await;
        }
        let attempts = batches.iter().map(|batch| batch.attempts).max().unwrap_or(1);
        let pause = self.backoff(attempts);
        tracing::warn!(
            outbox.batches = batches.len(),
            outbox.attempts = attempts,
            error.message = %text,
            "outbox batches not delivered; they are tried again"
        );
        let ids: Vec<_> = batches.iter().map(|batch| batch.batch_id).collect();
        cycle.released += ids.len();
        self.bounded(self.outbox.release(&ids, pause, counted, &text)).await
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        self.settings.backoff.saturating_mul(1 << doublings).min(self.settings.backoff_max)
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
        timeout(self.settings.store_within, work)
            .await
            .unwrap_or_else(|_| Err(OutboxError("no answer in time".to_owned())))
    }
}
