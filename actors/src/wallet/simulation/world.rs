//! A database in memory that behaves like the real one where it matters, and misbehaves on command.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use chrono::{DateTime, Utc};

use crate::catalogue::Catalogue;
use crate::events::{Event, RequestRef};
use crate::kernel::{
    AccountId, Category, Clock, Digest128, ManualClock, Paise, PaymentState, PhoneNumber, Random,
    SeededRandom, Source, SubscriptionId, SubscriptionStatus, TxnId, TxnStatus, UserId, WalletId,
};
use crate::wallet::{
    Bought, EndedReferral, IdBlock, Ids, LineState, Loaded, NewPosting, NewRefund, Payment, PaymentStanding,
    Receipt, Referral, RefundStanding, SettledPayment, StoreError, StoredKey, StoredOutcome, Subscription,
    Touch, Transaction, WalletState, WalletStore, Writes,
};

/// The most rewards that one customer earns.
pub const MAX_REWARDS: i64 = 1;

/// What is committed.
#[derive(Default)]
pub struct Db {
    pub opening: BTreeMap<WalletId, Paise>,
    pub wallets: BTreeMap<WalletId, WalletState>,
    pub lines: BTreeMap<PhoneNumber, LineState>,
    pub subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub transactions: BTreeMap<TxnId, Transaction>,
    pub postings: Vec<NewPosting>,
    pub keys: HashMap<Digest128, StoredKey>,
    pub events: BTreeMap<i64, Option<TxnId>>,
    /// The messages that events answer.
    pub answered: Vec<RequestRef>,
    pub payments: BTreeMap<TxnId, (Payment, PaymentStanding)>,
    pub settled: BTreeMap<TxnId, Vec<SettledPayment>>,
    pub refunds: Vec<NewRefund>,
    /// Who was brought by whom, and the reward, until it ends.
    pub referrals: BTreeMap<UserId, Referral>,
    pub ended: Vec<(EndedReferral, Referral)>,
    pub catalogue: Arc<Catalogue>,
    pub next_id: i64,
}

impl Db {
    /// Brings lines up to date: what has run out expires, what is due starts.
    fn advance(&mut self, phones: &[PhoneNumber], now: DateTime<Utc>) {
        for phone in phones {
            let Some(line) = self.lines.get_mut(phone) else { continue };
            let mut own: Vec<&mut Subscription> =
                self.subscriptions.values_mut().filter(|sub| sub.phone == *phone).collect();
            for sub in &mut own {
                if sub.status != SubscriptionStatus::Expired && sub.valid_to <= now {
                    sub.status = SubscriptionStatus::Expired;
                }
                if sub.status == SubscriptionStatus::Queued && sub.valid_from <= now {
                    sub.status = SubscriptionStatus::Active;
                }
            }
            let active = own.iter().find(|sub| sub.status == SubscriptionStatus::Active);
            line.active = active.map(|sub| (sub.subscription_id, sub.valid_to));
            let queued = own.iter().filter(|sub| sub.status == SubscriptionStatus::Queued);
            line.queued = i32::try_from(queued.clone().count()).unwrap();
            line.tail_valid_to = queued.map(|sub| sub.valid_to).max().or(line.active.map(|(_, end)| end));
        }
    }

    fn apply(&mut self, writes: &Writes) {
        self.wallets.extend(writes.wallets.clone());
        self.lines.extend(writes.lines.clone());
        for old in &writes.expired {
            let sub = self.subscriptions.get_mut(&old.subscription_id).unwrap();
            assert_eq!(sub.status, SubscriptionStatus::Active, "only an active plan can be superseded");
            (sub.status, sub.valid_to) = (SubscriptionStatus::Expired, old.valid_to);
        }
        for (phone, shift) in &writes.shifted {
            let queued =
                |sub: &&mut Subscription| sub.phone == *phone && sub.status == SubscriptionStatus::Queued;
            for sub in self.subscriptions.values_mut().filter(queued) {
                sub.valid_from += shift.by;
                sub.valid_to += shift.by;
            }
        }
        self.apply_payments(writes);
        for txn in &writes.transactions {
            assert!(
                self.transactions.insert(txn.txn_id, txn.clone()).is_none(),
                "a transaction is written once"
            );
        }
        for sub in &writes.subscriptions {
            assert!(self.subscriptions.insert(sub.subscription_id, sub.clone()).is_none());
        }
        self.postings.extend(writes.postings.iter().copied());
        for event in &writes.events {
            assert!(self.events.insert(event.event_id.get(), event.txn_id).is_none());
            self.answered.extend(match &event.event {
                Event::RechargeCompleted(data) => data.request.clone(),
                Event::WalletToppedUp(data) => data.request.clone(),
                Event::RechargeFailed(data) | Event::TopUpFailed(data) => Some(data.request.clone()),
                _ => None,
            });
        }
        for key in &writes.keys {
            let outcome = match &key.outcome {
                Ok((txn, bought)) => StoredOutcome::Done(Box::new(self.receipt(*txn, *bought))),
                Err(rejection) => StoredOutcome::Rejected(rejection.clone()),
            };
            assert!(self.keys.insert(key.key, StoredKey { request: key.request, outcome }).is_none());
        }
    }

