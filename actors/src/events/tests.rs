use chrono::{DateTime, SubsecRound, Utc};
use proptest::prelude::*;

use super::*;
use crate::kernel::{
    Actor, AdminId, AutopayId, EventId, OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Reason, Source,
    SubscriptionId, SubscriptionStatus, TxnId, UserId,
};

fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..4_000_000_000, 0_u32..1_000_000)
        .prop_map(|(seconds, micros)| DateTime::from_timestamp(seconds, micros * 1000).unwrap())
}

fn phone() -> impl Strategy<Value = PhoneNumber> {
    (916_000_000_000_i64..=919_999_999_999).prop_map(|digits| PhoneNumber::from_e164(digits).unwrap())
}

fn amount() -> impl Strategy<Value = Paise> {
    (0..=Paise::MAX_INPUT.get()).prop_map(Paise::new)
}

fn request() -> impl Strategy<Value = RequestRef> {
    ("\\PC{1,20}", "\\PC{1,20}", "\\PC{1,20}").prop_map(|(partner, source, id)| RequestRef {
        partner: partner.into(),
        source: source.into(),
        id: id.into(),
    })
}

prop_compose! {
    fn recharge()(
        (txn, seq, payer, owner, subscription, plan) in any::<(i64, i64, i64, i64, i64, i64)>(),
        offer in any::<Option<i64>>(),
        to_phone in phone(),
        name in "\\PC{0,40}",
        (price, discount, wallet, gateway, cashback) in (amount(), amount(), amount(), amount(), amount()),
        status in prop::sample::select(SubscriptionStatus::ALL),
        method in prop::sample::select(PaymentMethod::ALL),
        source in prop::sample::select(Source::ALL),
        (valid_from, valid_to, occurred_at) in (moment(), moment(), moment()),
        request in prop::option::of(request()),
    ) -> Event {
        Event::RechargeCompleted(RechargeCompleted {
            txn_id: TxnId(txn),
            wallet_seq: seq,
            user_id: UserId(payer),
            beneficiary_id: UserId(owner),
            to_phone,
            subscription_id: SubscriptionId(subscription),
            subscription_status: status,
            plan_id: PlanId(plan),
            plan_name: name.into(),
            offer_id: offer.map(OfferId),
            price,
            discount,
            wallet_amount: wallet,
            gateway_amount: gateway,
            cashback,
            payment_method: method,
            source,
            valid_from,
            valid_to,
            occurred_at,
            wallet_balance: offer.map(|_| cashback),
            request,
        })
    }
}

prop_compose! {
    fn other()(
        which in 0..12,
        (a, b, c, d) in any::<(i64, i64, i64, i64)>(),
        phone in phone(),
        amount in amount(),
        name in prop::option::of("\\PC{0,40}"),
        flag: bool,
        request in request(),
        code in prop::sample::select(Reason::ALL),
        detail in "\\PC{0,40}",
        (valid_from, valid_to, occurred_at) in (moment(), moment(), moment()),
    ) -> Event {
        let plan_name = name.map(Into::into);
        let (subscription_id, txn_id, user_id, plan_id) = (SubscriptionId(a), TxnId(b), UserId(c), PlanId(d));
        match which {
            0 => Event::WalletToppedUp(WalletToppedUp {
                txn_id, wallet_seq: a, user_id, beneficiary_id: UserId(d), to_phone: phone, amount,
                payment_method: PaymentMethod::Upi, source: Source::WalletTopup, occurred_at,
                wallet_balance: flag.then_some(amount), request: flag.then_some(request),
            }),
            1 => Event::SubscriptionActivated(SubscriptionActivated {
                subscription_id, txn_id, user_id, phone, plan_id, plan_name, valid_from, valid_to, occurred_at,
            }),
            2 => Event::RechargeFailed(CommandFailed { partner_id: user_id, code, detail, occurred_at, request }),
            3 => Event::TopUpFailed(CommandFailed { partner_id: user_id, code, detail, occurred_at, request }),
            6 => Event::WalletClosed(WalletClosed { txn_id, wallet_seq: a, user_id, amount, occurred_at }),
            4 => Event::PartnerFunded(PartnerFunded { txn_id, wallet_seq: a, partner_id: user_id, amount, occurred_at }),
            7 => Event::PaymentFailed(PaymentFailed {
                txn_id, wallet_seq: a, user_id, amount, expired: flag, occurred_at,
            }),
            8 => Event::PaymentRefunded(PaymentRefunded {
                txn_id, wallet_seq: a, user_id, holder_id: UserId(d), refunded_txn_id: TxnId(a), amount,
                to_wallet: flag, complete: !flag, plan_cancelled: flag, admin_id: AdminId(a), occurred_at,
            }),
            5 => Event::SubscriptionExpired(SubscriptionExpired {
                subscription_id, txn_id, user_id, phone, plan_id, plan_name, superseded: flag, valid_to, occurred_at,
            }),
            9 => Event::SubscriptionExpiring(SubscriptionExpiring {
                subscription_id, txn_id, user_id, phone, plan_id, plan_name, valid_to, occurred_at,
            }),
            10 => Event::ReferralRewarded(ReferralRewarded {
                txn_id, wallet_seq: a, reward_id: d, user_id, referred_id: UserId(d), amount, occurred_at,
            }),
            _ => Event::AuditRecorded(AuditRecorded {
                actor: if flag { Actor::Admin(AdminId(a & i64::MAX)) } else { Actor::System },
                role: "Manager".to_owned(), action: "UPDATE_PLAN".to_owned(), service: "plans".to_owned(),
                target: format!("plan/{d}"), status: "success".to_owned(),
                changes: serde_json::json!({ "plan_name": plan_name, "price": c }), occurred_at,
            }),
        }
    }
}

