//! Errors as RFC 9457 problem documents, from one table of codes.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// Every way an operation can refuse or fail. The words are stable: clients may branch on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, for the documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word, as in the field `code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status it goes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// A short summary, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not the JSON (or form) the operation takes.
    MalformedBody = "malformed_body", BAD_REQUEST, "The body cannot be read";
    /// A field, parameter or header has a value that cannot be.
    InvalidInput = "invalid_input", UNPROCESSABLE_ENTITY, "The input is not valid";
    /// A list cannot be ordered by that field.
    InvalidOrder = "invalid_order", BAD_REQUEST, "The list has no such order";
    /// A field names something that does not exist.
    UnknownReference = "unknown_reference", BAD_REQUEST, "What it belongs to does not exist";
    /// The picture is of no kind that is taken, or broken.
    UnusableImage = "unusable_image", BAD_REQUEST, "The picture cannot be used";
    /// The body is larger than the operation takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body's media type is not one the operation takes.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The media type is not supported";
    /// No token, or one that does not (or no longer) hold.
    NotAuthenticated = "not_authenticated", UNAUTHORIZED, "Sign in first";
    /// The caller may not do this.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed";
    /// No such path.
    NoSuchRoute = "no_such_route", NOT_FOUND, "No such path";
    /// The path takes other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not take this method";
    /// The thing asked for does not exist (or not for the caller).
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// Something with that unique value exists already.
    Duplicate = "duplicate", BAD_REQUEST, "It exists already";
    /// The thing is in a state that does not allow this.
    StateConflict = "state_conflict", CONFLICT, "The state does not allow this";
    /// A one-time code is wrong, used, dead or expired.
    InvalidOtp = "invalid_otp", BAD_REQUEST, "The code is wrong or expired";
    /// The referral code is nobody's, or the customer's own.
    InvalidReferral = "invalid_referral", BAD_REQUEST, "The referral code cannot be used";
    /// A role names permissions that do not exist.
    UnknownPermission = "unknown_permission", BAD_REQUEST, "There is no such permission";
    /// Too many requests of a kind.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The plan does not exist or is not active.
    PlanUnavailable = "plan_unavailable", BAD_REQUEST, "The plan cannot be bought";
    /// The plan is for the other kind of number.
    PlanTypeMismatch = "plan_type_mismatch", BAD_REQUEST, "The plan is not for this kind of number";
    /// The plan's own conditions do not hold.
    PlanNotEligible = "plan_not_eligible", BAD_REQUEST, "The plan's conditions are not met";
    /// The offer does not exist, is not active or has run out.
    OfferUnavailable = "offer_unavailable", BAD_REQUEST, "The offer cannot be used";
    /// The offer's conditions do not hold.
    OfferNotEligible = "offer_not_eligible", BAD_REQUEST, "The offer's conditions are not met";
    /// The number belongs to no customer.
    NumberUnknown = "number_unknown", BAD_REQUEST, "The number is not registered";
    /// The number has as many plans waiting as it may.
    QueueFull = "queue_full", BAD_REQUEST, "Too many plans are waiting for this number";
    /// The wallet holds less than is needed.
    InsufficientFunds = "insufficient_funds", BAD_REQUEST, "The wallet holds too little";
    /// The payer is blocked or deactivated.
    PayerNotActive = "payer_not_active", FORBIDDEN, "The account is not active";
    /// The receiver cannot take money.
    ReceiverNotActive = "receiver_not_active", BAD_REQUEST, "The receiving account is not active";
    /// A wallet cannot pay itself.
    SameWallet = "same_wallet", BAD_REQUEST, "A wallet cannot pay itself";
    /// Above the limit for one top-up or for the balance.
    LimitExceeded = "limit_exceeded", BAD_REQUEST, "The amount is above the limit";
    /// The wallet part is more than there is to pay, or does not fit the payment method.
    InvalidWalletAmount = "invalid_wallet_amount", BAD_REQUEST, "The wallet part does not fit";
    /// A partner's message came after the time until which it wanted to be done.
    MessageExpired = "message_expired", BAD_REQUEST, "The message came too late";
    /// The gateway does not take the payment; nothing was charged.
    PaymentDeclined = "payment_declined", PAYMENT_REQUIRED, "The payment was declined";
    /// There is no such payment.
    PaymentUnknown = "payment_unknown", NOT_FOUND, "No such payment";
    /// The payment had ended already.
    PaymentSettled = "payment_settled", CONFLICT, "The payment has ended already";
    /// The price changed between the order and its payment.
    PriceChanged = "price_changed", CONFLICT, "The price has changed";
    /// Transactions of this kind cannot be refunded.
    NotRefundable = "not_refundable", CONFLICT, "This cannot be refunded";
    /// More than is left of the transaction to be given back.
    RefundExceeded = "refund_exceeded", BAD_REQUEST, "More than can be refunded";
    /// A callback is not signed as it must be, or too old.
    InvalidSignature = "invalid_signature", UNAUTHORIZED, "The signature does not hold";
    /// A callback's event was told before.
    CallbackReplayed = "callback_replayed", CONFLICT, "The event is known already";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The key was used for another request";
    /// Accepted, but the answer did not come: the outcome is unknown until the same key is sent again.
    OutcomeUnknown = "outcome_unknown", SERVICE_UNAVAILABLE, "The outcome is not known yet";
    /// Not accepted: too much waits already. Nothing was done.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too busy";
    /// A store is away. Nothing was done.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "A needed store is away";
    /// A defect of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong on our side";
}

