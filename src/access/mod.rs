//! Roles and permissions: which administrator may do what.

mod book;
mod changes;
mod seed;
mod words;

pub use book::{AccessBook, Role};
pub use changes::{exceeds, lock_changes};
pub use seed::{
    ADMINS_PER_ROLE, ROLES, SUPER_ADMIN, SuperAdmin, ensure_super_admin, seed_admins, seed_roles,
};
pub use words::{Action, Flags, Permissions, Resource};
