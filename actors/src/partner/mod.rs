//! Partners ask by message: CloudEvents 1.0 in JSON, read strictly. What cannot be read is set aside with the reason;
//! what can becomes an order for the partner's own wallet.
//!
//! | file | what it holds |
//! |---|---|
//! | `command` | the commands' types and data, and their schemas |
//! | `message` | from bytes to a command, or to why not |

mod command;
mod message;

pub use command::{COMMANDS, Command, CommandType, RechargeRequested, TopUpRequested};
pub use message::{CONTENT_TYPE, MAX_BYTES, Message, PartnerRef, decode};

#[cfg(test)]
mod tests;
