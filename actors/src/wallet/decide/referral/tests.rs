use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use crate::catalogue::{Catalogue, Conditions, Offer, Plan, Reward, Rewards};
use crate::events::Event;
use crate::kernel::{
    AccountStatus, Digest128, OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Source, UserId, UserType,
};
use crate::payment::PaymentRules;
use crate::wallet::{
    Command, IdBlock, Ids, KeyOrigin, Limits, LineState, Loaded, Order, OrderKey, Payer, Recharge, Referral,
    WalletState, Writes, decide,
};

const REFERRER: UserId = UserId(1);
const REWARD: Paise = Paise::new(5_000);
const START: Paise = Paise::new(100_000);
/// Brought by the referrer; the last one by nobody.
const BUYERS: i64 = 4;

fn phone(user: i64) -> PhoneNumber {
    PhoneNumber::from_e164(919_000_000_000 + user).unwrap()
}

/// One plan of 10 rupees; one offer makes it free, one costs nothing after its cashback, one halves it.
fn catalogue() -> Catalogue {
    let rupees = |rupees: i64| Some(Reward::Flat(Paise::from_rupees(rupees).unwrap()));
    let plan = Plan {
        id: PlanId(1),
        name: "plan".to_owned(),
        plan_type: UserType::Prepaid,
        group_name: None,
        price: Paise::from_rupees(10).unwrap(),
        validity_days: Some(1),
        active: true,
        conditions: Conditions::default(),
    };
    let offer = |id, discount, cashback| Offer {
        id: OfferId(id),
        name: "offer".to_owned(),
        active: true,
        created_at: DateTime::UNIX_EPOCH,
        validity_days: None,
        conditions: Conditions::default(),
        rewards: Rewards { discount, cashback, extra_data: None },
        max_uses_per_user: None,
    };
    let offers = [offer(1, rupees(10), None), offer(2, None, rupees(10)), offer(3, rupees(5), None)];
    Catalogue {
        epoch: 1,
        plans: [(plan.id, plan)].into(),
        offers: offers.into_iter().map(|offer| (offer.id, offer)).collect(),
    }
}

fn loaded(status: AccountStatus, earned: i64) -> Loaded {
    let wallet = |status| WalletState { balance: START, seq: 0, transactions: 0, recharges: 0, status };
    let line = |user| LineState {
        owner: UserId(user),
        user_type: Some(UserType::Prepaid),
        active: None,
        tail_valid_to: None,
        queued: 0,
        gifts: 0,
    };
    let users = 1..=1 + BUYERS;
    let mut wallets: HashMap<_, _> =
        users.clone().map(|user| (UserId(user).into(), wallet(AccountStatus::Active))).collect();
    wallets.insert(REFERRER.into(), wallet(status));
    let brought = (2..=BUYERS)
        .map(|user| (UserId(user), Referral { referrer: REFERRER, reward: Some((100 + user, REWARD)) }));
    Loaded {
        now: DateTime::UNIX_EPOCH,
        wallets,
        lines: users.map(|user| (phone(user), line(user))).collect(),
        keys: HashMap::new(),
        offer_uses: HashMap::new(),
        payments: HashMap::new(),
        refunds: HashMap::new(),
        referrals: brought.collect(),
        rewards_earned: HashMap::from([(REFERRER, earned)]),
        catalogue: Arc::new(catalogue()),
    }
}

fn recharge(number: usize, user: i64, offer: Option<i64>) -> Order {
    let payer = Payer { user: UserId(user), phone: Some(phone(user)) };
    let command = Command::Recharge(Recharge {
        payer,
        number: phone(user),
        plan: PlanId(1),
        offer: offer.map(OfferId),
        method: PaymentMethod::Wallet,
        wallet_amount: None,
        mode: None,
        source: Source::Recharge,
    });
    let number = Digest128(u128::try_from(number).unwrap());
    let key = OrderKey { key: number, request: number, origin: KeyOrigin::Client };
    Order { command, key, asked: None }
}

