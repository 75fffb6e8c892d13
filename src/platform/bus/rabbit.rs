//! RabbitMQ as the message bus: what the relay publishes, and the consumers' feeds.
//!
//! Each actor has a connection of its own and makes it anew when it is lost; the client library's own recovery is not
//! used. Nothing is settled before its effect is durable, and nothing is counted as sent before the broker confirms it.

mod bus;
mod commands;
mod events;
mod feed;
mod letter;
mod link;
mod parking;
mod results;
mod topology;

pub use bus::RabbitBus;
pub use commands::CommandFeed;
pub use events::EventFeed;
pub use link::{Fate, Link, LinkError, Outgoing, Publisher, Rabbit};
pub use parking::ParkingFeed;
pub use topology::{Delay, EventQueue, Topology};
