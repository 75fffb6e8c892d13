//! What all orders for wallets share over HTTP: their keys, and why they are refused.

use actix_web::HttpRequest;
use gencharge_actors::kernel::{Digest128, IdempotencyKey, KeyScope, Random};
use gencharge_actors::wallet::{KeyOrigin, OrderKey, Reason, Refusal};

use super::{Code, Problem};

/// The header that makes a POST safe to repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The client's key in `scope`, or one made here.
///
/// # Errors
/// `invalid_input` when the header is no key.
pub fn order_key(
    request: &HttpRequest,
    route: &str,
    body: &[u8],
    scope: KeyScope<'_>,
    random: &dyn Random,
) -> Result<OrderKey, Problem> {
    let made = || internal_key(Digest128::of_request("POST", route, body), random);
    Ok(client_key(request, route, body, scope)?.unwrap_or_else(made))
}

/// The client's key in `scope`, if the request has one.
///
/// # Errors
/// `invalid_input` when the header is no key.
pub fn client_key(
    request: &HttpRequest,
    route: &str,
    body: &[u8],
    scope: KeyScope<'_>,
) -> Result<Option<OrderKey>, Problem> {
    let Some(header) = request.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let digest = Digest128::of_request("POST", route, body);
    let invalid = |message: String| Problem::field("Idempotency-Key", message);
    let text = header.to_str().map_err(|_| invalid("must be visible ASCII characters".to_owned()))?;
    let key = IdempotencyKey::try_from(text).map_err(|error| invalid(error.to_string()))?;
    Ok(Some(OrderKey { key: Digest128::of_key(scope, &key), request: digest, origin: KeyOrigin::Client }))
}

/// A key that nobody else has.
#[must_use]
pub fn internal_key(request: Digest128, random: &dyn Random) -> OrderKey {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    OrderKey { key: Digest128(u128::from_be_bytes(bytes)), request, origin: KeyOrigin::Internal }
}

/// The problem of an order that was not done, or may not have been.
pub fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Rejected { rejection, replayed } => {
            Problem { replayed, ..Problem::new(code(rejection.reason), rejection.detail) }
        }
        Refusal::KeyReused => Problem::new(
            Code::IdempotencyKeyReused,
            "This Idempotency-Key was used for another request: send a new key for a new request",
        ),
        Refusal::Overloaded => Problem::new(
            Code::Overloaded,
            "Too many requests wait already; nothing was done: try again shortly",
        ),
        Refusal::Unavailable => Problem::new(
            Code::Unavailable,
            "The ledger is away for a moment; nothing was done: try again shortly",
        ),
        Refusal::Unknown => Problem::new(
            Code::OutcomeUnknown,
            "The outcome is not known yet: send the same request with the same Idempotency-Key to learn it; without a \
             key, look at the list of transactions first",
        ),
    }
}

const fn code(reason: Reason) -> Code {
    match reason {
        Reason::PlanUnavailable => Code::PlanUnavailable,
        Reason::PlanTypeMismatch => Code::PlanTypeMismatch,
        Reason::PlanNotEligible => Code::PlanNotEligible,
        Reason::OfferUnavailable => Code::OfferUnavailable,
        Reason::OfferNotEligible => Code::OfferNotEligible,
        Reason::NumberUnknown => Code::NumberUnknown,
        Reason::QueueFull => Code::QueueFull,
        Reason::InsufficientFunds => Code::InsufficientFunds,
        Reason::PayerNotActive => Code::PayerNotActive,
        Reason::ReceiverNotActive => Code::ReceiverNotActive,
        Reason::SameWallet => Code::SameWallet,
        Reason::LimitExceeded => Code::LimitExceeded,
        Reason::InvalidWalletAmount => Code::InvalidWalletAmount,
        Reason::MessageExpired => Code::MessageExpired,
        Reason::PaymentDeclined => Code::PaymentDeclined,
        Reason::PaymentUnknown => Code::PaymentUnknown,
        Reason::PaymentSettled => Code::PaymentSettled,
        Reason::PriceChanged => Code::PriceChanged,
        Reason::NotRefundable => Code::NotRefundable,
        Reason::RefundExceeded => Code::RefundExceeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_http_say_the_same_word() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str(), code(*reason).as_str());
        }
    }
}
