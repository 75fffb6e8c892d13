//! The stores behind ports: each port has one suite that every store must pass; and what happens while a store is away.

mod away;
mod codes;
mod documents;
mod notices;
mod upkeep;
