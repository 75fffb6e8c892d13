//! Ways to the outside: text messages and e-mail. A channel's actor follows the notices in their order and delivers copies; what
//! it cannot deliver is tried again later, and set aside when it never can be.

mod actor;
mod codes;
mod message;
mod port;

pub use actor::{ChannelActor, ChannelParts, ChannelSettings};
pub use codes::{CodeSlot, Codes, CodesActor, CodesFull, CodesOut};
pub use message::Message;
pub use port::{
    Channel, Contact, DeliveryError, DeliveryStore, Failure, People, PeopleError, SendError, Settled,
};
