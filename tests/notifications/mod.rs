//! Notices: who sees which, live and later, what their readers may do with them, and their ways to the outside.

mod announcements;
mod crowd;
mod lists;
mod messages;
mod own;
mod reminders;
mod streams;
mod wishes;
