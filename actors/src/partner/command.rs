//! What partners can ask for.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::kernel::{ActivationMode, OfferId, Paise, PhoneNumber, PlanId};

/// The types of commands. Anything but a new optional field is a new version with a new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandType {
    /// [`RechargeRequested`]
    Recharge,
    /// [`TopUpRequested`]
    TopUp,
}

/// All of them.
pub const COMMANDS: [CommandType; 2] = [CommandType::Recharge, CommandType::TopUp];

impl CommandType {
    /// The versioned name, as in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recharge => "gencharge.recharge.requested.v1",
            Self::TopUp => "gencharge.wallet.topup.requested.v1",
        }
    }

    /// The routing key that producers publish it with.
    #[must_use]
    pub const fn routing_key(self) -> &'static str {
        match self {
            Self::Recharge => "recharge.requested",
            Self::TopUp => "wallet.topup.requested",
        }
    }

    /// The JSON Schema of its data.
    #[must_use]
    pub fn data_schema(self) -> Schema {
        match self {
            Self::Recharge => schema_for!(RechargeRequested),
            Self::TopUp => schema_for!(TopUpRequested),
        }
    }
}

/// `gencharge.recharge.requested.v1`: buy a plan for a number, paid from the partner's wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RechargeRequested {
    /// The number to recharge: ten digits, or E.164. It must be a customer's.
    #[serde(with = "phone")]
    #[schemars(schema_with = "phone::schema")]
    pub phone_number: PhoneNumber,
    /// One of `/plans/public/all`.
    pub plan_id: PlanId,
    /// One of `/offers/offers/public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_id: Option<OfferId>,
    /// `queue`: after everything bought; `activate`: at once if nothing is in use; absent: the same as `activate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_mode: Option<ActivationMode>,
    /// The partner's user at the broker, when the message says it: another's is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
}

/// `gencharge.wallet.topup.requested.v1`: move money from the partner's wallet into a customer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpRequested {
    /// Whose wallet, by number: ten digits, or E.164. It must be a customer's.
    #[serde(with = "phone")]
    #[schemars(schema_with = "phone::schema")]
    pub phone_number: PhoneNumber,
    /// Rupees, above zero, at most two decimals; text or number.
    #[serde(with = "amount")]
    #[schemars(schema_with = "amount::schema")]
    pub amount: Paise,
    /// The partner's user at the broker, when the message says it: another's is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
}

/// A command with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Buy a plan for a number.
    Recharge(RechargeRequested),
    /// Put money into a customer's wallet.
    TopUp(TopUpRequested),
}

impl Command {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> CommandType {
        match self {
            Self::Recharge(_) => CommandType::Recharge,
            Self::TopUp(_) => CommandType::TopUp,
        }
    }

    /// Its data as JSON, written in one way whatever the producer's was: the same request has the same text.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Numbers and text: cannot fail.
        match self {
            Self::Recharge(data) => serde_json::to_vec(data),
            Self::TopUp(data) => serde_json::to_vec(data),
        }
        .unwrap_or_default()
    }

    /// Takes the partner's name out, if the message says it.
    pub(super) fn take_partner(&mut self) -> Option<String> {
        match self {
            Self::Recharge(data) => data.partner.take(),
            Self::TopUp(data) => data.partner.take(),
        }
    }
}

mod phone {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{PhoneNumber, Schema, SchemaGenerator, json_schema};

    pub fn serialize<S: Serializer>(phone: &PhoneNumber, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("+{}", phone.e164()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PhoneNumber, D::Error> {
        PhoneNumber::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    pub fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(\+?91|0)?[6-9][0-9]{9}$" })
    }
}

mod amount {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use serde_json::value::RawValue;

    use super::{Paise, Schema, SchemaGenerator, json_schema};

    pub fn serialize<S: Serializer>(amount: &Paise, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    /// From the text itself: a number never becomes a float.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Paise, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let written = raw.get();
        let text = match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inside) => inside,
            None => written,
        };
        match Paise::parse(text) {
            Ok(amount) if amount.is_positive() => Ok(amount),
            Ok(_) => Err(D::Error::custom("amount: must be above zero")),
            Err(error) => Err(D::Error::custom(format_args!("amount: {error}"))),
        }
    }

    pub fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,2})?$" },
                { "type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01 },
            ],
        })
    }
}
