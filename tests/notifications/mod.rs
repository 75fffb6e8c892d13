//! Notices: who sees which, live and later, and what their readers may do with them.

mod lists;
mod own;
mod streams;
