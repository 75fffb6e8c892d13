//! Sign-in by one-time code, tokens, and who a request comes from.

mod extract;
mod gate;
pub mod listener;
mod token;

pub use extract::bearer;
pub use gate::{Administrator, Admission, Customer, Gate, Principal};
pub use token::{
    AccessClaims, CUSTOMER_ROLE, InvalidToken, Keys, RefreshClaims, Subject, SubjectKind, UnusableSecret,
};
