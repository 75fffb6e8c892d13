//! `gencharge backup` and `gencharge restore`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gencharge_actors::backup::Progress;

use super::{BackupArgs, Failure, RestoreArgs};
use crate::app::Parts;
use crate::app::stores::{COLLECTIONS, Stores};
use crate::audit::Entry;
use crate::backups::{BackupDesk, BackupError, Done, NewBackup, Order, Restoration};
use crate::config::Config;
use crate::platform::postgres::Database;
use crate::platform::tls;

/// How often the progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// Makes a backup of everything.
pub(super) async fn backup(
    config: &Config,
    database: &Database,
    args: &BackupArgs,
) -> Result<ExitCode, Failure> {
    let order = Order::Backup(NewBackup {
        label: "command line".to_owned(),
        description: None,
        choices: Vec::new(),
        output: args.output.clone(),
        by: Entry::by_system("CREATE_BACKUP", "backups", ""),
    });
    if let Done::Backup(made) = run(config, database, order).await? {
        println!("{} ({} bytes, {} rows)", made.path.display(), made.bytes, made.rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// Restores a file into a new database.
pub(super) async fn restore(
    config: &Config,
    database: &Database,
    args: &RestoreArgs,
) -> Result<ExitCode, Failure> {
    let order = Order::Restore(Restoration {
        backup_id: None,
        file: args.file.clone(),
        target: args.into.clone(),
        clean: args.clean,
        by: Entry::by_system("RESTORE_BACKUP", "backups", ""),
    });
    if let Done::Restore(restored) = run(config, database, order).await? {
        println!(
            "{} rows, {} invariants hold in database {}",
            restored.rows, restored.invariants, restored.target_db
        );
        if restored.ready_for_switching {
            println!("to switch: stop the server, let DATABASE_URL name {}, start it", restored.target_db);
        } else {
            println!("it holds a part of the tables: do not switch to it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(config: &Config, database: &Database, order: Order) -> Result<Done, Failure> {
    tls::use_ring();
    database.migrate().await?;
    let parts = Parts::new(config.clone(), database.pool().clone())?;
    let stores = Stores::open(&parts, None).await?;
    let desk = BackupDesk::new(
        config,
        database.connect_options(),
        database.pool().clone(),
        Arc::clone(&stores.documents),
        COLLECTIONS,
        (parts.clock, parts.random),
    );
    let progress = Progress::default();
    let mut job = Box::pin(desk.perform(order, progress.clone()));
    let mut ticks = tokio::time::interval(SHOWN_EVERY);
    let outcome: Result<Done, BackupError> = loop {
        tokio::select! {
            outcome = &mut job => break outcome,
            _ = ticks.tick() => eprint!(
                "\rtables: {}, rows: {}, MB: {} ",
                progress.tables.get(), progress.rows.get(), progress.bytes.get() / 1_000_000
            ),
        }
    };
    eprintln!();
    Ok(outcome?)
}
