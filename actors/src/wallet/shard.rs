//! The wallet actor: it owns the commits of the payers whose wallets hash to it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture, fut::ActorFutureExt};

use super::batch::{KeyWatch, RetryLimits, run_batch};
use super::command::{Done, Order, Refusal};
use super::decide::Limits;
use super::store::WalletStore;
use crate::kernel::Random;
use crate::runtime::{
    self, AskError, Gauge, Handle, Later, Lifecycle, Probe, Reply, Spec, StartError, Universe, later,
};

/// The most orders in one batch.
const BATCH: usize = 256;

/// Longer than all tries of one batch: 8 s until the last begins, 5 s for it, and some of the batch before.
const ASK_DEADLINE: Duration = Duration::from_secs(20);

/// Makes a shard's store: called for the first life and after every crash.
pub trait ShardFactory<S>: Fn() -> S + Send + Clone + 'static {}
impl<S, F: Fn() -> S + Send + Clone + 'static> ShardFactory<S> for F {}

/// What the shards are told by the settings.
#[derive(Clone)]
pub struct WalletSettings {
    /// How many shards.
    pub shards: usize,
    /// Orders that may wait for one shard; one more is refused as [`Refusal::Overloaded`].
    pub mailbox: usize,
    /// The rules' bounds.
    pub limits: Limits,
    /// Tries of a batch.
    pub retry: RetryLimits,
    /// For the pauses between tries.
    pub random: Arc<dyn Random>,
    /// Called after a batch that may have left events in the outbox.
    pub committed: Arc<dyn Fn() + Send + Sync>,
}

/// A wallet shard.
pub struct Shard<S> {
    store: Option<S>,
    watch: KeyWatch,
    settings: WalletSettings,
    pile: Vec<(Order, Reply<Result<Done, Refusal>>)>,
    gauges: Gauges,
}

struct Gauges {
    batches: Gauge,
    orders: Gauge,
    last_batch: Gauge,
    largest_batch: Gauge,
    unknown: Gauge,
    unavailable: Gauge,
}

impl<S: WalletStore> Shard<S> {
    /// A shard over `store`.
    #[must_use]
    pub fn new(store: S, settings: WalletSettings, probe: &Probe) -> Self {
        let gauges = Gauges {
            batches: probe.gauge("batches"),
            orders: probe.gauge("orders"),
            last_batch: probe.gauge("last_batch"),
            largest_batch: probe.gauge("largest_batch"),
            unknown: probe.gauge("unknown"),
            unavailable: probe.gauge("unavailable"),
        };
        Self {
            store: Some(store),
            watch: KeyWatch::default(),
            settings,
            pile: Vec::with_capacity(BATCH),
            gauges,
        }
    }

    fn count(&self, answers: &[Result<Done, Refusal>]) {
        self.gauges.batches.add(1);
        self.gauges.last_batch.set_len(answers.len());
        self.gauges.orders.add_len(answers.len());
        let largest = u64::try_from(answers.len()).unwrap_or(0).max(self.gauges.largest_batch.get());
        self.gauges.largest_batch.set(largest);
        match answers.first() {
            Some(Err(Refusal::Unknown)) => self.gauges.unknown.add(1),
            Some(Err(Refusal::Unavailable)) => self.gauges.unavailable.add(1),
            _ => {}
        }
    }
}

impl<S: WalletStore> Actor for Shard<S> {
    type Context = Context<Self>;
}

/// Everything a shard has accepted is answered, and the runtime waits for answers: nothing else is held.
impl<S: WalletStore> Lifecycle for Shard<S> {
    fn after_turn(&mut self, ctx: &mut Context<Self>) {
        if !self.pile.is_empty() {
            self.commit_pile(ctx);
        }
    }
}

/// An order on its way to its shard.
pub struct Submit(pub Order);

impl Message for Submit {
    type Result = Result<Done, Refusal>;
}

impl<S: WalletStore> Handler<Submit> for Shard<S> {
    type Result = Later<Result<Done, Refusal>>;

    fn handle(&mut self, Submit(order): Submit, _: &mut Context<Self>) -> Self::Result {
        let (answer, reply) = later();
        self.pile.push((order, reply));
        answer
    }
}

impl<S: WalletStore> Shard<S> {
    /// Commits what is on the pile. The mailbox is not read meanwhile: there the next batch forms.
    fn commit_pile(&mut self, ctx: &mut Context<Self>) {
        let Some(mut store) = self.store.take() else { return };
        let (orders, replies): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pile).into_iter().unzip();
        let (settings, mut watch) = (self.settings.clone(), self.watch);
        let batch = async move {
            let WalletSettings { limits, retry, random, .. } = &settings;
            let answers = run_batch(&mut store, &orders, limits, retry, &mut watch, &**random).await;
            (store, watch, answers)
        };
        ctx.wait(batch.into_actor(self).map(|(store, watch, answers), shard, _| {
            shard.store = Some(store);
            shard.watch = watch;
            shard.count(&answers);
            (shard.settings.committed)();
            for (reply, answer) in replies.into_iter().zip(answers) {
                reply.send(answer);
            }
        }));
    }
}

/// The way to all wallets, for HTTP handlers, consumers and schedulers. Cheap to clone.
pub struct Wallets<S: WalletStore> {
    shards: Arc<[Handle<Shard<S>>]>,
}

impl<S: WalletStore> Clone for Wallets<S> {
    fn clone(&self) -> Self {
        Self { shards: Arc::clone(&self.shards) }
    }
}

impl<S: WalletStore> Wallets<S> {
    /// Starts the shards under supervision.
    ///
    /// # Errors
    /// [`StartError`] when an actor cannot be started.
    pub fn start(
        universe: &Universe,
        settings: &WalletSettings,
        store: impl ShardFactory<S>,
    ) -> Result<Self, StartError> {
        let shards = (0..settings.shards.max(1)).map(|index| {
            let limits =
                runtime::Limits { mailbox: settings.mailbox, turn: BATCH, ..runtime::Limits::default() };
            let (store, settings) = (store.clone(), settings.clone());
            let spec = Spec::new(format!("wallet-{index}")).limits(limits);
            universe.supervise(spec, move |probe| Shard::new(store(), settings.clone(), probe))
        });
        Ok(Self { shards: shards.collect::<Result<_, _>>()? })
    }

    /// Has `order` decided and committed by its payer's shard.
    ///
    /// # Errors
    /// [`Refusal`]; only [`Refusal::Unknown`] leaves open whether it was done.
    pub async fn submit(&self, order: Order) -> Result<Done, Refusal> {
        let payer = order.command.payer().user.get().unsigned_abs();
        let count = u64::try_from(self.shards.len()).unwrap_or(1);
        let index = usize::try_from(payer.checked_rem(count).unwrap_or(0)).unwrap_or(0);
        let shard = self.shards.get(index).ok_or(Refusal::Unavailable)?;
        match shard.ask(Submit(order), ASK_DEADLINE).await {
            Ok(answer) => answer,
            Err(AskError::Full | AskError::Late) => Err(Refusal::Overloaded),
            Err(AskError::Down) => Err(Refusal::Unavailable),
            Err(AskError::Unknown) => Err(Refusal::Unknown),
        }
    }
}
