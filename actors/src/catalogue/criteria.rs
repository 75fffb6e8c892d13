//! The `criteria` object of plans and offers: read strictly, so that a misspelt rule never counts as no rule.
//!
//! `{"conditions": {...}, "rewards": {...}, "benefits": {...}}`; only the first two are rules. Amounts are rupees as JSON
//! numbers or strings and are read from their text, never through a float.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::kernel::{Paise, PaymentMethod, Source, UserType};

/// The longest criteria text read, in bytes.
pub const MAX_CRITERIA_BYTES: usize = 16 * 1024;
/// The most values one condition may list.
const MAX_LISTED: usize = 100;
/// The longest `extra_data`, in characters.
const MAX_EXTRA_DATA: usize = 50;
/// A whole, in hundredths of a percent.
const WHOLE: i64 = 10_000;

/// One thing that must hold. Its text says what is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not before this moment.
    ValidFrom(DateTime<Utc>),
    /// Not after this moment.
    ValidTo(DateTime<Utc>),
    /// The plan's price is at least this.
    MinAmount(Paise),
    /// The recharged number is of one of these types.
    UserTypes(Vec<UserType>),
    /// The payer has (true) no completed recharge yet, or has (false) one.
    NewUser(bool),
    /// This is (true) the payer's first recharge, or is not (false).
    FirstRecharge(bool),
    /// The purchase has one of these sources.
    Sources(Vec<Source>),
    /// The plan is in one of these groups.
    PlanGroups(Vec<String>),
    /// It is paid in one of these ways.
    PaymentMethods(Vec<PaymentMethod>),
    /// The stored rules could not be read: never holds.
    Unreadable,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ValidFrom(moment) => write!(f, "it starts at {}", moment.format("%Y-%m-%dT%H:%M:%SZ")),
            Self::ValidTo(moment) => write!(f, "it ended at {}", moment.format("%Y-%m-%dT%H:%M:%SZ")),
            Self::MinAmount(amount) => write!(f, "it needs a plan of at least {amount} rupees"),
            Self::UserTypes(types) => {
                write!(f, "it is for these numbers: {}", joined(types.iter().map(|kind| kind.as_str())))
            }
            Self::NewUser(true) | Self::FirstRecharge(true) => f.write_str("it is for a first recharge"),
            Self::NewUser(false) | Self::FirstRecharge(false) => {
                f.write_str("it is for accounts that have recharged before")
            }
            Self::Sources(sources) => {
                write!(f, "it is for: {}", joined(sources.iter().map(|source| source.as_str())))
            }
            Self::PlanGroups(groups) => {
                write!(f, "it is for plans of: {}", joined(groups.iter().map(String::as_str)))
            }
            Self::PaymentMethods(methods) => {
                write!(f, "it needs payment by: {}", joined(methods.iter().map(|method| method.as_str())))
            }
            Self::Unreadable => f.write_str("its rules need correction by an administrator"),
        }
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// What must hold, all of it. Empty: always eligible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(pub Vec<Condition>);

impl Conditions {
    /// Those of stored rules that could not be read: they never hold.
    #[must_use]
    pub fn unreadable() -> Self {
        Self(vec![Condition::Unreadable])
    }
}

/// An amount given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reward {
    /// This much.
    Flat(Paise),
    /// A share of the amount.
    Percent {
        /// In hundredths of a percent: 1,250 is 12.5 %.
        hundredths: u16,
        /// At most this much.
        most: Option<Paise>,
    },
}

impl Reward {
    /// What it gives on `amount`: never negative, a share rounded down to a whole paisa.
    #[must_use]
    pub fn on(self, amount: Paise) -> Paise {
        let given = match self {
            Self::Flat(value) => value,
            Self::Percent { hundredths, most } => {
                let share = i128::from(amount.get()) * i128::from(hundredths) / i128::from(WHOLE);
                let share = i64::try_from(share).map_or(Paise::ZERO, Paise::new);
                most.map_or(share, |most| share.min(most))
            }
        };
        given.max(Paise::ZERO)
    }
}

/// What an offer gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewards {
    /// Taken off the price.
    pub discount: Option<Reward>,
    /// Given back into the wallet.
    pub cashback: Option<Reward>,
    /// Data on top.
    pub extra_data: Option<String>,
}

impl Rewards {
    /// What is taken off `price`: from nothing to all of it.
    #[must_use]
    pub fn discount(&self, price: Paise) -> Paise {
        self.discount.map_or(Paise::ZERO, |reward| reward.on(price)).min(price).max(Paise::ZERO)
    }

