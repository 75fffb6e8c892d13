//! Notices for people: which events make which, the actor that writes them, and the hub for those who listen.

mod actor;
mod autopay;
mod hub;
mod notice;
mod port;
mod rules;
#[cfg(test)]
mod tests;

pub use actor::{NotificationActor, Notifier, Write};
pub use hub::{Hub, HubActor, LISTENERS, LISTENERS_EACH, Listening, NoListening};
pub use notice::{Channels, Notice, NoticeId, NoticeKind, NoticeStatus, Readers, Recipient, Sender};
pub use port::{Audience, Change, NoticePage, NotificationStore, NotificationStoreError, Posted};
pub use rules::{DIGEST_ABOVE, notices_of};