    fn apply_payments(&mut self, writes: &Writes) {
        for new in &writes.payments {
            let it = (new.payment.clone(), new.standing);
            assert!(self.payments.insert(new.payment.payment_id, it).is_none(), "a payment is begun once");
        }
        for settled in &writes.settled {
            let (_, standing) = self.payments.get_mut(&settled.payment_id).unwrap();
            let late = settled.state == PaymentState::LateCapture;
            assert_eq!(standing.state == PaymentState::Pending, !late, "a payment ends once, or comes late");
            *standing = PaymentStanding { state: settled.state, txn_id: Some(settled.txn_id) };
            self.settled.entry(settled.payment_id).or_default().push(*settled);
        }
        for cancelled in &writes.cancelled {
            let sub = self.subscriptions.get_mut(&cancelled.subscription_id).unwrap();
            assert_eq!(
                sub.valid_to, cancelled.old_valid_to,
                "the window that was read is the one that stands"
            );
            assert_ne!(sub.status, SubscriptionStatus::Expired, "a plan is cancelled once");
            (sub.status, sub.valid_to) = (SubscriptionStatus::Expired, cancelled.valid_to);
            let behind = |sub: &&mut Subscription| {
                sub.phone == cancelled.phone
                    && sub.status == SubscriptionStatus::Queued
                    && sub.valid_from >= cancelled.old_valid_to
            };
            for sub in self.subscriptions.values_mut().filter(behind) {
                sub.valid_from += cancelled.shift();
                sub.valid_to += cancelled.shift();
            }
        }
        self.refunds.extend(writes.refunds.iter().cloned());
        for ended in &writes.referrals {
            let referral = self.referrals.remove(&ended.referred).expect("a referral ends once");
            self.ended.push((*ended, referral));
        }
    }

    fn receipt(&self, txn: TxnId, bought: Option<Bought>) -> Receipt {
        let Some(transaction) = self.transactions.get(&txn).cloned() else {
            let transaction = self.payments[&txn].0.transaction.clone();
            return Receipt { transaction, subscription: None };
        };
        let subscription = transaction.subscription_id.map(|id| {
            let stored = self.subscriptions[&id].clone();
            let Bought { status, valid_from, valid_to } = bought.expect("a recharge has bought something");
            Subscription { status, valid_from, valid_to, ..stored }
        });
        Receipt { transaction, subscription }
    }

    fn refund_standing(&self, txn: TxnId, plan: Option<SubscriptionId>) -> RefundStanding {
        let before =
            self.refunds.iter().filter(|refund| refund.txn_id == txn).map(|refund| refund.amount.get());
        let plan = plan.and_then(|plan| self.subscriptions.get(&plan));
        RefundStanding {
            refunded: Paise::new(before.sum()),
            plan: plan.map(|sub| (sub.status, sub.valid_from, sub.valid_to)),
        }
    }

