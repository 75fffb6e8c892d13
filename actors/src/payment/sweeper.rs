//! The actor that ends pending payments whose time is up, and lets the sandbox capture what it captures late.

use std::future::Future;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture, fut::ActorFutureExt};
use futures_util::future::join_all;

use crate::kernel::{Digest128, IdempotencyKey, KeyScope};
use crate::runtime::{self, Gauge, Probe};
use crate::wallet::{
    Command, KeyOrigin, Order, OrderKey, Payment, Refusal, Settle, Settlement, WalletStore, Wallets,
};

/// How often due payments are looked for.
const TICK: Duration = Duration::from_secs(1);

/// Payments settled together.
const CHUNK: u32 = 200;

/// One look may take this long; then it counts as failed and the next tick tries again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The payments that are due could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("due payments cannot be read: {0}")]
pub struct SweepError(pub String);

/// A payment whose time has come, and for what.
#[derive(Clone, Debug)]
pub struct Due {
    /// The payment.
    pub payment: Payment,
    /// Expired, or captured late.
    pub settlement: Settlement,
}

/// Reads what is due.
pub trait SweepStore: Unpin + 'static {
    /// At most `limit` payments that are due.
    ///
    /// # Errors
    /// [`SweepError`].
    fn due(&self, limit: u32) -> impl Future<Output = Result<Vec<Due>, SweepError>>;
}

/// The actor. Several processes may run it: a payment is settled once, by its state under its wallet's lock.
pub struct PaymentSweeper<S, W: WalletStore> {
    store: Option<S>,
    wallets: Wallets<W>,
    settled: Gauge,
    failures: Gauge,
    probe: Probe,
}

impl<S: SweepStore, W: WalletStore> PaymentSweeper<S, W> {
    /// Over `store` and the wallets.
    #[must_use]
    pub fn new(store: S, wallets: Wallets<W>, probe: &Probe) -> Self {
        let (settled, failures) = (probe.gauge("settled"), probe.gauge("failures"));
        Self { store: Some(store), wallets, settled, failures, probe: probe.clone() }
    }
}

impl<S: SweepStore, W: WalletStore> Actor for PaymentSweeper<S, W> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify(Look);
    }
}

impl<S: SweepStore, W: WalletStore> runtime::Lifecycle for PaymentSweeper<S, W> {}

/// Look for due payments, then again after a tick.
struct Look;

impl Message for Look {
    type Result = ();
}

impl<S: SweepStore, W: WalletStore> Handler<Look> for PaymentSweeper<S, W> {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        let Some(store) = self.store.take() else { return };
        let wallets = self.wallets.clone();
        let look = async move {
            let swept = tokio::time::timeout(PATIENCE, sweep(&store, &wallets)).await;
            (store, swept.unwrap_or_else(|_| Err(SweepError("it took too long".to_owned()))))
        };
        ctx.spawn(look.into_actor(self).map(|(store, swept), actor, ctx| {
            actor.store = Some(store);
            match swept {
                Ok(settled) => actor.settled.add(settled),
                Err(error) => {
                    tracing::warn!(error = %error, "payments.sweep_failed");
                    actor.probe.note(&error);
                    actor.failures.add(1);
                }
            }
            ctx.notify_later(Look, TICK);
        }));
    }
}

/// Settles what is due; answers how many were.
async fn sweep<S: SweepStore, W: WalletStore>(store: &S, wallets: &Wallets<W>) -> Result<u64, SweepError> {
    let due = store.due(CHUNK).await?;
    let orders = due.into_iter().filter_map(|due| {
        let word = due.settlement.as_str();
        let key =
            IdempotencyKey::try_from(format!("{word}-{}", due.payment.payment_id.get()).as_str()).ok()?;
        let key = OrderKey {
            key: Digest128::of_key(KeyScope::System("payments"), &key),
            request: Digest128::of_request("SWEEP", "/payments", word.as_bytes()),
            origin: KeyOrigin::Internal,
        };
        let settle = Settle { payment: due.payment, settlement: due.settlement };
        Some(Order { command: Command::Settle(Box::new(settle)), key, asked: None })
    });
    let mut settled: u64 = 0;
    for answer in join_all(orders.map(|order| wallets.submit(order))).await {
        match answer {
            Ok(_) => settled = settled.saturating_add(1),
            // Somebody else was faster.
            Err(Refusal::Rejected { .. } | Refusal::KeyReused) => {}
            Err(refusal) => return Err(SweepError(format!("the wallets are away: {refusal:?}"))),
        }
    }
    Ok(settled)
}
