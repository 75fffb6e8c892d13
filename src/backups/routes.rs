//! `/backup/backup`, and the same under `/backups`.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::dump::{Choice, Range};
use super::rows::Row;
use super::service::{Backups, NewBackup};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::json::parse_body;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{FieldError, Problem};

/// How long the answer waits for the backup to end.
const WAIT: Duration = Duration::from_secs(20);
/// Tables that may be named.
const MAX_TABLES: usize = 100;
/// The longest label and the longest description.
const MAX_LABEL: usize = 100;
const MAX_DESCRIPTION: usize = 1_000;

/// Names that tables also go by; capitals and underscores do not matter.
const ALIASES: [(&str, &str); 5] = [
    ("usersarchieve", "archived_users"),
    ("tokenrevocation", "sessions"),
    ("currentactiveplans", "subscriptions"),
    ("autopay", "autopay_rules"),
    ("backup", "backups"),
];

/// The routes of this feature. They need `web::Data` of [`Backups`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let other = || web::to(method_not_allowed);
    // The documented paths come first: they name the route.
    cfg.service(
        web::resource(["/backup/backup/create", "/backups/create"])
            .route(web::post().to(create_backup))
            .default_service(other()),
    )
    .service(
        web::resource(["/backup/backup", "/backups"])
            .route(web::get().to(list_backups))
            .default_service(other()),
    )
    .service(
        web::resource(["/backup/backup/{backup_id}", "/backups/{backup_id}"])
            .route(web::delete().to(delete_backup))
            .default_service(other()),
    )
    .service(
        web::resource(["/backup/backup/{backup_id}/restore", "/backups/{backup_id}/restore"])
            .route(web::post().to(restore_backup))
            .default_service(other()),
    );
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(create_backup, list_backups, delete_backup, restore_backup),
    components(schemas(TableBackupConfig))
)]
pub struct Docs;

/// A table, and which of its rows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the objects, which are read field by field")]
struct TableBackupConfig {
    /// Such as `transactions`.
    table_name: String,
    /// A column with a time; needed with the dates.
    date_column: Option<String>,
    /// At or after this time or day.
    start_date: Option<String>,
    /// Before this time, or up to the end of this day.
    end_date: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct BackupCreateRequest {
    /// What it is of, in your words; 1 to 100 characters.
    backup_data: String,
    /// At most 1000 characters.
    description: Option<String>,
    /// Empty or absent: everything.
    #[serde(default)]
    #[schema(value_type = Vec<TableBackupConfig>)]
    tables: Vec<serde_json::Map<String, Value>>,
}

#[derive(Serialize, ToSchema)]
struct BackupCreateResponse {
    backup_id: Option<String>,
    /// The file's name.
    backup_file: String,
    /// The file on the server.
    backup_path: String,
    /// Megabytes, two decimals.
    size_mb: String,
    message: &'static str,
}

#[derive(Deserialize, ToSchema)]
struct RestoreRequest {
    /// A new database on the same server: 1 to 50 small letters, digits or _.
    target_db: Option<String>,
    /// Replace the database of that name that an earlier restore has made.
    #[serde(default)]
    clean: bool,
}

#[derive(Serialize, ToSchema)]
struct RestoreResponse {
    message: &'static str,
    backup_id: String,
    target_db: String,
    clean: bool,
}

/// A backup.
#[derive(Serialize, ToSchema)]
struct BackupResponse {
    backup_id: String,
    backup_data: String,
    snapshot_name: String,
    storage_url: Option<String>,
    /// `running`, `success` or `failed`.
    backup_status: String,
    /// Megabytes, two decimals.
    size_mb: Option<String>,
    description: Option<String>,
    /// The file, the tables, and how each restore ended.
    #[schema(value_type = Option<Vec<Object>>)]
    details: Option<Value>,
    created_at: DateTime<Utc>,
    /// The administrator; null: the schedule or the command line.
    created_by: Option<i64>,
}

impl From<Row> for BackupResponse {
    fn from(row: Row) -> Self {
        Self {
            backup_id: row.backup_id,
            backup_data: row.backup_data,
            snapshot_name: row.snapshot_name,
            storage_url: row.storage_url,
            backup_status: row.status,
            size_mb: row.size_bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(megabytes),
            description: row.description,
            details: row.details.map(|details| match details {
                Value::Array(_) => details,
                other => Value::Array(vec![other]),
            }),
            created_at: row.created_at,
            created_by: row.created_by,
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

/// The table's name in the database, from ours or another that it goes by.
fn table_name(text: &str) -> String {
    let plain = |text: &str| text.replace('_', "").to_lowercase();
    let known = [
        "users",
        "admins",
        "roles",
        "permissions",
        "role_permissions",
        "transactions",
        "plans",
        "plan_groups",
        "offers",
        "offer_types",
        "referral_rewards",
        "bill_reminders",
        "sessions",
    ];
    let alias = ALIASES.iter().find(|(alias, _)| *alias == plain(text)).map(|(_, name)| *name);
    let name = alias.or_else(|| known.into_iter().find(|name| plain(name) == plain(text)));
    name.unwrap_or(text).to_owned()
}

/// Reads the tables, and names everything that is wrong with them.
fn choices(tables: &[serde_json::Map<String, Value>]) -> Result<Vec<Choice>, Problem> {
    let (mut choices, mut faults) = (Vec::with_capacity(tables.len()), Vec::new());
    if tables.len() > MAX_TABLES {
        return Err(Problem::field("tables", format!("must have at most {MAX_TABLES} entries")));
    }
    for (index, table) in tables.iter().enumerate() {
        let mut params = Params::of_object(table);
        let name = params.short_text("table_name", MAX_LABEL).map(|name| table_name(&name));
        if name.is_none() {
            params.fault("table_name", "must be a table's name");
        }
        let column = params.short_text("date_column", MAX_LABEL);
        let (from, to) = (params.moment("start_date"), params.end_moment("end_date"));
        if column.is_none() && (from.is_some() || to.is_some()) {
            params.fault("date_column", "must be given with dates");
        }
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            params.fault("end_date", "must not be before start_date");
        }
        match params.done() {
            Ok(()) => choices.extend(name.map(|table| {
                let range = column.filter(|_| from.is_some() || to.is_some());
                Choice { table, range: range.map(|column| Range { column, from, to }) }
            })),
            Err(problem) => faults.extend(problem.errors.into_iter().map(|fault| FieldError {
                field: format!("tables[{index}].{}", fault.field),
                message: fault.message,
            })),
        }
    }
    if faults.is_empty() { Ok(choices) } else { Err(Problem::fields(faults)) }
}

fn text(field: &str, text: &str, least: usize, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    if !(least..=most).contains(&text.chars().count()) || text.contains('\0') {
        return Err(Problem::field(field, format!("must have {least} to {most} characters")));
    }
    Ok(text.to_owned())
}

/// Make a backup of everything, or of some tables. The answer waits for it at most 20 seconds.
#[utoipa::path(post, path = "/backup/backup/create", tag = "Backups", security(("bearer" = [])),
    request_body = BackupCreateRequest,
    responses(
        (status = 201, body = BackupCreateResponse),
        (status = 202, body = BackupCreateResponse, description = "it takes longer: see GET /backup/backup/"),
        (status = 403, description = "needs Backup:write"),
        (status = 409, description = "state_conflict: another backup or restore is being done"),
    ))]
async fn create_backup(
    administrator: Administrator,
    backups: Data<Backups>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Backup, Action::Write)?;
    let body: BackupCreateRequest = parse_body(&body)?;
    let label = text("backup_data", &body.backup_data, 1, MAX_LABEL)?;
    let description = body.description.as_deref();
    let description = description.map(|it| text("description", it, 0, MAX_DESCRIPTION)).transpose()?;
    let choices = choices(&body.tables)?;
    let by = administrator.audits("CREATE_BACKUP", "backups", "").with(json!({ "backup_data": label }));
    let new = NewBackup { label, description, choices, output: None, by };
    let Some(made) = backups.make(new, WAIT).await? else {
        return Ok(HttpResponse::Accepted().json(BackupCreateResponse {
            backup_id: None,
            backup_file: String::new(),
            backup_path: String::new(),
            size_mb: megabytes(0),
            message: "Backup goes on: see GET /backup/backup/ for its end",
        }));
    };
    let file = made.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(HttpResponse::Created().json(BackupCreateResponse {
        backup_id: Some(made.backup_id),
        backup_file: file,
        backup_path: made.path.display().to_string(),
        size_mb: megabytes(made.bytes),
        message: "Backup completed successfully",
    }))
}

