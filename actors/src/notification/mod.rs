//! Notices for people: which events make which, the actor that writes them, the hub for those who listen, the channels to
//! the outside, and who reminds.
//!
//! What a new event tells: an arm in `rules.rs`, and a line in each file of `templates/`.

mod actor;
mod announcer;
mod autopay;
pub mod channel;
mod hub;
mod notice;
mod payments;
mod port;
mod reminders;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub use actor::{NotificationActor, NotificationParts, Notifier, Write};
pub use announcer::{AnnounceError, Announcements, Announcer};
pub use hub::{Hub, HubActor, LISTENERS, LISTENERS_EACH, Listening, NoListening};
pub use notice::{Channels, Notice, NoticeId, NoticeKind, NoticeStatus, Readers, Recipient, Sender};
pub use port::{Audience, Change, NoticePage, NotificationStore, NotificationStoreError, Posted};
pub use reminders::{REMIND_BEFORE, ReminderStore, Reminders, RemindersError};
pub use rules::{DIGEST_ABOVE, Rules, Wishes, notices_of};
pub use words::Language;