    /// Everything that must hold after every commit.
    pub fn check(&self) {
        let mut sums: BTreeMap<TxnId, i64> = self.transactions.keys().map(|txn| (*txn, 0)).collect();
        let mut balances: BTreeMap<AccountId, i64> = BTreeMap::new();
        for (wallet, opening) in &self.opening {
            balances.insert((*wallet).into(), opening.get());
        }
        for posting in &self.postings {
            *sums.get_mut(&posting.txn_id).expect("a posting has its transaction") += posting.amount.get();
            *balances.entry(posting.account).or_default() += posting.amount.get();
        }
        assert!(sums.values().all(|sum| *sum == 0), "postings of a transaction sum to zero");
        for (id, wallet) in &self.wallets {
            assert_eq!(balances[&(*id).into()], wallet.balance.get(), "a wallet equals its postings");
            assert!(!wallet.balance.is_negative(), "a wallet is not negative");
        }
        self.check_lines();
        let told: BTreeSet<TxnId> = self.events.values().copied().flatten().collect();
        for key in self.keys.values() {
            let StoredOutcome::Done(receipt) = &key.outcome else { continue };
            assert!(
                receipt.is_pending() || told.contains(&receipt.transaction.txn_id),
                "an event for each success"
            );
        }
        let services = self.transactions.values().filter(|txn| txn.subscription_id.is_some()).count();
        assert_eq!(services, self.subscriptions.len(), "one subscription for each recharge");
        self.check_payments(&balances);
    }

    fn check_payments(&self, balances: &BTreeMap<AccountId, i64>) {
        for (id, (payment, standing)) in &self.payments {
            let came = match standing.state {
                PaymentState::Captured | PaymentState::LateCapture => payment.amount,
                _ => Paise::ZERO,
            };
            let captured = |txn: &&Transaction| txn.status == TxnStatus::Success;
            let ended = standing.txn_id.map(|txn| &self.transactions[&txn]);
            assert_eq!(ended.is_none(), standing.state == PaymentState::Pending);
            let gateway = ended.filter(captured).map_or(Some(Paise::ZERO), |txn| txn.gateway_amount);
            assert_eq!(gateway, Some(came), "a payment's transaction has what the gateway captured");
            assert!(self.settled.get(id).map_or(0, Vec::len) <= 2);
        }
        let mut refunded: BTreeMap<TxnId, i64> = BTreeMap::new();
        for refund in &self.refunds {
            *refunded.entry(refund.txn_id).or_default() += refund.amount.get();
        }
        for (txn, sum) in refunded {
            assert!(sum <= self.transactions[&txn].amount.get(), "never more is given back than was paid");
        }
        self.check_referrals(balances);
        for (id, wallet) in &self.wallets {
            let seen = |txn: &&Transaction| {
                let received =
                    txn.category == Category::Wallet && txn.beneficiary_id.map(WalletId::from) == Some(*id);
                WalletId::from(txn.user_id) == *id || received
            };
            let seen = i64::try_from(self.transactions.values().filter(seen).count()).unwrap();
            assert_eq!(wallet.transactions, seen, "a wallet counts its owner's transactions");
        }
    }

    fn check_referrals(&self, balances: &BTreeMap<AccountId, i64>) {
        let has_paid = |user: UserId| {
            let paid = |txn: &&Transaction| txn.subscription_id.is_some() && txn.amount.is_positive();
            self.transactions.values().filter(paid).any(|txn| txn.user_id == user)
        };
        assert!(
            self.referrals.keys().all(|user| !has_paid(*user)),
            "the first paid recharge ends a referral"
        );
        let mut earned: BTreeMap<UserId, i64> = BTreeMap::new();
        for (ended, referral) in &self.ended {
            assert!(has_paid(ended.referred), "only a paid recharge ends a referral");
            let Some(txn_id) = ended.txn_id else { continue };
            let txn = &self.transactions[&txn_id];
            assert_eq!((txn.user_id, txn.source), (referral.referrer, Source::ReferralReward));
            assert_eq!(Some((ended.reward_id.unwrap(), txn.amount)), referral.reward);
            *earned.entry(referral.referrer).or_default() += 1;
        }
        assert!(
            earned.values().all(|earned| *earned <= MAX_REWARDS),
            "nobody earns more rewards than allowed"
        );
        let rewards = self.transactions.values().filter(|txn| txn.source == Source::ReferralReward).count();
        let paid = i64::try_from(rewards).unwrap();
        assert_eq!(paid, earned.values().sum::<i64>(), "a reward has one transaction");
        let account = balances.get(&AccountId::REWARDS).copied().unwrap_or(0);
        assert_eq!(account, -5_000 * paid, "a reward is paid once");
    }

