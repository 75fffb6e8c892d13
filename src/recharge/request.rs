//! Bodies and headers as clients send them, turned into orders.

use actix_web::HttpRequest;
use actix_web::web::Bytes;
use gencharge_actors::kernel::{
    ActivationMode, Digest128, KeyScope, OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Random, Source,
};
use gencharge_actors::wallet::{Command, Order, OrderKey, Payer, Recharge, TopUp};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::json::{AmountText, optional_whole, parse_body, whole};
use crate::http::orders::{internal_key, order_key};
use crate::http::{Faults, Problem};

/// Buy a plan for a number.
#[derive(Deserialize, ToSchema)]
pub struct SubscribeRequest {
    /// The number to recharge: ten digits, or E.164.
    #[schema(example = "9876543210")]
    phone_number: String,
    /// One of `/plans/public/all`.
    #[serde(deserialize_with = "whole")]
    plan_id: i64,
    /// One of `/offers/offers/public`.
    #[serde(default, deserialize_with = "optional_whole")]
    offer_id: Option<i64>,
    /// `Wallet` takes all from the wallet; `UPI`, `Card` and `NetBanking` go through the payment gateway.
    #[schema(example = "Wallet")]
    payment_method: String,
    /// Only `recharge`.
    #[schema(example = "recharge")]
    source: Option<String>,
    /// `activate`: at once, superseding the active plan; `queue`: after everything bought; absent: at once if nothing
    /// is active, else queued.
    #[schema(example = "queue")]
    activation_mode: Option<String>,
    /// With a gateway method: the part to take from the wallet, in rupees.
    #[schema(value_type = Option<String>, example = "100.00")]
    wallet_amount: Option<AmountText>,
}

/// Add money to a wallet.
#[derive(Deserialize, ToSchema)]
pub struct TopUpRequest {
    /// Rupees, above zero, at most two decimals; number or string.
    #[schema(value_type = String, example = "500.00")]
    amount: AmountText,
    /// Whose wallet; absent: one's own.
    #[schema(example = "9876543210")]
    phone_number: Option<String>,
    /// `UPI`, `Card`, `NetBanking`; `Wallet` moves money from one's own wallet to another's.
    #[schema(example = "UPI")]
    payment_method: String,
}

impl SubscribeRequest {
    fn command(self, payer: Payer) -> Result<Command, Problem> {
        let mut faults = Faults::default();
        let number = faults.keep("phone_number", PhoneNumber::parse(&self.phone_number));
        let method = faults.keep("payment_method", self.payment_method.parse::<PaymentMethod>());
        let mode =
            self.activation_mode.map(|mode| faults.keep("activation_mode", mode.parse::<ActivationMode>()));
        let wallet_amount = self.wallet_amount.map(|amount| faults.keep("wallet_amount", amount.paise()));
        if self.source.as_deref().is_some_and(|source| source != Source::Recharge.as_str()) {
            faults.keep::<(), _>("source", Err("must be recharge: other sources are the system's own"));
        }
        match (number, method, mode, wallet_amount) {
            (Some(number), Some(method), None | Some(Some(_)), None | Some(Some(_))) if faults.is_empty() => {
                Ok(Command::Recharge(Recharge {
                    payer,
                    number,
                    plan: PlanId(self.plan_id),
                    offer: self.offer_id.map(OfferId),
                    method,
                    wallet_amount: wallet_amount.flatten(),
                    mode: mode.flatten(),
                    source: Source::Recharge,
                }))
            }
            _ => Err(faults.problem()),
        }
    }
}

impl TopUpRequest {
    fn command(self, payer: Payer) -> Result<Command, Problem> {
        let mut faults = Faults::default();
        let positive = |amount: Paise| {
            if amount.is_positive() { Ok(amount) } else { Err("must be above zero".to_owned()) }
        };
        let amount = self.amount.paise().map_err(|error| error.to_string()).and_then(positive);
        let amount = faults.keep("amount", amount);
        let number = self.phone_number.filter(|text| !text.is_empty());
        let number = match number {
            None => payer.phone,
            Some(text) => faults.keep("phone_number", PhoneNumber::parse(&text)),
        };
        let method = faults.keep("payment_method", self.payment_method.parse::<PaymentMethod>());
        match (amount, number, method) {
            (Some(amount), Some(number), Some(method)) => {
                Ok(Command::TopUp(TopUp { payer, number, amount, method }))
            }
            _ => Err(faults.problem()),
        }
    }
}

/// The order of `POST /recharge/subscribe`.
///
/// # Errors
/// `malformed_body`, or `invalid_input` naming every wrong field.
pub fn subscribe(
    request: &HttpRequest,
    body: &Bytes,
    payer: Payer,
    random: &dyn Random,
) -> Result<Order, Problem> {
    let key = order_key(request, "/recharge/subscribe", body, KeyScope::User(payer.user.get()), random)?;
    let command = parse_body::<SubscribeRequest>(body)?.command(payer)?;
    Ok(Order { command, key, asked: None })
}

/// The order of `POST /recharge/quote`: that of a recharge, under a key of our own.
///
/// # Errors
/// `malformed_body`, or `invalid_input` naming every wrong field.
pub fn quote(body: &Bytes, payer: Payer, random: &dyn Random) -> Result<Order, Problem> {
    let key = internal_key(Digest128::of_request("POST", "/recharge/quote", body), random);
    let command = parse_body::<SubscribeRequest>(body)?.command(payer)?;
    Ok(Order { command, key, asked: None })
}

/// The order of `POST /recharge/wallet/topup`.
///
/// # Errors
/// `malformed_body`, or `invalid_input` naming every wrong field.
pub fn top_up(
    request: &HttpRequest,
    body: &Bytes,
    payer: Payer,
    random: &dyn Random,
) -> Result<Order, Problem> {
    let key = order_key(request, "/recharge/wallet/topup", body, KeyScope::User(payer.user.get()), random)?;
    let command = parse_body::<TopUpRequest>(body)?.command(payer)?;
    Ok(Order { command, key, asked: None })
}

/// The key of `POST /recharge/repeat`. What is repeated is looked up, so it is no part of the request.
///
/// # Errors
/// `invalid_input` when the key cannot be one.
pub fn repeat_key(request: &HttpRequest, payer: Payer, random: &dyn Random) -> Result<OrderKey, Problem> {
    order_key(request, "/recharge/repeat", b"", KeyScope::User(payer.user.get()), random)
}
