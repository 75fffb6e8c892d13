//! Autopay: the operations, and rules over time.

mod operations;
mod over_time;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::Clock as _;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::money::with;

const CREATE: &str = "/autopay/create_autopay";
/// A prepaid plan of 28 days for Rs 299, and one of a single day for Rs 19.
const MONTH: i64 = 1;
const DAY: i64 = 7;

/// A regular rule due then.
fn rule(phone: &str, plan: i64, due: DateTime<Utc>) -> Value {
    json!({ "plan_id": plan, "phone_number": phone, "tag": "regular", "next_due_date": due.to_rfc3339() })
}

fn onetime(phone: &str, plan: i64, due: DateTime<Utc>) -> Value {
    with(rule(phone, plan, due), json!({ "tag": "onetime" }))
}

fn in_days(app: &TestApp, days: i64) -> DateTime<Utc> {
    app.clock.now() + TimeDelta::days(days)
}

/// A moment in JSON.
fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}