/// One thing wrong with the input.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, parameter or header.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// A refusal or failure, ready to be answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Problem {
    /// Which one of the table.
    pub code: Code,
    /// What happened and what the caller can do next; never internals.
    pub detail: String,
    /// The fields at fault.
    pub errors: Vec<FieldError>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u32>,
    /// True when this answer was given before under the same idempotency key.
    pub replayed: bool,
}

/// The document as sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// A URI for the kind of problem: `/problems/<code>`.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every occurrence of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened and what to do next.
    detail: &'a str,
    /// The stable word to branch on.
    code: &'static str,
    /// Names this request in the log.
    request_id: &'a str,
    /// The fields at fault, if any.
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with this code, saying `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = match code {
            Code::OutcomeUnknown | Code::Overloaded | Code::Unavailable => Some(1),
            _ => None,
        };
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after, replayed: false }
    }

    /// One field has a wrong value.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::fields(vec![FieldError { field, message }])
    }

    /// Several fields have wrong values.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail =
            errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>();
        Self { errors, ..Self::new(Code::InvalidInput, detail.join("; ")) }
    }

    /// The thing named `what` does not exist.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("{what} not found"))
    }

    /// No or no longer valid token.
    #[must_use]
    pub fn not_authenticated() -> Self {
        Self::new(
            Code::NotAuthenticated,
            "Not authenticated: sign in and send the access token as a bearer token",
        )
    }

    /// The caller's role lacks the right.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(Code::Forbidden, "Your role does not allow this operation")
    }

    /// A defect of ours, which the caller has logged.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Code::Internal, "Something went wrong on our side; it has been logged under the request id")
    }

    /// With a time to wait before the next try, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The answer, naming the request.
    #[must_use]
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let document = ProblemDocument {
            kind: format!("/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        };
        let mut answer = HttpResponseBuilder::new(self.code.status());
        answer.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.code == Code::NotAuthenticated {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if self.replayed {
            answer.insert_header(("Idempotent-Replayed", "true"));
        }
        // Serialising plain strings and numbers cannot fail; an empty body would still carry the status.
        answer.body(serde_json::to_vec(&document).unwrap_or_default())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.respond("")
    }
}

/// A store's failure, told without internals. Lost connections and exhausted pools are 503, defects are 500 and logged.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if is_store_away(&error) {
            tracing::warn!(error = %error, "database.unavailable");
            return Self::new(Code::Unavailable, "The database is away for a moment: try again shortly");
        }
        if is_unstorable_text(&error) {
            return Self::new(Code::InvalidInput, "Text must not contain the character U+0000: leave it out");
        }
        tracing::error!(error = %error, "database.error");
        Self::internal()
    }
}

/// True when the caller's text holds a character that the database cannot (22021, 22P05: in text and in JSON).
fn is_unstorable_text(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22021", "22P05"].contains(&code.as_ref()))
}

/// True when the failure says that the database cannot be reached or is going down, rather than that a statement was wrong.
#[must_use]
pub fn is_store_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        // 08: connection; 57P: shutdown, crash; 53: out of resources; 40: serialisation, deadlock; 25006: read-only;
        // 57014: statement timeout; 55P03: lock timeout.
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            ["08", "57P", "53", "40"].iter().any(|class| code.starts_with(class))
                || ["25006", "57014", "55P03"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_unique() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn sql_errors_show_no_internals() {
        let problem = Problem::from(sqlx::Error::ColumnNotFound("secret_column".into()));
        assert_eq!(problem.code, Code::Internal);
        assert!(!problem.detail.contains("secret"));
    }
}
