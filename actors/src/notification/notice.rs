//! A notice and its words.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::kernel::{AdminId, EventId, UserId};

/// The notice's id: 12 bytes, shown as 24 hex digits (a MongoDB object id).
///
/// It is made of a time, the id of what caused it, and the part it plays, so that the same cause gives the same id at
/// every delivery, and ids of later notices sort behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeId([u8; 12]);

/// Which of the notices of one cause it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// To the customer that the event is about.
    Customer,
    /// To the other customer: owner of the number, receiver of the money.
    Other,
    /// To the administrators.
    Admins,
    /// To the administrators, for a whole batch; its cause is the batch.
    Digest,
    /// An administrator's announcement; its cause is a random number.
    Announcement,
    /// To the customer, by text message.
    Message,
    /// To the customer, by e-mail.
    Email,
    /// To the customer, about the wallet's balance.
    Balance,
}

impl Part {
    const fn byte(self) -> u8 {
        match self {
            Self::Customer => 1,
            Self::Other => 2,
            Self::Admins => 3,
            Self::Digest => 4,
            Self::Announcement => 5,
            Self::Message => 6,
            Self::Email => 7,
            Self::Balance => 8,
        }
    }
}

impl NoticeId {
    pub(super) fn of_event(event: EventId, at: DateTime<Utc>, part: Part) -> Self {
        Self::made(event.get(), at, part)
    }

    pub(super) fn of_batch(batch_id: i64, at: DateTime<Utc>) -> Self {
        Self::made(batch_id, at, Part::Digest)
    }

    /// A new announcement's id; `random` keeps those of one second apart.
    #[must_use]
    pub fn of_announcement(random: i64, at: DateTime<Utc>) -> Self {
        Self::made(random, at, Part::Announcement)
    }

    /// The id of 24 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; 12];
        if text.len() != 24 {
            return None;
        }
        for (place, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *place = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(bytes))
    }

    /// 4 bytes of seconds, 7 of the cause's id, 1 of the part. An id beyond 2^56 would take ages to reach.
    fn made(cause: i64, at: DateTime<Utc>, part: Part) -> Self {
        let seconds = u32::try_from(at.timestamp().clamp(0, u32::MAX.into())).unwrap_or(0);
        let mut bytes = [0; 12];
        let [_, cause @ ..] = cause.to_be_bytes();
        let all = seconds.to_be_bytes().into_iter().chain(cause).chain([part.byte()]);
        for (place, byte) in bytes.iter_mut().zip(all) {
            *place = byte;
        }
        Self(bytes)
    }
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who sees a notice. Customers and administrators have number spaces of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// One customer.
    User(UserId),
    /// One administrator.
    Admin(AdminId),
    /// Every administrator.
    AllAdmins,
    /// Every customer.
    AllUsers,
    /// Every prepaid customer.
    PrepaidUsers,
    /// Every postpaid customer.
    PostpaidUsers,
    /// Every blocked customer.
    Blocked,
}

/// Whose notices a consumer writes: with a broker, customers' and administrators' have queues of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody's.
    Everyone,
    /// Customers'.
    Customers,
    /// Administrators'.
    Administrators,
}

impl Readers {
    /// Whether a notice for `recipient` is theirs.
    #[must_use]
    pub const fn include(self, recipient: Recipient) -> bool {
        let administrators = matches!(recipient, Recipient::Admin(_) | Recipient::AllAdmins);
        match self {
            Self::Everyone => true,
            Self::Customers => !administrators,
            Self::Administrators => administrators,
        }
    }
}

impl Recipient {
    /// The word in `recipient_type`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Admin(_) => "admin",
            Self::AllAdmins => "all_admin",
            Self::AllUsers => "all_user",
            Self::PrepaidUsers => "prepaid_users",
            Self::PostpaidUsers => "postpaid_users",
            Self::Blocked => "blocked",
        }
    }

    /// The recipient of these words, as stored.
    #[must_use]
    pub fn of(kind: &str, id: Option<i64>) -> Option<Self> {
        Some(match (kind, id) {
            ("user", Some(id)) => Self::User(UserId(id)),
            ("admin", Some(id)) => Self::Admin(AdminId(id)),
            ("all_admin", None) => Self::AllAdmins,
            ("all_user", None) => Self::AllUsers,
            ("prepaid_users", None) => Self::PrepaidUsers,
            ("postpaid_users", None) => Self::PostpaidUsers,
            ("blocked", None) => Self::Blocked,
            _ => return None,
        })
    }

    /// The number in `recipient_id`; groups have none.
    #[must_use]
    pub const fn id(self) -> Option<i64> {
        match self {
            Self::User(user) => Some(user.get()),
            Self::Admin(admin) => Some(admin.get()),
            Self::AllAdmins | Self::AllUsers | Self::PrepaidUsers | Self::PostpaidUsers | Self::Blocked => {
                None
            }
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// The system.
    System,
    /// An administrator.
    Admin,
}

/// Whether it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeStatus {
    /// It can be read.
    Delivered,
    /// It was read.
    Viewed,
}

/// What sort of notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// To a group.
    Announcement,
    /// To everybody.
    Broadcast,
    /// Something is due.
    Reminder,
    /// A text message.
    Message,
    /// In the application.
    #[serde(rename = "in-app")]
    InApp,
    /// By e-mail.
    Email,
}

/// Where a copy of a notice goes besides the recipient's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels(u8);

impl Channels {
    /// Nowhere.
    pub const NONE: Self = Self(0);
    /// A text message.
    pub const SMS: Self = Self(1);
    /// An e-mail.
    pub const EMAIL: Self = Self(2);
    /// Both.
    pub const ALL: Self = Self(3);

    /// As stored.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From what was stored; unknown bits are dropped.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A notice, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// Who speaks.
    pub sender: Sender,
    /// What it says.
    pub description: String,
    /// Who sees it.
    pub recipient: Recipient,
    /// Whether it was seen.
    pub status: NoticeStatus,
    /// What sort.
    pub kind: NoticeKind,
    /// A JSON object with what it is about.
    pub attachments: String,
    /// When what it tells happened.
    pub created_at: DateTime<Utc>,
    /// Not shown before; `None`: at once.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// Where copies go.
    pub channels: Channels,
}

impl From<UserId> for Recipient {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

impl From<AdminId> for Recipient {
    fn from(admin: AdminId) -> Self {
        Self::Admin(admin)
    }
}