    fn check_lines(&self) {
        for (phone, line) in &self.lines {
            let mut own: Vec<&Subscription> = self
                .subscriptions
                .values()
                .filter(|sub| sub.phone == *phone && sub.valid_from < sub.valid_to)
                .collect();
            own.sort_by_key(|sub| (sub.valid_from, sub.valid_to));
            let active = own.iter().filter(|sub| sub.status == SubscriptionStatus::Active).count();
            assert!(active <= 1, "one active plan for a number");
            for pair in own.windows(2) {
                assert!(
                    pair[0].valid_to <= pair[1].valid_from,
                    "windows do not overlap: {:?} {:?}",
                    pair[0],
                    pair[1]
                );
            }
            let queued = own.iter().filter(|sub| sub.status == SubscriptionStatus::Queued).count();
            assert_eq!(line.queued, i32::try_from(queued).unwrap(), "the line counts its queue");
            assert_eq!(line.active.is_some(), active == 1, "the line knows its active plan");
        }
    }
}

/// Which faults happen, in percent of transactions.
#[derive(Clone, Copy)]
pub struct Faults {
    pub conflict: u64,
    pub away: u64,
    pub unknown: u64,
    /// False: writers do not lock. The simulation must notice.
    pub locking: bool,
}

/// The database with its locks and its caprices, shared by all writers.
pub struct World {
    pub db: RefCell<Db>,
    locked_wallets: RefCell<BTreeSet<WalletId>>,
    pub clock: ManualClock,
    pub random: SeededRandom,
    pub faults: Faults,
    /// Commits that the server still carries out after their connection broke.
    stragglers: RefCell<Vec<(u64, Straggler)>>,
}

struct Straggler {
    writes: Writes,
    /// Held until the server is done with it.
    _locks: Locks,
}

/// Locks held by one transaction; dropping it releases them.
struct Locks {
    world: Rc<World>,
    wallets: Vec<WalletId>,
}

impl Drop for Locks {
    fn drop(&mut self) {
        for wallet in &self.wallets {
            self.world.locked_wallets.borrow_mut().remove(wallet);
        }
    }
}

