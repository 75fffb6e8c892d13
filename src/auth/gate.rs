//! Decides on every request whether a token still holds, from memory: no SQL on the way.
//!
//! A token's signature and time say that it was given out; what has been taken back since (sessions, customers who are no
//! longer active, administrators and their roles) is held here. The [listener](super::listener) keeps it current; while
//! it is away, every check goes to SQL instead, because memory may then be behind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use gencharge_actors::kernel::{AccountStatus, Actor, AdminId, Clock, PhoneNumber, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use super::listener::{CHANNEL, Hint};
use super::token::{AccessClaims, Keys, SubjectKind};
use crate::access::{AccessBook, Action, Resource, Role};
use crate::audit::Entry;
use crate::http::Problem;
use crate::platform::redis::Announcer;

/// A signed-in customer. As a handler's argument: 401 without a valid token, 403 for an administrator's.
#[derive(Clone, Debug)]
pub struct Customer {
    /// Who.
    pub user_id: UserId,
    /// The number signed in with.
    pub phone: PhoneNumber,
    /// The sign-in.
    pub session: Uuid,
}

/// A signed-in customer whose account may be paused; everything else is as for [`Customer`].
#[derive(Clone, Debug)]
pub struct PausedCustomer(pub Customer);

/// A signed-in administrator. As a handler's argument: 401 without a valid token, 403 for a customer's.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// Who.
    pub admin_id: AdminId,
    /// The number signed in with.
    pub phone: PhoneNumber,
    /// The sign-in.
    pub session: Uuid,
    /// What the administrator may do now.
    pub role: Arc<Role>,
}

impl Administrator {
    /// Passes when the role allows `action` on `resource`.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(&self, resource: Resource, action: Action) -> Result<(), Problem> {
        if self.role.permissions.allow(resource, action) { Ok(()) } else { Err(Problem::forbidden()) }
    }

    /// An entry for the audit log about something that this administrator does.
    pub fn audits(&self, action: &'static str, service: &'static str, target: impl Into<String>) -> Entry {
        Entry::new(Actor::Admin(self.admin_id), &self.role.name, action, service, target)
    }
}

/// Whoever is signed in.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A customer.
    Customer(Customer),
    /// An administrator.
    Administrator(Administrator),
}

impl Principal {
    /// The sign-in.
    #[must_use]
    pub fn session(&self) -> Uuid {
        match self {
            Self::Customer(customer) => customer.session,
            Self::Administrator(administrator) => administrator.session,
        }
    }
}

/// What the gate can say at once.
#[derive(Debug)]
pub enum Admission {
    /// Decided.
    Decided(Result<Principal, Problem>),
    /// The token is genuine, but memory may be behind: ask [`Gate::check_in_store`].
    AskStore(AccessClaims),
}

#[derive(Debug, Default)]
struct Taken {
    /// Revoked sessions, and when their last access token expires (seconds of the Unix epoch).
    sessions: HashMap<Uuid, i64>,
    /// Customers who are not active.
    standing: HashMap<i64, AccountStatus>,
    /// Counts changes made by this process, so that a reading from SQL that began before one is not taken over it.
    epoch: u64,
}

/// Everything that was taken back, read from SQL at one moment.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub sessions: Vec<(Uuid, i64)>,
    /// `None`: active, or no such customer (whose sessions are then revoked).
    pub standing: Vec<(i64, Option<AccountStatus>)>,
    /// True when `standing` lists every customer who is not active.
    pub complete: bool,
}

struct Inner {
    keys: Keys,
    clock: Arc<dyn Clock>,
    pool: PgPool,
    announcer: Announcer,
    live: AtomicBool,
    book: ArcSwap<AccessBook>,
    reading_book: tokio::sync::Mutex<()>,
    taken: RwLock<Taken>,
}

/// The gate; clones share it.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

impl Gate {
    /// A gate that asks SQL until a listener has loaded it.
    #[must_use]
    pub fn new(keys: Keys, clock: Arc<dyn Clock>, pool: PgPool, announcer: Announcer) -> Self {
        Self(Arc::new(Inner {
            keys,
            clock,
            pool,
            announcer,
            live: AtomicBool::new(false),
            book: ArcSwap::from_pointee(AccessBook::default()),
            reading_book: tokio::sync::Mutex::default(),
            taken: RwLock::default(),
        }))
    }

