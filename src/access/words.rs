//! Resources and actions, and sets of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $index:literal;)*) => {
        /// What a right is about. The words are those of the `permissions` table and of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Resource {
            $($(#[$doc])* $name,)*
        }

        impl Resource {
            /// Every resource, in the order in which the seed numbers them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word as stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            const fn index(self) -> u32 {
                match self { $(Self::$name => $index,)* }
            }

            /// The resource of that word; `None` for words this version does not know.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

resources! {
    /// Customers.
    Users = "Users", 0;
    /// Left over in the reference; nothing asks for it.
    Posts = "Posts", 1;
    /// Reports.
    Reports = "Reports", 2;
    /// Administrators.
    Admins = "Admins", 3;
    /// An administrator's own profile.
    AdminMe = "Admin_me", 4;
    /// Plan groups.
    PlanGroups = "PlanGroups", 5;
    /// Plans.
    Plans = "Plans", 6;
    /// Offer types.
    OfferType = "OfferType", 7;
    /// Offers.
    Offers = "Offers", 8;
    /// Recharges, transactions, wallets.
    Recharge = "Recharge", 9;
    /// Autopay rules.
    Autopay = "Autopay", 10;
    /// Referrals.
    Referral = "Referral", 11;
    /// Contact forms.
    ContactForm = "Contact-form", 12;
    /// Content pages.
    Content = "Content", 13;
    /// Announcements.
    Announcement = "Announcement", 14;
    /// Backups.
    Backup = "Backup", 15;
    /// Sessions.
    Sessions = "Sessions", 16;
    /// Roles and permissions.
    Roles = "Roles", 17;
    /// The audit log.
    AuditLogs = "AuditLogs", 18;
    /// Partners and their wallets.
    Partners = "Partners", 19;
    /// Messages and events that nobody could take.
    Messages = "Messages", 20;
}

/// What can be done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look at it.
    Read,
    /// Make new ones.
    Write,
    /// Change it.
    Edit,
    /// Remove it.
    Delete,
}

impl Action {
    /// All four.
    pub const ALL: &'static [Self] = &[Self::Read, Self::Write, Self::Edit, Self::Delete];

    /// The word as in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Edit => "edit",
            Self::Delete => "delete",
        }
    }

    const fn index(self) -> u32 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Edit => 2,
            Self::Delete => 3,
        }
    }
}

/// The four flags of one resource, as rows and answers carry them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
#[serde(default)]
pub struct Flags {
    /// [`Action::Read`]
    pub read: bool,
    /// [`Action::Write`]
    pub write: bool,
    /// [`Action::Edit`]
    pub edit: bool,
    /// [`Action::Delete`]
    pub delete: bool,
}

impl Flags {
    /// From letters: `r` read, `w` write, `e` edit, `d` delete.
    #[must_use]
    pub fn from_letters(letters: &str) -> Self {
        Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            edit: letters.contains('e'),
            delete: letters.contains('d'),
        }
    }

    /// Whether every flag of `other` is set here too.
    #[must_use]
    pub fn cover(self, other: Self) -> bool {
        Action::ALL.iter().all(|action| self.get(*action) || !other.get(*action))
    }

    /// The flag of one action.
    #[must_use]
    pub const fn get(self, action: Action) -> bool {
        match action {
            Action::Read => self.read,
            Action::Write => self.write,
            Action::Edit => self.edit,
            Action::Delete => self.delete,
        }
    }
}

/// A set of (resource, action) pairs: four bits a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u128);

impl Permissions {
    /// Adds the flags of a resource.
    pub fn grant(&mut self, resource: Resource, flags: Flags) {
        for action in Action::ALL {
            if flags.get(*action) {
                self.0 |= bit(resource, *action);
            }
        }
    }

    /// Whether the pair is in the set.
    #[must_use]
    pub const fn allow(self, resource: Resource, action: Action) -> bool {
        self.0 & bit(resource, action) != 0
    }
}

const fn bit(resource: Resource, action: Action) -> u128 {
    1_u128 << (resource.index() * 4 + action.index())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_own_bit() {
        let mut seen = 0_u128;
        for resource in Resource::ALL {
            assert_eq!(Resource::from_word(resource.as_str()), Some(*resource));
            for action in Action::ALL {
                assert_eq!(seen & bit(*resource, *action), 0, "{resource:?} {action:?}");
                seen |= bit(*resource, *action);
            }
        }
        assert_eq!(Resource::from_word("users"), None);
    }

    #[test]
    fn granting_one_right_grants_no_other() {
        let mut rights = Permissions::default();
        rights.grant(Resource::Users, Flags::from_letters("re"));
        assert!(rights.allow(Resource::Users, Action::Read) && rights.allow(Resource::Users, Action::Edit));
        assert!(
            !rights.allow(Resource::Users, Action::Delete) && !rights.allow(Resource::Admins, Action::Read)
        );
    }
}
