//! Handlers' arguments: who is calling.

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};

use super::gate::{Administrator, Admission, Customer, Gate, PausedCustomer, Principal};
use crate::http::edge::{Kind, Trace};
use crate::http::{Code, Problem};

/// Ready at once, except while the gate must ask SQL.
type Answer<T> = Either<Ready<Result<T, Problem>>, LocalBoxFuture<'static, Result<T, Problem>>>;

impl FromRequest for Principal {
    type Error = Problem;
    type Future = Answer<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, false, Ok)
    }
}

impl FromRequest for Customer {
    type Error = Problem;
    type Future = Answer<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, false, customer)
    }
}

impl FromRequest for PausedCustomer {
    type Error = Problem;
    type Future = Answer<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, true, |principal| customer(principal).map(Self))
    }
}

fn customer(principal: Principal) -> Result<Customer, Problem> {
    match principal {
        Principal::Customer(customer) => Ok(customer),
        Principal::Administrator(_) => {
            Err(Problem::new(Code::Forbidden, "This is for customers: sign in with a customer's number"))
        }
    }
}

impl FromRequest for Administrator {
    type Error = Problem;
    type Future = Answer<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        extract(request, false, |principal| match principal {
            Principal::Administrator(administrator) => Ok(administrator),
            Principal::Customer(_) => Err(Problem::new(Code::Forbidden, "This is for administrators")),
        })
    }
}

/// The token of `Authorization: Bearer <token>`.
#[must_use]
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Tells the access log who it is.
fn noted(request: &HttpRequest, decided: Result<Principal, Problem>) -> Result<Principal, Problem> {
    match &decided {
        Ok(Principal::Customer(it)) => Trace::sent_by(request, Kind::Customer, it.user_id.get()),
        Ok(Principal::Administrator(it)) => Trace::sent_by(request, Kind::Administrator, it.admin_id.get()),
        Err(_) => {}
    }
    decided
}

fn extract<T: 'static>(
    request: &HttpRequest,
    paused: bool,
    narrow: fn(Principal) -> Result<T, Problem>,
) -> Answer<T> {
    let (Some(gate), Some(token)) = (request.app_data::<web::Data<Gate>>(), bearer(request)) else {
        return Either::Left(ready(Err(Problem::not_authenticated())));
    };
    match gate.admit(token, paused) {
        Admission::Decided(decided) => Either::Left(ready(noted(request, decided).and_then(narrow))),
        Admission::AskStore(claims) => {
            let gate = Gate::clone(gate);
            let request = request.clone();
            let check =
                async move { noted(&request, gate.check_in_store(claims, paused).await).and_then(narrow) };
            Either::Right(check.boxed_local())
        }
    }
}
