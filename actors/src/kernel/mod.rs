//! What every feature shares: money, phone numbers, ids, vocabulary, time and randomness.

mod actor;
mod clock;
mod idempotency;
mod ids;
mod money;
mod phone;
mod vocabulary;

pub use actor::{Actor, UnknownActor};
pub use clock::{Clock, ManualClock, Random, SeededRandom, SystemClock, SystemRandom};
pub use idempotency::{Digest128, IdempotencyKey, InvalidKey, KeyScope};
pub use ids::{
    AccountId, AdminId, AutopayId, EventId, OfferId, PlanId, SubscriptionId, TxnId, UserId, WalletId,
};
pub use money::{MoneyError, Paise};
pub use phone::{InvalidPhone, PhoneNumber, Region};
pub use vocabulary::{
    AccountStatus, ActivationMode, AutopayRepeat, AutopayStatus, AutopayTag, CatalogueStatus, Category,
    PaymentMethod, PaymentState, Reason, Source, SubscriptionStatus, TxnStatus, TxnType, UnknownWord,
    UserType,
};
