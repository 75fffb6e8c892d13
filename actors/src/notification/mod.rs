//! Notices for people: which events make which, and the actor that writes them.

mod actor;
mod notice;
mod port;
mod rules;
#[cfg(test)]
mod tests;

pub use actor::{NotificationActor, Notifier, Write};
pub use notice::{Notice, NoticeId, NoticeKind, NoticeStatus, Recipient, Sender};
pub use port::{Audience, NoticePage, NotificationStore, NotificationStoreError};
pub use rules::{DIGEST_ABOVE, notices_of};
