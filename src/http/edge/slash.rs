//! A slash at the end of a path means nothing, as clients are used to: `/user/admin/` is `/user/admin`.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;

/// Pages, whose relative links would lead elsewhere.
const PAGES: [&str; 2] = ["/docs", "/redoc"];

/// Takes the slashes from the end of the request's path, before it is routed.
pub(super) fn ignore(request: &mut ServiceRequest) {
    let path = request.path();
    if path.len() < 2 || !path.ends_with('/') {
        return;
    }
    let plain = path.trim_end_matches('/');
    if plain.is_empty() || PAGES.contains(&plain) {
        return;
    }
    let wanted = match request.uri().query() {
        Some(query) => format!("{plain}?{query}"),
        None => plain.to_owned(),
    };
    // A path that was one, and its beginning, are paths.
    let Ok(path_and_query) = wanted.parse() else { return };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    let Ok(uri) = Uri::from_parts(parts) else { return };
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_slashes_at_the_end_are_ignored() {
        for (asked, found) in [
            ("/user/admin/", "/user/admin"),
            ("/user/admin//?a=b/", "/user/admin?a=b/"),
            ("/user//admin", "/user//admin"),
            ("/x%2F/", "/x%2F"),
            ("/", "/"),
            ("//", "//"),
            ("/docs/", "/docs/"),
        ] {
            let mut request = TestRequest::with_uri(asked).to_srv_request();
            ignore(&mut request);
            assert_eq!(request.uri().to_string(), found, "{asked}");
            assert_eq!(request.match_info().as_str(), request.uri().path(), "{asked}");
        }
    }
}
