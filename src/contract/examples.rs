//! A message of each type that partners send and get. Tests read them as what they are.

use serde_json::{Value, json};

/// An example of a type's messages, if there is one.
#[must_use]
pub fn example(name: &str) -> Option<Value> {
    let data = match name {
        "gencharge.recharge.requested.v1" => {
            return Some(command(name, "order-4711", json!({ "phone_number": "9800000001", "plan_id": 1 })));
        }
        "gencharge.wallet.topup.requested.v1" => {
            return Some(command(
                name,
                "order-4712",
                json!({ "phone_number": "9800000002", "amount": "100.00" }),
            ));
        }
        "gencharge.recharge.completed.v1" => json!({
            "txn_id": 10_001, "wallet_seq": 7, "user_id": 52, "beneficiary_id": 1, "to_phone": "+919800000001",
            "subscription_id": 10_001, "subscription_status": "active", "plan_id": 1, "plan_name": "Truly Unlimited 299",
            "price": "299.00", "discount": "0.00", "wallet_amount": "299.00", "gateway_amount": "0.00",
            "cashback": "0.00", "payment_method": "Wallet", "source": "recharge",
            "valid_from": TIME, "valid_to": "2026-02-28T10:00:00.000000Z", "occurred_at": TIME,
            "request": request("order-4711"),
        }),
        "gencharge.recharge.failed.v1" => failed("order-4711"),
        "gencharge.wallet.topup.failed.v1" => failed("order-4712"),
        "gencharge.wallet.topped_up.v1" => json!({
            "txn_id": 10_002, "wallet_seq": 8, "user_id": 52, "beneficiary_id": 2, "to_phone": "+919800000002",
            "amount": "100.00", "payment_method": "Wallet", "source": "wallet_topup", "occurred_at": TIME,
            "request": request("order-4712"),
        }),
        "gencharge.partner.funded.v1" => json!({
            "txn_id": 10_000, "wallet_seq": 6, "partner_id": 52, "amount": "50000.00", "occurred_at": TIME,
        }),
        _ => return None,
    };
    Some(json!({
        "specversion": "1.0", "id": "40001", "source": "/gencharge", "type": name, "time": TIME,
        "datacontenttype": "application/json", "data": data,
    }))
}

const TIME: &str = "2026-01-31T10:00:00.000000Z";

fn command(name: &str, id: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/acme/shop", "type": name,
        "expiresat": "2030-01-31T10:05:00Z", "data": data,
    })
}

fn request(id: &str) -> Value {
    json!({ "partner": "acme", "source": "/acme/shop", "id": id })
}

fn failed(id: &str) -> Value {
    json!({
        "partner_id": 52, "code": "insufficient_funds",
        "detail": "The wallet holds 12.00 and 299.00 is needed: top up, then try again under a new key",
        "occurred_at": TIME, "request": request(id),
    })
}

#[cfg(test)]
mod tests {
    use gencharge_actors::events::Event;
    use gencharge_actors::kernel::UserId;
    use gencharge_actors::partner::{COMMANDS, CONTENT_TYPE, PartnerRef, decode};

    use super::*;
    use crate::contract::message_types;

    #[test]
    fn every_example_is_what_it_says() {
        let acme = PartnerRef { id: UserId(52), user: "acme".into() };
        for name in message_types() {
            let Some(example) = example(name) else { continue };
            if COMMANDS.iter().any(|kind| kind.name() == name) {
                let message = decode(Some(CONTENT_TYPE), example.to_string().as_bytes()).unwrap();
                assert_eq!(message.kind().name(), name);
                message.into_order(&acme).unwrap();
            } else {
                let data = example["data"].to_string();
                let event = Event::parse(name, &data).unwrap();
                // Nothing more in it than the type has.
                assert_eq!(serde_json::from_str::<Value>(&event.data_json()).unwrap(), example["data"]);
            }
        }
    }

    #[test]
    fn commands_and_their_answers_have_examples() {
        let answers = ["recharge.completed", "recharge.failed", "wallet.topped_up", "wallet.topup.failed"];
        let answers = answers.map(|name| format!("gencharge.{name}.v1"));
        for name in COMMANDS.iter().map(|kind| kind.name()).chain(answers.iter().map(String::as_str)) {
            assert!(example(name).is_some(), "{name}");
        }
    }
}
