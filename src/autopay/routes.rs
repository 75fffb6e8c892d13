//! `/autopay`: customers' own rules and instruments. The administrators' operations are in `admin.rs`.

use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::autopay::AutopayError;
use gencharge_actors::kernel::AutopayId;
use utoipa::OpenApi;

use super::admin;
use super::credentials::{AutoPayCredentialOut, Credentials};
use super::due::ProcessedAutopay;
use super::lists::{Answer, AutopayLists, Listing};
use super::request::{self, CreateAutopay, SaveCredentials, SkipAutopay, UpdateAutopay};
use super::rules::{AutopayRules, RuleError};
use super::shape::{AutoPayOut, AutoPayOutAdmin, PaginatedAutoPay, PaginatedAutoPayAdmin};
use crate::auth::Customer;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem, array, list};

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(
    paths(
        create,
        one,
        own,
        show_credentials,
        save_credentials,
        change,
        delete,
        skip,
        admin::all,
        admin::process_due
    ),
    components(schemas(
        AutoPayOut,
        AutoPayOutAdmin,
        PaginatedAutoPay,
        PaginatedAutoPayAdmin,
        AutoPayCredentialOut,
        ProcessedAutopay,
        CreateAutopay,
        UpdateAutopay,
        SkipAutopay,
        SaveCredentials
    ))
)]
pub struct Docs;

/// Mounts the feature. The named paths come before `/autopay/{autopay_id}`, which would take them.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let refused = || web::to(method_not_allowed);
    cfg.service(
        web::resource("/autopay/create_autopay").route(web::post().to(create)).default_service(refused()),
    )
    .service(
        web::resource("/autopay/get_autopay/{autopay_id}")
            .route(web::get().to(one))
            .default_service(refused()),
    )
    .service(web::resource("/autopay/get_all_autopay").route(web::get().to(own)).default_service(refused()))
    .service(
        web::resource("/autopay/autopay_credentials")
            .route(web::get().to(show_credentials))
            .route(web::put().to(save_credentials))
            .default_service(refused()),
    )
    .service(web::resource("/autopay/admin/all").route(web::get().to(admin::all)).default_service(refused()))
    .service(
        web::resource("/autopay/admin/process-due")
            .route(web::post().to(admin::process_due))
            .default_service(refused()),
    )
    .service(
        web::resource("/autopay/{autopay_id}/skip").route(web::post().to(skip)).default_service(refused()),
    )
    .service(
        web::resource("/autopay/{autopay_id}")
            .route(web::patch().to(change))
            .route(web::delete().to(delete))
            .default_service(refused()),
    );
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::NoRule => Self::not_found("Autopay"),
            RuleError::NoPlan => Self::new(Code::NotFound, "Plan not found: choose one of /plans/public/all"),
            RuleError::NoNumber => {
                Self::new(Code::NotFound, "Phone number not found: its owner must sign up first")
            }
            RuleError::PlanInactive => Self::new(
                Code::PlanUnavailable,
                "The plan is not sold any more: choose one of /plans/public/all",
            ),
            RuleError::PlanTypeMismatch => Self::new(
                Code::PlanTypeMismatch,
                "The plan is for the other kind of number: choose another plan",
            ),
            RuleError::Duplicate => Self::new(
                Code::Duplicate,
                "The same plan is bought for this number by an enabled rule already: change that one",
            ),
            RuleError::TooMany => {
                Self::new(Code::StateConflict, "You have as many rules as may be: delete one first")
            }
            RuleError::Busy => Self::new(
                Code::StateConflict,
                "The rule is being charged at this moment: look at it again in a few seconds, then decide",
            ),
            RuleError::DateNeeded => Self::field(
                "next_due_date",
                "must be given: the rule's date has passed; choose one in the future",
            ),
            RuleError::NotDueThen(Some(due)) => Self::new(
                Code::StateConflict,
                format!("The rule is due at {} next: name that date to skip it", due.to_rfc3339()),
            ),
            RuleError::NotDueThen(None) => {
                Self::new(Code::StateConflict, "The rule is disabled: there is no date to skip")
            }
            RuleError::Store(error) => error.into(),
        }
    }
}

/// The store's own words stay in the log.
pub(super) fn unavailable(error: &AutopayError) -> Problem {
    tracing::warn!(error = %error, "autopay.unavailable");
    Problem::new(Code::Unavailable, "The database is away for a moment: try again shortly")
}

/// Make a rule.
///
/// Each debit is told at least 24 hours before, is paid from your wallet, and can be skipped.
#[utoipa::path(
    post, path = "/autopay/create_autopay", tag = "Autopay", operation_id = "create_autopay", security(("bearer" = ["user"])), request_body = CreateAutopay,
    responses(
        (status = 201, body = AutoPayOut),
        (status = 400, description = "duplicate, plan_unavailable, plan_type_mismatch or malformed_body"),
        (status = 404, description = "not_found: the plan or the number"),
        (status = 409, description = "state_conflict: as many rules as may be"),
    )
)]
async fn create(
    customer: Customer,
    rules: web::Data<AutopayRules>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let (now, zone) = rules.now();
    let new = request::create(&body, now, zone)?;
    Ok(HttpResponse::Created().json(rules.create(customer.user_id, &new).await?))
}

/// One of your rules.
#[utoipa::path(
    get, path = "/autopay/get_autopay/{autopay_id}", tag = "Autopay", operation_id = "get_autopay", security(("bearer" = ["user"])),
    params(("autopay_id" = i64, Path)),
    responses((status = 200, body = AutoPayOut), (status = 404, description = "not_found"))
)]
async fn one(
    customer: Customer,
    rules: web::Data<AutopayRules>,
    id: web::Path<i64>,
) -> Result<web::Json<AutoPayOut>, Problem> {
    Ok(web::Json(rules.find(customer.user_id, AutopayId(*id)).await?))
}

