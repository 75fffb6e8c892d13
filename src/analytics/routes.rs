//! `/analytics/...`.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};

use super::figures::Json;
use super::insight::insight;
use super::report::Report;
use super::store::Analytics;
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Customer};
use crate::http::Problem;
use crate::http::server::method_not_allowed;

type Answer = Result<HttpResponse, Problem>;

/// The routes of this feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let other = || web::to(method_not_allowed);
    let at = |path| web::resource(path).default_service(other());
    cfg.service(at("/analytics/admins").route(web::get().to(admins)))
        .service(at("/analytics/backup").route(web::get().to(backups)))
        .service(at("/analytics/current-active-plans").route(web::get().to(current_plans)))
        .service(at("/analytics/offers").route(web::get().to(offers)))
        .service(at("/analytics/plans").route(web::get().to(plans)))
        .service(at("/analytics/referrals").route(web::get().to(referrals)))
        .service(at("/analytics/transactions").route(web::get().to(all_transactions)))
        .service(at("/analytics/users-archive").route(web::get().to(archived_users)))
        .service(at("/analytics/users").route(web::get().to(users)))
        .service(at("/analytics/me/users").route(web::get().to(own)));
}

fn sent(figures: Result<Json, sqlx::Error>) -> Answer {
    let figures = figures?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(Box::<str>::from(figures).into_string()))
}

macro_rules! for_administrators {
    ($($name:ident, $resource:ident, $report:ident;)*) => {
        $(async fn $name(administrator: Administrator, analytics: web::Data<Analytics>) -> Answer {
            administrator.require(Resource::$resource, Action::Read)?;
            sent(analytics.figures(Report::$report).await)
        })*
    };
}

for_administrators! {
    admins, Admins, Admins;
    backups, Backup, Backups;
    current_plans, Plans, CurrentPlans;
    offers, Offers, Offers;
    plans, Plans, Plans;
    referrals, Referral, Referrals;
    all_transactions, Recharge, Transactions;
    archived_users, Users, ArchivedUsers;
    users, Users, Users;
}

async fn own(customer: Customer, analytics: web::Data<Analytics>) -> Answer {
    sent(insight(&analytics.view(), customer.user_id).await)
}