fn decided(status: AccountStatus, earned: i64, max: Option<i64>, orders: &[(i64, Option<i64>)]) -> Writes {
    let payments = PaymentRules { ttl: TimeDelta::minutes(15), ..PaymentRules::default() };
    let limits = Limits {
        max_queued: 100,
        max_top_up: Paise::new(1),
        max_balance: Some(Paise::new(1)),
        max_rewards: max,
        payments,
    };
    let block = || IdBlock::new(1, 1_000);
    let mut ids = Ids { transactions: block(), subscriptions: block(), events: block() };
    let orders: Vec<Order> =
        orders.iter().enumerate().map(|(number, (user, offer))| recharge(number, *user, *offer)).collect();
    let decisions = decide(loaded(status, earned), &orders, &limits, &mut ids);
    assert!(decisions.answers.iter().all(Result::is_ok));
    assert!(decisions.writes.balanced());
    decisions.writes
}

fn rewards(writes: &Writes) -> usize {
    writes.transactions.iter().filter(|txn| txn.source == Source::ReferralReward).count()
}

proptest! {
    /// Whoever pays first, and for whatever: each of the referrer's customers brings one reward with the first recharge that
    /// costs anything, until the referrer has as many as one may earn.
    #[test]
    fn a_reward_comes_with_the_first_paid_recharge_once(
        orders in prop::collection::vec((2..=1 + BUYERS, prop::option::of(1_i64..=3)), 0..40),
        earned in 0_i64..4,
        max in prop::option::of(0_i64..6),
        active in prop::bool::weighted(0.8),
    ) {
        let status = if active { AccountStatus::Active } else { AccountStatus::Blocked };
        let writes = decided(status, earned, max, &orders);
        let mut payers: Vec<i64> = orders.iter()
            .filter(|(user, offer)| *user <= BUYERS && matches!(offer, None | Some(3)))
            .map(|(user, _)| *user).collect();
        payers.sort_unstable();
        payers.dedup();
        let room = max.map_or(usize::MAX, |max| usize::try_from(max - earned).unwrap_or(0));
        let expected = if active { payers.len().min(room) } else { 0 };
        let mut ended: Vec<i64> = writes.referrals.iter().map(|ended| ended.referred.get()).collect();
        ended.sort_unstable();
        prop_assert_eq!(ended, payers, "each referral ends once, with a paid recharge");
        prop_assert_eq!(writes.referrals.iter().filter(|ended| ended.txn_id.is_some()).count(), expected);
        prop_assert_eq!(rewards(&writes), expected);
        let balance = writes.wallets.get(&REFERRER.into()).map_or(START, |wallet| wallet.balance);
        prop_assert_eq!(balance.get(), START.get() + REWARD.get() * i64::try_from(expected).unwrap());
        let told = writes.events.iter().filter(|event| matches!(event.event, Event::ReferralRewarded(_))).count();
        prop_assert_eq!(told, expected);
    }
}

#[test]
fn the_reward_says_whom_it_is_for_and_why() {
    let writes = decided(AccountStatus::Active, 0, None, &[(2, None)]);
    let reward = writes.transactions.iter().find(|txn| txn.source == Source::ReferralReward).unwrap();
    assert_eq!((reward.user_id, reward.amount, reward.wallet_seq), (REFERRER, REWARD, 1));
    assert_eq!((reward.from_phone, reward.to_phone), (None, Some(phone(1))));
    assert_eq!(reward.payment_transaction_id.as_deref(), Some("REWARD_102"));
    let event = writes.events.iter().find_map(|event| match &event.event {
        Event::ReferralRewarded(it) => Some(it),
        _ => None,
    });
    let event = event.unwrap();
    assert_eq!((event.user_id, event.referred_id, event.amount), (REFERRER, UserId(2), REWARD));
    assert_eq!(event.txn_id, reward.txn_id);
}

/// The flag in the customer's wallet outlives a reward that lapsed: the first paid recharge takes it away.
#[test]
fn a_reward_that_lapsed_before_is_not_paid() {
    let mut loaded = loaded(AccountStatus::Active, 0);
    loaded.referrals.insert(UserId(2), Referral { referrer: REFERRER, reward: None });
    let limits = Limits {
        max_queued: 1,
        max_top_up: Paise::new(1),
        max_balance: None,
        max_rewards: None,
        payments: PaymentRules::default(),
    };
    let block = || IdBlock::new(1, 10);
    let mut ids = Ids { transactions: block(), subscriptions: block(), events: block() };
    let writes = decide(loaded, &[recharge(1, 2, None)], &limits, &mut ids).writes;
    assert_eq!(rewards(&writes), 0);
    assert_eq!((writes.referrals[0].reward_id, writes.referrals[0].txn_id), (None, None));
}
