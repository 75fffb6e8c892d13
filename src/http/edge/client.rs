//! Who is calling: the address behind trusted proxies.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderName;

use crate::config::Network;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address. `X-Forwarded-For` is believed only as far as trusted proxies wrote it: read from its end, the
/// first address that is not a trusted proxy's is the client.
pub(super) fn address(request: &ServiceRequest, proxies: &[Network]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    if proxies.is_empty() || !trusted(peer, proxies) {
        return Some(peer);
    }
    let lines: Vec<&str> =
        request.headers().get_all(&X_FORWARDED_FOR).filter_map(|value| value.to_str().ok()).collect();
    Some(behind(peer, &lines, proxies))
}

fn behind(peer: IpAddr, lines: &[&str], proxies: &[Network]) -> IpAddr {
    let mut nearest = peer;
    for item in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        // What is not an address was not written by a proxy that can be trusted: stop at the last one known.
        let Some(address) = parse(item) else { break };
        nearest = address;
        if !trusted(address, proxies) {
            break;
        }
    }
    nearest
}

/// An address, with or without a port (`10.0.0.1:443`, `[::1]:443`).
fn parse(item: &str) -> Option<IpAddr> {
    let item = item.trim();
    let address = item.parse::<IpAddr>().or_else(|_| item.parse::<std::net::SocketAddr>().map(|it| it.ip()));
    Some(address.ok()?.to_canonical())
}

fn trusted(address: IpAddr, proxies: &[Network]) -> bool {
    proxies.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let config = Config::from_map([("GENCHARGE_TRUSTED_PROXIES", "10.0.0.0/8,::1")]).unwrap();
        let proxies = config.http.trusted_proxies;
        let client = |lines: &[&str]| behind("10.0.0.1".parse().unwrap(), lines, &proxies).to_string();
        assert_eq!(client(&["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&["1.1.1.1, 203.0.113.9, 10.2.3.4"]), "203.0.113.9");
        assert_eq!(client(&["1.1.1.1", "203.0.113.9:5555, [::1]:80"]), "203.0.113.9");
        assert_eq!(client(&["203.0.113.9, nonsense"]), "10.0.0.1");
        assert_eq!(client(&["10.1.1.1, 10.1.1.2"]), "10.1.1.1");
        assert_eq!(client(&[]), "10.0.0.1");
    }
}
