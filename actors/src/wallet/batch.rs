//! One batch, from what it touches to its answers, with its retries.

use std::borrow::Cow;
use std::time::Duration;

use super::command::{Done, KeyOrigin, Order, Refusal};
use super::decide::{Limits, decide};
use super::state::Touch;
use super::store::{StoreError, WalletStore};
use super::writes::Writes;
use crate::kernel::{Digest128, Random};

/// Batches for which keys are looked up after one was seen twice, and at first.
const WATCHFUL: u32 = 500;

/// Whether clients' keys are looked up before their orders are decided.
///
/// A client's key is written with whatever is decided under it, so its unique index refuses a second decision anyway: the
/// batch is then rolled back and decided again with the keys looked up. That costs much, a look-up little; so look-ups
/// stop only while nobody repeats anything. Keys made here are always looked up: rejections are not written under them.
#[derive(Clone, Copy, Debug)]
pub struct KeyWatch {
    batches_left: u32,
}

impl Default for KeyWatch {
    fn default() -> Self {
        Self { batches_left: WATCHFUL }
    }
}

impl KeyWatch {
    /// One that looks up for `batches` more batches.
    #[cfg(test)]
    pub(super) const fn of(batches: u32) -> Self {
        Self { batches_left: batches }
    }

    /// The keys of `orders` that the next batch looks up. True for `again` after its first try.
    fn keys(self, orders: &[Order], again: bool) -> impl Iterator<Item = Digest128> + '_ {
        let all = again || self.batches_left > 0;
        let keys = orders.iter().map(|order| order.key);
        keys.filter(move |key| all || key.origin == KeyOrigin::Internal).map(|key| key.key)
    }

    /// A batch ended: `repeats` when a key was seen twice or might have been.
    fn saw(&mut self, repeats: bool) {
        self.batches_left = if repeats { WATCHFUL } else { self.batches_left.saturating_sub(1) };
    }
}

/// How long and how often a batch is tried.
#[derive(Clone, Copy, Debug)]
pub struct RetryLimits {
    /// Tries in all; at least 1.
    pub tries: u32,
    /// The longest pause before the second try; it doubles for each further one.
    pub pause: Duration,
    /// One try may take this long; then its connection is given up and its outcome counts as unknown.
    pub patience: Duration,
    /// No further try begins later than this after the first.
    pub total: Duration,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self {
            tries: 7,
            pause: Duration::from_millis(20),
            patience: Duration::from_secs(5),
            total: Duration::from_secs(8),
        }
    }
}

/// Decides `orders` and makes it durable. Every order gets its answer, in order.
///
/// After an unknown commit the same orders are tried again: their keys tell whether the first try stands. Only when the
/// tries run out after an unknown commit is the answer [`Refusal::Unknown`]; when no try can have committed it is
/// [`Refusal::Unavailable`].
///
/// An order that must be alone gets a database transaction of its own, in its turn.
pub async fn run_batch<S: WalletStore>(
    store: &mut S,
    orders: &[Order],
    limits: &Limits,
    retry: &RetryLimits,
    watch: &mut KeyWatch,
    random: &dyn Random,
) -> Vec<Result<Done, Refusal>> {
    let mut answers = Vec::with_capacity(orders.len());
    for together in orders.chunk_by(|one, next| !one.command.alone() && !next.command.alone()) {
        answers.extend(run_together(store, together, limits, retry, watch, random).await);
    }
    answers
}

async fn run_together<S: WalletStore>(
    store: &mut S,
    orders: &[Order],
    limits: &Limits,
    retry: &RetryLimits,
    watch: &mut KeyWatch,
    random: &dyn Random,
) -> Vec<Result<Done, Refusal>> {
    let mut touch = Touch::of(orders, watch.keys(orders, false));
    let mut orders = Cow::Borrowed(orders);
    let mut unknown = false;
    let begun = tokio::time::Instant::now();
    for attempt in 0..retry.tries {
        if attempt > 0 {
            pause(retry, attempt, random).await;
            if begun.elapsed() > retry.total {
                break;
            }
            watch.saw(true);
            touch = Touch::of(&orders, watch.keys(&orders, true));
        }
        let mut answers = Vec::new();
        let mut balanced = true;
        let mut decide_once = |loaded, ids: &mut _| {
            let decisions = decide(loaded, &orders, limits, ids);
            answers = decisions.answers;
            balanced = decisions.writes.balanced();
            if balanced { decisions.writes } else { Writes::default() }
        };
        let tried =
            tokio::time::timeout(retry.patience, store.transact(&touch, orders.len(), &mut decide_once))
                .await;
        match tried.unwrap_or(Err(StoreError::Unknown)) {
            Ok(()) if !balanced => {
                tracing::error!(orders = orders.len(), "wallet.batch.unbalanced: refused to write it");
                break;
            }
            Ok(()) => {
                watch.saw(attempt > 0 || answers.iter().any(repeated));
                return answers;
            }
            Err(StoreError::Refused) if orders.len() > 1 => {
                // One of them cannot be written: the others must not suffer for it.
                let mut answers = Vec::with_capacity(orders.len());
                for order in orders.chunks(1) {
                    let alone = Box::pin(run_together(store, order, limits, retry, watch, random)).await;
                    answers.extend(
                        alone.into_iter().map(|answer| if unknown { or_unknown(answer) } else { answer }),
                    );
                }
                return answers;
            }
            // Trying again will not mend it; an earlier unknown try may still stand.
            Err(StoreError::Refused) => break,
            Err(error) => {
                if !error.certainly_aborted() {
                    unknown = true;
                    write_every_key(orders.to_mut());
                }
                tracing::warn!(error = %error, attempt, orders = orders.len(), "wallet.batch.retry");
            }
        }
    }
    refuse_all(&orders, if unknown { &Refusal::Unknown } else { &Refusal::Unavailable })
}

/// After an unknown commit every decision is written under its key, rejections too. The keys are looked up before the
/// locks are waited for; if the first try is only being committed then, the second would not see it and could reject what
/// is done. The key's unique index refuses that, and the next try finds the key.
fn write_every_key(orders: &mut [Order]) {
    for order in orders {
        order.key.origin = KeyOrigin::Client;
    }
}

fn repeated(answer: &Result<Done, Refusal>) -> bool {
    match answer {
        Ok(Done { replayed, .. }) | Err(Refusal::Rejected { replayed, .. }) => *replayed,
        Err(refusal) => *refusal == Refusal::KeyReused,
    }
}

/// After an unknown try nothing is certainly not done.
fn or_unknown(answer: Result<Done, Refusal>) -> Result<Done, Refusal> {
    match answer {
        Err(Refusal::Unavailable) => Err(Refusal::Unknown),
        other => other,
    }
}

fn refuse_all(orders: &[Order], refusal: &Refusal) -> Vec<Result<Done, Refusal>> {
    orders.iter().map(|_| Err(refusal.clone())).collect()
}

/// A random part of a pause that doubles: writers that met once do not meet again.
async fn pause(retry: &RetryLimits, attempt: u32, random: &dyn Random) {
    let most = retry.pause.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let drawn = random.below(micros.saturating_add(1));
    tokio::time::sleep(Duration::from_micros(drawn.max(micros / 4))).await;
}