    /// What is given back when `payable` is paid: never more than that.
    #[must_use]
    pub fn cashback(&self, payable: Paise) -> Paise {
        self.cashback.map_or(Paise::ZERO, |reward| reward.on(payable)).min(payable).max(Paise::ZERO)
    }
}

/// The rules of a plan (conditions only) or an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// What must hold.
    pub conditions: Conditions,
    /// What an offer gives.
    pub rewards: Rewards,
    /// How often one payer may use the offer.
    pub max_uses_per_user: Option<u32>,
}

/// One thing wrong with a criteria object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `criteria.conditions.min_amount`.
    pub field: String,
    /// What it must be.
    pub message: String,
}

impl Criteria {
    /// Reads the rules from JSON text; `null` and `{}` have none.
    ///
    /// # Errors
    /// Every fault found: not an object, an unknown key under `conditions` or `rewards`, a value that cannot be. Also what
    /// the database could not store as JSON (NUL in a string, numbers out of range), even outside the rules.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let whole = |message: &str| vec![Fault { field: "criteria".to_owned(), message: message.to_owned() }];
        if text.len() > MAX_CRITERIA_BYTES {
            return Err(whole("must have at most 16 KiB"));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| whole(&format!("must be plain JSON: {error}")))?;
        if holds_nul(&value) {
            return Err(whole("must not contain the character NUL"));
        }
        if value.is_null() {
            return Ok(Self::default());
        }
        let parts: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| whole("must be an object or null"))?;

        let mut criteria = Self::default();
        if let Some(mut fields) = Fields::of("criteria.conditions", parts.get("conditions"), &mut faults) {
            criteria.conditions = fields.conditions();
            criteria.max_uses_per_user = fields.read(&["max_uses_per_user"], uses);
            fields.finish();
        }
        if let Some(mut fields) = Fields::of("criteria.rewards", parts.get("rewards"), &mut faults) {
            criteria.rewards = fields.rewards();
            fields.finish();
        }
        if faults.is_empty() { Ok(criteria) } else { Err(faults) }
    }

    /// True when nothing in it needs an offer: plans have conditions only.
    #[must_use]
    pub fn is_for_plans(&self) -> bool {
        self.rewards == Rewards::default() && self.max_uses_per_user.is_none()
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The keys of one object, taken out one by one; what stays is unknown.
struct Fields<'a, 'f> {
    path: &'static str,
    left: BTreeMap<String, &'a RawValue>,
    faults: &'f mut Vec<Fault>,
}

impl<'a, 'f> Fields<'a, 'f> {
    fn of(path: &'static str, raw: Option<&&'a RawValue>, faults: &'f mut Vec<Fault>) -> Option<Self> {
        let text = raw?.get();
        match serde_json::from_str::<Option<BTreeMap<String, &'a RawValue>>>(text) {
            Ok(left) => left.map(|left| Self { path, left, faults }),
            Err(_) => {
                faults
                    .push(Fault { field: path.to_owned(), message: "must be an object or null".to_owned() });
                None
            }
        }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(Fault { field: format!("{}.{key}", self.path), message: message.into() });
    }

    /// The value under the first of `names` or one of its aliases; `null` counts as absent.
    fn read<T>(&mut self, names: &[&str], parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let mut found: Vec<(&str, &RawValue)> = Vec::new();
        for name in names {
            if let Some(raw) = self.left.remove(*name)
                && raw.get() != "null"
            {
                found.push((name, raw));
            }
        }
        match found.as_slice() {
            [] => None,
            [(name, raw)] => match parse(raw.get()) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.fault(name, message);
                    None
                }
            },
            [_, (alias, _), ..] => {
                self.fault(alias, format!("must not stand beside {}", names.first().unwrap_or(&"")));
                None
            }
        }
    }

    fn conditions(&mut self) -> Conditions {
        let found = [
            self.read(&["valid_from"], |text| moment(text, false)).map(Condition::ValidFrom),
            self.read(&["valid_to"], |text| moment(text, true)).map(Condition::ValidTo),
            self.read(&["min_amount"], amount).map(Condition::MinAmount),
            self.read(&["user_type"], words).map(Condition::UserTypes),
            self.read(&["is_new_user"], flag).map(Condition::NewUser),
            self.read(&["first_recharge"], flag).map(Condition::FirstRecharge),
            self.read(&["applicable_sources", "source"], words).map(Condition::Sources),
            self.read(&["valid_plan_groups", "plan_group_name"], names).map(Condition::PlanGroups),
            self.read(&["payment_methods"], words).map(Condition::PaymentMethods),
        ];
        let conditions = Conditions(found.into_iter().flatten().collect());
        let mut window = (None, None);
        for condition in &conditions.0 {
            match condition {
                Condition::ValidFrom(moment) => window.0 = Some(*moment),
                Condition::ValidTo(moment) => window.1 = Some(*moment),
                _ => {}
            }
        }
        if let (Some(from), Some(to)) = window
            && to < from
        {
            self.fault("valid_to", "must not be before valid_from");
        }
        conditions
    }

    fn rewards(&mut self) -> Rewards {
        Rewards {
            discount: self.reward("discount_type", "discount_value", "max_discount"),
            cashback: self.reward("cashback_type", "cashback_value", "max_cashback"),
            extra_data: self.read(&["extra_data"], extra_data),
        }
    }

    /// A value of a type (`flat` unless it says `percent`), with an upper bound for a share.
    fn reward(&mut self, kind: &str, value: &str, most: &str) -> Option<Reward> {
        let typed = self.left.contains_key(kind);
        let before = self.faults.len();
        let percent = self.read(&[kind], |text| match string(text)?.as_str() {
            "flat" => Ok(false),
            "percent" => Ok(true),
            _ => Err("must be one of: flat percent".to_owned()),
        });
        // "12.5" percent has the same digits as 12.50 rupees: 1,250 hundredths.
        let number = self.read(&[value], amount);
        let bound = self.read(&[most], amount);
        if self.faults.len() > before {
            return None;
        }
        match (percent, number) {
            (Some(true), Some(number)) => match u16::try_from(number.get()) {
                Ok(hundredths) if i64::from(hundredths) <= WHOLE => {
                    Some(Reward::Percent { hundredths, most: bound })
                }
                _ => {
                    self.fault(value, "must be a percentage from 0 to 100");
                    None
                }
            },
            (_, Some(number)) => {
                if bound.is_some() {
                    self.fault(most, format!("needs {kind} percent"));
                }
                Some(Reward::Flat(number))
            }
            (_, None) => {
                if bound.is_some() || (typed && percent.is_some()) {
                    self.fault(value, format!("must be given with {kind}"));
                }
                None
            }
        }
    }

    fn finish(self) {
        for key in self.left.keys() {
            let shown: String = key.chars().take(50).collect();
            self.faults.push(Fault {
                field: format!("{}.{shown}", self.path),
                message: "is not a rule: check its spelling, or put descriptions under criteria.benefits"
                    .to_owned(),
            });
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn string(text: &str) -> Result<String, String> {
    serde_json::from_str(text).map_err(|_| "must be text".to_owned())
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let listed = match serde_json::from_str(text) {
        Ok(OneOrMany::One(name)) => vec![name],
        Ok(OneOrMany::Many(names)) => names,
        Err(_) => return Err("must be text or a list of texts".to_owned()),
    };
    if listed.is_empty() || listed.len() > MAX_LISTED {
        return Err(format!("must list 1 to {MAX_LISTED} values"));
    }
    Ok(listed)
}

fn words<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<Vec<T>, String> {
    names(text)?.iter().map(|name| name.parse().map_err(|error: T::Err| error.to_string())).collect()
}

fn amount(text: &str) -> Result<Paise, String> {
    let parsed = if text.starts_with('"') { Paise::parse(&string(text)?) } else { Paise::parse(text) };
    parsed.map_err(|error| error.to_string())
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn uses(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|most| *most > 0)
        .ok_or_else(|| "must be a whole number of at least 1".to_owned())
}

fn extra_data(text: &str) -> Result<String, String> {
    let data = string(text)?;
    if data.is_empty() || data.chars().count() > MAX_EXTRA_DATA {
        return Err(format!("must have 1 to {MAX_EXTRA_DATA} characters"));
    }
    Ok(data)
}

/// RFC 3339; without offset it is UTC; a day alone is its first moment, or its last when it ends something.
fn moment(text: &str, ends: bool) -> Result<DateTime<Utc>, String> {
    let text = string(text)?;
    if let Ok(moment) = text.parse::<DateTime<Utc>>() {
        return Ok(moment);
    }
    if let Ok(naive) = text.parse::<NaiveDateTime>() {
        return Ok(naive.and_utc());
    }
    let day: Option<NaiveDate> = text.parse().ok();
    let day = if ends { day.and_then(|day| day.checked_add_days(Days::new(1))) } else { day };
    day.and_then(|day| day.and_hms_opt(0, 0, 0))
        .map(|naive| naive.and_utc())
        .and_then(
            |first| {
                if ends { first.checked_sub_signed(TimeDelta::microseconds(1)) } else { Some(first) }
            },
        )
        .ok_or_else(|| "must be a time such as 2026-01-31T10:00:00Z".to_owned())
}
