//! The broker in the path: events out to consumers, commands in, what nobody can take.

mod bad_input;
mod commands;
mod definitions;
mod events;
mod parking;
mod same;