    /// Decides about an access token; `paused`: a customer who has paused the account is let in too.
    #[must_use]
    pub fn admit(&self, token: &str, paused: bool) -> Admission {
        let Ok(claims) = self.0.keys.open_access(token, self.0.clock.now()) else {
            return Admission::Decided(Err(Problem::not_authenticated()));
        };
        if !self.is_live() {
            return Admission::AskStore(claims);
        }
        let refused = {
            let taken = self.read();
            taken.sessions.contains_key(&claims.session)
                || (claims.subject.kind == SubjectKind::User
                    && match taken.standing.get(&claims.subject.id) {
                        None | Some(AccountStatus::Active) => false,
                        Some(AccountStatus::Deactive) => !paused,
                        Some(AccountStatus::Blocked) => true,
                    })
        };
        if refused {
            return Admission::Decided(Err(Problem::not_authenticated()));
        }
        Admission::Decided(principal(claims, &self.0.book.load()))
    }

    /// Decides from SQL, for the time without a listener.
    ///
    /// # Errors
    /// `not_authenticated`, or `unavailable` when the database is away too.
    pub async fn check_in_store(&self, claims: AccessClaims, paused: bool) -> Result<Principal, Problem> {
        let mut db = self.0.pool.acquire().await?;
        let holds: Option<bool> = sqlx::query_scalar(
            "SELECT s.revoked_at IS NULL AND (s.subject_kind = 'admin' OR EXISTS ( \
                 SELECT 1 FROM users u WHERE u.user_id = s.subject_id \
                   AND (u.status = 'active' OR ($4 AND u.status = 'deactive')))) \
             FROM sessions s WHERE s.session_id = $1 AND s.subject_kind = $2 AND s.subject_id = $3",
        )
        .bind(claims.session)
        .bind(claims.subject.kind.as_str())
        .bind(claims.subject.id)
        .bind(paused)
        .fetch_optional(&mut *db)
        .await?
        .flatten();
        if holds != Some(true) {
            return Err(Problem::not_authenticated());
        }
        let book = match claims.subject.kind {
            SubjectKind::Admin => AccessBook::load(&mut db).await?,
            SubjectKind::User => AccessBook::default(),
        };
        principal(claims, &book)
    }

