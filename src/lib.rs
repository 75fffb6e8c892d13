//! GenCharge: prepaid and postpaid mobile recharge. The rules and actors live in `gencharge-actors`; this package gives
//! them HTTP, a command line and their stores.

pub mod access;
pub mod admins;
pub mod analytics;
pub mod app;
pub mod audit;
pub mod auth;
pub mod autopay;
pub mod backups;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod contact;
pub mod content;
pub mod contract;
pub mod http;
pub mod messages;
pub mod notifications;
pub mod operations;
pub mod partners;
pub mod payments;
pub mod platform;
pub mod receipts;
pub mod recharge;
pub mod referrals;
pub mod reports;
pub mod roles;
pub mod subscriptions;
pub mod telemetry;
pub mod transactions;
pub mod users;
pub mod verify;
pub mod wallet;
