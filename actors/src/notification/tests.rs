use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;
use crate::events::{Event, RechargeCompleted, RequestRef, SubscriptionExpiring, WalletToppedUp};
use crate::kernel::{
    EventId, Paise, PaymentMethod, PhoneNumber, PlanId, Source, SubscriptionId, SubscriptionStatus, TxnId,
    UserId,
};
use crate::relay::{ParsedBatch, ParsedEvent, Recharges};

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_769_853_600, 0).unwrap()
}

fn phone() -> PhoneNumber {
    PhoneNumber::parse("9876543210").unwrap()
}

fn recharge(event_id: i64, payer: i64, owner: i64) -> ParsedEvent {
    let event = Event::RechargeCompleted(RechargeCompleted {
        txn_id: TxnId(event_id),
        wallet_seq: 1,
        user_id: UserId(payer),
        beneficiary_id: UserId(owner),
        to_phone: phone(),
        subscription_id: SubscriptionId(9),
        subscription_status: SubscriptionStatus::Active,
        plan_id: PlanId(4),
        plan_name: "Value 299".into(),
        offer_id: None,
        price: Paise::new(29_900),
        discount: Paise::new(5_000),
        wallet_amount: Paise::new(20_000),
        gateway_amount: Paise::new(4_900),
        cashback: Paise::ZERO,
        payment_method: PaymentMethod::Upi,
        source: Source::Recharge,
        valid_from: at(),
        valid_to: at(),
        occurred_at: at(),
        wallet_balance: None,
        request: None,
    });
    ParsedEvent { event_id: EventId(event_id), event }
}

fn batch(batch_id: i64, events: Vec<ParsedEvent>) -> ParsedBatch {
    let recharges = Recharges::of(&events);
    ParsedBatch { batch_id, created_at: at(), again: false, recharges, leads: true, events }
}

fn rules() -> Rules {
    let day = Arc::new(|at: DateTime<Utc>| at.date_naive());
    Rules { language: Language::English, low_balance: Paise::new(5_000), day }
}

fn notices_in(batch: &ParsedBatch) -> Vec<Notice> {
    notices_of(batch, &rules(), &HashMap::new())
}

fn to(notices: &[Notice], recipient: Recipient) -> Vec<&str> {
    notices.iter().filter(|notice| notice.recipient == recipient).map(|notice| &*notice.description).collect()
}

#[test]
fn a_recharge_tells_payer_owner_and_administrators() {
    let notices = notices_in(&batch(1, vec![recharge(10, 5, 6)]));
    assert_eq!(
        to(&notices, Recipient::User(UserId(5))),
        ["Recharge successful: Value 299 for 9876543210, Rs 249.00 paid. It is active now."]
    );
    assert_eq!(
        to(&notices, Recipient::User(UserId(6))),
        ["Your number 9876543210 was recharged with Value 299. It is active now."]
    );
    assert_eq!(to(&notices, Recipient::AllAdmins), ["New subscription: Value 299 for Rs 249.00"]);
    assert_eq!(notices.len(), 3);
    assert_eq!(notices_in(&batch(1, vec![recharge(10, 5, 5)])).len(), 2, "one's own number: told once");
}

#[test]
fn a_top_up_for_another_tells_both() {
    let event = Event::WalletToppedUp(WalletToppedUp {
        txn_id: TxnId(1),
        wallet_seq: 1,
        user_id: UserId(5),
        beneficiary_id: UserId(6),
        to_phone: phone(),
        amount: Paise::new(10_000),
        payment_method: PaymentMethod::Card,
        source: Source::WalletTopup,
        occurred_at: at(),
        wallet_balance: None,
        request: None,
    });
    let notices = notices_in(&batch(1, vec![ParsedEvent { event_id: EventId(1), event }]));
    assert_eq!(
        to(&notices, Recipient::User(UserId(5))),
        ["Top-up successful: Rs 100.00 added to the wallet of 9876543210."]
    );
    assert_eq!(
        to(&notices, Recipient::User(UserId(6))),
        ["Rs 100.00 added to your wallet by another customer."]
    );
}

#[test]
fn many_recharges_are_one_notice_to_administrators() {
    let few = i64::try_from(DIGEST_ABOVE).unwrap();
    let some = notices_in(&batch(1, (1..=few).map(|id| recharge(id, 5, 5)).collect()));
    assert_eq!(to(&some, Recipient::AllAdmins).len(), DIGEST_ABOVE);
    let many = notices_in(&batch(1, (1..=few + 1).map(|id| recharge(id, 5, 5)).collect()));
    assert_eq!(to(&many, Recipient::AllAdmins), ["6 new subscriptions for Rs 1494.00"]);
    let about: serde_json::Value = serde_json::from_str(&many.last().unwrap().attachments).unwrap();
    assert_eq!(about["first_txn_id"], 1);
    assert_eq!(about["last_txn_id"], 6);
}