    /// True while memory is current.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.live.load(Ordering::Acquire)
    }

    /// Takes a session back at once in this process; `until` is when its last access token expires (Unix seconds).
    pub fn revoke_session(&self, session: Uuid, until: i64) {
        let mut taken = self.write();
        taken.sessions.insert(session, until);
        taken.epoch = taken.epoch.wrapping_add(1);
        drop(taken);
        self.announce(Hint::Session(session, until));
    }

    /// Notes a customer's new state at once in this process.
    pub fn set_standing(&self, user: UserId, status: AccountStatus) {
        let mut taken = self.write();
        taken.note(user.get(), Some(status));
        taken.epoch = taken.epoch.wrapping_add(1);
        drop(taken);
        self.announce(Hint::User(user.get()));
    }

    /// Replaces what administrators may do, at once in this process: call it after a change to roles or administrators
    /// is committed (with a NOTIFY in the same transaction for the others).
    ///
    /// # Errors
    /// Those of the database; the listener then brings the change within a second.
    pub async fn reload_book(&self) -> Result<(), sqlx::Error> {
        // One reading at a time, so that none is stored over a later one.
        let _reading = self.0.reading_book.lock().await;
        let mut db = self.0.pool.acquire().await?;
        self.0.book.store(Arc::new(AccessBook::load(&mut db).await?));
        Ok(())
    }

    /// The same when the change is done and only memory is behind: a failure is the listener's to mend.
    pub async fn changed_book(&self) {
        if let Err(error) = self.reload_book().await {
            tracing::warn!(error = %error, "access.book_late");
        }
        self.announce(Hint::Book);
    }

    /// Tells the others sooner than the NOTIFY, where there is a way.
    fn announce(&self, hint: Hint) {
        self.0.announcer.announce(CHANNEL, hint.payload());
    }

    /// The role of an administrator as memory has it.
    #[must_use]
    pub fn role_of(&self, admin: AdminId) -> Option<Arc<Role>> {
        self.0.book.load().role_of(admin)
    }

    pub(super) fn set_live(&self, live: bool) {
        self.0.live.store(live, Ordering::Release);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.read().epoch
    }

    /// Takes over a reading from SQL, unless this process changed something since `epoch` (then read again).
    pub(super) fn take_over(&self, reading: Reading, epoch: u64) -> bool {
        let mut taken = self.write();
        if taken.epoch != epoch {
            return false;
        }
        if reading.complete {
            taken.standing.clear();
        }
        for (user, status) in reading.standing {
            taken.note(user, status);
        }
        // Sessions are only ever added: a revocation is final.
        taken.sessions.extend(reading.sessions);
        true
    }

    /// Forgets revoked sessions whose tokens have all expired.
    pub(super) fn forget_expired(&self) {
        let now = self.0.clock.now().timestamp();
        self.write().sessions.retain(|_, until| *until > now);
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    // A panic while the lock was held cannot have left half an entry: each change is one insertion or removal.
    fn read(&self) -> RwLockReadGuard<'_, Taken> {
        self.0.taken.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Taken> {
        self.0.taken.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn note(&mut self, user: i64, status: Option<AccountStatus>) {
        match status {
            None | Some(AccountStatus::Active) => self.standing.remove(&user),
            Some(status) => self.standing.insert(user, status),
        };
    }
}

fn principal(claims: AccessClaims, book: &AccessBook) -> Result<Principal, Problem> {
    let AccessClaims { subject, session } = claims;
    match subject.kind {
        SubjectKind::User => {
            Ok(Principal::Customer(Customer { user_id: UserId(subject.id), phone: subject.phone, session }))
        }
        SubjectKind::Admin => {
            let admin_id = AdminId(subject.id);
            let role = book.role_of(admin_id).ok_or_else(Problem::not_authenticated)?;
            Ok(Principal::Administrator(Administrator { admin_id, phone: subject.phone, session, role }))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use gencharge_actors::kernel::SystemClock;

    use super::super::token::{CUSTOMER_ROLE, Subject};
    use super::*;

    #[tokio::test]
    async fn what_is_taken_back_is_refused_and_a_reading_that_began_before_is_not_taken_over() {
        let keys = Keys::derive("0123456789abcdef0123456789abcdef").unwrap();
        // Never connected to: the gate is live, so nothing asks SQL.
        let pool = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
        let gate = Gate::new(keys.clone(), Arc::new(SystemClock), pool, Announcer::default());
        let phone = PhoneNumber::parse("9876543210").unwrap();
        let subject = Subject { kind: SubjectKind::User, id: 7, phone, role: CUSTOMER_ROLE.to_owned() };
        let now = SystemClock.now();
        let session = Uuid::from_u128(9);
        let until = now + TimeDelta::seconds(60);
        let token = keys.access(&subject, session, Uuid::nil(), now, until);
        let admit = |paused| matches!(gate.admit(&token, paused), Admission::Decided(Ok(_)));
        let admitted = || admit(false);
        assert!(matches!(gate.admit(&token, false), Admission::AskStore(_)));
        gate.set_live(true);
        assert!(admitted());
        gate.set_standing(UserId(7), AccountStatus::Blocked);
        assert!(!admitted());
        assert!(!admit(true));
        gate.set_standing(UserId(7), AccountStatus::Deactive);
        assert!(!admitted() && admit(true));
        let epoch = gate.epoch();
        gate.set_standing(UserId(7), AccountStatus::Blocked);
        let everyone_active = || Reading { complete: true, ..Reading::default() };
        assert!(!gate.take_over(everyone_active(), epoch));
        assert!(!admitted());
        assert!(gate.take_over(everyone_active(), gate.epoch()));
        assert!(admitted());
        gate.revoke_session(session, until.timestamp());
        assert!(gate.take_over(everyone_active(), gate.epoch()));
        gate.forget_expired();
        assert!(!admitted());
    }
}
