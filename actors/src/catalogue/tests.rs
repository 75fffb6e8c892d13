use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::kernel::{PaymentMethod, Source};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn plan(conditions: Conditions) -> Plan {
    Plan {
        id: PlanId(1),
        name: "2 GB/day 28".to_owned(),
        plan_type: UserType::Prepaid,
        group_name: Some("Unlimited 5G".to_owned()),
        price: Paise::new(34_900),
        validity_days: Some(28),
        active: true,
        conditions,
    }
}

fn offer(criteria: Criteria) -> Offer {
    Offer {
        id: OfferId(1),
        name: "Diwali".to_owned(),
        active: true,
        created_at: at("2026-01-01T00:00:00Z"),
        validity_days: None,
        conditions: criteria.conditions,
        rewards: criteria.rewards,
        max_uses_per_user: criteria.max_uses_per_user,
    }
}

fn buyer() -> Buyer {
    Buyer {
        now: at("2026-01-10T00:00:00Z"),
        number_type: Some(UserType::Prepaid),
        successful_recharges: 0,
        source: Source::Recharge,
        payment_method: PaymentMethod::Wallet,
        offer_uses: 0,
    }
}

fn parsed(text: &str) -> Criteria {
    Criteria::parse(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn faults(text: &str) -> Vec<String> {
    Criteria::parse(text).unwrap_err().into_iter().map(|fault| fault.field).collect()
}

/// Each condition with a text under which `buyer` passes and one under which it fails.
const CONDITIONS: &[(&str, &str, &str)] = &[
    ("valid_from", r#""2026-01-09T23:59:59Z""#, r#""2026-01-10T00:00:01+00:00""#),
    ("valid_to", r#""2026-01-10""#, r#""2026-01-09""#),
    ("min_amount", "349", "349.01"),
    ("user_type", r#"["postpaid", "prepaid"]"#, r#""postpaid""#),
    ("is_new_user", "true", "false"),
    ("first_recharge", "true", "false"),
    ("applicable_sources", r#"["recharge"]"#, r#"["autopay"]"#),
    ("valid_plan_groups", r#"["Unlimited 5G"]"#, r#"["Talktime"]"#),
    ("payment_methods", r#"["UPI", "Wallet"]"#, r#"["UPI"]"#),
];

#[test]
fn every_present_condition_is_necessary() {
    for (failing, _, bad) in CONDITIONS {
        let fields: Vec<_> = CONDITIONS
            .iter()
            .map(|(name, good, _)| format!(r#""{name}": {}"#, if name == failing { bad } else { good }))
            .collect();
        let text = format!(r#"{{"conditions": {{{}}}}}"#, fields.join(", "));
        let criteria = parsed(&text);
        assert_eq!(criteria.conditions.0.len(), CONDITIONS.len());
        assert!(
            matches!(
                quote(&plan(criteria.conditions.clone()), None, &buyer()),
                Err(Refusal::PlanNotEligible { .. })
            ),
            "plan with {failing}"
        );
        assert!(
            matches!(
                quote(&plan(Conditions::default()), Some(&offer(criteria)), &buyer()),
                Err(Refusal::OfferNotEligible { .. })
            ),
            "offer with {failing}"
        );
    }
    let all: Vec<_> = CONDITIONS.iter().map(|(name, good, _)| format!(r#""{name}": {good}"#)).collect();
    let criteria = parsed(&format!(r#"{{"conditions": {{{}}}}}"#, all.join(", ")));
    assert!(quote(&plan(criteria.conditions), None, &buyer()).is_ok());
}

#[test]
fn aliases_and_single_values_equal_the_originals() {
    for (original, alias) in [
        (r#"{"applicable_sources": ["recharge"]}"#, r#"{"source": "recharge"}"#),
        (r#"{"valid_plan_groups": ["A"]}"#, r#"{"plan_group_name": "A"}"#),
        (r#"{"user_type": ["prepaid"]}"#, r#"{"user_type": "prepaid"}"#),
        (r#"{"min_amount": 199}"#, r#"{"min_amount": "199.00"}"#),
        (r#"{"min_amount": 199}"#, r#"{"min_amount": 199.00, "valid_to": null}"#),
    ] {
        assert_eq!(
            parsed(&format!(r#"{{"conditions": {original}}}"#)),
            parsed(&format!(r#"{{"conditions": {alias}}}"#)),
        );
    }
    assert_eq!(
        faults(r#"{"conditions": {"source": "recharge", "applicable_sources": ["autopay"]}}"#),
        ["criteria.conditions.source"]
    );
}

#[test]
fn what_is_no_rule_is_refused_and_benefits_are_not_rules() {
    for none in ["null", "{}", r#"{"conditions": null}"#, r#"{"benefits": {"data": "2 GB"}, "old": 1}"#] {
        assert_eq!(parsed(none), Criteria::default(), "{none}");
    }
    for (text, field) in [
        ("[]", "criteria"),
        ("5", "criteria"),
        ("{", "criteria"),
        (r#"{"benefits": "a\u0000b"}"#, "criteria"),
        (r#"{"benefits": 1e999}"#, "criteria"),
        (r#"{"conditions": []}"#, "criteria.conditions"),
        (r#"{"conditions": {"min_recharge": 99}}"#, "criteria.conditions.min_recharge"),
        (r#"{"conditions": {"min_amount": 1e2}}"#, "criteria.conditions.min_amount"),
        (r#"{"conditions": {"min_amount": -1}}"#, "criteria.conditions.min_amount"),
        (r#"{"conditions": {"min_amount": 1.005}}"#, "criteria.conditions.min_amount"),
        (r#"{"conditions": {"user_type": []}}"#, "criteria.conditions.user_type"),
        (r#"{"conditions": {"user_type": ["both"]}}"#, "criteria.conditions.user_type"),
        (r#"{"conditions": {"is_new_user": "yes"}}"#, "criteria.conditions.is_new_user"),
        (r#"{"conditions": {"valid_from": "soon"}}"#, "criteria.conditions.valid_from"),
        (
            r#"{"conditions": {"valid_from": "2026-02-01", "valid_to": "2026-01-01"}}"#,
            "criteria.conditions.valid_to",
        ),
        (r#"{"conditions": {"max_uses_per_user": 0}}"#, "criteria.conditions.max_uses_per_user"),
        (r#"{"rewards": {"discount_percent": 10}}"#, "criteria.rewards.discount_percent"),
        (r#"{"rewards": {"discount_type": "half", "discount_value": 1}}"#, "criteria.rewards.discount_type"),
        (r#"{"rewards": {"discount_type": "flat"}}"#, "criteria.rewards.discount_value"),
        (
            r#"{"rewards": {"discount_type": "percent", "discount_value": 100.01}}"#,
            "criteria.rewards.discount_value",
        ),
        (r#"{"rewards": {"discount_value": 5, "max_discount": 3}}"#, "criteria.rewards.max_discount"),
        (r#"{"rewards": {"extra_data": ""}}"#, "criteria.rewards.extra_data"),
    ] {
        assert_eq!(faults(text), [field], "{text}");
    }
    let long = format!(r#"{{"benefits": "{}"}}"#, "x".repeat(MAX_CRITERIA_BYTES));
    assert_eq!(faults(&long), ["criteria"]);
    let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
    assert_eq!(faults(&deep), ["criteria"]);
}

#[test]
fn unreadable_rules_never_hold() {
    let refusal = quote(&plan(Conditions::unreadable()), None, &buyer());
    assert_eq!(refusal, Err(Refusal::PlanNotEligible { what: Condition::Unreadable }));
}

#[test]
fn a_quarter_off_up_to_75_rounds_down() {
    let criteria = |most: &str| {
        parsed(&format!(r#"{{"rewards": {{"discount_type": "percent", "discount_value": 12.5{most}}}}}"#))
    };
    let price = |paise| Plan { price: Paise::new(paise), ..plan(Conditions::default()) };
    let discount = |plan: &Plan, criteria| quote(plan, Some(&offer(criteria)), &buyer()).unwrap().discount;
    assert_eq!(discount(&price(34_999), criteria("")), Paise::new(4_374));
    assert_eq!(discount(&price(34_999), criteria(r#", "max_discount": "43.70""#)), Paise::new(4_370));
    let huge = Paise::MAX_INPUT.get();
    assert_eq!(discount(&price(huge), criteria("")), Paise::new(huge / 8));
}

#[test]
fn cashback_counts_what_is_paid_and_extra_data_comes_along() {
    let criteria = parsed(
        r#"{"rewards": {"discount_value": 149, "cashback_type": "percent", "cashback_value": 10, "max_cashback": 15,
            "extra_data": "2GB"}}"#,
    );
    let quoted = quote(&plan(Conditions::default()), Some(&offer(criteria)), &buyer()).unwrap();
    assert_eq!(
        quoted,
        Quote {
            price: Paise::new(34_900),
            discount: Paise::new(14_900),
            payable: Paise::new(20_000),
            cashback: Paise::new(1_500),
            extra_data: Some("2GB".to_owned()),
        }
    );
}

#[test]
fn plans_and_offers_end() {
    let plain = plan(Conditions::default());
    let good = offer(Criteria::default());
    let inactive = Plan { active: false, ..plain.clone() };
    assert_eq!(quote(&inactive, None, &buyer()), Err(Refusal::PlanInactive));
    for number in [None, Some(UserType::Postpaid)] {
        let refusal = quote(&plain, None, &Buyer { number_type: number, ..buyer() });
        assert_eq!(refusal, Err(Refusal::PlanTypeMismatch { plan: "prepaid", number }));
    }
    let withdrawn = Offer { active: false, ..good.clone() };
    assert_eq!(quote(&plain, Some(&withdrawn), &buyer()), Err(Refusal::OfferInactive));

    // Seven days from creation: usable until just before the end, not at it.
    let week = Offer { validity_days: Some(7), ..good.clone() };
    let end = at("2026-01-08T00:00:00Z");
    assert_eq!(offer_expiry(week.created_at, week.validity_days), Some(end));
    let before = Buyer { now: end - TimeDelta::microseconds(1), ..buyer() };
    assert!(quote(&plain, Some(&week), &before).is_ok());
    assert_eq!(quote(&plain, Some(&week), &Buyer { now: end, ..buyer() }), Err(Refusal::OfferExpired));

    let twice = Offer { max_uses_per_user: Some(2), ..good };
    assert!(quote(&plain, Some(&twice), &Buyer { offer_uses: 1, ..buyer() }).is_ok());
    let refusal = quote(&plain, Some(&twice), &Buyer { offer_uses: 2, ..buyer() });
    assert_eq!(refusal, Err(Refusal::OfferUsedUp));
}

#[test]
fn refusals_say_what_is_required() {
    let criteria = parsed(r#"{"conditions": {"min_amount": 500}}"#);
    let refusal = quote(&plan(Conditions::default()), Some(&offer(criteria)), &buyer()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the offer cannot be used here: it needs a plan of at least 500.00 rupees; choose another, or leave offer_id out"
    );
}

fn any_amount() -> impl Strategy<Value = Paise> {
    (0..=Paise::MAX_INPUT.get()).prop_map(Paise::new)
}

fn any_reward() -> impl Strategy<Value = Reward> {
    prop_oneof![
        any_amount().prop_map(Reward::Flat),
        (0_u16..=10_000, proptest::option::of(any_amount()))
            .prop_map(|(hundredths, most)| Reward::Percent { hundredths, most }),
    ]
}

/// JSON text that is often nearly criteria.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[0-9]{1,4}\\.[0-9]{1,4}(e[0-9]{1,3})?",
        "[a-z0-9:TZ+-]{0,20}".prop_map(|text| format!("\"{text}\"")),
        prop_oneof![Just("\"flat\""), Just("\"percent\""), Just("\"prepaid\""), Just("\"2026-01-31\"")]
            .prop_map(str::to_owned),
    ];
    let key = prop_oneof![
        proptest::sample::select(vec![
            "conditions",
            "rewards",
            "valid_from",
            "valid_to",
            "min_amount",
            "user_type",
            "is_new_user",
            "source",
            "applicable_sources",
            "plan_group_name",
            "payment_methods",
            "max_uses_per_user",
            "discount_type",
            "discount_value",
            "max_discount",
            "cashback_type",
            "cashback_value",
            "extra_data",
        ])
        .prop_map(str::to_owned),
        "[a-z]{0,5}",
    ];
    leaf.prop_recursive(3, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((key.clone(), inner), 0..8).prop_map(|fields| {
                let fields: Vec<_> =
                    fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn money_is_conserved(
        price in any_amount(),
        discount in proptest::option::of(any_reward()),
        cashback in proptest::option::of(any_reward()),
    ) {
        let plan = Plan { price, ..plan(Conditions::default()) };
        let rewards = Rewards { discount, cashback, extra_data: None };
        let offer = Offer { rewards, ..offer(Criteria::default()) };
        let quoted = quote(&plan, Some(&offer), &buyer()).unwrap();
        prop_assert_eq!(quoted.price, price);
        prop_assert!(!quoted.discount.is_negative() && quoted.discount <= price);
        prop_assert_eq!(quoted.payable.checked_add(quoted.discount), Some(price));
        prop_assert!(!quoted.payable.is_negative());
        prop_assert!(!quoted.cashback.is_negative());
    }

    #[test]
    fn any_json_is_read_or_refused(text in any_json()) {
        // What is read prices something without a panic; what is refused says where.
        match Criteria::parse(&text) {
            Ok(criteria) => { let _ = quote(&plan(Conditions::default()), Some(&offer(criteria)), &buyer()); }
            Err(faults) => prop_assert!(faults.iter().all(|fault| fault.field.starts_with("criteria"))),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = Criteria::parse(&text);
    }
}