proptest! {
    #[test]
    fn ids_are_the_same_at_every_delivery_and_unique(
        batch_id in 1..1_i64 << 50,
        first in 1..1_i64 << 50,
        payers in prop::collection::vec((1..5_i64, 1..5_i64), 1..20),
    ) {
        let events: Vec<_> =
            (first..).zip(&payers).map(|(id, (payer, owner))| recharge(id, *payer, *owner)).collect();
        let once = notices_in(&batch(batch_id, events.clone()));
        let again = notices_in(&ParsedBatch { again: true, ..batch(batch_id, events) });
        prop_assert_eq!(&once, &again);
        let ids: HashSet<_> = once.iter().map(|notice| notice.id.to_string()).collect();
        prop_assert_eq!(ids.len(), once.len());
        for id in ids {
            prop_assert!(id.len() == 24 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
        }
    }
}

#[test]
fn a_batch_that_arrives_in_parts_tells_the_same_as_a_whole_one() {
    let whole = batch(7, (0..20).map(|number| recharge(number, number, number + number % 2)).collect());
    let mut told = Vec::new();
    for (index, part) in whole.events.chunks(3).enumerate() {
        let count_only = Recharges { count: whole.recharges.count, ..Recharges::default() };
        let recharges = if index == 0 { whole.recharges } else { count_only };
        let part = ParsedBatch { recharges, leads: index == 0, events: part.to_vec(), ..whole };
        told.extend(notices_in(&part));
    }
    let by_id = |notices: Vec<Notice>| -> std::collections::HashMap<_, _> {
        notices.into_iter().map(|notice| (notice.id, notice)).collect()
    };
    assert_eq!(by_id(told), by_id(notices_in(&whole)));
}

#[test]
fn a_partners_recharge_tells_the_owner_and_administrators() {
    let mut parsed = recharge(10, 5, 6);
    let request = RequestRef { partner: "acme".into(), source: "/acme".into(), id: "1".into() };
    parsed.event.answers(&request);
    let notices = notices_in(&batch(1, vec![parsed]));
    assert_eq!(to(&notices, Recipient::User(UserId(5))).len(), 0, "a partner is told by message");
    assert_eq!(to(&notices, Recipient::User(UserId(6))).len(), 1);
    assert_eq!(to(&notices, Recipient::AllAdmins).len(), 1);
}

#[test]
fn wishes_decide_what_is_told_and_in_which_language() {
    let whole = batch(1, vec![recharge(10, 5, 5)]);
    let with = |wishes: Wishes| notices_of(&whole, &rules(), &HashMap::from([(UserId(5), wishes)]));
    let own = |notices: &[Notice]| {
        notices
            .iter()
            .filter(|notice| notice.recipient == Recipient::User(UserId(5)))
            .cloned()
            .collect::<Vec<_>>()
    };
    let usual = own(&notices_in(&whole));
    assert_eq!((usual.len(), usual[0].channels), (1, Channels::ALL));
    assert!(own(&with(Wishes { transactions: false, ..Wishes::default() })).is_empty());
    let quiet = own(&with(Wishes { sms: false, email: false, ..Wishes::default() }));
    assert_eq!(quiet[0].channels, Channels::NONE);
    let hindi = own(&with(Wishes { language: Some(Language::Hindi), ..Wishes::default() }));
    assert_eq!(
        hindi[0].description,
        "रिचार्ज सफल: 9876543210 के लिए Value 299, रु 249.00 का भुगतान हुआ। यह अब चालू है।"
    );
    assert_eq!(hindi[0].id, usual[0].id);
}

#[test]
fn a_plan_about_to_end_is_told_three_times_unless_not_wished_for() {
    let event = Event::SubscriptionExpiring(SubscriptionExpiring {
        subscription_id: SubscriptionId(9),
        txn_id: TxnId(8),
        user_id: UserId(5),
        phone: phone(),
        plan_id: PlanId(4),
        plan_name: None,
        valid_to: at(),
        occurred_at: at(),
    });
    let whole = batch(1, vec![ParsedEvent { event_id: EventId(1), event }]);
    let with = |wishes| notices_of(&whole, &rules(), &HashMap::from([(UserId(5), wishes)]));
    let kinds = |notices: &[Notice]| notices.iter().map(|it| (it.kind, it.channels)).collect::<Vec<_>>();
    let message = (NoticeKind::Message, Channels::SMS);
    let email = (NoticeKind::Email, Channels::EMAIL);
    let listed = (NoticeKind::InApp, Channels::NONE);
    assert_eq!(kinds(&notices_in(&whole)), [message, email, listed]);
    assert_eq!(
        notices_in(&whole)[0].description,
        "Your plan on 9876543210 ends on 31-01-2026. Recharge to stay connected."
    );
    assert_eq!(kinds(&with(Wishes { sms: false, ..Wishes::default() })), [email, listed]);
    assert!(with(Wishes { reminders: false, ..Wishes::default() }).is_empty());
}

#[test]
fn a_wallet_is_low_once_when_it_falls_below() {
    let low = |balance: i64, spent: i64| {
        let mut parsed = recharge(10, 5, 5);
        if let Event::RechargeCompleted(it) = &mut parsed.event {
            (it.wallet_balance, it.wallet_amount) = (Some(Paise::new(balance)), Paise::new(spent));
        }
        let told = notices_in(&batch(1, vec![parsed]));
        told.iter().any(|notice| notice.description.starts_with("Your wallet holds Rs "))
    };
    assert!(low(4_999, 20_000) && low(0, 5_000));
    assert!(!low(5_000, 20_000), "not below");
    assert!(!low(1_000, 3_000), "it was below before");
    assert!(!low(1_000, 0), "the gateway paid");
}
