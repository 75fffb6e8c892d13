//! `/autopay/admin`: all rules, and what is due.

use actix_web::{HttpRequest, HttpResponse, web};

use super::due::{DueDates, ProcessedAutopay};
use super::lists::{Answer, AutopayLists, Listing};
use super::routes::unavailable;
use super::shape::PaginatedAutoPayAdmin;
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::params::Params;
use crate::http::{Problem, array, list};

/// All rules, with payer, owner of the number and plan.
#[utoipa::path(
    get, path = "/autopay/admin/all", tag = "Autopay", operation_id = "all_autopay", security(("bearer" = [])),
    params(
        ("page" = Option<u32>, Query, description = "0 and 1 are the first"),
        ("size" = Option<u32>, Query, description = "rows on a page; 0 (default) is everything", maximum = 100),
        ("status" = Option<String>, Query, description = "enabled or disabled"),
        ("tag" = Option<String>, Query, description = "onetime or regular"),
        ("phone_number" = Option<String>, Query, description = "a part of the ten digits"),
        ("sort" = Option<String>, Query,
            description = "created_at_desc (default), created_at_asc, next_due_date_desc or next_due_date_asc"),
    ),
    responses((status = 200, body = PaginatedAutoPayAdmin),
        (status = 403, description = "forbidden: needs Autopay:read"))
)]
pub async fn all(
    request: HttpRequest,
    administrator: Administrator,
    lists: web::Data<AutopayLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Autopay, Action::Read)?;
    let mut params = Params::of(&request);
    let listing = Listing::read(&mut params, None);
    params.done()?;
    match lists.answer(&listing).await? {
        Answer::Page(rules, tail) => list::page("items", &lists.with_details(rules).await?, &tail),
        Answer::Stream(chunks) => {
            let lists = web::Data::clone(&lists);
            Ok(list::streamed("items", chunks, move |rules| {
                let lists = web::Data::clone(&lists);
                async move { lists.with_details(rules).await }
            }))
        }
        Answer::Busy => Err(array::busy()),
    }
}

/// Charge what is due now, without waiting for the scheduler, which does the same within a second by itself.
///
/// One result for each rule that this call charged, or tried to. With `dry_run` nothing is charged: the answer foretells what
/// would come of each rule that is due now, or until `until`.
#[utoipa::path(
    post, path = "/autopay/admin/process-due", tag = "Autopay", operation_id = "process_due_autopay", security(("bearer" = [])),
    params(
        ("dry_run" = Option<bool>, Query, description = "only look"),
        ("until" = Option<String>, Query, description = "of a dry run: a time such as 2027-01-31T10:00:00Z"),
    ),
    responses((status = 200, body = [ProcessedAutopay]),
        (status = 403, description = "forbidden: needs Autopay:write"))
)]
pub async fn process_due(
    request: HttpRequest,
    administrator: Administrator,
    due: web::Data<DueDates>,
) -> Result<web::Json<Vec<ProcessedAutopay>>, Problem> {
    administrator.require(Resource::Autopay, Action::Write)?;
    let mut params = Params::of(&request);
    let dry_run = params.flag("dry_run").unwrap_or(false);
    let until = params.moment("until");
    params.done()?;
    if dry_run {
        return Ok(web::Json(due.foresee(until).await?));
    }
    due.record(administrator.audits("PROCESS_DUE_AUTOPAY", "autopay", "autopay")).await?;
    let done = due.process().await.map_err(|error| unavailable(&error))?;
    Ok(web::Json(done))
}