/// The newest 1000 backups, newest first.
#[utoipa::path(get, path = "/backup/backup/", tag = "Backups", security(("bearer" = [])),
    responses(
        (status = 200, body = Vec<BackupResponse>),
        (status = 403, description = "needs Backup:read"),
    ))]
async fn list_backups(administrator: Administrator, backups: Data<Backups>) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Backup, Action::Read)?;
    let rows = backups.list().await?;
    Ok(HttpResponse::Ok().json(rows.into_iter().map(BackupResponse::from).collect::<Vec<_>>()))
}

/// Delete a backup and its file.
#[utoipa::path(delete, path = "/backup/backup/{backup_id}", tag = "Backups", security(("bearer" = [])),
    params(("backup_id" = String, Path)),
    responses(
        (status = 204, description = "deleted"),
        (status = 403, description = "needs Backup:delete"),
        (status = 404, description = "no such backup"),
        (status = 409, description = "state_conflict: it is being made"),
    ))]
async fn delete_backup(
    administrator: Administrator,
    backups: Data<Backups>,
    backup_id: Path<String>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Backup, Action::Delete)?;
    let entry = administrator.audits("DELETE_BACKUP", "backups", format!("backup/{backup_id}"));
    backups.delete(&backup_id, entry).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Begin to restore a backup into a new database and to compare it there with what was backed up. How it ended stands in the
/// backup's `details`; the database that this service runs on is never touched.
#[utoipa::path(post, path = "/backup/backup/{backup_id}/restore", tag = "Backups", security(("bearer" = [])),
    params(("backup_id" = String, Path)),
    request_body = RestoreRequest,
    responses(
        (status = 202, body = RestoreResponse),
        (status = 400, description = "unknown_reference: the file is not in its place"),
        (status = 403, description = "needs Backup:edit"),
        (status = 404, description = "no such backup"),
        (status = 409, description = "state_conflict: the file is damaged, or another job is being done"),
    ))]
async fn restore_backup(
    administrator: Administrator,
    backups: Data<Backups>,
    backup_id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Backup, Action::Edit)?;
    let body: RestoreRequest = parse_body(&body)?;
    let target_db = body.target_db.unwrap_or_default();
    let entry = administrator.audits("RESTORE_BACKUP", "backups", "");
    backups.restore(&backup_id, &target_db, body.clean, entry).await?;
    Ok(HttpResponse::Accepted().json(RestoreResponse {
        message: "Restore begun: see details of the backup in GET /backup/backup/ for its end",
        backup_id: backup_id.into_inner(),
        target_db,
        clean: body.clean,
    }))
}
