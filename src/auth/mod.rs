//! Sign-in by one-time code, tokens, and who a request comes from.
//!
//! Handlers take [`Customer`], [`Administrator`] or [`Principal`] as an argument. Whoever takes rights back (a block, a
//! deletion, a changed role) sends a [`listener::Hint`] in the same transaction and tells the [`Gate`] after the commit.

pub mod codes;
mod extract;
mod gate;
pub mod listener;
mod mint;
mod routes;
mod service;
mod session;
mod signup;
mod token;

pub use codes::{COOL_DOWN, MAX_TRIES, Purpose};
pub use extract::bearer;
pub use gate::{Administrator, Admission, Customer, Gate, PausedCustomer, Principal};
pub use mint::{find_subject, mint};
pub use routes::{CookieRules, Docs, routes, without_cookie};
pub use service::{Auth, AuthError, Rules, Tokens};
pub use session::{REUSE_GRACE, end_all as end_all_sessions, end_except as end_sessions_except};
pub use signup::{Registration, draw_referral_code};
pub use token::{
    AccessClaims, CUSTOMER_ROLE, InvalidToken, Keys, RefreshClaims, Subject, SubjectKind, UnusableSecret,
};
