//! The rules of GenCharge, the actors that apply them, and the ports those actors need.
//!
//! This crate holds no database, HTTP or broker client: the `gencharge` package implements the ports.
//! Rules are pure (`decide(state, command) -> effects`); I/O around them is thin.

pub mod account;
pub mod autopay;
pub mod backup;
pub mod catalogue;
pub mod events;
pub mod kernel;
pub mod lifecycle;
pub mod messages;
pub mod notification;
pub mod partner;
pub mod payment;
pub mod relay;
pub mod runtime;
pub mod upkeep;
pub mod wallet;