impl World {
    pub fn new(db: Db, clock: ManualClock, seed: u64, faults: Faults) -> Rc<Self> {
        Rc::new(Self {
            db: RefCell::new(db),
            locked_wallets: RefCell::default(),
            clock,
            random: SeededRandom::new(seed),
            faults,
            stragglers: RefCell::default(),
        })
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    /// Lets stragglers come one step closer to their end.
    pub fn step(&self) {
        let waiting = std::mem::take(&mut *self.stragglers.borrow_mut());
        for (steps, straggler) in waiting {
            if steps == 0 {
                self.commit(&straggler.writes);
            } else {
                self.stragglers.borrow_mut().push((steps - 1, straggler));
            }
        }
    }

    pub fn quiet(&self) -> bool {
        self.stragglers.borrow().is_empty()
    }

    /// Commits, unless a unique key is taken.
    fn commit(&self, writes: &Writes) -> bool {
        let mut db = self.db.borrow_mut();
        if writes.keys.iter().any(|key| db.keys.contains_key(&key.key)) {
            return false;
        }
        db.apply(writes);
        db.check();
        true
    }

    async fn yields(&self, most: u64) {
        for _ in 0..self.random.below(most.saturating_add(1)) {
            let mut yielded = false;
            poll_fn(|_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
        }
    }

    async fn lock(self: &Rc<Self>, touch: &Touch) -> Locks {
        let owners = touch
            .numbers
            .iter()
            .filter_map(|phone| self.db.borrow().lines.get(phone).map(|line| WalletId::from(line.owner)));
        let wanted: BTreeSet<WalletId> = touch.wallets.iter().copied().chain(owners).collect();
        let mut locks = Locks { world: Rc::clone(self), wallets: Vec::new() };
        if !self.faults.locking {
            return locks;
        }
        for wallet in wanted {
            poll_fn(|_| ready(self.locked_wallets.borrow_mut().insert(wallet))).await;
            locks.wallets.push(wallet);
            self.yields(1).await;
        }
        locks
    }
}

fn ready(done: bool) -> Poll<()> {
    if done { Poll::Ready(()) } else { Poll::Pending }
}

/// One writer's connection to the world.
pub struct SimStore {
    pub world: Rc<World>,
    pub ids: Ids,
}

/// The batch's buyers who were brought here.
fn referrals<'a>(db: &'a Db, touch: &'a Touch) -> impl Iterator<Item = (UserId, Referral)> + 'a {
    let buyers = touch.buyers.iter().collect::<BTreeSet<_>>().into_iter();
    buyers.filter_map(|buyer| Some((*buyer, *db.referrals.get(buyer)?)))
}

impl SimStore {
    /// Locks what `touch` names, and whoever brought its buyers: what is missing is known only then, so all is locked anew.
    async fn lock(&self, touch: &Touch) -> (Touch, Locks) {
        let mut touch = touch.clone();
        loop {
            let locks = self.world.lock(&touch).await;
            let referrers: Vec<WalletId> = referrals(&self.world.db.borrow(), &touch)
                .map(|(_, referral)| referral.referrer.into())
                .filter(|wallet| !touch.wallets.contains(wallet))
                .collect();
            if referrers.is_empty() {
                return (touch, locks);
            }
            touch = touch.and_wallets(referrers);
        }
    }

    fn fill_ids(&mut self, orders: usize) {
        if !self.ids.enough_for(orders) {
            let mut db = self.world.db.borrow_mut();
            let mut block = || {
                db.next_id += 20;
                IdBlock::new(db.next_id, 20)
            };
            self.ids = Ids { transactions: block(), subscriptions: block(), events: block() };
        }
    }
}

impl WalletStore for SimStore {
    async fn transact<'a>(
        &'a mut self,
        touch: &'a Touch,
        orders: usize,
        decide: &'a mut (dyn FnMut(Loaded, &mut Ids) -> Writes + 'a),
    ) -> Result<(), StoreError> {
        let world = Rc::clone(&self.world);
        world.yields(3).await;
        if world.chance(world.faults.away) {
            return Err(StoreError::Away);
        }
        self.fill_ids(orders);
        // As in READ COMMITTED: the keys are read by the statement's snapshot, the rows after their locks are taken.
        let found = |key: &Digest128| world.db.borrow().keys.get(key).map(|stored| (*key, stored.clone()));
        let keys: HashMap<_, _> = touch.keys.iter().filter_map(found).collect();
        let (touch, locks) = self.lock(touch).await;
        let touch = &touch;
        let now = world.clock.now();
        let loaded = {
            let mut db = world.db.borrow_mut();
            let due = |line: &LineState| line.active.map_or(line.queued > 0, |(_, end)| end <= now);
            let loaded = |phone: &PhoneNumber, line: &LineState| {
                touch.wallets.contains(&line.owner.into()) || touch.numbers.contains(phone)
            };
            let lines = db.lines.iter().filter(|(phone, line)| loaded(phone, line));
            let lines: Vec<_> = lines.map(|(phone, line)| (*phone, due(line))).collect();
            let phones: Vec<_> = lines.iter().filter(|(_, due)| *due).map(|(phone, _)| *phone).collect();
            // Bringing a line up to date is harmless even if this transaction then rolls back: it is only late.
            db.advance(&phones, now);
            Loaded {
                now,
                wallets: db.wallets.iter().map(|(id, wallet)| (*id, wallet.clone())).collect(),
                lines: lines.iter().map(|(phone, _)| (*phone, db.lines[phone].clone())).collect(),
                keys,
                offer_uses: HashMap::new(),
                payments: db.payments.iter().map(|(id, (_, standing))| (*id, *standing)).collect(),
                refunds: touch
                    .refunds
                    .iter()
                    .map(|(txn, plan)| (*txn, db.refund_standing(*txn, *plan)))
                    .collect(),
                referrals: referrals(&db, touch).collect(),
                rewards_earned: db.ended.iter().filter(|(ended, _)| ended.txn_id.is_some()).fold(
                    HashMap::new(),
                    |mut earned, (_, referral)| {
                        *earned.entry(referral.referrer).or_default() += 1;
                        earned
                    },
                ),
                catalogue: Arc::clone(&db.catalogue),
            }
        };
        let writes = decide(loaded, &mut self.ids);
        world.yields(4).await;
        if writes.is_empty() {
            return Ok(());
        }
        if world.chance(world.faults.conflict) {
            return Err(StoreError::Conflict);
        }
        if world.chance(world.faults.unknown) {
            match world.random.below(3) {
                0 => {}
                1 => {
                    world.commit(&writes);
                }
                _ => {
                    let straggler = Straggler { writes, _locks: locks };
                    world.stragglers.borrow_mut().push((world.random.below(40), straggler));
                }
            }
            return Err(StoreError::Unknown);
        }
        if world.commit(&writes) { Ok(()) } else { Err(StoreError::Conflict) }
    }
}
