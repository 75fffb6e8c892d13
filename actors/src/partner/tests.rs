use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kernel::{ActivationMode, OfferId, Paise, PhoneNumber, PlanId, UserId};
use crate::wallet;

fn acme() -> PartnerRef {
    PartnerRef { id: UserId(77), user: "acme".into() }
}

fn recharge() -> Value {
    json!({
        "specversion": "1.0", "id": "r-1", "source": "/acme/shop", "type": "gencharge.recharge.requested.v1",
        "data": { "phone_number": "9876543210", "plan_id": 4 },
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut message = recharge();
    *message.pointer_mut(path).unwrap() = value;
    message
}

fn plus(object: &str, field: &str, value: Value) -> Value {
    let mut message = recharge();
    message.pointer_mut(object).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
    message
}

fn read(message: &Value) -> Result<Message, crate::messages::ParkReason> {
    decode(Some(CONTENT_TYPE), message.to_string().as_bytes())
}

#[test]
fn a_command_becomes_an_order_of_the_partners_wallet() {
    let order = read(&plus("/data", "activation_mode", json!("queue"))).unwrap().into_order(&acme()).unwrap();
    let asked = order.asked.unwrap();
    assert_eq!(
        (&*asked.request.partner, &*asked.request.source, &*asked.request.id),
        ("acme", "/acme/shop", "r-1")
    );
    let wallet::Command::Recharge(recharge) = order.command else { panic!("a recharge") };
    assert_eq!((recharge.payer.user, recharge.payer.phone), (UserId(77), None));
    assert_eq!((recharge.plan, recharge.mode), (PlanId(4), Some(ActivationMode::Queue)));
}

#[test]
fn each_fault_has_its_word() {
    let cases = [
        (with("/specversion", json!("0.3")), "unsupported_specversion"),
        (with("/type", json!("gencharge.recharge.requested.v2")), "unknown_version"),
        (with("/type", json!("gencharge.recharge.completed.v1")), "unknown_type"),
        (with("/type", json!(7)), "invalid_input"),
        (with("/id", json!("")), "invalid_input"),
        (with("/id", json!("a b")), "invalid_input"),
        (with("/source", json!("")), "invalid_input"),
        (with("/data/phone_number", json!("12345")), "invalid_input"),
        (with("/data/plan_id", json!("four")), "invalid_input"),
        (with("/data", json!([])), "invalid_input"),
        (with("/data", Value::Null), "invalid_input"),
        (plus("", "traceparent", json!("x")), "unknown_field"),
        (plus("/data", "discount", json!(100)), "unknown_field"),
        (plus("/data", "activation_mode", json!("now")), "invalid_input"),
        (plus("", "expiresat", json!("tomorrow")), "invalid_input"),
        (plus("", "datacontenttype", json!("text/xml")), "unsupported_media_type"),
        (json!([recharge()]), "invalid_input"),
    ];
    for (message, code) in cases {
        assert_eq!(read(&message).map_err(|reason| reason.code), Err(code), "{message}");
    }
    let text = recharge().to_string();
    for (kind, body, code) in [
        (Some("application/json"), text.as_bytes(), "unsupported_media_type"),
        (None, text.as_bytes(), "unsupported_media_type"),
        (Some(CONTENT_TYPE), &text.as_bytes()[..40], "malformed_body"),
        (Some(CONTENT_TYPE), b"\xff\xfe", "malformed_body"),
        (Some(CONTENT_TYPE), b"", "malformed_body"),
    ] {
        assert_eq!(decode(kind, body).map_err(|reason| reason.code), Err(code));
    }
    let large = vec![b' '; MAX_BYTES + 1];
    assert_eq!(decode(Some(CONTENT_TYPE), &large).map_err(|reason| reason.code), Err("body_too_large"));
    assert!(decode(Some("Application/CloudEvents+JSON; charset=utf-8"), text.as_bytes()).is_ok());
}

#[test]
fn a_field_given_twice_is_refused() {
    let twice = recharge().to_string().replace(r#""plan_id":4"#, r#""plan_id":4,"plan_id":5"#);
    assert_eq!(
        decode(Some(CONTENT_TYPE), twice.as_bytes()).map_err(|reason| reason.code),
        Err("invalid_input")
    );
}

#[test]
fn a_message_that_names_another_partner_is_refused() {
    let lie = read(&plus("/data", "partner", json!("globex"))).unwrap();
    assert_eq!(lie.into_order(&acme()).map_err(|reason| reason.code).err(), Some("partner_mismatch"));
    let honest = read(&plus("/data", "partner", json!("acme"))).unwrap().into_order(&acme()).unwrap();
    let silent = read(&recharge()).unwrap().into_order(&acme()).unwrap();
    assert_eq!((honest.key.key, honest.key.request), (silent.key.key, silent.key.request));
}

#[test]
fn the_key_is_partner_source_and_id() {
    let key = |message: &Value, partner: &PartnerRef| read(message).unwrap().into_order(partner).unwrap().key;
    let first = key(&recharge(), &acme());
    let other = PartnerRef { id: UserId(78), user: "globex".into() };
    assert_eq!(first.key, key(&with("/data/plan_id", json!(5)), &acme()).key);
    assert_ne!(first.request, key(&with("/data/plan_id", json!(5)), &acme()).request);
    assert_eq!(first.request, key(&with("/data/phone_number", json!("+919876543210")), &acme()).request);
    assert_ne!(first.key, key(&recharge(), &other).key);
    assert_ne!(first.key, key(&with("/source", json!("/acme/kiosk")), &acme()).key);
    assert_ne!(first.key, key(&with("/id", json!("r-2")), &acme()).key);
}

#[test]
fn amounts_are_text_or_numbers_and_above_zero() {
    let read = |amount: &str| {
        let body = format!(
            r#"{{"specversion":"1.0","id":"1","source":"s","type":"gencharge.wallet.topup.requested.v1","data":{{"phone_number":"9876543210","amount":{amount}}}}}"#
        );
        let order = decode(Some(CONTENT_TYPE), body.as_bytes())?.into_order(&acme())?;
        let wallet::Command::TopUp(top_up) = order.command else { panic!("a top-up") };
        Ok::<_, crate::messages::ParkReason>(top_up.amount)
    };
    for (text, paise) in [("\"199.50\"", 19_950), ("199.5", 19_950), ("1", 100), ("\"0.01\"", 1)] {
        assert_eq!(read(text), Ok(Paise::new(paise)), "{text}");
    }
    for bad in ["0", "-1", "1e3", "0.001", "\"\"", "\"1 \"", "null", "[1]", "true", "99999999999999"] {
        assert_eq!(read(bad).map_err(|reason| reason.code), Err("invalid_input"), "{bad}");
    }
}

#[test]
fn reasons_never_show_what_a_message_holds() {
    for (path, value) in [
        ("/data/phone_number", json!(9_876_543_211_i64)),
        ("/data/plan_id", json!("9876543211")),
        ("/data/phone_number", json!("98765432111")),
    ] {
        let reason = read(&with(path, value)).unwrap_err();
        assert!(!reason.detail.contains("98765"), "{reason:?}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(Some(CONTENT_TYPE), &body);
    }

    /// Near to real messages: one byte of a good one is another, or the end is missing.
    #[test]
    fn no_damage_makes_it_panic(at in 0_usize..220, byte: u8, keep in 0_usize..220) {
        let mut body = plus("/data", "offer_id", json!(3)).to_string().into_bytes();
        let at = at % body.len();
        body[at] = byte;
        let _ = decode(Some(CONTENT_TYPE), &body);
        body.truncate(keep);
        let _ = decode(Some(CONTENT_TYPE), &body);
    }

    #[test]
    fn what_is_written_is_read(phone in 916_000_000_000_i64..=919_999_999_999, plan: i64, offer: Option<i64>, mode: bool) {
        let data = RechargeRequested {
            phone_number: PhoneNumber::from_e164(phone).unwrap(),
            plan_id: PlanId(plan),
            offer_id: offer.map(OfferId),
            activation_mode: mode.then_some(ActivationMode::Activate),
            partner: None,
        };
        let written = Command::Recharge(data.clone()).canonical();
        prop_assert_eq!(serde_json::from_slice::<RechargeRequested>(&written).unwrap(), data);
    }
}
