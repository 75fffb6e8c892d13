//! The integration tests: one binary, a module a feature.
//!
//! `cfg(test)` tells clippy that helpers may unwrap too.

#[cfg(test)]
mod analytics;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod autopay;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bad_orders;
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod catalogue_admin;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod contact;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod content;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod notifications;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod partners;
#[cfg(test)]
mod payments;
#[cfg(test)]
mod people;
#[cfg(test)]
mod quote;
#[cfg(test)]
mod rabbit;
#[cfg(test)]
mod recharge;
#[cfg(test)]
mod referrals;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod support;
#[cfg(test)]
mod users;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod wallet;
