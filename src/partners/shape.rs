//! Partners as clients send and see them.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AccountStatus, Paise};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::{NewPartner, Partner, PartnerChange, Permissions};
use crate::http::json::{AmountText, as_number};
use crate::http::{Faults, Problem};

/// What a partner may ask for by message.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub struct PartnerPermissions {
    /// `gencharge.recharge.requested.v1`
    recharge: bool,
    /// `gencharge.wallet.topup.requested.v1`
    wallet_topup: bool,
}

impl From<PartnerPermissions> for Permissions {
    fn from(it: PartnerPermissions) -> Self {
        Self { recharge: it.recharge, wallet_topup: it.wallet_topup }
    }
}

/// A partner.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartnerOut {
    /// Its id; also the number of its wallet in the ledger.
    partner_id: i64,
    /// What it is called.
    name: String,
    /// Its user at the broker: the `user_id` of its messages, and the last part of its results queue's name.
    broker_user: String,
    /// `active` or `blocked`.
    status: &'static str,
    /// What it may ask for.
    permissions: PartnerPermissions,
    /// Rupees with two decimals.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = f64, example = 50000.00)]
    wallet_balance: Paise,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: Option<DateTime<Utc>>,
}

impl From<Partner> for PartnerOut {
    fn from(partner: Partner) -> Self {
        let Permissions { recharge, wallet_topup } = partner.permissions;
        Self {
            partner_id: partner.partner_id.get(),
            name: partner.name,
            broker_user: partner.broker_user,
            status: partner.status.as_str(),
            permissions: PartnerPermissions { recharge, wallet_topup },
            wallet_balance: partner.balance,
            created_at: partner.created_at,
            updated_at: partner.updated_at,
        }
    }
}

/// Make a partner.
#[derive(Deserialize, ToSchema)]
pub struct NewPartnerRequest {
    /// What it is called: 1 to 100 characters.
    #[schema(example = "Acme Stores", min_length = 1, max_length = 100)]
    name: String,
    /// Its user at the broker: letters, digits, `_`, `.` and `-`; at most 64.
    #[schema(example = "acme", pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    broker_user: String,
    /// What it may ask for.
    permissions: PartnerPermissions,
}

impl TryFrom<NewPartnerRequest> for NewPartner {
    type Error = Problem;

    fn try_from(request: NewPartnerRequest) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let name = faults.keep("name", name(&request.name));
        let broker_user = faults.keep("broker_user", broker_user(request.broker_user));
        match (name, broker_user) {
            (Some(name), Some(broker_user)) => {
                Ok(Self { name, broker_user, permissions: request.permissions.into() })
            }
            _ => Err(faults.problem()),
        }
    }
}

/// Change a partner: only what is given.
#[derive(Deserialize, ToSchema)]
pub struct ChangePartnerRequest {
    /// What it is called: 1 to 100 characters.
    name: Option<String>,
    /// Its user at the broker.
    broker_user: Option<String>,
    /// `active` or `blocked`: a blocked partner pays for nothing from the answer on.
    #[schema(example = "blocked")]
    status: Option<String>,
    /// What it may ask for.
    permissions: Option<PartnerPermissions>,
}

impl TryFrom<ChangePartnerRequest> for PartnerChange {
    type Error = Problem;

    fn try_from(request: ChangePartnerRequest) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let change = Self {
            name: request.name.and_then(|text| faults.keep("name", name(&text))),
            broker_user: request.broker_user.and_then(|text| faults.keep("broker_user", broker_user(text))),
            status: request.status.and_then(|text| faults.keep("status", status(&text))),
            permissions: request.permissions.map(Permissions::from),
        };
        faults.done().map(|()| change)
    }
}

/// Bring a partner's money in.
#[derive(Deserialize, ToSchema)]
pub struct FundingRequest {
    /// Rupees, above zero, at most two decimals; number or string.
    #[schema(value_type = String, example = "50000.00")]
    amount: AmountText,
    /// What the bank calls the payment: 1 to 100 characters.
    #[schema(example = "UTR 004512345678")]
    reference: Option<String>,
}

impl FundingRequest {
    /// The amount and the reference.
    ///
    /// # Errors
    /// `invalid_input`, naming every wrong field.
    pub fn checked(self) -> Result<(Paise, Option<String>), Problem> {
        let mut faults = Faults::default();
        let positive = |amount: Paise| {
            if amount.is_positive() { Ok(amount) } else { Err("must be above zero".to_owned()) }
        };
        let amount = self.amount.paise().map_err(|error| error.to_string()).and_then(positive);
        let amount = faults.keep("amount", amount);
        let reference = self.reference.and_then(|text| faults.keep("reference", name(&text)));
        match amount {
            Some(amount) if faults.is_empty() => Ok((amount, reference)),
            _ => Err(faults.problem()),
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let fits = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 100 characters, none of them control characters")
    }
}

fn broker_user(text: String) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && text.len() <= 64 && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err("must be 1 to 64 letters, digits, _ . and -, beginning with a letter or digit")
    }
}

/// `active` or `blocked`.
pub fn status(text: &str) -> Result<AccountStatus, &'static str> {
    match text.parse() {
        Ok(status @ (AccountStatus::Active | AccountStatus::Blocked)) => Ok(status),
        _ => Err("must be active or blocked"),
    }
}
