//! The lists of transactions: a customer's own and the administrators'.

pub mod shape;