prop_compose! {
    fn autopay()(
        which in 0..4,
        (rule, user, plan, txn) in any::<(i64, i64, i64, i64)>(),
        (phone, amount, tries) in (phone(), amount(), any::<u32>()),
        name in prop::option::of("\\PC{0,40}"),
        reason in prop::option::of(prop::sample::select(Reason::ALL)),
        (due_date, occurred_at, charge_at, later) in (moment(), moment(), moment(), prop::option::of(moment())),
    ) -> Event {
        let about = AutopayFacts {
            autopay_id: AutopayId(rule), user_id: UserId(user), phone, plan_id: PlanId(plan),
            plan_name: name.map(Into::into), due_date, occurred_at,
        };
        match which {
            0 => Event::AutopayDueSoon(AutopayDueSoon { about, amount, charge_at }),
            1 => Event::AutopayCharged(AutopayCharged { about, txn_id: TxnId(txn), amount, next_due_date: later }),
            2 => Event::AutopayFailed(AutopayFailed { about, reason, tries, retry_at: later }),
            _ => Event::AutopayDisabled(AutopayDisabled { about, reason }),
        }
    }
}

proptest! {
    #[test]
    fn events_survive_the_round_trip(event in prop_oneof![recharge(), other(), autopay()]) {
        let data = event.data_json();
        prop_assert_eq!(Event::parse(event.type_name(), &data).unwrap(), event);
    }

    #[test]
    fn moments_are_written_as_chrono_reads_them(at in moment()) {
        #[derive(Serialize)]
        struct Holder(#[serde(with = "wire::moment")] DateTime<Utc>);
        let text = serde_json::to_string(&Holder(at)).unwrap();
        prop_assert_eq!(text, format!("\"{}\"", at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)));
    }
}

#[test]
fn the_data_is_the_documented_json() {
    let at = "2026-01-31T10:00:00.123456Z".parse::<DateTime<Utc>>().unwrap().trunc_subsecs(6);
    let event = Event::WalletToppedUp(WalletToppedUp {
        txn_id: TxnId(7),
        wallet_seq: 3,
        user_id: UserId(1),
        beneficiary_id: UserId(2),
        to_phone: PhoneNumber::parse("9876543210").unwrap(),
        amount: Paise::new(29_900),
        payment_method: PaymentMethod::NetBanking,
        source: Source::WalletTopup,
        occurred_at: at,
        wallet_balance: None,
        request: None,
    });
    assert_eq!(
        event.data_json(),
        r#"{"txn_id":7,"wallet_seq":3,"user_id":1,"beneficiary_id":2,"to_phone":"+919876543210","amount":"299.00","payment_method":"NetBanking","source":"wallet_topup","occurred_at":"2026-01-31T10:00:00.123456Z"}"#
    );
}

#[test]
fn strange_types_and_data_are_told_apart() {
    assert!(matches!(Event::parse("gencharge.recharge.completed.v9", "{}"), Err(ParseError::UnknownType(_))));
    assert!(matches!(Event::parse(Event::WALLET_TOPPED_UP, "{}"), Err(ParseError::Malformed { .. })));
    assert!(matches!(Event::parse(Event::WALLET_TOPPED_UP, "nonsense"), Err(ParseError::Malformed { .. })));
}

#[test]
fn the_envelope_carries_the_data_unchanged() {
    let at = DateTime::from_timestamp(0, 0).unwrap();
    let event =
        CloudEvent::new(EventId(12), "t.v1", Some("txn/7".to_owned()), at, r#"{"a":"1.00"}"#.to_owned())
            .unwrap();
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(
        text,
        r#"{"specversion":"1.0","id":"12","source":"/gencharge","type":"t.v1","subject":"txn/7","time":"1970-01-01T00:00:00Z","datacontenttype":"application/json","data":{"a":"1.00"}}"#
    );
    let back: CloudEvent = serde_json::from_str(&text).unwrap();
    assert_eq!(back.data.get(), r#"{"a":"1.00"}"#);
    assert!(CloudEvent::new(EventId(1), "t", None, at, "not json".to_owned()).is_err());
}

#[test]
fn every_type_has_a_schema_and_a_version() {
    for name in Event::TYPES {
        assert!(name.starts_with("gencharge.") && name.ends_with(".v1"), "{name}");
        let schema = Event::data_schema(name).unwrap();
        assert_eq!(schema.get("type").unwrap(), "object", "{name}");
    }
    assert!(Event::data_schema("gencharge.recharge.completed.v9").is_none());
}
