//! The stores behind ports: each port has one suite that every store must pass.

mod documents;
