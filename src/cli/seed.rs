//! `gencharge seed`: demo data, customers for load, history for measuring at size.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use gencharge_actors::kernel::{
    AccountStatus, Clock, Paise, PhoneNumber, SystemClock, SystemRandom, UserId, UserType,
};
use sqlx::{Connection, PgConnection};

use super::demo;
use super::people::seed_people;
use super::seed_history::seed_transactions;
use super::{Failure, SeedArgs};
use crate::analytics::PgRollUp;
use crate::auth::{CUSTOMER_ROLE, Keys, Subject, SubjectKind, mint};
use crate::catalogue::seed_catalogue;
use crate::config::{Config, secret_key};
use crate::platform::postgres::Database;
use crate::users::{NewCustomer, demo_customers, insert_customers};
use crate::wallet::post_opening_balances;

/// Customers made in one transaction.
const CHUNK: u32 = 5_000;
/// The first number of the load customers, in E.164; theirs are the 600 million after it.
const FIRST_LOAD_PHONE: i64 = 916_000_000_000;
/// What each active demo customer starts with.
const DEMO_BALANCE: Paise = Paise::new(500_000);

pub(super) async fn run(config: &Config, database: &Database, args: &SeedArgs) -> Result<ExitCode, Failure> {
    database.migrate().await?;
    if args.demo {
        demo(config, database).await?;
    }
    if let (Some(count), Some(path)) = (args.load_users, &args.tokens) {
        load_users(config, database, args, count, path).await?;
    }
    if let Some(count) = args.transactions {
        history(config, database, count).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// May be repeated: what is there stays as it is.
async fn demo(config: &Config, database: &Database) -> Result<(), Failure> {
    let now = SystemClock.now();
    let mut connection = database.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    let reward = Paise::new(config.recharge.referral_reward_paise);
    seed_people(&mut transaction, reward, now).await?;
    // The plans were on sale when the history begins.
    seed_catalogue(&mut transaction, now - TimeDelta::days(demo::DAYS + 2)).await?;
    let funded = unfunded_demo_customers(&mut transaction).await?;
    post_opening_balances(&mut transaction, &funded, DEMO_BALANCE, now).await?;
    let added = demo::seed_history(&mut transaction, reward, now).await?;
    transaction.commit().await?;
    demo::seed_documents(config, database).await?;
    eprintln!(
        "demo data is in place: {} customers and {} orders added{}",
        added.customers,
        added.orders,
        if added.refused > 0 { ", others did not fit the catalogue" } else { "" }
    );
    Ok(())
}

/// Active demo customers whose wallets were never used.
async fn unfunded_demo_customers(db: &mut PgConnection) -> Result<Vec<(UserId, PhoneNumber)>, Failure> {
    let phones: Vec<i64> = demo_customers().iter().map(|customer| customer.phone.e164()).collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT user_id, users.phone FROM users JOIN wallets ON wallet_id = user_id
         WHERE users.phone = ANY($1) AND users.status = 'active' AND transactions = 0 AND seq = 0",
    )
    .bind(phones)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|(user, phone)| Ok((UserId(user), PhoneNumber::from_e164(phone)?))).collect()
}

/// Makes `count` new customers, each with its opening balance, and writes a line `phone token` for each.
async fn load_users(
    config: &Config,
    database: &Database,
    args: &SeedArgs,
    count: u32,
    path: &Path,
) -> Result<(), Failure> {
    let keys = Keys::derive(secret_key(config)?.expose())?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = BufWriter::new(file.map_err(|error| format!("--tokens: {}: {error}", path.display()))?);
    let mut next = next_load_phone(database).await?;
    let mut made = 0_u32;
    while made < count {
        let wanted = CHUNK.min(count - made);
        let numbers = next..next.saturating_add(i64::from(wanted));
        next = numbers.end;
        let customers = numbers.map(load_customer).collect::<Result<Vec<_>, Failure>>()?;
        let customers = insert_load_customers(database, &customers, Paise::new(args.balance)).await?;
        let subjects: Vec<Subject> = customers.iter().map(subject).collect();
        let tokens =
            mint(database.pool(), &keys, &SystemClock, &SystemRandom, &subjects, args.token_ttl).await?;
        for ((_, phone), token) in customers.iter().zip(tokens) {
            writeln!(file, "{} {token}", phone.national())?;
        }
        made = made.saturating_add(u32::try_from(customers.len())?);
        eprint!("\rload customers: {made} of {count}");
    }
    file.flush()?;
    eprintln!("; their tokens are in {}", path.display());
    Ok(())
}

async fn next_load_phone(database: &Database) -> Result<i64, Failure> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(phone) FROM users WHERE phone BETWEEN $1 AND $2")
        .bind(FIRST_LOAD_PHONE)
        .bind(FIRST_LOAD_PHONE + 599_999_999)
        .fetch_one(database.pool())
        .await?;
    Ok(last.map_or(FIRST_LOAD_PHONE, |last| last.saturating_add(1)))
}

fn load_customer(phone: i64) -> Result<NewCustomer, Failure> {
    let phone = PhoneNumber::from_e164(phone)?;
    let number = phone.national();
    Ok(NewCustomer {
        phone,
        name: Some(format!("Load Customer {number}")),
        email: Some(format!("load.{number}@example.com")),
        user_type: Some(UserType::Prepaid),
        status: AccountStatus::Active,
        referral_code: format!("L{number}"),
    })
}

async fn insert_load_customers(
    database: &Database,
    customers: &[NewCustomer],
    balance: Paise,
) -> Result<Vec<(UserId, PhoneNumber)>, Failure> {
    let now = SystemClock.now();
    let mut transaction = database.pool().begin().await?;
    let made = insert_customers(&mut transaction, customers, now).await?;
    post_opening_balances(&mut transaction, &made, balance, now).await?;
    transaction.commit().await?;
    Ok(made)
}

fn subject((user, phone): &(UserId, PhoneNumber)) -> Subject {
    Subject { kind: SubjectKind::User, id: user.get(), phone: *phone, role: CUSTOMER_ROLE.to_owned() }
}

/// History ends before the outbox's retention begins: it has no events.
async fn history(config: &Config, database: &Database, count: u64) -> Result<(), Failure> {
    let retention = TimeDelta::from_std(config.postgres.outbox_retention)?;
    let until: chrono::DateTime<Utc> = SystemClock.now() - retention - TimeDelta::days(1);
    let written = seed_transactions(database.pool(), count, until, |done| {
        eprint!("\rtransactions: {done} of {count}");
    })
    .await?;
    eprintln!("; {written} written");
    // As the server has it long before a history is so long.
    PgRollUp::new(database.pool().clone(), Arc::new(SystemClock), config.timezone).sum_up().await?;
    Ok(())
}