/// Your rules.
#[utoipa::path(
    get, path = "/autopay/get_all_autopay", tag = "Autopay", operation_id = "get_all_autopay", security(("bearer" = ["user"])),
    params(
        ("page" = Option<u32>, Query, description = "0 and 1 are the first"),
        ("size" = Option<u32>, Query, description = "rows on a page; 0 (default) is everything", maximum = 100),
        ("status" = Option<String>, Query, description = "enabled or disabled"),
        ("phone_number" = Option<String>, Query, description = "a part of the ten digits"),
        ("tag" = Option<String>, Query, description = "onetime or regular"),
        ("sort" = Option<String>, Query,
            description = "created_at_desc (default), created_at_asc, next_due_date_desc or next_due_date_asc"),
    ),
    responses((status = 200, body = PaginatedAutoPay))
)]
async fn own(
    request: HttpRequest,
    customer: Customer,
    lists: web::Data<AutopayLists>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request);
    let listing = Listing::read(&mut params, Some(customer.user_id));
    params.done()?;
    match lists.answer(&listing).await? {
        Answer::Page(rules, tail) => list::page("items", &rules, &tail),
        Answer::Stream(chunks) => Ok(list::streamed("items", chunks, |rules| async move { Ok(rules) })),
        Answer::Busy => Err(array::busy()),
    }
}

/// Your saved payment instrument, masked.
#[utoipa::path(
    get, path = "/autopay/autopay_credentials", tag = "Autopay", operation_id = "get_autopay_credentials", security(("bearer" = ["user"])),
    responses((status = 200, body = AutoPayCredentialOut), (status = 404, description = "not_found: none is saved"),
        (status = 409, description = "state_conflict: it can no longer be read; save it again"))
)]
async fn show_credentials(
    customer: Customer,
    credentials: web::Data<Credentials>,
) -> Result<web::Json<AutoPayCredentialOut>, Problem> {
    Ok(web::Json(credentials.show(customer.user_id).await?))
}

/// Save a payment instrument in place of an earlier one.
///
/// It is encrypted, and shown masked. Security codes and PINs are dropped before.
#[utoipa::path(
    put, path = "/autopay/autopay_credentials", tag = "Autopay", operation_id = "save_autopay_credentials", security(("bearer" = ["user"])),
    request_body = SaveCredentials,
    responses((status = 200, body = AutoPayCredentialOut))
)]
async fn save_credentials(
    customer: Customer,
    credentials: web::Data<Credentials>,
    body: Bytes,
) -> Result<web::Json<AutoPayCredentialOut>, Problem> {
    let (payment_type, fields) = request::credentials(&body)?.into_parts();
    Ok(web::Json(credentials.save(customer.user_id, &payment_type, fields).await?))
}

/// Change a rule. Absent fields stay as they are.
#[utoipa::path(
    patch, path = "/autopay/{autopay_id}", tag = "Autopay", operation_id = "update_autopay", security(("bearer" = ["user"])),
    params(("autopay_id" = i64, Path)), request_body = UpdateAutopay,
    responses(
        (status = 200, body = AutoPayOut),
        (status = 400, description = "duplicate, plan_unavailable, plan_type_mismatch or malformed_body"),
        (status = 404, description = "not_found: the rule, the plan or the number"),
        (status = 409, description = "state_conflict: it is being charged at this moment"),
    )
)]
async fn change(
    customer: Customer,
    rules: web::Data<AutopayRules>,
    id: web::Path<i64>,
    body: Bytes,
) -> Result<web::Json<AutoPayOut>, Problem> {
    let (now, zone) = rules.now();
    let changes = request::update(&body, now, zone)?;
    Ok(web::Json(rules.change(customer.user_id, AutopayId(*id), &changes).await?))
}

/// Delete a rule.
#[utoipa::path(
    delete, path = "/autopay/{autopay_id}", tag = "Autopay", operation_id = "delete_autopay", security(("bearer" = ["user"])),
    params(("autopay_id" = i64, Path)),
    responses((status = 204), (status = 404, description = "not_found"),
        (status = 409, description = "state_conflict: it is being charged at this moment"))
)]
async fn delete(
    customer: Customer,
    rules: web::Data<AutopayRules>,
    id: web::Path<i64>,
) -> Result<HttpResponse, Problem> {
    rules.delete(customer.user_id, AutopayId(*id)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Leave one date out: nothing is paid for it, and the rule goes on with its next one.
///
/// Name the rule's `next_due_date`, so that asking twice leaves out one date, not two.
#[utoipa::path(
    post, path = "/autopay/{autopay_id}/skip", tag = "Autopay", operation_id = "skip_autopay", security(("bearer" = ["user"])),
    params(("autopay_id" = i64, Path)), request_body = SkipAutopay,
    responses((status = 200, body = AutoPayOut), (status = 404, description = "not_found"),
        (status = 409, description = "state_conflict: not due then, or being charged at this moment"))
)]
async fn skip(
    customer: Customer,
    rules: web::Data<AutopayRules>,
    id: web::Path<i64>,
    body: Bytes,
) -> Result<web::Json<AutoPayOut>, Problem> {
    let (_, zone) = rules.now();
    let due = request::skip(&body, zone)?;
    Ok(web::Json(rules.skip(customer.user_id, AutopayId(*id), due).await?))
}
