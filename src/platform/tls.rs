//! TLS to others: rustls with ring everywhere.

/// Makes ring the cryptography of every TLS connection that does not choose its own; an HTTP client cannot be made before.
/// Doing it again does nothing.
pub fn use_ring() {
    // An error means that it was chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
