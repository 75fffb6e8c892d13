//! The way of events from the database to those who consume them (see [`gencharge_actors::relay`]).

pub mod outbox;
pub mod rabbit;
